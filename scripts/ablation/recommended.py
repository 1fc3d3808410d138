"""Which measured arm to recommend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablation.grid import CURRENT


def recommended_arm(effects: Mapping[str, Any]) -> str:
    """The arm to recommend: the one that gains most over current, where the gain is sure.

    Only arms that were trained are recommended: a set of stages that no run has seen is a guess.
    A gain is sure when its interval excludes zero. `current` where no arm's gain is.

    Args:
        effects: The contents of effects.json.
    """
    sure = {
        contrast["arm"]: contrast["improvement"]["estimate"]
        for contrast in effects["contrasts"]
        if contrast["reference"] == CURRENT
        and contrast["improvement"]["low"] is not None
        and contrast["improvement"]["low"] > 0
    }
    return max(sure, key=sure.__getitem__, default=CURRENT)
