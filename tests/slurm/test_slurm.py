"""The tiny study on a real SLURM with two pretended nodes of two GPUs, through profiles/slurm.

`make slurm-check` sets it up; CI has a faked study on one (tests/dag/test_clusters.py). The study
is stopped by Ctrl-C, called again, one run is put back into the queue, another comes to the end of
its time, and all ends as if nothing had been.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

import test_tiny_study as tiny_study
from clusters import SLURM_PLUGIN, small_profile
from waiting import hear_ctrl_c, wait_until

from ablation.training.marks import checkpoints_in

ROOT = Path(__file__).resolve().parents[2]
ARMS = ("current", "stage1-lora")


def why_not() -> str | None:
    """Why these tests cannot run here; None where they can."""
    if not SLURM_PLUGIN.is_dir():
        return "Snakemake's executor for SLURM is not there: `make slurm-check`"
    found = shutil.which("sinfo") and subprocess.run(["sinfo"], capture_output=True, check=False)
    return None if found and found.returncode == 0 else "no SLURM answers: `make slurm-check`"


pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(why_not()), reason=str(why_not()))]


@dataclass(kw_only=True)
class Study:
    """The study's working folder, and what is done in it."""

    folder: Path

    @property
    def results(self) -> Path:
        """Its results."""
        return self.folder / "results/tiny"

    def variant(self, arm: str) -> str:
        """The folder of an arm's runs."""
        arms = json.loads((self.results / "grid.json").read_text())["arms"]
        return next(one["variant"] for one in arms if one["arm"] == arm)

    def run(self, arm: str, results: Path | None = None) -> Path:
        """The folder of an arm's run."""
        return (results or self.results) / "runs" / self.variant(arm) / "seed-1"

    def log(self, arm: str) -> str:
        """The log of an arm's run; empty where it has none yet."""
        path = self.results / "logs/train_run" / self.variant(arm) / "seed-1.log"
        return path.read_text() if path.is_file() else ""

    def start(self, *options: str) -> subprocess.Popen:
        """`ablation run` in a session of its own, so that Ctrl-C reaches all of it."""
        return subprocess.Popen(
            [*self.command("run"), "--profile", "profile", *options],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
        )

    def command(self, name: str) -> list[str]:
        """A command of the product on the study."""
        code = "import sys; from ablation.command.main import main; sys.exit(main())"
        return [sys.executable, "-c", code, name, "tiny"]

    def status(self) -> dict:
        """What another shell is told meanwhile."""
        told = subprocess.run(
            [*self.command("status"), "--json"],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(told.stdout)

    def rank(self, arm: str) -> psutil.Process | None:
        """The process that trains an arm; None where none does."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.cmdline())
                trains = "ablation.training --local_rank" in words
                if trains and f"/{self.variant(arm)}/" in words:
                    return process
        return None

    def saved(self, arm: str) -> int:
        """The step of the last whole checkpoint of an arm's run; 0 where it has none."""
        found = checkpoints_in(self.run(arm) / "checkpoints")
        whole = [path for path in found if (path / "complete.json").is_file()]
        return int(whole[-1].name.removeprefix("checkpoint-")) if whole else 0


@dataclass(kw_only=True)
class Story:
    """What happened to the study, told by its tests.

    Attributes:
        study: The study, all done.
        told: What each call of `ablation run` said.
        codes: How each ended.
        after_interrupt: The states of the cluster's jobs when the first call had ended.
        saved: The step of each run's last checkpoint at that time.
        status: What `ablation status` said while two runs were at work.
        places: Node and GPU of each of the two.
        asked: Memory and time of the jobs of the run that came to the end of its time, in order.
    """

    study: Study
    told: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    after_interrupt: list[str] = field(default_factory=list)
    saved: dict[str, int] = field(default_factory=dict)
    status: dict = field(default_factory=dict)
    places: set[tuple[str, str]] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)


def environment() -> dict[str, str]:
    """The environment of a user whose command finds the product."""
    path = f"{ROOT / 'scripts'}{os.pathsep}{SLURM_PLUGIN}"
    return {**tiny_study.environment(), "PYTHONPATH": path}


