"""Handlers that keep a run: checkpoints to resume from, and the trained backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from lvm_med_monai.export import save_backbone
from lvm_med_monai.handlers.process_states import State, of_all_processes, own_state, rank, set_random_numbers
from lvm_med_monai.networks.weights import read_state
from lvm_med_monai.whole_file import whole_file


class ResumableCheckpoint:
    """Save the state of a run at the end of epochs, and go on from it when the run starts again.

    One file, replaced whole, written by the first process and read by all. It holds the state dicts of ``objects`` as
    the first process has them, the trainer's epoch and iteration, and for every process the state dicts of its
    ``rank_objects`` and its random numbers of torch. An epoch that was interrupted starts anew.

    With the same number of processes a run goes on as if it had not stopped. With fewer, each goes on with the state
    that the process of its rank had; the file keeps the others' for later. With more, the additional processes start
    with the random numbers that they were built with, so these must differ by rank, as ``seed + rank`` does. In no case
    are random numbers drawn twice. A change is logged, as it changes the number of images a step.

    Args:
        path: checkpoint file; absent at the first start.
        objects: what is the same in every process and has ``state_dict`` and ``load_state_dict``: network, optimiser,
            scheduler.
        interval: epochs between checkpoints; the last epoch is always saved.
        rank_objects: what differs between processes: samplers, views, losses that draw noise. An object may stand in
            ``objects`` too: then additional processes begin with the first one's state.
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        interval: int = 1,
        rank_objects: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.interval = interval
        self.rank_objects = dict(rank_objects or {})
        self._absent: list[State] = []  # states of processes of an earlier start that this one has not

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self._resume)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _resume(self, engine: Engine) -> None:
        """Load the checkpoint, if there is one.

        Raises:
            ValueError: the file is no checkpoint or does not fit the objects, or not every process sees it.
        """
        found = of_all_processes(self.path.is_file())
        if not any(found):
            return
        if not all(found):
            raise ValueError(f"{self.path} is seen by {sum(found)} of {len(found)} processes: put it where all see it")
        saved = read_checkpoint(self.path, ("objects", "processes", "n_processes", "epoch", "iteration"))
        _load_all(self.objects, saved["objects"], self.path)
        states = saved["processes"]
        if rank() < len(states):
            _load_all(self.rank_objects, states[rank()]["objects"], self.path)
            set_random_numbers(states[rank()])
        else:
            torch.manual_seed(torch.initial_seed() + rank())
        self._absent = states[len(found) :]
        engine.state.epoch, engine.state.iteration = saved["epoch"], saved["iteration"]
        engine.logger.info(f"resumed after epoch {saved['epoch']} from {self.path.name}")
        if saved["n_processes"] != len(found) and rank() == 0:
            engine.logger.warning(
                f"{self.path.name} was written by {saved['n_processes']} processes and this run has {len(found)}: "
                "each draws on where its rank stopped, and a rank without a state draws numbers of its own; a step "
                "now has another number of images"
            )

    def _save(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if epoch % self.interval and epoch != engine.state.max_epochs:
            return
        states = of_all_processes(own_state(self.rank_objects))
        if rank() > 0:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "objects": {name: thing.state_dict() for name, thing in self.objects.items()},
            "processes": [*states, *self._absent],
            "n_processes": len(states),
            "epoch": epoch,
            "iteration": engine.state.iteration,
        }
        with whole_file(self.path) as partial:
            torch.save(state, partial)


def read_checkpoint(path: Path, parts: Sequence[str]) -> dict[str, Any]:
    """What a checkpoint file holds.

    Args:
        path: the file.
        parts: what it must have.

    Raises:
        ValueError: it is no checkpoint of a ``ResumableCheckpoint``.
    """
    try:
        saved = read_state(path)
    except ValueError as error:
        raise ValueError(f"{path} is no checkpoint, remove it or give that of a run: {error}") from error
    missing = [part for part in parts if not isinstance(saved, dict) or part not in saved]
    if missing or not isinstance(saved, dict):
        raise ValueError(f"{path} is no checkpoint, remove it or give that of a run: it has no {', '.join(missing)}")
    return saved


def load_network(network: nn.Module, path: str | Path) -> nn.Module:
    """Load the network of a ``ResumableCheckpoint`` whose objects name it ``network``.

    Raises:
        FileNotFoundError: no checkpoint at ``path``.
        ValueError: the file is no checkpoint, or its weights do not fit the network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: train first, or give --run_dir of a finished run")
    objects = read_checkpoint(path, ("objects",))["objects"]
    if "network" not in objects:
        raise ValueError(f"{path} holds {sorted(objects)} and no network: give the checkpoint of a pretraining run")
    try:
        network.load_state_dict(objects["network"])
    except RuntimeError as error:
        raise ValueError(f"checkpoint {path.name} does not fit the network of this configuration: {error}") from error
    return network


def _load_all(objects: Mapping[str, Any], states: Mapping[str, Any], path: Path) -> None:
    """Load the state of each object.

    Raises:
        ValueError: other objects, or states that do not fit them.
    """
    if states.keys() != objects.keys():
        raise ValueError(
            f"checkpoint {path.name} holds {sorted(states)}, this run has {sorted(objects)}: remove it to start anew"
        )
    for name, thing in objects.items():
        try:
            thing.load_state_dict(states[name])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"checkpoint {path.name} does not fit this run's {name}: remove it to start anew ({error})"
            ) from error


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
