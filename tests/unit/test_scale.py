"""Effects at several sizes of the training data: arms, weights, courses, and what holds beyond."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simulated
from matplotlib.figure import Figure
from synthetic import STUDY, build_study

from ablation.data.counts import all_training_rows, planned_rows
from ablation.data.rows import extract_ranks, training_rows
from ablation.designs import scale
from ablation.errors import UserError
from ablation.evidence.effects import Effects, load_effects, save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import collect, load_table, save_table
from ablation.files import save_json
from ablation.frozen.which import wanted_values
from ablation.report.figures import scale as scale_figure
from ablation.report.figures.figure import Drawing
from ablation.report.patch import recommended_rewrite
from ablation.report.report import render_report
from ablation.report.scale import scale_block
from ablation.report.sources import load_sources
from ablation.settings.profile import Profile
from ablation.settings.quantities import POOL_ROWS
from ablation.study.forecast import plan_study
from ablation.study.forecast_text import load_texts, render
from ablation.study.grid import expand, load_grid
from ablation.study.ladder import plan_further
from ablation.study.load import load_study
from ablation.study.packing import GPU, Machine
from ablation.training.request import require_rows
from ablation.words.catalogue import LANGUAGES

SOURCE = Path(__file__).resolve().parents[2] / "config/studies/account_tax"

ROWS = [100, 300, 900]
LADDER = {**STUDY, "designs": [{"scale": {"rows": ROWS}}], "claims": {}}


def by_log(at_top: float, a_decade: float) -> Callable[[int], float]:
    """An effect that is a line over log10(rows)."""
    return lambda rows: at_top + a_decade * math.log10(rows / ROWS[-1])


# --- Arms --------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path):
    def make(**options):
        made = build_study(tmp_path, study=LADDER | options)
        return load_study(made.study)

    return make


def test_the_whole_study_is_at_the_largest_size_and_the_path_again_at_each_smaller_one(study):
    arms = {arm.name: arm for arm in expand(study()).arms}
    path = ["current", "stage1-lora_lr", "stage2-epochs", "stage3-regularisation", "backup"]
    assert [*arms] == [*path, *(f"{name}@{rows}" for rows in (100, 300) for name in path)]
    assert {arms[name].settings[POOL_ROWS] for name in path} == {900}
    for name in path:
        small = dict(arms[f"{name}@100"].settings)
        assert small.pop(POOL_ROWS) == 100
        assert small == {k: v for k, v in arms[name].settings.items() if k != POOL_ROWS}


def test_a_study_with_one_size_has_the_config_ids_that_it_had(tmp_path):
    made = build_study(tmp_path)
    arms = load_grid(made.grid).arms
    assert not any(POOL_ROWS in arm.settings for arm in arms)
    assert arms[0].variant == "r8-lr0.0004-ep2-d56d38cd"


def test_held_steps_are_those_of_the_largest_size(study):
    arms = {arm.name: arm.settings for arm in expand(study(designs=[steps_held()])).arms}
    for name in ("current", "backup"):
        epochs = arms[name]["num_train_epochs"]
        assert arms[f"{name}@100"]["num_train_epochs"] == pytest.approx(9 * epochs)
        assert arms[f"{name}@300"]["num_train_epochs"] == pytest.approx(3 * epochs)


def steps_held():
    return {"scale": {"rows": ROWS, "hold": "steps"}}


def test_rows_of_a_smaller_size_are_among_those_of_a_larger_one():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    ranks = extract_ranks(labels, 1, stratified=True)
    found = [set(training_rows(ranks, labels, 0.5, None, rows)) for rows in (100, 400, 1000)]
    assert found[0] < found[1] < found[2]
    assert [len(rows) for rows in found] == [50, 200, 500]
    assert found[2] == set(training_rows(ranks, labels, 0.5, None))


def test_what_is_planned_and_what_is_cached_count_the_rows_of_each_size():
    profile = Profile(label_counts=(600, 300, 100))
    settings = {"data.extract_ratio": 0.5, POOL_ROWS: 400}
    assert planned_rows(settings, profile) == 200
    arm = {"data.max_classes": None, "lora.layers_to_transform": [2], "max_length": 8}
    arm |= {"truncation": True, "lora.target_modules": ["q_proj"], "lora.modules_to_save": None}
    arm |= {"lora.bias": "none", "model.dtype": "float32", "bf16": False, "fp16": False}
    wanted = wanted_values([settings | arm, {"data.extract_ratio": 0.5} | arm])
    assert wanted["float32"]["extracts"] == [(0.5, None, 400), (0.5, None)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"designs": [{"scale": {"rows": [300, 100]}}]}, ["ascend", "rows: [100, 300]"]),
        (
            {"data": {"path": "rows.csv", "rows": 1200}},
            ["than there are", "at most 840", "[100, 300]"],
        ),
        ({"designs": [{"scale": {"rows": [100]}}]}, ["rows"]),
    ],
)
def test_a_ladder_that_cannot_be_is_refused(tmp_path, options, told):
    with pytest.raises(UserError) as refused:
        build_study(tmp_path, study=LADDER | options)
    assert all(text in str(refused.value) for text in told)


# --- Weights -----------------------------------------------------------------------------------


def weigh_line(weights: dict[str, float], effect: Callable[[int], float]) -> float:
    """What weights of arms make of an effect by rows, where the arm before is at zero."""
    sizes = {scale.on_rung("backup", rows): rows for rows in ROWS[:-1]} | {"backup": ROWS[-1]}
    return sum(weight * effect(sizes[arm]) for arm, weight in weights.items() if arm in sizes)


STEP = {"step": "gap", "arm": "backup", "before": "current"}


def test_a_line_over_the_logarithm_is_met_at_all_rows_and_has_no_bend():
    effect = by_log(0.05, 0.02)
    assert weigh_line(scale.at_rows(STEP, ROWS, 90_000), effect) == pytest.approx(0.09)
    pairs = scale.pairs_of(STEP, ROWS)
    change = scale._sum(pairs, scale.change_weights(ROWS))
    assert weigh_line(change, effect) == pytest.approx(0.02 * math.log10(9))
    bend = scale._sum(pairs, scale.bend_weights(ROWS))
    assert weigh_line(bend, effect) == pytest.approx(0)
    assert sum(change.values()) == pytest.approx(0)
    square = weigh_line(bend, lambda rows: 0.5 * math.log10(rows) ** 2)
    assert square == pytest.approx(0.5 * math.log10(9) ** 2)


# --- Courses -----------------------------------------------------------------------------------


def effects_of(tmp_path, all_rows=4000, **effects) -> Effects:
    found = {"lora_lr": 0.0, "epochs": 0.05, "regularisation": 0.0, "remainder": 0.05} | effects
    made = build_study(tmp_path, seeds=(1, 2, 3, 4), effects=found, noise=0.002, study=LADDER)
    grid = load_grid(made.grid)
    effects = estimate_effects(grid, collect(grid, made.runs), LADDER, all_rows=all_rows)
    save_effects(effects, made.results.effects)
    assert load_effects(made.results.effects) == effects
    return effects


def test_growing_fading_turning_and_level_effects_are_told_apart(tmp_path):
    found = effects_of(
        tmp_path,
        lora_lr=by_log(0.06, 0.05),
        epochs=by_log(0.02, -0.05),
        regularisation=by_log(0.03, 0.06),
        remainder=0.05,
    )
    steps = {step.step: step for step in found.scale.steps}
    courses = {name: step.course for name, step in steps.items()}
    assert courses == {
        "lora_lr": "grows",
        "epochs": "fades",
        "regularisation": "turns",
        "remainder": "flat",
        "gap": "grows",
    }
    assert steps["regularisation"].refused == "disagree"
    growing = steps["lora_lr"]
    assert growing.effects == ("rung:lora_lr@100", "rung:lora_lr@300", "stage:lora_lr")
    assert growing.all_rows.estimate == pytest.approx(
        0.06 + 0.05 * math.log10(4000 / 900), abs=0.01
    )
    assert growing.all_rows.low < found.by_id["stage:lora_lr"].improvement.high
    assert found.family.size == 7  # rows are a second question: no comparison of the study's family
    assert found.by_id["trend:lora_lr"].evidence.size == 10
    assert not any(arm.arm.endswith("@100") for arm in found.arms)


def test_what_rises_and_falls_again_turns_and_is_not_extrapolated(tmp_path):
    found = effects_of(tmp_path, epochs=lambda rows: {100: 0.02, 300: 0.08, 900: 0.02}[rows])
    step = next(step for step in found.scale.steps if step.step == "epochs")
    assert (step.course, step.refused, step.all_rows) == ("turns", "disagree", None)


@pytest.mark.parametrize(
    ("all_rows", "refused"), [(None, "unknown"), (900, "measured"), (900 * 9**2 + 900, "far")]
)
def test_beyond_what_is_known_nothing_is_said(tmp_path, all_rows, refused):
    found = effects_of(tmp_path, all_rows=all_rows)
    assert {step.refused for step in found.scale.steps} == {refused}


def test_noise_of_few_rows_does_not_count_as_that_of_many(tmp_path):
    """Arms of the path have the noise of their own size, with the ladder as without."""
    plain = build_study(tmp_path / "a", noise=0.002, study={**LADDER, "designs": ["staged"]})
    grid = load_grid(plain.grid)
    alone = estimate_effects(grid, collect(grid, plain.runs), LADDER)
    assert alone.scale is None
    pool = alone.by_id["gap"].precision.common_sd
    made = build_study(tmp_path / "b", noise=0.002, study=LADDER)
    grid = load_grid(made.grid)
    runs = collect(grid, made.runs)
    small = runs["arm"].str.endswith("@100")
    column = "quality.selected.eval_accuracy"
    shift = runs["seed"].map({1: 0.1, 2: -0.2, 3: 0}) * (runs["arm"].str.len() % 3)
    loud = runs.assign(**{column: runs[column] + small * shift})
    quiet, noisy = (estimate_effects(grid, table, LADDER) for table in (runs, loud))
    assert noisy.by_id["gap"].precision == quiet.by_id["gap"].precision
    assert pool is not None
    rung = noisy.by_id["rung:gap@100"].precision.common_sd
    assert rung > 5 * quiet.by_id["rung:gap@100"].precision.common_sd


def test_all_training_rows_are_those_of_the_whole_data_set(tmp_path):
    profile = tmp_path / "profile.json"
    assert all_training_rows(profile) is None
    profile.write_text('{"rows": {"read": 5000, "not_drawn": 4000, "train": 700}}')
    assert all_training_rows(profile) == 3500


# --- What is told ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "told"),
    [
        (
            "en",
            ["it grows", "it fades", "refused: the sizes are not on a line", "At all 4,000 rows"],
        ),
        ("ko", ["커진다", "작아진다", "거부: 직선을 따르지 않음", "전체 4,000행에서"]),
    ],
)
def test_the_report_tells_each_effect_at_each_size_and_at_all_rows(tmp_path, language, told):
    effects = {"lora_lr": by_log(0.06, 0.05), "epochs": by_log(0.02, -0.05)}
    effects |= {"regularisation": by_log(0.03, 0.06), "remainder": 0.05}
    made = build_study(tmp_path, seeds=(1, 2, 3, 4), effects=effects, noise=0.002, study=LADDER)
    grid = load_grid(made.grid)
    save_table(collect(grid, made.runs), made.results.metrics)
    table = load_table(made.results.metrics)
    save_effects(estimate_effects(grid, table, LADDER, all_rows=4000), made.results.effects)
    save_json({"schema_version": 1, "warnings": []}, made.results.health)
    sources = load_sources(made.results, language)
    text = render_report(sources, made.results.figures, made.results.report(language))
    for one in [*told, "100", "300", "figures/scale."]:
        assert one in text
    block = scale_block(sources)
    assert len(block.rows) == 5 and {len(row) for row in block.rows} == {len(block.columns)}


def test_what_is_recommended_is_a_file_for_all_rows(study):
    found = recommended_rewrite(study(), "backup")
    assert all("pool_rows" not in text for text in found.after.values())


def test_the_figure_has_a_panel_for_each_effect(tmp_path):
    made = build_study(tmp_path, seeds=(1, 2, 3, 4), noise=0.002, study=LADDER)
    grid = load_grid(made.grid)
    save_table(collect(grid, made.runs), made.results.metrics)
    table = load_table(made.results.metrics)
    save_effects(estimate_effects(grid, table, LADDER, all_rows=4000), made.results.effects)
    figure = Figure()
    sources = load_sources(made.results, "en")
    scale_figure.draw(figure, Drawing(sources=sources, histories={}, rows={}))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    titles = [axes.get_title(loc="left").replace("\n", " ") for axes in shown]
    assert titles[1:] == [
        "Stage 2 (More epochs)",
        "Stage 3 (Weight decay, max length and scheduler)",
        "Remainder",
        "Backup minus current",
    ]
    assert all(axes.get_xscale() == "log" for axes in shown)
    ticks = [label.get_text() for label in shown[-1].get_xticklabels()]
    assert ticks == ["100", "300", "900", "4,000"]


def test_a_plan_tells_what_the_smaller_sizes_cost(tmp_path):
    file = Path(shutil.copytree(SOURCE, tmp_path / "source")) / "study.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(f"designs: [{{scale: {{rows: {ROWS}}}}}]\n{text}", encoding="utf-8")
    loaded = load_study(file)
    found = plan_further(loaded, tmp_path / "none", Machine(GPU, 4))[0]
    assert (found.asked, found.rows, found.runs) == (True, [100, 300], 30)
    said = plan_study(loaded, tmp_path / "none", device="gpu")
    assert 0 < found.hours < said.total.hours
    told = render(replace(said, ladder=found), load_texts("en"))
    assert "(100, 300 rows) take 30 runs" in told and "effects by rows" in told


def test_a_plan_that_takes_too_long_proposes_a_ladder_that_does_not(tmp_path):
    loaded = load_study(SOURCE / "study.yaml")
    found = plan_further(loaded, tmp_path, Machine(GPU, 4))[0]
    assert (found.asked, found.rows) == (False, [3000, 10_000, 30_000])
    assert 10 < found.hours < 100
    assert found.write == [
        "data:",
        "  max_rows: 43000",
        "designs: [{scale: {rows: [3000, 10000, 30000]}}]",
    ]
    said = plan_study(loaded, tmp_path, device="gpu")
    assert said.total.hours > 20 * found.hours
    for language in LANGUAGES:
        assert "max_rows: 43000" in render(replace(said, ladder=found), load_texts(language))


def test_a_run_on_more_rows_than_there_are_is_refused_with_what_to_write(tmp_path):
    (tmp_path / "profile.json").write_text('{"rows": {"train": 700}}')
    require_rows({POOL_ROWS: 700}, tmp_path)
    require_rows({}, tmp_path)
    with pytest.raises(UserError, match="more rows than there are") as refused:
        require_rows({POOL_ROWS: 900}, tmp_path)
    assert "at most 700" in str(refused.value)


# --- Simulated truth ---------------------------------------------------------------------------


@pytest.mark.parametrize("truth", sorted(set(simulated.TRUTHS) - {"rises and falls again"}))
def test_all_rows_are_told_with_an_interval_that_holds(truth):
    found = simulated.ladder(truth, 300)
    assert found["told"] >= (0.8 if truth.startswith(("grows", "fades as the", "level")) else 0.6)
    assert found["held"] >= 0.93


def test_an_effect_that_turns_is_mostly_not_extrapolated():
    assert simulated.ladder("rises and falls again", 300)["told"] <= 0.25
