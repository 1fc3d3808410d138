"""The study through profiles/kubernetes; kubectl and Snakemake are real, the cluster is not."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import yaml
from faked import FakedStudy
from pretended import Cluster, Job, serve, why_not

PROFILE = Path(__file__).parents[2] / "profiles/kubernetes"
PLUGIN = "snakemake_executor_plugin_cluster_generic"


def missing() -> str | None:
    """What these tests need and is not here."""
    if importlib.util.find_spec(PLUGIN) is None:
        return f"{PLUGIN} is not installed"
    return why_not() if shutil.which("kubectl") else "kubectl is not installed"


pytestmark = [pytest.mark.dag, pytest.mark.skipif(bool(missing()), reason=str(missing()))]


@dataclass
class OnCluster:
    """A faked study in a folder that pods see at the same path, and the cluster.

    Attributes:
        told: What each call said.
        codes: How each ended.
        interrupted: What the pods that trained at Ctrl-C ended with.
    """

    study: FakedStudy
    cluster: Cluster
    environment: dict[str, str]
    told: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    interrupted: list[int | None] = field(default_factory=list)

    def command(self) -> list[str]:
        """Snakemake as `ablation run --profile profiles/kubernetes` starts it, in a hurry."""
        command = self.study.command()
        cores = command.index("--cores")
        options = ["--workflow-profile", str(self.study.folder / "profiles/kubernetes")]
        options += ["--latency-wait", "10", "--seconds-between-status-checks", "1"]
        return [*command[:cores], *options, *command[cores + 2 :]]

    @contextlib.contextmanager
    def call(self, failing: tuple[str, ...] = (), seconds: float = 0) -> Iterator[int]:
        """Run the study, to its end where nothing else happens; its pods see what fakes read."""
        said = self.study.environment({"noise": 0.001, "epochs": 0.2}, failing, seconds)
        template = yaml.safe_load((PROFILE / "job.yaml").read_text())
        names = ("PATH", "HOME", "PLANTED", "FAILING", "SECONDS")
        container = template["spec"]["template"]["spec"]["containers"][0]
        container["env"] = [{"name": name, "value": said[name]} for name in names]
        file = self.study.folder / "profiles/kubernetes/job.yaml"
        file.write_text(yaml.safe_dump(template))
        process = subprocess.Popen(
            self.command(),
            env=said | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            yield process.pid
            self.told.append(process.communicate(timeout=300)[0])
            self.codes.append(process.returncode)
        finally:
            process.kill()

    def jobs(self, rule: str) -> list[Job]:
        """All Jobs of a rule that there have been, in order."""
        found = sorted({**self.cluster.jobs, **self.cluster.deleted}.items())
        return [job for name, job in found if name.startswith(rule.replace("_", "-"))]


@pytest.fixture(scope="module")
def there(tmp_path_factory) -> Iterator[OnCluster]:
    """The study, nothing run yet."""
    study = FakedStudy(tmp_path_factory.mktemp("work").resolve())
    shutil.copytree(PROFILE, study.folder / "profiles/kubernetes")
    study.write(seeds="[1]")
    cluster = Cluster(gpus=2)
    with serve(cluster) as address:
        config = tmp_path_factory.mktemp("kube") / "config"
        config.write_text(kubeconfig(address))
        yield OnCluster(study, cluster, os.environ | {"KUBECONFIG": str(config)})


@pytest.fixture(scope="module")
def story(there: OnCluster) -> OnCluster:
    """Ctrl-C while two runs train, then a run that fails at every try, then nothing more."""
    with there.call(seconds=100) as pid:
        wait_until(lambda: sum("training" in log for log in logs(there)) == 2)
        os.killpg(pid, signal.SIGINT)
    at_work = [job for job in there.jobs("train_run") if job.pod]
    wait_until(lambda: all(job.log for job in at_work))
    there.interrupted = [job.pod.returncode for job in at_work if job.pod]
    with there.call(failing=("current/1",)):
        pass
    with there.call():
        pass
    return there


def kubeconfig(address: str) -> str:
    """What tells kubectl of a cluster."""
    context = {"name": "here", "context": {"cluster": "here"}}
    cluster = {"name": "here", "cluster": {"server": address}}
    return json.dumps({"clusters": [cluster], "contexts": [context], "current-context": "here"})


def logs(there: OnCluster) -> list[str]:
    """What each run has said."""
    return [file.read_text() for file in there.study.results.glob("logs/train_run/*/*.log")]


def wait_until(there_is: Callable[[], bool]) -> None:
    """Wait for something, not for ever."""
    for _ in range(600):
        if there_is():
            return
        time.sleep(0.2)
    raise TimeoutError("it did not happen within two minutes")


def status(job: str, environment: dict[str, str]) -> str:
    """What Snakemake is told of a Job."""
    command = ["sh", str(PROFILE / "status.sh"), job]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_study_ends_and_each_of_its_runs_was_a_pod_with_a_gpu(story: OnCluster):
    assert story.codes[-1] == 0, story.told[-1][-3000:]
    assert (story.study.results / "report.md").is_file()
    runs = story.jobs("train_run")
    assert {job.container["resources"]["limits"]["nvidia.com/gpu"] for job in runs} == {"1"}
    assert {job.container["workingDir"] for job in runs} == {str(story.study.folder)}
    told = [json.loads(job.manifest["metadata"]["annotations"]["wildcards"]) for job in runs]
    assert {one["variant"] for one in told} == {variant for variant, _ in story.study.trained()}
    assert story.cluster.most == 2  # there are no more


def test_ctrl_c_lets_the_pods_save_and_takes_them_away(story: OnCluster):
    assert story.codes[0] != 0
    assert story.interrupted == [1, 1]  # Snakemake's, whose program had ended by SIGURG
    assert "steps (100%) done" not in story.told[0]


def test_a_run_that_fails_has_more_memory_at_its_next_try(story: OnCluster):
    assert story.codes[1] != 0
    asked = [job.container["resources"]["limits"]["memory"] for job in story.jobs("train_run")]
    assert asked.count("64000M") == asked.count("96000M") == 1


def test_a_pod_that_must_go_tells_what_runs_in_it_to_save(there: OnCluster, tmp_path):
    saves = "import signal, sys, time; signal.signal(signal.SIGURG, lambda *_: sys.exit('saved'));"
    program = f'{sys.executable} -c "{saves} print(1, flush=True); time.sleep(60)"'
    asked = {"rule": "alone", "wildcards": {}, "threads": 1, "resources": {"mem_mb": 100}}
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\n# properties = {json.dumps(asked)}\n{program} && true\n")
    submit = [sys.executable, PROFILE / "submit.py", PROFILE / "job.yaml", script]
    run = partial(subprocess.run, env=there.environment, check=True)
    name = run(submit, capture_output=True, text=True).stdout
    assert status(name, there.environment) == "running\n"
    time.sleep(2)
    run([PROFILE / "cancel.sh", name])
    (job,) = there.jobs("alone")
    wait_until(lambda: bool(job.log))
    assert job.log == ["1\nsaved\n"]
    assert status(name, there.environment) == "failed\n"  # it is not there any more


def test_where_the_cluster_does_not_answer_a_run_goes_on(tmp_path):
    (tmp_path / "config").write_text(kubeconfig("http://127.0.0.1:9"))
    assert status("one", os.environ | {"KUBECONFIG": str(tmp_path / "config")}) == "running\n"
