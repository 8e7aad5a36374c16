"""Ignite handlers of training and evaluation."""

from lvm_med_monai.handlers.best import BestSaver
from lvm_med_monai.handlers.box_pictures import BoxPictures, BoxWriter
from lvm_med_monai.handlers.checkpoints import BackboneSaver, ResumableCheckpoint, load_network
from lvm_med_monai.handlers.evaluations import Evaluations, NeighbourProbe
from lvm_med_monai.handlers.features import FeatureWriter
from lvm_med_monai.handlers.history import History, read_history, write_metrics
from lvm_med_monai.handlers.intervals import BootstrapIntervals
from lvm_med_monai.handlers.matching import LossStatistics, MatchingProbes, MessagePassingWarmUp, Probe
from lvm_med_monai.handlers.neighbour_sheet import NeighbourSheet
from lvm_med_monai.handlers.pictures import SegmentationPictures
from lvm_med_monai.handlers.predictions import PredictionWriter
from lvm_med_monai.handlers.ranks import handlers_of_rank
from lvm_med_monai.handlers.reliability import ReliabilityPicture
from lvm_med_monai.handlers.self_supervised import (
    ClusterEpochs,
    FrozenPrototypes,
    GradientClipping,
    HandlerGroup,
    TeacherMomentum,
    TrainingProgress,
    WeightDecaySchedule,
)
from lvm_med_monai.handlers.tiles import ClassificationPictures
from lvm_med_monai.handlers.training_list import TrainingList

__all__ = [
    "BackboneSaver",
    "BestSaver",
    "BootstrapIntervals",
    "BoxPictures",
    "BoxWriter",
    "ClassificationPictures",
    "ClusterEpochs",
    "Evaluations",
    "FeatureWriter",
    "FrozenPrototypes",
    "GradientClipping",
    "HandlerGroup",
    "History",
    "LossStatistics",
    "MatchingProbes",
    "MessagePassingWarmUp",
    "NeighbourProbe",
    "NeighbourSheet",
    "PredictionWriter",
    "Probe",
    "ReliabilityPicture",
    "ResumableCheckpoint",
    "SegmentationPictures",
    "TeacherMomentum",
    "TrainingList",
    "TrainingProgress",
    "WeightDecaySchedule",
    "handlers_of_rank",
    "load_network",
    "read_history",
    "write_metrics",
]
