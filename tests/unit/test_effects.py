from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from synthetic import STUDY, build_study

from ablation.errors import UserError
from ablation.evidence.effects import Effect, Effects, load_effects, save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import collect
from ablation.evidence.outcomes import long_table, quantities
from ablation.evidence.stability import Divergences
from ablation.study.grid import load_grid

ALL = ("current", "stage1-lora_lr", "stage2-epochs", "stage3-regularisation", "backup")


def effects_of(root: Path, study=STUDY, **kwargs) -> Effects:
    made = build_study(root, study=study, **kwargs)
    grid = load_grid(made.grid)
    found = estimate_effects(grid, collect(grid, made.runs), study)
    save_effects(found, root / "effects.json")
    assert load_effects(root / "effects.json") == found
    return found


def by_id(effects: Effects) -> dict[str, Effect]:
    return effects.by_id


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Effects:
    return effects_of(tmp_path_factory.mktemp("complete"), seeds=(1, 2, 3, 4))


def test_planted_effects_are_found_within_their_intervals(complete):
    found = by_id(complete)
    for name, planted in (("stage:lora_lr", -0.08), ("stage:epochs", 0.19)):
        improvement = found[name].improvement
        assert improvement.low - 0.01 <= planted <= improvement.high + 0.01
        assert improvement.n == 4
    assert found["stage:lora_lr"].impact.direction == "hurts"
    assert found["stage:epochs"].impact.level == "HIGH"


def test_the_steps_of_the_path_add_up_to_the_gap(complete):
    found = by_id(complete)
    steps = complete.path
    total = sum(step.improvement.estimate for step in steps)
    assert total == pytest.approx(found["gap"].improvement.estimate, abs=1e-12)
    assert sum(step.share.estimate for step in steps) == pytest.approx(1.0)


def test_every_difference_belongs_to_exactly_one_step(complete):
    steps = complete.path
    settings = [name for step in steps for name in step.settings]
    assert sorted(settings) == sorted(by_id(complete)["gap"].settings)
    assert len(settings) == len(set(settings))


def test_causes_are_ranked_by_size_whatever_the_sign(complete):
    assert complete.ranking[:2] == ("stage:epochs", "stage:lora_lr")


def test_a_bundle_refutes_no_single_setting(complete):
    verdicts = {claim.setting: claim.verdict for claim in complete.claims.impact}
    assert verdicts["lora.r"] == "not_separated"  # its stage hurts, but by the sum of three
    assert verdicts["num_train_epochs"] == "confirmed"


def test_claims_in_numbers_carry_estimate_interval_and_n(complete):
    claims = {claim.id: claim for claim in complete.claims.statements}
    accuracy = claims["accuracy"]
    assert accuracy.verdict == "confirmed"
    assert accuracy.interval_low < accuracy.estimate < accuracy.interval_high
    assert accuracy.n == 4


def test_a_time_has_no_interval_over_seeds_and_a_claim_on_it_is_judged_by_all_of_them(tmp_path):
    """Seen: the same steps took 32, 40, 19 and 18 s, and "about 241 seeds more would decide"."""
    made = build_study(tmp_path, seeds=(1, 2, 3, 4))
    grid = load_grid(made.grid)
    runs = collect(grid, made.runs)

    def told(*times: float):
        for arm, values in (("current", (10.0,) * 4), ("stage3-regularisation", times)):
            runs.loc[runs["arm"] == arm, "cost.train_runtime"] = values
        found = estimate_effects(grid, runs, STUDY).claims.statements
        return next(claim for claim in found if claim.id == "time")

    busy = told(32.0, 40.0, 19.0, 18.0)
    assert busy.estimate == pytest.approx((3.2 * 1.9) ** 0.5)  # the median
    assert (busy.interval_low, busy.interval_high) == pytest.approx((1.8, 4.0))
    assert (busy.verdict, busy.no_interval, busy.seeds_to_decide) == (
        "undecided",
        "of_machine",
        None,
    )
    assert told(28.0, 29.0, 31.0, 32.0).verdict == "confirmed"
    assert told(17.6, 20.8, 18.0, 19.0).verdict == "refuted"


