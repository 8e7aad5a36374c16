from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from pyarrow import parquet
from torch import nn

from lvm_med_monai.graph import GraphEncoder
from lvm_med_monai.handlers import (
    FeatureWriter,
    History,
    MatchingProbes,
    MessagePassingWarmUp,
    Probe,
    ResumableCheckpoint,
    load_network,
    read_history,
)
from lvm_med_monai.metrics import MatchingProtocol
from lvm_med_monai.networks import PretrainingNetwork, Projector, ResNetEncoder
from lvm_med_monai.transforms import ViewPolicy


class Run:
    """A linear model trained by SGD on random numbers of torch's global state; everything that a run consists of."""

    def __init__(self, folder, stop_after=None):
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.engine = Engine(self.step)
        objects = {"network": self.model, "optimizer": self.optimizer}
        ResumableCheckpoint(folder / "checkpoint.pt", objects, interval=2).attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, self.measure)
        History(folder / "history.jsonl", self.optimizer).attach(self.engine)
        if stop_after is not None:
            self.engine.add_event_handler(Events.EPOCH_COMPLETED(once=stop_after), lambda engine: engine.terminate())

    def step(self, engine, batch):
        x = torch.randn(4, 3)
        loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def measure(self, engine):
        engine.state.metrics["weight"] = self.model.weight.sum().item()

    def run(self, epochs=6):
        self.engine.run([0, 1, 2], max_epochs=epochs)
        return self.model.weight.detach().clone()


def test_an_interrupted_run_ends_where_an_undisturbed_one_does(tmp_path):
    undisturbed = Run(tmp_path / "a").run()
    Run(tmp_path / "b", stop_after=5).run()
    resumed = Run(tmp_path / "b")
    torch.testing.assert_close(resumed.run(), undisturbed)
    assert resumed.engine.state.iteration == 18
    first, second = read_history(tmp_path / "a/history.jsonl"), read_history(tmp_path / "b/history.jsonl")
    assert [line["epoch"] for line in second] == list(range(7))
    assert [line.get("weight") for line in first] == pytest.approx([line.get("weight") for line in second], abs=1e-6)


def test_a_finished_run_does_nothing_more(tmp_path):
    done = Run(tmp_path).run()
    again = Run(tmp_path)
    torch.testing.assert_close(again.run(), done)
    assert [line["epoch"] for line in read_history(tmp_path / "history.jsonl")] == list(range(7))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    Run(tmp_path).run(2)
    engine = Engine(lambda engine, batch: None)
    ResumableCheckpoint(tmp_path / "checkpoint.pt", {"network": nn.Linear(3, 1)}).attach(engine)
    with pytest.raises(ValueError, match=r"holds \['network', 'optimizer'\], this run has \['network'\]"):
        engine.run([0], max_epochs=1)
    model = nn.Linear(4, 1)
    engine = Engine(lambda engine, batch: None)
    objects = {"network": model, "optimizer": torch.optim.SGD(model.parameters(), lr=1)}
    ResumableCheckpoint(tmp_path / "checkpoint.pt", objects).attach(engine)
    with pytest.raises(ValueError, match="does not fit this run's network: remove it to start anew"):
        engine.run([0], max_epochs=1)


def test_load_network_takes_the_weights_of_a_run_or_says_why_not(tmp_path):
    weight = Run(tmp_path).run(2)
    torch.testing.assert_close(load_network(nn.Linear(3, 1), tmp_path / "checkpoint.pt").weight.detach(), weight)
    with pytest.raises(ValueError, match="does not fit the network"):
        load_network(nn.Linear(4, 1), tmp_path / "checkpoint.pt")
    with pytest.raises(FileNotFoundError, match="train first, or give --run_dir"):
        load_network(nn.Linear(3, 1), tmp_path / "absent.pt")


NO_CHECKPOINTS = {
    "garbage": (
        lambda path: path.write_bytes(b"\x80\x02garbage"),
        "checkpoint.pt is no checkpoint, .* cannot be read as weights",
    ),
    "another dictionary": (
        lambda path: torch.save({"model": {}}, path),
        "checkpoint.pt is no checkpoint, .* it has no objects",
    ),
    "a tensor": (lambda path: torch.save(torch.zeros(1), path), "checkpoint.pt is no checkpoint, .* it has no objects"),
    "empty": (lambda path: path.write_bytes(b""), "checkpoint.pt is no checkpoint, remove it or give that of a run"),
}


