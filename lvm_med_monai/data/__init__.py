"""Slices and volumes as MONAI datasets."""

from lvm_med_monai.data.balanced import BalancedBatchSampler
from lvm_med_monai.data.boxes import collate_boxes, read_boxes, repeat_rare
from lvm_med_monai.data.classes import class_weights, read_classes, read_labels
from lvm_med_monai.data.datalist import read_datalist
from lvm_med_monai.data.epoch_length import balanced_epoch_length
from lvm_med_monai.data.exclusion import (
    ExcludingSliceDataset,
    check_unseen,
    read_slice_list,
    whole_range,
    write_slice_list,
)
from lvm_med_monai.data.few_shot import few_shot
from lvm_med_monai.data.folder_sections import add_folder_sections
from lvm_med_monai.data.fused_boxes import fuse_boxes
from lvm_med_monai.data.label_columns import add_labels
from lvm_med_monai.data.labelled_slices import LabelledSlices
from lvm_med_monai.data.mask_files import MaskFolder, MaskWriter, mask_name
from lvm_med_monai.data.named_labels import NumberedSlices, read_named_labels
from lvm_med_monai.data.pictures import check_picture, list_inputs
from lvm_med_monai.data.prompt_files import check_objects, read_prompted
from lvm_med_monai.data.sample_checks import check_samples
from lvm_med_monai.data.sample_reader import MaskReader, SampleReader
from lvm_med_monai.data.sampler import ResumableDistributedSampler
from lvm_med_monai.data.slice_inputs import SliceInputs
from lvm_med_monai.data.slice_shards import SliceShardDataset
from lvm_med_monai.data.stored_pictures import StoredReader
from lvm_med_monai.data.volumes_per_batch import volumes_per_batch

__all__ = [
    "BalancedBatchSampler",
    "ExcludingSliceDataset",
    "LabelledSlices",
    "MaskFolder",
    "MaskReader",
    "MaskWriter",
    "NumberedSlices",
    "ResumableDistributedSampler",
    "SampleReader",
    "SliceInputs",
    "SliceShardDataset",
    "StoredReader",
    "add_folder_sections",
    "add_labels",
    "balanced_epoch_length",
    "check_objects",
    "check_picture",
    "check_samples",
    "check_unseen",
    "class_weights",
    "collate_boxes",
    "few_shot",
    "fuse_boxes",
    "list_inputs",
    "mask_name",
    "read_boxes",
    "read_classes",
    "read_datalist",
    "read_labels",
    "read_named_labels",
    "read_prompted",
    "read_slice_list",
    "repeat_rare",
    "volumes_per_batch",
    "whole_range",
    "write_slice_list",
]
