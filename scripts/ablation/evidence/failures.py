"""The runs that were started and left no result, each with its reason and its log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.machine.progress import read_tail, reason_in
from ablation.results import Results


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """A run that was started and has no metrics.json.

    Attributes:
        arm: The first arm that it belongs to.
        variant: The name of its results.
        seed: Its seed.
        reason: The line of its log that says why; None where no line does.
        log: Its log.
    """

    arm: str
    variant: str
    seed: int
    reason: str | None
    log: Path


def find_failed(grids: Iterable[Mapping[str, Any]], results: Results) -> list[FailedRun]:
    """The runs of these grids that were started and have not finished.

    Args:
        grids: grid.json of the plan, then those of the arms and seeds that results add.
        results: The study's results.
    """
    found: dict[tuple[str, int], FailedRun] = {}
    for grid in grids:
        for run in grid["runs"]:
            variant, seed = run["variant"], int(run["seed"])
            log = results.run_log(variant, seed)
            if log.is_file() and not results.run_metrics(variant, seed).is_file():
                failed = FailedRun(
                    arm=run["arm"], variant=variant, seed=seed, reason=find_reason(log), log=log
                )
                found.setdefault((variant, seed), failed)
    return list(found.values())


def find_reason(log: Path) -> str | None:
    """The last line of a log that tells of an error; None where no line does."""
    return reason_in(read_tail(log))
