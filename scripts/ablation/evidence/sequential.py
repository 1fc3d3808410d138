"""Seeds added until a contrast is decided, with the error held over all looks.

The nominal p values to beat, and where they come from, are in `ablation.study.looks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy import special

from ablation.evidence.inference import ALPHA, closed
from ablation.evidence.spread import ROUNDING, Spread, spread_of, t_quantile
from ablation.evidence.statistics import EQUIVALENCE_CONFIDENCE
from ablation.evidence.together import Sides
from ablation.study.looks import boundaries
from ablation.study.power import OBRIEN_FLEMING, TESTED, own_share

CONTINUE = "continue"
SUPERIOR = "superior"
INFERIOR = "inferior"
EQUIVALENT = "equivalent"
UNDECIDED = "undecided"

# Why a contrast stopped, or did not: ids of the report's texts.
BEYOND_BOUNDARY = "beyond_boundary"
INSIDE_DELTA = "inside_delta"
ALL_EQUAL = "all_equal"
HOPELESS = "conditional_power"
NO_MORE_SEEDS = "maximum_reached"
DIVERGED = "diverged"
NOT_YET = "between_boundaries"
FIRST_LOOK = "before_first_look"

HOPELESS_POWER = 0.10


@dataclass(frozen=True)
class LookPlan:
    """What is fixed before the first seed.

    Attributes:
        looks: Numbers of seeds at which may be looked, rising; the last is the most seeds.
        alpha: Two-sided family-wise error over all looks and contrasts.
        spending: "obf" or "pocock".
        delta: The smallest effect that matters; None never stops for futility.
        families: How many contrasts share alpha (Bonferroni).
    """

    looks: tuple[int, ...]
    alpha: float = ALPHA
    spending: str = OBRIEN_FLEMING
    delta: float | None = None
    families: int = 1

    @property
    def effect_limits(self) -> tuple[float, ...]:
        """The nominal p of an effect at each look."""
        return boundaries(self.looks, self.alpha / max(1, self.families), self.spending)

    @property
    def equivalence_limits(self) -> tuple[float, ...]:
        """One minus the confidence of the interval that has to lie inside plus or minus delta.

        Spent as an effect's: a plain 90 % interval at each of three looks would call an effect of
        just delta equivalent in 11 % of studies instead of 5 %.
        """
        error = (1 - EQUIVALENCE_CONFIDENCE) / max(1, self.families)
        return boundaries(self.looks, error, self.spending)


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes:
        n: Seeds.
        estimate: Mean improvement.
        sd: Standard deviation over the seeds.
        low, high: The repeated interval: over all looks together it misses the truth at most with
            the error of the plan (Jennison and Turnbull 1989, J. R. Stat. Soc. B 51(3):305-361).
        low90, high90: The same at 90 %, for equivalence.
        p: What the tests so far come to beside the rest of the family, to compare with the
            boundary; None without spread.
        boundary: The nominal p to beat.
        status, reason: As in `Decision`, at this look.
    """

    n: int
    estimate: float
    sd: float
    low: float | None
    high: float | None
    low90: float | None
    high90: float | None
    p: float | None
    boundary: float
    status: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """Whether a contrast is decided, and why.

    Attributes:
        status: "continue", "superior", "inferior", "equivalent" or "undecided".
        reason: Text id: "beyond_boundary", "inside_delta", "all_equal" (not one seed differs at
            all), "conditional_power", "maximum_reached", "between_boundaries" or
            "before_first_look".
        n: Seeds it was decided with, or that there are.
        next_n: The look to go on to; None when stopped.
        looks: Every look up to the decision.
    """

    status: str
    reason: str
    n: int
    next_n: int | None
    looks: tuple[Look, ...]


class SpreadAt(Protocol):
    """The spread of the first n values, where the common noise counts so much."""

    def __call__(self, n: int, times: float = 1.0, /) -> Spread | None:
        """None where nothing varies."""


