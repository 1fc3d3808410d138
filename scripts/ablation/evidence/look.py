"""Effects of the runs that are there so far: a look, not a result.

It imports neither pandas nor scipy.stats: whoever asks how far a study is waits for it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.documents.entries import load_plainly
from ablation.evidence.spread import spread_of
from ablation.project import SCHEMAS
from ablation.study.grid_file import GridFile
from ablation.study.names import LOWER_IS_BETTER
from ablation.study.run_metrics import DIVERGED, RunMetrics

GAP, TOTAL = "gap", "all_stages"
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The figure that decides which arm is better.

    Attributes:
        name: Its name in metrics.json.
        higher_is_better: Its direction.
        delta: The smallest effect that matters.
    """

    name: str
    higher_is_better: bool
    delta: float


@dataclass(frozen=True, kw_only=True)
class Glance:
    """One contrast over the seeds that both arms have.

    Attributes:
        arm: The arm.
        reference: The arm that it is compared with.
        estimate: Mean improvement, positive where the arm is better; None without a seed.
        low: Lower end of the 95 % t interval; None below two seeds, or without any spread.
        high: Its upper end.
        seeds: Number of seeds.
    """

    arm: str
    reference: str
    estimate: float | None
    low: float | None
    high: float | None
    seeds: int


def read_metric(study: Path) -> Metric:
    """The metric of a study.yaml; the schema's defaults where the file does not say."""
    block = load_plainly(study).at("metric")
    own = block.plain() if block and isinstance(block.value, dict) else {}
    assert isinstance(own, dict)
    schema = json.loads((SCHEMAS / "study.schema.json").read_text(encoding="utf-8"))
    known = schema["properties"]["metric"]["properties"]
    name = own.get("name", known["name"]["default"])
    delta = own.get("delta", known["delta"]["default"])
    higher = own.get("higher_is_better", name not in LOWER_IS_BETTER)
    return Metric(name=name, higher_is_better=bool(higher), delta=float(delta))


def value_of(run: RunMetrics, metric: Metric) -> float | None:
    """A run's value, from the weights that its arm selects.

    A run that diverged counts as 0 where the metric is a score, as in the report.
    """
    if run.status == DIVERGED:
        return 0.0 if metric.higher_is_better else None
    return run.quality.scores.get(metric.name)


def staged_pairs(grid: GridFile) -> list[tuple[str, str]]:
    """Arm and reference of each step of the staged path, then of the whole gap.

    A last stage that is the backup already leaves no step to it.
    """
    path = next(d["arms"] for d in grid["designs"] if d["design"] == "staged")
    runs = {arm["arm"]: arm["variant"] for arm in grid["arms"]}
    steps = list(zip(path[1:], path, strict=False))
    if runs[path[-1]] == runs[path[-2]]:
        del steps[-1]
    return [*steps, (path[-1], path[0])] if len(path) > 2 else steps


def look(
    pairs: Iterable[tuple[str, str]], values: Mapping[str, Mapping[int, float]], metric: Metric
) -> list[Glance]:
    """Each contrast as far as it is measured.

    Args:
        pairs: Arm and reference.
        values: The metric by arm and seed.
        metric: The metric; estimates are improvements in it.
    """
    found = []
    for arm, reference in pairs:
        own, other = values.get(arm, {}), values.get(reference, {})
        seeds = sorted(own.keys() & other.keys())
        sign = 1.0 if metric.higher_is_better else -1.0
        differences = [sign * (own[seed] - other[seed]) for seed in seeds]
        found.append(_glance(arm, reference, differences))
    return found


def _glance(arm: str, reference: str, differences: Sequence[float]) -> Glance:
    n, spread = len(differences), spread_of(differences)
    mean = statistics.fmean(differences) if n else None
    low = high = None
    if mean is not None and spread is not None:
        low, high = spread.interval(mean, _CONFIDENCE)
    return Glance(arm=arm, reference=reference, estimate=mean, low=low, high=high, seeds=n)
