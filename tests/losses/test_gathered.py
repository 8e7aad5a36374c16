"""Graphs over two processes: loss and gradients are those of one process with all images."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from lvm_med_monai.graph import GraphEncoder, GraphView, gather_nodes
from lvm_med_monai.losses import GraphMatchingLoss, preset

RANKS, NODES, FEATURES = 2, 8, 6
CASES = {
    "stable": {},
    "without message passing": {"message_passing": "none", "samples": 2},
    "second solve": {"lambda_": 0.2},
    "adaptive": {"adaptive": True, "lambda_": 2.0},
    "entropic": {"estimator": "sinkhorn"},
    "local": {"local": "feature+location"},
}


class Model(nn.Module):
    def __init__(self, size: int, message_passing: str, gathered: bool) -> None:
        super().__init__()
        self.projector = nn.Linear(FEATURES, FEATURES)
        self.maps = nn.Linear(FEATURES, 4 * 5)
        self.graphs = GraphEncoder(FEATURES, size, 3, message_passing, gathered=gathered)

    def forward(self, x: torch.Tensor) -> tuple[GraphView, torch.Tensor]:
        return self.graphs(self.projector(x)), self.maps(x).view(-1, self.graphs.graph_size, 5, 2, 2)


def run(options: dict[str, object], ranks: int, rank: int) -> dict[str, torch.Tensor]:
    """Two steps on the images of ``rank`` out of ``ranks``: losses, gradients of parameters and of the images."""
    gathered = ranks > 1
    size = NODES * RANKS // ranks
    recipe = preset("gathered", graph_size=size, k=3, gathered=gathered, **options)
    torch.manual_seed(0)
    model: nn.Module = Model(size, recipe.message_passing, gathered).double()
    unused = [] if recipe.local != "none" else list(model.maps.parameters())
    for parameter in unused:
        parameter.requires_grad_(False)
    if gathered:
        model = DistributedDataParallel(model, broadcast_buffers=False)
    loss = GraphMatchingLoss(recipe, seed=7)
    result = {}
    for step in range(2):
        generator = torch.Generator().manual_seed(step)
        base, noise = (torch.randn(2, RANKS * NODES, FEATURES, generator=generator).double() for _ in range(2))
        grids = torch.rand(2, RANKS * NODES, 2, 2, 2, generator=generator).double()
        own = slice(rank * size, (rank + 1) * size)
        views = (base[:1] + noise)[:, own].requires_grad_()
        # both views in one pass, as the pretraining network encodes them
        graphs, maps = model(views.flatten(0, 1))
        z, h, edges = (x.unflatten(0, (2, 1)) for x in graphs)
        value = loss(
            *(GraphView(z[side], h[side], edges[side]) for side in (0, 1)),
            maps[:1],
            maps[1:],
            *grids[:, own].unsqueeze(1),
        )
        value.backward()
        result[f"loss {step}"] = value.detach()
        result[f"images {step}"] = views.grad
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            result[name.removeprefix("module.")] = parameter.grad
    if loss.adaptive is not None:
        result["lambda"] = loss.adaptive.value.clone()
    return result


def worker(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    try:
        found = {name: run(options, RANKS, rank) for name, options in CASES.items()}
        with pytest.raises(ValueError, match="all ranks need the same number of graphs and nodes"):
            gather_nodes(torch.zeros(1 + rank, 3, 4))
        torch.save(found, Path(folder) / f"{rank}.pt")
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_both_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(worker, (port, str(folder)), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_do_what_one_does(of_both_ranks, name):
    whole = run(CASES[name], 1, 0)
    for rank, found in enumerate(case[name] for case in of_both_ranks):
        assert found.keys() == whole.keys()
        for key, expected in whole.items():
            if key.startswith("images"):
                # the gradient of a rank's own images, times the number of ranks that DDP divides by
                expected = RANKS * expected[:, rank * NODES : (rank + 1) * NODES]
            torch.testing.assert_close(found[key], expected, msg=lambda m, key=key: f"{key}: {m}")
        assert whole["projector.weight"].abs().sum() > 0
