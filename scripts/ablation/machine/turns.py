"""Turns of those who wait for the same GPUs: first come, first served, without anybody in charge.

A turn is a file that its process has locked, named after the machine's monotonic clock: no jump of
the time of day changes the order. Whoever dies loses its lock, and with it its turn; whoever is
stopped is passed over until it goes on. No lock guards the folder itself, so nobody who is stopped
at a bad moment holds up the others.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from ablation.machine.process import Process, state_of

FOLDER = "turns"
STOPPED = "Tt"  # states of a process, as in /proc


@contextlib.contextmanager
def turn(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """A turn for some of these, until the context ends or this process does.

    Args:
        folder: Where the turns are; those for the same GPUs share it.
        names: The GPUs that would do.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{time.monotonic_ns():020d}-{os.getpid()}"
    path, hidden = folder / name, folder / f".{name}"
    descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # Locked before it can be seen: a turn without a lock is a dead one's.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        record = {"process": str(Process.current()), "names": sorted(names)}
        os.write(descriptor, json.dumps(record).encode())
        hidden.rename(path)
        yield path
    finally:
        for one in (hidden, path):
            with contextlib.suppress(OSError):
                one.unlink()
        os.close(descriptor)


def wanted_before(mine: Path) -> list[set[str]]:
    """The GPUs that each who came earlier waits for; turns of dead processes are removed."""
    # Hidden ones are nobody's turn yet.
    earlier = (path for path in sorted(mine.parent.iterdir()) if path.name < mine.name)
    return [n for path in earlier if not path.name.startswith(".") and (n := _wanted(path))]


def _wanted(path: Path) -> set[str]:
    """What the turn of a process that lives and is not stopped is for."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return set()  # it has just ended
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _read(descriptor)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
        return set()
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> set[str]:
    try:
        record = json.loads(os.pread(descriptor, 1 << 16, 0))
        pid = Process.parse(record["process"]).pid
        return set() if state_of(pid) in STOPPED else set(record["names"])
    except (OSError, ValueError, KeyError):
        return set()  # a full disk kept its content: it has no turn, and takes what is left
