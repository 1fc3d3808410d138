"""What a study asks: weighted sums of arms, seed by seed.

A step of the path, the gap, a factor alone, a Shapley value, a main effect, an interaction, a step
of a greedy path and a control are all of this form. What differs is only the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from ablation.settings.catalogue import Settings

STAGE, REMAINDER, GAP, TOTAL = "stage", "remainder", "gap", "total"
ONLY, WITHOUT, SHAPLEY, MAIN = "only", "without", "shapley", "main"
INTERACTION, CHAIN = "interaction", "chain"
GREEDY, GREEDY_DIFFERENCE, TUNING, A_A = "greedy", "greedy_difference", "tuning", "a_a"
EQUAL_COMPUTE, COMPUTE_ALONE = "equal_compute", "compute_alone"
RUNG, TREND, BEND, RETUNED = "rung", "trend", "bend", "retuned"


class PathStep(TypedDict):
    """A step of the staged path, or the gap: an arm and the one before it.

    `control` is the arm in between that differs in the settings `set`, where a design adds one.
    """

    step: str
    arm: str
    before: str
    control: NotRequired[str]
    set: NotRequired[Settings]


class GreedyStep(TypedDict):
    """A step of a greedy path: the factor that it chose, and the arm that it came to, if any."""

    factor: str
    arm: str | None


class Notes(TypedDict, total=False):
    """What a design keeps in grid.json for its analysis, beside its name and its arms in order.

    Each design has some of it: factors and the settings of each; where a path of steps leads; the
    arms that stand for each other; sizes, and what they hold; rates by arm of each side.
    """

    design: str
    arms: list[str]
    factors: list[str]
    settings: dict[str, list[str]]
    generators: list[str]
    whole: bool
    directions: list[str]
    paths: Mapping[str, list[GreedyStep]]
    match: str
    controls: list[PathStep]
    base: str
    values: dict[str, list[object]]
    reference: str
    arm: str
    rows: list[int]
    hold: str
    steps: list[PathStep]
    multiples: list[float]
    sides: dict[str, dict[str, float]]
    chosen: dict[str, str]


# Planned before any result and read as evidence: they share the error of the study. Totals are the
# arms that may be recommended, against current. Interactions, what the number of rows does to
# effects, and steps between tuned sides are second questions, and a family of their own. The others
# check (controls) or explore (greedy path, tuning).
PLANNED = (STAGE, REMAINDER, GAP, TOTAL, ONLY, WITHOUT, SHAPLEY, MAIN)
SECONDARY = (INTERACTION, CHAIN, TREND, BEND, RETUNED)
# Those whose ids name the factors that they are about, and all of them.
OF_FACTORS = (STAGE, ONLY, WITHOUT, SHAPLEY, MAIN, INTERACTION)
ROLES = (
    *dict.fromkeys((*OF_FACTORS, *PLANNED, *SECONDARY, GREEDY, GREEDY_DIFFERENCE, TUNING, A_A)),
    *(EQUAL_COMPUTE, COMPUTE_ALONE, RUNG),
)
BETWEEN = "×"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A weighted sum of arms, seed by seed, that is zero where nothing differs.

    Attributes:
        id: Its role and what it is about: "stage:epochs", "shapley:epochs", "gap".
        role: One of the roles above.
        factor: The stage or factor that it is about; of an interaction, its factors joined by "×".
        design: The design that asks for it.
        weights: The arms, each with its weight; the weights add up to zero.
    """

    id: str
    role: str
    factor: str | None
    design: str
    weights: Mapping[str, float]

    @property
    def pair(self) -> tuple[str, str] | None:
        """The arm and its reference, where it is one arm minus another."""
        if sorted(self.weights.values()) != [-1.0, 1.0]:
            return None
        reference, arm = sorted(self.weights, key=self.weights.__getitem__)
        return arm, reference


@dataclass(frozen=True, kw_only=True)
class Made:
    """What has come of a design in a grid: what its contrasts are read from.

    Attributes:
        facts: What its plan noted, see `DesignPlan.facts`; what results have chosen since, too.
        cells: The names of its arms by the set of factors that is switched on.
        path: The arms of the staged path in order, each with the stage that it adds.
        arms: The names of all arms of the grid.
    """

    facts: Notes
    cells: Mapping[frozenset[str], str]
    path: Sequence[tuple[str, str | None]]
    arms: frozenset[str]


def between(
    name: str,
    role: str,
    arms: tuple[str, str],
    factor: str | None = None,
    *,
    design: str,
) -> Contrast:
    """One arm minus another."""
    arm, reference = arms
    return Contrast(
        id=name, role=role, factor=factor, design=design, weights={arm: 1.0, reference: -1.0}
    )


def switched(
    made: Made,
    role: str,
    sets: Callable[[str], tuple[frozenset[str], frozenset[str]]],
    *,
    design: str,
) -> list[Contrast]:
    """What switching on each factor does: one arm minus another, where both are there.

    Args:
        made: What has come of the design.
        role: The contrasts' role.
        sets: From a factor to the factors that are on in the arm, and in its reference.
        design: The design that asks.
    """
    found = []
    for name in made.facts["factors"]:
        high, low = sets(name)
        if high in made.cells and low in made.cells:
            pair = made.cells[high], made.cells[low]
            found.append(between(f"{role}:{name}", role, pair, name, design=design))
    return found


def weighed(role: str, name: str, design: str, weights: Mapping[str, float]) -> Contrast:
    """A weighted sum of the cells of a design."""
    return Contrast(
        id=f"{role}:{name}", role=role, factor=name, design=design, weights=dict(weights)
    )
