"""What is said of two configurations before any training: the contents of findings.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from ablation.comparison.findings.finding import Side

ByLanguage = Mapping[str, str]


class PlaceSaid(TypedDict):
    """Where a value stands; a default has a library in place of a key, and no file."""

    file: str | None
    line: int | None
    key: str | None
    setting: NotRequired[str | None]


class ValueSaid(PlaceSaid):
    """A value of one side, with the other places that repeat it."""

    value: object
    origin: str
    note: str | None
    also: Sequence[PlaceSaid]


DifferenceSaid = TypedDict(
    "DifferenceSaid",
    {
        "setting": str,
        "class": str,
        "held": bool,
        "current": ValueSaid,
        "backup": ValueSaid,
        "stage": str | None,
    },
)


class QuantitySaid(TypedDict):
    """What the settings amount to on both sides, with the bounds of their ratio."""

    name: str
    unit: str
    label: ByLanguage
    formula: ByLanguage
    current: float | None
    backup: float | None
    at_most: Sequence[Side]
    ratio_low: float | None
    ratio_high: float | None


class FindingSaid(TypedDict):
    """A finding, in each language."""

    id: str
    severity: str
    evidence: Mapping[str, object]
    settings: Sequence[str]
    places: Sequence[PlaceSaid]
    title: ByLanguage
    text: ByLanguage


class Explanation(TypedDict):
    """The whole of it; what has two sides is by side.

    Attributes:
        study: Its name; None for two bare files.
        kinds: The kind of training: `objective`, `method` and their `text` by language.
        versions: Releases that a side `told`, and those `assumed` for the rest.
        speaks_for: The keys by which the dialect was recognized.
        not_read: Why it cannot be said that nothing differs, where no difference is known.
        data: What is known of the rows.
        architecture: Facts of the model, or which are `missing`.
        silent: Differences of what has no effect as far as is known.
        memory: The parts of a device's memory.
        curves: The learning rate at shares of the run.
        claims: Those that arithmetic decides.
    """

    schema_version: int
    study: str | None
    files: Mapping[Side, str]
    dialects: Mapping[Side, str]
    kinds: Mapping[Side, Mapping[str, Any]]
    versions: Mapping[Side, Mapping[str, Any]]
    speaks_for: Mapping[Side, Sequence[str]]
    not_read: Sequence[str]
    data: Mapping[str, Any]
    architecture: Mapping[str, Any]
    differences: Sequence[DifferenceSaid]
    silent: Sequence[DifferenceSaid]
    quantities: Sequence[QuantitySaid]
    memory: Mapping[Side, Sequence[Mapping[str, object]]]
    curves: Mapping[Side, Mapping[str, Sequence[float]]]
    findings: Sequence[FindingSaid]
    claims: Sequence[Mapping[str, Any]]
