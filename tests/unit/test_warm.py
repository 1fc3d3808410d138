"""The warm worker: the same run as a launched one, and no run touches another."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import tiny
from waiting import wait_until

from ablation.machine.warm import worker_name

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    tiny.write_model(folder / "model")
    tiny.write_data(folder / "data")
    long = {"num_train_epochs": 2000.0}
    tiny.write_grid(folder / "grid.json", {"current": {}, "long": long})
    return folder


def command(study: Path, arm: str, output: str, warm: bool = True) -> list[str]:
    model, data = study / "model/model.json", study / "data"
    results = tiny.as_results(study / output, grid=study / "grid.json", model=model, data=data)
    found = [sys.executable, ROOT / "scripts/train_run.py", "--results", results]
    found += ["--variant", arm, "--seed", "1"]
    return [*map(str, found), *(["--warm", str(study / ".warm")] if warm else [])]


def run(study: Path, output: str, arm: str = "current") -> Path:
    """The folder of a run."""
    return study / output / "runs" / arm / "seed-1"


def children(pid: int) -> list[int]:
    """Sessions of the worker's runs that live now."""
    import psutil

    return [child.pid for child in psutil.Process(pid).children()]


def server_of(study: Path) -> int:
    """The worker: of the processes with its command line, the one that no other of them forked."""
    import psutil

    def serves(process: psutil.Process) -> bool:
        line = process.cmdline()
        return "ablation.training.server" in line and str((study / ".warm").resolve()) in line

    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if serves(process) and not serves(process.parent()):
                return pid
    raise AssertionError("no worker")


def shared_by(pid: int) -> set[Path]:
    """DeepSpeed's files in memory that a run has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line.split()[-1]) for line in lines if "/dev/shm/deepspeed_" in line}


def test_a_warm_run_equals_a_launched_one(study):
    subprocess.run(command(study, "current", "warm"), check=True)
    result = subprocess.run(
        command(study, "current", "warm2"), check=True, capture_output=True, text=True
    )
    assert "beginning anew" not in result.stderr
    subprocess.run(command(study, "current", "cold", warm=False), check=True)
    for file in ("history.jsonl", "effective.json", "adapter/adapter_model.safetensors"):
        contents = {(run(study, name) / file).read_bytes() for name in ("warm", "warm2", "cold")}
        assert len(contents) == 1, file
    scores = [
        json.loads((run(study, name) / "metrics.json").read_text())["quality"]
        for name in ("warm", "cold")
    ]
    assert scores[0] == scores[1]


def test_a_run_that_is_killed_touches_no_other_and_leaves_nothing(study):
    first = subprocess.Popen(command(study, "long", "a"))
    second = subprocess.Popen(command(study, "long", "b"), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: all((run(study, name, "long") / "history.jsonl").exists() for name in "ab"))
    server = server_of(study)
    assert len(children(server)) == 2
    shared = set().union(*map(shared_by, children(server)))
    assert len(shared) == 2
    assert all(path.exists() for path in shared)
    first.kill()  # the supervisor itself: it can tell nobody
    first.wait()
    wait_until(lambda: len(children(server)) == 1, 5)
    history = run(study, "b", "long") / "history.jsonl"
    size = history.stat().st_size
    wait_until(lambda: history.stat().st_size > size)
    (remaining,) = children(server)
    os.kill(remaining, signal.SIGKILL)  # as when memory runs out
    told = second.communicate(timeout=30)[1]
    assert second.returncode == 1 and "It looks as if memory ran out" in told, told
    wait_until(lambda: not children(server), 5)
    assert not any(path.exists() for path in shared)
    third = subprocess.Popen(command(study, "long", "c"))
    wait_until(lambda: (run(study, "c", "long") / "history.jsonl").exists())
    third.terminate()
    assert third.wait(10) == 128 + signal.SIGTERM
    wait_until(lambda: not children(server), 5)


def test_an_idle_worker_leaves(study, monkeypatch):
    os.kill(server_of(study), signal.SIGTERM)
    monkeypatch.setenv("ABLATION_WARM_IDLE_SECONDS", "3")
    subprocess.run(command(study, "current", "idle"), check=True)
    server = server_of(study)
    wait_until(lambda: not Path(f"/proc/{server}").exists(), 15)
    assert not list((study / ".warm").glob("*.sock"))


def test_other_libraries_have_a_worker_of_their_own():
    assert worker_name({"DS_ACCELERATOR": "cpu"}) == worker_name({"DS_ACCELERATOR": "cpu"})
    assert worker_name({"DS_ACCELERATOR": "cpu"}) != worker_name({"DS_ACCELERATOR": "cuda"})