def test_a_claim_on_roughness_needs_both_scales_to_agree(complete, tmp_path):
    claim = next(c for c in complete.claims.statements if c.quantity == "loss_roughness")
    made = build_study(tmp_path, seeds=(1, 2, 3, 4))
    grid = load_grid(made.grid)
    runs = collect(grid, made.runs)
    of_stages = runs["arm"] == "stage3-regularisation"
    for column, factor in (("loss_roughness", 0.4), ("loss_noise", 1.3)):
        name = f"optimisation.{column}"
        current = runs.loc[runs["arm"] == "current", name].to_numpy()
        runs.loc[of_stages, name] = current * [0.999 * factor, factor, 1.001 * factor, factor]
    found = estimate_effects(grid, runs, STUDY).claims.statements
    other = next(c for c in found if c.id == claim.id)
    assert (other.verdict, other.no_interval, other.seeds_to_decide) == (
        "undecided",
        "scales",
        None,
    )
    runs["optimisation.loss_noise"] = runs["optimisation.loss_roughness"]
    found = estimate_effects(grid, runs, STUDY).claims.statements
    assert next(c for c in found if c.id == claim.id).verdict == "confirmed"


def test_a_contrast_uses_the_seeds_both_arms_have(tmp_path):
    missing = [("stage2-epochs", 1), ("backup", 3)]
    found = effects_of(tmp_path, missing=missing)
    contrasts = by_id(found)
    assert contrasts["stage:epochs"].improvement.seeds == (2, 3)
    assert contrasts["stage:lora_lr"].improvement.seeds == (1, 2, 3)
    assert contrasts["gap"].improvement.seeds == (1, 2)
    assert {(run.arm, run.seed) for run in found.missing} == set(missing)


def test_a_diverged_run_counts_as_no_accuracy_and_has_no_loss(tmp_path):
    found = effects_of(tmp_path, diverged=[("stage1-lora_lr", 2)])
    arm = next(arm for arm in found.arms if arm.arm == "stage1-lora_lr")
    assert arm.diverged == (2,)
    assert arm.means["eval_accuracy"].values[2] == 0.0
    assert 2 not in arm.means["eval_loss"].values
    assert 2 not in arm.means["train_runtime"].values
    assert [run.seed for run in found.diverged] == [2]


def test_a_backup_that_always_diverges_under_a_loss_is_no_small_effect(tmp_path):
    """Seen: a mean made of other arms' worst loss, "NONE: no effect that matters"."""
    metric = {"name": "eval_loss", "higher_is_better": False, "delta": 0.5}
    study = {**STUDY, "metric": metric, "claims": {}, "sequential": {"looks": [3, 5]}}
    lost = [("backup", seed) for seed in (1, 2, 3)]
    found = effects_of(tmp_path, study=study, diverged=lost)
    gap = found.gap
    assert (gap.impact.level, gap.impact.direction) == ("DIVERGES", "hurts")
    assert not gap.evidence.equivalent and gap.improvement.estimate is None
    assert (gap.odds.wins, gap.odds.losses) == (0, 3)
    assert gap.pair.stability.divergences == Divergences(3, 0, 3, 0.25)
    assert found.ranking[0] == "remainder"
    stopped = {one.id: one.decision.reason for one in found.sequential.contrasts}
    assert stopped["gap"] == "diverged" and found.recommendation.arm != "backup"


def test_runs_that_are_missing_bound_the_mean(tmp_path):
    found = effects_of(tmp_path, missing=[("stage2-epochs", 1), ("stage2-epochs", 2)])
    step = found.by_id["stage:epochs"]
    low, high = step.pair.if_missing
    assert step.pair.missing == 2 and step.improvement.n == 1
    assert low < 0 < step.improvement.estimate < high
    assert found.gap.pair.missing == 0 and found.gap.pair.if_missing is None


def test_the_bound_holds_where_the_worst_runs_are_those_that_are_missing(tmp_path):
    """The mean of the others is then too good, and nothing in them tells."""
    seeds = (1, 2, 3, 4, 5, 6)
    whole = effects_of(tmp_path / "whole", seeds=seeds).by_id["stage:epochs"]
    worst = sorted(whole.values, key=whole.values.__getitem__)[:2]
    lost = [("stage2-epochs", seed) for seed in worst]
    found = effects_of(tmp_path / "lost", seeds=seeds, missing=lost).by_id["stage:epochs"]
    low, high = found.pair.if_missing
    assert found.improvement.estimate > whole.improvement.estimate
    assert low < whole.improvement.estimate < high and found.pair.missing == 2


