"""A folder's lock, which one job holds; torch's compile locks, which killed processes leave."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ablation.machine.process import POLL_SECONDS, require_workflow, workflow_process

NAME = ".lock"  # in the folder that it is of
TELL_SECONDS = 600.0  # between two lines of one that waits: a log that is silent tells of no work


@dataclass(frozen=True)
class Held:
    """A folder's lock.

    Attributes:
        file: Its descriptor: a process that inherits it holds it as well.
        waited: Whether another job had it.
    """

    file: int
    waited: bool


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[Held]:
    """While it lasts, no other job writes what is in a folder, on any machine that sees it.

    A cluster's job outlives the Snakemake that was killed, and the next call asks for it again.

    Args:
        folder: Of a run, of caches, data or a model; it is made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workflow, waited, told = workflow_process(), False, 0.0
    while (lock := _hold(folder / NAME)) is None:
        waited = True
        if not told or time.monotonic() - told > TELL_SECONDS:
            print(f"waiting: another job writes {folder}", file=sys.stderr, flush=True)
            told = time.monotonic()
        require_workflow(workflow)
        time.sleep(POLL_SECONDS)
    try:
        if waited:
            time.sleep(2 * POLL_SECONDS)  # its ranks see by then that it is gone
        yield Held(lock, waited)
    finally:
        os.close(lock)


def open_lock(path: Path) -> int:
    """A descriptor of a lock's file, which is made; not through a link, nor for our children."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _hold(path: Path) -> int | None:
    """A descriptor that holds the lock of a file; None where another process holds it."""
    lock = open_lock(path)
    # Somebody may have removed the file meanwhile: a lock of it would keep nobody out.
    with contextlib.suppress(FileNotFoundError):
        if locked(lock) and os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    os.close(lock)
    return None


def locked(descriptor: int) -> bool:
    """Whether we hold a file's lock now; where a file system has no locks, nobody else does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def remove_stale_locks(folder: Path) -> None:
    """Remove compile locks that no process holds.

    torch keeps its lock file open as long as it holds it.
    """
    stale = unheld_locks(folder)
    if stale:
        time.sleep(POLL_SECONDS)  # one that is just being released is gone by then
        for path in stale & unheld_locks(folder):
            Path(path).unlink(missing_ok=True)


def unheld_locks(folder: Path) -> set[str]:
    """Paths of the compile locks that no process has open."""
    locks = {str(path.resolve()) for path in folder.rglob("lock")}
    return locks - open_files() if locks else set()


def open_files() -> set[str]:
    """Paths of the files that this user's processes have open."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            found.add(str(entry.readlink()))
    return found
