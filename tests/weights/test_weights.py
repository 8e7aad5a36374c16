"""The command line of weights, on files made here with the published names and, where it matters, full shapes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time

import pytest
import torch
import torchvision
from segment_anything import sam_model_registry

from lvm_med_monai.networks import PromptedSegmenter, ResNetEncoder, ViTEncoder, load_prompted
from lvm_med_monai.weights.__main__ import main
from lvm_med_monai.weights.conversion import FORMS, convert
from lvm_med_monai.weights.known import KNOWN, known


def published(network):
    """A state dict of full shapes that takes no memory and hardly any disk: each tensor is one number, repeated."""
    return {
        name: torch.zeros((), dtype=tensor.dtype, device="cpu").expand(tensor.shape)
        for name, tensor in network.state_dict().items()
    }


@pytest.fixture(scope="module")
def sam():
    with torch.device("meta"):
        return published(sam_model_registry["vit_b"]())


@pytest.fixture(scope="module")
def lvm_med(sam):
    start = "image_encoder."
    state = {name.removeprefix(start): tensor for name, tensor in sam.items() if name.startswith(start)}
    del state["pos_embed"]
    return state


@pytest.fixture(scope="module")
def resnet():
    with torch.device("meta"):
        return published(torchvision.models.resnet50())


def without_classifier(state):
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def test_known_weights_have_the_numbers_of_tensors_that_published_networks_have(sam, lvm_med, resnet):
    assert known("sam_vit_b").tensors == len(sam)
    assert known("lvm_med_vit_b").tensors == len(lvm_med) == 176
    assert known("imagenet_resnet50").tensors == len(resnet)
    assert known("lvm_med_resnet50").tensors == len(without_classifier(resnet)) == 318
    assert known("rad_dino").tensors == 5 + 12 * 18 + 2
    assert known("dinov2_vit_b").tensors == 5 + 12 * 14 + 2
    assert all(entry.form in FORMS and entry.licence and entry.page.startswith("https://") for entry in KNOWN)


def test_forms_of_the_command_line_are_those_of_the_conversion():
    from lvm_med_monai.weights.__main__ import _FORMS

    assert tuple(FORMS) == _FORMS


@pytest.mark.parametrize(
    ("form", "given", "tensors", "left_out"),
    [
        ("resnet50", "resnet", 318, ["fc.bias", "fc.weight"]),
        ("vit_b", "lvm_med", 176, []),
        ("vit_b", "sam", 176, ["pos_embed"]),
        ("sam", "sam", 314, []),
    ],
)
def test_full_shapes_convert(form, given, tensors, left_out, request):
    found = convert({"model": request.getfixturevalue(given)}, form, "file.pth")
    assert len(found.state) == tensors
    assert found.left_out == left_out


def test_list_shows_licences(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(entry.name in shown and entry.licence in shown for entry in KNOWN)


def test_help_needs_no_torch():
    start = time.monotonic()
    code = "from lvm_med_monai.weights.__main__ import _parser; _parser().format_help()"
    code += "; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert time.monotonic() - start < 10


def test_convert_writes_weights_and_where_they_come_from(resnet, tmp_path, capsys):
    torch.save({f"module.{name}": tensor for name, tensor in resnet.items()}, tmp_path / "resnet50.pth")
    out = tmp_path / "out" / "model.pt"
    assert main(["convert", str(tmp_path / "resnet50.pth"), "--as", "resnet50", "--to", str(out)]) == 0
    assert "318 tensors for ResNetEncoder" in capsys.readouterr().out
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["left_out"] == ["fc.bias", "fc.weight"]
    assert record["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert record["source_sha256"] == hashlib.sha256((tmp_path / "resnet50.pth").read_bytes()).hexdigest()
    with torch.device("meta"):
        wanted = ResNetEncoder().state_dict()
    state = torch.load(out, weights_only=True)
    assert {name: tensor.shape for name, tensor in state.items()} == {name: t.shape for name, t in wanted.items()}


def damaged(state, kind):
    if kind == "missing":
        return {name: tensor for name, tensor in state.items() if name != "blocks.3.attn.rel_pos_h"}
    if kind == "unknown":
        return {**state, "blocks.12.norm1.weight": torch.zeros(768)}
    return {**state, "patch_embed.proj.weight": torch.zeros(768, 1, 16, 16)}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "1 tensors missing (such as blocks.3.attn.rel_pos_h)"),
        ("unknown", "1 tensors unknown (such as blocks.12.norm1.weight)"),
        ("shape", "patch_embed.proj.weight is (768, 1, 16, 16), not (768, 3, 16, 16)"),
    ],
)
def test_a_mismatch_is_an_error_and_leaves_no_file(lvm_med, kind, message, tmp_path, capsys):
    torch.save(damaged(lvm_med, kind), tmp_path / "vit.pth")
    out = tmp_path / "out.pt"
    assert main(["convert", str(tmp_path / "vit.pth"), "--as", "vit_b", "--to", str(out)]) == 1
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vit.pth"]


def test_another_form_is_an_error(resnet, tmp_path, capsys):
    torch.save(resnet, tmp_path / "resnet50.pth")
    for form in ("vit_b", "rad_dino", "sam"):
        assert main(["convert", str(tmp_path / "resnet50.pth"), "--as", form, "--to", str(tmp_path / "o.pt")]) == 1
        assert "does not fit" in capsys.readouterr().err


def test_files_that_hold_no_weights_are_errors(tmp_path, capsys):
    (tmp_path / "text.pth").write_text("no weights")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "pickled.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, message in (("text", "cannot be read"), ("pickled", "cannot be read"), ("list", "holds no state dict")):
        arguments = ["convert", str(tmp_path / f"{name}.pth"), "--as", "vit_b", "--to", str(tmp_path / "o.pt")]
        assert main(arguments) == 1
        assert message in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "absent.pth"), "--as", "sam", "--to", "o.pt"]) == 2
    assert "no weights at" in capsys.readouterr().err


def test_the_source_is_not_overwritten(resnet, tmp_path, capsys):
    path = tmp_path / "resnet50.pth"
    torch.save(resnet, path)
    assert main(["convert", str(path), "--as", "resnet50", "--to", str(path)]) == 1
    assert "is the file to convert" in capsys.readouterr().err


def test_fetch_takes_a_file_and_keeps_its_licence(resnet, tmp_path, capsys):
    torch.save(without_classifier(resnet), tmp_path / "lvmmed_resnet.torch")
    arguments = [
        "fetch",
        "lvm_med_resnet50",
        "--to",
        str(tmp_path / "w"),
        "--file",
        str(tmp_path / "lvmmed_resnet.torch"),
    ]
    assert main(arguments) == 0
    assert "non-commercial" in capsys.readouterr().out
    assert "non-commercial" in json.loads((tmp_path / "w" / "lvm_med_resnet50.json").read_text())["licence"]
    assert main([*arguments, "--sha256", "0" * 64]) == 2
    assert "has the SHA-256" in capsys.readouterr().err


def test_fetch_notices_another_file_of_the_same_form(resnet, tmp_path, capsys):
    torch.save(resnet, tmp_path / "resnet50.pth")
    arguments = ["fetch", "lvm_med_resnet50", "--to", str(tmp_path / "w"), "--file", str(tmp_path / "resnet50.pth")]
    assert main(arguments) == 1
    assert re.search(r"holds 267 tensors.*published file 265", capsys.readouterr().err)


def test_weights_without_batch_norm_counters_are_the_same_file(resnet, tmp_path):
    state = {name: tensor for name, tensor in without_classifier(resnet).items() if "num_batches" not in name}
    torch.save(state, tmp_path / "r.torch")
    assert main(["fetch", "lvm_med_resnet50", "--to", str(tmp_path / "w"), "--file", str(tmp_path / "r.torch")]) == 0


def test_weights_without_an_address_say_where_to_get_them(capsys):
    assert main(["fetch", "lvm_med_vit_b"]) == 2
    assert "https://github.com/duyhominhnguyen/LVM-Med and give it by --file" in capsys.readouterr().err


def test_known_hashes_are_checked_unless_another_is_given(resnet, tmp_path, capsys):
    path = tmp_path / "resnet50.pth"
    torch.save(resnet, path)
    arguments = ["fetch", "imagenet_resnet50", "--to", str(tmp_path / "w"), "--file", str(path)]
    assert main(arguments) == 2
    assert f"not {known('imagenet_resnet50').sha256}: get the published file" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
    assert main([*arguments, "--sha256", hashlib.sha256(path.read_bytes()).hexdigest().upper()]) == 0


def test_known_hashes_are_those_that_addresses_tell():
    assert "-" + known("imagenet_resnet50").sha256[:8] + "." in known("imagenet_resnet50").url
    assert all(re.fullmatch("[0-9a-f]{64}", entry.sha256) for entry in KNOWN if entry.sha256 is not None)
    assert {entry.name for entry in KNOWN if entry.sha256 is not None} == {
        "imagenet_resnet50",
        "sam_vit_b",
        "dinov2_vit_b",
    }


@pytest.mark.slow
def test_lvm_med_in_sam_at_full_size_becomes_a_network_that_loads(sam, lvm_med, tmp_path, capsys):
    torch.save(sam, tmp_path / "sam.pth")
    torch.save(lvm_med, tmp_path / "lvmmed_vit.pth")
    out = tmp_path / "lvm_med_sam.pt"
    arguments = ["convert", str(tmp_path / "sam.pth"), "--as", "sam", "--encoder", str(tmp_path / "lvmmed_vit.pth")]
    assert main([*arguments, "--to", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "313 tensors for PromptedSegmenter" in shown
    assert "absolute_positions=False" in shown
    with torch.device("meta"):
        network = PromptedSegmenter(absolute_positions=False).to_empty(device="cpu")
    load_prompted(network, out)
    assert all(not tensor.any() for tensor in network.state_dict().values())


def test_an_encoder_goes_with_sam_alone_and_needs_a_neck(sam, tmp_path, capsys):
    torch.save(sam, tmp_path / "sam.pth")
    with torch.device("meta"):
        torch.save(published(ViTEncoder()), tmp_path / "ours.pt")
    both = [str(tmp_path / "sam.pth"), "--encoder", str(tmp_path / "ours.pt"), "--to", str(tmp_path / "o.pt")]
    assert main(["convert", *both, "--as", "vit_b"]) == 2
    assert main(["convert", *both, "--as", "sam"]) == 1
    assert "has no neck" in capsys.readouterr().err