def test_a_collapsed_seed_is_named_with_the_median(tmp_path):
    study = copy.deepcopy(STUDY)
    made = build_study(tmp_path, study=study, seeds=(1, 2, 3, 4))
    grid = load_grid(made.grid)
    runs = collect(grid, made.runs)
    own = (runs["arm"] == "stage2-epochs") & (runs["seed"] == 3)
    runs.loc[own, "quality.selected.eval_accuracy"] = 0.1
    found = estimate_effects(grid, runs, study)
    assert [(one.arm, one.seed, one.value) for one in found.collapsed] == [
        ("stage2-epochs", 3, 0.1)
    ]
    step = found.by_id["stage:epochs"]
    assert step.median == pytest.approx(0.19, abs=0.02) and step.improvement.estimate < 0.1


def test_a_metric_at_its_ceiling_is_told(tmp_path):
    effects = {"epochs": 0.45}
    assert effects_of(tmp_path, effects=effects, noise=0.0001).at_ceiling
    assert not effects_of(tmp_path / "b", effects={"epochs": 0.2}).at_ceiling


def test_one_seed_gives_estimates_without_intervals_and_no_level(tmp_path):
    gap = by_id(effects_of(tmp_path, seeds=(1,)))["gap"]
    assert gap.improvement.no_interval == "one_seed"
    assert gap.impact.level == "undecided"


def test_no_run_at_all_still_gives_effects(tmp_path):
    runs = [(arm, seed) for arm in ALL for seed in (1, 2, 3)]
    found = effects_of(tmp_path, missing=runs)
    assert len(found.missing) == 15
    assert by_id(found)["gap"].improvement.n == 0


def test_noise_makes_no_share_of_the_gap(tmp_path):
    nothing = dict.fromkeys(("lora_lr", "epochs", "regularisation", "remainder"), 0.0)
    found = effects_of(tmp_path, effects=nothing, noise=0.05)
    assert all(contrast.share is None for contrast in found.contrasts)


def test_arms_with_one_variant_differ_by_exactly_zero(tmp_path):
    study = copy.deepcopy(STUDY)
    made = build_study(tmp_path, study=study)
    grid = load_grid(made.grid)
    backup = grid.arms[-1]
    twin = replace(grid.arms[-2], settings=backup.settings, changed=backup.changed)
    grid = replace(grid, arms=[*grid.arms[:-2], twin, backup])
    found = estimate_effects(grid, collect(grid, made.runs), study)
    remainder = by_id(found)["remainder"]
    assert remainder.one_run and remainder.improvement.high == 0.0
    assert remainder.impact.level == "NONE"
    assert "remainder" not in found.ranking


def test_lower_is_better_is_an_argument(tmp_path):
    metric = {"name": "eval_loss", "higher_is_better": False, "delta": 0.05}
    study = {**STUDY, "metric": metric, "claims": {}}
    epochs = by_id(effects_of(tmp_path, study=study))["stage:epochs"]
    assert epochs.pair.quantities["eval_loss"].estimate < 0
    assert epochs.improvement.estimate > 0
    assert epochs.impact.direction == "helps"


def test_final_weights_are_compared_beside_the_selected_ones(complete):
    gap = by_id(complete)["gap"].pair.quantities
    assert gap["eval_accuracy.final"].estimate == pytest.approx(
        gap["eval_accuracy"].estimate + 0.004
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"contrast": "stage9"}, "unknown contrast"),
        ({"quantity": "happiness"}, "unknown quantity"),
        ({"quantity": "seed_spread", "unit": "absolute"}, "compared as a ratio"),
    ],
)
def test_a_claim_about_nothing_is_an_error(tmp_path, change, said):
    study = copy.deepcopy(STUDY)
    study["claims"]["statements"] = [{**study["claims"]["statements"][1], **change}]
    with pytest.raises(UserError, match=said):
        effects_of(tmp_path, study=study)


