"""The studies folder as MONAI Label serves it, held to that folder: MONAI Label itself follows links wherever."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from monailabel.datastore.local import LocalDatastore

from lvm_med_monai.apps.label.guard import RefusedError, TakenError, check_inside, lies_inside
from lvm_med_monai.apps.label.studies import EXTENSIONS, id_and_end

_log = logging.getLogger(__name__)


class StudiesDatastore(LocalDatastore):
    """A folder of images. What its links reach outside of it is neither listed nor read nor written."""

    def get_image_uri(self, image_id: str) -> str:
        """Path of an image; empty if the studies have none of that name."""
        return self._inside(super().get_image_uri(image_id))

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Path of a label; empty if the studies have none of that name."""
        return self._inside(super().get_label_uri(label_id, label_tag))

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Images that have a final label: pairs for training."""
        pairs = super().datalist(full_path)
        folder = "" if full_path else self._datastore_path
        return [pair for pair in pairs if all(self._holds(os.path.join(folder, path)) for path in pair.values())]

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Pack images and final labels.

        Raises:
            RefusedError: no image has a final label.
        """
        if not self.datalist():
            raise RefusedError("no image has a saved label (labels/final): there is nothing to pack")
        return str(super().get_dataset_archive(limit_cases))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Take an image that a client sent.

        Raises:
            RefusedError: it would not be served, or a link stands in its place.
            TakenError: there is an image, or a label, of that id.
        """
        name, end = id_and_end(os.path.basename(image_filename))
        if not end:
            raise RefusedError(f"the name of an image must end in one of {', '.join(EXTENSIONS)}")
        chosen = image_id or name
        check_inside(os.path.join(self._datastore.image_path(), chosen + end), [self._datastore_path])
        self._check_free(chosen)
        return str(super().add_image(chosen, image_filename, image_info))

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep a label.

        Raises:
            RefusedError: a link stands in its place.
        """
        _, end = self._to_id(os.path.basename(label_filename))
        check_inside(os.path.join(self._datastore.label_path(label_tag), image_id + end), [self._datastore_path])
        return str(super().save_label(image_id, label_filename, label_tag, label_info))

    def remove_image(self, image_id: str) -> None:
        """Remove an image and its labels.

        Raises:
            RefusedError: there is none of that name.
        """
        if not self.get_image_uri(image_id):
            raise RefusedError(f"there is no image {image_id!r} in the studies")
        super().remove_image(image_id)

    def _check_free(self, image: str) -> None:
        """Files count, not notes, which may be late."""
        labels = Path(self._datastore.label_path(None))
        for folder in (Path(self._datastore.image_path()), *(path for path in labels.iterdir() if path.is_dir())):
            if any(self._to_id(path.name)[0] == image for path in folder.iterdir() if path.is_file()):
                what = "a label" if folder.is_relative_to(labels) else "an image"
                raise TakenError(f"there is {what} of the id {image!r}: give another id, or remove it first")

    def _to_id(self, file: str) -> tuple[str, str]:
        """Name and end, which may be in capitals."""
        name, end = id_and_end(file)
        return (name, end) if end else super()._to_id(file)

    def _list_files(self, path: str, patterns: Sequence[str]) -> dict[str, str]:
        found = [file for file in os.listdir(path) if any(fnmatch(file.lower(), pattern) for pattern in patterns)]
        kept = {file: file for file in found if self._holds(os.path.join(path, file))}
        if len(kept) < len(found):
            _log.warning("%d links in %s lead out of the studies folder: not served", len(found) - len(kept), path)
        return kept

    def _remove_non_existing(self) -> int:
        """Forget what is not there, or no longer inside: the folder's notes may be older than its links."""
        count = int(super()._remove_non_existing())
        images = self._datastore.objects
        for name in [name for name in images if not self.get_image_uri(name)]:
            del images[name]
            count += 1
        for name, item in images.items():
            for tag in [tag for tag in item.labels if not self.get_label_uri(name, tag)]:
                del item.labels[tag]
                count += 1
        return count

    def _holds(self, path: str) -> bool:
        return lies_inside(path, [self._datastore_path])

    def _inside(self, path: str) -> str:
        return path if path and self._holds(path) else ""
