"""The pulse of a job: each rank says what it is at, and how long that may last; see `watch`.

Slow is not hung: what a rank is at may last twenty times as long as it has lasted at most so far in
this run, and no less than some minutes; what it does for the first time may last longer.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import secrets
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ablation.machine.told import patience

SHARED_MEMORY = Path("/dev/shm")
MASTER = "127.0.0.1"  # address of each job's first rank
PULSE = "ABLATION_PULSE"  # what the names of a job's files of the pulse begin with
FACTOR = 20.0
FIRST_SECONDS = 3600.0  # a first step loads, compiles, and skips rows when it resumes
START, FIRST_STEP, STEP = "its start", "its first step", "step"
EVALUATION, SAVE, END = "an evaluation", "a checkpoint", "its end"
BATCH, SUM = "a batch of states", "a sum of states"  # what makes a cache of frozen layers is at
STACKS = signal.SIGUSR2  # makes a rank write the stacks of all its threads
_SIZE = 256


def names_of_files(port: int) -> list[str]:
    """Patterns of what a job has in shared memory.

    DeepSpeed's operator for communication on the CPU (ops/csrc/cpu/comm/shm.cpp) makes a file of
    66 MB for each rank, named after the user, the address and the port, and leaves it in memory.

    Args:
        port: The job's MASTER_PORT.
    """
    job = f"{os.getuid()}_{MASTER}_{port}"
    return [f"deepspeed_allreduce_buffer_{job}_[0-9]*", f"ablation_pulse_{job}_*"]


def new_pulse(port: int, supervisor: str) -> Path | None:
    """Where a job's files of the pulse will be; removed with its shared memory.

    None where there is no room for them: then the job is not watched.

    Args:
        port: The job's MASTER_PORT.
        supervisor: "pid:start time" of who removes them; see `supervisors`.
    """
    name = f"ablation_pulse_{os.getuid()}_{MASTER}_{port}_{secrets.token_hex(8)}"
    path = SHARED_MEMORY / name
    try:
        Path(f"{path}_room").write_bytes(supervisor.encode().ljust(_SIZE, b"\0"))
    except OSError:
        return None
    return path


def supervisors() -> dict[int, list[str]]:
    """Who supervises the jobs that have something in shared memory, by their MASTER_PORT."""
    found: dict[int, list[str]] = {}
    for path in SHARED_MEMORY.glob(f"ablation_pulse_{os.getuid()}_{MASTER}_*_room"):
        with contextlib.suppress(OSError, ValueError):
            if _is_ours(path):
                told = path.read_bytes().rstrip(b"\0").decode()
                found.setdefault(int(path.name.split("_")[4]), []).append(told)
    return found


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What a rank said last.

    Attributes:
        pid: Its process.
        number: Another one in each beat.
        doing: What it is at.
        step: The steps that it has done.
        limit: Seconds that this may last.
        slowest: Seconds that it has lasted at most so far; None where it is the first time.
    """

    pid: int
    number: int
    doing: str
    step: int
    limit: float
    slowest: float | None


def limit_of(slowest: float | None) -> float:
    """Seconds that something may last; more where the environment asks for patience.

    Args:
        slowest: Seconds that it has lasted at most so far; None where it is the first time.
    """
    floor = patience()
    return max(FIRST_SECONDS, 12 * floor) if slowest is None else max(floor, FACTOR * slowest)


class Pulse:
    """A rank's side. Without a supervisor nobody is told, and nobody asks."""

    def __init__(self) -> None:
        name = os.environ.get(PULSE)
        self.path = Path(name) if name else None
        self.doing, self.began = START, time.monotonic()
        self.slowest: dict[str, float] = {}
        self.descriptor: int | None = None
        if self.path is not None:
            file = f"{self.path}_{os.environ.get('RANK', '0')}"
            with contextlib.suppress(OSError):  # no room in memory: the run is not watched
                self.descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def beat(self, doing: str, step: int = 0) -> None:
        """Say that what this rank was at is done, and what it is at from now on."""
        now = time.monotonic()
        if self.doing not in (START, FIRST_STEP):
            self.slowest[self.doing] = max(self.slowest.get(self.doing, 0.0), now - self.began)
        self.doing, self.began = doing, now
        if self.descriptor is None:
            return
        slowest = self.slowest.get(doing)
        beat = Beat(
            pid=os.getpid(),
            number=time.monotonic_ns(),
            doing=doing,
            step=step,
            limit=limit_of(slowest),
            slowest=slowest,
        )
        with contextlib.suppress(OSError):
            os.pwrite(self.descriptor, json.dumps(vars(beat)).encode().ljust(_SIZE), 0)

    def asked_to_stop(self) -> bool:
        """Whether the supervisor wants the run to save a checkpoint and to leave."""
        return self.path is not None and _is_ours(stop_file(self.path))


def show_stacks_on_demand() -> None:
    """Let this process write the stacks of all its threads to stderr when it is asked for them.

    The handler needs no interpreter: it answers also where native code never comes back.
    """
    faulthandler.register(STACKS, all_threads=True)


def stop_file(pulse: Path) -> Path:
    """What is there once a job is asked to save and to leave."""
    return Path(f"{pulse}_stop")


def read_beats(pulse: Path) -> dict[int, Beat] | None:
    """What the ranks of a job said last, without those that have said nothing yet.

    None where one cannot be understood: it had no room to write, and nothing is known of it.
    """
    found = {}
    for path in filter(_is_ours, pulse.parent.glob(f"{pulse.name}_[0-9]*")):
        try:
            found[int(path.name.rpartition("_")[2])] = Beat(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
    return found


def _is_ours(path: Path) -> bool:
    """Whether a file is there, and of this user: all users of a machine write to its memory."""
    with contextlib.suppress(OSError):
        return path.lstat().st_uid == os.getuid()
    return False
