"""Handlers that self-supervised methods add to a trainer: schedules, teachers, frozen prototypes, clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from lvm_med_monai.engines import ClusterObjective, Objective, PrepareCrops, Progress, cosine
from lvm_med_monai.networks import SelfSupervisedNetwork


class HandlerGroup:
    """Handlers of one method, attached together, in their order.

    Args:
        handlers: each has ``attach``.
    """

    def __init__(self, handlers: Sequence[Any] = ()) -> None:
        self.handlers = list(handlers)

    def attach(self, engine: Engine) -> None:
        """Register each with a trainer."""
        for handler in self.handlers:
            handler.attach(engine)


def progress_of(engine: Engine, epochs: int | None = None) -> Progress:
    """Progress of the step that is going on; ``epochs`` of the schedule, None for those of the trainer."""
    state = engine.state
    return Progress(state.iteration - 1, state.epoch - 1, state.epoch_length, epochs or state.max_epochs)


class TrainingProgress:
    """Tell an objective how far training is, before each step.

    Args:
        objective: the trainer's loss function.
        epochs: of the schedule, where training stops before its end; None if it does not.
    """

    def __init__(self, objective: Objective, epochs: int | None = None) -> None:
        self.objective = objective
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the progress from the trainer's own counts, so that a resumed run needs no memory of it."""
        self.objective.progress = progress_of(engine, self.epochs)


class TeacherMomentum:
    """Let the teacher follow the student after each step: ``teacher = m * teacher + (1 - m) * student``.

    The teacher starts as the student is when training starts, with whatever weights it was given. Only parameters
    move; batch statistics are the teacher's own. The momentum goes from start to end by half a cosine over the
    schedule.

    Args:
        network: has ``student`` and ``teacher`` of equal parts.
        momentum: at the first and at the last step.
        epochs: of the schedule; None for those of the trainer.

    Attributes:
        current: momentum of the last step.

    Raises:
        ValueError: the network has no teacher, or a momentum lies outside [0, 1].
    """

    def __init__(self, network: nn.Module, momentum: Sequence[float], epochs: int | None = None) -> None:
        if getattr(network, "teacher", None) is None:
            raise ValueError("there is no teacher to follow the student: set teacher in the network")
        if len(momentum) != 2 or not all(0 <= m <= 1 for m in momentum):
            raise ValueError(f"momentum is a start and an end in [0, 1], got {list(momentum)}")
        self.network: Any = network
        self.start, self.end = momentum
        self.epochs = epochs
        self.current = self.start

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self._copy)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _copy(self, engine: Engine) -> None:
        if engine.state.iteration == 0:
            self.network.teacher.load_state_dict(self.network.student.state_dict())

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        """Move the teacher."""
        progress = progress_of(engine, self.epochs)
        self.current = cosine(progress.step, progress.steps, self.start, self.end)
        teachers, students = (
            [parameter.data for parameter in branch.parameters()]
            for branch in (self.network.teacher, self.network.student)
        )
        torch._foreach_mul_(teachers, self.current)
        torch._foreach_add_(teachers, students, alpha=1 - self.current)


class FrozenPrototypes:
    """Keep the prototypes as they are for the first steps, by dropping their gradients.

    Args:
        prototypes: module of the network.
        epochs: at the start, in which they do not learn; may be a fraction.
    """

    def __init__(self, prototypes: nn.Module, epochs: float) -> None:
        self.prototypes = prototypes
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Drop the gradients of an early step."""
        progress = progress_of(engine)
        if progress.step < self.epochs * progress.epoch_length:
            for parameter in self.prototypes.parameters():
                parameter.grad = None


class GradientClipping:
    """Shorten the gradient of all parameters together to a largest norm, before the optimiser's step.

    Args:
        network: whose gradients.
        norm: largest norm.
        optimizer: whose scaled gradients are unscaled first, under mixed precision.
    """

    def __init__(self, network: nn.Module, norm: float, optimizer: Optimizer) -> None:
        self.network, self.norm, self.optimizer = network, norm, optimizer

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip now."""
        scaler = getattr(engine, "scaler", None)
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.norm)


class WeightDecaySchedule:
    """Change the weight decay by half a cosine over the schedule, in groups that have any.

    Args:
        optimizer: its groups of weight decay 0 stay as they are.
        start: at the first step.
        end: at the last.
        epochs: of the schedule; None for those of the trainer.
    """

    def __init__(self, optimizer: Optimizer, start: float, end: float, epochs: int | None = None) -> None:
        self.groups = [group for group in optimizer.param_groups if group["weight_decay"] > 0]
        self.start, self.end, self.epochs = start, end, epochs

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the weight decay of this step."""
        progress = progress_of(engine, self.epochs)
        for group in self.groups:
            group["weight_decay"] = cosine(progress.step, progress.steps, self.start, self.end)


class ClusterEpochs:
    """Cluster the training images at the start of each epoch.

    Before the first, all images are embedded once, by the network in evaluation mode; later the objective remembers
    what it sees.

    Args:
        objective: remembers embeddings and clusters them.
        network: network that is trained, not its parallel wrapper.
        dataset: training images; items as the trainer's batches are made of.
        prepare: makes views of a batch; the two global ones are embedded.
        batch_size: images at a time.
        num_workers: processes that load them.
    """

    def __init__(
        self,
        objective: ClusterObjective,
        network: SelfSupervisedNetwork,
        dataset: Dataset,
        prepare: PrepareCrops,
        batch_size: int,
        num_workers: int = 0,
    ) -> None:
        self.objective, self.network, self.prepare = objective, network, prepare
        self.loader = DataLoader(dataset, batch_size=batch_size, num_workers=num_workers)

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after the handler that resumes."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._cluster)

    @torch.no_grad()
    def _start(self, engine: Engine) -> None:
        if engine.state.epoch > 0:
            return
        self.network.eval()
        for batch in self.loader:
            crops, targets, _, _ = self.prepare(batch, engine.state.device)
            views = [self.network.embed(view) for view in crops[0].chunk(2)]
            self.objective.remember(targets.names, views)
        self.network.train()

    def _cluster(self, engine: Engine) -> None:
        self.objective.cluster(engine.state.epoch - 1)
