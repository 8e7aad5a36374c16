"""MONAI Label's web application behind a guard: ``uvicorn lvm_med_monai.apps.label.server.asgi:app``."""

from __future__ import annotations

import os
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote

import monailabel.endpoints.datastore
import monailabel.endpoints.infer
import monailabel.endpoints.session
from monailabel.app import app as label_app
from monailabel.config import settings
from monailabel.utils.async_tasks.task import AsyncTask
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lvm_med_monai.apps.label.guard import RefusedError, check_address, is_own_page
from lvm_med_monai.apps.label.launch import LOOPBACK
from lvm_med_monai.apps.label.server.dicom_seg import mask_to_dicom_seg
from lvm_med_monai.apps.label.server.endpoints import checked_inference, checked_session, checked_task, explain_errors
from lvm_med_monai.apps.label.server.uploads import added_image, noted_image, noted_label, saved_label


class AddressGuard:
    """Refuses pages of other sites, and addresses that climb out of a folder, before MONAI Label's code sees them.

    Args:
        app: application behind the guard.
        pages: names of the server, as its own pages give them in ``Origin``.
    """

    def __init__(self, app: ASGIApp, pages: Collection[str]) -> None:
        self.app = app
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to the page of another site, 404 to an address that is refused; pass on the others."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not is_own_page(headers.get("origin"), headers.get("host", ""), self.pages):
            return JSONResponse({"detail": "pages of other sites may not use this server"}, status_code=403)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        try:
            check_address(unquote(scope["path"]), query)
        except RefusedError as error:
            return JSONResponse({"detail": str(error)}, status_code=404)
        return None


def _guarded() -> ASGIApp:
    """MONAI Label lets pages of every site call it from the annotator's browser; here its own pages alone may.

    Listening on loopback, it accepts names of this machine alone as host: no page can give itself such a name.
    """
    host = os.environ.get("LVM_MED_MONAI_LABEL_HOST", LOOPBACK[0])
    label_app.user_middleware = [item for item in label_app.user_middleware if item.cls is not CORSMiddleware]
    pages = [f"http://{name}:{settings.MONAI_LABEL_SERVER_PORT}" for name in ("127.0.0.1", "localhost")]
    guarded = CORSMiddleware(
        AddressGuard(label_app, pages), allow_origins=pages, allow_methods=["*"], allow_headers=["*"]
    )
    return TrustedHostMiddleware(guarded, allowed_hosts=[*LOOPBACK, "[::1]"] if host in LOOPBACK else ["*"])


monailabel.endpoints.infer.nifti_to_dicom_seg = mask_to_dicom_seg
monailabel.endpoints.infer.run_inference = checked_inference
monailabel.endpoints.datastore.add_image = added_image
monailabel.endpoints.datastore.save_label = saved_label
monailabel.endpoints.datastore.update_image_info = noted_image
monailabel.endpoints.datastore.update_label_info = noted_label
monailabel.endpoints.session.create_session = checked_session
AsyncTask.run = staticmethod(checked_task)
explain_errors(label_app)
app = _guarded()