def squeue(layout: str) -> list[str]:
    """A line for each job of the cluster, running or done."""
    command = ["squeue", "--noheader", "--states=all", "--sort=i", f"--format={layout}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def job_of(variant: str) -> str:
    """The number of the running job that trains a variant."""
    found = [line.split()[0] for line in squeue("%A %T %k") if variant in line and "RUNN" in line]
    return found[0]


def scontrol(*words: str) -> None:
    subprocess.run(["scontrol", *words], check=True)


def limit_time(job: str) -> None:
    """Let a job's time be over in two to three minutes: the notice comes two before."""
    (line,) = [line for line in squeue("%A %M") if line.split()[0] == job]
    hours = [0, 0, *map(int, line.split()[1].split(":"))]
    scontrol("update", f"JobId={job}", f"TimeLimit={60 * hours[-3] + hours[-2] + 3}")


@contextlib.contextmanager
def ended(process: subprocess.Popen, story: Story) -> Iterator[None]:
    """Keep what a call said and how it ended; end it where the test fails meanwhile."""
    try:
        yield
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)
        print(process.communicate(timeout=300)[0])
        raise
    story.told.append(process.communicate(timeout=1800)[0])
    story.codes.append(process.returncode)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """The study that its story is told of."""
    return write_study(tmp_path_factory.mktemp("work").resolve())


def write_study(work: Path) -> Study:
    """The study with two long arms, and a copy of the profile for this cluster."""
    folder = tiny_study.write_study(work)
    file = folder / "tiny/training.yml"
    file.write_text(file.read_text().replace("num_train_epochs: 2", "num_train_epochs: 40"))
    text = (folder / "tiny/study.yaml").read_text()
    (folder / "tiny/study.yaml").write_text(text.replace("seeds: [1, 2]", "seeds: [1]"))
    (folder / "profile").mkdir()
    (folder / "profile/config.yaml").write_text(small_profile())
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text("devices_per_run: 1\n")
    return Study(folder=folder)


def hold(study: Study, after: dict[str, int]) -> dict[str, psutil.Process]:
    """The processes of both long runs, each stopped once it has saved after so many steps.

    What is stopped is still at work when the other is, however fast the machine is.
    """
    held: dict[str, psutil.Process] = {}

    def stop() -> bool:
        for arm in ARMS:
            rank = study.rank(arm) if arm not in held else None
            if rank is not None and study.saved(arm) > after.get(arm, 0):
                rank.send_signal(signal.SIGSTOP)
                held[arm] = rank
        return len(held) == len(ARMS)

    wait_until(stop, 900, "a checkpoint of each long run")
    return held


def interrupt(story: Story) -> None:
    """Ctrl-C while both long runs are at work."""
    study = story.study
    process = study.start()
    with ended(process, story):
        grid = study.results / "grid.json"
        wait_until(grid.is_file, 300, "the grid")
        hold(study, {})
        os.killpg(process.pid, signal.SIGINT)
    story.after_interrupt = squeue("%T %k")
    story.saved = {arm: study.saved(arm) for arm in ARMS}


def disturb(story: Story) -> None:
    """Call again; put one run back into the queue, and let the other come to its time limit."""
    study = story.study
    process = study.start()
    with ended(process, story):
        held = hold(study, story.saved)
        story.status = study.status()
        for rank in held.values():
            found = rank.environ()
            story.places.add((found["SLURMD_NODENAME"], found["SLURM_STEP_GPUS"]))
        scontrol("requeue", job_of(study.variant("stage1-lora")))
        limit_time(job_of(study.variant("current")))
        said = "SIGURG: the run saves a checkpoint and stops"
        wait_until(lambda: said in study.log("current"), 200, "the notice")
        held["current"].send_signal(signal.SIGCONT)
        leaves = "it goes on from step"  # the next try has a log of its own
        wait_until(lambda: leaves in study.log("current"), 200, "its leaving")
    variant = study.variant("current")
    jobs = [line.split() for line in squeue("%m %l %k") if variant in line]
    story.asked = [(memory, limit) for memory, limit, _ in jobs]


@pytest.fixture(scope="module")
def story(study: Study) -> Story:
    """The study after all that."""
    story = Story(study=study)
    interrupt(story)
    disturb(story)
    assert story.codes[-1] == 0, story.told[-1][-5000:]
    return story


