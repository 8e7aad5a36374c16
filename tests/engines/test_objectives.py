"""Objectives against formulas written out here, their gradients, and what they keep."""

from __future__ import annotations

import math

import pytest
import torch
from lightly.loss import (
    BarlowTwinsLoss,
    DINOLoss,
    IBOTPatchLoss,
    KoLeoLoss,
    NTXentLoss,
    SwaVLoss,
    VICRegLLoss,
)
from torch.nn.functional import normalize
from torchvision.ops import MLP

from lvm_med_monai import losses
from lvm_med_monai.engines import (
    ClusterObjective,
    CropTargets,
    LocalFeatureObjective,
    MaskedDistillationObjective,
    MomentumContrastObjective,
    PairObjective,
    PrepareCrops,
    PrepareMaskedCrops,
    Progress,
    SelfDistillationObjective,
    SwappedAssignmentObjective,
)
from lvm_med_monai.networks import CropsOutput, DinoViTEncoder, MaskedNetwork, MaskedOutput, Prototypes, ViewOutput
from lvm_med_monai.transforms import BlockMasks, CropGeometry, MultiCrop, ViewPolicy

NOTHING = CropTargets([], [])


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def output_of(views, targets=(), scores=(), target_scores=(), n_global=2):
    scores, target_scores = scores or [None] * len(views), target_scores or [None] * len(targets)
    return CropsOutput(
        [ViewOutput(z, s, None) for z, s in zip(views, scores, strict=True)],
        [ViewOutput(z, s, None) for z, s in zip(targets, target_scores, strict=True)],
        n_global,
    )


def cross_entropy(targets, scores):
    return -(targets * scores.log_softmax(-1)).sum(-1).mean()


def test_simclr_is_the_collections_own_nt_xent():
    views = [draw(6, 8, seed=0), draw(6, 8, seed=1)]
    loss = PairObjective(NTXentLoss(temperature=0.1, gather_distributed=True))(output_of(views), NOTHING)
    torch.testing.assert_close(loss, losses.NTXentLoss(0.1)(*views))
    (gradient,) = torch.autograd.grad(loss, views[0])
    assert gradient.abs().sum() > 0


def test_barlow_twins_is_its_formula():
    a, b = draw(10, 4, seed=0), draw(10, 4, seed=1)
    loss = PairObjective(BarlowTwinsLoss(lambda_param=0.0051))(output_of([a, b]), NOTHING)
    unit = [(z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() for z in (a, b)]
    c = unit[0].T @ unit[1] / 10
    square = c**2
    expected = ((c.diagonal() - 1) ** 2).sum() + 0.0051 * (square.sum() - square.diagonal().sum())
    torch.testing.assert_close(loss, expected)


def test_moco_finds_the_key_among_its_queue_which_then_holds_the_keys():
    objective = MomentumContrastObjective(NTXentLoss(temperature=0.2, memory_bank_size=[8, 5])).double()
    bank = objective.loss.memory_bank.bank.clone()
    query, key = draw(3, 5, seed=0), draw(3, 5, seed=1).detach()
    loss = objective(output_of([query], [key], n_global=1), NOTHING)
    q, k = normalize(query, dim=1), normalize(key, dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ bank.T], 1) / 0.2
    torch.testing.assert_close(loss, -logits.log_softmax(1)[:, 0].mean())
    torch.testing.assert_close(objective.loss.memory_bank.bank[:3], k)
    other = MomentumContrastObjective(NTXentLoss(temperature=0.2, memory_bank_size=[8, 5])).double()
    other.load_state_dict(objective.state_dict())
    assert torch.equal(other.loss.memory_bank.bank, objective.loss.memory_bank.bank)
    assert int(other.loss.memory_bank.bank_ptr) == 3
    smaller = MomentumContrastObjective(NTXentLoss(temperature=0.2, memory_bank_size=[4, 5]))
    with pytest.raises(ValueError, match="its queue is"):
        smaller.load_state_dict(objective.state_dict())


