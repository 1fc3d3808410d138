"""A failed run: the report tells of it, and the next call trains it, and only it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml
from faked import ROOT, FakedStudy
from soak.plugged import SmallStudy, still_there
from waiting import hear_ctrl_c

pytestmark = pytest.mark.dag
PLANTED = {"noise": 0.003, "lora_learning_rate": 0.3, "epochs": 0.2}
# Snakemake, told to stop when its last job has just ended.
STOPPED_AT_THE_END = """
from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler
whole = JobScheduler.schedule
JobScheduler.schedule = lambda self: whole(self) and False
main()
"""
# Snakemake, which has a signal as it notes the end of a job, with its lock in hand.
STOPPED_IN_NOTING = """
import os, signal
from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler
noting = JobScheduler._finish_jobs
def stopped(self):
    if self._tofinish:
        os.kill(os.getpid(), signal.SIGTERM)
    noting(self)
JobScheduler._finish_jobs = stopped
main()
"""
# `ablation run`, which has Ctrl-C in the middle of a look, when a run is at work.
STOPPED_IN_A_LOOK = """
import os, signal, sys
sys.executable = sys.argv.pop(1)
from ablation.command.follow import Teller
from ablation.command.main import main
look = Teller.look
def stopped(self, log):
    look(self, log)
    if any("training" in log.read_text() for log in self.results.folder.glob("logs/train_run/*/*")):
        Teller.look = look
        os.kill(os.getpid(), signal.SIGINT)
