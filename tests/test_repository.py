"""The repository's own rules: data flows one way, modules stay short, nothing points outside, links resolve."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lvm_med_monai"
LAYERS = [
    {"slices"},
    {"lists"},
    {"data", "transforms"},
    {"networks"},
    {"weights"},
    {"graph"},
    {"matching"},
    {"losses"},
    {"engines", "metrics", "export"},
    {"handlers"},
    {"bundles"},
    {"apps"},
]
"""Folders in the order in which data flow; one imports itself and those before it."""
ALONE = {"matching": {"torch", "numpy", "scipy", "lap", "numba", "triton"}, "slices": None}
LONGEST_MODULE = 300
TEXT = {".py", ".json", ".md", ".toml", ".cff", ".conf", ".txt", ".yml", ""}


def tracked(suffixes: set[str]) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file() and path.suffix in suffixes and "demo_data" not in path.parts]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} uses a relative import"
            names.add(node.module or "")
    return names


def layer_of(folder: str) -> int:
    return next(index for index, layer in enumerate(LAYERS) if folder in layer)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_data(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    if len(parts) == 1:
        return
    for name in imports(path):
        if name.startswith("lvm_med_monai."):
            other = name.split(".")[1]
            alone = (PACKAGE / f"{other}.py").is_file()
            fine = alone or other == parts[0] or layer_of(other) < layer_of(parts[0])
            assert fine, f"{'/'.join(parts)} imports {name}, which comes after it"


def test_every_folder_of_the_package_has_a_layer() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set().union(*LAYERS)


def test_matching_needs_torch_and_solvers_alone() -> None:
    for path in sorted((PACKAGE / "matching").rglob("*.py")):
        for name in imports(path):
            top = name.split(".")[0]
            standard = top in __import__("sys").stdlib_module_names
            own = name.startswith("lvm_med_monai.matching")
            assert standard or own or top in ALONE["matching"], f"{path.name} imports {name}"


@pytest.mark.parametrize("path", tracked({".py"}), ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", tracked(TEXT), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_machine_or_personal_paths(path: Path) -> None:
    if path == Path(__file__).resolve() or path.name == "LICENSE":
        return
    found = re.findall(
        r"(?:^|[\s\"'(=])(/(?:home|Users|mnt|root|work|workspace|tmp)/[\w./-]*)", path.read_text("utf-8")
    )
    assert not found, f"{path.relative_to(ROOT)} names {found}"


@pytest.mark.parametrize("path", tracked({".md"}), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    for target in re.findall(r"\[[^\]]*\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        assert (path.parent / target.split("#")[0]).exists(), f"{path.relative_to(ROOT)} links to {target}"


def test_no_module_has_an_empty_name() -> None:
    forbidden = {"utils", "helpers", "common", "misc"}
    assert not [path for path in modules() if path.stem in forbidden]


def test_no_weights_and_no_pickles_are_committed() -> None:
    assert not tracked({".pt", ".pth", ".ts", ".onnx", ".pkl", ".npy"})
    for path in tracked({".npz"}):
        # embeddings for benchmarks: numbers alone
        assert path.parent == ROOT / "benchmarks" / "data"
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype == np.float16 for name in arrays)
