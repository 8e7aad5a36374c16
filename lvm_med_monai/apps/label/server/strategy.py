"""Active learning: the slice to annotate next is one that the model is unsure of and that is unlike the annotated."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.utils.others.generic import name_to_device
from numpy.typing import NDArray

from lvm_med_monai.apps.label.guard import check_known
from lvm_med_monai.apps.label.selection import entropies_of_slices, evenly, pick_diverse_uncertain
from lvm_med_monai.apps.label.server.infer import UNREADABLE, BundleTask, root_of
from lvm_med_monai.apps.label.stored_grid import stored_affine, stored_slice
from lvm_med_monai.slices import SliceReader
from lvm_med_monai.slices.geometry import LPS_TO_RAS
from lvm_med_monai.slices.stack import Stack

_log = logging.getLogger(__name__)
SLICES = 16
"""Slices of a volume that are looked at, evenly spaced."""


@dataclass(frozen=True)
class Looked:
    """What is known of an image.

    Attributes:
        slices: (S,) indices of slices in the order in which `SliceReader` reads them; 0 for a picture.
        features: (S, F).
        uncertainty: (S,) mean entropy; zeros for an image that is annotated already.
    """

    slices: NDArray[np.int64]
    features: NDArray[np.float64]
    uncertainty: NDArray[np.float64]


class DiverseUncertain(Strategy):
    """Greedy k-centre weighted by entropy over the slices of images without a label; see `pick_diverse_uncertain`.

    Features come from a bundle that embeds slices, entropies from a model that is served. Both are kept until the
    image or the model's weights change.

    Args:
        embedding: staged bundle that embeds.
        models: served models that segment or classify, by name: only their answers are probabilities. A request
            chooses by ``model``; the first is the default.
    """

    def __init__(self, embedding: Path, models: Mapping[str, InferTask]) -> None:
        super().__init__("Unlike what is annotated, and uncertain: k-centre greedy on embeddings, weighted by entropy")
        self.models = {name: task for name, task in models.items() if isinstance(task, BundleTask)}
        self._config = ConfigParser()
        self._config.read_config(embedding / "configs" / "inference.json")
        self._weights = embedding / "models" / "model.pt"
        self._network: torch.nn.Module | None = None
        self._features: dict[tuple[Any, ...], tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        self._entropies: dict[tuple[Any, ...], NDArray[np.float64]] = {}

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose an image.

        Args:
            request: ``model`` whose entropy counts, and ``device``.
            datastore: the studies.

        Returns:
            ``id``; the ``slice`` that was chosen, an index along the ``axis`` of the file's own voxels; its
            ``uncertainty``. None if every image has a label.

        Raises:
            RefusedError: ``model`` is none of those.
            ValueError: no image that waits can be read by the model.
        """
        waiting = sorted(datastore.get_unlabeled_images())
        if not waiting:
            return None
        name = request.get("model") or next(iter(self.models))
        check_known("model that segments or classifies", name, self.models)
        device = name_to_device(request.get("device", "cuda"))
        seen = self._look_at(datastore, datastore.get_labeled_images(), None, device).values()
        looked = self._look_at(datastore, waiting, name, device)
        if not looked:
            raise ValueError(f"none of the {len(waiting)} images without a label can be read by {name}: see the log")
        rows = [(image, place) for image, look in looked.items() for place in range(len(look.slices))]
        features = np.concatenate([look.features for look in looked.values()])
        uncertainty = np.concatenate([look.uncertainty for look in looked.values()])
        covered = np.concatenate([look.features for look in seen]) if seen else np.empty((0, features.shape[1]))
        best = pick_diverse_uncertain(features, uncertainty, covered, 1)[0]
        image, place = rows[best]
        axis, index = _in_file(datastore.get_image_uri(image), int(looked[image].slices[place]))
        return {
            "id": image,
            "slice": index,
            "axis": axis,
            "uncertainty": round(float(uncertainty[best]), 6),
            "weight": round(float(uncertainty[best]), 6),
        }

    def _look_at(
        self, datastore: Datastore, images: Sequence[str], model: str | None, device: str
    ) -> dict[str, Looked]:
        """Look at images; one that cannot be read is left out, and the log says why."""
        looked = {}
        for image in images:
            try:
                looked[image] = self._look(datastore.get_image_uri(image), model, device)
            except UNREADABLE as error:
                _log.warning("active learning leaves out %s: %s", image, root_of(error))
        return looked

    def _look(self, path: str, model: str | None, device: str) -> Looked:
        changed = Path(path).stat().st_mtime_ns
        key = (path, changed)
        if key not in self._features:
            self._features[key] = self._embed(path, device)
        slices, features = self._features[key]
        if model is None:
            return Looked(slices, features, np.zeros(len(slices)))
        weights = self.models[model].get_path()
        asked = (*key, model, Path(weights).stat().st_mtime_ns if weights else 0)
        if asked not in self._entropies:
            chances = self.models[model].probabilities({"image": path, "device": device, "logging": "WARNING"})
            self._entropies[asked] = entropies_of_slices(np.asarray(chances), slices, _depth(path))
        return Looked(slices, features, self._entropies[asked])

    def _embed(self, path: str, device: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        preprocessing = self._config.get_parsed_content("preprocessing")
        items = preprocessing({"image": path})
        items = items if isinstance(items, list) else [items]
        chosen = evenly(len(items), SLICES)
        network = self._loaded(device)
        with torch.no_grad():
            rows = [network(torch.as_tensor(items[i]["image"])[None].to(device)).cpu().numpy()[0] for i in chosen]
        return chosen, np.stack(rows).astype(np.float64)

    def _loaded(self, device: str) -> torch.nn.Module:
        if self._network is None:
            network = self._config.get_parsed_content("network_def")
            network.load_state_dict(torch.load(self._weights, map_location="cpu", weights_only=True))
            self._network = network.eval()
        return self._network.to(device)


def _depth(path: str) -> int:
    return _stack(path).n_slices


def _in_file(path: str, index: int) -> tuple[int, int]:
    """Axis and index of a slice in the file, which may hold its axes in another order than they are read in."""
    stack = _stack(path)
    return stored_slice(index, stack.n_slices, LPS_TO_RAS @ stack.geometry.affine, stored_affine(Path(path)))


def _stack(path: str) -> Stack:
    reader = SliceReader()
    return reader.choose(reader.read(path))
