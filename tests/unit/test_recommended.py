"""What is recommended was trained, lies on the staged path, and surely gains."""

from __future__ import annotations

from types import SimpleNamespace

from ablation.evidence.claims import Impact
from ablation.evidence.recommended import recommended_arm


def contrast(
    arm: str,
    estimate: float,
    direction: str = "helps",
    *,
    kind: str = "total",
    level: str = "HIGH",
    reference: str = "current",
) -> SimpleNamespace:
    return SimpleNamespace(
        role=kind,
        planned=kind != "total",
        pair=SimpleNamespace(arm=arm, reference=reference),
        improvement=SimpleNamespace(estimate=estimate),
        impact=Impact(level, (level,), direction, False, None),
    )


def recommend(*contrasts: SimpleNamespace, same: dict[str, str] | None = None) -> str:
    """The recommended arm; `same` names the arms that are the same runs as another."""
    names = {name for c in contrasts for name in (c.pair.arm, c.pair.reference)}
    arms = [SimpleNamespace(arm=name, variant=(same or {}).get(name, name)) for name in names]
    effects = SimpleNamespace(
        arms=arms, of_role=lambda *roles: [c for c in contrasts if c.role in roles]
    )
    return recommended_arm(effects)


GAP = contrast("backup", 0.3, kind="gap")


def test_the_arm_with_the_largest_sure_gain_is_recommended():
    assert recommend(contrast("stage1-a", 0.1), GAP) == "backup"


def test_a_larger_gain_that_is_not_sure_is_not():
    open_gap = contrast("backup", 0.3, "unclear", kind="gap", level="undecided")
    assert recommend(contrast("stage1-a", 0.1), open_gap) == "stage1-a"


def test_a_step_of_the_path_is_not_a_gain_over_current():
    step = contrast("backup", 0.3, kind="stage", reference="stage1-a")
    assert recommend(step) == "current"


def test_a_sure_gain_that_does_not_matter_is_not_recommended():
    small = contrast("backup", 0.001, kind="gap", level="NONE")
    assert recommend(small) == "current"


def test_arms_of_other_designs_are_not_recommended():
    kinds = ("only", "greedy", "tuning", "a_a", "equal_compute")
    others = [contrast(kind, 0.9, kind=kind) for kind in kinds]
    assert recommend(*others, GAP) == "backup"


def test_the_corrected_contrast_counts_where_an_arm_has_both():
    total = contrast("stage1-a", 0.1)
    step = contrast("stage1-a", 0.1, "unclear", kind="stage", level="undecided")
    for order in ([total, step], [step, total]):
        assert recommend(*order) == "current"


def test_the_corrected_contrast_counts_for_every_arm_of_the_same_runs():
    """Without a remainder, the last stage is the backup, and its total is the gap."""
    total = contrast("stage2-b", 0.1)
    gap = contrast("backup", 0.1, "unclear", kind="gap", level="undecided")
    same = {"stage2-b": "backup"}
    for order in ([total, gap], [gap, total]):
        assert recommend(*order, same=same) == "current"
    assert recommend(total, GAP, same=same) == "backup"
