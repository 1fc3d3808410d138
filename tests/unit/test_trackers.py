"""What experiment trackers are told of a study, and that none of them holds up anything."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from synthetic import build_study

from ablation.evidence.metrics import save_table
from ablation.results import Results
from ablation.study.run_metrics import read_metrics
from ablation.trackers.send import FAILED, NOT_INSTALLED, TIMED_OUT, TOLD, send_within
from ablation.trackers.tracked import TrackedStudy, numbers_of, read_tracked
from ablation.words.catalogue import LANGUAGES, load_catalogue

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = {name: importlib.util.find_spec(name) for name in ("mlflow", "tensorboard", "wandb")}


def needs(tracker: str) -> pytest.MarkDecorator:
    """Skip where an extra is not installed."""
    reason = f"{tracker} is not installed: it is an extra, pip install 'staged-ablation[{tracker}]'"
    return pytest.mark.skipif(INSTALLED[tracker] is None, reason=reason)


@pytest.fixture
def results(tmp_path) -> Results:
    """A finished study of five arms and two seeds, with a report to send."""
    found = build_study(tmp_path, seeds=(1, 2), effects={"epochs": 0.1}).results
    found.report("en").write_text("# A report\n")
    found.effects.write_text("{}")
    return found


@pytest.fixture
def study(results) -> TrackedStudy:
    return read_tracked(results)


def test_a_study_is_an_experiment_its_arms_are_groups_and_its_seeds_runs(study):
    assert [run.name for run in study.runs][:2] == ["current, seed 1", "stage1-lora_lr, seed 1"]
    assert len(study.runs) == 10 and {run.seed for run in study.runs} == {1, 2}
    assert len({run.id for run in study.runs}) == 10


def test_a_run_has_its_settings_its_series_by_step_and_the_scores_of_its_selected_weights(study):
    run = study.runs[0]
    assert float(run.settings["learning_rate"]) == 4e-4
    assert [step for step, _ in run.series["loss"]][:3] == [1, 2, 3]
    assert set(run.series) >= {"loss", "learning_rate"}
    assert 0 < run.scores["quality.eval_accuracy"] < 1


def test_effects_and_report_are_files_of_the_study(study, results):
    assert {results.effects, results.report("en")} <= set(study.files)
    assert all(file.is_file() for file in study.files)


def test_a_run_measured_anew_has_another_id(study, results):
    file = results.run_metrics(study.runs[0].variant, 1)
    metrics = json.loads(file.read_text()) | {"seal": "another"}
    file.write_text(json.dumps(metrics))
    assert read_tracked(results).runs[0].id != study.runs[0].id


def test_runs_that_are_not_finished_are_not_told(study, results):
    results.run_metrics(study.runs[0].variant, 1).unlink()
    assert len(read_tracked(results).runs) == 9


def test_numbers_are_named_by_their_blocks_and_what_is_not_finite_is_left_out():
    quality = {"selected": "best", "best": {"loss": math.inf}, "final": {"loss": 1.0}}
    run = read_metrics({"cost": {"seconds": 3, "ok": True, "name": "x"}, "quality": quality})
    assert list(numbers_of(run)) == [("cost.seconds", 3.0)]


def test_a_tracker_that_hangs_is_ended_with_what_it_started(tmp_path):
    started = tmp_path / "child"
    script = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(started)!r}, 'w').write(str(child.pid));"
        "time.sleep(600)"
    )
    outcome = send_within("json", [sys.executable, "-c", script], 3)
    assert outcome.status == TIMED_OUT
    deadline = time.monotonic() + 30
    while Path(f"/proc/{started.read_text()}/cmdline").is_file() and is_alive(started.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: str) -> bool:
    """Whether a process runs; one that has ended may wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("code", "status"), [("print('there')", TOLD), ("1 / 0", FAILED)])
def test_what_has_come_of_a_tracker_is_known(code, status):
    outcome = send_within("json", [sys.executable, "-c", code], 60)
    assert outcome.status == status
    assert outcome.detail == ("there" if status == TOLD else "")


def test_a_tracker_that_is_not_there_is_said_and_is_no_error():
    outcome = send_within("no_such_tracker", ["false"], 60)
    assert outcome.status == NOT_INSTALLED
    for language in LANGUAGES:
        texts = load_catalogue("trackers", language)
        assert set(texts) == {TOLD, TIMED_OUT, FAILED, NOT_INSTALLED}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_program_writes_what_has_come_of_it_and_exits_with_zero(results, language):
    missing = next((name for name, found in INSTALLED.items() if found is None), None)
    if missing is None:
        pytest.skip("every tracker is installed here, so that none can be missing")
    done = track(results, missing, "--lang", language)
    assert done.returncode == 0
    assert f"staged-ablation[{missing}]" in done.stderr
    told = json.loads((results.tracked / f"{missing}.json").read_text())
    assert told["status"] == NOT_INSTALLED


def track(results: Results, tracker: str, *options: str) -> subprocess.CompletedProcess:
    """Run the program for a tracker, as the rule does, in the study's folder."""
    command = [sys.executable, str(ROOT / "scripts/track_study.py")]
    command += ["--results", str(results.folder), "--tracker", tracker, *options]
    env = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=env, cwd=results.folder
    )


@needs("mlflow")
def test_mlflow_keeps_each_run_once_in_its_database(results, study):
    from mlflow.tracking import MlflowClient

    for _ in range(2):
        done = track(results, "mlflow")
        assert "told of the study" in done.stderr, done.stderr
    client = MlflowClient(f"sqlite:///{results.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(study.name).experiment_id
    found = {one.info.run_name: one for one in client.search_runs([experiment])}
    assert len(client.search_runs([experiment])) == 10 + 5 + 1  # runs, their arms, the study
    first = found["current, seed 1"]
    assert float(first.data.params["learning_rate"]) == 4e-4
    history = client.get_metric_history(first.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == list(study.runs[0].series["loss"])
    parent = client.get_run(first.data.tags["mlflow.parentRunId"])
    assert parent.info.run_name == "current"
    files = {file.path for file in client.list_artifacts(found[study.title].info.run_id)}
    assert {"effects.json", "report.md"} <= files


@needs("mlflow")
def test_mlflow_takes_a_folder_of_runs_where_there_is_one(results):
    (results.folder / "mlruns").mkdir()
    assert "told of the study" in track(results, "mlflow").stderr
    assert not (results.folder / "mlflow.db").exists()


@needs("tensorboard")
def test_tensorboard_reads_each_runs_series_and_the_report(results, study):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert "told of the study" in track(results, "tensorboard").stderr
    events = EventAccumulator(str(results.tracked / "tensorboard/current/seed-1")).Reload()
    told = [(one.step, one.value) for one in events.Scalars("loss")]
    assert told == [(step, pytest.approx(value)) for step, value in study.runs[0].series["loss"]]
    whole = EventAccumulator(str(results.tracked / "tensorboard/study")).Reload()
    assert "report.md" in whole.Tags()["tensors"]


@needs("wandb")
def test_wandb_keeps_every_run_offline(results):
    done = track(results, "wandb")
    assert "told of the study" in done.stderr, done.stderr
    assert len(list(results.tracked.glob("wandb/offline-run-*"))) == 10 + 1


def test_a_table_of_metrics_has_the_steps_that_trackio_imports_it_by(tmp_path):
    path = tmp_path / "metrics.csv"
    save_table(pd.DataFrame([{"arm": "current", "cost.train_runtime": 2.5}] * 3), path)
    rows = list(csv.DictReader(path.open()))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
