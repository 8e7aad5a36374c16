"""What every bundle must be: the union of what MONAI's tools, its Model Zoo, MONAI Label and MONAI Deploy read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lvm_med_monai.bundles.annotation import transform_violations
from lvm_med_monai.bundles.expressions import broken_rules
from lvm_med_monai.bundles.json_text import read_json
from lvm_med_monai.bundles.metadata_fields import field_violations
from lvm_med_monai.bundles.references import references_in, strings, top_of
from lvm_med_monai.bundles.table import overlays_of

FILES = (
    "LICENSE",
    "configs/metadata.json",
    "configs/train.json",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/multi_gpu_train.json",
    "configs/demo.json",
    "configs/logging.conf",
    "docs/README.md",
)
HEADINGS = (
    "# Model Overview",
    "## Data",
    "## Training configuration",
    "## Input",
    "## Output",
    "## Performance",
    "## MONAI bundle commands",
    "# Limitations",
    "# References",
    "# License",
)
LABEL_TASKS = ("segmentation", "classification", "detection", "deepgrow")
"""Words by which MONAI Label tells the task of a bundle, from the name of its folder."""
ENDINGS = ("_segmentation", "_classification", "_detection", "_deepgrow_annotation", "_pretraining", "_embedding")
TRAIN_IDS = (
    "bundle_root",
    "dataset_dir",
    "run_dir",
    "device",
    "seed",
    "network_def",
    "network",
    "train::dataset",
    "train::handlers",
    "train::inferer",
    "train::trainer::max_epochs",
    "initialize",
    "run",
)
INFER_IDS = (
    "bundle_root",
    "dataset_dir",
    "output_dir",
    "ckpt_path",
    "device",
    "network_def",
    "dataset",
    "inferer",
    "handlers",
    "evaluator",
    "run",
)
REMINDER = "DESCRIBE:"
"""Start of a text that ``tools/new_bundle.py`` leaves to be written."""
SUPPLIES = ("metadata.json", "train.json", "inference.json")
"""Files that stand alone; every other configuration is an overlay."""
_VERSION = re.compile(r"\d+(\.\d+)+")


def violations(bundle: Path) -> list[str]:
    """Everything in which a bundle breaks the contract, one sentence each; none if it keeps it.

    Configurations are read, not run: no data, no weights and no network are needed.

    Raises:
        ValueError: a configuration is no JSON or repeats a key.
    """
    missing = [name for name in FILES if not (bundle / name).is_file()]
    if missing:
        return [f"{', '.join(missing)} missing"]
    configs = {path.name: read_json(path) for path in sorted((bundle / "configs").glob("*.json"))}
    odd = [name for name, config in configs.items() if not isinstance(config, dict)]
    if odd:
        return [f"{', '.join(odd)} must hold an object"]
    return [sentence for check in _CHECKS for sentence in check(bundle, configs)]


def serves_annotators(name: str) -> bool:
    """Whether MONAI Label can take the bundle: its name holds one of the words that it knows."""
    return any(task in name for task in LABEL_TASKS)


def lookup(config: Any, name: str) -> Any:
    """The value at an id such as ``train::handlers``; None if a part of the way is missing."""
    for part in name.split("::"):
        if not isinstance(config, dict) or part not in config:
            return None
        config = config[part]
    return config


def _name(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    words = [task for task in LABEL_TASKS if task in bundle.name]
    if not bundle.name.endswith(ENDINGS) or len(words) > 1 or not re.fullmatch(r"[a-z][a-z_]*", bundle.name):
        yield f"the name must be lower-case words and end with one of {', '.join(ENDINGS)}, holding one task word only"


def _transforms(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    if serves_annotators(bundle.name):
        yield from transform_violations(bundle, configs)


def _no_python(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    found = sorted(path.name for path in bundle.rglob("*.py"))
    if found:
        yield f"holds Python: {', '.join(found)}"


def _metadata(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    metadata = configs["metadata.json"]
    wrong = list(field_violations(metadata))
    if wrong:
        yield from wrong
        return
    if metadata["version"] not in metadata["changelog"]:
        yield f"the changelog has no entry for version {metadata['version']}"
    packages = metadata["required_packages_version"]
    if "lvm_med_monai" not in packages:
        yield "required_packages_version does not name lvm_med_monai"
    for version in [*(metadata[f"{name}_version"] for name in ("monai", "pytorch", "numpy")), *packages.values()]:
        if not _VERSION.fullmatch(str(version)):
            yield f"{version!r} is not a plain version such as 1.6.1"
    tensors = metadata["network_data_format"]
    if list(tensors["inputs"]) != ["image"] or list(tensors["outputs"]) != ["pred"]:
        yield "the network's input must be called image and its output pred"


def _ids(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    for file, ids in (("train.json", TRAIN_IDS), ("inference.json", INFER_IDS)):
        absent = [name for name in ids if lookup(configs[file], name) is None]
        if absent:
            yield f"{file} lacks {', '.join(absent)}"
        device = str(configs[file].get("device"))
        if "cuda.is_available()" not in device or "'cpu'" not in device:
            yield f"{file}: the device must be cuda where there is one and cpu elsewhere"
    handlers = lookup(configs["train.json"], "train::handlers")
    if not isinstance(handlers, list) or not all(isinstance(handler, dict) for handler in handlers):
        yield "train::handlers must be a list of objects: MONAI Label looks into each"
    train, inference = (configs[name].get("network_def") for name in ("train.json", "inference.json"))
    if train != inference and lookup(train, "_target_") == lookup(inference, "_target_"):
        yield "network_def differs between train.json and inference.json: trained weights would not fit"


def _training_spares_released_weights(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    if any("/models" in text for text in strings(configs["train.json"])):
        yield "train.json names the folder models: training must write to run_dir"


def _expressions(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    for name, config in configs.items():
        if name == "metadata.json":
            continue
        for text in strings(config):
            yield from (f"{name}: {text} {rule}" for rule in broken_rules(text))


def _overlays(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    """A key that nothing reads is a misspelt one: MONAI adds it without a word."""
    known = {"imports", "initialize", "run", "finalize", *configs["train.json"], *configs["inference.json"]}
    for name in configs.keys() - set(SUPPLIES):
        local = {top_of(reference) for reference in references_in(configs[name])}
        for key in configs[name]:
            if top_of(key) not in known | local:
                yield f"{name} sets {key}, which neither train.json nor inference.json has"
            if name == "demo.json" and ("::" in key or key.startswith("+")):
                yield f"demo.json sets {key}: only top-level sizes fit train.json and inference.json alike"


def _multi_gpu(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    text = str(configs["multi_gpu_train.json"])
    for word in ("gloo", "nccl", "init_process_group", "destroy_process_group"):
        if word not in text:
            yield f"multi_gpu_train.json does not mention {word}"


def _documentation(bundle: Path, configs: dict[str, Any]) -> Iterator[str]:
    page = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    absent = [heading for heading in HEADINGS if heading not in page.splitlines()]
    if absent:
        yield f"docs/README.md lacks the headings {', '.join(absent)}"
    if REMINDER in page or any(REMINDER in text for text in strings(configs["metadata.json"])):
        yield f"metadata or docs/README.md still hold texts that start with {REMINDER}"
    unnamed = [name for name in configs if name not in SUPPLIES and not _names(page, name.removesuffix(".json"))]
    if unnamed:
        yield f"docs/README.md does not mention {', '.join(unnamed)}: name each in backticks or in a command"
    table = [line for line in page.splitlines() if line.startswith("|")]
    if any(line.startswith("| overlay") for line in table):
        left_out = [name for name in overlays_of(bundle) if not any(f"`{name}`" in line for line in table)]
        if left_out:
            yield f"docs/README.md's table of overlays has no row for {', '.join(left_out)}"
    if configs["metadata.json"].get("torchscript") is False and "TorchScript" not in page:
        yield "docs/README.md does not say why the network cannot be scripted: write of TorchScript"


def _names(page: str, overlay: str) -> bool:
    """Whether a page names an overlay: in backticks, or by its path in a command."""
    return re.search(rf"`{re.escape(overlay)}(\.json)?`|configs/{re.escape(overlay)}\.json\b", page) is not None


_CHECKS: tuple[Callable[[Path, dict[str, Any]], Iterator[str]], ...] = (
    _name,
    _no_python,
    _metadata,
    _ids,
    _transforms,
    _training_spares_released_weights,
    _expressions,
    _overlays,
    _multi_gpu,
    _documentation,
)
