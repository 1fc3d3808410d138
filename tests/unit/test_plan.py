"""A plan says what a study costs and what it can find, without running or importing much."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from counted import count_calls
from scipy import stats

from ablation.designs.shapley import shapley_weights
from ablation.errors import UserError
from ablation.evidence.contrast import planned_contrasts
from ablation.files import save_json
from ablation.settings.architecture import read_architecture
from ablation.settings.quantities import DataFacts
from ablation.study import power
from ablation.study.budget import plan_budget
from ablation.study.forecast import (
    Pilot,
    flops_of_run,
    measure_noise,
    plan_study,
    with_seeds,
)
from ablation.study.forecast_text import load_texts, render
from ablation.study.forecasted import Forecast, Noise, Prospect
from ablation.study.grid import expand
from ablation.study.load import load_study
from ablation.study.packing import Machine
from ablation.study.power import Error
from ablation.words.catalogue import LANGUAGES

NOTHING = "no-such-folder"


@pytest.fixture
def study(account_tax):
    def load(keys: str = ""):
        file = account_tax / "study.yaml"
        file.write_text(file.read_text() + f"\n{keys}\n")
        return load_study(file)

    return load


def finished(results, variant: str, seed: int, accuracy: float, seconds: float) -> None:
    metrics = {
        "status": "completed",
        "environment": {"world_size": 2},
        "quality": {"selected": "final", "final": {"eval_accuracy": accuracy}},
        "cost": {"wall_seconds": seconds},
    }
    save_json(metrics, results / "runs" / variant / f"seed-{seed}" / "metrics.json")


def design(said: Forecast, name: str) -> Prospect:
    return next(d for d in said.designs if d.design == name)


# --- Power -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "alone", "of_seven"),
    [(3, 3.26, 8.66), (5, 1.68, 2.87), (8, 1.16, 1.70), (10, 1.00, 1.41), (16, 0.75, 1.01)],
)
def test_the_smallest_effect_found_is_that_of_the_tables(n, alone, of_seven):
    assert power.detectable(Error(n=n)) == pytest.approx(alone, abs=0.006)
    seventh = Error(n=n, alpha=0.05 / 7)
    assert power.detectable(seventh) == pytest.approx(of_seven, abs=0.006)


@pytest.mark.parametrize("n", [2, 3, 5, 12])
@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 2.5])
def test_power_is_that_of_the_noncentral_t_distribution(n, effect):
    shift, critical = effect * math.sqrt(n), stats.t.ppf(0.975, n - 1)
    far = stats.nct.cdf(-critical, n - 1, shift) if effect else 0.025
    near = stats.nct.sf(critical, n - 1, shift) if effect else 0.025
    assert power.power_of(Error(n=n), effect) == pytest.approx(near + far, abs=0.001)


@pytest.mark.parametrize(("n", "family"), [(2, 5), (3, 7), (3, 1)])
def test_the_smallest_effect_of_very_few_seeds_is_found_in_80_percent(n, family):
    error = Error(n=n, alpha=0.05 / family)
    draws = np.random.default_rng(1).normal(power.detectable(error), 1.0, (200_000, n))
    t = draws.mean(1) / (draws.std(1, ddof=1) / math.sqrt(n))
    found = (np.abs(t) >= stats.t.isf(error.alpha / 2, n - 1)).mean()
    assert found == pytest.approx(0.80, abs=0.01)


def test_one_seed_finds_nothing():
    assert power.detectable(Error(n=1)) is None and power.power_of(Error(n=1), 5.0) == 0.0


@pytest.mark.parametrize(
    ("k", "sigma_squares"), [(2, 1.00), (3, 0.56), (4, 0.33), (5, 0.21), (6, 0.14)]
)
def test_the_variance_of_a_shapley_value_is_that_of_its_weights(k, sigma_squares):
    assert 2 * power.of_shapley(k) == pytest.approx(sigma_squares, abs=0.006)
    weights = shapley_weights(k)
    assert 2 * power.of_shapley(k) == pytest.approx(float((weights[0] ** 2).sum()), rel=1e-12)


def test_a_fraction_of_sixteen_has_an_eighth_of_the_variance_of_one_contrast():
    assert power.of_main_effect(16) / power.of_contrast() == 1 / 8


# --- Costs and noise ---------------------------------------------------------------------------


def test_without_rows_costs_are_only_against_current(study):
    said = plan_study(study(), NOTHING)
    assert said.total.hours is None and said.prices.origin == "relative"
    assert [round(arm.relative, 1) for arm in said.arms[:3]] == [1.0, 1.0, 2.4]


def test_a_run_reads_validation_rows_each_epoch_and_test_rows_twice(study):
    loaded = study()
    arms = {arm.name: arm.settings for arm in expand(loaded).arms}
    model = read_architecture(loaded.options["model"]["architecture"])
    for name, epochs in (("current", 3), ("backup", 10)):
        settings = arms[name]
        with_rows, without = (
            flops_of_run(settings, DataFacts("stated", 10**5, rows), model)
            for rows in ((1000, 2000), (0, 0))
        )
        rows = 1000 * epochs + 2 * 2000
        tokens = rows * settings["max_length"]
        expected = tokens * model.layers * 2 * model.layer_parameters
        assert with_rows - without == pytest.approx(expected, rel=1e-6)


def test_twice_the_rows_cost_twice_the_hours(study):
    loaded = study()
    hours = [plan_study(loaded, NOTHING, rows=n).total.hours for n in (10**6, 2 * 10**6)]
    assert hours[1] == pytest.approx(2 * hours[0], rel=1e-3)
    gpu = plan_study(loaded, NOTHING, rows=10**6, device="gpu").total.hours
    assert gpu < hours[0] / 100


def test_a_cost_of_a_second_is_no_number_with_an_exponent(study):
    said = plan_study(study(), NOTHING, rows=8, device="gpu")
    assert 0 < said.arms[0].hours < 0.001
    assert "<0.001 h" in render(said, load_texts("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plan_says_what_the_confirmation_takes_beside_it(study, language):
    assert plan_study(study(), NOTHING, rows=10**6).confirm is None
    said = plan_study(study("confirm: {seeds: [101, 102]}"), NOTHING, rows=10**6)
    assert said.confirm.runs == 2 * 3
    ends = [arm.hours for arm in said.arms if arm.kind == "endpoint"]
    most = max(arm.hours for arm in said.arms if arm.kind != "endpoint")
    assert said.confirm.hours == pytest.approx(2 * (sum(ends) + most))
    told = {"en": "6 more runs on fresh seeds confirm it", "ko": "재확인하는 실행 6개"}[language]
    assert told in render(said, load_texts(language))


def test_fewer_rows_cost_less_and_a_long_plan_says_so(study, edit):
    said = plan_study(study(), NOTHING, rows=10**6, device="gpu")
    assert "data.max_rows: 100000" in render(said, load_texts("en"))
    edit("study.yaml", "  format: auto", "  format: auto\n  rows: 3000000\n  max_rows: 50000")
    few = plan_study(study(), NOTHING, device="gpu")
    assert few.total.hours == pytest.approx(said.total.hours / 20, rel=0.01)
    assert few.prices.all_rows == 50_000
    assert "max_rows" not in render(few, load_texts("en"))


def test_a_length_beyond_rotated_positions_is_a_caution_and_beyond_others_left_out(study, edit):
    edit("training.yml", "max_length: 256", "max_length: 4096")
    assert plan_study(study(), NOTHING).cautions == []
    edit("study.yaml", "max_position_embeddings: 40960", "max_position_embeddings: 2048")
    said = plan_study(study(), NOTHING)
    (caution,) = said.cautions
    assert caution.numbers == {"length": 4096, "places": 2048}
    assert caution.arms[0] == "current" and "backup" not in caution.arms
    assert "warning: current, " in render(said, load_texts("en"))
    assert "경고: current, " in render(said, load_texts("ko"))
    edit("study.yaml", "model_type: qwen3", "model_type: opt")
    with pytest.raises(UserError, match="beyond the model, which has 2048 positions"):
        plan_study(study(), NOTHING)


def test_measured_runs_set_the_price_of_the_others(study, tmp_path):
    loaded = study()
    current, other = (arm.variant for arm in expand(loaded).arms[:2])
    finished(tmp_path, current, 1, 0.5, 900.0)
    said = plan_study(loaded, tmp_path)
    # 900 seconds on 2 devices; three epochs against ten cost what they are in FLOPs.
    assert said.arms[0].hours == pytest.approx(0.5)
    assert said.arms[0].cost_from == "measured"
    assert said.arms[2].hours == pytest.approx(0.5 * said.arms[2].relative)
    assert said.arms[2].cost_from == "measured_speed"
    assert said.total.finished == 1 and said.arms[0].finished == 1
    left = said.total.hours - said.total.hours_left
    assert left == pytest.approx(0.5)
    assert other


def test_a_run_that_is_no_result_is_no_pilot(study, tmp_path):
    loaded = study()
    variant = expand(loaded).arms[0].variant
    folder = tmp_path / "runs" / variant / "seed-1"
    folder.mkdir(parents=True)
    for text in ("", "{", "[]", '{"status": "diverged"}', '{"status": "completed"}'):
        (folder / "metrics.json").write_text(text)
        assert plan_study(loaded, tmp_path).noise.origin == "assumed"


def test_noise_is_the_pooled_sd_of_paired_differences():
    rng = np.random.default_rng(7)
    shared = rng.normal(0, 0.05, 200)
    values = {
        name: dict(enumerate(level + shared + rng.normal(0, 0.01, 200)))
        for name, level in (("a", 0.5), ("b", 0.7), ("c", 0.6))
    }
    noise = measure_noise(Pilot({}, values))
    assert noise.origin == "pilot" and (noise.pairs, noise.seeds) == (3, 200)
    assert noise.sd == pytest.approx(0.01 * math.sqrt(2), rel=0.1)


def test_without_two_shared_seeds_or_spread_there_is_no_noise():
    assert measure_noise(Pilot({}, {"a": {1: 0.5, 2: 0.6}, "b": {3: 0.5}})) is None
    equal = {"a": {1: 501 / 1001, 2: 507 / 1001}, "b": {1: 498 / 1001, 2: 504 / 1001}}
    assert measure_noise(Pilot({}, equal)) is None


def test_noise_is_assumed_as_large_as_delta_unless_it_is_stated(study):
    loaded = study()
    assert plan_study(loaded, NOTHING).noise.sd == 0.01
    said = plan_study(loaded, NOTHING, sd=0.002)
    assert said.noise.origin == "stated"
    staged = design(said, "staged")
    error = Error(n=3, comparisons=7, prior=2)
    expected = power.detectable(error) * 0.002
    assert staged.detectable == pytest.approx(expected)


# --- Designs -----------------------------------------------------------------------------------


def test_a_fraction_finds_less_than_one_at_a_time_with_the_same_seeds(study):
    said = plan_study(study(), NOTHING)
    fraction, single = design(said, "fractional"), design(said, "one_at_a_time")
    assert fraction.arms == 8 and single.arms == 5 and single.shared == 2
    ratio = single.detectable_sd / fraction.detectable_sd
    assert (fraction.contrasts, single.contrasts) == (16, 10)
    # A quarter of the variance, with an error that more comparisons share.
    assert 1.7 < ratio < math.sqrt(1 / power.of_main_effect(8)) == 2


def test_what_a_study_asks_for_is_marked_and_what_does_not_fit_says_why(study):
    loaded = study("designs: [leave_one_out]")
    said = plan_study(loaded, NOTHING)
    asked = [d.design for d in said.designs if d.asked]
    assert asked == ["staged", "leave_one_out"]


def test_three_factors_are_too_few_for_a_fraction(study, account_tax):
    text = (account_tax / "study.yaml").read_text()
    start = text.index("  - name: epochs")
    end = text.index("  - name: decay_length_scheduler")
    (account_tax / "study.yaml").write_text(text[:start] + text[end:])
    said = plan_study(study(), NOTHING)
    assert design(said, "fractional").reason == "4-8"
    assert "it needs 4-8 factors, here are 3" in render(said, load_texts("en"))


ROWS = 3_000_000
FOUR_GPUS = Machine("gpu", 4, 24 * 10**9)


def test_a_budget_buys_the_most_rows_with_which_delta_is_found(study):
    found = plan_budget(study(), NOTHING, 48, FOUR_GPUS, rows=ROWS)
    chosen = found.chosen
    assert chosen.hours <= 48
    assert chosen.detectable <= 0.01
    assert chosen.power_at_delta >= 0.8
    offers = [point.offer for point in found.frontier]
    assert [point.hours for point in found.frontier] == [12, 24, 48, 96, 192, 384]
    rows = [offer.rows for offer in offers]
    assert rows == sorted(rows)
    assert offers[0].detectable > 0.01 >= offers[-1].detectable


def test_a_budget_that_finds_no_delta_says_how_likely_it_is_found_all_the_same(study):
    chosen = plan_budget(study(), NOTHING, 6, FOUR_GPUS, rows=ROWS).chosen
    assert chosen.detectable > 0.01
    assert 0.05 < chosen.power_at_delta < 0.8


def test_a_budget_below_two_seeds_buys_nothing(study):
    found = plan_budget(study(), NOTHING, 1e-3, FOUR_GPUS, rows=ROWS)
    assert found.chosen is None and found.write == []


def test_the_lines_that_a_budget_writes_are_valid_and_cost_what_they_say(study, account_tax):
    found = plan_budget(study(), NOTHING, 24, FOUR_GPUS, rows=ROWS)
    file = account_tax / "study.yaml"
    options = yaml.safe_load(file.read_text())
    for key, value in yaml.safe_load("\n".join(found.write)).items():
        options[key] = options["data"] | value if key == "data" else value
    file.write_text(yaml.safe_dump(options, allow_unicode=True))
    loaded = load_study(file)
    assert len(loaded.all_seeds()) == found.chosen.seeds
    assert loaded.planned_rows() == found.chosen.rows
    said = plan_study(loaded, NOTHING, device="gpu")
    own = design(said, found.chosen.design)
    hours = own.hours * found.chosen.seeds / 4
    assert own.asked
    assert found.chosen.hours == pytest.approx(hours, rel=0.1)


def test_measured_speed_decides_what_a_budget_buys(study, tmp_path):
    loaded = study()
    for seed in (1, 2):
        finished(tmp_path, expand(loaded).arms[0].variant, seed, 0.5 + seed / 50, 360_000.0)
    fast = plan_budget(loaded, NOTHING, 100, FOUR_GPUS, rows=ROWS).chosen
    slow = plan_budget(loaded, str(tmp_path), 100, FOUR_GPUS, rows=ROWS, sd=0.01).chosen
    assert slow.rows < fast.rows or slow.seeds < fast.seeds


def test_a_budget_without_any_measure_of_time_is_the_users_mistake(study):
    with pytest.raises(UserError, match="write:   --rows"):
        plan_budget(study(), NOTHING, 10, FOUR_GPUS)


@pytest.mark.parametrize(
    ("designs", "count"),
    [
        ("staged", 7),  # four steps, the gap, two totals that are neither
        ("one_at_a_time, a_a", 10),
        ("one_at_a_time, leave_one_out", 16),
        ("factorial, greedy_path", 14),
        ("fractional: {remainder: true}", 16),
    ],
)
def test_the_plan_counts_the_comparisons_that_the_analysis_corrects_over(study, designs, count):
    """Seen: totals of arms beside the path were corrected for, and the plan promised more."""
    loaded = study(f"designs: [{designs}]")
    asked = [d for d in plan_study(loaded, NOTHING).designs if d.asked]
    assert {d.contrasts for d in asked} - {0} == {count}
    assert len(planned_contrasts(expand(loaded))) == count


def test_more_seeds_never_find_less():
    prospect = Prospect("staged", True, 4, 5, 5, False, 1.0, 5, 1.0, None, None)
    found = [with_seeds(prospect, Noise(0.01, "stated"), n).detectable for n in range(2, 30)]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_whole_plan_can_be_read_in_both_languages(study, tmp_path, language):
    loaded = study(
        "designs: [greedy_path, leave_one_out, a_a, compute_matched, "
        "factorial: {remainder: true}, grid: {values: {lora.r: [8, 16]}}]"
    )
    for seed in (1, 2):
        for arm in expand(loaded).arms[:2]:
            finished(tmp_path, arm.variant, seed, 0.5 + seed / 100 + len(arm.name) / 999, 60.0)
    machine = Machine("cpu", 2)
    said = plan_study(loaded, tmp_path)
    said = replace(said, budget=plan_budget(loaded, str(tmp_path), 50, machine, rows=10**5))
    text = render(said, load_texts(language))
    written = text.replace("\n".join(f"    {line}" for line in said.budget.write), "")
    assert "matched-epochs" in written and "{" not in written


def test_the_command_imports_no_torch_and_does_little(root):
    code = (
        "import runpy, sys; sys.argv = ['plan.py', 'account_tax', '--json', '--budget', '24h', "
        "'--device', 'gpu', '--devices', '4', '--device-gb', '24']; "
        "runpy.run_path('scripts/plan.py', run_name='__main__'); "
        "assert not {'torch', 'pandas', 'transformers'} & set(sys.modules)"
    )
    calls, told = count_calls(code, root)
    assert len(json.loads(told)["arms"]) == 5
    assert calls < 5_000_000  # 3.5 million when this was written, two seconds of a core
