"""The layer in which chosen operations of the system fail: see layer.c.

What a disk or a machine does to a program, at a place that can be chosen and tried again: the
layer is loaded into every process that a command starts, whatever it is written in.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("layer.c")
KINDS = ("write", "rename", "fsync", "unlink", "open", "read", "mkdir", "spawn")
# What an operation may fail with. "full": it and every later one that needs room.
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "SIGKILL": 0, "full": errno.ENOSPC}
MOST = 32  # faults at a time
_HEAD = struct.Struct(f"={len(KINDS)}QqQ512s512s")
_FAULT = struct.Struct("=IiQIIQ256s128s512s")
_SIZE = _HEAD.size + MOST * _FAULT.size
_JUMP = 8 * len(KINDS)  # where it lies


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The operation that fails.

    Attributes:
        kind: One of `KINDS`.
        nth: Its number among those of its kind (and place), from 1.
        error: One of `ERRORS`.
        place: The paths that are alike, a shell's pattern; empty: any.
        program: What the command line of a program holds, or begins with after a "^".
    """

    kind: str
    nth: int
    error: str
    place: str = ""
    program: str = ""

    def __str__(self) -> str:
        where = f"{self.place} by {self.program.lstrip('^')}" if self.place else self.nth
        return f"{self.kind} {where}, {self.error}"


def can_fail(kind: str, error: str) -> bool:
    """Whether an operation of this kind can end so: reading needs no room, and so on."""
    if error in ("ENOSPC", "full"):
        return kind in ("write", "fsync", "open", "mkdir", "rename")
    return kind != "read" or error == "EIO"


class Layer:
    """The layer of one folder, and what it has seen there.

    Attributes:
        environment: What loads it into a process and all that this one starts.
    """

    def __init__(self, build: Path, folder: Path) -> None:
        """Compile the layer.

        Args:
            build: Where to keep it; not below the folder.
            folder: Operations on files below it count.
        """
        build.mkdir(parents=True, exist_ok=True)
        library, self.control = build / "layer.so", build / "control"
        command = ["gcc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"]
        subprocess.run(list(map(str, command)), check=True)
        self.control.write_bytes(bytes(_SIZE))
        with self.control.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), _SIZE)
        self.folder = folder.resolve()
        self.environment = {"LD_PRELOAD": str(library), "FAULTS_CONTROL": str(self.control)}

    def choose(self, faults: Sequence[Fault] = (), record: Path | None = None) -> None:
        """Begin to count, and let these operations fail, each once.

        Args:
            faults: The operations, at most `MOST`.
            record: A file to list every operation in.
        """
        texts = (bytes(self.folder), os.fsencode(record or ""))
        content = _HEAD.pack(*[0] * len(KINDS), 0, len(faults), *texts)
        for one in faults:
            kind, error, last = KINDS.index(one.kind), ERRORS[one.error], one.error == "full"
            place, program = map(os.fsencode, (one.place, one.program))
            content += _FAULT.pack(kind, error, one.nth, last, 0, 0, place, program, b"")
        self.memory[:] = content.ljust(_SIZE, b"\0")

    def jump(self, seconds: int) -> None:
        """Let the time of day be off by so many seconds from now on; files keep the machine's."""
        struct.pack_into("=q", self.memory, _JUMP, seconds)

    def counts(self) -> dict[str, int]:
        """How many operations of each kind there were."""
        return dict(zip(KINDS, _HEAD.unpack_from(self.memory), strict=False))

    def failed(self) -> list[str]:
        """The path and the program of each operation that was chosen; empty: not reached."""
        number = _HEAD.unpack_from(self.memory)[len(KINDS) + 1]
        found = []
        for place in range(number):
            fault = _FAULT.unpack_from(self.memory, _HEAD.size + place * _FAULT.size)
            text = fault[8].split(b"\0")[0].decode(errors="replace") if fault[4] else ""
            found.append(text.replace(str(self.folder), "").replace("\t", " by "))
        return found
