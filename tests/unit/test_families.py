from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import STUDY, build_study

from ablation.designs.contrast import CHAIN, GREEDY_DIFFERENCE, INTERACTION, MAIN, SHAPLEY
from ablation.evidence import family, sequential
from ablation.evidence.claims import MULTIPLES, judge_impact
from ablation.evidence.contrast import planned_contrasts
from ablation.evidence.effects import Effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.family import Series, weigh
from ablation.evidence.metrics import collect
from ablation.evidence.moderated import Pool
from ablation.evidence.reports import share_of
from ablation.evidence.spread import Background
from ablation.evidence.twoway import Squares
from ablation.study.grid import load_grid

DESIGNS = [
    "one_at_a_time",
    "leave_one_out",
    {"factorial": {"remainder": True}},
    {"fractional": {"remainder": True}},
    "a_a",
    "compute_matched",
    {"grid": {"values": {"learning_rate": [1e-4, 2e-4]}}},
]
PLANTED = {"lora_lr": -0.08, "epochs": 0.19, "regularisation": 0.004, "remainder": 0.05}


def series(name: str, *values: float, planned: bool = True, identical: bool = False) -> Series:
    return Series(id=name, values=dict(enumerate(values)), planned=planned, identical=identical)


def test_the_family_is_what_was_planned_and_the_others_say_that_they_are_alone():
    found = weigh(
        [series("a", 1, 2, 3), series("b", 1, 1.1, 0.9), series("c", 1, 2, 3, planned=False)], 0.1
    )
    assert found["a"].size == found["b"].size == 2
    assert found["b"].p_adjusted == pytest.approx(2 * found["b"].p)
    assert (found["c"].method, found["c"].size, found["c"].p_adjusted) == ("none", 1, None)
    assert found["c"].p == found["a"].p


def test_a_larger_family_asks_for_more():
    few = weigh([series("a", 0.8, 1.0, 1.3)], 0.1)["a"]
    many = weigh([series(str(i), 0.8, 1.0, 1.3) for i in range(30)], 0.1)["0"]
    assert few.significant and not many.significant
    assert many.low < few.low and many.confidence == pytest.approx(1 - 0.05 / 30)


def test_the_seeds_to_decide_are_asked_of_the_tests_that_decide_with_what_the_rows_leave():
    values = (0.8, 1.0, 1.3, 0.2)
    common = Pool(variance=0.1, freedom=12, arms=5, prior=2.0)
    rows = Squares(seeds=30.0, rows=50.0, error=10.0, n=4, size=100)
    background = Background(squares=2.0, pools={3: common}, rows={4: rows})
    first = replace(series("a", *values), background=background)
    other = replace(first, id="b", planned=False)
    found = weigh([first, series("c", *values), other], 0.1)
    rule = family.rule_of(first, found["a"])
    assert (rule.n, rule.comparisons, rule.prior) == (4, 2, 2.0)
    assert rule.alpha == pytest.approx(0.05 * share_of(2))
    assert rule.rows == pytest.approx((50 - 10) / (4 * 100))
    alone = family.rule_of(other, found["b"])
    assert (alone.comparisons, alone.prior) == (1, 0.0)


def test_equal_computations_are_equivalent_with_certainty():
    found = weigh([series("a", 0.0, 0.0, identical=True)], 0.1)["a"]
    assert (found.significant, found.equivalent, found.low, found.high) == (False, True, 0.0, 0.0)
    plan = sequential.LookPlan((3, 5), delta=0.1)
    assert weigh([series("a", 0.0, 0.0, identical=True)], 0.1, plan)["a"].equivalent


def test_equivalence_is_corrected_over_the_family():
    """Four steps that are each just inside delta at 5 %: together they are not surely so small."""
    values = [0.0, 0.06, -0.06, 0.02]
    alone = weigh([series("a", *values)], 0.1)["a"]
    assert alone.equivalent and 0.01 < alone.equivalence_p <= 0.05
    several = weigh([series(str(i), *values) for i in range(4)], 0.1)
    assert not any(one.equivalent for one in several.values())


