"""Contents of grid.json, and of the decisions that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

from ablation.settings.catalogue import Settings

if TYPE_CHECKING:  # it brings all designs along
    from ablation.designs.contrast import Notes


class ArmEntry(TypedDict):
    """An arm in grid.json."""

    arm: str
    kind: str
    stage: str | None
    design: list[str]
    stages: list[str]
    variant: str
    seeds: NotRequired[list[int]]
    changed: list[str]
    settings: Settings


class RunEntry(TypedDict):
    """A run in grid.json; `paired_seed` is the one that it stands beside where it is another."""

    arm: str
    variant: str
    seed: int
    paired_seed: NotRequired[int]


class LeftOutEntry(TypedDict):
    """An arm that cannot run, in grid.json: why, and that in words by language."""

    arm: str
    design: list[str]
    stages: list[str]
    reason: str
    numbers: Mapping[str, object]
    text: Mapping[str, str]


class LookFile(TypedDict):
    """Contents of look-*.json: whether more seeds are run after a look, and for which arms."""

    look: int
    n: int
    stop: bool
    reason: str
    seeds: Sequence[int]
    arms: Sequence[str]
    family: int
    spending: NotRequired[str]  # noted since there are two of them
    contrasts: Sequence[Mapping[str, object]]


class CandidateEntry(TypedDict):
    """A factor that a step of a greedy path may switch, with its mean gain and that by seed."""

    factor: str
    arm: str
    gain: float | None
    n: int
    gains: Mapping[str, float]


class StepFile(TypedDict):
    """Contents of forward-*.json and backward-*.json: the factor that a greedy path switches."""

    direction: str
    step: int
    base: str
    on: Sequence[str]
    chosen: str | None
    exploratory: bool
    candidates: Sequence[CandidateEntry]


class ChosenFile(TypedDict):
    """What is confirmed: the arm, its factors, and why it or none."""

    arm: str
    stages: Sequence[str]
    reason: str


class GridFile(TypedDict):
    """Contents of grid.json; grid.schema.json checks them."""

    study: str
    arms: list[ArmEntry]
    designs: Sequence[Notes]
    left_out: list[LeftOutEntry]
    seeds: list[int]
    runs: list[RunEntry]
    sequential: NotRequired[Sequence[LookFile]]
    greedy_path: NotRequired[Mapping[str, Sequence[StepFile]]]
