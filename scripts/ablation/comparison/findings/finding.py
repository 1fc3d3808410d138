"""A finding, and the pair of configurations that findings are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ablation.comparison.resolve import Configuration, Difference, find_differences, find_silent
from ablation.dialects.reader import Value
from ablation.settings.architecture import Architecture, Facts
from ablation.settings.quantities import Bounds, DataFacts, Quantities, ratio

INFO = "info"
WARNING = "warning"
PROBLEM = "problem"
SEVERITIES = (PROBLEM, WARNING, INFO)

Side = Literal["current", "backup"]
CURRENT: Final = "current"
BACKUP: Final = "backup"
SIDES: Final[tuple[Side, ...]] = (CURRENT, BACKUP)

# The texts of a topic: finding id to language to title and text.
Texts = Mapping[str, Mapping[str, tuple[str, str]]]


@dataclass(frozen=True)
class Place:
    """Where a value that a finding rests on comes from.

    Attributes:
        side: "current" or "backup".
        setting: The canonical name; None for a key that no setting reads.
        file: The file; None for a default.
        line: The line, from 1; None for a default.
        key: The key as the file has it, or the library whose default it is.
    """

    side: str
    setting: str | None
    file: str | None
    line: int | None
    key: str | None


@dataclass(frozen=True)
class Finding:
    """A fact about two configurations that needs no training.

    Attributes:
        id: Names its title and text among the `TEXTS` of its topic.
        severity: "problem" (the comparison cannot mean what it seems to), "warning" (a reader
            would be misled) or "info".
        evidence: The numbers and names that the texts show.
        settings: The canonical settings that it is about.
        places: Where their values come from.
    """

    id: str
    severity: str
    evidence: Mapping[str, object]
    settings: tuple[str, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Pair:
    """Two configurations with all that is computed of them.

    Attributes:
        sides: The resolved configurations by side.
        quantities: What they amount to, by side.
        plan: What is known of the data.
        architecture: The model; None where its facts are not known.
        stages: Setting to the stage that changes it; None without a study.
        texts: The text values of each side's file, with their place.
        allow_remote_code: Whether the study lets a model's own code run; None without a study.
        facts: What is known of the model's config.json.
    """

    sides: Mapping[str, Configuration]
    quantities: Mapping[str, Quantities]
    plan: DataFacts
    architecture: Architecture | None
    stages: Mapping[str, str] | None
    texts: Mapping[str, Sequence[tuple[Place, str]]]
    allow_remote_code: bool | None = None
    facts: Facts = field(default_factory=dict)

    def setting(self, side: str, name: str) -> Value | None:
        """A setting of one side with its place; None where the side has none."""
        return self.sides[side].readable.get(name)

    def value(self, side: str, name: str) -> Any:
        """The value of a setting of one side."""
        found = self.setting(side, name)
        return None if found is None else found.value

    def both(self, name: str) -> tuple[Any, Any]:
        """The values of a setting: current, backup."""
        return self.value(CURRENT, name), self.value(BACKUP, name)

    def differs(self, *names: str) -> bool:
        """Whether the sides disagree about any of the settings."""
        return any(current != backup for current, backup in map(self.both, names))

    def amounts(self, name: str) -> tuple[float | None, float | None]:
        """A quantity: current, backup."""
        return self.quantities[CURRENT].get(name), self.quantities[BACKUP].get(name)

    def factor(self, name: str) -> float | None:
        """Backup over current in a quantity; None unless it is exact."""
        low, high = self.bounds(name)
        return low if low == high else None

    def bounds(self, name: str) -> Bounds:
        """Bounds of backup over current in a quantity."""
        if not all(self.quantities[side].knows(name) for side in SIDES):
            return None, None
        return ratio(self.quantities[CURRENT], self.quantities[BACKUP], name)

    def differences(self) -> list[Difference]:
        """Where the effective values differ."""
        return find_differences(self.sides[CURRENT], self.sides[BACKUP])

    def silent(self) -> list[Difference]:
        """The held settings that only one side mentions."""
        return find_silent(self.sides[CURRENT], self.sides[BACKUP])

    def places(self, *names: str, side: str | None = None) -> tuple[Place, ...]:
        """Where the settings' values come from, repeated keys included."""
        sides = (side,) if side else SIDES
        return tuple(place for name in names for one in sides for place in self._places(one, name))

    def _places(self, side: str, name: str) -> Iterator[Place]:
        found = self.setting(side, name)
        if found is not None:
            yield Place(side, name, found.file, found.line, found.key)
            for key, line, file in found.also:
                yield Place(side, name, file, line, key)

    def find(
        self,
        name: str,
        severity: str,
        evidence: Mapping[str, object],
        settings: Sequence[str],
        side: str | None = None,
        places: Sequence[Place] | None = None,
    ) -> Finding:
        """A finding whose places are those of its settings, on both sides unless one is named."""
        found = self.places(*settings, side=side) if places is None else tuple(places)
        if side is not None:
            evidence = {"side": side, "file": self.sides[side].file, **evidence}
        return Finding(name, severity, evidence, tuple(settings), found)


def pairwise_evidence(name: str, values: Sequence[Any]) -> dict[str, object]:
    """Evidence `current_<name>` and `backup_<name>`."""
    return {f"{side}_{name}": value for side, value in zip(SIDES, values, strict=True)}
