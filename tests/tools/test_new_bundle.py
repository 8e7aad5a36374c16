"""A started recipe renders at once, and the contract finds what is still to be written."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from lvm_med_monai.bundles import render, violations
from lvm_med_monai.bundles.contract import REMINDER, SUPPLIES
from lvm_med_monai.bundles.package import WAYS_TO_RUN

ROOT = Path(__file__).resolve().parents[2]
LIKE = "abdominal_organ_ct_segmentation"
MODELS = sorted(path.stem for path in (ROOT / "recipes").glob("*.json") if path.stem != "slice_deepgrow_annotation")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("new_bundle", ROOT / "tools" / "new_bundle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "LICENSE", tmp_path)
    return tmp_path


def write(files, folder):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("like", MODELS)
def test_only_reminders_are_missing(tool, root, like):
    recipe = tool.start(f"kidney_stone_ct_{like.rpartition('_')[2]}", like, root)
    bundle = root / "bundles" / recipe.stem
    write(render(recipe, root), bundle)
    assert violations(bundle) == [f"metadata or docs/README.md still hold texts that start with {REMINDER}"]
    text = recipe.read_text().replace(REMINDER, "")
    recipe.write_text(text)
    write(render(recipe, root), bundle)
    assert violations(bundle) == []


@pytest.mark.parametrize("like", MODELS)
def test_nothing_published_is_taken_over(tool, root, like):
    recipe = tool.start(f"kidney_stone_ct_{like.rpartition('_')[2]}", like, root)
    started, model = json.loads(recipe.read_text()), json.loads((root / "recipes" / f"{like}.json").read_text())
    overlays = {Path(name).name for name in render(recipe, root) if name.endswith(".json")} - {*SUPPLIES, *WAYS_TO_RUN}
    assert overlays <= {"demo.json", "vit_b.json", "linear_probe.json", "shards.json"}
    assert "vit_b.json" not in started  # sizes for the other's data
    for part in ("data", "published", "references", "data_licence"):
        old, new = ((recipe.get("README.md") or {}).get(part) for recipe in (model, started))
        assert old is None or new == f"{REMINDER} {part}"


def test_a_fragment_with_a_protocol_is_no_model(tool, root):
    with pytest.raises(ValueError, match="its fragment deepgrow holds a protocol of certain data"):
        tool.start("nodule_ct_deepgrow_annotation", "slice_deepgrow_annotation", root)


CASES = {
    "taken": (LIKE, LIKE, FileExistsError, "choose another name"),
    "unknown model": ("a_segmentation", "b_segmentation", FileNotFoundError, "b_segmentation has no recipe"),
    "another task": ("a_detection", LIKE, ValueError, "must end with _segmentation"),
    "no task": ("grading", LIKE, ValueError, "must end with _segmentation"),
}


@pytest.mark.parametrize(("name", "like", "error", "message"), CASES.values(), ids=CASES.keys())
def test_bad_names_are_refused(tool, root, name, like, error, message):
    before = sorted(root.rglob("*"))
    with pytest.raises(error, match=message):
        tool.start(name, like, root)
    assert sorted(root.rglob("*")) == before