Values = Mapping[int, float] | Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One contrast of a family with looks.

    Attributes:
        values: Improvements (positive is better), by seed in the order they were planned.
        spread: What tests and intervals rest on; that of the values alone where None.
        sides: The computations of both sides, where it is one against another.
    """

    values: Values
    spread: SpreadAt | None = None
    sides: Sides | None = None

    def error(self, n: int, times: float = 1.0) -> Spread | None:
        """The error of the mean of the first n; None where nothing varies."""
        return spread_of(_array(self.values)[:n]) if self.spread is None else self.spread(n, times)


def decide(differences: Values, plan: LookPlan, spread: SpreadAt | None = None) -> Decision:
    """What the seeds so far say about one contrast.

    The first look that decides is the one that counts: later seeds, which other contrasts may have
    needed, change nothing. Stopping for futility does not bind: the boundaries hold without it.

    Args:
        differences: Improvements (positive is better), by seed in the order they were planned.
        plan: The looks, and the error to spend on them.
        spread: What tests and intervals rest on; that of the values alone where None.
    """
    return decide_together({"": Member(values=differences, spread=spread)}, plan)[""]


def decide_together(members: Mapping[str, Member], plan: LookPlan) -> dict[str, Decision]:
    """What the seeds so far say about each contrast of a family.

    A closed test (`inference.closed`), each of whose ways is tested at every look: an effect that
    is shown hands its share of the error on to those that are still open, as in Holm's procedure
    (Maurer and Bretz 2013, Stat. Biopharm. Res. 5(4):311-320).

    Args:
        members: The contrasts, by id.
        plan: The looks, and the error to spend on them; `families` is the size of the family.
    """
    values = {name: _array(one.values) for name, one in members.items()}
    looks: dict[str, list[Look]] = {name: [] for name in members}
    decided: dict[str, Decision] = {}
    open_ways = _Family(members, plan)
    for number, n in enumerate(plan.looks):
        for name in members.keys() - decided.keys():
            if values[name].size < n:
                reason = NOT_YET if looks[name] else FIRST_LOOK
                size = int(values[name].size)
                decided[name] = Decision(CONTINUE, reason, size, n, tuple(looks[name]))
        here = {
            name: _look(values[name][:n], plan, number, one.error(n))
            for name, one in members.items()
            if name not in decided
        }
        reached = open_ways.look(here, number)
        for name, before in here.items():
            p = None if before.p is None else min(1.0, before.boundary * reached[name])
            look = _judged(replace(before, p=p), plan, members[name].error(n))
            looks[name].append(look)
            if look.status != CONTINUE:
                decided[name] = Decision(look.status, look.reason, n, None, tuple(looks[name]))
    return {name: decided[name] for name in members}


class _Family:
    """What the looks so far have shown of each contrast, however many others are without effect.

    Members that have no value are there as what is never shown.
    """

    def __init__(self, members: Mapping[str, Member], plan: LookPlan) -> None:
        self.members, self.plan = members, plan
        self.size = max(plan.families, len(members))
        self.places = {name: place for place, name in enumerate(members)}
        sides = [one.sides for one in members.values()]
        self.sides = sides + [None] * (self.size - len(sides))
        self.shown = np.full((self.size, self.size, self.size), np.inf)

    def look(self, here: Mapping[str, Look], number: int) -> dict[str, float]:
        """The p value over its limit at which each contrast is an effect, at 1 or less one."""
        first, second = _limits(self.plan, self.size, number)
        for name, look in here.items():
            common, own = (self._p(name, look, times) for times in (TESTED, 0.0))
            if common is not None:
                now = np.maximum((common / first)[:, None], (own or 0.0) / second)
                place = self.places[name]
                self.shown[:, :, place] = np.minimum(self.shown[:, :, place], now)
        found = closed(self.shown, self.sides)
        return {name: float(found[self.places[name]]) for name in here}

    def _p(self, name: str, look: Look, times: float) -> float | None:
        found = self.members[name].error(look.n, times)
        return None if found is None else found.p(look.estimate)


@lru_cache(maxsize=64)
def _limits(plan: LookPlan, size: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The nominal p of both tests at a look.

    The first by the comparisons that share the error; the second by those, and by how many of them
    share an arm. Between numbers of comparisons they are read off a line on logarithms: good to
    0.3 %.
    """
    counts = np.arange(1, size + 1)
    known = sorted({1, 2, 3, 5, 8, 16, 32, 64, 128, size} & set(counts.tolist()))
    limits = [boundaries(plan.looks, plan.alpha / m, plan.spending)[number] for m in known]
    shares = own_share(counts[None], counts[:, None], plan.looks[number])
    first, second = (
        np.interp(np.log(at), np.log(known), np.log(limits)) for at in (counts, shares)
    )
    return np.exp(first), np.exp(second)


def confidences_at(plan: LookPlan) -> Callable[[int], tuple[float, float]]:
    """The confidence of repeated intervals by the number of seeds, for a question of its own.

    That of the interval for an effect, and that of the one for equivalence. Between looks they are
    those of the look before, and before the first look those of the first.
    """
    alone = replace(plan, families=1)
    limits = list(zip(plan.looks, alone.effect_limits, alone.equivalence_limits, strict=True))

    def confidences(n: int) -> tuple[float, float]:
        reached = [limit for limit in limits if limit[0] <= n] or limits[:1]
        return 1 - reached[-1][1], 1 - reached[-1][2]

    return confidences


