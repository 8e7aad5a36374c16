"""MONAI Label's web application behind a guard: ``uvicorn lvm_med_monai.apps.label.server.asgi:app``."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, unquote

import monailabel.datastore.dicom
import monailabel.endpoints.infer
from monailabel.app import app as label_app
from monailabel.config import settings
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lvm_med_monai.apps.label.guard import RefusedError, check_address
from lvm_med_monai.apps.label.launch import LOOPBACK
from lvm_med_monai.apps.label.server.dicom_seg import mask_to_dicom_seg


class AddressGuard:
    """Refuses addresses that climb out of a folder, before any of MONAI Label's code sees them.

    Args:
        app: application behind the guard.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404 to a request that is refused; pass on the others."""
        if scope["type"] == "http":
            query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            try:
                check_address(unquote(scope["path"]), query)
            except RefusedError as error:
                await JSONResponse({"detail": str(error)}, status_code=404)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _guarded() -> ASGIApp:
    """MONAI Label lets pages of every site call it from the annotator's browser; here its own pages alone may.

    Listening on loopback, it accepts names of this machine alone as host: no page can give itself such a name.
    """
    host = os.environ.get("LVM_MED_MONAI_LABEL_HOST", LOOPBACK[0])
    label_app.user_middleware = [item for item in label_app.user_middleware if item.cls is not CORSMiddleware]
    pages = [f"http://{name}:{settings.MONAI_LABEL_SERVER_PORT}" for name in ("127.0.0.1", "localhost")]
    guarded = CORSMiddleware(AddressGuard(label_app), allow_origins=pages, allow_methods=["*"], allow_headers=["*"])
    return TrustedHostMiddleware(guarded, allowed_hosts=[*LOOPBACK, "[::1]"] if host in LOOPBACK else ["*"])


# MONAI Label names the segments of a DICOM SEG by their position among those that are not empty
monailabel.endpoints.infer.nifti_to_dicom_seg = mask_to_dicom_seg
monailabel.datastore.dicom.nifti_to_dicom_seg = mask_to_dicom_seg
app = _guarded()
