from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from lvm_med_monai.losses import ClassLabelLoss, SupervisedContrastiveLoss

SCORES = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]])


def test_exclusive_classes_have_cross_entropy():
    labels = torch.tensor([0, 1])
    assert ClassLabelLoss()(SCORES, labels) == cross_entropy(SCORES, labels)
    weights = torch.tensor([1.0, 3.0, 0.5])
    own = [
        -math.log(math.exp(row[label]) / sum(map(math.exp, row)))
        for row, label in zip(SCORES.tolist(), (0, 1), strict=True)
    ]
    expected = (1 * own[0] + 3 * own[1]) / 4
    assert float(ClassLabelLoss(weights=weights)(SCORES, labels)) == pytest.approx(expected, rel=1e-6)


def test_unknown_findings_do_not_count_and_get_no_gradient():
    scores = SCORES.clone().requires_grad_()
    labels = torch.tensor([[1.0, -1.0, 0.0], [-1.0, -1.0, 1.0]])
    loss = ClassLabelLoss(multi_label=True)(scores, labels)
    known = labels >= 0
    expected = binary_cross_entropy_with_logits(SCORES[known], labels[known])
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-6)
    loss.backward()
    assert torch.equal(scores.grad == 0, ~known)


def test_weights_multiply_the_positives_of_their_finding():
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    weights = torch.tensor([2.0, 5.0, 1.0])
    each = binary_cross_entropy_with_logits(SCORES, labels, reduction="none") * torch.where(labels == 1, weights, 1.0)
    assert float(ClassLabelLoss(True, weights)(SCORES, labels)) == pytest.approx(float(each.mean()), rel=1e-6)


def test_a_batch_without_known_labels_gives_0():
    scores = SCORES.clone().requires_grad_()
    loss = ClassLabelLoss(multi_label=True)(scores, torch.full((2, 3), -1.0))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(scores.grad, torch.zeros_like(SCORES))


@pytest.mark.parametrize(
    ("multi_label", "labels"),
    [(True, torch.zeros(2, 4)), (True, torch.zeros(2)), (False, torch.zeros(2, 3)), (False, torch.zeros(1))],
)
def test_labels_of_another_shape_are_refused(multi_label, labels):
    with pytest.raises(ValueError, match="num_classes must be the number of class names"):
        ClassLabelLoss(multi_label)(SCORES, labels)


def contrast(embeddings, labels, temperature):
    """The definition, pair by pair."""
    unit = normalize(embeddings, dim=1)
    cosines = (unit @ unit.T / temperature).tolist()
    values = []
    for i, label in enumerate(labels):
        alike = [p for p in range(len(labels)) if p != i and labels[p] == label and label >= 0]
        if alike:
            total = sum(math.exp(cosines[i][a]) for a in range(len(labels)) if a != i)
            values.append(-sum(math.log(math.exp(cosines[i][p]) / total) for p in alike) / len(alike))
    return sum(values) / len(values) if values else 0.0


@pytest.mark.parametrize(
    "labels",
    [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 1, 2, 3, 3], [-1, -1, 2, 2, 5]],
    ids=["two", "one", "alone", "unknown"],
)
def test_supervised_contrast_is_its_definition(labels):
    embeddings = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    loss = SupervisedContrastiveLoss(temperature=0.5)(embeddings, torch.tensor(labels))
    assert float(loss) == pytest.approx(contrast(embeddings, labels, 0.5), rel=1e-5)
    pairs = torch.tensor([[label, 9 - number] for number, label in enumerate(labels)])
    assert float(SupervisedContrastiveLoss(temperature=0.5)(embeddings, pairs)) == float(loss)


def test_a_batch_without_pairs_gives_0_and_a_gradient():
    embeddings = torch.randn(3, 4, requires_grad=True)
    loss = SupervisedContrastiveLoss()(embeddings, torch.tensor([0, 1, 2]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(embeddings.grad, torch.zeros(3, 4))
    with pytest.raises(ValueError, match="must be positive, got 0"):
        SupervisedContrastiveLoss(0)
