"""Requests that MONAI Label's endpoints would answer with status 500, answered with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from fastapi import FastAPI, HTTPException, Request
from fastapi.background import BackgroundTasks
from fastapi.responses import JSONResponse
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.endpoints.infer import ResultType, run_inference
from monailabel.endpoints.session import create_session
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.others.generic import remove_file

from lvm_med_monai.apps.label.guard import RefusedError, TakenError, check_name
from lvm_med_monai.apps.label.parameters import check_reserved
from lvm_med_monai.apps.label.server.dicom_series import SeriesError

STATUS: dict[type[Exception], int] = {
    TakenError: 409,
    RefusedError: 404,
    ImageNotFoundException: 404,
    LabelNotFoundException: 404,
    FileNotFoundError: 404,
    SeriesError: 422,
    json.JSONDecodeError: 422,
    requests.RequestException: 502,
}
"""Status of the answer to an error that no endpoint catches: the first kind that fits counts.

A file that is not found may also be a program, such as nvidia-smi. The last is a DICOMweb server that cannot be asked.
"""
_run_task = AsyncTask.run
MASKS = (InferType.SEGMENTATION, InferType.DEEPGROW)


def explain_errors(app: FastAPI) -> None:
    """Answer the errors of `STATUS` with their message."""
    for kind in STATUS:
        app.add_exception_handler(kind, _explain)


def checked_inference(
    background_tasks: BackgroundTasks,
    model: str,
    image: str = "",
    session_id: str = "",
    params: str = "{}",
    file: Any = None,
    label: Any = None,
    output: ResultType | None = None,
) -> Any:
    """MONAI Label's ``run_inference`` for requests that can have an answer.

    Raises:
        HTTPException: no image is named, ``params`` is no JSON object, or the model has no answer of the kind asked.
        RefusedError: ``params`` holds what the server sets itself.
    """
    if not (image or session_id or file):
        raise HTTPException(422, detail="no image: name one of the studies (image=ID), or send one (file)")
    given = json.loads(params or "{}")
    if not isinstance(given, dict):
        raise HTTPException(422, detail="params must be a JSON object")
    check_reserved(given)
    _check_names(file, label)
    _check_output(model, output)
    try:
        answer = run_inference(background_tasks, model, image, session_id, params, file, label, output)
    except Exception:
        for task in background_tasks.tasks:  # they remove what was sent, and run after an answer only
            task.func(*task.args, **task.kwargs)
        raise
    if output == ResultType.dicom_seg:
        background_tasks.add_task(remove_file, answer.path)
    return answer


def checked_task(
    method: str,
    request: dict[str, Any] | None = None,
    params: dict[str, Any] | None = None,
    force_sync: bool = False,
    enqueue: bool = False,
) -> Any:
    """MONAI Label's ``AsyncTask.run`` for requests that may be run; those of a batch or a training are told at once.

    Raises:
        RefusedError: a parameter is set by the server alone, or could lead elsewhere.
    """
    check_reserved(params or {})
    app_instance().check_task(method, {**(request or {}), **(params or {})})
    return _run_task(method, request, params, force_sync, enqueue)


def checked_session(
    background_tasks: BackgroundTasks, uncompress: bool = False, expiry: int = 0, files: Sequence[Any] = ()
) -> Any:
    """MONAI Label's ``create_session`` for files whose names can be stored; RefusedError for others."""
    _check_names(*files)
    return create_session(background_tasks, uncompress, expiry, files)


def _check_names(*files: Any) -> None:
    for file in files:
        if file is not None and file.filename:
            check_name("the name of a file", Path(file.filename).name)


def _check_output(model: str, output: ResultType | None) -> None:
    app = app_instance()
    kind = app.kind_of(model)
    if kind == InferType.CLASSIFICATION and output == ResultType.image:
        raise HTTPException(422, detail=f"{model} answers with scores: ask for output=json, or {model}_overlay")
    if output == ResultType.dicom_seg:
        if not isinstance(app.datastore(), DICOMWebDatastore):
            raise HTTPException(422, detail="a DICOM SEG needs a DICOM series: serve them with --studies http://...")
        if kind is not None and kind not in MASKS:
            raise HTTPException(422, detail=f"{model} makes no mask: there is nothing to put into a DICOM SEG")


async def _explain(request: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    said = str(error) or type(error).__name__
    if isinstance(error, json.JSONDecodeError):
        said = f"this is no JSON: {said}"
    if isinstance(error, FileNotFoundError):
        said = f"{Path(error.filename or '').name or 'a file'} is not there"
    return JSONResponse({"detail": said}, status_code=status)
