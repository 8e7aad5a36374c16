"""Which handlers run in which process of a distributed training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist
from monai.handlers import CheckpointSaver, StatsHandler, TensorBoardStatsHandler

from lvm_med_monai.handlers.checkpoints import BackboneSaver
from lvm_med_monai.handlers.history import History

_OF_THE_FIRST = (BackboneSaver, CheckpointSaver, History, StatsHandler, TensorBoardStatsHandler)


def handlers_of_rank(handlers: Sequence[Any]) -> list[Any]:
    """The handlers that this process attaches: all on rank 0, on others those that neither print nor write.

    Handlers that resume, schedule or validate stay on every rank: they take part in collective calls or in the state
    of the training.
    """
    if idist.get_rank() == 0:
        return list(handlers)
    return [handler for handler in handlers if not isinstance(handler, _OF_THE_FIRST)]
