"""The app that MONAI Label runs: the staged bundles, and nothing beside them."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.utils.others.generic import device_map

from lvm_med_monai import __version__
from lvm_med_monai.apps.label.guard import RefusedError, check_inside, check_known
from lvm_med_monai.apps.label.parameters import check_batch, check_parameters, check_training
from lvm_med_monai.apps.label.server.datastore import StudiesDatastore
from lvm_med_monai.apps.label.server.dicomweb import SeriesDatastore
from lvm_med_monai.apps.label.server.infer import UNREADABLE, infer_tasks, root_of
from lvm_med_monai.apps.label.server.strategy import DiverseUncertain
from lvm_med_monai.apps.label.server.train import BundleTraining
from lvm_med_monai.apps.label.staging import EMBEDDING, UNCERTAIN, task_of
from lvm_med_monai.apps.label.studies import is_dicomweb
from lvm_med_monai.apps.label.workspace import RECEIVED, remove_older

_log = logging.getLogger(__name__)
UID = re.compile(r"[0-9.]{1,64}")
"""A DICOM identifier."""
MEANINGLESS = (TypeError, LookupError, AttributeError)
"""What an answer ends with if a parameter of the request has another type or length than the model takes."""
TRAINABLE = ("segmentation",)
"""Tasks whose labels MONAI Label keeps as masks: it has no place for classes, and stores boxes in mm of 3D Slicer."""


class LabelApp(MONAILabelApp):
    """Serves the bundles in ``<app_dir>/model`` that the configuration's ``models`` names.

    Args:
        app_dir: folder made by `lvm_med_monai.apps.label.staging.stage`.
        studies: folder of images or address of a DICOMweb server.
        conf: ``models``, names joined by commas.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        names = [name for name in conf.get("models", "").split(",") if name]
        folders = {name: Path(app_dir) / "model" / name for name in names}
        self.bundles = {name: folder for name, folder in folders.items() if not name.endswith(EMBEDDING)}
        self.embedding = next((folder for name, folder in folders.items() if name.endswith(EMBEDDING)), None)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="lvm_med_monai",
            description="Bundles of lvm_med_monai",
            version=__version__,
        )

    def init_datastore(self) -> Datastore:
        """The studies: a folder held to itself, or a DICOMweb server."""
        if is_dicomweb(self.studies):
            return super().init_datastore()
        return StudiesDatastore(
            self.studies,
            extensions=settings.MONAI_LABEL_DATASTORE_FILE_EXT,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The models that clients are offered."""
        return {name: task for folder in self.bundles.values() for name, task in infer_tasks(folder, self.conf).items()}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Those models that learn from saved masks."""
        return {
            name: BundleTraining(str(folder), self.conf)
            for name, folder in self.bundles.items()
            if task_of(folder) in TRAINABLE
        }

    def init_strategies(self) -> dict[str, Strategy]:
        """MONAI Label's own, and ours if a bundle that embeds is served."""
        strategies: dict[str, Strategy] = {"random": Random(), "first": First()}
        if self.embedding is not None:
            unsure = [name for name, folder in self.bundles.items() if task_of(folder) in UNCERTAIN]
            own = {name: self._infers[name] for name in unsure}
            strategies["diverse_uncertain"] = DiverseUncertain(self.embedding, own)
        return strategies

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """None."""
        return {}

    def kind_of(self, model: str) -> InferType | None:
        """What a model answers with; None if it is not served."""
        task = self._infers.get(model)
        return task.type if task is not None else None

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Run a model on an image of the studies, or on one that the client sent.

        Raises:
            HTTPException: the request names what it may not.
        """
        store = datastore or self.datastore()
        try:
            self._check_request(request, "model", self._infers)
            self._check_image(request.get("image"), store)
            if isinstance(request.get("label"), str) and os.sep in request["label"]:
                check_inside(request["label"], self._received())
        except RefusedError as error:
            raise HTTPException(404, detail=str(error)) from error
        try:
            result: dict[str, Any] = super().infer(request, datastore)
        except (*UNREADABLE, *MEANINGLESS) as error:
            raise HTTPException(422, detail=root_of(error)) from error
        self._keep_classes(request, result, store)
        return result

    def batch_infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        """Run a model on many images of the studies; one that it cannot answer for does not end the others.

        MONAI Label deals the images out to all GPUs, and fails where there is none.
        """
        shared = {**request, "multi_gpu": request.get("multi_gpu", True) and torch.cuda.is_available()}
        return self._batch_infer(shared, datastore or self.datastore(), self._infer_or_skip)

    def infer_wsi(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Refused.

        Raises:
            HTTPException: always: no bundle reads whole-slide images.
        """
        raise HTTPException(404, detail="whole-slide images are not served")

    def next_sample(self, request: dict[str, Any]) -> Any:
        """The image to annotate next.

        Raises:
            HTTPException: there is no such strategy, it cannot use the model, or no image can be read.
        """
        try:
            check_known("strategy", request.get("strategy"), self._strategies)
            check_parameters(request, list(device_map()))
            return super().next_sample(request)
        except RefusedError as error:
            raise HTTPException(404, detail=str(error)) from error
        except UNREADABLE as error:
            raise HTTPException(422, detail=root_of(error)) from error

    def bundle_path(self, model: str | None) -> str | None:
        """Where a model that learns lies; asked for before a task starts in the background.

        Raises:
            HTTPException: there is no such model.
        """
        if model is not None:
            try:
                check_known("model", model, {**self._infers, **self._trainers})
            except RefusedError as error:
                raise HTTPException(404, detail=str(error)) from error
        return str(super().bundle_path(model)) if model in self._trainers else None

    def train(self, request: dict[str, Any]) -> Any:
        """Train a model on the saved labels.

        Raises:
            HTTPException: the request names what it may not.
        """
        try:
            self.check_task("train", request)
        except RefusedError as error:
            raise HTTPException(404, detail=str(error)) from error
        return super().train(request)

    def check_task(self, method: str, request: Mapping[str, Any]) -> None:
        """Refuse what ``method`` (``train``, ``batch_infer`` or ``scoring``) may not be asked, before it starts.

        Raises:
            RefusedError: the request names what it may not.
        """
        if method == "train":
            self._check_request(request, "model that learns", self._trainers)
            check_training(request)
        elif method == "batch_infer":
            self._check_request(request, "model", self._infers)
            check_batch(request)

    def cleanup_sessions(self) -> None:
        """Forget sessions that expired, and files of requests that failed; MONAI Label asks every few minutes."""
        super().cleanup_sessions()
        remove_older(Path(self.app_dir).parent / RECEIVED)

    @staticmethod
    def _check_request(request: Mapping[str, Any], what: str, tasks: Mapping[str, Any]) -> None:
        name = request.get("model")
        check_known(what, name, tasks)
        check_parameters(request, list(device_map()))
        files = request.get("model_filename", [])
        weights = [file.name for file in (Path(tasks[str(name)].bundle_path) / "models").glob("*.pt")]
        for file in files if isinstance(files, list) else [files]:
            check_known("file of weights", file, weights)

    def _check_image(self, image: Any, store: Datastore) -> None:
        if not isinstance(image, str):
            raise RefusedError("image must be the name of one image")
        if os.path.exists(image):
            check_inside(image, self._received())
        elif not _holds(store, image):
            raise RefusedError(f"there is no image {image!r} in the studies")

    def _infer_or_skip(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        try:
            return self.infer(request, datastore)
        except HTTPException as error:
            _log.warning("%s is left out: %s", request.get("image"), error.detail)
            return {"error": error.detail}

    @staticmethod
    def _received() -> list[str]:
        """Folders of files that clients sent."""
        return [folder for folder in (tempfile.gettempdir(), settings.MONAI_LABEL_SESSION_PATH) if folder]

    @staticmethod
    def _keep_classes(request: Mapping[str, Any], result: dict[str, Any], store: Datastore) -> None:
        """Note scores of classes with the image, where ``/datastore/?output=all`` and viewers find them."""
        scores = (result.get("params") or {}).get("prediction")
        image = request.get("image")
        if scores and isinstance(image, str) and image in store.list_images():
            known = store.get_image_info(image).get("classification", {})
            classes = {entry["label"]: round(entry["score"], 4) for entry in scores}
            store.update_image_info(image, {"classification": {**known, request["model"]: classes}})


def _holds(store: Datastore, image: str) -> bool:
    """Whether the studies have an image; of a DICOMweb server MONAI Label remembers for hours what it listed once."""
    if image in store.list_images():
        return True
    if not isinstance(store, SeriesDatastore) or not UID.fullmatch(image):
        return False
    return bool(store._client.search_for_series(search_filters={**store._search_filter, "SeriesInstanceUID": image}))