def _array(differences: Values) -> np.ndarray:
    given = differences.values() if isinstance(differences, Mapping) else differences
    return np.array([value for value in given if math.isfinite(value)], dtype=float)


def latest_look(differences: Values, plan: LookPlan, spread: SpreadAt | None = None) -> Look | None:
    """The largest look there are seeds for, whether it decides or not; None before the first.

    Its repeated interval holds whatever was concluded, and done, before.
    """
    values = _array(differences)
    reached = [number for number, n in enumerate(plan.looks) if n <= len(values)]
    if not reached:
        return None
    n = plan.looks[reached[-1]]
    error = Member(values=differences, spread=spread).error(n)
    return _look(values[:n], plan, reached[-1], error)


def _look(values: np.ndarray, plan: LookPlan, number: int, found: Spread | None) -> Look:
    n, limit = len(values), plan.effect_limits[number]
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    look = Look(
        n=n,
        estimate=mean,
        sd=sd,
        p=None,
        boundary=limit,
        status=CONTINUE,
        reason=NOT_YET,
        low=None,
        high=None,
        low90=None,
        high90=None,
    )
    if found is not None:
        low, high = found.interval(mean, 1 - limit)
        low90, high90 = found.interval(mean, 1 - plan.equivalence_limits[number])
        look = replace(look, p=found.p(mean), low=low, high=high, low90=low90, high90=high90)
    return _judged(look, plan, found)


def _judged(look: Look, plan: LookPlan, found: Spread | None) -> Look:
    status, reason = _status(look, plan, found)
    return replace(look, status=status, reason=reason)


def _status(look: Look, plan: LookPlan, found: Spread | None) -> tuple[str, str]:
    if look.p is not None and look.p <= look.boundary:
        return (SUPERIOR if look.estimate > 0 else INFERIOR), BEYOND_BOUNDARY
    last = look.n == plan.looks[-1]
    if plan.delta is not None and look.p is None and abs(look.estimate) < ROUNDING:
        return UNDECIDED, ALL_EQUAL
    if plan.delta is not None and look.low90 is not None and look.high90 is not None:
        if -plan.delta < look.low90 and look.high90 < plan.delta:
            return EQUIVALENT, INSIDE_DELTA
        if found and not last and max(conditional_powers(look, plan, found)) < HOPELESS_POWER:
            return UNDECIDED, HOPELESS
    return (UNDECIDED, NO_MORE_SEEDS) if last else (CONTINUE, NOT_YET)


def conditional_powers(look: Look, plan: LookPlan, found: Spread) -> tuple[float, float]:
    """The chances that the most seeds will show an effect, and that they will show equivalence.

    Given the seeds so far, with the measured variance taken as the true one (Lan, Simon and
    Halperin 1982, Seq. Anal. 1(3):207-219). For an effect the truth is taken to be the estimate or
    delta, whichever is further from zero; for equivalence, the estimate or zero, whichever makes it
    likelier. Optimistic on purpose: a contrast is given up only when hope does not help either.

    Args:
        look: What the seeds so far say.
        plan: The looks.
        found: The error of the look; the part of the test rows is there at the last one, too.
    """
    delta, most, mean = float(plan.delta or 0.0), plan.looks[-1], look.estimate
    share = look.n / most
    of_seed = max(0.0, look.n * (found.error**2 - found.rows))
    moves = max(ROUNDING, math.sqrt(of_seed * (most - look.n)) / most)
    error = math.sqrt(of_seed / most + found.rows)
    df = max(found.df, most - 1)
    needed = t_quantile(1 - plan.effect_limits[-1], df) * error
    room = delta - t_quantile(1 - plan.equivalence_limits[-1], df) * error

    def above(bound: float, truth: float) -> float:
        expected = share * mean + (1 - share) * truth
        return float(special.ndtr((expected - bound) / moves))

    further = math.copysign(max(abs(mean), delta), mean)
    shown = above(needed, further) + 1 - above(-needed, further)
    equal = max(above(-room, t) - above(room, t) for t in (mean, 0.0)) if room > 0 else 0.0
    return shown, equal


def seeds_needed(decisions: Iterable[Decision]) -> int | None:
    """The number of seeds to go on to so that an open contrast has its next look, or None."""
    return min((d.next_n for d in decisions if d.next_n is not None), default=None)
