from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ablation.errors import UserError
from ablation.evidence.metrics import collect, load_history, load_table, save_table
from ablation.files import load_json
from ablation.study.grid import Arm, Grid
from ablation.study.run_metrics import load_run

ROOT = Path(__file__).resolve().parents[2]


def metrics(**changes: object) -> dict[str, object]:
    block = {"epoch": 2.0, "eval_accuracy": 0.5, "eval_loss": 1.5}
    best = {"epoch": 1.0, "eval_accuracy": 0.6, "eval_loss": 1.4}
    return {
        "schema_version": 1,
        "study": "s",
        "variant": "v",
        "seed": 1,
        "settings_hash": "00ff",
        "status": "completed",
        "environment": {"versions": {"torch": "2.13.0"}, "code_commit": "0123456"},
        "data": {"train_rows": 100},
        "quality": {"selected": "best", "final": block, "best": best, "epochs": [block]},
        "optimisation": {"final_loss": 0.3},
        "cost": {"train_runtime": 12.5},
        **changes,
    }


def write_run(runs: Path, variant: str, seed: int, content: object) -> Path:
    path = runs / variant / f"seed-{seed}" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return path


SETTINGS = {"lora.r": 8, "learning_rate": 1e-3, "num_train_epochs": 2}
GRID = Grid("s", [Arm(name, None, (), SETTINGS) for name in ("current", "backup")], [1, 2])
VARIANT = GRID.arms[0].variant


def test_every_planned_run_has_a_row_and_absent_ones_are_missing(tmp_path):
    write_run(tmp_path, VARIANT, 1, metrics())
    table = collect(GRID, tmp_path)
    assert list(table["status"]) == ["completed", "completed", "missing", "missing"]


def test_arms_that_share_a_variant_each_have_its_row(tmp_path):
    write_run(tmp_path, VARIANT, 1, metrics())
    table = collect(GRID, tmp_path)
    assert list(table["arm"][:2]) == ["current", "backup"]
    assert list(table["quality.final.eval_accuracy"][:2]) == [0.5, 0.5]


def test_the_selected_values_are_those_of_the_weights_the_arm_selects(tmp_path):
    write_run(tmp_path, VARIANT, 1, metrics())
    row = collect(GRID, tmp_path).iloc[0]
    assert row["quality.selected"] == "best"
    assert row["quality.selected.eval_accuracy"] == 0.6


def test_a_diverged_run_has_no_quality(tmp_path):
    quality = {"selected": "final", "final": None, "best": None, "epochs": []}
    write_run(tmp_path, VARIANT, 1, metrics(status="diverged", quality=quality))
    row = collect(GRID, tmp_path).iloc[0]
    assert row["status"] == "diverged"
    assert "quality.selected.eval_accuracy" not in row or pd.isna(
        row["quality.selected.eval_accuracy"]
    )


def test_a_grid_without_any_run_still_gives_its_table(tmp_path):
    table = collect(GRID, tmp_path)
    assert len(table) == 4
    assert set(table.columns) == {"arm", "variant", "seed", "status", "measured_at"}


def test_the_table_survives_its_file(tmp_path):
    write_run(tmp_path, VARIANT, 1, metrics())
    table = collect(GRID, tmp_path)
    save_table(table, tmp_path / "metrics.csv")
    back = load_table(tmp_path / "metrics.csv")
    assert back["environment.code_commit"][0] == "0123456"
    assert back["cost.train_runtime"][0] == 12.5
    assert list(back["seed"]) == list(table["seed"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (metrics(schema_version=2), "schema version"),
        (metrics(status="fine"), "unknown status"),
        (metrics(cost=None), "lacks sections"),
        (metrics(cost={"wall_seconds": "3"}), r"\.cost\.wall_seconds is of another kind"),
        ([1], "one object"),
    ],
)
def test_a_file_that_is_no_metrics_file_is_named(tmp_path, content, said):
    path = write_run(tmp_path, VARIANT, 1, content)
    with pytest.raises(UserError, match=said) as caught:
        load_run(path)
    assert str(path) in str(caught.value)


def test_a_broken_json_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"a": 1,\n oops}')
    with pytest.raises(UserError, match=r"metrics\.json:2"):
        load_json(path)


def test_history_keeps_the_last_record_of_a_step_and_skips_a_cut_line(tmp_path):
    lines = ['{"step": 2, "loss": 1.0}', '{"step": 1, "loss": 3.0}', '{"step": 2, "loss": 2.0}']
    (tmp_path / "history.jsonl").write_text("\n".join([*lines, '{"step": 3, "lo']))
    history = load_history(tmp_path)
    assert list(history["step"]) == [1, 2]
    assert list(history["loss"]) == [3.0, 2.0]


def test_a_run_without_history_has_an_empty_one(tmp_path):
    assert load_history(tmp_path).empty


def test_the_script_ends_with_a_message_for_a_missing_grid(tmp_path):
    command = [sys.executable, ROOT / "scripts/collect_metrics.py", "--results", tmp_path]
    done = subprocess.run([*command, "--confirmation"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "confirmation/grid.json: the file is not there" in done.stderr
    assert "Traceback" not in done.stderr
