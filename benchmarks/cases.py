"""The matching problems of benchmarks/matching.py, and how many of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from instances import LITERAL, Instances, Recipe, from_file, synthetic

DATA = Path(__file__).resolve().parent / "data"
NOISE = (0.0, 0.1, 0.2)


class Case(NamedTuple):
    """Problems of one kind.

    Attributes:
        recipe: how affinities come about.
        nodes: N.
        graphs: how many, of a full run.
        embeddings: file of real embeddings; None for synthetic ones.
        bounded: graphs whose dual bound is computed: it takes seconds for large ones.
    """

    recipe: Recipe
    nodes: int = 16
    graphs: int = 80
    embeddings: str | None = None
    bounded: int = 80

    def instances(self, graphs: int, seed: int) -> Instances:
        """Problems of ``graphs`` graphs; another number draws other ones."""
        if self.embeddings is None:
            return synthetic(self.recipe, graphs, self.nodes, seed)
        return from_file(DATA / self.embeddings, self.recipe, graphs, self.nodes, seed)


def training_cases() -> dict[str, Case]:
    """Residual messages, edge weight 1/k, noise on vertices: the recipe that trains."""
    kinds = {
        "i.i.d.": Case(Recipe()),
        "i.i.d., far views": Case(Recipe(view_noise=1.5)),
        "clustered": Case(Recipe(clustered=True)),
        "real, untrained": Case(Recipe(), embeddings="embeddings_untrained.npz"),
        "real, trained": Case(Recipe(), embeddings="embeddings_trained.npz"),
    }
    return {
        f"{kind}, noise {noise:g}": case._replace(recipe=replace(case.recipe, vertex_noise=noise))
        for kind, case in kinds.items()
        for noise in NOISE
    }


FAR = Recipe(view_noise=1.5)
CASES: dict[str, Case] = training_cases() | {
    "clustered, noise 0.2 on edges too": Case(Recipe(clustered=True, edge_noise=0.2)),
    "far views, noise 0.2 on edges too": Case(replace(FAR, edge_noise=0.2), graphs=40),
    "real, trained, noise 0.2 on edges too": Case(Recipe(edge_noise=0.2), embeddings="embeddings_trained.npz"),
    "plain messages, edge weight 1, no noise": Case(replace(LITERAL, vertex_noise=0.0, edge_noise=0.0), graphs=40),
    "paper's scales, centred noise": Case(replace(LITERAL, centred=True), graphs=40),
    "paper to the letter": Case(LITERAL, graphs=40),
    "N = 32, far views, noise 0.1": Case(replace(FAR, vertex_noise=0.1), 32, 40, bounded=10),
    "N = 32, far views, noise 0.2": Case(FAR, 32, 40, bounded=10),
    "N = 64, far views, noise 0.1": Case(replace(FAR, vertex_noise=0.1), 64, 40, bounded=4),
    "N = 64, far views, noise 0.2": Case(FAR, 64, 40, bounded=4),
    "N = 64, clustered, noise 0.2": Case(Recipe(clustered=True), 64, 40, bounded=4),
    "N = 128, far views, noise 0.1": Case(replace(FAR, vertex_noise=0.1), 128, 20, bounded=2),
    "N = 200, far views, noise 0.1": Case(replace(FAR, vertex_noise=0.1), 200, 10, bounded=1),
    "N = 200, i.i.d., noise 0.1": Case(Recipe(vertex_noise=0.1), 200, 10, bounded=1),
}
