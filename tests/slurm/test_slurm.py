"""The tiny study on a real SLURM with pretended GPUs, through profiles/slurm: `make slurm-check`.

Runs there are put back into the queue and out of time, and end as if nothing had happened.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

import test_tiny_study as tiny_study

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "snakemake_executor_plugin_slurm"
# What a small cluster without accounting needs otherwise.
CHANGES = {
    "=32000": "=1500",
    "mem_mb=4000": "mem_mb=500",
    "latency-wait: 60": "latency-wait: 5",
    "# slurm-status-command: squeue ": "slurm-init-seconds-before-status-checks: 3 ",
    "retries: 2": "slurm-status-command: squeue\nretries: 2",
    "runtime=240": "runtime=4",  # minutes; the notice comes two before they are over
}


def why_not() -> str | None:
    """Why these tests cannot run here; None where they can."""
    if importlib.util.find_spec(PLUGIN) is None:
        return f"{PLUGIN} is not installed: `make slurm-check` does it, and starts SLURM"
    found = shutil.which("sinfo") and subprocess.run(["sinfo"], capture_output=True, check=False)
    return None if found and found.returncode == 0 else "no SLURM answers: `make slurm-check`"


pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(why_not()), reason=str(why_not()))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The study with a long arm, and a copy of the profile for this cluster."""
    folder = tiny_study.write_study(tmp_path_factory.mktemp("work").resolve())
    file = folder / "tiny/training.yml"
    file.write_text(file.read_text().replace("num_train_epochs: 2", "num_train_epochs: 600"))
    study = folder / "tiny/study.yaml"
    study.write_text(study.read_text().replace("seeds: [1, 2]", "seeds: [1]"))
    profile = (ROOT / "profiles/slurm/config.yaml").read_text()
    for old, new in CHANGES.items():
        assert old in profile
        profile = profile.replace(old, new)
    (folder / "profile").mkdir()
    (folder / "profile/config.yaml").write_text(profile)
    return folder


def squeue(layout: str) -> list[str]:
    """A line for each job of the cluster, running or done."""
    command = ["squeue", "--noheader", "--states=all", f"--format={layout}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def job_of(variant: str) -> str:
    """The number of the running job that trains a variant."""
    found = [line.split()[0] for line in squeue("%A %T %k") if variant in line and "RUNN" in line]
    return found[0]


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--workflow-profile", str(folder / "profile")]
    command += ["--config", f"studies={folder}", "study=tiny", "devices_per_run=1"]
    return subprocess.Popen(
        command,
        env=tiny_study.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_runs_that_are_requeued_or_out_of_time_end_as_if_nothing_had_happened(folder):
    process = start(folder)
    results = folder / "results/tiny"
    grid = results / "grid.json"
    try:
        tiny_study.wait_until(grid.is_file, 300, "the grid")
        arms = {one["arm"]: one["variant"] for one in json.loads(grid.read_text())["arms"]}
        run = results / "runs" / arms["stage1-lora"] / "seed-1"
        whole = "checkpoints/checkpoint-*/complete.json"
        tiny_study.wait_until(lambda: any(run.glob(whole)), 600, "a checkpoint")
        assert any("gres/gpu:1" in line for line in squeue("%b %k") if run.parent.name in line)
        subprocess.run(["scontrol", "requeue", job_of(run.parent.name)], check=True)
    finally:
        told = process.communicate(timeout=1800)[0]
    assert process.returncode == 0, told[-5000:]
    assert "SIGURG: the run saves a checkpoint and stops" in told
    assert "Trying to restart job" in told
    for variant in (arms["current"], arms["stage1-lora"]):
        folder_of = results / "runs" / variant / "seed-1"
        log = (results / "logs/train_run" / variant / "seed-1.log").read_text()
        assert "resuming from" in log
        steps = [json.loads(x)["step"] for x in (folder_of / "history.jsonl").open()]
        assert steps == list(range(1, len(steps) + 1))
        assert json.loads((folder_of / "attempts.json").read_text())["failed"] >= 1
    assert (results / "report.md").is_file()
