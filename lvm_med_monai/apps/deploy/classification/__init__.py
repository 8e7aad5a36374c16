"""DICOM in, DICOM SR out: ``python -m lvm_med_monai.apps.deploy.classification -i FOLDER -m BUNDLE -o FOLDER``."""
