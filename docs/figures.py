"""Draw docs/solved_graph.svg: two views of 16 images as graphs, and the matching that the solver finds.

python docs/figures.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_med_monai.graph import GraphEncoder, GraphView
from lvm_med_monai.losses import GraphMatchingLoss, preset
from lvm_med_monai.matching import solve
from lvm_med_monai.matching.bound import dual_bound

OUTPUT = Path(__file__).parent / "solved_graph.svg"
NODES, NEIGHBOURS, FEATURES, VIEW_NOISE = 16, 2, 12, 0.9
INK, PALE, RIGHT, WRONG = "#222222", "#b8bec6", "#0072b2", "#d55e00"  # also apart for colour-blind readers
mpl.rcParams.update({"svg.hashsalt": "solved graph", "font.size": 8, "svg.fonttype": "path"})


def views() -> tuple[GraphView, GraphView]:
    """Two noisy views of random features, as graphs."""
    generator = torch.Generator().manual_seed(4)
    signal = torch.randn(NODES, FEATURES, generator=generator)
    encoder = GraphEncoder(FEATURES, NODES, NEIGHBOURS, message_passing="none")
    view_s, view_t = (encoder(signal + VIEW_NOISE * torch.randn(signal.shape, generator=generator)) for _ in "st")
    return view_s, view_t


def draw_graph(axes: Axes, at: torch.Tensor, edges: torch.Tensor, kept: set[tuple[int, int]], side: str) -> None:
    """Nodes with their numbers, edges as arrows; edges that exist in both graphs under the matching are dark."""
    for i, j in edges.tolist():
        colour = INK if (i, j) in kept else PALE
        arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 6, "shrinkB": 6, "lw": 1.1 if colour == INK else 0.7}
        axes.annotate("", at[j].tolist(), at[i].tolist(), arrowprops=arrow)
    axes.scatter(*at.T.tolist(), s=110, color="white", edgecolors=INK, zorder=3)
    for i, (x, y) in enumerate(at.tolist()):
        axes.text(x, y, str(i), ha="center", va="center", zorder=4)
    axes.text(float(at[:, 0].mean()), 1.16, side, ha="center", fontsize=9)


def main() -> None:
    """Solve and draw."""
    view_s, view_t = views()
    loss = GraphMatchingLoss(preset(graph_size=NODES, k=NEIGHBOURS, local="none", vertex_noise=0.0))
    problem = loss.problem(view_s, view_t)
    found = solve(problem, generator=torch.Generator().manual_seed(0))
    v, identity = found.v, torch.arange(NODES).expand_as(found.v)
    # layout: a circle in the order of the angles in the plane of the source view, the same for both views
    centred = view_s.z[0] - view_s.z[0].mean(dim=0)
    plane = centred @ torch.linalg.svd(centred).Vh[:2].T
    angle = torch.atan2(plane[:, 1], plane[:, 0]).argsort().argsort() * (2 * torch.pi / NODES)
    at_s = torch.stack([angle.cos(), angle.sin()], dim=1)
    at_t = at_s + torch.tensor([2.9, 0.0])
    edges_s, edges_t = ({(i, j) for i, j in view.edges[0].tolist()} for view in (view_s, view_t))
    target = v[0].tolist()
    paid = {(i, j) for i, j in edges_s if (target[i], target[j]) in edges_t}

    figure = Figure(figsize=(10, 3.9), layout="constrained")
    graphs, affinities = figure.subplots(1, 2, width_ratios=[1.9, 1])
    draw_graph(graphs, at_s, view_s.edges[0], paid, "source view")
    draw_graph(graphs, at_t, view_t.edges[0], {(target[i], target[j]) for i, j in paid}, "target view")
    for i, a in enumerate(target):
        ends = torch.stack([at_s[i], at_t[a]]).T.tolist()
        graphs.plot(*ends, color=RIGHT if i == a else WRONG, lw=1.0 if i == a else 1.6, alpha=0.55, zorder=2)
    graphs.set_axis_off()
    graphs.set_aspect("equal")

    image = affinities.imshow(problem.c_v[0], cmap="Greys", vmin=-0.5, vmax=1.0)
    figure.colorbar(image, ax=affinities, shrink=0.62, label="vertex affinity (cosine)")
    for i, a in enumerate(target):
        affinities.scatter(a, i, s=26, facecolors="none", edgecolors=RIGHT if i == a else WRONG, lw=1.4)
    affinities.set(xlabel="target node a", ylabel="source node i", xticks=range(0, NODES, 3), yticks=range(0, NODES, 3))
    bound, of_identity = float(dual_bound(problem, 300)), float(problem.score(identity))
    wrong = int((v != identity).sum())
    figure.suptitle(
        f"{NODES - wrong} of {NODES} nodes right; score of the matching {float(found.score):.3f}, "
        f"of the identity {of_identity:.3f}; no matching exceeds {bound:.3f}",
        fontsize=9,
    )
    figure.savefig(OUTPUT, metadata={"Date": None})
    print(f"wrote {OUTPUT.name}: {wrong} wrong, score {float(found.score):.4f}, bound {bound:.4f}")  # noqa: T201


if __name__ == "__main__":
    main()
