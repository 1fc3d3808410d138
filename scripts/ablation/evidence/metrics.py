"""One table of all runs, out of the `metrics.json` that each finished run leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.errors import UserError
from ablation.evidence.provenance import Origin, incomparable, origin_of
from ablation.files import load_json, save_text
from ablation.records import leaves
from ablation.study.grid import Grid
from ablation.sums import damaged, seal_is_broken

SCHEMA_VERSION = 1
COMPLETED = "completed"
DIVERGED = "diverged"
MISSING = "missing"
IDENTITY = ("arm", "variant", "seed", "status", "measured_at")
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


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Scalars of nested mappings under dotted names; lists are left out (the file keeps them)."""
    return {name: value for name, value in leaves(tree, prefix) if not isinstance(value, list)}


def run_row(metrics: Mapping[str, Any], measured_at: str) -> dict[str, Any]:
    """One run as a flat row; `quality.selected.*` are the values of the weights it selects."""
    quality = metrics["quality"]
    selected = quality.get("selected")
    row: dict[str, Any] = {"status": metrics["status"], "measured_at": measured_at}
    row["settings_hash"] = metrics.get("settings_hash")
    for section in SECTIONS:
        row.update(flatten(metrics[section], f"{section}."))
    block = quality.get(selected) if isinstance(selected, str) else None
    row.update(flatten(block or {}, "quality.selected."))
    return row


def finished_at(metrics: Mapping[str, Any], path: Path) -> str:
    """When the run was measured, ISO 8601 in UTC: as recorded, else when its file was written."""
    recorded = metrics["environment"].get("finished_at")
    if isinstance(recorded, str):
        return recorded
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def collect(grid: Grid, runs: str | Path) -> pd.DataFrame:
    """One row for each arm and seed of the grid, in its order; absent runs have status "missing".

    Arms that share a variant share the run, and each has its row. A run that cannot be compared
    with the others counts as missing; the warnings on runs say why.
    """
    rows: list[dict[str, Any]] = []
    origins: dict[tuple[str, int], Origin] = {}
    for arm, seed, _ in grid.arm_runs():
        row: dict[str, Any] = {"arm": arm.name, "variant": arm.variant, "seed": int(seed)}
        path = run_folder(runs, arm.variant, seed) / "metrics.json"
        if path.is_file():
            metrics = load_run(path)
            row |= run_row(metrics, finished_at(metrics, path))
            run = arm.variant, int(seed)  # of arms that share it, once
            origins.setdefault(run, origin_of(*run, arm.settings, metrics))
        else:
            row["status"] = MISSING
        rows.append(row)
    left_out = incomparable(list(origins.values()))
    for row in rows:
        if (row["variant"], row["seed"]) in left_out:
            row["status"] = MISSING
    table = pd.DataFrame(rows)
    for name in IDENTITY:
        if name not in table:
            table[name] = None
    others = [name for name in table.columns if name not in IDENTITY]
    return table[[*IDENTITY, *others]]


def save_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write the table as CSV with full precision.

    `step`, the number of the row, is what `trackio.import_csv` wants of a table.
    """
    save_text(table.assign(step=range(1, len(table) + 1)).to_csv(index=False), path)


def load_table(path: str | Path) -> pd.DataFrame:
    """The table of `collect`, read back."""
    if not Path(path).is_file():
        raise UserError("the file is not there", file=path)
    text = ("arm", "variant", "status", "environment.code_commit", "settings_hash")
    return pd.read_csv(path, dtype=dict.fromkeys(text, str))


def load_history(folder: str | Path) -> pd.DataFrame:
    """The logged steps of one run: step, epoch, loss, learning_rate, grad_norm, by step.

    A step that was logged twice (before and after a resume) counts as it was logged last; a line
    that was cut off by a kill is skipped.
    """
    columns = ["step", "epoch", "loss", "learning_rate", "grad_norm"]
    path = Path(folder) / "history.jsonl"
    records: dict[int, dict[str, Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records[record["step"]] = record
    ordered = [records[step] for step in sorted(records)]
    table = pd.DataFrame(ordered, columns=columns)
    return table.apply(pd.to_numeric, errors="coerce")
