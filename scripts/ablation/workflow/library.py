"""A hash of the library up to each room, so that a change makes the cheap jobs of it again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ablation.project import PACKAGE

# Bottom to top; the rooms between machine and evidence make nothing that is cheap to make again.
_ROOMS = (
    "",
    "words",
    "documents",
    "settings",
    "dialects",
    "designs",
    "comparison",
    "study",
    "data",
    "machine",
    "evidence",
    "report",
)


def code_hashes(package: Path = PACKAGE) -> dict[str, str]:
    """A hash of all files up to each room, by the room's name.

    A parameter of the cheap jobs. Not files as inputs: those would be most of the plan.
    """
    found = {}
    code = hashlib.sha256()
    for room in _ROOMS:
        for file in sorted((package / room).glob("**/*" if room else "*")):
            if file.suffix in (".py", ".yaml"):
                code.update(file.read_bytes())
        found[room] = code.hexdigest()[:16]
    return found
