"""What Snakemake plans: jobs by rule, and what a change makes it do again."""

from __future__ import annotations

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
    '{"rows": {"train": 8, "validation": 1, "test": 2}, "tokens": {"mean": 4}, "special_tail": []}'
)


def snakemake(
    folder: Path, *arguments: str, study: str = "account_tax"
) -> subprocess.CompletedProcess:
    """Run Snakemake in `folder` on the studies that lie there."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), *arguments]
    command += ["--config", f"studies={folder}", f"study={study}", "devices_per_run=1"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
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
    nothing = snakemake(folder, "-n")
    assert "Nothing to be done" in nothing.stdout + nothing.stderr
    study = folder / "account_tax/study.yaml"
    text = study.read_text()

    time.sleep(0.01)
    study.write_text(text.replace("seeds: [1, 2, 3]", "seeds: [1, 2, 3, 4]"))
    assert planned(snakemake(folder, "-n"))["train_run"] == 5

    stage = "  - name: more_data\n    settings: [data.extract_ratio]\n  - name: epochs\n"
    study.write_text(text.replace("  - name: epochs\n", stage))
    jobs = planned(snakemake(folder, "-n"))
    # The new arm, and the two behind it, which now hold more; the endpoints stay.
    assert jobs["train_run"] == 3 * 3

    study.write_text(text.replace('en: "Epochs"', 'en: "Number of epochs"'))
    jobs = planned(snakemake(folder, "-n"))
    assert "train_run" not in jobs and jobs["render_report"] == 2


def test_a_file_that_a_configuration_includes_is_watched(folder):
    study = folder / "account_tax"
    text = (study / "study.yaml").read_text()
    (study / "study.yaml").write_text(text.replace("current: training.yml", "current: hf.yml"))
    lines = "learning_rate: 1.0e-4\nlora_r: 8\nlr_scheduler_type: cosine\ndeepspeed: ds.json\n"
    (study / "hf.yml").write_text(f"{lines}output_dir: out\nper_device_train_batch_size: 2\n")
    (study / "ds.json").write_text('{"zero_optimization": {"stage": 2}}')
    result = snakemake(folder, "-n", "results/account_tax/grid.json")
    assert "account_tax/ds.json" in result.stdout + result.stderr


def test_the_workflow_passes_its_linter(folder):
    result = snakemake(folder, "--lint")
    assert result.returncode == 0, result.stderr
