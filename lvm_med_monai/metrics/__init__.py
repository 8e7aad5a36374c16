"""Measures of matching and of collapse."""

from lvm_med_monai.metrics.embeddings import effective_rank, embedding_spread, matching_accuracy, retrieval_accuracy
from lvm_med_monai.metrics.matching_protocol import MatchingProtocol, ProtocolResult

__all__ = [
    "MatchingProtocol",
    "ProtocolResult",
    "effective_rank",
    "embedding_spread",
    "matching_accuracy",
    "retrieval_accuracy",
]
