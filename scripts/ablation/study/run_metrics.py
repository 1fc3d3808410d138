"""What one finished run measured, metrics.json as a type: light, since every plan reads it.

Here is what something asks for by name; metrics.schema.json says what each means, and what else
the file has. What an earlier version did not write is None or empty.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from ablation.errors import UserError
from ablation.files import load_json
from ablation.records import from_plain, leaves
from ablation.sums import damaged, seal_is_broken

SCHEMA_VERSION = 1
COMPLETED = "completed"
DIVERGED = "diverged"
MISSING = "missing"
SECTIONS = ("environment", "data", "quality", "optimisation", "cost")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a run was made with."""

    versions: dict[str, str] = field(default_factory=dict)
    device: str | None = None
    device_name: str | None = None
    world_size: int | None = None
    code_commit: str | None = None
    lock: str | None = None
    model: str | None = None
    data: str | None = None


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The rows that a run learned from and was measured on, and their classes."""

    train_rows: int | None = None
    validation_rows: int | None = None
    test_rows: int | None = None
    num_labels: int | None = None


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Test scores of the final and of the best epoch's weights, by name.

    Attributes:
        selected: Which of them the arm takes, "final" or "best".
    """

    selected: str | None = None
    final: dict[str, float | None] | None = None
    best: dict[str, float | None] | None = None

    @property
    def scores(self) -> Mapping[str, float | None]:
        """Those of the weights that the arm takes; none where the run diverged."""
        return {"final": self.final, "best": self.best}.get(self.selected or "") or {}


@dataclass(frozen=True, kw_only=True)
class Norms:
    """Quantiles of the gradient's norm."""

    median: float | None = None
    q95: float | None = None


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How the training went; losses in nats."""

    initial_loss: float | None = None
    ln_num_labels: float | None = None
    clipped_share: float | None = None
    grad_norm: Norms = Norms()
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the run cost."""

    wall_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunMetrics:
    """What one run measured.

    Attributes:
        status: "completed" or "diverged".
        seal: XXH3 (hex) of the whole file.
        sections: `SECTIONS` as the file has them.
    """

    variant: str = ""
    seed: int = 0
    settings_hash: str | None = None
    status: str = ""
    environment: Environment = Environment()
    data: Learned = Learned()
    quality: Quality = Quality()
    optimisation: Optimisation = Optimisation()
    cost: Cost = Cost()
    seal: str | None = None
    sections: Mapping[str, object] = field(default_factory=dict)

    def columns(self) -> dict[str, object]:
        """Every value of the sections under its dotted name, as in metrics.csv; no lists."""
        return {n: value for n, value in leaves(self.sections) if not isinstance(value, list)}


class LoggedStep(TypedDict):
    """A line of history.jsonl; None where a number is not finite."""

    step: int
    epoch: float
    loss: float | None
    learning_rate: float | None
    grad_norm: float | None


def read_metrics(record: Mapping[str, object]) -> RunMetrics:
    """What the contents of a metrics.json say, whichever version wrote it.

    Raises:
        UserError: a value is of another kind.
    """
    found: RunMetrics = from_plain(RunMetrics, record, known_only=True)
    return replace(found, sections={name: record.get(name) or {} for name in SECTIONS})


def peek_run(path: str | Path) -> RunMetrics | None:
    """A run's metrics as they lie there, without a look at whether they are whole.

    None where there are none that can be read.
    """
    try:
        return read_metrics(json.loads(Path(path).read_bytes()))
    except (OSError, ValueError, UserError):
        return None


def load_run(path: str | Path) -> RunMetrics:
    """The metrics of one run, checked for the fields every reader relies on.

    Raises:
        UserError: another schema version, an unknown status, a section that is not there, or
            damage: values or files beside it that are not those that the run wrote.
    """
    metrics = _load_whole(path)
    try:
        return read_metrics(metrics)
    except UserError as error:
        raise error.at(path, None) from None


def is_whole(path: str | Path) -> bool:
    """Whether a run has finished, and its results are what it wrote."""
    try:
        _load_whole(path)
    except UserError:
        return False
    return True


def _load_whole(path: str | Path) -> dict[str, Any]:
    """A run's metrics.json, checked for what `load_run` raises, but for the kinds of its values."""
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


def logged_steps(folder: Path) -> list[LoggedStep]:
    """What a run's history.jsonl says of each step, by step.

    A step that was logged twice (before and after a resume) counts as it was logged last; a line
    that was cut off by a kill is skipped.
    """
    path, found = folder / "history.jsonl", dict[int, LoggedStep]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            found[int(record["step"])] = record
    return [found[step] for step in sorted(found)]
