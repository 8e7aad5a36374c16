"""What the reason codes of rejects mean, in words for people; `docs/slices.md` repeats this table."""

from __future__ import annotations

from lvm_med_monai.slices.stack import Reason

REASON_MEANINGS: dict[Reason, str] = {
    "background": "less foreground than the policy's `min_foreground`",
    "burned_in_risk": "may show patient data as text; extract with `--keep-burned-in` after looking",
    "corrupt": "header or pixels cannot be read",
    "crashed": "the process that read it died; a damaged or hostile file",
    "dicomdir": "an index of other files, which are read themselves",
    "empty": "no bytes",
    "flat": "all pixels equal, or nearly",
    "for_processing": "the unprocessed twin of an image that is there for presentation",
    "hidden": "the name, or that of a folder above it, begins with a dot",
    "localizer": "a scout image",
    "memory": "its unit of work needed more memory than the limit",
    "missing_data": "the pixel file of a header is not beside it",
    "near_duplicate": "looks like a slice of its series that was kept before it",
    "no_pixels": "image attributes without pixels",
    "not_image": "segmentation, dose, structure set, report, presentation state, waveform and the like",
    "plane": "the volume is too anisotropic or irregular for the planes asked for",
    "small": "below the policy's `min_size`",
    "spacing": "nearer to the slice before it than the policy's `every_mm`",
    "symlink": "a link out of the folder, or to a folder",
    "timeout": "its unit of work took longer than the limit",
    "too_large": "declares more pixels, frames or bytes than `limits.py` allows",
    "truncated": "declares more pixels than the file holds",
    "unrecognised": "no image format that is read",
    "unsupported": "a variant that is not read: transfer syntax, pixel type, dimensions, list of files",
}
