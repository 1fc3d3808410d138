"""Processes of a job; nothing of it outlives its supervisor.

Three watches make that sure, whatever is killed:
- the supervisor (`machine.supervisor`) ends the job when it is told to stop, when the workflow that
  started it is gone, when no rank gets on, and when the launcher ends;
- a guard process ends the job when the supervisor itself is gone;
- each rank ends itself when the supervisor or the launcher is gone (`watch_supervisor`).
Processes of a job are found by an environment variable that they all inherit. Whoever ends a job
also removes its shared memory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ablation.machine.pulse import (
    MASTER,
    SHARED_MEMORY,
    START,
    Pulse,
    names_of_files,
    new_pulse,
    show_stacks_on_demand,
    supervisors,
)

JOB = "ABLATION_JOB"  # in the environment of every process of a job: the job's own mark
SUPERVISOR = "ABLATION_SUPERVISOR"  # "pid:start time" of the process that supervises the job
STARTED = "ABLATION_STARTED"
POLL_SECONDS = 0.3


class LaunchError(Exception):
    """The job ended without a result; the message ends with the last lines it printed."""


@dataclass(frozen=True)
class Process:
    """A process, told apart by its start time from a later one with the same number."""

    pid: int
    start: str

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie doesn't."""
        found = read_stat(self.pid)
        return found is not None and found.start == self.start and found.state not in "ZX"

    def __str__(self) -> str:
        return f"{self.pid}:{self.start}"

    @classmethod
    def current(cls) -> Process:
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this number now."""
        found = read_stat(pid)
        return cls(pid, found.start if found else "gone")

    @classmethod
    def parse(cls, text: str) -> Process:
        """Inverse of `str`."""
        pid, _, start = text.partition(":")
        return cls(int(pid), start)


class Stat(NamedTuple):
    """What /proc tells of a process: its start time, parent, state and session."""

    start: str
    parent: int
    state: str
    session: int


def read_stat(pid: int) -> Stat | None:
    """What /proc tells of a process, or None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces and brackets
    return Stat(fields[19], int(fields[1]), fields[0], int(fields[3]))


def state_of(pid: int) -> str:
    """State of a process as in /proc; "X" where there is none."""
    found = read_stat(pid)
    return found.state if found else "X"


def workflow_process(pid: int | None = None) -> Process | None:
    """Nearest ancestor that runs snakemake, or None when the script was started by hand."""
    pid = os.getpid() if pid is None else pid
    while (found := read_stat(pid)) and found.parent > 1:
        pid = found.parent
        if runs_snakemake(command_line(pid)):
            return Process.of(pid)
    return None


def require_workflow(workflow: Process | None) -> None:
    """End a waiting process where the workflow that started it is gone."""
    if workflow is not None and not workflow.alive():
        sys.exit("snakemake is gone: the run does not start")


def command_line(pid: int) -> list[str]:
    """Arguments of a process; empty if it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="replace").rstrip("\0").split("\0")


def runs_snakemake(arguments: list[str]) -> bool:
    """Whether the arguments start snakemake itself, not a shell that mentions it."""
    head = arguments[:4]
    by_script = any(Path(argument).name == "snakemake" for argument in head[:2])
    by_module = any(
        first == "-m" and second.split(".")[0] == "snakemake" for first, second in pairwise(head)
    )
    return by_script or by_module


def job_processes(mark: str) -> list[int]:
    """Numbers of the processes of a job, found by the mark in their environment."""
    wanted = f"{JOB}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def descendants(pid: int) -> list[int]:
    """Numbers of the processes that a process has started, and of those that these have."""
    children, found = children_of_all(), [pid]
    for parent in found:  # it grows
        found += children.get(parent, [])
    return found[1:]


def children_of_all() -> dict[int, list[int]]:
    """The processes that each process has started and that have not ended, by its number."""
    found: dict[int, list[int]] = {}
    for pid, stat in _stats().items():
        if stat.state not in "ZX":
            found.setdefault(stat.parent, []).append(pid)
    return found


def child_states(pid: int) -> list[str]:
    """States of a process's children, as in /proc; a zombie has "Z"."""
    return [found.state for found in _stats().values() if found.parent == pid]


def processes_of_session(session: int) -> list[int]:
    """Numbers of the processes of a session."""
    return [pid for pid, found in _stats().items() if found.session == session]


def _stats() -> dict[int, Stat]:
    """`read_stat` of every process, by its number."""
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return {pid: found for pid in pids if (found := read_stat(pid))}


def kill_job(mark: str, patience: float = 2.0) -> None:
    """Kill every process of a job, and look again for those just started, until none is left."""
    deadline = time.monotonic() + patience
    while (pids := job_processes(mark)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove_shared_memory(port: int) -> None:
    """Remove what a job's ranks shared; call it when they are gone.

    Args:
        port: The job's MASTER_PORT.
    """
    for name in names_of_files(port):
        for path in SHARED_MEMORY.glob(name):
            path.unlink(missing_ok=True)


def unkept_jobs() -> list[int]:
    """MASTER_PORTs of jobs with something in shared memory whose supervisors are all gone.

    A job whose supervisor is not told, of an earlier version, is none of them.
    """
    return [
        port
        for port, told in supervisors().items()
        if not any(":" not in text or Process.parse(text).alive() for text in told)
    ]


def sweep_shared_memory() -> None:
    """Remove what jobs have left of which everybody was killed who would have removed it."""
    for port in unkept_jobs():
        remove_shared_memory(port)


def begin_pulse(port: int) -> Path | None:
    """`new_pulse` of a job that this process supervises, in memory that is swept."""
    sweep_shared_memory()
    return new_pulse(port, str(Process.current()))


def watch_supervisor() -> None:
    """Let this process end when its supervisor or its parent is gone: for ranks, before imports."""
    text = os.environ.get(SUPERVISOR)
    if not text:
        return
    above = [Process.parse(text), Process.of(os.getppid())]

    def watch() -> None:
        while all(process.alive() for process in above):
            time.sleep(POLL_SECONDS)
        if port := os.environ.get("MASTER_PORT"):
            remove_shared_memory(int(port))  # a warm worker may be gone with the supervisor
        os._exit(1)

    if not all(process.alive() for process in above):
        os._exit(1)
    threading.Thread(target=watch, daemon=True, name="supervisor-watch").start()


def begin_as_rank() -> None:
    """Live no longer than the supervisor, and say that this is its start: before slow imports."""
    watch_supervisor()
    show_stacks_on_demand()
    Pulse().beat(START)


def start_guard(mark: str, port: int, locks: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """A process that kills the job when this one is gone; it doesn't bear the job's mark."""
    code = "import sys; from ablation.machine.process import guard; guard(*sys.argv[1:])"
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]))
    environment.pop(JOB, None)
    return subprocess.Popen(
        # Also -P: no module of the working folder, which may be somebody else's.
        [sys.executable, "-S", "-P", "-c", code, str(Process.current()), mark, str(port)],
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=tuple(locks),
    )


def guard(supervisor_text: str, mark: str, port_text: str) -> None:
    """Wait for the end of the supervisor, then remove what is left of its job."""
    supervisor = Process.parse(supervisor_text)
    while supervisor.alive():
        time.sleep(POLL_SECONDS)
    kill_job(mark)
    remove_shared_memory(int(port_text))


def free_port() -> int:
    """A TCP port that nobody on this machine uses now."""
    with socket.socket() as probe:
        probe.bind((MASTER, 0))
        return probe.getsockname()[1]
