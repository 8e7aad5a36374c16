"""How other readers fare with a tricky series: right, wrong with a warning, wrong without a word, or not at all."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import Reject, Stack
from tests.slices.conformance import Expected, Truth

OFF_TOPIC = "nvImageCodec"
"""MONAI says on every machine without a GPU that this decoder is missing."""
Volume = np.ndarray
"""(S, H, W), or (S, H, W, 3)."""


def by_monai(reader: str) -> Callable[[Path], Volume]:
    """MONAI's LoadImage with one of its readers; its axes are (x, y, z)."""

    def read(folder: Path) -> Volume:
        from monai.transforms import LoadImage

        image = LoadImage(reader=reader, image_only=True)(_only_file(folder))
        array = np.asarray(image)
        return array.T if array.ndim == 3 else array.T[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)

    return read


def by_simpleitk(folder: Path) -> Volume:
    """The series reader on the first series, as its documentation shows; the file itself where it is alone."""
    import SimpleITK

    alone = _only_file(folder)
    if alone.is_file():
        return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(alone)))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    return SimpleITK.GetArrayFromImage(image)


def by_nibabel(folder: Path) -> Volume:
    """Nibabel's DICOM wrappers, which read one file."""
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    data = np.asarray(wrapper_from_file(str(_only_file(folder))).get_data())
    return np.moveaxis(data, 2, 0) if data.ndim == 3 else data[None]


READERS: dict[str, Callable[[Path], Volume]] = {
    "MONAI PydicomReader": by_monai("PydicomReader"),
    "MONAI ITKReader": by_monai("ITKReader"),
    "SimpleITK series": by_simpleitk,
    "nibabel": by_nibabel,
}


def ours(folder: Path, truth: Truth) -> str:
    """The verdict on this package."""
    results = list(iter_stacks(folder))
    rejects = {result.path.name: result.reason for result in results if isinstance(result, Reject)}
    stacks = [result for result in results if isinstance(result, Stack)]
    if rejects != truth.rejects:
        return "WRONG REASONS"
    if len(stacks) != len(truth.stacks):
        return "WRONG STACKS"
    for expected in truth.stacks:
        found = [stack for stack in stacks if _verdict(stack.array(), expected) == "ok"]
        if len(found) != 1 or found[0].flags != expected.flags:
            return "WRONG VALUES OR ORDER"
    return "ok"


def theirs(read: Callable[[Path], Volume], folder: Path, truth: Truth) -> str:
    """The verdict on another reader."""
    if read is by_nibabel and _only_file(folder).is_dir():
        return "-"
    with _words() as said:
        try:
            volume = read(folder)
        except Exception:
            return "error"
    return _with_words(_judge(volume, truth), bool(said))


@contextlib.contextmanager
def _words() -> Iterator[list[str]]:
    """What is said inside of the block, be it by warnings, by logging or on the standard error of C++ code."""
    said: list[str] = []
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for off_topic in (DeprecationWarning, FutureWarning, ResourceWarning, ImportWarning):
                warnings.simplefilter("ignore", off_topic)
            os.dup2(file.fileno(), 2)
            try:
                yield said
            finally:
                os.dup2(kept, 2)
            file.seek(0)
            said += [str(warning.message) for warning in caught] + file.read().decode("utf-8", "replace").splitlines()
    finally:
        os.close(kept)
        logging.getLogger().removeHandler(handler)
    said += text.getvalue().splitlines()
    said[:] = [line for line in said if line.strip() and OFF_TOPIC not in line]


def _judge(volume: Volume, truth: Truth) -> str:
    if len(truth.stacks) == 1 and not truth.damaged:
        return _verdict(volume, truth.stacks[0])
    # One array cannot hold several stacks, or tell that a slice was lost.
    return f"LOSS {volume.shape}"


def _with_words(verdict: str, spoke: bool) -> str:
    if verdict.startswith("ok"):
        return verdict
    if spoke:
        return "warned"
    return verdict.replace("LOSS", "SILENT")


def _verdict(volume: Volume, expected: Expected) -> str:
    truth = np.stack(expected.values).astype(np.float64)
    volume = _axes_as(volume, truth.shape)
    if volume.shape != truth.shape:
        return f"WRONG SHAPE {volume.shape}"
    values = volume.astype(np.float64)
    if np.allclose(values, truth, rtol=1e-6):
        return "ok"
    if len(truth) > 1 and np.allclose(values[::-1], truth, rtol=1e-6):
        return "ok (reversed)"
    same = [any(np.allclose(a, b, rtol=1e-6) for b in truth) for a in values]
    return "WRONG ORDER" if len(truth) > 1 and all(same) else "WRONG VALUES"


def _axes_as(volume: Volume, shape: tuple[int, ...]) -> Volume:
    """The volume with its axes in the order of ``shape``, whose lengths differ; each reader has its own order."""
    lengths = [length for length in shape if length > 1]
    squeezed = volume.squeeze()
    if sorted(squeezed.shape) != sorted(lengths):
        return volume
    return squeezed.transpose([squeezed.shape.index(length) for length in lengths]).reshape(shape)


def _only_file(folder: Path) -> Path:
    """The file of a folder that holds one, else the folder."""
    files: list[Any] = [path for path in folder.rglob("*") if path.is_file()]
    return files[0] if len(files) == 1 else folder
