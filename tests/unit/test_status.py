"""`ablation status` tells from files alone how far a study is, and what its runs show so far."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import datetime
from pathlib import Path

import pytest
from counted import count_calls
from synthetic import Synthetic, build_study

from ablation.command.main import DONE, MISTAKE, main
from ablation.evidence import statistics
from ablation.evidence.look import look, read_metric, staged_pairs
from ablation.evidence.metrics import collect
from ablation.evidence.outcomes import wide_tables
from ablation.machine.progress import (
    DIVERGED,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    read_progress,
    step_line,
    stop_line,
)
from ablation.results import Results
from ablation.study.grid import load_grid

NOW = 1_770_000_000.0


def at(seconds: float) -> str:
    """A time as the log's lines begin."""
    return datetime.fromtimestamp(NOW + seconds).strftime("%Y-%m-%d %H:%M:%S,250")


def write_log(made: Synthetic, arm: str, seed: int, text: str, age: float = 5.0) -> Path:
    """The log of a run that has left no metrics.json, last written so many seconds ago."""
    grid = json.loads(made.grid.read_text())
    variant = next(entry["variant"] for entry in grid["arms"] if entry["arm"] == arm)
    shutil.rmtree(made.runs / variant / f"seed-{seed}", ignore_errors=True)
    log = made.folder / "logs/train_run" / variant / f"seed-{seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    os.utime(log, (NOW - age, NOW - age))
    return log


