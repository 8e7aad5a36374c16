from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from lvm_med_monai.slices.geometry import LPS_TO_RAS
from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import FrameError, Reject, Stack

SHAPE = (5, 6, 7)
VOLUME = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) - 100
ISOTROPIC = np.diag([2.0, 2, 2, 1])


def only(path: Path) -> Stack:
    (stack,) = iter_stacks(path)
    assert isinstance(stack, Stack), stack
    return stack


def assert_same_places(stack: Stack, volume: np.ndarray, ras_affine: np.ndarray) -> None:
    """Every pixel has the value of the voxel at its place in the patient."""
    frames = stack.array()
    assert frames.size == volume.size
    z, y, x = np.indices(frames.shape).reshape(3, -1)
    places = stack.geometry.affine @ np.stack([x, y, z, np.ones_like(x)])
    i, j, k, _ = np.rint(np.linalg.inv(LPS_TO_RAS @ ras_affine) @ places).astype(int)
    assert np.array_equal(frames.ravel(), volume[i, j, k])


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "ASL", "SRA"])
@pytest.mark.parametrize("zooms", [(2, 2, 2), (1, 1, 4), (4, 1, 1), (1, 4, 1)])
def test_orientations(tmp_path: Path, axes: str, zooms: tuple[int, int, int]) -> None:
    codes = nibabel.orientations.axcodes2ornt(tuple(axes))
    affine = nibabel.orientations.inv_ornt_aff(codes, SHAPE) @ np.diag([*zooms, 1])
    nibabel.save(nibabel.Nifti1Image(VOLUME, affine), tmp_path / "a.nii.gz")
    stack = only(tmp_path / "a.nii.gz")
    assert stack.array().dtype == np.int16
    assert stack.n_slices == SHAPE[max(range(3), key=lambda a: (zooms[a], a))]
    assert (stack.geometry.steps > 0).all()
    assert_same_places(stack, VOLUME, affine)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        (nibabel.Nifti1Image, "nii"),
        (nibabel.Nifti2Image, "nii"),
        (nibabel.Nifti1Pair, "hdr"),
        (nibabel.AnalyzeImage, "hdr"),
        (nibabel.MGHImage, "mgz"),
    ],
)
def test_formats(tmp_path: Path, kind: type, suffix: str) -> None:
    nibabel.save(kind(VOLUME, ISOTROPIC), tmp_path / f"a.{suffix}")
    results = list(iter_stacks(tmp_path))
    assert len(results) == 1  # the .img is a source, not a stranger
    assert isinstance(results[0], Stack)
    assert len(results[0].sources) == (2 if suffix == "hdr" else 1)
    assert_same_places(results[0], VOLUME, nibabel.load(tmp_path / f"a.{suffix}").affine)
    assert ("no_geometry" in results[0].flags) == (kind is nibabel.AnalyzeImage)


@pytest.mark.parametrize(
    ("slope", "inter", "dtype", "expected"),
    [
        (1, -1024, np.int32, VOLUME - 1024),
        (float("nan"), 7, np.int16, VOLUME),
        (0, 0, np.int16, VOLUME),
        (0.5, 1, np.float32, VOLUME * 0.5 + 1),
    ],
)
def test_scaling(tmp_path: Path, slope: float, inter: float, dtype: type, expected: np.ndarray) -> None:
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(VOLUME.astype(np.int16), ISOTROPIC), path)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(data)
    stack = only(path)
    assert stack.array().dtype == dtype
    assert_same_places(stack, np.asarray(expected, dtype=np.float32), ISOTROPIC)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "f4", "f8", ">i2"])
def test_types(tmp_path: Path, dtype: str) -> None:
    volume = np.abs(VOLUME).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(volume, ISOTROPIC, dtype=volume.dtype), tmp_path / "a.nii")
    stack = only(tmp_path / "a.nii")
    wide = {"u2": np.int32, "i4": np.int32, "f4": np.float32, "f8": np.float32}
    assert stack.array().dtype == wide.get(dtype, np.int16)
    assert_same_places(stack, volume, ISOTROPIC)


