"""A folder's lock, which one job holds; torch's compile locks, which killed processes leave."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ablation.machine.process import POLL_SECONDS, require_workflow, workflow_process

NAME = ".lock"  # in the folder that it is of


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """While it lasts, no other job writes a run or caches, on any machine that sees the folder.

    A cluster's job outlives the Snakemake that was killed, and the next call asks for it again.

    Args:
        folder: Of the run, or of the caches; it is made where it is not there.

    Yields:
        Whether another job was waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workflow, waited = workflow_process(), False
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(folder / NAME, flags, 0o600)
    try:
        while not locked(lock):
            if not waited:
                print(f"waiting: another job writes {folder}", file=sys.stderr, flush=True)
            waited = True
            require_workflow(workflow)
            time.sleep(POLL_SECONDS)
        if waited:
            time.sleep(2 * POLL_SECONDS)  # its ranks see by then that it is gone
        yield waited
    finally:
        os.close(lock)


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
