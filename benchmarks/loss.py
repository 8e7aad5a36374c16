"""Share of the graph part in a training step: graphs, affinities, solver, loss and its backward against the network.

The step has 3,200 images with two views each. The network is timed on a small batch and scaled by the number of views,
which is how its cost grows; its optimiser is left out, so shares are slightly too large. The graph part is timed on
``--images`` images with ResNet-18 and on 128 with ResNet-50, whose feature maps would take gigabytes, and then scaled
by the number of graphs.

    python benchmarks/loss.py --note "idle machine"
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lvm_med_monai.graph import GraphEncoder, GraphView, cut_into_graphs
from lvm_med_monai.losses import GraphMatchingLoss, GraphMatchingRecipe, preset
from lvm_med_monai.losses.graph_matching import matching_loss
from lvm_med_monai.matching import imle, perturb, solve
from lvm_med_monai.matching.bound import dual_bound
from lvm_med_monai.networks import ResNetEncoder

RESULTS = Path(__file__).parent / "results" / "loss.json"
README = Path(__file__).parent / "README.md"
MARKERS = "<!-- loss.json -->\n", "<!-- end of loss.json -->\n"
IMAGES = 3200
FEATURES = 128
VIEW_NOISE = 1.0  # of each view beside a unit signal: matching is neither trivial nor hopeless
NETWORKS = {
    # depth, pixels, views timed at once, images whose graph part is timed
    "ResNet-18, 96 px": (18, 96, 32, IMAGES),
    "ResNet-50, 224 px": (50, 224, 4, 128),
}
RECIPES = {
    "stable, N = 64": preset("stable"),
    "stable, N = 16": preset("stable", graph_size=16),
    "stable with I-MLE, N = 16": preset("stable", graph_size=16, estimator="imle"),
    "paper, N = 16": preset("paper"),
}
CHECKED = 2  # graphs whose solutions are held against the dual bound and a second solve


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median processor time of ``work`` after one run to warm up: other work on the machine must not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def network_seconds(depth: int, pixels: int, views: int, repeats: int) -> float:
    """Forward and backward of one view, from a batch of ``views``."""
    encoder = ResNetEncoder(depth).to(memory_format=torch.channels_last)
    x = torch.randn(views, 3, pixels, pixels).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        encoder.zero_grad()
        encoder(x).square().mean().backward()

    return median_seconds(step, repeats) / views


class GraphPart:
    """Everything of a step after the projector, on random features of two views of ``images`` images."""

    def __init__(self, recipe: GraphMatchingRecipe, images: int, channels: int, cells: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.recipe, self.images = recipe, images
        self.encoder = GraphEncoder(FEATURES, recipe.graph_size, recipe.k, recipe.message_passing)
        self.loss = GraphMatchingLoss(recipe)
        signal = torch.randn(images, FEATURES, generator=generator)
        self.z = [(signal + VIEW_NOISE * torch.randn(signal.shape, generator=generator)).requires_grad_() for _ in "st"]
        shape = (images, channels, cells, cells)
        self.maps = [torch.randn(shape, generator=generator).relu_().requires_grad_() for _ in "st"]
        self.grids = [torch.rand(images, cells, cells, 2, generator=generator) for _ in "st"]

    def graphs(self) -> list[GraphView]:
        """Graphs of both views."""
        return [self.encoder(z) for z in self.z]

    def cut(self) -> list[torch.Tensor]:
        """Maps and positions of both views, cut as the graphs are."""
        return [cut_into_graphs(x, self.recipe.graph_size) for x in (*self.maps, *self.grids)]

    def forward(self) -> torch.Tensor:
        """Graphs, affinities, solver and loss."""
        return self.loss(*self.graphs(), *self.cut())

    def both(self) -> None:
        """The same with its backward, down to embeddings and feature maps."""
        for leaf in (*self.z, *self.maps):
            leaf.grad = None
        self.forward().backward()

    def time(self, repeats: int) -> dict[str, float]:
        """Median seconds; the estimate holds the noise, the solver and the skipped second solve."""
        problem = self.loss.problem(*self.graphs(), *self.cut()).detach()
        return {
            "forward": median_seconds(self.forward, repeats),
            "forward and backward": median_seconds(self.both, repeats),
            "of which estimate": median_seconds(lambda: self.loss.estimate(problem), repeats),
        }

    def check(self) -> None:
        """Refuse to go on unless solutions, skipped solves, loss and gradients are what they claim to be."""
        recipe = self.recipe
        few = self.loss.problem(*self.graphs(), *self.cut()).detach().select(torch.arange(CHECKED))
        noise = (recipe.vertex_noise, recipe.edge_noise, recipe.noise_centred, recipe.margin)
        noisy = perturb(few, *noise, torch.Generator().manual_seed(1))
        found = solve(noisy, generator=torch.Generator().manual_seed(2))
        identity = torch.arange(recipe.graph_size).expand_as(found.v)
        require(torch.equal(found.v.sort(dim=1).values, identity), "a matching is no permutation")
        require(torch.allclose(found.score, noisy.score(found.v), rtol=1e-5), "a score is not that of its matching")
        bound = dual_bound(noisy, iterations=5)
        require(bool((found.score <= bound * (1 + 1e-5)).all()), "a score exceeds the dual bound")
        require(bool((found.score >= noisy.score(identity) - 1e-4).all()), "the identity scores more than a solution")
        pairs = [
            imle(few, recipe.lambda_, 1, *noise, skip=skip, generator=torch.Generator().manual_seed(3))
            for skip in (True, False)
        ]
        require(torch.equal(pairs[0].shifted, pairs[1].shifted), "skipping the second solve changed it")
        estimate = self.loss.estimate(few)
        value = matching_loss(few, estimate)
        require(bool((value - estimate.hamming.mean()).abs() < 1e-3), "the loss is not the Hamming loss")
        self.both()
        for leaf in self.z:
            require(bool(leaf.grad.isfinite().all() and leaf.grad.abs().sum() > 0), "no finite gradient")


def require(condition: bool, message: str) -> None:
    """Stop before any number is printed."""
    if not condition:
        raise SystemExit(f"no numbers: {message}")


def measure(repeats: int, most_images: int) -> list[dict[str, object]]:
    """One row for each network and recipe."""
    rows: list[dict[str, object]] = []
    for network, (depth, pixels, views, images) in NETWORKS.items():
        one_view = network_seconds(depth, pixels, views, repeats)
        step = 2 * IMAGES * one_view
        channels, cells = {18: 512, 50: 2048}[depth], pixels // 32
        for name, recipe in RECIPES.items():
            # whole graphs only, at least as many as are checked
            count = max(min(images, most_images), CHECKED * recipe.graph_size) // recipe.graph_size * recipe.graph_size
            part = GraphPart(recipe, count, channels, cells)
            part.check()
            scale = IMAGES / count
            seconds = {key: scale * value for key, value in part.time(repeats).items()}
            rows.append(
                {
                    "network": network,
                    "recipe": name,
                    "images of the step": IMAGES,
                    "images timed": count,
                    "graphs of the step": IMAGES // recipe.graph_size,
                    "views timed at once": views,
                    "network seconds a view": one_view,
                    "network seconds a step": step,
                    **{f"{key} seconds": value for key, value in seconds.items()},
                    **{f"{key} share": value / step for key, value in seconds.items()},
                    "accuracy": float(part.loss.statistics.accuracy) if part.loss.statistics else None,
                }
            )
            print(f"measured {network}, {recipe.graph_size} nodes", flush=True)
            del part
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """The rows in Markdown."""
    parts = ("forward", "forward and backward", "of which estimate")
    lines = [
        "| network | recipe | network, s a step | " + " | ".join(f"{part}, s (share)" for part in parts) + " |",
        "|---" * (3 + len(parts)) + "|",
    ]
    for row in rows:
        cells = [f"{row[f'{part} seconds']:.2f} ({100 * float(str(row[f'{part} share'])):.2f} %)" for part in parts]
        lines.append(
            f"| {row['network']} | {row['recipe']} | {row['network seconds a step']:.0f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, write the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs a median is taken of")
    parser.add_argument("--images", type=int, default=IMAGES, help="most images whose graph part is timed")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--note", default="", help="what else the machine did, kept with the results")
    parser.add_argument("--table", action="store_true", help="only write the table of the last results again")
    arguments = parser.parse_args()
    if arguments.table:
        write_table(json.loads(RESULTS.read_text()))
        return
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    first = GraphPart(RECIPES["paper, N = 16"], 64, 8, 3)
    rows = measure(arguments.repeats, arguments.images)
    result = {
        "device": f"CPU, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores",
        "threads": arguments.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "matching backend": solve(first.loss.problem(*first.graphs(), *first.cut())).backend,
        "repeats": arguments.repeats,
        "note": arguments.note,
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_table(result)
    print(table(rows))


def write_table(result: dict) -> None:
    """Put the table into the README."""
    before, rest = README.read_text().split(MARKERS[0])
    lines = [
        f"A step of {IMAGES} images with two views each, {result['threads']} thread; medians of",
        f"{result['repeats']} runs in processor time. The network is timed on a few views and scaled by their number,",
        "the graph part on as many images as the JSON file says and scaled by the number of graphs.",
        f"{result['device']}; torch {result['torch']}; matching by {result['matching backend']}. {result['note']}",
        "`of which estimate` is noise, solver and second solve, skipped only under the proved bound.",
        "",
        table(result["rows"]),
    ]
    README.write_text(before + MARKERS[0] + "\n" + "\n".join(lines) + "\n\n" + MARKERS[1] + rest.split(MARKERS[1])[1])


if __name__ == "__main__":
    main()
