"""The detector: frames, padding, losses and exports, beside torchvision's own Faster R-CNN."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torchvision.models import resnet18

from lvm_med_monai.networks import BoxDetector, DetectorForLabel, ResNetEncoder, load_backbone
from lvm_med_monai.networks.detection import LOSSES

SMALL = {
    "depth": 18,
    "width": 8,
    "short_side": 64,
    "long_side": 64,
    "anchor_sizes": (8, 16, 32, 64, 128),
    "fpn_channels": 16,
    "head_features": 32,
    "proposals": 50,
    "regions": 16,
}
KNOWN = torch.tensor([[[5.0, 5, 20, 30, 1], [-1] * 5], [[-1] * 5, [-1] * 5]])


@pytest.fixture
def detector():
    torch.manual_seed(0)
    return BoxDetector(3, **SMALL)


def test_found_boxes_are_torchvisions_with_labels_from_zero_and_padding(detector):
    detector.eval()
    image = torch.rand(2, 3, 50, 80)
    with torch.no_grad():
        table, plain = detector(image), detector.detector(list(image))
    assert table.shape == (2, 100, 6)
    for rows, found in zip(table, plain, strict=True):
        count = len(found["boxes"])
        assert 0 < count <= 100
        torch.testing.assert_close(rows[:count, :4], found["boxes"])
        torch.testing.assert_close(rows[:count, 4], found["labels"].float() - 1)
        torch.testing.assert_close(rows[:count, 5], found["scores"])
        assert (rows[count:] == -1).all()
        assert (rows[:count, :4] >= 0).all()
        assert (rows[:count, 2] <= 80).all()
        assert (rows[:count, 3] <= 50).all()


def test_metadata_of_an_image_make_no_difference(detector):
    detector.eval()
    image = torch.rand(1, 3, 40, 60)
    with torch.no_grad():
        torch.testing.assert_close(detector(MetaTensor(image)), detector(image))


def test_training_gives_torchvisions_losses_and_gradients_everywhere(detector):
    image = torch.rand(2, 3, 64, 64)
    targets = [
        {"boxes": KNOWN[0, :1, :4], "labels": torch.tensor([2])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    torch.manual_seed(1)
    losses = detector(image, KNOWN)
    torch.manual_seed(1)
    expected = detector.detector(list(image), targets)
    torch.testing.assert_close(losses, torch.stack([expected[name] for name in LOSSES]))
    losses.sum().backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())


def test_images_without_any_box_train(detector):
    losses = detector(torch.rand(1, 3, 64, 64), torch.full((1, 0, 5), -1.0))
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize(("stages", "frozen"), [(-1, set()), (0, {"conv1", "bn1"}), (1, {"conv1", "bn1", "layer1"})])
def test_frozen_stages_do_not_learn(stages, frozen):
    encoder = BoxDetector(1, **SMALL, frozen_stages=stages).encoder
    assert {name.split(".")[0] for name, p in encoder.named_parameters() if not p.requires_grad} == frozen


@pytest.mark.parametrize("norm_eval", [False, True])
def test_norm_eval_keeps_running_statistics_but_not_the_mode_of_the_rest(norm_eval):
    detector = BoxDetector(3, **SMALL, norm_eval=norm_eval).train()
    before = detector.encoder.bn1.running_mean.clone()
    detector(torch.rand(1, 3, 64, 64), KNOWN[:1])
    assert torch.equal(before, detector.encoder.bn1.running_mean) == norm_eval
    assert detector.training
    assert detector.detector.roi_heads.training


def test_anchors_are_as_published():
    """mmdet's scale 8 on strides 4 to 64 with the ratios 0.5, 1 and 2."""
    generator = BoxDetector(1, depth=18, width=8).detector.rpn.anchor_generator
    for stride, cells in zip((4, 8, 16, 32, 64), generator.cell_anchors, strict=True):
        sides = cells[:, 2:] - cells[:, :2]
        areas = sides.prod(1).sqrt()
        torch.testing.assert_close(areas, torch.full((3,), 8.0 * stride), rtol=0.02, atol=0)
        torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor([0.5, 1, 2]), rtol=0.05, atol=0)


def test_backbones_load_by_torchvisions_and_our_names(tmp_path):
    torch.save(resnet18().state_dict(), tmp_path / "imagenet.pth")
    torch.save(ResNetEncoder(18, 8).state_dict(), tmp_path / "ours.pt")
    full = BoxDetector(1, depth=18)
    load_backbone(full.encoder, tmp_path / "imagenet.pth")
    wanted = torch.load(tmp_path / "imagenet.pth", weights_only=True)["layer4.1.conv2.weight"]
    assert torch.equal(full.encoder.layer4[1].conv2.weight, wanted)
    small = BoxDetector(1, **SMALL)
    load_backbone(small.encoder, tmp_path / "ours.pt")
    with pytest.raises(ValueError, match="do not fit"):
        load_backbone(full.encoder, tmp_path / "ours.pt")


@pytest.mark.filterwarnings("ignore")  # torch.jit warns about its own future
def test_scripted_detector_finds_the_same_boxes(detector):
    detector.eval()
    scripted = torch.jit.script(detector)
    for size in ((1, 3, 50, 80), (2, 3, 90, 70)):
        image = torch.rand(size)
        with torch.no_grad():
            torch.testing.assert_close(scripted(image), detector(image))


def test_label_gets_boxes_without_padding(detector):
    wrapped = DetectorForLabel(torch.nn.Identity())
    wrapped.network = detector.eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        (found,) = wrapped(image, use_inferer=True)
        table = detector(image)[0]
    count = int((table[:, 5] >= 0).sum())
    assert torch.equal(found["pred"], table)
    assert torch.equal(found["box"], table[:count, :4])
    assert torch.equal(found["label"], table[:count, 4].long())
    assert torch.equal(found["score"], table[:count, 5])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"classes": 0}, "at least one class"), ({"classes": 1, "anchor_sizes": (8, 16)}, "5 maps, got 2 anchor sizes")],
)
def test_impossible_detectors_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BoxDetector(**options)