Teller.look = stopped
sys.exit(main(sys.argv[1:]))
"""
LOG = "results/account_tax/logs/train_run/"


def started(result: subprocess.CompletedProcess) -> dict[str, int]:
    """How many jobs of each rule were started."""
    text = result.stdout + result.stderr
    names = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", text, re.MULTILINE)
    return {name: names.count(name) for name in sorted(set(names))}


def nothing_to_do(result: subprocess.CompletedProcess) -> bool:
    return "Nothing to be done" in result.stdout + result.stderr


def test_the_next_call_trains_what_failed_and_only_that(faked: FakedStudy):
    faked.write(seeds="[1, 2]")
    failed = faked.call(PLANTED, "--keep-going", failing=["stage2-epochs/2"])
    assert failed.returncode != 0 and len(faked.trained()) == 9
    partial = faked.results / "partial"
    for report, told, picture in (
        ("report.md", "9 of 10", "figures/waterfall.svg"),
        ("report.ko.md", "10개 중 9개", "figures/waterfall.ko.svg"),
    ):
        text = (partial / report).read_text()
        assert told in text and f"`{LOG}" in text
        assert "`RuntimeError: the disk of the run is <full> | 'no' room`" in text
        assert f"({picture})" in text and (partial / picture).is_file()
    assert "<h1" in (partial / "report.html").read_text()
    contrasts = json.loads((partial / "effects.json").read_text())["contrasts"]
    pairs = {one["id"]: one["improvement"]["n"] for one in contrasts}
    assert pairs["stage:lora_learning_rate"] == 2 and pairs["stage:epochs"] == 1
    outputs = ("report.md", "report.html", "metrics.csv", "effects.json", "health.json", "figures")
    assert not any((faked.results / name).exists() for name in outputs)

    mended = faked.call(PLANTED)
    assert mended.returncode == 0, mended.stderr
    assert started(mended)["train_run"] == 1 and started(mended)["render_report"] == 2
    assert len(faked.trained()) == 10
    assert not partial.exists() and "partial" not in (faked.results / "report.md").read_text()
    assert nothing_to_do(faked.call(PLANTED))

    # As where the report was there, and what failed was the patch after it.
    (faked.results / "recommended/training.patch").unlink()
    partial.mkdir()
    (partial / "report.md").write_text("9 of 10")
    assert started(faked.call(PLANTED)) == {"all": 1, "write_patch": 1}
    assert not partial.exists()

    (faked.results / "recommended/training.patch").unlink()
    at_the_end = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_THE_END, *faked.command()[3:]],
        env=faked.environment(PLANTED),
        check=False,
    )
    assert at_the_end.returncode != 0 and not partial.exists()
    assert nothing_to_do(faked.call(PLANTED))

    next(faked.results.glob("runs/*/seed-2/metrics.json")).unlink()
    again = faked.call(PLANTED, "-n")
    assert started(again)["train_run"] == 1


def test_an_interrupted_study_goes_on_where_it_was(faked: FakedStudy):
    faked.write(seeds="[1, 2]")
    interrupted = subprocess.Popen(
        faked.command(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=faked.environment(PLANTED, seconds=1),
        start_new_session=True,
        # A shell's background job ignores the signal, and so would all that it starts.
        preexec_fn=hear_ctrl_c,
    )
    deadline = time.monotonic() + 120
    while len(faked.trained()) < 3:
        assert time.monotonic() < deadline and interrupted.poll() is None
        time.sleep(0.05)
    interrupted.send_signal(signal.SIGINT)
    said = interrupted.communicate(timeout=120)[0]
    assert interrupted.returncode != 0 and "Traceback" not in said
    done, left = said.count("(Rule: train_run)"), 10 - len(faked.trained())
    assert 1 <= done < 10 and not (faked.results / "report.md").exists()
    again = faked.call(PLANTED)
    assert again.returncode == 0, again.stderr
    # Also what ended after the signal stays as it is.
    assert started(again).get("train_run", 0) == left and len(faked.trained()) == 10


@pytest.mark.parametrize(
    ("caller", "number", "code"),
    [
        ("snakemake", signal.SIGINT, 1),
        ("ablation", signal.SIGINT, 130),
        ("ablation", signal.SIGTERM, 1),
    ],
)
def test_a_signal_to_one_process_alone_reaches_the_runs(tmp_path, caller, number, code):
    study = SmallStudy(tmp_path)
    process = subprocess.Popen(
        study.ablation() if caller == "ablation" else study.command(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=study.environment(PLANTED, seconds=6000) | {"PYTHONPATH": str(ROOT / "scripts")},
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    logs = study.results / "logs/train_run"
    deadline = time.monotonic() + 120
    while not any("training" in log.read_text() for log in logs.rglob("*.log")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == code and "Traceback" not in said, said
    assert number == signal.SIGTERM or "saves a checkpoint and stops" in said
    assert not still_there(tmp_path, 10) and not study.trained()


def test_a_second_signal_of_any_kind_ends_all_at_once(tmp_path):
    study = SmallStudy(tmp_path)
    command = study.ablation()
    process = subprocess.Popen(
        [*command[:2], STOPPED_IN_A_LOOK, *command[3:]],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=study.environment(PLANTED, seconds=60_000) | {"PYTHONPATH": str(ROOT / "scripts")},
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    assert any("saves a checkpoint and stops" in line for line in process.stdout)
    deadline = time.monotonic() + 100
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGTERM)
        time.sleep(1.5)  # what comes within a second of another is the same
    left = still_there(tmp_path, 10)  # which are ended here
    assert process.returncode == 130 and not left


def test_a_signal_as_a_job_is_noted_ends_the_call(tmp_path):
    study = SmallStudy(tmp_path)
    called = subprocess.run(
        [sys.executable, "-c", STOPPED_IN_NOTING, *study.command()[3:]],
        env=study.environment(PLANTED),
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert called.returncode == 1 and "1 of" in called.stderr, called.stderr


def test_a_later_look_goes_on_with_the_run_that_failed(faked: FakedStudy):
    faked.write("\nsequential: {looks: [3, 4, 40], spending: pocock}\n")
    noisy = {"noise": 0.02, "lora_learning_rate": 0.3}
    second = "results/account_tax/decided/look-2.json"
    failed = faked.call(noisy, "--keep-going", second, failing=["*/4"])
    assert failed.returncode != 0 and {seed for _, seed in faked.trained()} == {1, 2, 3}
    lost = started(failed)["train_run"] - 15
    told = (faked.results / "partial/report.md").read_text()
    assert f"15 of {15 + lost} planned runs" in told and told.count("seed 4: failed.") == lost
    again = faked.call(noisy, second)
    assert again.returncode == 0, again.stderr
    assert started(again)["train_run"] == lost > 0 and len(faked.trained()) == 15 + lost
    assert json.loads((faked.folder / second).read_text())["look"] == 2


def test_a_greedy_path_goes_on_with_the_step_that_failed(faked: FakedStudy):
    faked.write("\ndesigns: [{greedy_path: {directions: [forward]}}]\n", seeds="[1]")
    failed = faked.call(PLANTED, failing=["only-remainder/1"])
    assert failed.returncode != 0
    assert "only-remainder, seed 1: failed." in (faked.results / "partial/report.md").read_text()
    before = len(faked.trained())
    again = faked.call(PLANTED)
    assert again.returncode == 0, again.stderr
    grid = json.loads((faked.results / "decided/grid.json").read_text())
    assert started(again)["train_run"] == len(faked.trained()) - before
    assert len(faked.trained()) == len({run["variant"] for run in grid["runs"]})


def test_a_confirmation_goes_on_with_the_run_that_failed(faked: FakedStudy):
    faked.write("\nconfirm: {seeds: [101, 102]}\n", seeds="[1, 2]")
    failed = faked.call(PLANTED, "--keep-going", failing=["backup/102"])
    assert failed.returncode != 0
    assert "seed 102: failed." in (faked.results / "partial/report.md").read_text()
    again = faked.call(PLANTED)
    assert again.returncode == 0, again.stderr
    assert started(again)["train_run"] == 1
    assert (faked.results / "confirmation/verdict.json").is_file()
    assert (faked.results / "report.md").is_file() and not (faked.results / "partial").exists()


def test_a_second_try_on_a_cluster_has_more_memory_and_time(faked: FakedStudy):
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    asked = ["--retries", str(profile["retries"]), "--default-resources"]
    asked += [text for text in profile["default-resources"] if "slurm" not in text]
    asked += ["--set-resources", *profile["set-resources"]]
    faked.write(seeds="[1]")
    failed = faked.call(PLANTED, *asked, failing=["current/1"])
    tries = re.findall(
        r"rule train_run:.*?mem_mb=(\d+).*?runtime=(\d+)", failed.stdout + failed.stderr, re.DOTALL
    )
    assert failed.returncode != 0
    assert {("32000", "240"), ("64000", "480"), ("96000", "720")} == set(tries)
