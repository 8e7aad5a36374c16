from __future__ import annotations

import json
import re

import pytest
from matplotlib.figure import Figure

from demo.pipeline import stage_groups
from demo.plan import DATA, FULL, GRAPH_MATCHING, ORGANS, SCRATCH, SHORT, SOURCES, Plan
from demo.report import verdict, write_report
from demo.results import PROBES

PLAN = Plan(arms=(GRAPH_MATCHING, SCRATCH), fine_tuning_seeds=2)
METRICS = {
    "pretraining": {
        "probes": {
            "graph_matching": {
                probe: {measure: {"first": [0.1], "last": [0.9]} for measure in ("accuracy", "retrieval")}
                for probe in PROBES
            }
        }
    },
    "segmentation": {f"{organ}_dice": {"graph_matching": [0.8, 0.9], "scratch": [0.7, 0.85]} for organ in ORGANS},
    "stages": {"extract": 3.0},
    "seconds_total": 90.0,
    "versions": {"monai": "1.6.1"},
    "machine": "x86_64 <test>",
}


def test_the_report_is_one_file_with_numbers_pictures_and_reservations(tmp_path):
    figures = {name: Figure(figsize=(1, 1)) for name in ("montage", "graphs", "curves", "overlays")}
    write_report(PLAN, METRICS, figures, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert not re.findall(r"(?:src|href)=['\"](?!data:)", page)
    assert "0.850 &plusmn; 0.071" in page
    assert "0.10 &rarr; 0.90" in page
    assert "No number here says how good a method is in" in page
    assert "&lt;test&gt;" in page
    assert "$" not in page


@pytest.mark.parametrize(
    ("values", "says"),
    [([0.8, 0.9], "overlaps with that from scratch"), ([0.95, 0.96], "are too few"), ([0.1, 0.2], "are too few")],
    ids=["overlapping", "above", "below"],
)
def test_no_verdict_claims_a_difference(values, says):
    text = verdict({"graph_matching": values, "scratch": [0.7, 0.85]}, {"graph_matching": "graph matching"})
    assert "No difference can be claimed" in text
    assert says in text


def test_every_source_exists_and_the_test_scan_is_held_out():
    assert all((DATA / source["path"]).exists() for source in SOURCES)
    assert {s["dataset"] for s in SOURCES if s["split"] != "train"} == {"abdomen_ct_dicom", "brain_mr_tumour"}


@pytest.mark.parametrize(("plan", "count"), [(SHORT, 1 + 2 + 3 * 2), (FULL, 1 + 4 * 3 + 5 * 3)], ids=["short", "full"])
def test_stages_cover_the_plan_and_treat_arms_alike(plan, count, tmp_path):
    planned = [stage for group in stage_groups(plan, tmp_path) for stage in group]
    assert len({stage.name for stage in planned}) == len(planned) == count
    fine_tuning = [set(stage.commands[0]) for stage in planned if stage.name.startswith("fine-tune/")]
    own = {str(seed) for seed in range(3)} | {"--backbone_weights"}
    options = [{part for part in command - own if str(tmp_path) not in part} for command in fine_tuning]
    assert all(option == options[0] for option in options), "an arm is fine-tuned by other options than the rest"
    assert len(json.loads((tmp_path / "sources.json").read_text())) == len(SOURCES)
