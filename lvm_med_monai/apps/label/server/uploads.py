"""Images and labels that clients send to the studies."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import UploadFile
from fastapi.background import BackgroundTasks
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance

from lvm_med_monai.apps.label.guard import RefusedError, check_name
from lvm_med_monai.apps.label.studies import EXTENSIONS, id_and_end


def added_image(
    background_tasks: BackgroundTasks, image: str | None, params: str, file: UploadFile, user: str | None = None
) -> dict[str, str]:
    """Add an image to the studies, its id the whole name of its file without the end.

    MONAI Label cuts the id at the first dot: to it ``J. Doe.png`` and ``J. Roe.png`` are one image.

    Args:
        background_tasks: not used; MONAI Label's interface has them.
        image: id that the client gives; None for the file's name.
        params: JSON object of what is to be noted with the image.
        file: what was sent.
        user: name of the sender, if the server asks for one.

    Raises:
        RefusedError: name or end cannot be served, or ``params`` is no JSON object.
        TakenError: there is an image, or a label, of that id.
    """
    name, end = id_and_end(os.path.basename(file.filename or ""))
    if not end:
        raise RefusedError(f"the name of an image must end in one of {', '.join(EXTENSIONS)}")
    chosen = image or name
    check_name("the name of an image", chosen)
    noted = _object(params, user)
    with _received(file, end) as path:
        return {"image": app_instance().datastore().add_image(chosen, path, noted)}


def saved_label(
    background_tasks: BackgroundTasks, image: str, params: str, tag: str, label: UploadFile, user: str | None = None
) -> dict[str, Any]:
    """Keep a label of an image; what was sent is not kept beside it, even if it is refused.

    Args:
        background_tasks: not used; MONAI Label's interface has them.
        image: its id.
        params: JSON object of what is to be noted with the label.
        tag: kind of label; empty for a final one.
        label: what was sent.
        user: name of the sender, if the server asks for one.

    Raises:
        RefusedError: the name of the file cannot be served, or ``params`` is no JSON object.
    """
    name = os.path.basename(label.filename or "label.nii.gz")
    check_name("the name of a label", name)
    end = id_and_end(name)[1] or Path(name).suffix
    noted = _object(params, user)
    app = app_instance()
    with _received(label, end) as path:
        saved = app.datastore().save_label(image, path, tag or DefaultLabelTag.FINAL.value, noted)
    return {**(app.on_save_label(image, saved) or {}), "image": image, "label": saved}


def noted_image(image: str, info: str, user: str | None = None) -> Any:
    """Note a JSON object with an image; RefusedError if it is none."""
    return app_instance().datastore().update_image_info(image, _object(info, user))


def noted_label(label: str, tag: str, info: str, user: str | None = None) -> Any:
    """Note a JSON object with a label; RefusedError if it is none."""
    return app_instance().datastore().update_label_info(label, tag, _object(info, user))


def _object(text: str, user: str | None) -> dict[str, Any]:
    value = json.loads(text or "{}")
    if not isinstance(value, dict):
        raise RefusedError("params and info must be JSON objects")
    return {**value, "user": user} if user else value


@contextmanager
def _received(file: UploadFile, end: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"received{end}"
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target)
        yield str(path)
