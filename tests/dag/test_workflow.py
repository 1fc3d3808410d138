"""What Snakemake plans: jobs by rule, and what a change makes it do again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.dag
ROOT = Path(__file__).resolve().parents[2]
PROFILE = (
    '{"rows": {"train": 8, "validation": 1, "test": 2}, "special_tail": [], "tokens": {"mean": 4,'
    ' "median": 4, "p95": 4, "p99": 4, "max": 4, "histogram": {}}}'
)


def snakemake(
    folder: Path,
    *arguments: str,
    study: str = "account_tax",
    devices: str = "1",
    gpus: str = "",
    studies: str = "",
) -> subprocess.CompletedProcess:
    """Run Snakemake in `folder` on the studies that lie there."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), *arguments]
    command += [
        "--config",
        f"studies={studies or folder}",
        f"study={study}",
        f"devices_per_run={devices}",
    ]
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": gpus,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def planned(result: subprocess.CompletedProcess) -> dict[str, int]:
    """Jobs by rule, from the table that Snakemake prints."""
    assert result.returncode == 0, result.stderr + result.stdout
    table = re.findall(r"^(\w+) +(\d+)$", result.stdout + result.stderr, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in table if rule != "total"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with one study that has data."""
    study = Path(shutil.copytree(ROOT / "config/studies/account_tax", tmp_path / "account_tax"))
    text = (study / "study.yaml").read_text()
    (study / "study.yaml").write_text(re.sub(r"path: null .*", "path: rows.csv", text))
    (study / "rows.csv").write_text("text,acct_code\na,1\nb,2\n")
    return tmp_path


def finish(folder: Path) -> None:
    """Make every output of the study, as if all of it had been run."""
    summary = snakemake(folder, "--summary").stdout
    for line in summary.splitlines()[1:]:
        path = folder / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text(PROFILE if path.name == "profile.json" else "{}")
        else:
            path.mkdir(exist_ok=True)
    result = snakemake(folder, "--touch", "--cores", "1", "--forceall")
    assert result.returncode == 0, result.stderr


def test_the_plan_has_a_training_for_each_arm_and_seed(folder):
    jobs = planned(snakemake(folder, "-n"))
    assert jobs["train_run"] == 5 * 3
    assert jobs["prepare_model"] == jobs["prepare_data"] == 1
    assert jobs["render_report"] == 2


def test_the_source_study_is_planned_without_data_and_refused_without_it(tmp_path):
    shutil.copytree(ROOT / "config/studies/account_tax", tmp_path / "account_tax")
    assert planned(snakemake(tmp_path, "-n"))["train_run"] == 15
    result = snakemake(tmp_path, "--cores", "1")
    assert result.returncode != 0
    assert "data.path is not set" in result.stderr and "study.yaml:45" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_study_is_one_message(folder):
    result = snakemake(folder, "-n", study="acount_tax")
    assert result.returncode != 0
    assert "write:   study: account_tax" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_seed_and_a_stage_train_only_what_is_new_and_texts_train_nothing(folder):
    finish(folder)
    for studies in (str(folder), "."):  # one folder, whichever way it is written
        nothing = snakemake(folder, "-n", studies=studies)
        assert "Nothing to be done" in nothing.stdout + nothing.stderr
    study = folder / "account_tax/study.yaml"
    text = study.read_text()

    time.sleep(0.01)
    study.write_text(text.replace("seeds: [1, 2, 3]", "seeds: [1, 2, 3, 4]"))
    jobs = planned(snakemake(folder, "-n"))
    assert jobs["train_run"] == 5 and "cache_prefix" not in jobs

    stage = "  - name: more_data\n    settings: [data.extract_ratio]\n  - name: epochs\n"
    study.write_text(text.replace("  - name: epochs\n", stage))
    jobs = planned(snakemake(folder, "-n"))
    # The new arm, and the two behind it, which now hold more; the endpoints stay.
    assert jobs["train_run"] == 3 * 3
    assert jobs["cache_prefix"] == 1  # one of them reads other rows than any before

    study.write_text(text.replace('en: "Epochs"', 'en: "Number of epochs"'))
    jobs = planned(snakemake(folder, "-n"))
    assert not {"train_run", "cache_prefix"} & set(jobs) and jobs["render_report"] == 2


def test_another_cache_trains_no_finished_run_and_forgets_no_missing_one(folder):
    finish(folder)
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text("prefix_cache_gb: 7\n")
    jobs = planned(snakemake(folder, "-n"))
    assert jobs["cache_prefix"] == 1 and "train_run" not in jobs
    for run in sorted((folder / "results/account_tax/runs").glob("*/seed-1/metrics.json"))[:2]:
        run.unlink()
    jobs = planned(snakemake(folder, "-n"))
    assert jobs["cache_prefix"] == 1 and jobs["train_run"] == 2


def test_a_file_that_a_configuration_includes_is_watched(folder):
    study = folder / "account_tax"
    text = (study / "study.yaml").read_text()
    (study / "study.yaml").write_text(text.replace("current: training.yml", "current: hf.yml"))
    lines = "learning_rate: 1.0e-4\nlora_r: 8\nlr_scheduler_type: cosine\ndeepspeed: ds.json\n"
    (study / "hf.yml").write_text(f"{lines}output_dir: out\nper_device_train_batch_size: 2\n")
    (study / "ds.json").write_text('{"zero_optimization": {"stage": 2}}')
    result = snakemake(folder, "-n", "results/account_tax/grid.json")
    assert "account_tax/ds.json" in result.stdout + result.stderr


def test_the_plan_tells_how_long_all_takes_for_each_number_of_gpus(folder):
    result = snakemake(folder, "-n", devices="auto", gpus="2,3,5,7")
    text = result.stderr + result.stdout
    assert planned(result)["train_run"] == 15
    assert "All runs on 4 GPUs of this machine take" in text
    assert "one device for each run, 4 at a time: " in text
    assert "4 devices for each run, 1 at a time: " in text
    assert "gpu=4" in text  # the memory of these is not known: as the source has it


def test_gpus_that_are_not_there_are_refused(folder):
    result = snakemake(folder, "-n", devices="2", gpus="3")
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert "write:   devices_per_run: 1" in result.stderr


def test_runs_that_have_begun_keep_their_number_of_devices(folder):
    grid = snakemake(folder, "results/account_tax/grid.json", "--cores", "1")
    assert grid.returncode == 0, grid.stderr
    arms = json.loads((folder / "results/account_tax/grid.json").read_text())["arms"]
    run = folder / "results/account_tax/runs" / arms[0]["variant"] / "seed-1"
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"batch": {"world_size": 2}}')
    result = snakemake(folder, "-n", devices="auto", gpus="0,1,2,3")
    assert "devices=2" in result.stdout + result.stderr


def test_planning_stays_cheap_for_many_runs():
    for profile in ("default", "slurm"):
        text = (ROOT / "profiles" / profile / "config.yaml").read_text()
        assert re.search("^scheduler: greedy", text, flags=re.MULTILINE)
    rules = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    assert not any(re.search(r"^    run:", text, flags=re.MULTILINE) for text in rules)


def test_the_workflow_passes_its_linter(folder):
    result = snakemake(folder, "--lint")
    assert result.returncode == 0, result.stderr
