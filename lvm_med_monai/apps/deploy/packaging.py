"""The folder that MONAI Deploy's packager makes a container of, and a check of it that needs no docker.

``python -m lvm_med_monai.apps.deploy.packaging slice_segmentation OUT --bundle BUNDLE`` writes ``OUT/app`` (the entry,
its configuration, pinned requirements, and this package, which is on no index) and ``OUT/models/<bundle>``, which has
the configurations, texts and weights of the bundle and nothing else of its folder, where data and results may lie.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

import lvm_med_monai
from lvm_med_monai.apps.deploy.loading import CONFIG, METADATA, SCRIPT, WEIGHTS
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.bundles.package import PARTS

APPLICATIONS = ("slice_segmentation", "classification", "detection")
PACKAGE = Path(lvm_med_monai.__file__).parent
PINNED = ("monai", "monai-deploy-app-sdk", "holoscan-cu13", "torch", "numpy", "pydicom", "highdicom")
"""Requirements without which, or in other versions than tested, an application does not start."""
FORMATS = ("input-formats", "output-formats")
MODELS = (WEIGHTS, SCRIPT)


def make_folder(application: str, bundle: Path, output: Path) -> Path:
    """Write the packaging folder.

    Args:
        application: one of `APPLICATIONS`.
        bundle: a bundle with weights.
        output: a new folder.

    Returns:
        The folder, checked by `check_folder`.

    Raises:
        DeployError: the folder exists, something is missing, or a part of the bundle is a link; nothing is left then.
    """
    if output.exists():
        raise DeployError(f"{output} exists; give a new folder")
    if application not in APPLICATIONS:
        raise DeployError(f"there is no application {application}; choose one of {', '.join(APPLICATIONS)}")
    if not bundle.is_dir():
        raise DeployError(f"there is no bundle {bundle}; give a bundle's folder")
    source, app = PACKAGE / "apps" / "deploy", output / "app"
    try:
        shutil.copytree(source / application, app, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
        shutil.copyfile(source / "requirements.txt", app / "requirements.txt")
        shutil.copytree(PACKAGE, app / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
        _copy_bundle(bundle, output / "models" / bundle.resolve().name)
        if faults := check_folder(output):
            raise DeployError("the packaging folder is not complete: " + "; ".join(faults))
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise
    return output


def _copy_bundle(bundle: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for name in PARTS:
        source = bundle / name
        if links := [path.relative_to(bundle) for path in (source, *source.rglob("*")) if path.is_symlink()]:
            raise DeployError(f"{links[0]} of the bundle is a link, whose target is not looked at; put a copy there")
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copyfile(source, target / name)
    for name in MODELS:
        if (bundle / name).is_file():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(bundle / name, target / name)


def check_folder(folder: Path) -> list[str]:
    """What a packaging folder lacks, and what its bundle holds besides `PARTS` and weights; empty if all is well."""
    return [*_entry_faults(folder / "app"), *_requirement_faults(folder / "app"), *_model_faults(folder / "models")]


def _entry_faults(app: Path) -> list[str]:
    faults = []
    try:
        ast.parse((app / "__main__.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        faults.append("app/__main__.py is missing or no Python")
    if not (app / PACKAGE.name / "__init__.py").is_file():
        faults.append(f"app/{PACKAGE.name} is missing: no index has the package")
    try:
        config = yaml.safe_load((app / "app.yaml").read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError):
        return [*faults, "app/app.yaml is missing or no YAML"]
    application = config.get("application") or {}
    faults += [
        f"app.yaml has no application: {key}" for key in ("title", "version", *FORMATS) if not application.get(key)
    ]
    if application.get("version") not in (None, lvm_med_monai.__version__):
        faults.append(f"app.yaml has version {application['version']}, the package {lvm_med_monai.__version__}")
    if not config.get("resources"):
        faults.append("app.yaml has no resources")
    return faults


def _requirement_faults(app: Path) -> list[str]:
    try:
        lines = (app / "requirements.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ["app/requirements.txt is missing"]
    found = dict(re.split(r"\s*==\s*", line, maxsplit=1) for line in lines if "==" in line)
    loose = [line for line in lines if line.strip() and not line.startswith("#") and "==" not in line]
    faults = [f"requirements.txt does not pin {line}" for line in loose]
    return faults + [f"requirements.txt lacks {name}" for name in PINNED if name not in found]


def _model_faults(models: Path) -> list[str]:
    bundles = sorted(path for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    if len(bundles) != 1:
        return [f"models holds {len(bundles)} bundles instead of one"]
    faults = [f"the bundle has no {name}" for name in (CONFIG, METADATA) if not (bundles[0] / name).is_file()]
    if not any((bundles[0] / name).is_file() for name in MODELS):
        faults.append(f"the bundle has neither {WEIGHTS} nor {SCRIPT}")
    return faults + [f"{path.relative_to(models)} is no part of a bundle; remove it" for path in _strange(bundles[0])]


def _strange(bundle: Path) -> list[Path]:
    """What lies beside or in a bundle and is not served."""
    known = {bundle, *(bundle / name for name in (*PARTS, *MODELS, "models"))}
    found = (
        path for folder in (bundle.parent, bundle, bundle / "models") if folder.is_dir() for path in folder.iterdir()
    )
    inside = (path for name in PARTS for path in (bundle / name).rglob("*") if path.is_symlink())
    return sorted({path for path in found if path not in known} | set(inside))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the folder that monai-deploy package takes.")
    parser.add_argument("application", choices=APPLICATIONS)
    parser.add_argument("output", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        folder = make_folder(options.application, options.bundle, options.output)
    except DeployError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    command = f"monai-deploy package {folder}/app -c {folder}/app/app.yaml -m {folder}/models"
    sys.stdout.write(f"{folder} is complete; next: {command} -t NAME:TAG --platform x86_64\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
