"""Ctrl-C on Snakemake: runs save and stop, twice ends them at once, the next call goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

torch = pytest.importorskip("torch")

import test_tiny_study as tiny_study
from waiting import wait_until

# Minutes of training that have to be caught in their middle, which a busy machine does not let.
alone = pytest.mark.skipif("SOAK" not in os.environ, reason="wants a machine of its own: SOAK=1")
pytestmark = [pytest.mark.e2e, alone]
SAVES = "SIGINT: the run saves a checkpoint and stops"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder with one long arm, so that it is at work when Ctrl-C comes."""
    folder = tiny_study.write_study(tmp_path_factory.mktemp("work").resolve())
    file = folder / "tiny/training.yml"
    file.write_text(file.read_text().replace("num_train_epochs: 2", "num_train_epochs: 40"))
    study = folder / "tiny/study.yaml"
    study.write_text(study.read_text().replace("seeds: [1, 2]", "seeds: [1]"))
    return folder


def start(folder: Path) -> subprocess.Popen:
    """Snakemake in a session of its own: a signal to its group is Ctrl-C in its terminal."""
    command = [*tiny_study.snakemake(folder)[:-1], "devices_per_run=1"]
    return subprocess.Popen(
        command,
        env=tiny_study.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_of(folder: Path) -> tuple[Path, Path]:
    """The folder of the long run, and its log."""
    results = folder / "results/tiny"
    arms = json.loads((results / "grid.json").read_text())["arms"]
    variant = next(arm["variant"] for arm in arms if arm["arm"] == "current")
    return results / f"runs/{variant}/seed-1", results / f"logs/train_run/{variant}/seed-1.log"


def steps_of(folder: Path) -> list[int]:
    """The steps in the long run's history."""
    if not (folder / "results/tiny/grid.json").is_file():
        return []
    history = run_of(folder)[0] / "history.jsonl"
    return [json.loads(line)["step"] for line in history.open()] if history.is_file() else []


def beating() -> list[psutil.Process]:
    """The processes that say how they get on."""
    found = []
    for file in Path("/dev/shm").glob("ablation_pulse_*_0"):
        text = file.read_text().strip(" \0")
        found += [psutil.Process(json.loads(text)["pid"])] if text else []
    return found


def test_ctrl_c_saves_and_twice_ends_at_once_and_the_next_call_goes_on(folder):
    process = start(folder)
    wait_until(lambda: len(steps_of(folder)) > 5, 300, "the first steps")
    ours = [one for one in beating() if str(folder) in " ".join(one.environ().values())]
    for one in ours:
        one.send_signal(signal.SIGSTOP)  # it cannot save
    os.killpg(process.pid, signal.SIGINT)
    log = run_of(folder)[1]
    wait_until(lambda: SAVES in log.read_text(), 20, "the run to be asked")
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=60)[0]
    assert process.returncode != 0 and "Ctrl-C again ends it at once" in told
    wait_until(lambda: not tiny_study.processes_of(folder), 20, "all to end")
    tiny_study.run(folder, "--unlock")
    (run_of(folder)[0] / "history.jsonl").unlink()  # it had no checkpoint: it begins anew

    process = start(folder)
    wait_until(lambda: len(steps_of(folder)) > 5, 300, "steps again")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=200)
    assert SAVES in log.read_text()
    assert "it goes on from step" in log.read_text()
    saved = steps_of(folder)[-1]
    wait_until(lambda: not tiny_study.processes_of(folder), 20, "all to end")

    done = start(folder)
    told = done.communicate(timeout=900)[0]
    assert done.returncode == 0, told[-4000:]
    assert "resuming from" in log.read_text()
    steps = steps_of(folder)
    assert len(steps) > saved and steps == list(range(1, len(steps) + 1))
    assert (folder / "results/tiny/report.md").is_file()
