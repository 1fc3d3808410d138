"""Whether the runs of a grid were made of the same things, and which cannot be compared for it.

Each run is held against what most runs of the grid were made with. Where a run differs in what is
known to train otherwise, or learned from other data, it is left out of all comparisons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablation.comparison.findings.versions import BEHAVIORS, Behavior
from ablation.comparison.versions import Version
from ablation.settings.catalogue import Settings
from ablation.study.run_metrics import Environment

# What must be the same for two runs to be of one experiment, and what usually may differ.
MATERIAL = ("data", "model")
CODE = ("code_commit", "lock")
VERSIONS = "versions."


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What one run was made of.

    Attributes:
        variant: Its variant.
        seed: Its seed.
        settings: The settings of its arm.
        facts: What it was made with, by name; without what is not known.
    """

    variant: str
    seed: int
    settings: Settings
    facts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that a run was made with, and most runs of the grid were not.

    Attributes:
        name: What it is, as metrics.json names it; a library's name.
        found: The run's.
        usual: That of most runs.
        behavior: What is known to differ between the two releases, with the arm's settings.
    """

    name: str
    found: str
    usual: str
    behavior: Behavior | None = None

    @property
    def forbids(self) -> bool:
        """Whether the run cannot be compared with the others."""
        return self.behavior is not None or self.name in MATERIAL


def origin_of(variant: str, seed: int, settings: Settings, made: Environment) -> Origin:
    """What a finished run was made of.

    Args:
        variant: Its variant.
        seed: Its seed.
        settings: The settings of its arm.
        made: What it was made with.
    """
    facts = {
        "data": made.data,
        "model": made.model,
        "device": made.device,
        "device_name": made.device_name,
        "code_commit": made.code_commit,
        "lock": made.lock,
        **{f"{VERSIONS}{name}": number for name, number in made.versions.items()},
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return Origin(variant=variant, seed=seed, settings=settings, facts=known)


def usual_facts(origins: Sequence[Origin]) -> dict[str, str]:
    """What most runs were made with; of equally many, what the first of them were."""
    names = dict.fromkeys(name for origin in origins for name in origin.facts)
    return {
        name: Counter(o.facts[name] for o in origins if name in o.facts).most_common(1)[0][0]
        for name in names
    }


def differences(origin: Origin, usual: Mapping[str, str]) -> Iterator[Difference]:
    """What a run was made with that most were not."""
    for name, found in origin.facts.items():
        if found != usual[name]:
            library = name.removeprefix(VERSIONS)
            yield Difference(
                name=library,
                found=found,
                usual=usual[name],
                behavior=_changed(library, (found, usual[name]), origin.settings)
                if name.startswith(VERSIONS)
                else None,
            )


def _changed(library: str, numbers: tuple[str, str], settings: Settings) -> Behavior | None:
    """What one of two releases is known to do otherwise with these settings."""
    first, second = (
        Version(library=library, number=number, file="", line=None) for number in numbers
    )
    for one in BEHAVIORS:
        reaches = one.library == library and one.concerns(settings.get)
        if reaches and one.holds(first) != one.holds(second):
            return one
    return None


def incomparable(origins: Sequence[Origin]) -> set[tuple[str, int]]:
    """The variant and seed of each run that is left out of all comparisons."""
    usual = usual_facts(origins)
    return {
        (origin.variant, origin.seed)
        for origin in origins
        if any(one.forbids for one in differences(origin, usual))
    }
