"""Steps between tuned sides: the arms, the choice on rows set aside, and what is left of a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import STUDY, build_study

from ablation.data.rows import set_aside
from ablation.designs.design import Space
from ablation.designs.retune import DESIGN
from ablation.evidence.effects import Effects, load_effects, save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import collect, load_table, save_table
from ablation.files import save_json
from ablation.report.report import render_report
from ablation.report.sources import load_sources
from ablation.settings.quantities import TUNING_SHARE
from ablation.study.forecasted import Price
from ablation.study.grid import expand, load_grid
from ablation.study.ladder import plan_further
from ablation.study.load import load_study
from ablation.study.packing import GPU, Machine

TUNED = {**STUDY, "designs": [{"retune": {"learning_rate": [2, 0.5, 1]}}], "claims": {}}
SELECTED, ASIDE = "quality.selected.eval_accuracy", "quality.tuning.eval_accuracy"
PATH = ("current", "stage1-lora_lr", "stage2-epochs", "stage3-regularisation", "backup")


def test_each_arm_of_the_path_is_trained_at_each_multiple_of_its_own_rate(tmp_path):
    arms = {
        arm.name: arm for arm in expand(load_study(build_study(tmp_path, study=TUNED).study)).arms
    }
    assert [*arms] == [*PATH, *(f"{arm}~{m}x" for arm in PATH for m in ("0.5", "1", "2"))]
    for name in PATH:
        assert TUNING_SHARE not in arms[name].settings
        for multiple in (0.5, 1, 2):
            own = dict(arms[f"{name}~{multiple:g}x"].settings)
            assert own.pop(TUNING_SHARE) == 0.5
            rate = arms[name].settings["learning_rate"] * multiple
            assert own.pop("learning_rate") == pytest.approx(rate)
            assert own == {k: v for k, v in arms[name].settings.items() if k != "learning_rate"}


def test_rates_among_the_arguments_of_a_schedule_are_multiplied_with_it():
    settings = {"learning_rate": 1e-4, "lr_scheduler_kwargs": {"warmup_max_lr": 1e-4, "steps": 9}}
    space = Space(settings, settings, (), None)
    plan = DESIGN.plan(space, {"learning_rate": [1, 3]}, ())
    kwargs = [cell.settings["lr_scheduler_kwargs"] for cell in plan.cells[:2]]
    assert [one["warmup_max_lr"] for one in kwargs] == [1e-4, 3e-4]
    assert {one["steps"] for one in kwargs} == {9}


def test_rows_set_aside_are_the_same_however_the_rows_are_ordered():
    numbers = np.array([40, 3, 17, 8, 25, 11, 90, 2, 5])
    first = set(numbers[set_aside(numbers, 0.5)])
    assert len(first) == 4
    assert set(numbers[::-1][set_aside(numbers[::-1], 0.5)]) == first
    assert [set_aside(numbers[:2], share).sum() for share in (0.01, 0.99)] == [1, 1]


def measured(tmp_path: Path, scores: dict[str, float]):
    """The runs of a study whose tuned arms score so, on test rows and on those set aside."""
    seeds, effects = (1, 2, 3, 4), {"epochs": 0.06}
    made = build_study(tmp_path, seeds=seeds, effects=effects, noise=0.002, study=TUNED)
    grid = load_grid(made.grid)
    runs, rng = collect(grid, made.runs), np.random.default_rng(4)
    level = runs["arm"].map(scores)
    shared = runs["seed"].map(dict(enumerate(rng.normal(0, 0.01, 5))))
    own = level + shared + rng.normal(0, 0.002, len(runs))
    runs[SELECTED] = runs[SELECTED].where(level.isna(), own)
    runs[ASIDE] = level + shared + rng.normal(0, 0.002, len(runs))
    return made, grid, runs


def scores_of(best: dict[str, tuple[str, float]], lost: float = 0.03) -> dict[str, float]:
    """The score of each tuned arm: best at one multiple, less by `lost` at the others."""
    return {
        f"{arm}~{multiple}x": score - lost * (multiple != at)
        for arm, (at, score) in best.items()
        for multiple in ("0.5", "1", "2")
    }


BEST = {
    "current": ("2", 0.61),
    "stage1-lora_lr": ("1", 0.61),
    "stage2-epochs": ("0.5", 0.61),  # more epochs are worth nothing where the rate suits them
    "stage3-regularisation": ("1", 0.61),
    "backup": ("1", 0.68),
}


def effects_of(tmp_path: Path) -> tuple[Effects, object]:
    made, grid, runs = measured(tmp_path, scores_of(BEST))
    effects = estimate_effects(grid, runs, TUNED)
    save_effects(effects, made.results.effects)
    assert load_effects(made.results.effects) == effects
    save_table(runs, made.results.metrics)
    return effects, made


def test_each_side_takes_the_rate_that_is_best_on_the_rows_set_aside(tmp_path):
    effects, _ = effects_of(tmp_path)
    assert {side.arm: side.chosen for side in effects.retuned} == {
        arm: f"{arm}~{multiple}x" for arm, (multiple, _) in BEST.items()
    }
    assert [side.arm for side in effects.retuned if side.at_end] == ["current", "stage2-epochs"]
    tuned = effects.by_id["retuned:epochs"]
    assert (tuned.pair.arm, tuned.pair.reference) == ("stage2-epochs~0.5x", "stage1-lora_lr~1x")
    assert effects.by_id["stage:epochs"].improvement.estimate == pytest.approx(0.06, abs=0.01)
    assert tuned.improvement.estimate == pytest.approx(0.0, abs=0.01)
    assert effects.by_id["retuned:gap"].improvement.estimate == pytest.approx(0.07, abs=0.01)
    assert effects.family.size == 7 and tuned.evidence.size == 5


def test_a_rate_of_which_a_run_is_missing_or_diverged_is_not_chosen(tmp_path):
    _, grid, runs = measured(tmp_path, scores_of(BEST))
    lost = runs["arm"] == "current~2x"
    runs.loc[lost & (runs["seed"] == 1), "status"] = "diverged"
    runs.loc[runs["arm"].str.startswith("backup~"), "status"] = "missing"
    effects = estimate_effects(grid, runs, TUNED)
    sides = {side.arm: side for side in effects.retuned}
    assert sides["current"].chosen in ("current~0.5x", "current~1x")
    assert sides["current"].scores["current~2x"] is None
    assert sides["backup"].chosen is None
    assert "retuned:gap" not in effects.by_id and "retuned:epochs" in effects.by_id


def test_the_chosen_contrast_is_not_optimistic_for_having_been_chosen(tmp_path):
    """Three equal rates a side, chosen by noise: on other rows, what is chosen is worth nothing."""
    level = {f"{arm}~{m}x": 0.6 for arm in PATH for m in ("0.5", "1", "2")}
    found = []
    _, grid, runs = measured(tmp_path, level)
    rng = np.random.default_rng(9)
    tuned = runs["arm"].isin(level)
    for _ in range(60):
        for column in (SELECTED, ASIDE):
            runs.loc[tuned, column] = 0.6 + rng.normal(0, 0.02, tuned.sum())
        found.append(estimate_effects(grid, runs, TUNED).by_id["retuned:gap"].improvement.estimate)
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


@pytest.mark.parametrize(
    ("language", "told"),
    [
        (
            "en",
            [
                "had both sides been tuned?",
                "no: less than delta",
                "may lie beyond",
                "0.5, 1, 2 times",
            ],
        ),
        ("ko", ["양쪽 학습률을 모두 맞추어도", "(delta)보다 작다", "그 너머에", "0.5, 1, 2배"]),
    ],
)
def test_the_report_sets_tuned_sides_beside_the_plain_step(tmp_path, language, told):
    _, made = effects_of(tmp_path)
    save_json({"schema_version": 1, "warnings": []}, made.results.health)
    assert len(load_table(made.results.metrics)) == 80
    sources = load_sources(made.results, language)
    text = render_report(sources, made.results.figures, made.results.report(language))
    for one in told:
        assert one in text


def test_a_plan_tells_what_tuning_costs(tmp_path):
    loaded = load_study(build_study(tmp_path, study=TUNED).study)
    _, found = plan_further(loaded, tmp_path / "none", Machine(GPU, 4))
    assert found == Price(runs=45, hours=None)  # the model's facts and rows are not known here
    plain = load_study(build_study(tmp_path / "plain").study)
    assert plan_further(plain, tmp_path / "none", Machine(GPU, 4))[1] is None
