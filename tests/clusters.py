"""Clusters that a faked study is submitted to: a real SLURM, and a pretended Kubernetes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import yaml
from faked import FakedStudy
from pretended import Job, Kubernetes, serve, why_no_pods
from waiting import hear_ctrl_c

from ablation.machine.process import free_port

ROOT = Path(__file__).resolve().parents[1]
SLURM_PLUGIN = Path(sys.prefix) / "slurm-plugin"  # beside the environment; see the Makefile
PLANTED = {"noise": 0.001, "epochs": 0.2}
# What a small SLURM without accounting needs otherwise.
SMALL = {
    "=32000": "=1500",
    "mem_mb=4000": "mem_mb=500",
    "latency-wait: 60": "latency-wait: 5",
    "# slurm-status-command: squeue ": "slurm-init-seconds-before-status-checks: 3 ",
    "retries: 2": "slurm-status-command: squeue\nretries: 2",
}


@dataclass(kw_only=True)
class Asked:
    """What a job that trains a run has asked of its cluster.

    Attributes:
        memory: In MB.
        gpus: How many.
        ended: Whether nothing of it is at work.
    """

    memory: int
    gpus: int
    ended: bool


@dataclass(kw_only=True)
class OnCluster(ABC):
    """A faked study, in a folder that its jobs see at the same path.

    Attributes:
        study: It.
        profile: The folder of its workflow profile.
        environment: What makes the cluster's commands find it.
        told: What each call said.
        codes: How each ended.
    """

    study: FakedStudy
    profile: Path
    environment: dict[str, str]
    told: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    @abstractmethod
    def asked(self) -> list[Asked]:
        """What each job that trains a run has asked for."""

    @abstractmethod
    def show(self, said: dict[str, str]) -> None:
        """Let jobs see what Snakemake sees."""

    def command(self) -> list[str]:
        """Snakemake as `ablation run --profile` starts it, in a hurry."""
        command = self.study.command()
        cores = command.index("--cores")
        options = ["--workflow-profile", str(self.profile), "--latency-wait", "10"]
        options += ["--seconds-between-status-checks", "1"]
        return [*command[:cores], *options, *command[cores + 2 :]]

    @contextlib.contextmanager
    def call(self, failing: tuple[str, ...] = (), seconds: float = 0) -> Iterator[int]:
        """Run the study, to its end where nothing else happens; the number of its process."""
        said = self.study.environment(PLANTED, failing, seconds)
        self.show(said)
        python = Path(sys.executable).parent
        path = f"{self.study.shims}:{python}:{self.environment['PATH']}"
        process = subprocess.Popen(
            self.command(),
            env=self.environment | said | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
        )
        try:
            yield process.pid
        except BaseException:
            process.kill()
            print(process.communicate()[0])
            raise
        self.told.append(process.communicate(timeout=600)[0])
        self.codes.append(process.returncode)

    def logs(self) -> list[str]:
        """What each run has said."""
        return [file.read_text() for file in self.study.results.glob("logs/train_run/*/*.log")]


def why_no_kubernetes() -> str | None:
    """What a pretended Kubernetes needs and is not here."""
    if importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None:
        return "snakemake-executor-plugin-cluster-generic is not installed"
    return why_no_pods() if shutil.which("kubectl") else "kubectl is not installed"


def kubeconfig(address: str) -> str:
    """What tells kubectl of a cluster."""
    context = {"name": "here", "context": {"cluster": "here"}}
    cluster = {"name": "here", "cluster": {"server": address}}
    return json.dumps({"clusters": [cluster], "contexts": [context], "current-context": "here"})


@dataclass(kw_only=True)
class OnKubernetes(OnCluster):
    """On a pretended Kubernetes, through a real kubectl."""

    cluster: Kubernetes

    def show(self, said: dict[str, str]) -> None:
        """In the template of its pods."""
        template = yaml.safe_load((ROOT / "profiles/kubernetes/job.yaml").read_text())
        names = ("PATH", "HOME", "PLANTED", "FAILING", "SECONDS")
        container = template["spec"]["template"]["spec"]["containers"][0]
        container["env"] = [{"name": name, "value": said[name]} for name in names]
        (self.profile / "job.yaml").write_text(yaml.safe_dump(template))

    def jobs(self, rule: str) -> list[Job]:
        """All Jobs of a rule that there have been, in order."""
        found = sorted({**self.cluster.jobs, **self.cluster.deleted}.items())
        return [job for name, job in found if name.startswith(rule.replace("_", "-"))]

    def asked(self) -> list[Asked]:
        """By the limits of the pods."""
        return [
            Asked(
                memory=int(job.container["resources"]["limits"]["memory"].removesuffix("M")),
                gpus=job.gpus,
                ended=job.pod is None or job.pod.poll() is not None,
            )
            for job in self.jobs("train_run")
        ]


@contextlib.contextmanager
def on_kubernetes(study: FakedStudy) -> Iterator[OnKubernetes]:
    """The study with a profile and two GPUs."""
    profile = study.folder / "profiles/kubernetes"
    shutil.copytree(ROOT / "profiles/kubernetes", profile)
    cluster = Kubernetes(gpus=2)
    with serve(cluster) as address:
        config = study.folder / "kubeconfig"
        config.write_text(kubeconfig(address))
        environment = os.environ | {"KUBECONFIG": str(config)}
        yield OnKubernetes(study=study, profile=profile, environment=environment, cluster=cluster)


def why_no_slurm() -> str | None:
    """What a SLURM on this machine needs and is not here."""
    if not SLURM_PLUGIN.is_dir():
        return "Snakemake's executor for SLURM is not there: `make slurm-plugin`"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    needed = ("munged", "slurmctld", "slurmd", "sbatch")
    missing = [name for name in needed if not shutil.which(name, path=path)]
    return f"SLURM is not installed: no {', '.join(missing)}" if missing else None


def small_profile() -> str:
    """profiles/slurm for a small one."""
    text = (ROOT / "profiles/slurm/config.yaml").read_text()
    for old, new in SMALL.items():
        assert old in text
        text = text.replace(old, new)
    return text


@dataclass(kw_only=True)
class OnSlurm(OnCluster):
    """On a real SLURM of one pretended node with two pretended GPUs."""

    def show(self, said: dict[str, str]) -> None:
        """They do: sbatch takes the environment along."""

    def asked(self) -> list[Asked]:
        """By its queue, which keeps what has ended."""
        columns = "MinMemory: ,tres-per-job: ,State: ,Comment:"
        command = ["squeue", "--noheader", "--states=all", "--sort=i", f"--Format={columns}"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True
        )
        found = [line.split() for line in done.stdout.splitlines() if "rule_train_run" in line]
        return [
            Asked(
                memory=int(memory.removesuffix("M")),
                gpus=int(gpus.rpartition(":")[2]),
                ended=state not in ("PENDING", "RUNNING", "COMPLETING"),
            )
            for memory, gpus, state, *_ in found
        ]


@contextlib.contextmanager
def on_slurm(study: FakedStudy) -> Iterator[OnSlurm]:
    """The study with a profile for a SLURM of its own, which is started and ended."""
    profile = study.folder / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text(small_profile())
    place = tempfile.mkdtemp(prefix="slurm-")  # a short path, for a socket
    environment = os.environ | {"LOCAL_SLURM_DIR": place, "LOCAL_SLURM_PORT": str(free_port())}
    script = ROOT / "tests/slurm/start-local-slurm"
    run = partial(subprocess.run, env=environment, capture_output=True, text=True, timeout=120)
    try:
        done = run([script])
        if done.returncode:
            pytest.skip(f"SLURM does not start here: {done.stderr[-300:]}")
        found = dict(re.findall(r"^export (\w+)=(\S+)$", done.stdout, re.M))
        found["PATH"] = found["PATH"].replace("$PATH", os.environ["PATH"])
        found["PYTHONPATH"] = str(SLURM_PLUGIN)
        yield OnSlurm(study=study, profile=profile, environment=environment | found)
    finally:
        run([script.with_name("stop-local-slurm"), "--clean"])
