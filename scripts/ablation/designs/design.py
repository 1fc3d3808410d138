"""What a design is made of: factors that are switched, cells, and the plan that they come to.

A factor is a stage, the remainder, or a list of settings that the study names. A cell is a set of
factors; the same cell in two designs is one arm. `study.grid.expand` makes arms of cells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from ablation.designs.contrast import Contrast, Made, Notes
from ablation.designs.feasibility import Reason
from ablation.records import Schema
from ablation.settings.catalogue import MOVES_TOGETHER, Settings

CURRENT = "current"
BACKUP = "backup"
REMAINDER = "remainder"

# The kinds of arms in grid.json.
ENDPOINT, STAGE, ONLY, WITHOUT, CELL = "endpoint", "stage", "only", "without", "cell"
TUNING, CONTROL, RUNG_ARM, TUNED_ARM = "grid", "control", "rung", "tuned"
# Sets of the path's factors: these may be recommended.
SETS_OF_FACTORS = (ENDPOINT, STAGE, ONLY, WITHOUT, CELL)
# Those that are no set of factors by itself: no arm of another design is the same.
APART = (TUNING, CONTROL, RUNG_ARM, TUNED_ARM)

Options = Mapping[str, Any]  # of a design, as study.yaml has them


def tidy(value: float) -> float:
    """A computed number to 12 digits: as people would have written it."""
    return float(f"{value:.12g}")


@dataclass(frozen=True)
class Factor:
    """Settings that are switched from the current to the backup's values together."""

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """Everything between current and backup.

    Attributes:
        current: Every trained setting of the current side.
        backup: The same of the backup.
        stages: The study's stages, in order.
        remainder: What differs and no stage names; None where that is nothing.
    """

    current: Settings
    backup: Settings
    stages: tuple[Factor, ...]
    remainder: Factor | None

    def factors(self, remainder: bool = True) -> tuple[Factor, ...]:
        """The stages, and the remainder where there is one and it is asked for."""
        rest = (self.remainder,) if remainder and self.remainder else ()
        return (*self.stages, *rest)

    def settings(self, factors: Sequence[Factor], on: Collection[str]) -> Settings:
        """The current settings with the backup's values of the factors that are on."""
        taken = {name for factor in factors if factor.name in on for name in factor.settings}
        return {n: self.backup[n] if n in taken else self.current[n] for n in self.current}


@dataclass(frozen=True)
class Cell:
    """An arm as a design asks for it.

    Attributes:
        name: The arm's name.
        kind: What it is: one of the kinds above.
        design: The design that asks for it.
        stages: The factors that are switched on, in their order.
        settings: Its settings.
        stage: The stage that it adds to the arm before it, on the staged path.
        seeds: Its own seeds, one beside each of the study's; None: the study's.
    """

    name: str
    kind: str
    design: str
    stages: tuple[str, ...]
    settings: Settings
    stage: str | None = None
    seeds: tuple[int, ...] | None = None


