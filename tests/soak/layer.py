"""The layer in which one chosen operation of the system fails: see layer.c.

What a disk or a machine does to a program, at a place that can be chosen and tried again: the
layer is loaded into every process that a command starts, whatever it is written in.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("layer.c")
KINDS = ("write", "rename", "fsync", "unlink", "open", "read", "mkdir", "spawn")
# What an operation may fail with. "full": it and every later one that needs room.
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "SIGKILL": 0, "full": errno.ENOSPC}
_COUNTS = struct.Struct(f"={len(KINDS)}Q")
_CHOICE = struct.Struct("=IiQIII4xq")
_FOLDER, _RECORD, _WHAT = 512, 512, 1024
_SIZE = _COUNTS.size + _CHOICE.size + _FOLDER + _RECORD + _WHAT


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The operation that fails.

    Attributes:
        kind: One of `KINDS`.
        nth: Its number among those of its kind, from 1.
        error: One of `ERRORS`.
    """

    kind: str
    nth: int
    error: str

    def __str__(self) -> str:
        return f"{self.kind} {self.nth}, {self.error}"


def can_fail(kind: str, error: str) -> bool:
    """Whether an operation of this kind can end so: reading needs no room, and so on."""
    if error in ("ENOSPC", "full"):
        return kind in ("write", "fsync", "open", "mkdir", "rename")
    return True


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

    def choose(self, fault: Fault | None, record: Path | None = None) -> None:
        """Begin to count, and let this operation fail.

        Args:
            fault: The operation; None lets none fail.
            record: A file to list every operation in.
        """
        number, last = (fault.nth, fault.error == "full") if fault else (0, False)
        kind = KINDS.index(fault.kind) if fault else 0
        content = bytes(_COUNTS.size)
        # Without a number first: processes that are still there fail no more.
        content += _CHOICE.pack(kind, ERRORS[fault.error] if fault else 0, number, last, 0, 0, 0)
        content += bytes(self.folder).ljust(_FOLDER, b"\0")
        content += os.fsencode(record or "").ljust(_RECORD, b"\0")
        self.memory[:] = content.ljust(_SIZE, b"\0")

    def jump(self, seconds: int) -> None:
        """Let the time of day be off by so many seconds from now on; files keep the machine's."""
        struct.pack_into("=q", self.memory, _COUNTS.size + _CHOICE.size - 8, seconds)

    def counts(self) -> dict[str, int]:
        """How many operations of each kind there were."""
        return dict(zip(KINDS, _COUNTS.unpack(self.memory[: _COUNTS.size]), strict=True))

    def fired(self) -> bool:
        """Whether the chosen operation was reached, and failed."""
        return bool(_CHOICE.unpack_from(self.memory, _COUNTS.size)[4])

    def what(self) -> str:
        """The path of the operation that failed, and the program that wanted it."""
        start = _COUNTS.size + _CHOICE.size + _FOLDER + _RECORD
        text = self.memory[start : start + _WHAT].split(b"\0")[0].decode(errors="replace")
        return text.replace(str(self.folder), "").replace("\t", " by ")
