"""What is recommended was trained, surely gains, and has no step that hurts where one can tell."""

from __future__ import annotations

from dataclasses import replace

from synthetic import STUDY, build_study

from ablation.evidence.confirmation import Confirmation
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import collect
from ablation.evidence.recommendation import (
    Candidate,
    Recommendation,
    Step,
    recommend,
)
from ablation.study.grid import load_grid

FACTORS = ["a", "b", "c"]
DELTA = 0.02
CURRENT = Candidate(
    arm="current",
    variant="current",
    factors=frozenset(),
    contrast=None,
    gain=0.0,
    low=None,
    helps=False,
    values={1: 0.5, 2: 0.51, 3: 0.52},
    diverges=False,
)


def arm(on: str, gain: float, half: float = 0.01, **changes: object) -> Candidate:
    """An arm with these factors on, its gain over current and half its interval."""
    values = {seed: 0.5 + gain + 0.001 * seed * len(on) for seed in (1, 2, 3)}
    own = Candidate(
        arm=on,
        variant=on,
        factors=frozenset(on),
        contrast=f"total:{on}",
        gain=gain,
        low=gain - half,
        helps=gain > half,
        values=values,
        diverges=False,
    )
    return replace(own, **changes)


def step(factor: str, verdict: str, before: str = "") -> Step:
    return Step(contrast=f"stage:{factor}", factor=factor, on_top_of=tuple(before), verdict=verdict)


PATH = [step("a", "hurts"), step("b", "helps", "a"), step("c", "helps", "ab")]


def chosen(
    *arms: Candidate, steps: list[Step] = PATH, asked: tuple[str, ...] = ("staged",)
) -> Recommendation:
    return recommend([CURRENT, *arms], steps, FACTORS, DELTA, asked)


def test_the_arm_with_the_largest_sure_gain_is_recommended():
    found = chosen(arm("a", 0.1), arm("ab", 0.2), arm("abc", 0.3))
    assert (found.status, found.arm, found.applied) == ("recommended", "abc", "abc")
    assert found.candidates == ("a", "ab", "abc") and found.confirmation == "selected"


def test_a_larger_gain_that_is_not_surely_above_delta_is_passed_over_and_named():
    found = chosen(arm("ab", 0.1), arm("abc", 0.3, half=0.29))
    assert found.arm == "ab"
    assert [(one.arm, one.reason) for one in found.passed_over] == [("abc", "gain_open")]


def test_a_sure_gain_that_may_be_smaller_than_delta_is_not_taken_over():
    found = chosen(arm("ab", 0.025))
    assert (found.status, found.arm, found.applied) == ("size_open", "ab", "current")


def test_nothing_is_recommended_where_nothing_surely_helps():
    found = chosen(arm("ab", 0.1, half=0.2), arm("abc", -0.1))
    assert (found.status, found.arm, found.contrast) == ("nothing", "current", None)


def test_an_arm_that_is_no_better_in_the_mean_is_none_that_looks_better():
    worse, open_ = arm("a", -0.13, half=0.3), arm("ab", 0.01, half=0.3)
    found = chosen(worse, open_)
    assert found.arm == "current" and [one.arm for one in found.passed_over] == ["ab"]


def test_an_arm_that_diverges_more_than_current_is_not_recommended():
    found = chosen(arm("ab", 0.1), arm("abc", 0.3, diverges=True))
    assert found.arm == "ab" and found.passed_over[0].reason == "diverged"


def test_a_step_that_hurts_is_not_taken_over_where_an_arm_without_it_is_as_good():
    steps = [step("a", "helps"), step("b", "helps", "a"), step("c", "hurts", "ab")]
    found = chosen(arm("ab", 0.29), arm("abc", 0.3), steps=steps)
    assert found.arm == "ab"
    assert [(one.reason, one.factor) for one in found.passed_over] == [("contains_harm", "c")]
    far = chosen(arm("ab", 0.2), arm("abc", 0.3), steps=steps)
    assert far.arm == "abc"


def test_a_step_without_an_effect_that_matters_is_not_left_out_for_that_alone():
    """One of four steps of just delta is called surely smaller too often to drop it for that."""
    steps = [step("a", "helps"), step("b", "no_effect", "a")]
    found = chosen(arm("ab", 0.2), arm("a", 0.199), steps=steps)
    assert found.arm == "ab" and not found.passed_over


def test_where_no_run_leaves_out_a_step_that_hurts_the_arm_to_run_is_named():
    found = chosen(arm("a", -0.1), arm("ab", 0.1), arm("abc", 0.3))
    question = found.questions[0]
    assert (question.factor, question.verdict) == ("a", "hurts")
    assert (question.arm, question.design) == ("without-a", "leave_one_out")
    ran = chosen(arm("abc", 0.3), arm("bc", 0.1), asked=("staged", "leave_one_out"))
    assert ran.questions == ()


def test_a_step_that_helps_and_is_left_out_asks_for_its_arm_too():
    steps = [step("a", "helps"), step("b", "hurts", "a"), step("c", "helps", "ab")]
    found = chosen(arm("a", 0.3), arm("ab", 0.1), arm("abc", 0.15), steps=steps)
    assert [(one.arm, one.design) for one in found.questions] == [("without-b", "leave_one_out")]


def test_the_evidence_of_a_step_is_the_contrast_nearest_to_the_arm():
    alone = Step(contrast="only:c", factor="c", on_top_of=(), verdict="hurts")
    found = chosen(arm("abc", 0.3), steps=[*PATH, alone])
    assert [one.contrast for one in found.steps] == ["stage:a", "stage:b", "stage:c"]
    bare = chosen(arm("c", 0.3), steps=[*PATH, alone])
    assert [one.contrast for one in bare.steps] == ["only:c"]


def test_fresh_seeds_that_refute_it_take_nothing_over():
    found = chosen(arm("ab", 0.2))
    verdict = Confirmation(status="refuted", reason="not_better_than_current", variant="ab")
    assert found.seen(verdict).applied == "current"
    assert found.seen(replace(verdict, status="confirmed")).applied == "ab"
    assert found.seen(replace(verdict, variant="other")) == found
    assert found.seen(None).confirmation == "selected"


def test_every_arm_that_may_be_recommended_is_in_the_family_of_its_study(tmp_path):
    study = {**STUDY, "designs": ["one_at_a_time", "leave_one_out", "greedy_path"]}
    made = build_study(tmp_path, study=study, seeds=(1, 2, 3, 4))
    grid = load_grid(made.grid)
    effects = estimate_effects(grid, collect(grid, made.runs), study)
    pairs = {
        one.pair.arm: one.id
        for one in effects.contrasts
        if one.planned and one.pair and one.pair.reference == "current"
    }
    assert set(effects.recommendation.candidates) <= set(pairs)
    assert {"only-epochs", "without-lora_lr", "backup"} <= set(effects.recommendation.candidates)
    only_greedy = {arm.name for arm in grid.arms if arm.designs == ("greedy_path",)}
    assert only_greedy and not only_greedy & set(effects.recommendation.candidates)
    chosen = effects.by_id[effects.recommendation.contrast]
    assert chosen.evidence.size == effects.family.size > 12
    assert effects.recommendation.arm == "without-lora_lr"


def test_the_default_study_of_the_golden_files_leaves_out_the_stage_that_hurts(root):
    patch = (root / "tests/golden/default/recommended/training.patch").read_text()
    added = [line[1:].strip() for line in patch.splitlines() if line.startswith("+")]
    assert "num_train_epochs: 4" in added and "weight_decay: 0.002" in added
    assert not any(line.startswith(("r:", "lora_alpha:", "learning_rate:")) for line in added)
