"""What every bundle must be, whatever it does; no bundle is an exception."""

from __future__ import annotations

import json
import shutil

import pytest

from lvm_med_monai.bundles import violations
from lvm_med_monai.bundles.expressions import broken_rules, steps_in
from tests.bundles.conftest import BUNDLES, ROOT, SEGMENTATION

every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)


@every_bundle
def test_the_contract_is_kept(bundle):
    assert violations(bundle) == []


@every_bundle
def test_the_licence_is_the_repositorys(bundle):
    assert (bundle / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def edit(name, change):
    """A breach that changes one configuration."""

    def spoil(bundle):
        path = bundle / "configs" / name
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))

    return spoil


def stock_spacing(config):
    """Resample without hiding MONAI Label's ``image_path`` from the transform."""
    config["preprocessing"]["transforms"][2] = "@to_grid"
    config["to_grid"] = {"_target_": "Spacingd", "keys": "image", "pixdim": [1, 1, -1]}


def drop_first(name, part, target):
    """A breach that takes a transform out."""

    def change(config):
        items = config[part]["transforms"]
        config[part]["transforms"] = [
            item for item in items if not (isinstance(item, dict) and item["_target_"] == target)
        ]

    return edit(name, change)


TENSOR = {
    "type": "image",
    "format": "rgb",
    "num_channels": 3,
    "spatial_shape": [1],
    "dtype": "float32",
    "value_range": [],
}
BREACHES = {
    "file missing": (lambda bundle: (bundle / "LICENSE").unlink(), "LICENSE missing"),
    "python inside": (lambda bundle: (bundle / "more.py").write_text(""), "holds Python: more.py"),
    "id missing": (edit("train.json", lambda c: c.pop("seed")), "train.json lacks seed"),
    "version without changelog": (
        edit("metadata.json", lambda c: c.update(version="9.9.9")),
        "no entry for version 9.9.9",
    ),
    "version range": (edit("metadata.json", lambda c: c.update(monai_version=">=1.6")), "not a plain version"),
    "no metadata": (
        lambda bundle: (bundle / "configs" / "metadata.json").write_text("{}"),
        "metadata.json lacks schema, version, changelog, monai_version",
    ),
    "no object": (
        lambda bundle: (bundle / "configs" / "train.json").write_text("[]"),
        "train.json must hold an object",
    ),
    "unexplained torchscript": (
        edit("metadata.json", lambda c: c.update(torchscript=False)),
        "does not say why the network cannot be scripted",
    ),
    "other input name": (
        edit("metadata.json", lambda c: c["network_data_format"].update(inputs={"x": TENSOR})),
        "must be called image",
    ),
    "cuda only": (edit("train.json", lambda c: c.update(device="$torch.device('cuda')")), "the device must be"),
    "handlers by reference": (
        edit("train.json", lambda c: c["train"].update(handlers="@x")),
        "must be a list of objects",
    ),
    "another network": (
        edit("inference.json", lambda c: c["network_def"].update(out_channels=77)),
        "network_def differs",
    ),
    "writes released weights": (
        edit("train.json", lambda c: c.update(run_dir="$@bundle_root + '/models'")),
        "names the folder models",
    ),
    "two calls": (edit("train.json", lambda c: c.update(seed="$int(float(1))")), "takes more than one step"),
    "long expression": (edit("train.json", lambda c: c.update(seed="$" + "1+" * 60 + "1")), "longer than 110"),
    "hash": (edit("inference.json", lambda c: c.update(seed="@a#b")), "holds #"),
    "working folder": (
        edit("inference.json", lambda c: c.update(seed="%x.json::y")),
        "looked for from the working folder",
    ),
    "outside": (edit("inference.json", lambda c: c.update(seed="../data")), "leaves the bundle"),
    "misspelt override": (edit("demo.json", lambda c: c.update(epoch=1)), "demo.json sets epoch, which neither"),
    "start of a reference": (
        edit("demo.json", lambda c: c.update(batch="$@batch_size + 1")),
        "demo.json sets batch, which neither",
    ),
    "nested override in demo": (edit("demo.json", lambda c: c.update({"train::x": 1})), "only top-level sizes"),
    "data in preprocessing": (
        edit("inference.json", lambda c: c["preprocessing"].update(x="@dataset_dir")),
        "preprocessing reads dataset_dir",
    ),
    "no inversion": (drop_first("inference.json", "postprocessing", "Invertd"), "bring probabilities back by Invertd"),
    "float mask": (drop_first("inference.json", "postprocessing", "CastToTyped"), "cast the mask to uint8"),
    "no channel": (drop_first("inference.json", "preprocessing", "EnsureChannelFirstd"), "needs EnsureChannelFirstd"),
    "stock Spacingd": (edit("inference.json", stock_spacing), "MONAI Label's image_path"),
    "nccl only": (
        edit("multi_gpu_train.json", lambda c: c.update(initialize=["$dist.init_process_group(backend='nccl')"])),
        "does not mention gloo",
    ),
    "heading missing": (
        lambda bundle: (bundle / "docs" / "README.md").write_text("# Model Overview\n"),
        "lacks the headings ## Data",
    ),
    "overlay without a word": (
        lambda bundle: (bundle / "configs" / "sequel.json").write_text("{}"),
        "does not mention sequel.json",
    ),
    "overlay in passing": (
        lambda bundle: (bundle / "configs" / "masks.json").write_text("{}"),  # a word of the page, not the overlay
        "does not mention masks.json",
    ),
    "overlay without a row": (
        lambda bundle: (
            (bundle / "configs" / "sequel.json").write_text("{}"),
            (bundle / "docs" / "README.md").open("a").write("\nThere is `sequel`.\n"),
        ),
        "table of overlays has no row for sequel",
    ),
}


