"""Studies that decide as they go: Snakemake adds seeds and arms by itself and stops by itself."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise

import pytest
from faked import FakedStudy

pytestmark = pytest.mark.dag


@pytest.fixture
def study(faked: FakedStudy):
    """A function that makes a study with these keys and runs Snakemake on it."""

    def run(
        keys: str, planted: dict, *arguments: str, seeds: str = "[1, 2, 3]"
    ) -> subprocess.CompletedProcess:
        faked.write(keys, seeds)
        result = faked.call(planted, *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    run.results, run.trained = faked.results, faked.trained
    return run


def runs_of(grid: dict) -> set[tuple[str, int]]:
    return {(run["variant"], run["seed"]) for run in grid["runs"]}


def test_seeds_are_added_until_all_is_decided_and_only_for_what_is_not(study):
    keys = "\nsequential: {looks: [3, 5, 8], spending: pocock}\n"
    planted = {"noise": 0.003, "lora_learning_rate": 0.3, "epochs": 0.02}
    study(keys, planted, "results/account_tax/metrics.csv")
    grid = json.loads((study.results / "decided/grid.json").read_text())
    assert study.trained() == runs_of(grid)
    looks = grid["sequential"]
    assert [look["stop"] for look in looks] == [False] * (len(looks) - 1) + [True]
    assert looks[0]["seeds"] == [4, 5]
    assert looks[-1]["reason"] in ("all_decided", "maximum_reached")
    for before, after in pairwise(looks):
        assert set(after["arms"]) <= set(before["arms"])
    statuses = {c["id"]: c["status"] for c in looks[-1]["contrasts"]}
    assert statuses["stage:lora_learning_rate"] == statuses["gap"] == "superior"
    assert len(runs_of(grid)) < 5 * looks[-1]["n"] or len(looks) == 1
    again = study(keys, planted, "-n", "results/account_tax/metrics.csv")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_large_effects_and_none_stop_at_the_first_look(study):
    keys = "\nsequential: {looks: [3, 5], spending: pocock}\n"
    planted = {"noise": 1e-5, "lora_learning_rate": 0.3}
    study(keys, planted, "results/account_tax/metrics.csv")
    grid = json.loads((study.results / "decided/grid.json").read_text())
    assert grid["seeds"] == [1, 2, 3] and len(runs_of(grid)) == 15
    assert grid["sequential"][0]["reason"] == "all_decided"


def test_a_greedy_path_is_walked_both_ways_and_trains_what_it_looks_at(study):
    keys = "\ndesigns: [greedy_path]\n"
    planted = {"noise": 0.001, "epochs": 0.2, "lora_learning_rate": 0.1, "remainder": -0.1}
    study(keys, planted, "results/account_tax/metrics.csv", seeds="[1]")
    grid = json.loads((study.results / "decided/grid.json").read_text())
    assert study.trained() == runs_of(grid)
    facts = next(d for d in grid["designs"] if d["design"] == "greedy_path")
    forward = [step["factor"] for step in facts["paths"]["forward"]]
    assert forward == ["epochs", "lora_learning_rate", "decay_length_scheduler", "remainder"]
    backward = [step["factor"] for step in facts["paths"]["backward"]]
    assert backward == ["remainder", "decay_length_scheduler", "lora_learning_rate", "epochs"]
    assert facts["paths"]["forward"][-1]["arm"] == "backup"
    assert facts["paths"]["backward"][-1]["arm"] == "current"
    # k(k + 1)/2 + 1 arms each way, many of them shared with the other and the staged path.
    assert len({run["variant"] for run in grid["runs"]}) <= 2 * 11


def test_the_recommended_arm_is_confirmed_on_fresh_seeds(study):
    keys = "\nconfirm: {seeds: [101, 102]}\n"
    planted = {"noise": 0.0005, "lora_learning_rate": 0.2, "remainder": -0.4}
    study(keys, planted, "results/account_tax/confirmation/verdict.json")
    decision = json.loads((study.results / "confirmation/decision.json").read_text())
    assert "lora_learning_rate" in decision["stages"]
    assert "remainder" not in decision["stages"]
    grid = json.loads((study.results / "confirmation/grid.json").read_text())
    assert [arm["arm"] for arm in grid["arms"]] == ["current", "recommended", "backup"]
    assert grid["seeds"] == [101, 102]
    assert runs_of(grid) <= study.trained()
    rows = (study.results / "confirmation/metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 2
    verdict = json.loads((study.results / "confirmation/verdict.json").read_text())
    assert verdict["status"] == "confirmed" and verdict["few_seeds"]


def test_nothing_recommended_is_nothing_confirmed(study):
    study(
        "\nconfirm: {seeds: [101, 102]}\n",
        {"noise": 0.0005, "remainder": -0.4},
        "results/account_tax/confirmation/verdict.json",
    )
    decision = json.loads((study.results / "confirmation/decision.json").read_text())
    assert decision["stages"] == [] and decision["reason"] == "nothing_recommended"
    verdict = json.loads((study.results / "confirmation/verdict.json").read_text())
    assert verdict["status"] == "nothing_to_confirm"
    assert not any(seed > 100 for _, seed in study.trained())
