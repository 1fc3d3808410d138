"""Which arms are compared: arm minus reference, out of grid.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ablation.errors import UserError

CURRENT, BACKUP, REMAINDER = "current", "backup", "remainder"
STAGE, GAP, TOTAL, ONLY, WITHOUT = "stage", "gap", "total", "only", "without"
GREEDY, TUNING, A_A = "greedy", "tuning", "a_a"
EQUAL_COMPUTE, COMPUTE_ALONE = "equal_compute", "compute_alone"

# Planned before any result and read as evidence: they share the error of the study. The others
# describe (totals), check (controls) or explore (greedy path, tuning).
PLANNED = (STAGE, REMAINDER, GAP, ONLY, WITHOUT)


@dataclass(frozen=True)
class Contrast:
    """Two arms to compare: arm minus reference.

    Attributes:
        id: Its kind and what it is about: "stage:epochs", "only:epochs", "gap".
        kind: One of the kinds above.
        design: The design that it belongs to.
        stage: The stage or factor that it is about.
        settings: The settings in which the arms differ.
        identical: Whether both arms are the same runs.
    """

    id: str
    kind: str
    arm: str
    reference: str
    stage: str | None
    settings: tuple[str, ...]
    identical: bool
    design: str = "staged"

    @property
    def planned(self) -> bool:
        """Whether it shares the error of the study: an arm against itself is zero anyhow."""
        return self.kind in PLANNED and not self.identical


def path_arms(grid: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The arms of the staged path in order: current, the stages, backup."""
    arms = list(grid["arms"])
    named = {arm["arm"]: arm for arm in arms}
    for end in (CURRENT, BACKUP):
        if end not in named:
            raise UserError(f"the grid has no arm {end}", found=sorted(named), allowed=[CURRENT])
    stages = [arm for arm in arms if arm["kind"] == STAGE]
    return [named[CURRENT], *stages, named[BACKUP]]


def facts_of(grid: Mapping[str, Any], design: str) -> Mapping[str, Any] | None:
    """What grid.json says of one of the study's designs; None where the study has not got it."""
    return next((d for d in grid.get("designs") or [] if d["design"] == design), None)


def cells_of(grid: Mapping[str, Any], design: str) -> dict[frozenset[str], Mapping[str, Any]]:
    """The arms of a design by the set of factors that is switched on."""
    return {
        frozenset(arm["stages"]): arm for arm in grid["arms"] if design in (arm.get("design") or ())
    }


def contrasts_of(grid: Mapping[str, Any]) -> list[Contrast]:
    """The staged path first (steps, remainder, gap, totals), then those of the other designs."""
    return [
        *_of_path(grid),
        *_singles(grid, "one_at_a_time", ONLY),
        *_singles(grid, "leave_one_out", WITHOUT),
        *_greedy(grid),
        *_tuning(grid),
        *_controls(grid),
    ]


def _of_path(grid: Mapping[str, Any]) -> list[Contrast]:
    """Stages against the arm before, remainder, whole gap, and each stage arm against current."""
    path = path_arms(grid)
    found = []
    for before, arm in pairwise(path):
        last = arm is path[-1]
        name = REMAINDER if last else f"stage:{arm['stage']}"
        found.append(_contrast(name, REMAINDER if last else STAGE, arm, before, arm.get("stage")))
    found.append(_contrast(GAP, GAP, path[-1], path[0]))
    found += [
        _contrast(f"total:{arm['arm']}", TOTAL, arm, path[0], arm.get("stage"))
        for arm in path[1:-1]
    ]
    return found


def _contrast(
    name: str,
    kind: str,
    arm: Mapping[str, Any],
    reference: Mapping[str, Any],
    stage: str | None = None,
    design: str = "staged",
) -> Contrast:
    return Contrast(
        name,
        kind,
        arm["arm"],
        reference["arm"],
        stage,
        tuple(_own_settings(arm, reference)),
        arm["variant"] == reference["variant"] and "seeds" not in arm,
        design,
    )


def _own_settings(arm: Mapping[str, Any], reference: Mapping[str, Any]) -> Sequence[str]:
    if not arm.get("settings") or not reference.get("settings"):
        before = reference.get("changed") or []
        return [setting for setting in arm.get("changed") or [] if setting not in before]
    here, there = arm["settings"], reference["settings"]
    return [name for name in here if here[name] != there.get(name)]


def _singles(grid: Mapping[str, Any], design: str, kind: str) -> list[Contrast]:
    """Each factor alone against none, or all factors against all but this one."""
    facts, found = facts_of(grid, design), []
    if facts is None:
        return []
    arms, every = cells_of(grid, design), frozenset(facts["factors"])
    for name in facts["factors"]:
        alone = frozenset([name]), frozenset()
        high, low = alone if kind == ONLY else (every, every - {name})
        if high in arms and low in arms:
            found.append(_contrast(f"{kind}:{name}", kind, arms[high], arms[low], name, design))
    return found


def _greedy(grid: Mapping[str, Any]) -> list[Contrast]:
    """The steps of the greedy paths so far, each as what switching its factor on does."""
    facts, found = facts_of(grid, "greedy_path"), []
    named = {arm["arm"]: arm for arm in grid["arms"]}
    for direction, steps in ((facts or {}).get("paths") or {}).items():
        before = named[CURRENT if direction == "forward" else _full(grid, facts)]
        for step in steps:
            after = named.get(step["arm"])
            if after is None:
                break
            high, low = (after, before) if direction == "forward" else (before, after)
            name = f"greedy:{direction}:{step['factor']}"
            found.append(_contrast(name, GREEDY, high, low, step["factor"], "greedy_path"))
            before = after
    return found


def _full(grid: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    arm = cells_of(grid, "greedy_path").get(frozenset(facts["factors"]))
    return arm["arm"] if arm else BACKUP


def _tuning(grid: Mapping[str, Any]) -> list[Contrast]:
    facts = facts_of(grid, "grid")
    if facts is None:
        return []
    named = {arm["arm"]: arm for arm in grid["arms"]}
    base = named[facts["base"]]
    arms = [named[name] for name in facts["arms"] if name != facts["base"]]
    return [_contrast(f"tuning:{a['arm']}", TUNING, a, base, design="grid") for a in arms]


def _controls(grid: Mapping[str, Any]) -> list[Contrast]:
    """A/A, and each step split into its effect at equal compute and what compute alone does."""
    named = {arm["arm"]: arm for arm in grid["arms"]}
    found = []
    if A_A in named:
        found.append(_contrast(A_A, A_A, named[A_A], named[CURRENT], design=A_A))
    for control in (facts_of(grid, "compute_matched") or {}).get("controls", []):
        if not all(control[key] in named for key in ("arm", "before", "control")):
            continue
        step, matched = control["step"], named[control["control"]]
        for kind, high, low in (
            (EQUAL_COMPUTE, named[control["arm"]], matched),
            (COMPUTE_ALONE, matched, named[control["before"]]),
        ):
            found.append(_contrast(f"{kind}:{step}", kind, high, low, step, "compute_matched"))
    return found
