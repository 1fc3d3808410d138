"""A run that hangs is ended with its stacks; one that is told to end saves, and ends alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

torch = pytest.importorskip("torch")

import tiny

from ablation.cli import EXIT_LATER
from ablation.training.marks import checkpoints_in

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    tiny.write_model(folder / "model")
    tiny.write_data(folder / "data")
    tiny.write_grid(folder / "grid.json", {"long": {"num_train_epochs": 60.0}})
    return folder


def run_of(study: Path, name: str) -> Path:
    """The folder of a run in results of its own."""
    return study / name / "runs" / "long" / "seed-1"


def start(study: Path, name: str, ranks: int = 1, minutes: str = "5") -> subprocess.Popen:
    """A run, in the warm worker where it has one rank; so many minutes may be found to hang."""
    model, data = study / "model/model.json", study / "data"
    results = tiny.as_results(study / name, grid=study / "grid.json", model=model, data=data)
    command = [sys.executable, ROOT / "scripts/train_run.py", "--results", results]
    command += ["--variant", "long", "--seed", "1", "--warm", study / ".warm"]
    return subprocess.Popen(
        [*map(str, command), "--world-size", str(ranks), "--threads", str(ranks)],
        env={**os.environ, "ABLATION_PATIENCE_MINUTES": minutes},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_steps(study: Path, name: str, process: subprocess.Popen, steps: int) -> None:
    """Return once the run has taken so many steps."""
    history = run_of(study, name) / "history.jsonl"
    deadline = time.monotonic() + 400
    while not history.exists() or len(history.read_text().splitlines()) < steps:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)


def command_of(process: psutil.Process) -> str:
    """Its command line; empty where it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def rank_of(study: Path, name: str, rank: int) -> psutil.Process:
    """A rank's process, found by its environment."""
    for process in psutil.process_iter():
        try:
            found = process.environ()
            files = " ".join(process.cmdline()) + found.get("ABLATION_PULSE", "")
        except psutil.Error:
            continue
        if found.get("RANK") == str(rank) and f"--run {run_of(study, name)}" in files:
            return process
    raise AssertionError("no such rank")


def result_of(study: Path, name: str) -> dict:
    """What must not differ: scores and history."""
    run = run_of(study, name)
    quality = json.loads((run / "metrics.json").read_text())["quality"]
    return {"quality": quality, "history": (run / "history.jsonl").read_text()}


def test_a_run_that_is_told_to_end_saves_within_its_epoch_and_ends_as_if_it_had_gone_on(study):
    whole = start(study, "whole")
    assert "completed" in whole.communicate()[0]
    for number in (signal.SIGTERM, signal.SIGURG, signal.SIGINT):
        process = start(study, number.name)
        wait_for_steps(study, number.name, process, 7)
        process.send_signal(number)
        told = process.communicate()[0]
        assert process.returncode == 128 + number, told
        last = int(checkpoints_in(run_of(study, number.name) / "checkpoints")[-1].name[11:])
        assert f"it goes on from step {last}" in told
        again = start(study, number.name)
        assert f"resuming from {run_of(study, number.name)}" in again.communicate()[0]
        assert result_of(study, number.name) == result_of(study, "whole")


def test_one_stopped_rank_of_two_ends_the_run_with_the_stacks_of_both(study):
    process = start(study, "two", ranks=2, minutes="0.25")
    wait_for_steps(study, "two", process, 3)
    rank_of(study, "two", 1).send_signal(signal.SIGSTOP)
    told = process.communicate()[0]
    assert process.returncode == EXIT_LATER, told
    for rank in (0, 1):
        stacks = told.partition(f"stacks of rank {rank}")[2]
        assert "in run_job" in stacks
    assert "(stopped by a signal)" in told.splitlines()[-1]
    assert "error: the run hung and was ended: rank 0 at step" in told


def test_a_stopped_run_of_the_warm_worker_is_ended_too(study):
    process = start(study, "stopped", minutes="0.25")
    wait_for_steps(study, "stopped", process, 3)
    folder = str((study / ".warm").resolve())
    workers = [p for p in psutil.process_iter() if folder in command_of(p)]
    files = Path("/dev/shm").glob("ablation_pulse_*_0")
    beating = {json.loads(file.read_text().strip(" \0") or "{}").get("pid") for file in files}
    (child,) = [p for p in workers if p.pid in beating]
    child.send_signal(signal.SIGSTOP)
    told = process.communicate()[0]
    assert process.returncode == EXIT_LATER, told
    assert "stacks of rank 0" in told and "in run_job" in told
    assert "(stopped by a signal)" in told.splitlines()[-1]