def test_four_dimensions_are_stacks(tmp_path: Path) -> None:
    volume = np.stack([VOLUME, VOLUME * 2, VOLUME * 3], axis=-1)
    nibabel.save(nibabel.Nifti1Image(volume, ISOTROPIC), tmp_path / "a.nii.gz")
    stacks = list(iter_stacks(tmp_path))
    assert len(stacks) == 3
    for factor, stack in enumerate(stacks, start=1):
        assert_same_places(stack, VOLUME * factor, ISOTROPIC)


def test_rgb(tmp_path: Path) -> None:
    colour = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["G"] = VOLUME % 256
    nibabel.save(nibabel.Nifti1Image(colour, ISOTROPIC), tmp_path / "a.nii")
    stack = only(tmp_path / "a.nii")
    assert stack.array().shape == (7, 6, 5, 3)
    assert stack.array()[..., 1].max() == colour["G"].max()
    assert stack.array()[..., 0].max() == 0


def test_single_slice_is_cut_along_its_thin_axis(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOLUME[:, :, :1], np.diag([4.0, 1, 1, 1])), tmp_path / "a.nii")
    assert only(tmp_path / "a.nii").n_slices == 1


def test_without_codes_there_is_no_geometry(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOLUME, None), tmp_path / "a.nii")
    assert only(tmp_path / "a.nii").flags == {"no_geometry"}


def test_sheared_affine(tmp_path: Path) -> None:
    sheared = ISOTROPIC.copy()
    sheared[0, 1] = 1
    nibabel.save(nibabel.Nifti1Image(VOLUME, sheared), tmp_path / "a.nii")
    assert only(tmp_path / "a.nii").flags == {"no_geometry", "no_spacing"}


def reason(path: Path) -> str:
    (result,) = iter_stacks(path)
    assert isinstance(result, Reject), result
    assert str(path.parent) not in result.detail
    return result.reason


def test_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(VOLUME, ISOTROPIC), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert reason(path) == "truncated"
    path.write_bytes(whole[:100])
    assert reason(path) == "corrupt"
    huge = bytearray(whole)
    huge[42:48] = np.array([32767] * 3, "<i2").tobytes()
    path.write_bytes(huge)
    assert reason(path) == "too_large"
    path.write_bytes(b"not a volume")
    assert reason(path) == "corrupt"
    path.write_bytes(b"")
    assert reason(path) == "empty"


def test_complex_is_unsupported(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOLUME.astype(np.complex64), ISOTROPIC), tmp_path / "a.nii")
    assert reason(tmp_path / "a.nii") == "unsupported"


