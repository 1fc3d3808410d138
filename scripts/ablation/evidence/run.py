"""What one finished run left behind, checked: light, since every plan of the workflow reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.errors import UserError
from ablation.files import load_json
from ablation.sums import damaged, seal_is_broken

SCHEMA_VERSION = 1
COMPLETED = "completed"
DIVERGED = "diverged"
MISSING = "missing"
SECTIONS = ("environment", "data", "quality", "optimisation", "cost")


def run_folder(runs: str | Path, variant: str, seed: int) -> Path:
    """The folder of one run."""
    return Path(runs) / variant / f"seed-{seed}"


def load_run(path: str | Path) -> dict[str, Any]:
    """The metrics of one run, checked for the fields every reader relies on.

    Raises:
        UserError: another schema version, an unknown status, a section that is not there, or
            damage: values or files beside it that are not those that the run wrote.
    """
    metrics = load_json(path)
    if not isinstance(metrics, dict):
        raise UserError(
            "metrics.json must hold one object", file=path, found=type(metrics).__name__
        )
    if metrics.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            "metrics.json is of another schema version",
            file=path,
            found=metrics.get("schema_version"),
            allowed=[SCHEMA_VERSION],
            write=f"delete {Path(path).parent} to run it again with this version",
        )
    if metrics.get("status") not in (COMPLETED, DIVERGED):
        raise UserError(
            "metrics.json has an unknown status",
            file=path,
            found=metrics.get("status"),
            allowed=[COMPLETED, DIVERGED],
        )
    absent = [name for name in SECTIONS if not isinstance(metrics.get(name), dict)]
    if absent:
        raise UserError("metrics.json lacks sections", file=path, found=absent, allowed=SECTIONS)
    _check_whole(metrics, Path(path))
    return metrics


def is_whole(path: str | Path) -> bool:
    """Whether a run has finished, and its results are what it wrote."""
    try:
        load_run(path)
    except UserError:
        return False
    return True


def _check_whole(metrics: Mapping[str, Any], path: Path) -> None:
    """Raise a `UserError` where the run's results are not what it wrote."""
    sums = metrics.get("sums") or {}
    # An adapter may be large, and no figure is made of it.
    read = {name: found for name, found in sums.items() if not name.startswith("adapter/")}
    wrong = ["metrics.json"] if seal_is_broken(metrics) else damaged(path.parent, read)
    if wrong:
        raise UserError(
            "a run's results are damaged: they are not what it wrote",
            file=path,
            found=", ".join(wrong),
            allowed="the files as they were written",
            write=f"delete {path.parent} to run it again",
        )