@dataclass(frozen=True)
class DesignPlan:
    """What one design comes to.

    Attributes:
        cells: Its cells, in order.
        facts: What the analysis must know of it; goes into grid.json's `designs`.
        left_out: Arms that were not made: name, stages, and why.
    """

    cells: list[Cell]
    facts: Notes
    left_out: list[tuple[str, tuple[str, ...], Reason]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with a design's options.

    Attributes:
        key: Dotted, below the design: "factors.lora.0"; "" for the design itself.
        problem: What is wrong.
        found: What stands there.
        allowed: What may stand there.
        write: The line to write instead.
    """

    key: str
    problem: str
    found: object
    allowed: str | Iterable[object] | None = None
    write: str | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a study asks of all its designs.

    Attributes:
        seeds: All seeds that it may use.
        sequential: Whether seeds are added as results come.
        pool: Rows to train on, before any extract; None where it is not known.
    """

    seeds: Sequence[int]
    sequential: bool
    pool: int | None = None


Planner = Callable[[Space, Options, Sequence[int]], DesignPlan]
Checker = Callable[[Space, Options, Asked], Iterator[Problem]]


def no_contrasts(made: Made) -> list[Contrast]:
    """For designs that ask nothing of their own."""
    return []


def as_it_is(space: Space, options: Options) -> Space:
    """For designs that change nothing in the arms of others."""
    return space


def nobody(facts: Notes) -> Mapping[str, str]:
    """For designs all of whose arms are in planned contrasts."""
    return {}


def all_factors(space: Space, options: Options) -> tuple[Factor, ...]:
    """The stages and the remainder."""
    return space.factors()


def no_problems(space: Space, options: Options, asked: Asked) -> Iterator[Problem]:
    """For designs whose options cannot be wrong beyond their schema."""
    return iter(())


@dataclass(frozen=True, kw_only=True)
class Design:
    """A way to choose arms.

    Attributes:
        name: As study.yaml writes it.
        plan: The cells that it asks for.
        description: What study.yaml's schema says of it; None for the one that is always there.
        options: JSON Schemas of its options, with their defaults.
        required: The options that have no default.
        counts: How many factors it takes.
        factors: Its factors.
        problems: What is wrong with its options, beyond their schema.
        suggested: Whether a plan tells what it would come to where the study does not ask for it.
        answers: What question its arms answer, a sentence in each language; empty for controls
            and for what only explores.
        contrasts: What it asks of the arms that have come of it.
        every_cell: The sets of factors that its contrasts need, all of them; None where each
            contrast needs its own arms only.
        settle: What it makes of the settings of all arms, those of other designs, too.
        follows: Its arms that no planned contrast needs, and the arm whose seeds each of them
            takes, out of what grid.json notes of it.
        may_come_to: The design whose cells are all that this one can come to, where results decide.
    """

    name: str
    plan: Planner
    description: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    counts: Collection[int] = range(1, 10**6)
    factors: Callable[[Space, Options], tuple[Factor, ...]] = all_factors
    problems: Checker = no_problems
    suggested: bool = True
    answers: Mapping[str, tuple[str]] = field(default_factory=dict)
    contrasts: Callable[[Made], list[Contrast]] = no_contrasts
    every_cell: Callable[[Sequence[str]], list[frozenset[str]]] | None = None
    settle: Callable[[Space, Options], Space] = as_it_is
    follows: Callable[[Notes], Mapping[str, str]] = nobody
    may_come_to: Planner | None = None

    def defaults(self) -> Options:
        """Its options where study.yaml names none."""
        return {
            name: schema["default"] for name, schema in self.options.items() if "default" in schema
        }

    def schema(self) -> Schema:
        """The JSON Schema of its options."""
        return {
            "description": self.description,
            "type": "object",
            "additionalProperties": False,
            "properties": dict(self.options),
            **({"required": list(self.required)} if self.required else {}),
        }


# --- Cells -------------------------------------------------------------------------------------


def cell_of(
    space: Space, factors: Sequence[Factor], on: Collection[str], design: str, every: Sequence[str]
) -> Cell:
    """The arm in which these factors are on.

    Args:
        space: The settings.
        factors: All factors of the design.
        on: Those that are switched on.
        design: The design's name.
        every: All factors there are: with all of them on, the arm is the backup.
    """
    names = tuple(factor.name for factor in factors if factor.name in on)
    settings = space.settings(factors, on)
    if not names:
        return Cell(CURRENT, ENDPOINT, design, names, settings)
    if set(every) <= set(names) and settings == space.backup:
        return Cell(BACKUP, ENDPOINT, design, names, settings)
    return Cell(*named(names, every), design, names, settings)


def named(on: Sequence[str], every: Sequence[str]) -> tuple[str, str]:
    """The name and the kind of the arm with these of all factors on, between current and backup."""
    if len(on) == 1:
        return f"only-{on[0]}", ONLY
    missing = [name for name in every if name not in on]
    if len(missing) == 1 and set(on) < set(every):
        return f"without-{missing[0]}", WITHOUT
    return f"cell-{'+'.join(on)}", CELL


def cells_of(
    space: Space, factors: Sequence[Factor], sets: Sequence[Collection[str]], design: str
) -> list[Cell]:
    """The arms in which these sets of factors are on."""
    every = [factor.name for factor in space.factors()]
    return [cell_of(space, factors, on, design, every) for on in sets]


def names_of(factors: Sequence[Factor]) -> list[str]:
    """The names of factors."""
    return [factor.name for factor in factors]


def subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every set of the names: the empty one first, the whole last, by size."""
    for size in range(len(names) + 1):
        yield from combinations(names, size)


def moved_together(settings: Sequence[str], space: Space) -> tuple[str, ...]:
    """The settings, and those that mean nothing without them where they differ."""
    moved = [m for name in settings for m in MOVES_TOGETHER.get(name, ())]
    differing = [m for m in moved if space.current.get(m) != space.backup.get(m)]
    return tuple(dict.fromkeys([*settings, *differing]))
