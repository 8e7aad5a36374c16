from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import Reject, Stack
from tests.slices.factories import dicom_slice, save, series


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here; check the path"):
        iter_stacks(tmp_path / "nothing-here")


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match=f"{tmp_path.name} holds no files; give a folder with DICOM"):
        iter_stacks(tmp_path)


def test_every_file_ends_somewhere(tmp_path: Path) -> None:
    outside = save(dicom_slice(0), tmp_path / "outside" / "secret.dcm")
    root = tmp_path / "root"
    series(root / "ct", 3)
    nibabel.save(nibabel.Nifti1Pair(np.ones((3, 4, 5), np.int16), np.eye(4)), root / "pair.hdr")
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(root / "picture-without-suffix", format="PNG")
    (root / "notes.txt").write_text("hello")
    (root / "empty").touch()
    (root / ".hidden").write_text("x")
    (root / ".folder").mkdir()
    save(dicom_slice(1), root / ".folder" / "a.dcm")
    (root / "link.dcm").symlink_to(outside)
    (root / "links").symlink_to(outside.parent)
    (root / "broken").symlink_to(root / "nowhere")
    results = list(iter_stacks(root))
    reasons = {r.path.name: r.reason for r in results if isinstance(r, Reject)}
    assert reasons == {
        "notes.txt": "unrecognised",
        "empty": "empty",
        ".hidden": "hidden",
        "a.dcm": "hidden",
        "link.dcm": "symlink",
        "links": "symlink",
        "broken": "symlink" if reasons["broken"] == "symlink" else "unrecognised",
    }
    sources = {s.name for r in results if isinstance(r, Stack) for s in r.sources}
    assert {"pair.hdr", "pair.img", "picture-without-suffix"} <= sources
    assert len(sources) == 6


def test_content_beats_suffix(tmp_path: Path) -> None:
    save(dicom_slice(0), tmp_path / "a.png")
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "b.jpg", format="PNG")
    assert [r.source_format for r in iter_stacks(tmp_path) if isinstance(r, Stack)] == ["dicom", "png"]


def test_junk_called_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(bytes(range(256)))
    (tmp_path / "b.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "c.dcm").write_bytes(b"\x08\x00\x05\x00" + bytes(range(256)))
    results = list(iter_stacks(tmp_path))
    assert len(results) == 3
    assert all(isinstance(r, Reject) for r in results)