def test_dino_is_the_cross_entropy_of_different_views_and_moves_its_centre():
    objective = SelfDistillationObjective(DINOLoss(output_dim=4, student_temp=0.1, center_momentum=0.9)).double()
    objective.loss.center += 0.1 * torch.arange(4)
    centre = objective.loss.center[0, 0].clone()
    student = [draw(3, 4, seed=seed) for seed in range(4)]
    teacher = [draw(3, 4, seed=seed).detach() for seed in (7, 8)]
    loss = objective(output_of(student, teacher, student, teacher), NOTHING)
    pairs = [(t, s) for t in range(2) for s in range(4) if t != s]
    terms = [cross_entropy(((teacher[t] - centre) / 0.04).softmax(-1), student[s] / 0.1) for t, s in pairs]
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    torch.testing.assert_close(objective.loss.center[0, 0], 0.9 * centre + 0.1 * torch.cat(teacher).mean(0))
    assert "loss.center" in objective.state_dict()


def test_dinos_temperature_warms_up_over_its_epochs():
    objective = SelfDistillationObjective(DINOLoss(output_dim=4), (0.04, 0.07), warm_up_epochs=2)
    temperatures = []
    for step in (0, 10, 19, 40):
        objective.progress = Progress(step, step // 10, 10, 5)
        temperatures.append(objective.temperature)
    assert temperatures == pytest.approx([0.04, 0.04 + 0.03 * 10 / 19, 0.07, 0.07])


def sinkhorn(scores, epsilon=0.05, iterations=3):
    q = (scores / epsilon).exp()
    q /= q.sum()
    for _ in range(iterations):
        q = q / q.sum(0) / q.shape[1]
        q = q / q.sum(1, keepdim=True) / q.shape[0]
    return q * q.shape[0]


def swapped(prototypes, views, queue, kept):
    scores = [normalize(z, dim=1) @ normalize(prototypes.weight, dim=1).T for z in views]
    total = 0.0
    for i in range(2):
        every = scores[i] if queue is None else torch.cat([scores[i], queue[i] @ normalize(prototypes.weight, dim=1).T])
        codes = sinkhorn(every.detach())[:kept]
        total = total + sum(cross_entropy(codes, scores[j] / 0.1) for j in range(len(views)) if j != i) / (
            len(views) - 1
        )
    return total / 2


def test_swav_predicts_balanced_codes_and_its_queue_joins_once_full():
    prototypes = Prototypes(5, 3).double()
    objective = SwappedAssignmentObjective(SwaVLoss(), prototypes, queue_size=6, features=5, queue_from=1).double()

    def step(seed):
        views = [draw(4, 5, seed=seed + number) for number in range(3)]
        scores = [prototypes(z) for z in views]
        return views, objective(output_of(views, scores=scores), NOTHING)

    views, loss = step(0)
    torch.testing.assert_close(loss, swapped(prototypes, views, None, 4))
    assert int(objective.stored) == 0  # epoch 0 does not use the queue
    objective.progress = Progress(10, 1, 10, 5)
    for seed in (10, 20):
        views, loss = step(seed)
        torch.testing.assert_close(loss, swapped(prototypes, views, None, 4))
    queue = objective.queue.clone()
    torch.testing.assert_close(queue[1, :4], normalize(views[1], dim=1).detach())
    views, loss = step(30)
    torch.testing.assert_close(loss, swapped(prototypes, views, queue, 4))
    assert {"queue", "stored"} == set(objective.state_dict())
    (gradient,) = torch.autograd.grad(loss, prototypes.weight)
    assert gradient.abs().sum() > 0


def test_deepcluster_predicts_the_cluster_of_the_epochs_start_and_remembers():
    names = [f"slice {number}" for number in range(12)]
    objective = ClusterObjective(names, features=4, prototypes=(3, 2), temperature=0.1, iterations=5)
    memory = normalize(torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    objective.remember(names, [3 * memory[0], memory[1]])
    torch.testing.assert_close(objective.memory, memory)
    objective.cluster(epoch=0)
    views = [draw(3, 4, seed=seed).detach().float().requires_grad_() for seed in range(3)]
    chosen = [names[7], names[2], names[5]]
    loss = objective(output_of(views), CropTargets([], chosen))
    terms = []
    for head, count in enumerate((3, 2)):
        generator = torch.Generator().manual_seed(head)
        centroids, clusters = losses.spherical_k_means(memory[head], count, 5, generator)
        for z in views:
            scores = normalize(z, dim=1) @ centroids.T / 0.1
            terms.append(-scores.log_softmax(1)[range(3), clusters[[7, 2, 5]]].mean())
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    torch.testing.assert_close(objective.memory[1, 2], normalize(views[1][1], dim=0).detach())
    torch.testing.assert_close(objective.memory[1, 3], memory[1, 3])
    assert torch.autograd.grad(loss, views[2])[0].abs().sum() > 0


@pytest.mark.parametrize(
    ("names", "message"),
    [(["a", "b"], "2 slices make no 3 clusters: lower prototypes"), (["a"] * 4, "3 training images share a name")],
    ids=["too few", "one name"],
)
def test_deepcluster_refuses_data_that_it_cannot_cluster(names, message):
    with pytest.raises(ValueError, match=message):
        ClusterObjective(names, features=2, prototypes=(3,))


def test_vicregl_gets_the_cells_and_their_places_mirrored_where_the_view_is():
    seen = {}

    class Spy(torch.nn.Module):
        def forward(self, features, grids, local_features, local_grids):
            seen.update(features=features, grids=grids, local=local_features, local_grids=local_grids)
            return features[0][0].sum()

    views = [ViewOutput(draw(2, 4, seed=s), None, draw(2, n, n, 3, seed=s)) for s, n in ((0, 3), (1, 3), (2, 2))]
    crops = CropGeometry(torch.rand(4, 4), torch.tensor([False, True, True, False]))
    local = CropGeometry(torch.rand(2, 4), torch.tensor([False, False]))
    LocalFeatureObjective(Spy())(CropsOutput(views, [], 2), CropTargets([crops, local], []))
    torch.testing.assert_close(torch.cat(seen["grids"]), crops.positions(3, 3))
    torch.testing.assert_close(seen["local_grids"][0], local.positions(2, 2))
    assert [tuple(cells.shape) for _, cells in seen["features"] + seen["local"]] == [(2, 3, 3, 3)] * 2 + [(2, 2, 2, 3)]


def test_vicregls_global_part_is_its_formula():
    """With alpha 1 only embeddings count: invariance of pairs, variance and covariance of all views."""
    views = [ViewOutput(draw(6, 4, seed=s), None, draw(6, 2, 2, 3, seed=s)) for s in (0, 1, 2)]
    geometry = [CropGeometry(torch.rand(n, 4).double(), torch.zeros(n, dtype=torch.bool)) for n in (12, 6)]
    objective = LocalFeatureObjective(VICRegLLoss(alpha=1.0, num_matches=(4, 4)))
    loss = objective(CropsOutput(views, [], 2), CropTargets(geometry, []))
    z = [view.embedding for view in views]
    invariance = torch.stack([((z[a] - z[b]) ** 2).mean() for a in range(2) for b in range(3) if a != b]).mean()
    variance = torch.stack([(1 - (x.var(0) + 1e-4).sqrt()).clamp_min(0).mean() for x in z]).mean()
    covariances = [torch.cov(x.T) for x in z]
    covariance = torch.stack([((c**2).sum() - (c.diagonal() ** 2).sum()) / 4 for c in covariances]).mean()
    torch.testing.assert_close(loss, 25 * invariance + 25 * variance + covariance)


def test_dinov2_adds_hidden_patches_and_spread():
    masks = torch.zeros(4, 2, 2, dtype=torch.bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[3, 1, 0] = True
    student, teacher = [draw(2, 4, seed=s) for s in (0, 1)], [draw(2, 4, seed=s).detach() for s in (2, 3)]
    patches, aims = draw(3, 4, seed=4), draw(3, 4, seed=5).detach()
    tokens = [draw(2, 6, seed=s) for s in (6, 7)]
    output = MaskedOutput(
        [ViewOutput(z, z, None) for z in student], [ViewOutput(z, z, None) for z in teacher], 2, tokens, patches, aims
    )
    parts = (DINOLoss(output_dim=4), IBOTPatchLoss(output_dim=4), KoLeoLoss())
    objective = MaskedDistillationObjective(*parts, weights=(1.0, 2.0, 0.1), teacher_temperature=(0.05, 0.05)).double()
    loss = objective(output, CropTargets([], [], masks))
    dino = [cross_entropy((teacher[1 - s] / 0.05).softmax(-1), student[s] / 0.1) for s in (0, 1)]
    entropies = -((aims / 0.05).softmax(-1) * (patches / 0.1).log_softmax(-1)).sum(-1)
    ibot = (entropies[:2].mean() + entropies[2]) / 4  # two of four images have no hidden patch
    koleo = sum(-math.log(float((normalize(t, dim=1)[0] - normalize(t, dim=1)[1]).norm())) for t in tokens)
    assert float(loss) == pytest.approx(float(torch.stack(dino).mean() + 2 * ibot) + 0.1 * koleo, abs=1e-5)
    for leaf in (student[0], patches, tokens[1]):
        assert torch.autograd.grad(loss, leaf, retain_graph=True)[0].abs().sum() > 0


def test_scores_are_asked_for_where_a_network_has_none():
    with pytest.raises(ValueError, match="give the network prototypes"):
        SelfDistillationObjective(DINOLoss(output_dim=4))(output_of([draw(2, 4)] * 2, [draw(2, 4)] * 2), NOTHING)
    geometry = CropGeometry(torch.rand(4, 4), torch.zeros(4, dtype=torch.bool))
    with pytest.raises(ValueError, match="give the network a map_projector"):
        LocalFeatureObjective(VICRegLLoss())(output_of([draw(2, 4)] * 2), CropTargets([geometry], []))


def test_a_loss_is_computed_in_float32_under_autocast():
    views = [draw(4, 8, seed=s).detach().bfloat16().requires_grad_() for s in (0, 1)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = PairObjective(NTXentLoss(0.1))(output_of(views), NOTHING)
    assert loss.dtype == torch.float32


def test_dinov2_is_computed_in_float32_under_autocast():
    torch.manual_seed(0)
    encoder = DinoViTEncoder(28, dim=16, depth=4, heads=2, layer_scale=1.0)
    network = MaskedNetwork(encoder, MLP(16, [8]), Prototypes(8, 6))
    objective = MaskedDistillationObjective(DINOLoss(output_dim=6), IBOTPatchLoss(output_dim=6), KoLeoLoss())
    seen = []
    objective.patch_loss.register_forward_pre_hook(lambda module, given: seen.extend(t.dtype for t in given[:2]))
    masks = torch.zeros(4, 2, 2, dtype=torch.bool)
    masks[1, 0, 1] = True
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network([torch.randn(4, 3, 28, 28)], [2], masks)
        loss = objective(output, CropTargets([], [], masks))
    assert output.patches.dtype == torch.bfloat16
    assert seen == [torch.float32, torch.float32]
    assert loss.dtype == torch.float32
    loss.backward()
    assert network.student.mask_token.grad.abs().sum() > 0


def test_views_that_patches_do_not_tile_are_refused():
    views = MultiCrop(ViewPolicy(size=28), ViewPolicy(size=20), n_local=1)
    with pytest.raises(ValueError, match="views of 20 pixels do not divide into patches of 14: choose a multiple"):
        PrepareMaskedCrops(views, BlockMasks(), patch_size=14)


def test_batches_become_crops_names_and_masks():
    views = MultiCrop(ViewPolicy(size=28), ViewPolicy(size=14), n_local=3)
    batch = {"image": torch.rand(2, 3, 30, 30), "slice_id": ["a", "b"]}
    crops, targets, arguments, _ = PrepareCrops(views)(batch, "cpu")
    assert [tuple(crop.shape) for crop in crops] == [(4, 3, 28, 28), (6, 3, 14, 14)]
    assert arguments == ([2, 3],)
    assert targets.names == ["a", "b"]
    assert crops[0].is_contiguous(memory_format=torch.channels_last)
    _, targets, (numbers, masks), _ = PrepareMaskedCrops(views, BlockMasks(), patch_size=14)(batch, "cpu")
    assert masks.shape == (4, 2, 2)
    assert masks is targets.masks
    assert numbers == [2, 3]
