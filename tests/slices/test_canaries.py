"""Whatever could name a patient is planted wherever an input can hold it, and looked for in everything that comes out.

`scan` and a plan are for the owner of the data: they show paths, and a plan also series UIDs, but no other value.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import itk
import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from lvm_med_monai.slices import Source, WorkLimits, extract, iter_stacks, read_manifest
from lvm_med_monai.slices.__main__ import main
from tests.slices.factories import compressed, dicom_slice, save

NAME = "Zaphodine Quarzbichler"
IDENTIFIER = "KX-7741093"
BIRTH = "19530417"
INSTITUTION = "Krankenhaus Oberunterzell"
ACCESSION = "ACC88120417"
UID = "1.2.826.0.1.3680043.9.7777.31415926"
FOLDER = "Quarzbichler_Zaphodine"
FILE = "scan-of-KX-7741093"
MEMBER = "Oberunterzell/Quarzbichler-member"
FREE = "please call Doctor Grauwacke"
DATE_FORMS = ("19530417", "1953-04-17", "17041953", "17.04.1953", "04/17/1953", "17-04-1953")
PLANTED = (NAME, IDENTIFIER, INSTITUTION, ACCESSION, UID, FREE)
WORDS = ("Zaphodin", "Quarzbichler", "KX-7741093", "Oberunterzell", ACCESSION, UID, "Grauwacke", "7777.31415926")
"""Parts by which each planted text and name is known, whatever stands around it."""


def forms(word: str) -> set[str]:
    """A word as it may come out: in other cases, reversed, in base64 at each of three offsets, in a URL, in hex."""
    found = {word, word.lower(), word.upper(), word[::-1], quote(word), quote(word, safe=""), word.encode().hex()}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + word.encode()).decode().rstrip("=")
        found.add(encoded[4 if offset else 0 : -1])  # the ends depend on the neighbours
    return found


CANARIES = {form for word in WORDS for form in forms(word)} | set(DATE_FORMS)


def leaks(data: bytes) -> list[str]:
    """Canaries in some bytes, as text of one byte or two bytes a letter."""
    text = data.decode("latin-1")
    wide = [data.decode(codec, "ignore") for codec in ("utf-16-le", "utf-16-be")]
    return sorted(canary for canary in CANARIES if canary in text or any(canary in other for other in wide))


def named(index: int, series: str = UID, **changes: object) -> Dataset:
    """A slice whose header names the patient in every field that comes to mind, and in private ones."""
    return label(dicom_slice(index, series, **changes))


def label(dataset: Dataset) -> Dataset:
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, IDENTIFIER, BIRTH
    dataset.OtherPatientIDs = IDENTIFIER
    dataset.InstitutionName, dataset.AccessionNumber = INSTITUTION, ACCESSION
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = UID + ".2", UID + ".3"
    dataset.SOPInstanceUID = f"{UID}.4.{dataset.InstanceNumber}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = BIRTH
    dataset.StudyDescription = dataset.SeriesDescription = dataset.ImageComments = FREE
    dataset.ReferringPhysicianName = dataset.OperatorsName = NAME
    dataset.RescaleType = "HU"
    dataset.add_new(0x00091001, "LO", NAME)
    return dataset


def broken(path: Path) -> None:
    """Damage a file in its second half."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :: 7] = bytes(len(data[len(data) // 2 :: 7]))
    path.write_bytes(data)


def plant_dicom(root: Path) -> None:
    for index in range(3):
        save(named(index), root / FOLDER / f"{FILE}-{index}.dcm")
    save(label(compressed(9, JPEG2000Lossless, SeriesInstanceUID=UID)), root / FOLDER / f"{FILE}-broken.dcm")
    broken(root / FOLDER / f"{FILE}-broken.dcm")
    save(named(0, UID + ".8", Modality="US"), root / FOLDER / f"{FILE}-us.dcm")
    save(named(0, UID + ".9", Rows=9000), root / FOLDER / f"{FILE}-short.dcm")
    save(named(0, UID + ".10", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), root / FOLDER / f"{FILE}-scout.dcm")
    odd = save(named(0, UID + ".11"), root / FOLDER / f"{FILE}-odd.dcm")
    content = odd.read_bytes()
    assert b"0.75\\0.5" in content
    odd.write_bytes(content.replace(b"0.75\\0.5", NAME[:8].encode()))


