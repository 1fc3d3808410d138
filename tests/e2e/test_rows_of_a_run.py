"""Which rows a real run uses: its own split, fewer to train on, some set aside for its rate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import tiny

from ablation.data.outcomes import load_outcomes
from ablation.settings.quantities import POOL_ROWS, TUNING_SHARE

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
ARMS = {"current": {}, "rung": {POOL_ROWS: 40}, "tuned": {TUNING_SHARE: 0.5}}
DEAL = {"test_size": 0.2, "val_size": 0.2, "stratify_extract": True}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[tuple[str, int], Path]:
    """A finished run of each arm, and one of another seed."""
    folder = tmp_path_factory.mktemp("study")
    tiny.write_model(folder / "model")
    data = tiny.write_data(folder / "data")
    profile = {"special_tail": [], "deal": DEAL, "rows": {"train": 120}}
    (data / "profile.json").write_text(json.dumps(profile))
    tiny.write_grid(folder / "grid.json", ARMS, seeds=(1, 2))
    found = {}
    for arm, seed in (("current", 1), ("rung", 1), ("tuned", 1), ("current", 2)):
        command = [sys.executable, ROOT / "scripts/train_run.py", "--results", folder]
        command += ["--variant", arm, "--seed", seed, "--warm", folder / ".warm"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        found[arm, seed] = folder / "runs" / arm / f"seed-{seed}"
    return found


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def test_each_seed_is_tested_on_rows_of_its_own_and_all_its_arms_on_the_same(runs):
    rows = {run: load_outcomes(path)["row"].tolist() for run, path in runs.items()}
    assert rows["current", 1] == rows["rung", 1] == rows["tuned", 1]
    assert rows["current", 1] != rows["current", 2]
    assert len(rows["current", 1]) == len(rows["current", 2])


def test_a_rung_trains_on_fewer_rows_and_a_tuned_arm_selects_on_fewer(runs):
    counts = {arm: metrics(runs[arm, 1])["data"] for arm in ARMS}
    assert counts["rung"]["train_rows"] < counts["current"]["train_rows"]
    assert counts["tuned"]["train_rows"] == counts["current"]["train_rows"]
    assert counts["tuned"]["validation_rows"] == counts["current"]["validation_rows"] // 2
    assert len({one["test_rows"] for one in counts.values()}) == 1


def test_a_tuned_arm_scores_on_the_rows_set_aside_and_no_other_does(runs):
    scores = metrics(runs["tuned", 1])["quality"]["tuning"]
    assert 0 <= scores["eval_accuracy"] <= 1 and scores["eval_loss"] > 0
    assert all("tuning" not in metrics(runs[arm, 1])["quality"] for arm in ("current", "rung"))
