"""One table of all runs, out of the `metrics.json` that each finished run leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ablation.errors import UserError
from ablation.evidence.provenance import Origin, incomparable, origin_of
from ablation.files import damaged_file, save_text
from ablation.results import run_folder
from ablation.study.grid import Grid
from ablation.study.run_metrics import MISSING, RunMetrics, load_run, logged_steps
from ablation.sums import bytes_sum, file_sum

IDENTITY = ("arm", "variant", "seed", "status", "measured_at")


def run_row(run: RunMetrics, file: Path) -> dict[str, object]:
    """One run as a flat row; `quality.selected.*` are the values of the weights it selects.

    It was measured when its file was written, ISO 8601 in UTC.
    """
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    selected = {f"quality.selected.{name}": one for name, one in run.quality.scores.items()}
    return {
        "status": run.status,
        "measured_at": written.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "settings_hash": run.settings_hash,
        **run.columns(),
        **selected,
    }


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
            measured = load_run(path)
            row |= run_row(measured, path)
            run = arm.variant, int(seed)  # of arms that share it, once
            origins.setdefault(run, origin_of(*run, arm.settings, measured.environment))
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
    text = table.assign(step=range(1, len(table) + 1)).to_csv(index=False)
    save_text(text, path)
    save_text(bytes_sum(text.encode()), _sum_file(Path(path)))


def load_table(path: str | Path) -> pd.DataFrame:
    """The table of `collect`, read back.

    Raises:
        UserError: it is not there, or is no longer what was written.
    """
    if not Path(path).is_file():
        raise UserError("the file is not there", file=path)
    kept = _sum_file(Path(path))
    if kept.is_file() and kept.read_text(encoding="utf-8") != file_sum(Path(path)):
        raise damaged_file(path)
    text = ("arm", "variant", "status", "environment.code_commit", "settings_hash")
    return pd.read_csv(path, dtype=dict.fromkeys(text, str))


def _sum_file(path: Path) -> Path:
    """Where the sum of a table is kept; a table without one is of an earlier version."""
    return path.with_name(f".{path.name}.sum")


def load_history(folder: str | Path) -> pd.DataFrame:
    """The logged steps of one run: step, epoch, loss, learning_rate, grad_norm, by step."""
    columns = ["step", "epoch", "loss", "learning_rate", "grad_norm"]
    table = pd.DataFrame(logged_steps(Path(folder)), columns=columns)
    return table.apply(pd.to_numeric, errors="coerce")
