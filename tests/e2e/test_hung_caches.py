"""The states of the frozen layers are made under watch: hung, killed or told to leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import tiny

from ablation.cli import EXIT_LATER
from ablation.machine.pulse import BATCH, SHARED_MEMORY

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
WANTED = {"float32": {"boundaries": [2], "max_length": 16, "extracts": [[1.0, None]]}}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    tiny.write_model(folder / "model")
    tiny.write_data(folder / "data", rows=40_000)
    return folder


def start(study: Path, name: str, *options: str) -> subprocess.Popen:
    """What computes the states into results of its own."""
    results = tiny.as_results(study / name, model=study / "model/model.json", data=study / "data")
    command = [sys.executable, ROOT / "scripts/cache_prefix.py", "--results", results]
    command += ["--wanted", json.dumps(WANTED), *options]
    return subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, "ABLATION_PATIENCE_MINUTES": "0.2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def signal_at_work(process: subprocess.Popen, number: int) -> int:
    """Send a signal to the process that computes, once it is at its batches; its number."""
    before = time.monotonic()
    while process.poll() is None and time.monotonic() - before < 300:
        for file in SHARED_MEMORY.glob("ablation_pulse_*_0"):
            try:
                beat = json.loads(file.read_bytes())
            except (OSError, ValueError):
                continue
            if beat["doing"] == BATCH and beat["slowest"] is not None:
                os.kill(beat["pid"], number)
                return beat["pid"]
        time.sleep(0.005)
    raise AssertionError(process.communicate()[0])


def finish(study: Path, name: str, *options: str) -> str:
    """What the next call says; it must end well."""
    process = start(study, name, *options)
    told = process.communicate()[0]
    assert process.returncode == 0, told
    record = json.loads((study / name / "prefix/prefix.json").read_text())
    assert record["caches"]["float32"]["tokens"] > 0
    return told


def test_one_that_hangs_is_ended_with_its_stacks_and_the_next_call_is_whole(study):
    process = start(study, "hung")
    signal_at_work(process, signal.SIGSTOP)
    told = process.communicate()[0]
    assert process.returncode == EXIT_LATER, told
    assert "stacks of rank 0" in told and "in write_states" in told
    assert "error: the run hung and was ended: rank 0 at a batch of states" in told
    assert not (study / "hung/prefix/prefix.json").exists()
    finish(study, "hung")


@pytest.mark.parametrize("warm", [False, True])
def test_one_that_the_kernel_kills_says_that_memory_may_have_run_out(study, warm, tmp_path):
    name, options = f"killed-{warm}", ["--warm", str(tmp_path)] if warm else []
    process = start(study, name, *options)
    signal_at_work(process, signal.SIGKILL)
    told = process.communicate()[0]
    assert process.returncode == 1, told
    assert "error: the states of the frozen layers are not whole" in told
    assert "It looks as if memory ran out." in told and "prefix_cache_gb: 0" in told
    finish(study, name, *options)


def test_one_that_is_interrupted_keeps_what_it_has(study):
    process = start(study, "interrupted")
    pid = signal_at_work(process, signal.SIGSTOP)  # so that it is not done meanwhile
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    os.kill(pid, signal.SIGCONT)
    told = process.communicate()[0]
    assert process.returncode == 128 + signal.SIGINT, told
    assert "the next try goes on from row" in told
    assert "going on with an interrupted cache" in finish(study, "interrupted")
