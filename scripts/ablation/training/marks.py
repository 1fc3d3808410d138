"""The mark of a whole checkpoint: what was measured so far, and a sum of each of its files.

It is written last. A checkpoint without it was interrupted; one whose files have other sums was
damaged since. Neither is ever read.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ablation.errors import RunError
from ablation.files import save_json
from ablation.sums import damaged, files_below, seal_is_broken, sealed, sums_of

MARK = "complete.json"
KEPT = 2  # the newest, and the one before it: what is damaged since can be passed over
log = logging.getLogger(__name__)


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[11:]))


def write_mark(checkpoint: Path, record: Mapping[str, Any]) -> None:
    """Mark a checkpoint as whole, once all its files are on the disk."""
    files = [path for path in files_below(checkpoint) if path.name != MARK]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    save_json(sealed({**record, "files": sums_of(checkpoint, files)}), checkpoint / MARK)


def read_mark(checkpoint: Path) -> dict[str, Any]:
    """What the mark says.

    Raises:
        RunError: There is no mark, or it is not what was written.
    """
    path = checkpoint / MARK
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{checkpoint.name} has no readable mark ({error})") from error
    if not isinstance(record, dict) or seal_is_broken(record):
        raise RunError(f"the mark of {checkpoint.name} is not what was written")
    return record


def why_damaged(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be trusted; None where it can.

    Marks of an earlier version have no sums: their files are taken as they are.
    """
    if not (checkpoint / MARK).exists():
        return "it was not written to its end"
    try:
        record = read_mark(checkpoint)
    except RunError as error:
        return str(error)
    wrong = damaged(checkpoint, record.get("files", {}))
    return f"damaged since it was written: {', '.join(wrong)}" if wrong else None


def pass_over(folder: Path, why: Callable[[Path], str | None]) -> None:
    """Remove the checkpoints that there is a reason against, and say so: a run takes another."""
    for checkpoint in reversed(checkpoints_in(folder)):
        reason = why(checkpoint)
        if reason:
            log.warning("%s is passed over: %s", checkpoint.name, reason)
            shutil.rmtree(checkpoint)


def remove_older(folder: Path) -> None:
    """Keep the newest checkpoints only."""
    for checkpoint in checkpoints_in(folder)[:-KEPT]:
        shutil.rmtree(checkpoint)
