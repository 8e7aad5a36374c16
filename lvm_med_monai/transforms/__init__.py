"""Augmented views for pretraining, and their geometry."""

from lvm_med_monai.transforms.block_masks import BlockMasks
from lvm_med_monai.transforms.box_prompts import AddMaskPromptsd, prompted_classes
from lvm_med_monai.transforms.boxes import BoxTargetd, FitBoxesd, RandMirrorBoxd, RandSafeCropBoxd
from lvm_med_monai.transforms.channels import ThreeChannelsd
from lvm_med_monai.transforms.crops import CropGeometry
from lvm_med_monai.transforms.intensity import DeviationsToBytesd, MinMaxSlicesd, PictureIntensityd
from lvm_med_monai.transforms.labels import MapLabelsd
from lvm_med_monai.transforms.merged_masks import MergeMasksd
from lvm_med_monai.transforms.multi_crop import MultiCrop
from lvm_med_monai.transforms.pixel_spacing import PixelSpacingd
from lvm_med_monai.transforms.prompt_table import encode_prompts
from lvm_med_monai.transforms.prompts import AddPromptsd
from lvm_med_monai.transforms.radiographs import ShorterSided
from lvm_med_monai.transforms.rows_first import CoarseScoresd, RowsFirstd
from lvm_med_monai.transforms.single_slices import AsPictured, EachSliced
from lvm_med_monai.transforms.slice_windows import SliceWindowd
from lvm_med_monai.transforms.slices import AsSlicesd, RandBalancedSlicesd
from lvm_med_monai.transforms.views import IMAGENET_MEAN, IMAGENET_STD, MultiView, ViewPolicy, Views, normalise

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "AddMaskPromptsd",
    "AddPromptsd",
    "AsPictured",
    "AsSlicesd",
    "BlockMasks",
    "BoxTargetd",
    "CoarseScoresd",
    "CropGeometry",
    "DeviationsToBytesd",
    "EachSliced",
    "FitBoxesd",
    "MapLabelsd",
    "MergeMasksd",
    "MinMaxSlicesd",
    "MultiCrop",
    "MultiView",
    "PictureIntensityd",
    "PixelSpacingd",
    "RandBalancedSlicesd",
    "RandMirrorBoxd",
    "RandSafeCropBoxd",
    "RowsFirstd",
    "ShorterSided",
    "SliceWindowd",
    "ThreeChannelsd",
    "ViewPolicy",
    "Views",
    "encode_prompts",
    "normalise",
    "prompted_classes",
]
