"""Volumes and pictures: NIfTI, MGH, MetaImage, NRRD, HDF5, PNG, JPEG, TIFF and BMP."""
