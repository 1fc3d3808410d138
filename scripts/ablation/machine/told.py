"""What the environment tells this room, read in one place: a value that cannot be has a message."""

from __future__ import annotations

import os
from pathlib import Path

from ablation.errors import UserError

PATIENCE = "ABLATION_PATIENCE_MINUTES"  # of what may last no less
IDLE = "ABLATION_WARM_IDLE_SECONDS"  # of a warm worker that nobody asks
LEASES = "ABLATION_LEASES"  # another folder of leases than the user's cache
_USUAL = {PATIENCE: 5.0, IDLE: 120.0}
_MOST = 1_000_000.0  # minutes of nearly two years: nothing overflows


def patience() -> float:
    """Seconds that anything may last. A warm worker serves runs of several environments."""
    return 60 * _number(PATIENCE)


def idle_seconds() -> float:
    """Seconds that a warm worker waits to be asked: longer than a pause between runs."""
    return _number(IDLE)


def check_environment() -> None:
    """Refuse what none of the variables can have.

    Raises:
        UserError: One is no number over 0, or names what cannot be a folder.
    """
    patience()
    idle_seconds()
    folder = os.environ.get(LEASES)
    if folder and os.path.lexists(folder) and not Path(folder).is_dir():
        raise UserError(
            f"the environment variable {LEASES} has a value it cannot have",
            found=folder,
            allowed="a folder, there or not",
            write=f"unset {LEASES}",
        )


def _number(name: str) -> float:
    text = os.environ.get(name, "").strip()
    if not text:
        return _USUAL[name]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if 0 < value <= _MOST:
        return value
    raise UserError(
        f"the environment variable {name} has a value it cannot have",
        found=text,
        allowed="a number over 0, of at most 1000000",
        write=f"export {name}={_USUAL[name]:g}",
    )