def test_ctrl_c_cancels_the_jobs(story):
    assert story.codes[0] != 0
    training = [line for line in story.after_interrupt if "train_run" in line]
    assert len(training) >= 2
    assert not [line for line in training if line.split()[0] in ("RUNNING", "PENDING")]


def test_each_run_of_a_node_has_a_gpu_of_its_own(story):
    assert len(story.places) == 2


def test_another_shell_sees_how_far_the_runs_are(story):
    assert story.status["at_work"]
    running = [run for run in story.status["runs"] if run["state"] == "running"]
    assert {arm for run in running for arm in run["arms"]} >= set(ARMS)
    long = [run for run in running if set(run["arms"]) & set(ARMS)]
    assert all(0 < run["step"] < run["steps"] for run in long)


def test_the_call_tells_how_the_runs_get_on(story):
    for arm in ARMS:
        assert f"begun     {arm}, seed 1" in "".join(story.told)


def test_a_run_at_the_end_of_its_time_has_more_time_and_memory_at_its_next_try(story):
    (_, _), (memory, limit) = story.asked[-2:]
    assert (memory, limit) == ("3000M", "8:00:00")


def test_what_was_interrupted_ends_as_if_nothing_had_happened(story, tmp_path):
    study = story.study
    for name in ("grid.json", "resolved", "data", "model", "prefix"):
        (tmp_path / name).symlink_to(study.results / name)
    for arm in ARMS:
        command = [sys.executable, ROOT / "scripts/train_run.py", "--results", tmp_path]
        command += ["--variant", study.variant(arm), "--seed", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        whole, disturbed = study.run(arm, tmp_path), study.run(arm)
        assert json.loads((disturbed / "attempts.json").read_text())["failed"] >= 2
        history = (disturbed / "history.jsonl").read_text()
        steps = [json.loads(line)["step"] for line in history.splitlines()]
        assert steps == list(range(1, len(steps) + 1))
        assert history == (whole / "history.jsonl").read_text()
        quality = [json.loads((run / "metrics.json").read_text()) for run in (whole, disturbed)]
        assert quality[0]["quality"] == quality[1]["quality"]
        assert "resuming from" in study.log(arm)
    assert (study.results / "report.md").is_file()


@pytest.fixture(params=["queued", "at once"])
def second_jobs(request) -> Iterator[str]:
    """When the jobs of a second call begin: without the second node they stand in the queue."""
    if request.param == "queued":
        scontrol("update", "NodeName=node2", "State=DRAIN", "Reason=test")
    yield request.param
    if request.param == "queued":
        scontrol("update", "NodeName=node2", "State=RESUME")


def test_a_job_that_has_outlived_its_snakemake_does_all(tmp_path, second_jobs):
    study = write_study(tmp_path.resolve())
    first = study.start()
    wait_until(lambda: (study.results / "grid.json").is_file(), 600, "the grid")
    held = hold(study, {})
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second = study.start()
    if second_jobs == "at once":
        waits = "waiting: another job writes results/tiny/runs/"
        wait_until(lambda: any(waits in study.log(arm) for arm in ARMS), 200, "waiting")
    for rank in held.values():
        rank.send_signal(signal.SIGCONT)
    told = second.communicate(timeout=1200)[0]
    assert second.returncode == 0, told[-5000:]
    logs = [study.log(arm) for arm in ARMS]
    assert all("another job has trained this run: its result is taken" in log for log in logs)
    for arm in ARMS:
        jobs = [line.split()[0] for line in squeue("%T %k") if study.variant(arm) in line]
        assert jobs[-2:] == ["COMPLETED"] * 2
        run = study.run(arm)
        assert json.loads((run / "attempts.json").read_text())["failed"] == 0
        history = (run / "history.jsonl").read_text().splitlines()
        steps = [json.loads(line)["step"] for line in history]
        assert steps == list(range(1, len(steps) + 1))


def test_a_run_that_wants_more_gpus_than_a_node_has_is_refused_at_once(study, tmp_path):
    profile = (study.folder / "profile/config.yaml").read_text()
    assert "train_run:nodes=1" in profile
    command = ["sbatch", "--nodes=1", "--gpus=3", "--wrap", "true"]  # the two nodes have two each
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Requested node configuration is not available" in done.stderr
