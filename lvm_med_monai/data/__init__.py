"""Slices and volumes as MONAI datasets."""

from lvm_med_monai.data.balanced import BalancedBatchSampler
from lvm_med_monai.data.datalist import label_table, read_datalist
from lvm_med_monai.data.sampler import ResumableDistributedSampler
from lvm_med_monai.data.slice_shards import SliceShardDataset

__all__ = [
    "BalancedBatchSampler",
    "ResumableDistributedSampler",
    "SliceShardDataset",
    "label_table",
    "read_datalist",
]