def test_header_without_image(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(VOLUME, ISOTROPIC), tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    assert reason(tmp_path / "a.hdr") == "missing_data"


def test_truncated_gzip_fails_when_read(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    noise = np.random.default_rng(0).integers(0, 30000, (40, 40, 40)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(noise, ISOTROPIC), path)
    path.write_bytes(path.read_bytes()[:-5000])
    stack = only(path)
    assert stack.frame(0).shape == (40, 40)  # read before the damage
    with pytest.raises(FrameError) as error:
        stack.array()
    assert error.value.reject.reason == "corrupt"
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("volumes", [1, 3])
def test_wrong_checksum(tmp_path: Path, volumes: int) -> None:
    path = tmp_path / "a.nii.gz"
    noise = np.random.default_rng(0).integers(0, 30000, (40, 40, 40, volumes)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(noise.squeeze(), ISOTROPIC), path)
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    stack = next(iter_stacks(path))
    assert isinstance(stack, Stack)
    # one volume: with the last slice; several: before any slice is given
    with pytest.raises(FrameError, match="corrupt"):
        stack.frame(stack.n_slices - 1 if volumes == 1 else 0)


def header(path: Path, **fields: Any) -> Path:
    """A .nii whose header was changed at will, with the pixels of `VOLUME` behind it."""
    nibabel.save(nibabel.Nifti1Image(VOLUME, ISOTROPIC), path)
    data = bytearray(path.read_bytes())
    places = {"dim": (40, "<i2"), "datatype": (70, "<i2"), "vox_offset": (108, "<f4"), "magic": (344, "u1")}
    for name, value in fields.items():
        offset, kind = places[name]
        raw = np.asarray(value, kind).tobytes()
        data[offset : offset + len(raw)] = raw
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"dim": [3, 32767, 32767, 32767]}, {"too_large"}),
        ({"dim": [3, -5, 6, 7]}, {"corrupt"}),
        ({"dim": [3, 5, 0, 7]}, {"corrupt"}),
        ({"dim": [7, 5, 6, 7, 32767, 32767, 32767, 32767]}, {"too_large"}),
        ({"dim": [99, 5, 6, 7]}, {"corrupt"}),
        ({"dim": [1, 5, 1, 1]}, {"corrupt"}),
        ({"vox_offset": 1e9}, {"corrupt"}),
        ({"vox_offset": -352.0}, {"corrupt"}),
        ({"vox_offset": np.nan}, {"corrupt"}),
        ({"vox_offset": np.inf}, {"corrupt"}),
        ({"vox_offset": 10000.0}, {"truncated", "corrupt"}),
        ({"datatype": 1536}, {"unsupported", "corrupt"}),  # float128
        ({"datatype": 2048}, {"unsupported", "corrupt"}),  # complex256
        ({"datatype": 1}, {"unsupported", "corrupt"}),  # one bit a pixel
        ({"datatype": 12345}, {"corrupt"}),
        ({"magic": [0, 0, 0, 0]}, {"corrupt", "unsupported"}),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_hostile_headers(tmp_path: Path, suffix: str, fields: dict[str, Any], reasons: set[str]) -> None:
    path = header(tmp_path / "a.nii", **fields)
    if suffix == "nii.gz":
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.nii.gz"
    (result,) = iter_stacks(path)
    if isinstance(result, Stack):  # what only the pixels can show
        with pytest.raises(FrameError) as error:
            result.array()
        result = error.value.reject
    assert result.reason in reasons
    assert str(tmp_path) not in result.detail


BOMB_CHECK = """
import resource, sys
from pathlib import Path
from lvm_med_monai.slices.stack import FrameError
from lvm_med_monai.slices.inputs.walk import iter_stacks

(stack,) = iter_stacks(Path(sys.argv[1]))
def peak():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
stack.frame(0)
before, reason = peak(), ""
try:
    for i in range(stack.n_slices):
        assert int(stack.frame(i).max()) == 0
except FrameError as error:
    reason = error.reject.reason
print(peak() - before, i, reason)
"""


@pytest.mark.parametrize("tail", [0, 200])
def test_streams_in_bounded_memory(tmp_path: Path, tail: int) -> None:
    """256 MiB of honest pixels, then 6.7 GB behind them: memory stays at a slab, and the rest is not inflated."""
    block = gzip.compress(bytes(32 << 20), 1)
    image = nibabel.Nifti1Image(np.zeros((512, 512, 1), np.int16), ISOTROPIC)
    image.header.set_data_shape((512, 512, 512))
    start = image.header.binaryblock + bytes(4)
    assert len(start) == 352
    patched = bytearray(start)
    patched[108:112] = np.array([352], "<f4").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(patched)) + block * (8 + tail))
    run = subprocess.run(
        [sys.executable, "-c", BOMB_CHECK, str(tmp_path / "a.nii.gz")], capture_output=True, text=True, timeout=60
    )
    growth, last, *reason = run.stdout.split()
    assert float(growth) < 16  # MiB
    assert (int(last), reason) == (511, ["corrupt"] if tail else [])
