"""Package metadata. There is no build step: kernels compile when they first run."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "lvm_med_monai" / "__init__.py").read_text())

RUNTIME = [
    "monai>=1.6.1",
    "torch>=2.8",
    "torchvision",
    "pytorch-ignite",
    "numpy>=1.24",
    "scipy>=1.15",
    "nibabel",  # NIfTI, Analyze, MGZ
    "itk",  # MetaImage, NRRD
    "pydicom>=3",
    "pylibjpeg",  # pydicom's plug-in interface to the two decoders below
    "pylibjpeg-openjpeg",  # JPEG 2000
    "pylibjpeg-rle",  # RLE
    "pyjpegls",  # JPEG-LS
    "python-gdcm",  # JPEG lossless and 12-bit JPEG
    "pillow>=10.1",  # PNG shards, plain images
    "pyarrow",  # Parquet manifests
    "isal",  # fast inflate of .nii.gz, fast deflate of PNG shards
    "fsspec",  # shards on object stores
    "fire",  # python -m monai.bundle
    "segmentation-models-pytorch",  # U-Net decoder
    "tqdm",  # progress of long commands
    "lapx>=0.11; platform_machine in 'x86_64 aarch64 arm64 AMD64'",  # fast linear assignment on CPU
    "tensorboard",  # training curves, as in the Model Zoo's bundles
    "pandas",  # MONAI's MetricsSaver summaries
    "timm",  # vision transformers
    "safetensors",  # published weights in that form
    "pycocotools",  # COCO's own evaluation, behind the average precision of boxes
    "segment-anything==1.0",  # prompt encoder and mask decoder, with the published key names
    "matplotlib>=3.6",  # reliability plots
]
EXTRAS = {
    "demo": [],
    "ssl": ["lightly"],  # losses of self-supervised baselines
    "deploy": ["highdicom", "pyyaml"],  # DICOM SEG and SR; description of a MONAI Deploy application
    "fast": ["numba>=0.61"],  # tabu search for small graphs, compiled
    "export": ["onnx", "onnxscript"],
    "codecs": ["imagecodecs"],  # shards as JPEG XL, HTJ2K or blosc2
    "hdf5": ["h5py"],  # PatchCamelyon
    "ray": ["ray>=2.40"],  # extraction on a cluster
    "dev": [
        "h5py",
        "highdicom",
        "hypothesis",
        "imagecodecs",
        "jsonschema",
        "lightly",
        "mypy",
        "numba",
        "onnx",
        "onnxscript",
        "pydicom-data",
        "pytest>=8",
        "pytest-xdist",
        "pyyaml",
        "ray>=2.40",
        "ruff",
        "scikit-learn",  # another opinion on metrics, as torchmetrics
        "SimpleITK",
        "torchmetrics",
    ],
}

setup(
    name="lvm-med-monai",
    version=VERSION.group(1) if VERSION else "0",
    description="LVM-Med for MONAI: self-supervised pretraining by second-order graph matching, and its bundles",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[*find_packages(include=["lvm_med_monai", "lvm_med_monai.*"]), "lvm_med_monai.dataset_lists"],
    package_dir={"lvm_med_monai.dataset_lists": "dataset_lists"},
    package_data={
        "lvm_med_monai": ["py.typed", "apps/deploy/requirements.txt", "apps/deploy/*/app.yaml"],
        "lvm_med_monai.dataset_lists": ["*.json", "*/*.json"],
    },
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Healthcare Industry",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
