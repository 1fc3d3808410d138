"""What is recommended was trained, and surely gains."""

from __future__ import annotations

from ablation.recommended import recommended_arm


def contrast(arm: str, estimate: float, low: float | None, reference: str = "current") -> dict:
    return {
        "arm": arm,
        "reference": reference,
        "improvement": {"estimate": estimate, "low": low},
    }


def test_the_arm_with_the_largest_sure_gain_is_recommended():
    contrasts = [contrast("stage1-a", 0.1, 0.05), contrast("backup", 0.3, 0.2)]
    assert recommended_arm({"contrasts": contrasts}) == "backup"


def test_a_larger_gain_that_is_not_sure_is_not():
    contrasts = [contrast("stage1-a", 0.1, 0.05), contrast("backup", 0.3, -0.1)]
    assert recommended_arm({"contrasts": contrasts}) == "stage1-a"


def test_a_step_of_the_path_is_not_a_gain_over_current():
    step = contrast("backup", 0.3, 0.2, reference="stage1-a")
    assert recommended_arm({"contrasts": [step]}) == "current"


def test_without_intervals_nothing_is_sure():
    assert recommended_arm({"contrasts": [contrast("backup", 0.3, None)]}) == "current"
