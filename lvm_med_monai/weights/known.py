"""Weights that others publish, with their licences as their publishers state them."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class KnownWeights:
    """One published file of weights.

    Attributes:
        name: by which the command line knows it.
        form: network that it fits, one of `conversion.FORMS`.
        tensors: tensors of the published file, so that a truncated or different file is noticed.
        url: direct address; None where the publisher gives a page only.
        page: where the publisher describes it.
        licence: as the publisher states it.
        note: what a user must know.
        limit: largest size of the file, in bytes.
        sha256: hash of the file, where one address always has one file; None where it is not known.
        counters: how many of the tensors are batch-norm counters, which some copies lack.
    """

    name: str
    form: str
    tensors: int
    url: str | None
    page: str
    licence: str
    note: str
    limit: int
    counters: int = 0
    sha256: str | None = None


_LVM_MED = "https://github.com/duyhominhnguyen/LVM-Med"
_LVM_MED_LICENCE = "CC BY-NC-SA 4.0 (License.txt) or CC BY-NC-ND 2.0 (README): non-commercial either way"
_BY_HAND = "the page links to a file server without direct addresses: download by hand, then fetch with --file"

KNOWN = (
    KnownWeights(
        "imagenet_resnet50",
        "resnet50",
        320,
        "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        "https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.resnet50.html",
        "BSD-3-Clause (torchvision); the terms of ImageNet apply to the images",
        "supervised on ImageNet-1K; the paper's initialisation and baseline",
        200 * MEGABYTE,
        counters=53,
        sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    ),
    KnownWeights(
        "lvm_med_resnet50", "resnet50", 318, None, _LVM_MED, _LVM_MED_LICENCE, _BY_HAND, 200 * MEGABYTE, counters=53
    ),
    KnownWeights("lvm_med_vit_b", "vit_b", 176, None, _LVM_MED, _LVM_MED_LICENCE, _BY_HAND, 500 * MEGABYTE),
    KnownWeights(
        "sam_vit_b",
        "sam",
        314,
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth",
        "https://github.com/facebookresearch/segment-anything",
        "Apache-2.0",
        "image encoder, prompt encoder and mask decoder; --as vit_b takes the image encoder in LVM-Med's form",
        500 * MEGABYTE,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    KnownWeights(
        "rad_dino",
        "rad_dino",
        223,
        "https://huggingface.co/microsoft/rad-dino/resolve/main/model.safetensors",
        "https://huggingface.co/microsoft/rad-dino",
        "MIT on the current card; earlier revisions were for research only: keep the revision that you read",
        "ViT-B/14 on chest X-rays",
        500 * MEGABYTE,
    ),
    KnownWeights(
        "dinov2_vit_b",
        "rad_dino",
        175,
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        "https://github.com/facebookresearch/dinov2",
        "Apache-2.0",
        "ViT-B/14 on photographs; RAD-DINO's initialisation",
        500 * MEGABYTE,
        sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    ),
)


def known(name: str) -> KnownWeights:
    """The entry of a name.

    Raises:
        ValueError: no such name.
    """
    for entry in KNOWN:
        if entry.name == name:
            return entry
    raise ValueError(f"no weights called {name!r}: known are {', '.join(entry.name for entry in KNOWN)}")
