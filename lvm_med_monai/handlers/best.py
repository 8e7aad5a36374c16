"""The best weights so far, known also to a training that was interrupted."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine
from monai.handlers import CheckpointSaver
from torch import nn


class BestSaver(CheckpointSaver):
    """Save a network's state dict whenever the evaluator's key metric is better than ever before.

    MONAI's ``CheckpointSaver`` forgets its best score with the process: after a resume it would replace better weights
    by the first that it sees. This one has a state, for ``ResumableCheckpoint(objects={"best": saver, ...})``.

    A key metric that is not a number ends the training: nothing would compare as better than the first such score.

    Args:
        network: saved as a bare state dict; of a parallel wrapper the module inside is saved.
        save_dir: folder of the weights.
        filename: name of the weights file.
        negative: whether less is better.
        or_equal: whether an equal score replaces the earlier weights.
    """

    def __init__(
        self,
        network: nn.Module,
        save_dir: str,
        filename: str = "model.pt",
        negative: bool = False,
        or_equal: bool = False,
    ) -> None:
        super().__init__(
            save_dir=str(save_dir),
            save_dict={"model": network},
            save_key_metric=True,
            key_metric_filename=filename,
            key_metric_negative_sign=negative,
            key_metric_greater_or_equal=or_equal,
        )

    def metrics_completed(self, engine: Engine) -> None:
        """Compare and save.

        Raises:
            ValueError: the key metric is not a number, so that no weights are better than others.
        """
        name = engine.state.key_metric_name
        if name and not math.isfinite(engine.state.metrics[name]):
            raise ValueError(
                f"{name} is {engine.state.metrics[name]}, so the best weights cannot be chosen by it: validation needs "
                "images with and without what is looked for; if it has them, the training diverged"
            )
        super().metrics_completed(engine)

    def state_dict(self) -> dict[str, Any]:
        """Scores and names of the saved files."""
        return dict(self._key_metric_checkpoint.state_dict())
