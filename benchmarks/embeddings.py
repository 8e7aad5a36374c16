"""Embeddings of two views of the demonstration's slices, as the matching met them in training.

    make demo
    python benchmarks/embeddings.py demo_output

Writes ``benchmarks/data/embeddings_<state>.npz`` for the network before and after pretraining: arrays ``source`` and
``target`` of shape (images, C), float16, in which row i shows the same slice. Views, batches and batch statistics are
those of training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lvm_med_monai.handlers import load_network  # noqa: E402  after the path of this checkout

CONFIGS = ROOT / "bundles" / "lvm_med_pretraining" / "configs"
OUTPUT = ROOT / "benchmarks" / "data"
BATCHES = 5


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="output folder of the demonstration")
    parser.add_argument("--batches", type=int, default=BATCHES, help="batches of slices")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = ConfigParser()
    config.read_config([CONFIGS / "train.json", CONFIGS / "demo.json"])
    config["dataset_dir"] = str(arguments.demo / "slices")
    config["device"] = "cpu"
    network, loader, views = (config.get_parsed_content(name) for name in ("network_def", "train::dataloader", "views"))
    batches = [batch["image"] for batch, _ in zip(loader, range(arguments.batches), strict=False)]
    pairs = [views(images)[0] for images in batches]
    for state in ("untrained", "trained"):
        if state == "trained":
            load_network(network, arguments.demo / "pretraining" / "graph_matching" / "seed0" / "checkpoint.pt")
        network.train()
        with torch.no_grad():
            outputs = [network(pair) for pair in pairs]
        source, target = (torch.cat([getattr(output, name) for output in outputs]) for name in ("z_s", "z_t"))
        path = OUTPUT / f"embeddings_{state}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, source=source.half().numpy(), target=target.half().numpy())
        similarity = torch.nn.functional.cosine_similarity(source, target).mean()
        print(f"{path.name}: {tuple(source.shape)}, cosine of true pairs {similarity:.3f}")


if __name__ == "__main__":
    main()