def test_with_looks_direction_and_interval_are_those_of_the_look_that_decided():
    """Decided better at three seeds; what other contrasts added later does not turn it round."""
    plan = sequential.LookPlan((3, 6), delta=0.1)
    one = series("a", 1.0, 1.0001, 0.9999, -9.0, -9.1, -9.2)
    found = weigh([one], 0.1, plan)["a"]
    impact = judge_impact(one.estimate, 0.1, MULTIPLES, found, family.rule_of(one, found))
    assert one.estimate.estimate < 0
    assert found.significant and found.estimate == pytest.approx(1.0) and found.low > 0
    assert (impact.direction, impact.level) == ("helps", "HIGH")


def test_no_seed_and_one_seed_conclude_nothing():
    found = weigh([series("a"), series("b", 1.0)], 0.1)
    for one in found.values():
        assert (one.significant, one.equivalent, one.low, one.p) == (False, False, None, None)


def test_with_looks_the_boundary_decides_and_the_interval_is_the_repeated_one():
    plan = sequential.LookPlan((3, 5), delta=0.1, families=2)
    found = weigh([series("a", *[1.0, 1.01, 0.99] * 2), series("b", 1.0, -1.0, 0.5)], 0.1, plan)
    assert found["a"].method == family.SPENDING and found["a"].p_adjusted is None
    assert found["a"].significant and 0 < found["a"].low < 1.0
    assert not found["b"].significant and found["b"].low < 0 < found["b"].high


# --- Through a whole study ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def designed(tmp_path_factory) -> tuple[Effects, Path, dict]:
    study = {**copy.deepcopy(STUDY), "designs": DESIGNS}
    root = tmp_path_factory.mktemp("designed")
    made = build_study(root, study=study, seeds=(1, 2, 3, 4, 5), effects=PLANTED)
    grid = load_grid(made.grid)
    effects = estimate_effects(grid, collect(grid, made.runs), study)
    return effects, made.grid, study


def test_the_family_is_the_one_that_decides_about_seeds(designed):
    effects, grid, _ = designed
    planned = [contrast.id for contrast in planned_contrasts(load_grid(grid))]
    assert sorted(effects.family.members) == sorted(planned)
    assert effects.family.size == len(planned)


def test_the_arms_of_the_report_are_the_path_and_the_others_stand_apart(designed):
    effects, _, _ = designed
    assert effects.arms[0].arm == "current"
    assert len(effects.arms) == 5
    assert "only-epochs" in {arm.arm for arm in effects.design_arms}


def test_shapley_values_add_up_to_the_gap_and_find_what_was_planted(designed):
    effects, _, _ = designed
    found = {one.factor: one for one in effects.of_role(SHAPLEY)}
    gap = effects.gap.improvement.estimate
    assert sum(o.improvement.estimate for o in found.values()) == pytest.approx(gap)
    assert sum(one.share.estimate for one in found.values()) == pytest.approx(1.0)
    for name, planted in PLANTED.items():
        ends = found[name].evidence
        assert ends.low <= planted <= ends.high


def test_planted_effects_that_only_add_leave_no_interaction(designed):
    effects, _, _ = designed
    interactions = effects.of_role(INTERACTION)
    assert len(interactions) == 6
    assert not any(one.evidence.significant for one in interactions)
    second = [*interactions, *effects.of_role(CHAIN)]
    assert {one.evidence.size for one in second} == {len(second)} == {9}


def test_fractional_effects_carry_their_aliases(designed):
    effects = designed[0]
    found = {one.factor: one for one in effects.of_role(MAIN)}
    assert effects.fractional.resolution == 4
    assert found["epochs"].aliases == ("lora_lr×regularisation×remainder",)
    assert found["epochs"].improvement.estimate == pytest.approx(0.19, abs=0.01)
    assert [len(chain.aliases) for chain in effects.of_role(CHAIN)] == [2, 2, 2]


