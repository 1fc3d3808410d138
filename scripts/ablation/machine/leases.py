"""Leases of this machine's GPUs: Snakemake counts GPUs, but does not say which one a job may use.

A lease is a file lock (flock) for each GPU, in a folder that all workflows of this user on this
machine share. The system takes a lock away when the last process that holds it is gone, however it
ended. The guard of a job holds it too, so a GPU is free only when nothing of the job is left.
Who waits is served in the order of coming (`ablation.machine.turns`): nobody overtakes a run that
waits for one of the same GPUs, also where that one needs several.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablation.machine import turns
from ablation.machine.gpus import Gpu, visible_gpus
from ablation.machine.process import LaunchError, require_workflow, workflow_process
from ablation.machine.told import LEASES

# Inside an allocation the scheduler has handed out the GPUs, and numbers them from 0 in each.
ALLOCATIONS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
WAIT_SECONDS = 0.5  # between two looks of a run that many others are before
NEXT_SECONDS = 0.1  # of those whose turn it may be soon


@dataclass(frozen=True)
class Lease:
    """GPUs that nobody else of this user's runs uses while the lease lasts.

    Attributes:
        names: Their names in CUDA_VISIBLE_DEVICES; empty where GPUs cannot be told apart.
        files: Descriptors of the locks: a process that inherits them holds the lease as well.
        environment: What makes a job see these GPUs and no other.
    """

    names: tuple[str, ...] = ()
    files: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def lease_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the locks are: one folder for each machine and, on a cluster, for each allocation."""
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = environment.get(LEASES)
    folder = Path(named) if named else cache / "staged-ablation/leases" / socket.gethostname()
    job = next((environment[key] for key in ALLOCATIONS if environment.get(key)), None)
    return folder / f"job-{_plain(job)}" if job else folder


@contextlib.contextmanager
def lease(
    wanted: int, gpus: Sequence[Gpu] | None = None, folder: Path | None = None
) -> Iterator[Lease]:
    """GPUs for one run, as soon as enough of them are free.

    All of them are taken or none: two runs that wait for each other's would wait for ever. The
    waiting ends with the workflow that started us.

    Args:
        wanted: How many.
        gpus: Those to choose from; by default those that this process may use.
        folder: Where the locks are; by default `lease_folder()`.

    Raises:
        LaunchError: There are not so many, free or not.
    """
    found = list(visible_gpus() if gpus is None else gpus)
    if not found:
        yield Lease()
        return
    if wanted > len(found):
        raise LaunchError(
            f"the run is to use {wanted} GPUs, and this process may use {len(found)}: "
            f"{', '.join(gpu.name for gpu in found)}. Lower devices_per_run in config/config.yaml, "
            "or give it more (CUDA_VISIBLE_DEVICES, or what is asked of the cluster)."
        )
    where = lease_folder() if folder is None else folder
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken = wait_for(found, wanted, where)
    try:
        yield Lease(tuple(taken), tuple(taken.values()), _environment(found, tuple(taken)))
    finally:
        _close(taken.values())


def wait_for(gpus: Sequence[Gpu], wanted: int, folder: Path) -> dict[str, int]:
    """Descriptors of the locks of so many GPUs, once it is our turn and they are free."""
    workflow = workflow_process()
    told = False
    with turns.turn(folder / turns.FOLDER, [gpu.name for gpu in gpus]) as mine:
        while True:
            before = turns.wanted_before(mine)
            names = set[str]().union(*before)
            taken = take([gpu for gpu in gpus if gpu.name not in names], wanted, folder)
            if len(taken) == wanted:
                return taken
            _close(taken.values())
            require_workflow(workflow)
            if not told:
                text = f"waiting: fewer than {wanted} of {len(gpus)} GPUs are free"
                text += ", or other runs have waited for them longer"
                print(text, file=sys.stderr, flush=True)
                told = True
            # As many runs may have their turn at once as there are GPUs.
            far = len(before) >= len(gpus)
            time.sleep((WAIT_SECONDS if far else NEXT_SECONDS) * random.uniform(0.5, 1.0))


def take(gpus: Sequence[Gpu], wanted: int, folder: Path) -> dict[str, int]:
    """Descriptors of the locks that could be had at once, by GPU, up to so many."""
    taken: dict[str, int] = {}
    for gpu in gpus:
        if len(taken) == wanted:
            break
        descriptor = _lock(folder / _plain(gpu.name))
        if descriptor is not None:
            taken[gpu.name] = descriptor
    return taken


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock of a file; None where another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have removed the file meanwhile: a lock of it would keep nobody out.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)  # no LOCK_UN: that would take the lock from the guard, too


def _environment(gpus: Sequence[Gpu], names: Sequence[str]) -> dict[str, str]:
    """The variables that show these GPUs; numbers of nvidia-smi are in the order of the bus."""
    found = {"CUDA_VISIBLE_DEVICES": ",".join(names)}
    if any(gpu.by_bus for gpu in gpus):
        found["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
