"""Which measured arm to recommend."""

from __future__ import annotations

from ablation.evidence.effects import Effect, Effects
from ablation.study.grid import CURRENT

OF_THE_PATH = ("stage", "total", "gap")


def recommended_arm(effects: Effects) -> str:
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
    variants = {arm.arm: arm.variant for arm in effects.arms}
    found: dict[str, Effect] = {}
    for one in effects.of_role(*OF_THE_PATH):
        if one.pair is not None and one.pair.reference == CURRENT:
            variant = variants[one.pair.arm]
            known = found.get(variant)
            if known is None or (one.planned and not known.planned):
                found[variant] = one
    sure = {
        one.pair.arm: one.improvement.estimate
        for one in found.values()
        if one.pair and one.impact.is_gain
    }
    return max(sure, key=sure.__getitem__, default=CURRENT)
