"""DICOM in, DICOM SR out: ``python -m lvm_med_monai.apps.deploy.detection -i FOLDER -m BUNDLE -o FOLDER``."""
