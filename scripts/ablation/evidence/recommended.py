"""Which measured arm to recommend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablation.evidence.claims import is_decided_gain
from ablation.study.grid import CURRENT

OF_THE_PATH = ("stage", "total", "gap")


def recommended_arm(effects: Mapping[str, Any]) -> str:
    """The arm to recommend: the one that gains most over current, where the gain is sure.

    Only arms of the staged path are recommended: a set of stages that no run has seen is a guess,
    and what another design happened to try was not meant to be taken over. A gain is sure when its
    contrast is decided to help by an amount that matters; where an arm, or another of the same
    runs, has a planned contrast with current, that one counts, because it is corrected over the
    study's comparisons. `current` where no arm's gain is sure. Several stages together are tested
    alone, so that the choice is to be confirmed on fresh seeds.

    Args:
        effects: The contents of effects.json.
    """
    variants = {arm["arm"]: arm["variant"] for arm in effects["arms"]}
    found: dict[str, Mapping[str, Any]] = {}
    for contrast in effects["contrasts"]:
        if contrast["reference"] == CURRENT and contrast["kind"] in OF_THE_PATH:
            variant = variants[contrast["arm"]]
            known = found.get(variant)
            if known is None or (contrast["planned"] and not known["planned"]):
                found[variant] = contrast
    sure = {
        contrast["arm"]: contrast["improvement"]["estimate"]
        for contrast in found.values()
        if is_decided_gain(contrast)
    }
    return max(sure, key=sure.__getitem__, default=CURRENT)
