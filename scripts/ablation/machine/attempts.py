"""What the attempts at a run have cost so far, and how often attempts at a study's runs failed.

`attempts.json` beside config.json is written by whoever starts the run: when an attempt begins and
when it ends. One that was killed with its supervisor ended when its history was last written.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ablation.files import save_json

FILE = "attempts.json"
HISTORY = "history.jsonl"


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The attempts at one run.

    Attributes:
        seconds: What the ended ones took, with all that was lost.
        failed: How many of them ended without a result.
        began: When the one that runs began, in seconds of the epoch; None where none runs.
    """

    seconds: float = 0.0
    failed: int = 0
    began: float | None = None


def read_attempts(run_dir: Path) -> Attempts:
    """The attempts at a run; none where nothing readable tells of any."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Attempts(**json.loads((run_dir / FILE).read_bytes()))
    return Attempts()


def begin_attempt(run_dir: Path) -> None:
    """Note that an attempt begins; those before a finished run are no longer of interest.

    Call it before the results of the run are removed.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    before = Attempts() if (run_dir / "metrics.json").exists() else read_attempts(run_dir)
    if before.began is not None:  # its supervisor was killed
        before = _ended(before, _last_sign(run_dir, before.began))
    save_json(asdict(replace(before, began=time.time())), run_dir / FILE)


def end_attempt(run_dir: Path) -> None:
    """Note that the attempt has ended, with a result or without."""
    attempts = read_attempts(run_dir)
    failed = not (run_dir / "metrics.json").exists()
    if attempts.began is not None:
        with contextlib.suppress(OSError):  # a full disk: then the next one tells
            save_json(asdict(_ended(attempts, time.time(), failed)), run_dir / FILE)


def _ended(attempts: Attempts, end: float, failed: bool = True) -> Attempts:
    # A clock that was set back takes nothing away.
    took = max(0.0, end - (attempts.began or end))
    return Attempts(seconds=attempts.seconds + took, failed=attempts.failed + failed)


def _last_sign(run_dir: Path, otherwise: float) -> float:
    """When the run last wrote its history."""
    try:
        return (run_dir / HISTORY).stat().st_mtime
    except OSError:
        return otherwise


def all_attempts(runs: Path) -> Attempts:
    """The attempts at all runs of a study, together."""
    return _sum(read_attempts(path.parent) for path in runs.glob(f"*/seed-*/{FILE}"))


def _sum(attempts: Iterable[Attempts]) -> Attempts:
    found = list(attempts)
    return Attempts(
        seconds=sum(one.seconds for one in found), failed=sum(one.failed for one in found)
    )
