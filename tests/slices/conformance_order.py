"""Series that are hard to put in order: what belongs together, where it lies, and what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.slices.conformance import RAW, Expected, Truth, at, case, ct, file_name, hu, unplaced, write
from tests.slices.factories import SPACING_Z, dicom_slice, enhanced, save, stored_pixels


@case
def plain(folder: Path) -> Truth:
    write(folder)
    return Truth([ct(range(5))])


@case
def instance_numbers_reversed(folder: Path) -> Truth:
    write(folder, change=lambda i: {"InstanceNumber": 5 - i})
    return Truth([ct(range(5))])


@case
def instance_numbers_scrambled(folder: Path) -> Truth:
    write(folder, change=lambda i: {"InstanceNumber": (3, 1, 5, 2, 4)[i]})
    return Truth([ct(range(5))])


@case
def instance_numbers_missing(folder: Path) -> Truth:
    write(folder, change=lambda i: {"InstanceNumber": None})
    return Truth([ct(range(5))])


@case
def instance_numbers_all_equal(folder: Path) -> Truth:
    write(folder, change=lambda i: {"InstanceNumber": 1})
    return Truth([ct(range(5))])


@case
def acquisition_numbers_interleaved(folder: Path) -> Truth:
    write(folder, 6, lambda i: {"AcquisitionNumber": i % 2})
    return Truth([ct(range(6))])


@case
def missing_slice(folder: Path) -> Truth:
    write(folder, 6)
    (folder / file_name(3)).unlink()
    return Truth([ct([0, 1, 2, 4, 5], "gap")])


@case
def uneven_steps(folder: Path) -> Truth:
    places = [0, 2.5, 5.2, 7.5, 10]
    write(folder, 5, lambda i: {"ImagePositionPatient": [-20, -10, places[i]]})
    values = [hu(i) for i in range(5)]
    return Truth([Expected(values, [(-20, -10, z) for z in places], frozenset({"irregular"}))])


@case
def same_places_twice(folder: Path) -> Truth:
    write(folder, 4)
    write(folder, 4, lambda i: {"InstanceNumber": 50 + i, "RescaleIntercept": -1000}, "b")
    return Truth([ct(range(4), "duplicate_positions"), ct(range(4), "duplicate_positions", intercept=-1000)])


@case
def same_places_by_acquisition(folder: Path) -> Truth:
    write(folder, 4, lambda i: {"AcquisitionNumber": 2})
    write(folder, 4, lambda i: {"AcquisitionNumber": 1, "RescaleIntercept": -1000}, "b")
    return Truth([ct(range(4), "duplicate_positions"), ct(range(4), "duplicate_positions", intercept=-1000)])


@case
def one_file_copied(folder: Path) -> Truth:
    """The copy has the same SOPInstanceUID."""
    write(folder, 4)
    (folder / "copy.dcm").write_bytes((folder / file_name(2)).read_bytes())
    return Truth([ct(range(4), "duplicate_positions"), ct([2], "duplicate_positions")])


@case
def two_series(folder: Path) -> Truth:
    write(folder, 4)
    write(folder, 3, lambda i: {"SeriesInstanceUID": "1.9", "RescaleIntercept": -1000}, "b")
    return Truth([ct(range(4)), ct(range(3), intercept=-1000)])


@case
def two_patients(folder: Path) -> Truth:
    write(folder, 3)
    other = {"PatientID": "OTHER", "StudyInstanceUID": "1.8", "SeriesInstanceUID": "1.8.1", "RescaleIntercept": -1000}
    write(folder, 3, lambda i: other, "b")
    return Truth([ct(range(3)), ct(range(3), intercept=-1000)])


@case
def series_unnamed_in_two_folders(folder: Path) -> Truth:
    write(folder / "one", 3, lambda i: {"SeriesInstanceUID": ""})
    write(folder / "two", 3, lambda i: {"SeriesInstanceUID": "", "RescaleIntercept": -1000})
    return Truth([ct(range(3)), ct(range(3), intercept=-1000)])


@case
def localizer_in_series(folder: Path) -> Truth:
    write(folder, 4)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    save(dicom_slice(9, **scout), folder / "scout.dcm")
    return Truth([ct(range(4))], {"scout.dcm": "localizer"})


@case
def two_orientations_in_series(folder: Path) -> Truth:
    write(folder, 3)
    turned = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "RescaleIntercept": -1000}
    write(folder, 3, lambda i: turned | {"ImagePositionPatient": [0, 4 * i, 0]}, "b")
    values = [hu(i, -1000) for i in range(3)]
    return Truth([ct(range(3)), Expected(values, [(0, 4 * i, 0) for i in range(3)])])


@case
def two_sizes_in_series(folder: Path) -> Truth:
    write(folder, 4)
    save(dicom_slice(4, pixels=stored_pixels(4, 20, 30)), folder / "small.dcm")
    return Truth([ct(range(4)), Expected([stored_pixels(4, 20, 30).astype(int) - 1024], [at(4)])])


@case
def two_frames_of_reference(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"FrameOfReferenceUID": "1.1"})
    write(folder, 3, lambda i: {"FrameOfReferenceUID": "1.2", "RescaleIntercept": -1000}, "b")
    return Truth([ct(range(3)), ct(range(3), intercept=-1000)])


def contrast(folder: Path, keyword: str, values: tuple[float, float]) -> Truth:
    write(folder, 3, lambda i: {keyword: values[0]})
    write(folder, 3, lambda i: {keyword: values[1], "RescaleIntercept": -1000}, "b")
    return Truth([ct(range(3)), ct(range(3), intercept=-1000)])


@case
def time_points(folder: Path) -> Truth:
    return contrast(folder, "TemporalPositionIdentifier", (1, 2))


@case
def echoes(folder: Path) -> Truth:
    return contrast(folder, "EchoTime", (4.6, 80.0))


@case
def b_values(folder: Path) -> Truth:
    return contrast(folder, "DiffusionBValue", (0.0, 1000.0))


@case
def gantry_tilt(folder: Path) -> Truth:
    write(folder, change=lambda i: {"ImagePositionPatient": [-20, -10 + i, i * SPACING_Z]})
    origins = [(-20, -10 + i, i * SPACING_Z) for i in range(5)]
    return Truth([Expected([hu(i) for i in range(5)], origins, frozenset({"tilt"}))])


@case
def gantry_tilt_with_gap(folder: Path) -> Truth:
    write(folder, 6, lambda i: {"ImagePositionPatient": [-20, -10 + i, i * SPACING_Z]})
    (folder / file_name(2)).unlink()
    kept = [0, 1, 3, 4, 5]
    origins = [(-20, -10 + i, i * SPACING_Z) for i in kept]
    return Truth([Expected([hu(i) for i in kept], origins, frozenset({"tilt", "gap"}))])


def oriented(folder: Path, orientation: list[float], place: list[float], descending: bool = False) -> Truth:
    write(folder, 4, lambda i: {"ImageOrientationPatient": orientation, "ImagePositionPatient": [v * i for v in place]})
    order = [3, 2, 1, 0] if descending else [0, 1, 2, 3]
    origins = [(place[0] * i, place[1] * i, place[2] * i) for i in order]
    return Truth([Expected([hu(i) for i in order], origins)])


@case
def sagittal(folder: Path) -> Truth:
    """Row x column points to the right, so the slices ascend from left to right."""
    return oriented(folder, [0, 1, 0, 0, 0, -1], [2, 0, 0], descending=True)


@case
def coronal(folder: Path) -> Truth:
    return oriented(folder, [1, 0, 0, 0, 0, -1], [0, 3, 0])


@case
def oblique(folder: Path) -> Truth:
    return oriented(folder, [0.8, 0.6, 0, 0, 0, -1], [-1.2, 1.6, 0])


@case
def head_first_prone(folder: Path) -> Truth:
    """Rows run to the right and columns to the front: row x column still points to the head."""
    return oriented(folder, [-1, 0, 0, 0, -1, 0], [0, 0, 2.5])


@case
def normal_to_the_feet(folder: Path) -> Truth:
    return oriented(folder, [1, 0, 0, 0, -1, 0], [0, 0, 2.5], descending=True)


@case
def orientation_not_of_unit_length(folder: Path) -> Truth:
    write(folder, 3, lambda i: {"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]})
    return Truth([unplaced([hu(i) for i in range(3)])])


@case
def positions_missing(folder: Path) -> Truth:
    write(folder, 4, lambda i: {"ImagePositionPatient": None, "InstanceNumber": 4 - i})
    return Truth([unplaced([hu(i) for i in (3, 2, 1, 0)])])


@case
def enhanced_shuffled_with_own_slopes(folder: Path) -> Truth:
    order, slopes = [2, 0, 3, 1], [1.0, 2.0, 3.0, 4.0]
    save(enhanced(order, slopes), folder / "a.dcm")
    values = [stored_pixels(i) * slopes[order.index(i)] for i in range(4)]
    return Truth([Expected(values, [at(i) for i in range(4)])])


@case
def enhanced_time_points(folder: Path) -> Truth:
    dataset = enhanced([1, 0, 1, 0], [1.0, 1.0, 2.0, 2.0])
    for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        content = Dataset()
        content.TemporalPositionIndex = 1 + index // 2
        groups.FrameContentSequence = Sequence([content])
    save(dataset, folder / "a.dcm")
    places = [at(0), at(1)]
    return Truth([Expected([stored_pixels(i) * slope for i in (0, 1)], places) for slope in (1, 2)])


@case
def enhanced_without_time_points(folder: Path) -> Truth:
    save(enhanced([1, 0, 1, 0], [1.0, 1.0, 2.0, 2.0]), folder / "a.dcm")
    places, flags = [at(0), at(1)], frozenset({"duplicate_positions"})
    return Truth([Expected([stored_pixels(i) * slope for i in (0, 1)], places, flags) for slope in (1, 2)])


@case
def cine_loop(folder: Path) -> Truth:
    """Frames of one file without functional groups: its one position places none of them."""
    frames = np.stack([stored_pixels(i) for i in range(3)])
    extra = {"Modality": "XA", "BurnedInAnnotation": "NO", "NumberOfFrames": 3}
    save(dicom_slice(0, pixels=frames, **RAW, **extra), folder / "a.dcm")
    return Truth([unplaced(list(frames))])