def test_the_spread_between_seeds_is_compared_as_a_ratio(tmp_path):
    study = copy.deepcopy(STUDY)
    spread = {
        "id": "s",
        "text": {"en": "Steadier"},
        "quantity": "seed_spread",
        "contrast": "gap",
        "unit": "relative_reduction",
    }
    study["claims"]["statements"] = [{**spread, "low": 0.5, "high": 0.7}]
    claim = effects_of(tmp_path, study=study).claims.statements[0]
    assert claim.interval_low < claim.estimate < claim.interval_high < 1
    assert claim.verdict == "undecided" and claim.seeds_to_decide.fewest > 3


def test_a_column_that_no_run_has_gives_no_values():
    runs = pd.DataFrame({"arm": ["current"], "seed": [1], "status": ["completed"]})
    table = long_table(runs, quantities({"name": "eval_accuracy"})["train_runtime"])
    assert table["value"].isna().all()


def test_a_claim_about_one_setting_of_the_remainder_gets_no_verdict(tmp_path):
    study = copy.deepcopy(STUDY)
    study["claims"]["impact"] = [
        {"setting": "data.extract_ratio", "impact": "LOW"},
        {"setting": "lora.bias", "impact": "LOW"},
    ]
    verdicts = [claim.verdict for claim in effects_of(tmp_path, study=study).claims.impact]
    assert verdicts == ["not_separated", "no_difference"]


def test_a_diverged_run_loses_its_pair_and_counts_in_stability(tmp_path):
    metric = {"name": "eval_loss", "higher_is_better": False, "delta": 0.05}
    study = {**STUDY, "metric": metric, "claims": {}}
    found = by_id(effects_of(tmp_path, study=study, diverged=[("stage2-epochs", 2)]))
    step = found["stage:epochs"]
    odds = step.odds
    assert (odds.wins, odds.losses, odds.ties) == (2, 1, 0)
    assert step.impact.level == "DIVERGES" and step.improvement.n == 2
    assert step.pair.stability.divergences == Divergences(1, 0, 3, 1.0)
    assert step.pair.stability.verdict != "steadier"


def test_every_planned_effect_carries_its_corrected_evidence(complete):
    assert complete.schema_version == 3
    assert complete.family.members == (
        "stage:lora_lr",
        "stage:epochs",
        "stage:regularisation",
        "remainder",
        "gap",
        "total:stage2-epochs",
        "total:stage3-regularisation",
    )
    assert complete.family.sign_flip_floor == 0.125
    for name in complete.family.members:
        one = by_id(complete)[name]
        found, own = one.evidence, one.improvement
        assert found.p <= found.p_adjusted <= min(1.0, 7 * found.p)
        assert found.low < own.low < own.high < found.high
        assert found.equivalent == one.impact.equivalent


def test_what_is_sure_alone_may_be_undecided_in_the_family(tmp_path):
    found = by_id(effects_of(tmp_path, seeds=(1, 2), effects={"epochs": 0.02}))
    step = found["stage:epochs"]
    assert step.impact.level == "undecided"
    assert step.impact.seeds_to_decide.fewest <= 7 < step.impact.seeds_to_decide.most


def test_ties_with_looks_are_told_alike_everywhere(tmp_path):
    """A metric at its ceiling has no interval; arms that computed the same are surely equal."""
    study = copy.deepcopy(STUDY) | {"sequential": {"looks": [3, 5]}}
    made = build_study(tmp_path, study=study, seeds=(1, 2, 3))
    grid = load_grid(made.grid)
    runs = collect(grid, made.runs)
    runs["quality.selected.eval_accuracy"] = 1.0
    for arm in ("stage1-lora_lr", "stage2-epochs"):
        for column in ("quality.selected.eval_loss", "optimisation.final_loss"):
            runs.loc[runs["arm"] == arm, column] = 0.5
    found = estimate_effects(grid, runs, study)
    status = {one.id: one.decision.status for one in found.sequential.contrasts}
    for name, level, word in (
        ("stage:epochs", "NONE", "equivalent"),
        ("stage:regularisation", "undecided", "undecided"),
    ):
        one = by_id(found)[name]
        assert (one.impact.level, status[name]) == (level, word)
        assert one.evidence.equivalent == (word == "equivalent")


def test_an_effects_file_of_another_version_is_told_with_its_place(tmp_path):
    path = tmp_path / "effects.json"
    path.write_text('{"schema_version": 2, "contrasts": []}')
    with pytest.raises(UserError, match=r"effects\.json: the file is of another version"):
        load_effects(path)
