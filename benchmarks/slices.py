"""Slice extraction: this package and the readers that people use, on the same files in the same run.

    python benchmarks/slices.py                         200 slices of 512 x 512, three repeats
    python benchmarks/slices.py --slices 24 --repeats 1 a quick look
    python benchmarks/slices.py --note "quiet machine"

Processor time (user and system, child processes included), because wall time says little on a shared machine; cases
take turns, and the median of the repeats counts. All files lie in the page cache. Every reader's values are compared
with the truth first; a case with other values is named and has no number. Writes ``results/slices.json`` and the table
in ``docs/slices.md``. dcm2niix takes part if it is installed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  after the number of threads
from PIL import Image  # noqa: E402  as above

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import slice_readers as readers  # noqa: E402  after the path of this checkout
from slice_data import Data, make  # noqa: E402  as above

from lvm_med_monai.slices.store.codecs import CODECS, codec  # noqa: E402  as above
from lvm_med_monai.slices.windows import Window, to_uint8  # noqa: E402  as above

RESULTS = ROOT / "benchmarks" / "results" / "slices.json"
PAGE = ROOT / "docs" / "slices.md"
BEGIN, END = "<!-- slices.json -->\n", "<!-- end of slices.json -->\n"
STREAM = """
import sys
from pathlib import Path
def memory(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024
from lvm_med_monai.slices import Stack, iter_stacks
import numpy, nibabel, isal.igzip
before = memory("VmHWM")
(stack,) = [item for item in iter_stacks(sys.argv[1]) if isinstance(item, Stack)]
total = sum(int(stack.frame(i).astype("i8").sum()) for i in range(stack.n_slices))
print(before, memory("VmHWM"), total)
"""


def cpu_seconds() -> float:
    """Processor time of this process and of those that it has waited for."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(entry.ru_utime + entry.ru_stime for entry in usage)


def measure(cases: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median CPU milliseconds of each case, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            begin = cpu_seconds()
            case()
            times[name].append(1e3 * (cpu_seconds() - begin))
    return {name: statistics.median(values) for name, values in times.items()}


def compare(
    title: str, path: Path, cases: dict[str, readers.Reader], truth: readers.Array, slices: int, repeats: int
) -> dict[str, Any]:
    """Check each reader against the truth, then measure those that are right; milliseconds a slice."""
    wrong = {}
    for name, read in cases.items():
        if name in ("raw read", "the published script"):
            read(path)
            continue
        try:
            values = read(path)
            if not (np.array_equal(values, truth) or np.array_equal(values[::-1], truth)):
                wrong[name] = f"other values, shape {values.shape}"
        except Exception as error:  # a reader that fails is a result
            wrong[name] = type(error).__name__
    if any(name.startswith("ours") for name in wrong):
        raise SystemExit(f"{title}: {wrong}; nothing is written")
    right = {name: (lambda read=read: read(path)) for name, read in cases.items() if name not in wrong}
    times = {name: round(value / slices, 4) for name, value in measure(right, repeats).items()}
    print(title, times, wrong or "", flush=True)
    return {"ms_a_slice": times, "wrong": wrong, "slices": slices}


def codec_table(volume: readers.Array, repeats: int) -> dict[str, Any]:
    """Encoding and decoding of 16-bit slices; Pillow's PNG beside ours."""
    planes = (volume - volume.min()).astype(np.uint16)
    rows = {}
    for name in (*CODECS, "Pillow"):
        encode, decode = _pillow() if name == "Pillow" else (codec(name).encode, codec(name).decode)
        data = [encode(plane) for plane in planes]
        for plane, item in zip(planes, data, strict=True):
            if not np.array_equal(decode(item, plane.shape, plane.dtype), plane):
                raise SystemExit(f"{name} is not lossless; nothing is written")
        cases = {
            "encode": lambda encode=encode: [encode(plane) for plane in planes],
            "decode": lambda decode=decode, data=data: [decode(item, planes[0].shape, planes.dtype) for item in data],
        }
        times = {step: round(value / len(planes), 3) for step, value in measure(cases, repeats).items()}
        size = sum(map(len, data)) / len(data)
        rows[name] = {**times, "kib": round(size / 1024, 1), "ratio": round(planes[0].nbytes / size, 2)}
        print("codec", name, rows[name], flush=True)
    return rows


def _pillow() -> tuple[Callable[[readers.Array], bytes], Callable[..., readers.Array]]:
    def encode(pixels: readers.Array) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        return buffer.getvalue()

    return encode, lambda data, shape, dtype: np.asarray(Image.open(io.BytesIO(data))).astype(dtype)


def streaming_memory(data: Data) -> dict[str, int]:
    """Peak resident memory of reading the .nii.gz slice by slice, in a process of its own."""
    command = [sys.executable, "-c", STREAM, str(data.nifti)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    before, after, total = map(int, done.stdout.split())
    if total != int(data.volume.sum(dtype=np.int64)):
        raise SystemExit("streaming gives other values; nothing is written")
    return {
        "before_bytes": before,
        "peak_bytes": after,
        "added_bytes": after - before,
        "volume_bytes": data.volume.nbytes,
    }


def run(slices: int, compressed: int, repeats: int) -> dict[str, Any]:
    """Everything, on files made for it."""
    with tempfile.TemporaryDirectory() as folder:
        data = make(Path(folder), slices, compressed)
        chosen = data.volume[[0, slices // 2, slices - 1]]
        shown = to_uint8(chosen, Window(*readers.WINDOW))
        ratio = data.volume.nbytes / data.nifti.stat().st_size
        some, volume = (compressed, repeats), data.volume
        return {
            "gzip_ratio": round(ratio, 2),
            "memory": streaming_memory(data),
            "dicom": compare("DICOM", data.series, readers.dicom_readers(), volume, slices, repeats),
            "nifti": compare(".nii.gz", data.nifti, readers.nifti_readers(), volume, slices, repeats),
            "dicom_png": compare("DICOM to PNG", data.series, readers.writers(dicom=True), shown, slices, repeats),
            "nifti_png": compare(".nii.gz to PNG", data.nifti, readers.writers(dicom=False), shown, slices, repeats),
            "syntaxes": {
                name: compare(name, path, readers.syntax_readers(name), volume[:compressed], *some)
                for name, path in data.compressed.items()
            },
            "codecs": codec_table(volume[:compressed], repeats),
        }


def environment(note: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Where and how the numbers came about."""
    names = (
        "numpy isal pydicom monai itk SimpleITK nibabel imagecodecs pillow pylibjpeg-openjpeg pylibjpeg-rle pyjpegls"
    )
    versions = {name: metadata.version(name) for name in (*names.split(), "python-gdcm")}
    return {
        "command": shlex.join(["python", "benchmarks/slices.py", *sys.argv[1:]]),
        "device": f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "note": note,
        "slices": arguments.slices,
        "repeats": arguments.repeats,
        "versions": versions | {"python": platform.python_version()},
    }


def table(result: dict[str, Any]) -> list[str]:
    """The page's lines."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        f"{result['slices']} slices of 512 x 512, int16, made from the demonstration's chest CT with noise (gzip ratio",
        f"{result['gzip_ratio']}). Processor time a slice, median of {result['repeats']}, cases in turns, files",
        f"cached, one thread, every value checked. {result['device']}. {result['note']} {versions}.",
        f"`{result['command']}`",
    ]
    titles = {
        "dicom": "uncompressed DICOM to ordered int16",
        "nifti": ".nii.gz to int16",
        "dicom_png": "DICOM to 8-bit PNG, end to end",
        "nifti_png": ".nii.gz to 8-bit PNG, end to end",
    }
    named = [(title, result[key]) for key, title in titles.items()]
    named += [(f"{name}, lossless", found) for name, found in result["syntaxes"].items()]
    for title, found in named:
        times = found["ms_a_slice"]
        own = min(value for name, value in times.items() if name.startswith("ours"))
        lines += ["", f"| {title} | ms a slice | against ours |", "|---|---|---|"]
        lines += [f"| {name} | {value:.3g} | {value / own:.2f} |" for name, value in times.items()]
        lines += [f"| {name} | {why} | - |" for name, why in found["wrong"].items()]
    lines += ["", "| codec, 16 bits | encode, ms | decode, ms | KiB | ratio |", "|---|---|---|---|---|"]
    for name, row in result["codecs"].items():
        lines.append(f"| {name} | {row['encode']:.3g} | {row['decode']:.3g} | {row['kib']} | {row['ratio']} |")
    memory = {name: round(value / 1e6, 1) for name, value in result["memory"].items()}
    lines += [
        "",
        f"Reading the .nii.gz slice by slice adds {memory['added_bytes']} MB to the {memory['before_bytes']} MB of the",
        f"loaded libraries; the whole volume has {memory['volume_bytes']} MB.",
    ]
    return lines


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--compressed", type=int, default=24, help="slices of each compressed series")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--note", default="", help="what a reader should know of the machine")
    parser.add_argument("--dry-run", action="store_true", help="measure, but write nothing")
    options = parser.parse_args()
    measured = run(options.slices, min(options.compressed, options.slices), options.repeats)
    result = environment(options.note, options) | measured
    if options.dry_run:
        print("\n".join(table(result)))
        return
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    text = before + BEGIN + "\n" + "\n".join(table(result)) + "\n\n" + END + rest.split(END)[1]
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
