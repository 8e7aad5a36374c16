"""A server's own folder: gone when it stops, or kept, and then for one server at a time."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from lvm_med_monai.apps.label import workspace as module
from lvm_med_monai.apps.label.workspace import remove_older, workspace


def failing(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let the removal of folders fail, as it does while another thread writes into one."""
    remove, left = shutil.rmtree, [times]

    def rmtree(folder: Path, **options: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", str(folder))
        remove(folder, **options)

    monkeypatch.setattr(module.shutil, "rmtree", rmtree)
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0)


def test_a_temporary_one_is_removed() -> None:
    with workspace(None) as folder:
        (folder / "dicomweb").mkdir()
        (folder / "dicomweb" / "image.nii.gz").touch()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_it_is_removed_after_an_error() -> None:
    with pytest.raises(SystemExit), workspace(None) as folder:
        raise SystemExit(0)
    assert not folder.exists()


def test_its_removal_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 3)
    with workspace(None) as folder:
        pass
    assert not folder.exists()


def test_what_cannot_be_removed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 1000)
    with pytest.raises(OSError, match=r"cannot be removed .*remove it by hand") as failed, workspace(None) as folder:
        pass
    assert str(folder) in str(failed.value)
    os.rmdir(folder)


def test_a_kept_one_stays_and_serves_one_server_at_a_time(tmp_path: Path) -> None:
    with workspace(tmp_path / "kept") as folder:
        (folder / "app").mkdir()
        with pytest.raises(OSError, match="another server uses the workspace"), workspace(tmp_path / "kept"):
            pass
    with workspace(tmp_path / "kept") as again:
        assert (again / "app").is_dir()
        assert stat.S_IMODE(again.stat().st_mode) == 0o700


def test_old_temporary_files_are_removed(tmp_path: Path) -> None:
    for name in ("tmpold.nii.gz", "tmpnew.nii.gz", "other.nii.gz"):
        (tmp_path / name).touch()
    (tmp_path / "tmpfolder").mkdir()
    for name in ("tmpold.nii.gz", "other.nii.gz", "tmpfolder"):
        os.utime(tmp_path / name, (0, time.time() - 61))
    remove_older(tmp_path, 60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.nii.gz", "tmpfolder", "tmpnew.nii.gz"]
    remove_older(tmp_path / "absent")
