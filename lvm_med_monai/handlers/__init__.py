"""Ignite handlers of pretraining."""

from lvm_med_monai.handlers.checkpoints import BackboneSaver, ResumableCheckpoint, load_network
from lvm_med_monai.handlers.features import FeatureWriter
from lvm_med_monai.handlers.history import History, read_history, write_metrics
from lvm_med_monai.handlers.matching import LossStatistics, MatchingProbes, MessagePassingWarmUp, Probe

__all__ = [
    "BackboneSaver",
    "FeatureWriter",
    "History",
    "LossStatistics",
    "MatchingProbes",
    "MessagePassingWarmUp",
    "Probe",
    "ResumableCheckpoint",
    "load_network",
    "read_history",
    "write_metrics",
]
