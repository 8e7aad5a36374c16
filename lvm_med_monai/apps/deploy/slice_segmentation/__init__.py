"""DICOM in, DICOM SEG out: ``python -m lvm_med_monai.apps.deploy.slice_segmentation -i FOLDER -m BUNDLE -o FOLDER``."""