@pytest.mark.parametrize(("spoil", "message"), NO_CHECKPOINTS.values(), ids=NO_CHECKPOINTS.keys())
def test_a_file_that_is_no_checkpoint_is_named(spoil, message, tmp_path):
    spoil(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=message):
        Run(tmp_path).run(1)
    with pytest.raises(ValueError, match=message):
        load_network(nn.Linear(3, 1), tmp_path / "checkpoint.pt")


def test_a_checkpoint_without_a_network_is_named(tmp_path):
    torch.save({"objects": {"views": {}}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"holds \['views'\] and no network"):
        load_network(nn.Linear(3, 1), tmp_path / "checkpoint.pt")


@pytest.mark.parametrize(("start", "switched_on_after"), [(0.0, 0), (0.25, 2), (1.0, 8)])
def test_message_passing_starts_after_its_share_of_the_steps(start, switched_on_after):
    encoder = GraphEncoder(8, graph_size=4, k=2)
    states = []
    engine = Engine(lambda engine, batch: states.append(bool(encoder.active)))
    MessagePassingWarmUp(encoder, start).attach(engine)
    engine.run([0, 1], max_epochs=4)
    assert states == [False] * switched_on_after + [True] * (8 - switched_on_after)


def test_a_warm_up_outside_of_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"share of the training in \[0, 1\], got 2"):
        MessagePassingWarmUp(GraphEncoder(8, graph_size=4, k=2), 2)


def probe(slices, nodes=4):
    generator = torch.Generator().manual_seed(1)
    dataset = [{"image": torch.rand(3, 32, 32, generator=generator)} for _ in range(slices)]
    protocol = MatchingProtocol(
        ViewPolicy(size=32, area=(1, 1), flip=0, jitter=0, blur=0, noise=0, aspect=1), nodes=nodes, graphs=2
    )
    return Probe("same", protocol, dataset)


def test_probes_measure_before_training_at_intervals_and_at_the_end():
    network = PretrainingNetwork(ResNetEncoder(18, width=8), Projector(64, 16))
    engine = Engine(lambda engine, batch: None)
    values = []
    MatchingProbes(network, [probe(6)], interval=2).attach(engine)
    engine.add_event_handler(Events.STARTED, lambda e: values.append(dict(e.state.metrics)))
    engine.run([0], max_epochs=3)
    assert values[0]["same_accuracy"] == 1  # both views are the image itself
    assert engine.state.metrics.keys() == {"same_accuracy", "same_retrieval", "same_rank"}
    assert network.training


def test_a_probe_with_too_few_slices_fails_before_training():
    network = PretrainingNetwork(ResNetEncoder(18, width=8), Projector(64, 16))
    with pytest.raises(ValueError, match="probe 'same' has 3 slices, fewer than the 4 nodes"):
        MatchingProbes(network, [probe(3)])


def test_features_are_written_with_the_names_of_their_slices(tmp_path):
    features = torch.arange(12.0).view(4, 3)

    def infer(engine, batch):
        engine.state.batch = [{"slice_id": f"s{index}"} for index in batch]
        return [{"pred": features[index]} for index in batch]

    engine = Engine(infer)
    FeatureWriter(tmp_path / "out" / "features.parquet").attach(engine)
    engine.run([[0, 1], [2, 3]])
    table = parquet.read_table(tmp_path / "out" / "features.parquet")
    assert table["slice_id"].to_pylist() == ["s0", "s1", "s2", "s3"]
    assert table["features"].to_pylist() == features.tolist()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["features.parquet"]


def test_random_numbers_of_a_gpu_go_on_where_one_is_used(tmp_path, monkeypatch):
    """No GPU is needed: what would be asked of torch is noted."""
    kept = []
    Run(tmp_path / "cpu").run(2)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.get_rng_state", lambda: torch.tensor([7], dtype=torch.uint8))
    monkeypatch.setattr("torch.cuda.set_rng_state", lambda state: kept.append(state.tolist()))
    Run(tmp_path / "gpu").run(2)
    Run(tmp_path / "cpu").run(2)
    assert kept == []
    Run(tmp_path / "gpu").run(4)
    assert kept == [[7]]
