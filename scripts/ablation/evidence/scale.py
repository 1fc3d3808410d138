"""How effects change with the rows to train on, and what follows for all rows.

Each effect is measured at every size on the same seeds. A line through it over log10(rows) is a
weighted sum of arms, as are its change from the smallest to the largest size, its bend, and its
value at all rows; so each has the interval and the test of every other contrast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ablation.designs import scale as ladder
from ablation.designs.contrast import BEND, RUNG, TREND, Contrast, Notes, weighed
from ablation.designs.staged import effect_of
from ablation.evidence.family import Evidence, Series
from ablation.evidence.statistics import Estimate

# How an effect changes from few rows to many.
GROWS, FADES, TURNS, FLAT, OPEN = "grows", "fades", "turns", "flat", "open"
# Why an effect is not extrapolated to all rows.
FEW, MISSING, DISAGREE, FAR, MEASURED, UNKNOWN = (
    "few",
    "missing",
    "disagree",
    "far",
    "measured",
    "unknown",
)
# A bend that is shown at this level, alone, rules a straight line out. Above the usual one: that
# the rungs lie on a line is what has to be doubted.
BENDS = 0.1
# How far beyond the largest size: in widths of what was measured, on the logarithm of the rows.
MOST_WIDTHS = 2.0
EXTRAPOLATED = "extrapolated"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One effect over the sizes.

    Attributes:
        step: A stage, "remainder" or "gap".
        effects: The ids of its contrasts at each size, in order; the last is the path's own.
        trend, bend: The ids of its change and its bend; none below three sizes for the latter.
        course: "grows", "fades", "turns" (changes its sign, or rises and falls again), "flat"
            (surely changes by less than delta) or "open".
        all_rows: Its improvement at all rows by the line, with an interval that also holds if it
            stays as it is at the largest size; None where that is refused.
        refused: Why: "few" sizes, a run "missing", "disagree" (no line), "far" beyond the largest
            size, "measured" (there are no more rows) or "unknown" (how many there are).
    """

    step: str
    effects: tuple[str, ...]
    trend: str
    bend: str | None
    course: str
    all_rows: Estimate | None
    refused: str | None


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The ladder of a study.

    Attributes:
        rows: The sizes: training rows to draw from, ascending.
        hold: What is the same at all sizes: "epochs" or "steps".
        all_rows: All training rows there are; None where that is not known.
        steps: The effects: stages and remainder in order, then the gap.
    """

    rows: tuple[int, ...]
    hold: str
    all_rows: int | None
    steps: tuple[Step, ...]


def read_scale(
    facts: Notes,
    series: Mapping[str, Series],
    evidence: Mapping[str, Evidence],
    estimate: Callable[[Contrast], Estimate],
    all_rows: int | None,
) -> Scale:
    """What the sizes say of each effect.

    Args:
        facts: What the design noted in the grid.
        series: All contrasts' improvements by seed.
        evidence: What may be concluded of them.
        estimate: Estimates a further contrast.
        all_rows: All training rows there are.
    """
    rows = tuple(facts["rows"])
    steps = []
    for step in facts["steps"]:
        name = step["step"]
        if f"{TREND}:{name}" not in series:
            continue
        ids = (*(f"{RUNG}:{name}@{count}" for count in rows[:-1]), effect_of(name))
        bend = f"{BEND}:{name}" if f"{BEND}:{name}" in series else None
        bent = evidence[bend] if bend else None
        effects = [series[one].estimate for one in ids]
        course = course_of(effects, rows, evidence[f"{TREND}:{name}"], bent)
        refused = _refusal(effects, rows, bent, course, all_rows)
        found = None
        if refused is None and all_rows is not None:
            weights = ladder.at_rows(step, rows, all_rows)
            line = weighed(EXTRAPOLATED, name, ladder.SCALE, weights)
            found = widened(estimate(line), effects[-1])
        steps.append(
            Step(
                step=name,
                effects=ids,
                trend=f"{TREND}:{name}",
                bend=bend,
                course=course,
                all_rows=found,
                refused=refused,
            )
        )
    return Scale(rows=rows, hold=facts["hold"], all_rows=all_rows, steps=tuple(steps))


def course_of(
    effects: Sequence[Estimate],
    rows: Sequence[int],
    trend: Evidence,
    bend: Evidence | None,
) -> str:
    """How an effect changes from few rows to many.

    Args:
        effects: At each size, with their own intervals.
        rows: The sizes.
        trend: Of its change from the smallest to the largest size, corrected over all of them.
        bend: Of its bend, likewise; None below three sizes.
    """
    first, last = effects[0], effects[-1]
    if first.estimate is None or last.estimate is None:
        return OPEN
    if _sign(first) * _sign(last) < 0:
        return TURNS
    bent = bend is not None and bend.significant
    if bent and _turns_between([one.estimate for one in effects]):
        return TURNS
    if trend.significant:
        few, many = _ends(effects, rows)
        return GROWS if abs(many) > abs(few) else FADES
    return FLAT if trend.equivalent and not bent else OPEN


def _sign(effect: Estimate) -> int:
    """The sign of an effect whose interval lies on one side of zero; 0 for others."""
    if effect.low is None or effect.high is None:
        return 0
    return (effect.low > 0) - (effect.high < 0)


def _turns_between(values: Sequence[float | None]) -> bool:
    """Whether the largest or the smallest of the effects is at neither end."""
    known = [value for value in values if value is not None]
    inner = known[1:-1]
    ends = (known[0], known[-1])
    return bool(inner) and (max(inner) > max(ends) or min(inner) < min(ends))


def _ends(effects: Sequence[Estimate], rows: Sequence[int]) -> tuple[float, float]:
    """What the line is at the smallest and at the largest size."""
    values = [one.estimate or 0.0 for one in effects]
    change = float(ladder.change_weights(rows) @ values)
    logs = [math.log10(count) for count in rows]
    middle, width = math.fsum(logs) / len(logs), logs[-1] - logs[0]
    mean = math.fsum(values) / len(values)
    few, many = (mean + (x - middle) / width * change for x in (logs[0], logs[-1]))
    return few, many


def _refusal(
    effects: Sequence[Estimate],
    rows: Sequence[int],
    bend: Evidence | None,
    course: str,
    all_rows: int | None,
) -> str | None:
    """Why an effect cannot be extrapolated; None where it can."""
    if all_rows is None:
        return UNKNOWN
    if all_rows <= rows[-1]:
        return MEASURED
    if bend is None:
        return FEW
    if any(one.low is None for one in effects):
        return MISSING
    if course == TURNS or (bend.p is not None and bend.p <= BENDS):
        return DISAGREE
    width, beyond = math.log10(rows[-1] / rows[0]), math.log10(all_rows / rows[-1])
    return FAR if beyond > MOST_WIDTHS * width else None


def widened(line: Estimate, last: Estimate) -> Estimate:
    """The line's value at all rows, between its own interval and that at the largest size.

    Effects mostly level off before they follow a line for ever: then the truth is between both.
    """
    if line.low is None or line.high is None or last.low is None or last.high is None:
        return line
    return replace(line, low=min(line.low, last.low), high=max(line.high, last.high))