def plant_volumes(root: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 900, (34, 36, 5)).astype(np.int16)
    image = nibabel.Nifti1Image(volume, np.diag([1.0, 1, 3, 1]))
    image.header["descrip"], image.header["aux_file"] = NAME.encode(), FOLDER.encode()
    image.header["db_name"], image.header["intent_name"] = IDENTIFIER.encode(), b"Grauwacke"
    nibabel.save(image, root / f"{FILE}.nii.gz")
    nibabel.save(image, root / f"{FILE}-cut.nii")
    (root / f"{FILE}-cut.nii").write_bytes((root / f"{FILE}-cut.nii").read_bytes()[:5000])
    itk.imwrite(itk.image_from_array(volume.T.copy()), str(root / f"{FILE}.nrrd"))
    text = (root / f"{FILE}.nrrd").read_bytes()
    (root / f"{FILE}.nrrd").write_bytes(text.replace(b"\n", f"\n# {NAME}\nname:={IDENTIFIER}\n".encode(), 1))
    itk.imwrite(itk.image_from_array(volume.T.copy()), str(root / f"{FILE}.mha"))
    (root / f"{FILE}.mhd").write_text(f"ObjectType = Image\nPatientName = {NAME}\nElementDataFile = {FILE}.raw\n")


def plant_pictures(root: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (40, 44, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", NAME)
    text.add_itxt("Comment", FREE, zip=True)
    image.save(root / f"{FILE}.png", pnginfo=text)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x8298] = FREE, NAME, INSTITUTION
    image.save(root / f"{FILE}.jpg", exif=exif, comment=IDENTIFIER.encode())
    image.save(root / f"{FILE}.tiff", tiffinfo={270: FREE, 315: NAME, 305: INSTITUTION})
    (root / f"{FILE}-text.png").write_text(NAME)
    (root / f".{FILE}").write_text(NAME)
    (root / f"{FILE}.txt").write_text(NAME)


def plant_archives(root: Path) -> None:
    member = io.BytesIO()
    named(0, UID + ".12").save_as(member, enforce_file_format=True)
    with zipfile.ZipFile(root / f"{FILE}.zip", "w") as archive:
        archive.comment = NAME.encode()
        archive.writestr(f"{MEMBER}.dcm", member.getvalue())
        archive.writestr(f"{MEMBER}.txt", NAME)
        archive.writestr(f"../../{MEMBER}", NAME)
    with tarfile.open(root / f"{FILE}.tar", "w", pax_headers={"comment": NAME}) as tar:
        info = tarfile.TarInfo(f"{MEMBER}.dcm")
        info.size, info.uname, info.gname = len(member.getvalue()), "quarzbichler", IDENTIFIER
        tar.addfile(info, io.BytesIO(member.getvalue()))
    (root / f"{FILE}-broken.zip").write_bytes((root / f"{FILE}.zip").read_bytes()[:700])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inputs") / FOLDER
    root.mkdir()
    for plant in (plant_dicom, plant_volumes, plant_pictures, plant_archives):
        plant(root)
    return root


@pytest.fixture(scope="module")
def out(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extracted by the command line's function in a worker; `test_extraction_says_nothing` looks at what it prints."""
    return tmp_path_factory.mktemp("outputs") / "out"


@pytest.fixture(scope="module")
def printed(inputs: Path, out: Path) -> str:
    """Everything that extraction with workers prints or logs."""
    import contextlib

    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)
    pattern = f"({IDENTIFIER})"
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        source = Source(inputs, "planted", patient=pattern, patients="common")
        limits = WorkLimits(seconds=60)
        summary = extract([source], out, None, out.with_name("key"), keep_burned_in=True, workers=1, limits=limits)
        print(summary)
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)
    return stream.getvalue()


