"""DICOM: from bytes to frames, and from frames to stacks."""