@pytest.mark.parametrize(("spoil", "sentence"), BREACHES.values(), ids=BREACHES.keys())
def test_each_breach_is_named(spoil, sentence, tmp_path):
    bundle = tmp_path / SEGMENTATION.name
    shutil.copytree(SEGMENTATION, bundle)
    spoil(bundle)
    assert [found for found in violations(bundle) if sentence in found], violations(bundle)


@pytest.mark.parametrize(
    "name", ["ct_segmentation_detection", "grading", "CT_segmentation", "a_segmentation_classification"]
)
def test_names_with_none_or_two_tasks_are_breaches(name, tmp_path):
    shutil.copytree(SEGMENTATION, tmp_path / name)
    assert any("the name must be" in found for found in violations(tmp_path / name))


def test_a_repeated_key_is_refused(tmp_path):
    bundle = tmp_path / SEGMENTATION.name
    shutil.copytree(SEGMENTATION, bundle)
    (bundle / "configs" / "demo.json").write_text('{"depth": 18, "depth": 34}')
    with pytest.raises(ValueError, match=r"demo.json repeats the keys \['depth'\]"):
        violations(bundle)


@pytest.mark.parametrize(
    ("expression", "steps"),
    [
        ("@a::b", 0),
        ("$@a + '/x' if @b else None", 0),
        ("$len(@a)", 1),
        ("$torch.device('cuda' if torch.cuda.is_available() else 'cpu')", 1),
        ("$[side // 2 for side in @sizes]", 1),
        ("$lambda batch: [item['name'] for item in batch]", 1),
        ("$[int(side) for side in @sizes]", 2),
        ("$[side for side in @sizes if side]", 2),
        ("$[a + b for a in @x for b in @y]", 2),
        ("$lambda x: lambda y: x", 2),
        ("$(a := 3)", 2),
    ],
)
def test_steps_of_an_expression_are_counted(expression, steps):
    assert steps_in(expression if expression.startswith("$") else f"${expression}") == steps
    assert any("more than one step" in rule for rule in broken_rules(expression)) == (steps > 1)
