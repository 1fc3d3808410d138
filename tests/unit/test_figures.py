from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic import STUDY, Synthetic, build_study

from ablation.data.counts import planned_rows
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import collect
from ablation.files import load_json
from ablation.report.figures import FIGURES, figures_of, waterfall
from ablation.report.figures.curves import smooth, thin
from ablation.report.figures.draw import draw_all
from ablation.report.figures.figure import Drawing, arm_label
from ablation.report.figures.waterfall import path_steps
from ablation.study.grid import load_grid


def draw(made: Synthetic, output: Path) -> dict[str, str]:
    grid = load_grid(made.grid)
    runs = collect(grid, made.runs)
    effects = estimate_effects(grid, runs, STUDY)
    paths = draw_all(grid.as_json(), runs, effects, made.runs, load_json(made.profile), output)
    return {path.stem: path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[Synthetic, dict[str, str]]:
    root = tmp_path_factory.mktemp("figures")
    made = build_study(root)
    return made, draw(made, root / "figures")


def test_every_figure_is_drawn(drawn):
    assert list(drawn[1]) == figures_of([])


def test_text_stays_text_and_names_every_arm(drawn):
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawn[1]["waterfall"])
    spans = re.findall(r"<tspan[^>]*>([^<]*)</tspan>", drawn[1]["waterfall"])
    words = " ".join(texts + spans)
    for word in ("lora_lr", "epochs", "regularisation", "remainder", "seed 1"):
        assert word in words


def test_drawing_again_gives_the_same_bytes_without_a_date(drawn, tmp_path):
    made, first = drawn
    assert draw(made, tmp_path) == first
    assert all("<dc:date>" not in text for text in first.values())


def test_the_steps_that_are_drawn_add_up_to_the_gap(drawn):
    grid = load_grid(drawn[0].grid)
    effects = estimate_effects(grid, collect(grid, drawn[0].runs), STUDY)
    arms, values = path_steps(effects)
    means = values.mean()
    steps = [means[b] - means[a] for a, b in itertools.pairwise(arms)]
    assert sum(steps) == pytest.approx(means["backup"] - means["current"])


def test_only_seeds_that_all_arms_have_are_drawn(tmp_path):
    made = build_study(tmp_path, missing=[("stage2-epochs", 1)])
    grid = load_grid(made.grid)
    _, values = path_steps(estimate_effects(grid, collect(grid, made.runs), STUDY))
    assert list(values.index) == [2, 3]


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_few_seeds_and_missing_arms_are_drawn_too(tmp_path, seeds):
    made = build_study(tmp_path, seeds=seeds, missing=[("backup", s) for s in seeds])
    assert "remainder" not in draw(made, tmp_path / "figures")["waterfall"]


def test_without_any_run_each_figure_says_so_or_shows_the_plan(tmp_path):
    grid_arms = ("current", "stage1-lora_lr", "stage2-epochs", "stage3-regularisation", "backup")
    made = build_study(tmp_path, missing=[(arm, s) for arm in grid_arms for s in (1, 2, 3)])
    figures = draw(made, tmp_path / "figures")
    assert "No run has logged a step yet." in figures["loss_curves"]
    assert "WarmupCosineLR" in figures["learning_rates"]


def test_a_long_arm_name_breaks_into_short_lines():
    label = arm_label("stage2-weight_decay_max_length_and_scheduler")
    assert label.split("\n") == ["stage2", "weight_decay_", "max_length_and_", "scheduler"]


def test_smoothing_keeps_a_straight_line_and_its_ends():
    line = np.linspace(3.0, 1.0, 200)
    np.testing.assert_allclose(smooth(line), line)


def test_thinning_keeps_the_ends():
    x = np.arange(5000.0)
    shown, _ = thin(x, x)
    assert len(shown) <= 800 and shown[0] == 0 and shown[-1] == 4999


def test_planned_rows_keep_one_row_of_each_class_among_the_most_frequent():
    profile = {"label_counts": [100, 10, 1, 1]}
    settings = {"data.extract_ratio": 0.1, "data.max_classes": 3}
    assert planned_rows(settings, profile) == 10 + 1 + 1
    assert planned_rows({**settings, "data.max_classes": None}, profile) == 13


def test_the_forest_plot_has_every_planned_contrast(drawn):
    words = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", drawn[1]["attribution"]))
    for word in ("lora_lr", "epochs", "remainder", "backup minus current", "simultaneous"):
        assert word in words


def test_the_points_of_the_forest_plot_average_to_the_effects(drawn):
    grid = load_grid(drawn[0].grid)
    effects = estimate_effects(grid, collect(grid, drawn[0].runs), STUDY)
    for one in effects.planned:
        values = list(one.values.values())
        assert np.mean(values) == pytest.approx(one.improvement.estimate)


def test_a_factorial_has_its_matrix_of_interactions(tmp_path):
    made = build_study(tmp_path, study={**STUDY, "designs": ["staged", "factorial"]})
    figures = draw(made, tmp_path / "figures")
    assert list(figures) == list(FIGURES)
    assert figures["interactions"].count("[") >= 6


def test_the_figures_speak_in_the_units_of_the_text(drawn, tmp_path):
    grid = load_grid(drawn[0].grid)
    effects = estimate_effects(grid, collect(grid, drawn[0].runs), STUDY)
    steps = [c.improvement.estimate for c in effects.of_role("stage")]
    assert "eval_accuracy (points) minus current" in drawn[1]["waterfall"]
    for step in steps:
        assert f">{100 * step:+.1f}<".replace("-", "\N{MINUS SIGN}") in drawn[1]["waterfall"]


def test_a_metric_that_is_no_share_is_drawn_as_it_is(tmp_path):
    metric = {"name": "eval_loss", "higher_is_better": False, "delta": 0.01}
    made = build_study(tmp_path, study={**STUDY, "metric": metric})
    grid = load_grid(made.grid)
    effects = estimate_effects(grid, collect(grid, made.runs), {**STUDY, "metric": metric})
    drawing = Drawing(grid=grid.as_json(), effects=effects, histories={}, rows={})
    waterfall.draw(figure := Figure(), drawing)
    axes = figure.axes[0]
    assert axes.get_ylabel() == "eval_loss minus current"
    assert all(re.fullmatch(r"[+−]0\.\d{3}", text.get_text()) for text in axes.texts)