def test_extraction_in_this_process_says_nothing(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Without workers the libraries print, warn and log for the caller; Pillow's debug log alone does quote texts."""
    with caplog.at_level(logging.INFO), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        extract([inputs], tmp_path / "out", key_file=tmp_path / "key", keep_burned_in=True)
    said = [*capfd.readouterr(), caplog.text, *(str(warning.message) for warning in caught)]
    assert [words for text in said if (words := leaks(text.encode()))] == []


def texts_of(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every file as its bytes, and Parquet, which compresses, as its rows and metadata too."""
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root).as_posix()
        yield f"name of {name}", name.encode()
        yield name, path.read_bytes()
        if path.suffix == ".parquet":
            yield name, (str(pq.read_metadata(path).metadata) + json.dumps(pq.read_table(path).to_pylist())).encode()


def test_the_search_finds_what_is_there(inputs: Path) -> None:
    found = {word for _, data in texts_of(inputs) for word in leaks(data)}
    assert {"Quarzbichler", IDENTIFIER, "Grauwacke", "Oberunterzell", ACCESSION, UID, BIRTH} <= found
    assert leaks(b"x" + base64.b64encode(b"name: Quarzbichler!"))
    assert leaks("Zaphodine".encode("utf-16-le"))
    assert leaks(b"born 17.04.1953")


def test_extraction_says_nothing(printed: str, out: Path) -> None:
    assert leaks(printed.encode()) == []
    rows = read_manifest(out).to_pylist()
    formats = {row["source_format"] for row in rows}
    assert {"dicom", "nifti", "nrrd", "metaimage", "png", "jpeg", "tiff"} <= formats


@pytest.mark.usefixtures("printed")
def test_no_canary_in_any_output_byte(out: Path) -> None:
    found = {name: words for name, data in texts_of(out) if (words := leaks(data))}
    assert found == {}


@pytest.mark.usefixtures("printed")
def test_commands_say_nothing(out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "made").mkdir()
    assert main(["verify", str(out)]) == 0
    assert main(["verify", str(out), "--json"]) == 0
    assert main(["montage", str(out), "-o", str(tmp_path / "made")]) == 0
    assert main(["stats", str(out), "-o", str(tmp_path / "made" / "stats.html"), "--json"]) == 0
    assert leaks("".join(capfd.readouterr()).encode()) == []
    assert {name: words for name, data in texts_of(tmp_path / "made") if (words := leaks(data))} == {}


def test_scan_shows_paths_alone(inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", str(inputs), "--json", "--workers", "0", "-o", str(tmp_path / "plan.parquet")]) == 0
    output = capfd.readouterr()
    rows = [json.loads(line) for line in output.out.splitlines()]
    assert any(IDENTIFIER in row.get("path", "") for row in rows)
    values = [{name: value for name, value in row.items() if name != "path"} for row in rows]
    assert leaks(json.dumps(values).encode()) == []
    assert leaks(output.err.encode()) == []


def test_a_plan_holds_paths_and_series_alone(inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", str(inputs), "--quiet", "--workers", "0", "-o", str(tmp_path / "plan.parquet")]) == 0
    table = pq.read_table(tmp_path / "plan.parquet")
    assert leaks(str(table.drop(["path", "unit_key"]).to_pylist()).encode()) == []
    keys = {key for key in table["unit_key"].to_pylist() if leaks(key)}
    assert all(IDENTIFIER.encode() in key or UID.encode() in key for key in keys)
    whole = str(table.to_pylist()).encode()
    assert not [word for word in (NAME, INSTITUTION, ACCESSION, FREE, BIRTH) if word.encode() in whole]
    assert leaks("".join(capfd.readouterr()).encode()) == []


def test_errors_and_rejects_quote_nothing(inputs: Path) -> None:
    """What readers raise or reject is shown with the path that the caller gave, so paths are no leak here."""
    texts = []
    for item in iter_stacks(inputs):
        texts.append(getattr(item, "detail", ""))
        for index in range(getattr(item, "n_slices", 0)):
            try:
                item.frame(index)  # type: ignore[union-attr]  # rejects have no slices
            except Exception as error:
                texts += [str(error), repr(error), error.reject.detail if hasattr(error, "reject") else ""]
        if hasattr(item, "geometry"):
            shown = repr(item)
            for path in item.sources:
                shown = shown.replace(repr(path), "")
            texts.append(shown)
    assert [words for text in texts if (words := leaks(text.encode()))] == []
