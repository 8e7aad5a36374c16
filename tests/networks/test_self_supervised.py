from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.ops import MLP

from lvm_med_monai.networks import DinoViTEncoder, MaskedNetwork, Prototypes, ResNetEncoder, SelfSupervisedNetwork


def network(**settings):
    torch.manual_seed(0)
    encoder = ResNetEncoder(18, width=8)
    return SelfSupervisedNetwork(encoder, MLP(encoder.num_features, [16, 8]), **settings)


def masked():
    torch.manual_seed(0)
    encoder = DinoViTEncoder(56, dim=16, depth=4, heads=2, layer_scale=1.0)
    return MaskedNetwork(encoder, MLP(16, [12, 8]), Prototypes(8, 6))


def test_views_of_all_sizes_come_out_one_by_one_and_small_ones_share_the_weights():
    model = network(prototypes=Prototypes(8, 5)).eval()
    large, small = torch.randn(6, 3, 64, 64), torch.randn(9, 3, 32, 32)
    output = model([large, small], [2, 3])
    assert len(output.views) == 5
    assert output.n_global == 2
    for view, images in zip(output.views, [*large.chunk(2), *small.chunk(3)], strict=True):
        torch.testing.assert_close(view.embedding, model.embed(images))
        torch.testing.assert_close(view.scores, model.student.prototypes(view.embedding))
    assert output.targets == []


def test_cells_are_projected_where_they_are():
    model = network(map_projector=nn.Linear(64, 4)).eval()
    images = torch.randn(4, 3, 64, 96)
    cells = model([images], [2]).views[1].cells
    last = model.student.encoder.features(images[2:]).maps[-1]
    expected = (
        torch.einsum("bcrs,dc->brsd", last, model.student.map_projector.weight) + model.student.map_projector.bias
    )
    torch.testing.assert_close(cells, expected)


def test_prototypes_give_cosines_whatever_the_lengths():
    prototypes = Prototypes(4, 3)
    z = torch.randn(5, 4)
    expected = torch.nn.functional.cosine_similarity(z[:, None], prototypes.weight[None], dim=-1)
    torch.testing.assert_close(prototypes(z), expected)
    torch.testing.assert_close(prototypes(7 * z), expected)


def test_the_teacher_sees_what_it_should_and_has_no_gradients():
    model = network(teacher=True).eval()
    images = torch.randn(4, 3, 32, 32)
    both = model([images], [2])
    assert len(both.views) == len(both.targets) == 2
    torch.testing.assert_close(both.targets[1].embedding, both.views[1].embedding)
    asymmetric = network(teacher=True, asymmetric=True).eval()([images], [2])
    assert len(asymmetric.views) == len(asymmetric.targets) == 1
    torch.testing.assert_close(asymmetric.z_s, both.views[0].embedding)
    torch.testing.assert_close(asymmetric.targets[0].embedding, both.views[1].embedding)
    assert not any(p.requires_grad for p in model.teacher.parameters())
    assert not both.targets[0].embedding.requires_grad


@pytest.mark.parametrize("keep", ["student", "teacher"])
def test_the_kept_branch_is_evaluated_and_saved(keep):
    model = network(teacher=True, keep=keep).eval()
    with torch.no_grad():
        for parameter in getattr(model, keep).projector.parameters():
            parameter.zero_()
    assert model.backbone is getattr(model, keep).encoder
    assert model.embed(torch.randn(1, 3, 32, 32)).abs().max() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": "other"}, "keep is 'student', or 'teacher'"),
        ({"keep": "teacher"}, "with teacher=False"),
        ({"asymmetric": True}, "needs a teacher"),
    ],
    ids=["unknown", "no teacher to keep", "no teacher for the other view"],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        network(**settings)


def test_stacks_that_do_not_divide_into_views_are_refused():
    with pytest.raises(ValueError, match=r"stacks of \[5\] images do not divide into \[2\] views"):
        network()([torch.randn(5, 3, 32, 32)], [2])


def test_tokens_without_masks_are_those_of_the_encoder():
    model = masked().eval()
    images = torch.randn(2, 3, 56, 42)
    torch.testing.assert_close(model.student.tokens(images), model.student.encoder.tokens(images))
    nothing = torch.zeros(2, 4, 3, dtype=torch.bool)
    torch.testing.assert_close(model.student.tokens(images, nothing), model.student.encoder.tokens(images))


def test_hidden_patches_do_not_reach_the_student_but_do_reach_the_teacher():
    model = masked().eval()
    images = torch.randn(2, 3, 56, 56)
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[1, 2, 3] = True
    changed = images.clone()
    changed[1, :, 28:42, 42:56] += 1
    torch.testing.assert_close(model.student.tokens(changed, masks), model.student.tokens(images, masks))
    before, after = (model([x], [2], masks) for x in (images, changed))
    torch.testing.assert_close(before.patches, after.patches)
    assert not torch.allclose(before.patch_targets, after.patch_targets)


def test_patches_are_scored_in_the_order_of_the_mask():
    model = masked().eval()
    images = torch.randn(4, 3, 56, 56)
    masks = torch.rand(4, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.3
    output = model([images, torch.randn(6, 3, 28, 28)], [2, 3], masks)
    assert len(output.views) == 5
    tokens = model.teacher.encoder.tokens(images)[:, 1:].unflatten(1, (4, 4))
    expected = [tokens[place.unbind()] for place in masks.nonzero()]
    torch.testing.assert_close(output.patch_targets, model.teacher.score(torch.stack(expected)).scores)
    own = model.student.tokens(images, masks)
    torch.testing.assert_close(torch.cat(output.class_tokens), own[:, 0])
    torch.testing.assert_close(output.z_t, model.student.score(own[2:, 0]).embedding)


def test_the_teacher_stays_in_evaluation_mode_and_is_what_is_kept():
    model = masked().train()
    assert model.student.training
    assert not model.teacher.training
    assert model.backbone is model.teacher.encoder
    images = torch.randn(1, 3, 56, 56)
    torch.testing.assert_close(model.embed(images), model.teacher.encoder(images))
