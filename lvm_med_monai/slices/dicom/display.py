"""The values between which a frame asks to be shown (PS3.3 C.11.2, C.7.6.16.2.10)."""

from __future__ import annotations

from lvm_med_monai.slices.dicom.frames import Frame
from lvm_med_monai.slices.dicom.pixels import is_inverted, value_range


def display_range(frame: Frame) -> tuple[float, float] | None:
    """What becomes black and white, in the values that decoding gives.

    Returns:
        0 to 255 for colour; all that a VOI LUT table can give; else the frame's window, mirrored where the frame is
        inverted. None for frames that are not made to be looked at, and for those that ask for nothing.
    """
    if frame.image.colour:
        return 0.0, 255.0
    if frame.units != "display":
        return None
    if frame.image.voi_top is not None:
        return 0.0, float(frame.image.voi_top)
    if frame.window is None or not is_inverted(frame):
        return frame.window
    low, high = value_range(frame)
    return low + high - frame.window[1], low + high - frame.window[0]


def picture_range(frame: Frame) -> tuple[float, float] | None:
    """`display_range`; of frames of 8 bits or fewer that ask for nothing, the range that shows them as they are stored.

    Returns:
        Black and white in the values that decoding gives, or None.
    """
    asked = display_range(frame)
    if asked is not None or frame.units != "display":
        return asked
    plain = frame.image.bits <= 8 and not frame.image.floating and not frame.image.has_modality_lut
    return value_range(frame) if plain else None
