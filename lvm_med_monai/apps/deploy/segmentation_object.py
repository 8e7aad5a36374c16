"""Label maps -> DICOM SEG.

Rules:
    * BINARY, one segment a foreground class, numbered and named by the bundle's channels; every segment is described,
      also one that was not found.
    * A frame for each slice and segment with at least one pixel. Where nothing at all was found, the middle slice has
      one empty frame a segment, and ContentDescription says so: a receiver can tell "nothing found" from "not run".
    * Each frame refers to the file and, for multi-frame files, the frame that it covers pixel by pixel.
    * Images with positions keep frame of reference, positions, orientation and spacing. Images without (radiographs,
      ultrasound, photographs) have none of these in the SEG either: frames are ordered by their number in the stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import highdicom
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from lvm_med_monai.apps.deploy.class_codes import category, concept, words
from lvm_med_monai.apps.deploy.equipment import MANUFACTURER, SERIES_NUMBER, Equipment
from lvm_med_monai.apps.deploy.problems import DeployError, refused_header
from lvm_med_monai.apps.deploy.series import SourceImage
from lvm_med_monai.apps.deploy.source_view import slice_view, thickness

NOTHING_FOUND = "no foreground found"
IN_STACK_POSITION, FRAME_CONTENT = 0x00209057, 0x00209111
"""Tags of InStackPositionNumber and of FrameContentSequence."""


def segment_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Names of the foreground classes; label k is the k-th of them, from 1.

    Raises:
        DeployError: the first channel is not the background, or there is no other.
    """
    if len(class_names) < 2 or "background" not in words(class_names[0]):
        raise DeployError(
            f"channels of the bundle are {list(class_names)}: a segmentation needs the background first and one class "
            "or more after it; correct outputs.pred.channel_def of metadata.json"
        )
    return tuple(class_names[1:])


def check_labels(labels: Any, image: SourceImage, n_classes: int) -> NDArray[np.uint8]:
    """A bundle's label map as slices.

    Args:
        labels: (1, W, H, D) or (W, H, D), values 0 to n_classes - 1.
        image: the stack that was segmented.
        n_classes: channels of the network, background included.

    Returns:
        (D, H, W) uint8.

    Raises:
        DeployError: another shape, or values that are no labels.
    """
    array = np.asarray(labels)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    stack = image.stack
    expected = (stack.width, stack.height, stack.n_slices)
    if array.shape != expected:
        raise DeployError(
            f"the bundle returned an array of {array.shape} for a series of {expected} (W, H, D): its postprocessing "
            "must undo its spatial transforms (Invertd) and end in one channel"
        )
    if not np.isfinite(array).all() or (array != np.round(array)).any() or array.min() < 0 or array.max() >= n_classes:
        raise DeployError(
            f"the bundle returned values that are no labels from 0 to {n_classes - 1}: it must end in argmax"
        )
    return np.ascontiguousarray(np.swapaxes(array.astype(np.uint8), 0, 2))


def write_segmentation(
    image: SourceImage,
    labels: NDArray[np.uint8],
    class_names: Sequence[str],
    equipment: Equipment,
    series_uid: str,
    number: int = 1,
) -> Segmentation:
    """SEG of one stack.

    Args:
        image: the stack.
        labels: (D, H, W) as `check_labels` returns them.
        class_names: channels of the network, background first.
        equipment: the bundle.
        series_uid: SeriesInstanceUID of the result.
        number: InstanceNumber, from 1.

    Raises:
        DeployError: highdicom refuses the source, such as one of an unknown SOP class.
    """
    filled = np.flatnonzero(labels.any(axis=(1, 2)))
    planes = filled if len(filled) else np.array([len(labels) // 2])
    stand_ins = {str(highdicom.UID()): int(plane) for plane in planes}
    views = [slice_view(image, plane, instance) for instance, plane in stand_ins.items()]
    names = segment_names(class_names)
    try:
        result = Segmentation(
            source_images=views,
            pixel_array=labels[planes],
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[_describe(k, name, equipment) for k, name in enumerate(names, 1)],
            series_instance_uid=series_uid,
            series_number=SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=equipment.model[:64],
            software_versions=equipment.software,
            device_serial_number=equipment.version or "0",
            content_description=None if len(filled) else NOTHING_FOUND,
            omit_empty_frames=len(filled) > 0,
            content_label="SEGMENTATION",
            series_description=f"Segmentation by {equipment.model}"[:64],
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise refused_header("a SEG", error, image.headers.values()) from error
    _name_sources(result, image, stand_ins)
    if not image.placed:
        _leave_patient_space(result, image)
    elif thickness(image) is None:
        # A reader wants the thickness beside the spacing; the source, whose pixels are the same, has the spacing.
        del result.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    return result


def _describe(number: int, name: str, equipment: Equipment) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=category(name),
        segmented_property_type=concept(name),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=equipment.algorithm,
    )


def _name_sources(result: Segmentation, image: SourceImage, stand_ins: dict[str, int]) -> None:
    """Put the true files and frame numbers in the place of the stand-ins, and list all files of the stack."""
    for groups in result.PerFrameFunctionalGroupsSequence:
        derivation = groups.DerivationImageSequence[0]
        # highdicom lets the segments of a slice share one item.
        source = deepcopy(derivation.SourceImageSequence[0])
        derivation.SourceImageSequence = [source]
        plane = stand_ins[source.ReferencedSOPInstanceUID]
        header = image.header(plane)
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        if (frame := image.frames[plane]) is not None:
            source.ReferencedFrameNumber = frame
        if not image.placed:
            groups.FrameContentSequence[0].StackID = "1"
            groups.FrameContentSequence[0].InStackPositionNumber = plane + 1
    references = [reference(header) for header in image.headers.values()]
    result.SourceImageSequence = references
    series = Dataset()
    series.SeriesInstanceUID = image.header(0).SeriesInstanceUID
    series.ReferencedInstanceSequence = [reference(header) for header in image.headers.values()]
    result.ReferencedSeriesSequence = [series]


def reference(header: Dataset) -> Dataset:
    """Reference to a source file."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item


def _leave_patient_space(result: Segmentation, image: SourceImage) -> None:
    """Take out the made-up places: what orders the frames is their number in the stack."""
    shared = result.SharedFunctionalGroupsSequence[0]
    for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        if keyword in shared:
            delattr(shared, keyword)
    for groups in result.PerFrameFunctionalGroupsSequence:
        del groups.PlanePositionSequence
        content = groups.FrameContentSequence[0]
        values = content.DimensionIndexValues
        segment = values[0] if isinstance(values, Sequence) else values
        content.DimensionIndexValues = [segment, content.InStackPositionNumber]
    for item in result.DimensionIndexSequence:
        if item.DimensionIndexPointer == 0x00200032:
            item.DimensionIndexPointer, item.FunctionalGroupPointer = IN_STACK_POSITION, FRAME_CONTENT
            item.DimensionDescriptionLabel = "In-Stack Position Number"
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator", "DimensionOrganizationType"):
        if keyword in result:
            delattr(result, keyword)
    orientations = [header.get("PatientOrientation", "") for header in image.headers.values()]
    result.PatientOrientation = orientations[0] if all(found == orientations[0] for found in orientations) else ""
