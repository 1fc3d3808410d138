"""Runs of one grid are held against each other: what was made otherwise is told, or left out."""

from __future__ import annotations

import json

import pytest

from ablation.evidence.health import check_health, health_rows
from ablation.evidence.metrics import collect
from ablation.evidence.provenance import Origin, differences, incomparable, usual_facts
from ablation.study.grid import Arm, Grid
from ablation.training.request import other_identity

OFFLOADED = {
    "lora.r": 8,
    "learning_rate": 1e-3,
    "num_train_epochs": 2,
    "lr_scheduler_type": "linear",
    "gradient_accumulation_steps": 4,
    "deepspeed.zero_optimization.offload_optimizer.device": "cpu",
    "deepspeed.zero_optimization.stage": 2,
}


def origin(seed: int, settings: dict | None = None, **facts: str) -> Origin:
    given = {name.replace("__", "."): value for name, value in facts.items()}
    return Origin(variant="v", seed=seed, settings=settings or {}, facts=given)


def test_what_most_runs_were_made_with_is_usual_and_of_equally_many_the_first():
    runs = [origin(1, device="cpu"), origin(2, device="cuda"), origin(3, device="cuda")]
    assert usual_facts(runs) == {"device": "cuda"}
    assert usual_facts(runs[:2]) == {"device": "cpu"}
    assert [(d.name, d.found, d.usual) for d in differences(runs[0], {"device": "cuda"})] == [
        ("device", "cpu", "cuda")
    ]


def test_what_is_not_known_of_a_run_is_no_difference():
    runs = [origin(1), origin(2, lock="a"), origin(3, lock="a")]
    assert not list(differences(runs[0], usual_facts(runs)))


@pytest.mark.parametrize(("settings", "left_out"), [(OFFLOADED, {("v", 3)}), ({}, set())])
def test_a_release_that_trains_otherwise_is_left_out_where_it_reaches_the_settings(
    settings, left_out
):
    versions = {1: "0.19.8", 2: "0.19.7", 3: "0.18.0"}
    runs = [origin(s, settings, versions__deepspeed=version) for s, version in versions.items()]
    assert incomparable(runs) == left_out


def test_runs_of_other_data_are_not_compared():
    runs = [origin(1, data="a"), origin(2, data="a"), origin(3, data="b", device="cuda")]
    assert incomparable(runs) == {("v", 3)}


@pytest.fixture
def grid(tmp_path) -> Grid:
    """A grid of one arm whose third run was made with an older DeepSpeed, from another commit."""
    grid = Grid("s", [Arm("current", None, (), OFFLOADED)], [1, 2, 3])
    for seed in grid.seeds:
        other = seed == 3
        environment = {
            "versions": {"deepspeed": "0.18.0" if other else "0.19.8"},
            "code_commit": "old" if other else "new",
        }
        metrics = {"schema_version": 1, "status": "completed", "environment": environment}
        metrics |= {"data": {}, "quality": {}, "optimisation": {}, "cost": {}}
        folder = tmp_path / grid.arms[0].variant / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return grid


def test_the_table_has_a_run_that_cannot_be_compared_as_missing(grid, tmp_path):
    assert list(collect(grid, tmp_path)["status"]) == ["completed", "completed", "missing"]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_report_names_the_run_and_what_differs(grid, tmp_path, language):
    arm = grid.arms[0]
    content = {
        "arms": [{"arm": arm.name, "variant": arm.variant, "settings": OFFLOADED}],
        "runs": [{"arm": arm.name, "variant": arm.variant, "seed": s} for s in grid.seeds],
    }
    rows = health_rows(check_health(content, tmp_path, None), language)
    assert [(row["id"], row["seeds"]) for row in rows] == [
        ("other_behavior", "3"),
        ("other_origin", "3"),
    ]
    for word in ("0.18.0", "0.19.8", "DeepSpeed #7981"):
        assert word in rows[0]["text"]
    assert "old" in rows[1]["text"] and "code_commit" in rows[1]["text"]


def test_another_identity_is_told_by_what_differs(tmp_path):
    file = tmp_path / "identity.json"
    assert "is absent" in other_identity(file, {"a": "1"})
    file.write_text('"an older form"')
    assert "earlier version" in other_identity(file, {"a": "1"})
    file.write_text('{"versions.torch": "\\"2.5\\"", "seed": "1"}')
    assert other_identity(file, {"versions.torch": '"2.5"', "seed": "1"}) == ""
    told = other_identity(file, {"versions.torch": '"2.6"', "seed": "1"})
    assert told == 'versions.torch: "2.5", now "2.6"'
    many = {f"n{number}": "1" for number in range(7)} | {"versions.torch": '"2.5"', "seed": "1"}
    assert other_identity(file, many).endswith("2 more")
