"""A faked study through the profiles of clusters: SLURM is real, of Kubernetes kubectl is.

`make slurm-check` really trains on a SLURM.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from clusters import (
    OnCluster,
    OnKubernetes,
    kubeconfig,
    on_kubernetes,
    on_slurm,
    why_no_kubernetes,
    why_no_slurm,
)
from faked import FakedStudy
from waiting import wait_until

PROFILE = Path(__file__).parents[2] / "profiles/kubernetes"
WITH_SLURM = pytest.mark.skipif(bool(why_no_slurm()), reason=str(why_no_slurm()))
WITH_KUBERNETES = pytest.mark.skipif(bool(why_no_kubernetes()), reason=str(why_no_kubernetes()))
pytestmark = pytest.mark.dag


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(on_slurm, id="slurm", marks=WITH_SLURM),
        pytest.param(on_kubernetes, id="kubernetes", marks=WITH_KUBERNETES),
    ],
)
def story(request, tmp_path_factory) -> Iterator[OnCluster]:
    """Ctrl-C while two runs train, then a run that fails at every try, then nothing more."""
    study = FakedStudy(tmp_path_factory.mktemp("work").resolve())
    study.write(seeds="[1]")
    with request.param(study) as there:
        with there.call(seconds=100) as pid:
            wait_until(lambda: sum("training" in log for log in there.logs()) == 2, 120)
            os.killpg(pid, signal.SIGINT)
        wait_until(lambda: all(one.ended for one in there.asked()), 120)
        with there.call(failing=("current/1",)):
            pass
        with there.call():
            pass
        yield there


def test_ctrl_c_takes_the_jobs_away(story: OnCluster):
    assert story.codes[0] != 0
    assert "steps (100%) done" not in story.told[0]


def test_a_run_that_fails_has_more_memory_at_its_next_try(story: OnCluster):
    assert story.codes[1] != 0, story.told[1][-3000:]
    asked = [one.memory for one in story.asked()]
    least = min(asked)
    assert asked.count(2 * least) == asked.count(3 * least) == 1
    assert set(asked) == {least, 2 * least, 3 * least}


def test_the_study_ends_and_each_of_its_runs_was_a_job_with_a_gpu(story: OnCluster):
    assert story.codes[2] == 0, story.told[2][-3000:]
    assert (story.study.results / "report.md").is_file()
    assert {one.gpus for one in story.asked()} == {1}
    # Two were taken away, and one failed three times.
    assert len(story.asked()) >= len(story.study.trained()) + 2 + 3
    if isinstance(story, OnKubernetes):
        assert story.cluster.most == 2  # there are no more


@pytest.fixture
def kubernetes(faked: FakedStudy) -> Iterator[OnKubernetes]:
    """A pretended cluster with nothing on it."""
    with on_kubernetes(faked) as there:
        yield there


def status(job: str, environment: dict[str, str]) -> str:
    """What Snakemake is told of a Job."""
    command = ["sh", str(PROFILE / "status.sh"), job]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@WITH_KUBERNETES
def test_a_pod_that_must_go_tells_what_runs_in_it_to_save(kubernetes: OnKubernetes, tmp_path):
    saves = "import signal, sys, time; signal.signal(signal.SIGURG, lambda *_: sys.exit('saved'));"
    told = f"open({str(tmp_path / 'begun')!r}, 'w').close()"
    program = f'{sys.executable} -c "{saves} {told}; print(1, flush=True); time.sleep(60)"'
    asked = {"rule": "alone", "wildcards": {}, "threads": 1, "resources": {"mem_mb": 100}}
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\n# properties = {json.dumps(asked)}\n{program} && true\n")
    submit = [sys.executable, PROFILE / "submit.py", PROFILE / "job.yaml", script]
    run = partial(subprocess.run, env=kubernetes.environment, check=True)
    name = run(submit, capture_output=True, text=True).stdout
    assert status(name, kubernetes.environment) == "running\n"
    wait_until((tmp_path / "begun").exists)
    run([PROFILE / "cancel.sh", name])
    (job,) = kubernetes.jobs("alone")
    wait_until(lambda: bool(job.log))
    assert job.log == ["1\nsaved\n"]
    assert status(name, kubernetes.environment) == "failed\n"  # it is not there any more


@WITH_KUBERNETES
@pytest.mark.parametrize("text", ["spec: {template: {}}", "[1]", "a: b: c", ""])
def test_a_template_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "job.yaml").write_text(text)
    asked = {"rule": "alone", "wildcards": {}, "threads": 1, "resources": {"mem_mb": 100}}
    (tmp_path / "job.sh").write_text(f"# properties = {json.dumps(asked)}\n")
    command = [sys.executable, PROFILE / "submit.py", tmp_path / "job.yaml", tmp_path / "job.sh"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "job.yaml is not a Job with spec.template.spec.containers" in done.stderr


@WITH_KUBERNETES
def test_what_a_template_asks_for_besides_stays(tmp_path):
    sys.path.insert(0, str(PROFILE))
    from submit import job_of

    template = yaml.safe_load((PROFILE / "job.yaml").read_text())
    template["metadata"]["annotations"] = {"team": "ledger"}
    container = template["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"ephemeral-storage": "50Gi"}}
    asked = {"rule": "train_run", "wildcards": {"seed": "1"}, "threads": 2}
    asked["resources"] = {"mem_mb": 100, "gpu": 4, "runtime": 90}
    script = tmp_path / "job.sh"
    script.write_text(f"# properties = {json.dumps(asked)}\necho $HOME\n")
    job = job_of(template, script, Path("/work"))
    assert job["metadata"]["annotations"] == {"team": "ledger", "wildcards": '{"seed": "1"}'}
    limits = {"ephemeral-storage": "50Gi", "memory": "100M", "nvidia.com/gpu": "4"}
    requests = {"cpu": "2", "memory": "100M", "nvidia.com/gpu": "4"}
    assert container["resources"] == {"limits": limits, "requests": requests}
    assert job["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 5400
    assert container["command"][-1].endswith("echo $$HOME\n")


@WITH_KUBERNETES
def test_where_the_cluster_does_not_answer_a_run_goes_on(tmp_path):
    (tmp_path / "config").write_text(kubeconfig("http://127.0.0.1:9"))
    assert status("one", os.environ | {"KUBECONFIG": str(tmp_path / "config")}) == "running\n"
