"""MONAI Deploy applications: DICOM in, DICOM SEG or SR out, for every bundle of their kind.

`series`, `headers`, `loading`, the writers and `identifiers` need no App SDK; `operators` and the applications do.
"""
