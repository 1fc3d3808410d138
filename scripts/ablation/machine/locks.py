"""Compile locks of torch: a process that was killed leaves one, and all others wait for it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from ablation.machine.process import POLL_SECONDS


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