def test_each_factor_is_measured_alone_and_in_presence_of_the_rest(designed):
    contrasts = {c.id: c for c in designed[0].contrasts}
    for kind in ("only", "without"):
        estimate = contrasts[f"{kind}:epochs"].improvement.estimate
        assert estimate == pytest.approx(0.19, abs=0.02)
    assert contrasts["only:epochs"].pair.reference == "current"
    assert contrasts["without:epochs"].pair.arm == "backup"


def test_an_a_a_control_is_paired_with_other_seeds_and_is_no_effect(designed):
    noise = designed[0].noise_floor
    assert noise.a_a.n == 5
    assert noise.a_a.low < 0 < noise.a_a.high
    assert 0 < noise.detectable < noise.detectable_corrected


def test_a_step_is_split_into_compute_and_the_rest(designed):
    contrasts = {c.id: c.improvement.estimate for c in designed[0].contrasts}
    parts = contrasts["equal_compute:epochs"] + contrasts["compute_alone:epochs"]
    assert parts == pytest.approx(contrasts["stage:epochs"])


def test_what_explores_or_checks_is_not_in_the_family(designed):
    for contrast in designed[0].contrasts:
        if contrast.role in ("tuning", "a_a", "equal_compute"):
            assert contrast.evidence.method == "none"


def test_with_looks_every_contrast_says_why_it_stopped(designed):
    effects, grid_file, study = designed
    grid = load_grid(grid_file)
    runs = collect(grid, grid_file.parent / "runs")
    looks = {"looks": [3, 5], "spending": "obf", "alpha": 0.05}
    found = estimate_effects(grid, runs, {**study, "sequential": looks})
    stopped = {c.id: c.decision for c in found.sequential.contrasts}
    assert set(stopped) == set(effects.family.members)
    assert stopped["stage:epochs"].reason == "beyond_boundary"
    assert found.sequential.families == effects.family.size
    assert found.sequential.next_seeds is None
    claim = next(c for c in found.claims.statements if c.id == "accuracy")
    assert 0.95 < claim.confidence < 1.0


def test_arms_that_needed_no_more_seeds_still_tell_of_the_common_noise(designed):
    """Seen: after a look the noise of the arms that stopped was lost, and intervals grew wider."""
    _, grid_file, study = designed
    grid = load_grid(grid_file)
    runs = collect(grid, grid_file.parent / "runs")
    stopped = [
        replace(arm, seeds=grid.seeds[:3]) if arm.name in ("current", "stage1-lora_lr") else arm
        for arm in grid.arms
    ]
    found = estimate_effects(replace(grid, arms=stopped), runs, study)
    whole = estimate_effects(grid, runs, study)
    of = {one.id: one.precision.common_sd for one in found.contrasts}
    assert of == {one.id: one.precision.common_sd for one in whole.contrasts}
    assert of["stage:epochs"] > 0


def test_a_factor_that_changes_no_number_has_an_effect_of_exactly_zero_in_every_design(designed):
    """Seen: its share of the gap was 0 % [-5 %, 5 %], its mean over orders had an interval, too."""
    _, grid_file, study = designed
    grid = load_grid(grid_file)
    runs = collect(grid, grid_file.parent / "runs")
    numbers = [c for c in runs.columns if ".eval_" in c or c.endswith("_loss")]
    named = {frozenset(arm.stages): arm.name for arm in grid.arms if "factorial" in arm.designs}
    for on, name in named.items():
        without = named[on - {"regularisation"}]
        source = runs[runs["arm"] == without].set_index("seed")[numbers]
        here = runs["arm"] == name
        runs.loc[here, numbers] = source.loc[runs.loc[here, "seed"]].to_numpy()
    found = {one.id: one for one in estimate_effects(grid, runs, study).contrasts}
    for name in ("stage:regularisation", "shapley:regularisation"):
        one = found[name]
        told = one.improvement.low, one.improvement.high, one.evidence.low, one.evidence.high
        assert told == pytest.approx((0, 0, 0, 0), abs=1e-15) and one.same_results
        assert one.evidence.equivalent and one.impact.level == "NONE"
        share = one.share.estimate, one.share.low, one.share.high
        assert share == pytest.approx((0, 0, 0), abs=1e-12)
    assert not found["shapley:epochs"].same_results