@pytest.fixture
def made(tmp_path, monkeypatch) -> Synthetic:
    """A study of four seeds whose runs are all there, and Snakemake at work."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").touch()
    return build_study(tmp_path, seeds=(1, 2, 3, 4))


def run_of(made: Synthetic, arm: str, seed: int):
    """What is read of one run."""
    progress = read_progress(Results(made.folder), now=NOW)
    return next(run for run in progress.runs if arm in run.arms and run.seed == seed)


STEPS = "\n".join(
    f"{at(seconds)} INFO ablation.training.trainer: {step_line(step, 400, 1.5 - step / 400)}"
    for seconds, step in ((-40, 1), (-30, 50), (-20, 100), (-10, 150), (0, 201))
)


def test_a_running_run_has_its_step_loss_rate_and_time_left(made):
    write_log(made, "backup", 4, f"something else\n{STEPS}\n")
    run = run_of(made, "backup", 4)
    assert (run.state, run.step, run.steps) == (RUNNING, 201, 400)
    assert run.loss == pytest.approx(1.5 - 201 / 400)
    assert run.rate == pytest.approx(5.0)
    assert run.seconds_left == pytest.approx(39.8)


def test_a_run_that_nobody_is_at_is_stopped(made, tmp_path):
    write_log(made, "backup", 4, STEPS, age=7200)
    assert run_of(made, "backup", 4).state == STOPPED
    write_log(made, "backup", 4, STEPS)
    shutil.rmtree(tmp_path / ".snakemake/locks")
    assert run_of(made, "backup", 4).state == STOPPED


def test_a_run_that_was_told_to_end_is_stopped_at_once_and_runs_again_when_it_goes_on(made):
    ended = f"{STEPS}\n{stop_line('SIGINT')}\n"
    write_log(made, "backup", 4, ended)
    run = run_of(made, "backup", 4)
    assert (run.state, run.step) == (STOPPED, 201)
    write_log(made, "backup", 4, f"{ended}{STEPS}\n")
    assert run_of(made, "backup", 4).state == RUNNING


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("error: settings that ran differ: lora.r 8, 16\nerror: the training job ended without "
         "metrics.json; its last lines:\n  x\n", "settings that ran differ: lora.r 8, 16"),
        ("error: the training job ended without metrics.json; its last lines:\n"
         "  torch.OutOfMemoryError: CUDA out of memory\n  done\n",
         "torch.OutOfMemoryError: CUDA out of memory"),
    ],
)  # fmt: skip
def test_a_failed_run_has_its_reason(made, log, reason):
    write_log(made, "current", 2, log)
    run = run_of(made, "current", 2)
    assert (run.state, run.reason) == (FAILED, reason)


def test_a_run_without_a_log_waits_and_one_that_diverged_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = build_study(tmp_path, missing=[("backup", 3)], diverged=[("current", 1)])
    assert run_of(made, "backup", 3).state == WAITING
    assert run_of(made, "current", 1).state == DIVERGED


def test_the_look_is_what_the_statistics_say_of_the_same_runs(made):
    runs = collect(load_grid(made.grid), made.runs)
    table = wide_tables(runs, {"name": "eval_accuracy"})["eval_accuracy"]
    values = {arm: table[arm].to_dict() for arm in table}
    metric = read_metric(made.study)
    assert (metric.name, metric.higher_is_better, metric.delta) == ("eval_accuracy", True, 0.01)
    for found in look([("backup", "current"), ("stage1-lora_lr", "current")], values, metric):
        expected = statistics.paired_difference(table, found.arm, found.reference)
        assert found.estimate == pytest.approx(expected.estimate)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
        assert found.seeds == expected.n == 4


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_command_tells_runs_failures_and_effects_with_a_warning(made, language, capsys):
    write_log(made, "backup", 4, STEPS, age=-(time.time() - NOW))
    write_log(made, "current", 2, "error: the disk is full\n")
    assert main(["status", "synthetic", "--lang", language]) == DONE
    text = capsys.readouterr().out
    assert "201" in text and "the disk is full" in text
    assert ("18 of 20 runs done, 1 running, 1 failed" in text) == (language == "en")
    assert ("This is a look, not a result" in text) == (language == "en")
    assert "stage1-lora_lr" in text
    assert main(["status", "synthetic", "--json"]) == DONE
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["running"] == 1 and told["effects_are_a_look"]


def test_seeds_that_confirm_are_no_seeds_of_the_effects_so_far(made, capsys):
    grid = json.loads(made.grid.read_text())
    ends = [arm for arm in grid["arms"] if arm["arm"] in ("current", "backup")]
    runs = [{"arm": arm["arm"], "variant": arm["variant"], "seed": 101} for arm in ends]
    for run in runs:
        folder = made.runs / run["variant"]
        shutil.copytree(folder / "seed-1", folder / "seed-101")
    fresh = {**grid, "arms": ends, "seeds": [101], "runs": runs}
    made.results.confirmation_grid.parent.mkdir(exist_ok=True)
    made.results.confirmation_grid.write_text(json.dumps(fresh))
    assert main(["status", "synthetic", "--json"]) == DONE
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["done"] == 22
    assert {effect["seeds"] for effect in told["effects"]} == {4}


def test_a_last_stage_that_is_the_backup_is_told_once():
    arms = [("current", "a"), ("stage1", "b"), ("stage2", "c"), ("backup", "c")]
    grid = {
        "designs": [{"design": "staged", "arms": [name for name, _ in arms]}],
        "arms": [{"arm": name, "variant": variant} for name, variant in arms],
    }
    assert staged_pairs(grid) == [
        ("stage1", "current"),
        ("stage2", "stage1"),
        ("backup", "current"),
    ]


def test_a_study_that_has_not_begun_says_how_to_begin(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["status", "debian_sections"]) == MISTAKE
    assert "ablation run debian_sections" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["config/studies/synthetic/study.yaml", "results/synthetic/grid.json"]
)
def test_a_broken_file_is_a_message(made, name, capsys):
    Path(name).write_text("{ broken")
    assert main(["status", "synthetic"]) == MISTAKE
    assert Path(name).name in capsys.readouterr().err


def test_what_a_status_does_grows_no_faster_than_the_runs(tmp_path, root):
    made = build_study(tmp_path, seeds=range(1, 5))
    code = (
        "import sys; from ablation.command.main import main; "
        "assert main(['status', 'synthetic']) == 0; "
        "heavy = {'pandas', 'torch', 'scipy.stats', 'ablation.study.checks', 'ablation.designs'}; "
        "assert not heavy & set(sys.modules)"
    )
    calls = []
    for seeds in (20, 100, 200):
        add_seeds(made, seeds)
        made_calls, told = count_calls(code, root, tmp_path)
        assert f"{5 * seeds} of {5 * seeds} runs done" in told
        calls.append(made_calls)
    each = [
        (later - calls[0]) / (5 * seeds) for later, seeds in zip(calls[1:], (80, 180), strict=True)
    ]
    assert each[1] < 1.1 * each[0]
    assert each[1] < 600  # calls for a run; 410 when this was written, 0.6 s of a core for 1,000


def add_seeds(made: Synthetic, seeds: int) -> None:
    """Finished runs of every arm with so many seeds."""
    grid = json.loads(made.grid.read_text())
    for seed in range(5, seeds + 1):
        for arm in grid["arms"]:
            folder = made.runs / arm["variant"]
            if not (folder / f"seed-{seed}").exists():
                (folder / f"seed-{seed}").mkdir()
                shutil.copy(folder / "seed-1/metrics.json", folder / f"seed-{seed}/metrics.json")
                run = {"arm": arm["arm"], "variant": arm["variant"], "seed": seed}
                grid["runs"].append(run)
    made.grid.write_text(json.dumps(grid))
