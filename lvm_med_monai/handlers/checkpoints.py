"""Handlers that keep a run: checkpoints to resume from, and the trained backbone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from lvm_med_monai.export import save_backbone
from lvm_med_monai.whole_file import whole_file


class ResumableCheckpoint:
    """Save the state of a run at the end of epochs, and go on from it when the run starts again.

    One file, replaced whole, written by the first process alone and read by all. It holds the state dicts of
    ``objects``, the trainer's epoch and iteration and torch's CPU random state; an epoch that was interrupted starts
    anew.

    Args:
        path: checkpoint file; absent at the first start.
        objects: whatever has ``state_dict`` and ``load_state_dict``: network, optimiser, scheduler, views.
        interval: epochs between checkpoints; the last epoch is always saved.
    """

    def __init__(self, path: str | Path, objects: Mapping[str, Any], interval: int = 1) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self._resume)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _resume(self, engine: Engine) -> None:
        """Load the checkpoint, if there is one.

        Raises:
            ValueError: the checkpoint does not fit the objects.
        """
        if not self.path.is_file():
            return
        saved = torch.load(self.path, map_location="cpu", weights_only=True)
        if saved["objects"].keys() != self.objects.keys():
            raise ValueError(
                f"checkpoint {self.path.name} holds {sorted(saved['objects'])}, this run has {sorted(self.objects)}: "
                "remove it to start anew"
            )
        for name, thing in self.objects.items():
            try:
                thing.load_state_dict(saved["objects"][name])
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"checkpoint {self.path.name} does not fit this run's {name}: remove it to start anew ({error})"
                ) from error
        torch.set_rng_state(saved["random_state"])
        engine.state.epoch, engine.state.iteration = saved["epoch"], saved["iteration"]
        engine.logger.info(f"resumed after epoch {saved['epoch']} from {self.path.name}")

    def _save(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if idist.get_rank() > 0 or (epoch % self.interval and epoch != engine.state.max_epochs):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "objects": {name: thing.state_dict() for name, thing in self.objects.items()},
            "epoch": epoch,
            "iteration": engine.state.iteration,
            "random_state": torch.get_rng_state(),
        }
        with whole_file(self.path) as partial:
            torch.save(state, partial)


def load_network(network: nn.Module, path: str | Path) -> nn.Module:
    """Load the network of a ``ResumableCheckpoint`` whose objects name it ``network``.

    Raises:
        FileNotFoundError: no checkpoint at ``path``.
        ValueError: its weights do not fit the network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: train first, or give --run_dir of a finished run")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(saved["objects"]["network"])
    except RuntimeError as error:
        raise ValueError(f"checkpoint {path.name} does not fit the network of this configuration: {error}") from error
    return network


class BackboneSaver:
    """Write the trained backbone when training ends, as weights that fine-tuning loads.

    Args:
        encoder: backbone, not its parallel wrapper.
        path: weights file.
        provenance: entries of the record beside the weights, such as the recipe.
    """

    def __init__(self, encoder: nn.Module, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        self.encoder = encoder
        self.path = Path(path)
        self.provenance = dict(provenance or {})

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save now, with the number of steps and the last metrics."""
        metrics = {name: float(value) for name, value in engine.state.metrics.items()}
        save_backbone(
            self.encoder,
            self.path,
            {**self.provenance, "iterations": engine.state.iteration, "metrics": metrics},
        )
