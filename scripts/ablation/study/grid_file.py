"""Contents of grid.json. It imports nothing heavy: whoever asks for a file waits for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from ablation.settings.catalogue import Settings

if TYPE_CHECKING:  # it brings all designs along
    from ablation.designs.contrast import Notes

Decision = Mapping[str, Any]  # of look-*.json, forward-*.json and backward-*.json


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
    numbers: Mapping[str, Any]
    text: Mapping[str, str]


class GridFile(TypedDict):
    """Contents of grid.json; grid.schema.json checks them."""

    study: str
    arms: list[ArmEntry]
    designs: Sequence[Notes]
    left_out: list[LeftOutEntry]
    seeds: list[int]
    runs: list[RunEntry]
    sequential: NotRequired[list[Decision]]
    greedy_path: NotRequired[Mapping[str, list[Decision]]]
