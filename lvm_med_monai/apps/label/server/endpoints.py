"""Requests that MONAI Label's endpoints would answer with status 500, answered with what is wrong."""

from __future__ import annotations

import json
from typing import Any

import requests
from fastapi import FastAPI, HTTPException, Request
from fastapi.background import BackgroundTasks
from fastapi.responses import JSONResponse
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.endpoints.infer import ResultType, run_inference
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.interfaces.utils.app import app_instance

from lvm_med_monai.apps.label.guard import RefusedError
from lvm_med_monai.apps.label.server.dicom_series import SeriesError

STATUS: dict[type[Exception], int] = {
    RefusedError: 404,
    ImageNotFoundException: 404,
    LabelNotFoundException: 404,
    SeriesError: 422,
    json.JSONDecodeError: 422,
    requests.RequestException: 502,
}
"""Status of the answer to an error that no endpoint catches; the last is a DICOMweb server that cannot be asked."""
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
    """
    if not (image or session_id or file):
        raise HTTPException(422, detail="no image: name one of the studies (image=ID), or send one (file)")
    if params and not isinstance(json.loads(params), dict):
        raise HTTPException(422, detail="params must be a JSON object")
    _check_output(model, output)
    return run_inference(background_tasks, model, image, session_id, params, file, label, output)


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
    what = "this is no JSON: " if isinstance(error, json.JSONDecodeError) else ""
    return JSONResponse({"detail": what + (str(error) or type(error).__name__)}, status_code=status)
