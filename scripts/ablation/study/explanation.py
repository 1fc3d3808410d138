"""What is said of two configurations before any training: the contents of findings.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import NotRequired, TypedDict

from ablation.comparison.findings.finding import Side
from ablation.comparison.kind import Kind
from ablation.study.options import ByLanguage

SCHEMA_VERSION = 1


class PlaceSaid(TypedDict):
    """Where a value stands; a default has a library in place of a key, and no file."""

    file: str | None
    line: int | None
    key: str | None
    setting: NotRequired[str | None]
    side: NotRequired[Side]


class ValueSaid(PlaceSaid):
    """A value of one side, with the other places that repeat it."""

    value: object
    origin: str
    note: str | None
    also: Sequence[PlaceSaid]


def lines_by_file(
    places: Iterable[PlaceSaid], names: Mapping[str, str] | None = None
) -> dict[str, list[int]]:
    """The lines in which places stand, each once, in their order, by what the file is called.

    Args:
        places: The places; those of defaults stand in no file.
        names: What to call each file, where not by its name.
    """
    lines: dict[str, dict[int, None]] = {}
    for place in places:
        if (file := place["file"]) and place["line"] is not None:
            name = (names or {}).get(file) or PurePath(file).name
            lines.setdefault(name, {})[place["line"]] = None
    return {name: list(numbers) for name, numbers in lines.items()}


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


class KindSaid(Kind):
    """The kind of training, with its name in each language."""

    text: ByLanguage


class VersionSaid(TypedDict):
    """A release that a file tells."""

    library: str
    number: str
    file: str
    line: int | None


class VersionsSaid(TypedDict):
    """The releases that a side `told`, and those `assumed` for the rest."""

    told: Sequence[VersionSaid]
    assumed: Mapping[str, str]


class DataSaid(TypedDict):
    """What is known of the rows."""

    origin: str
    profile: str | None
    rows: int | None
    pool: int | None
    num_labels: int | None
    num_labels_from: str | None
    longest: int | None


class ModelSaid(TypedDict):
    """Facts of the model, or which are `missing`."""

    missing: Sequence[str]
    layers: int | None
    family: NotRequired[str]
    counted_exactly: NotRequired[bool]
    hidden: NotRequired[int]
    parameters: NotRequired[int | None]
    parameters_per_layer: NotRequired[int | None]
    recomputed_share: NotRequired[float]


class ClaimSaid(TypedDict):
    """A statement that arithmetic decides, in the shape of measured ones."""

    id: str
    quantity: str
    contrast: str
    unit: str
    low: float | None
    high: float | None
    beyond: str
    decided_by: str
    arm: str
    reference: str | None
    arm_value: float | None
    reference_value: float | None
    estimate: float | None
    interval_low: float | None
    interval_high: float | None
    n: None
    no_interval: None
    verdict: str
    seeds_to_decide: None
    text: ByLanguage | None
    source: str | None


class Explanation(TypedDict):
    """The whole of it; what has two sides is by side.

    Attributes:
        study: Its name; None for two bare files.
        speaks_for: The keys by which the dialect was recognized.
        not_read: Why it cannot be said that nothing differs, where no difference is known.
        silent: Differences of what has no effect as far as is known.
        memory: The parts of a device's memory.
        curves: The learning rate at shares of the run.
        claims: Those that arithmetic decides.
    """

    schema_version: int
    study: str | None
    files: Mapping[Side, str]
    dialects: Mapping[Side, str]
    kinds: Mapping[Side, KindSaid]
    versions: Mapping[Side, VersionsSaid]
    speaks_for: Mapping[Side, Sequence[str]]
    not_read: Sequence[str]
    data: DataSaid
    architecture: ModelSaid
    differences: Sequence[DifferenceSaid]
    silent: Sequence[DifferenceSaid]
    quantities: Sequence[QuantitySaid]
    memory: Mapping[Side, Sequence[Mapping[str, object]]]
    curves: Mapping[Side, Mapping[str, Sequence[float]]]
    findings: Sequence[FindingSaid]
    claims: Sequence[ClaimSaid]