def test_a_factorial_that_lacks_a_cell_estimates_nothing_and_says_which(designed):
    _, grid_file, study = designed
    grid = load_grid(grid_file)
    runs = collect(grid, grid_file.parent / "runs")
    arms = [
        replace(arm, designs=tuple(d for d in arm.designs if d != "factorial"))
        if arm.name == "only-epochs"
        else arm
        for arm in grid.arms
    ]
    grid = replace(grid, arms=arms)
    found = estimate_effects(grid, runs, study)
    assert found.of_role(SHAPLEY) == [] and found.factorial.lacking == (("epochs",),)
    assert "shapley:epochs" not in found.family.members


def test_greedy_steps_are_contributions_and_interactions_show_between_directions(designed):
    _, grid_file, study = designed
    grid = load_grid(grid_file)
    runs = collect(grid, grid_file.parent / "runs")
    factors = ["epochs", "lora_lr"]
    arms = [
        replace(arm, designs=(*arm.designs, "greedy_path"))
        if set(arm.stages) <= set(factors) and arm.name != "a_a"
        else arm
        for arm in grid.arms
    ]
    full = "stage2-epochs"
    paths = {
        "forward": [{"factor": "epochs", "arm": "only-epochs"}, {"factor": "lora_lr", "arm": full}],
        "backward": [
            {"factor": "epochs", "arm": "stage1-lora_lr"},
            {"factor": "lora_lr", "arm": "current"},
        ],
    }
    facts = {"design": "greedy_path", "factors": factors, "paths": paths}
    grid = replace(grid, arms=arms, designs=[*grid.designs, facts])
    found = estimate_effects(grid, runs, study)
    contrasts = {c.id: c.improvement.estimate for c in found.contrasts}
    assert contrasts["greedy:forward:epochs"] == pytest.approx(0.19, abs=0.02)
    assert contrasts["greedy:backward:epochs"] == pytest.approx(0.19, abs=0.02)
    ways = found.of_role(GREEDY_DIFFERENCE)
    assert [one.factor for one in ways] == factors
    assert all(one.improvement.low < 0 < one.improvement.high for one in ways)


def test_a_seed_without_all_cells_is_left_out_of_the_factorial(designed):
    _, grid_file, study = designed
    grid = load_grid(grid_file)
    runs = collect(grid, grid_file.parent / "runs")
    runs.loc[(runs["arm"] == "only-epochs") & (runs["seed"] == 3), "status"] = "missing"
    found = estimate_effects(grid, runs, study)
    assert found.factorial.seeds == (1, 2, 4, 5)
    assert {one.improvement.n for one in found.of_role(SHAPLEY)} == {4}


def test_one_hypothesis_that_two_designs_ask_counts_once():
    values = dict(enumerate([1.0, 1.1, 0.9]))
    again = Series(id="b", values=values, planned=True, same_as="a")
    found = weigh([Series(id="a", values=values, planned=True), again, series("c", 1, 2, 3)], 0.1)
    assert found["a"] == found["b"] and found["a"].size == found["c"].size == 2


def test_the_same_pair_of_arms_is_one_member_with_one_corrected_p(designed):
    effects, grid, _ = designed
    members = effects.family.members
    assert {"stage:lora_lr", "remainder", "only:epochs", "without:epochs"} <= set(members)
    assert not {"only:lora_lr", "without:remainder"} & set(members)
    contrasts = {c.id: c for c in effects.contrasts}
    assert contrasts["only:lora_lr"].evidence == contrasts["stage:lora_lr"].evidence
    assert contrasts["only:lora_lr"].planned
    pairs = [
        (contrasts[name].pair.arm, contrasts[name].pair.reference)
        for name in members
        if contrasts[name].pair
    ]
    variants = {arm.name: arm.variant for arm in load_grid(grid).arms}
    computed = [tuple(variants[arm] for arm in pair) for pair in pairs]
    assert len(set(computed)) == len(computed)
