from __future__ import annotations

import copy
import html
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from synthetic import STUDY, Synthetic, build_study

from ablation.data.counts import planned_rows
from ablation.evidence.effects import save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import collect, load_table, save_table
from ablation.report.figures import FIGURES, figures_of, waterfall
from ablation.report.figures.curves import (
    ALL_POINTS,
    MOST_PANELS,
    MOST_POINTS,
    align,
    load_histories,
    panels_of,
    points_each,
    smooth,
    thin,
)
from ablation.report.figures.dark import dark_rules
from ablation.report.figures.draw import draw_all
from ablation.report.figures.figure import STYLE, Drawing, lines_of, load_figure
from ablation.report.figures.fonts import know_hangul
from ablation.report.figures.waterfall import path_steps
from ablation.report.sources import Sources, load_sources
from ablation.settings.profile import Profile
from ablation.study.grid import load_grid
from ablation.study.load import load_study
from ablation.study.resolved import save_resolved


def sources_of(made: Synthetic, language: str = "en") -> Sources:
    grid, study = load_grid(made.grid), load_study(made.study)
    save_resolved(study, made.results)
    save_table(collect(grid, made.runs), made.results.metrics)
    effects = estimate_effects(grid, load_table(made.results.metrics), study.options)
    save_effects(effects, made.results.effects)
    return load_sources(made.results, language)


def draw(made: Synthetic, output: Path) -> dict[str, str]:
    paths = draw_all([sources_of(made), sources_of(made, "ko")], made.runs, output)
    return {path.stem: path.read_text(encoding="utf-8") for path in paths}


def words_of(svg: str) -> str:
    return html.unescape(" ".join(re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", svg)))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[Synthetic, dict[str, str]]:
    root = tmp_path_factory.mktemp("figures")
    made = build_study(root)
    return made, draw(made, root / "figures")


def test_places_are_told_to_a_hundredth_of_a_point(drawn):
    for text in drawn[1].values():
        assert not re.search(r' (?:d|x|y)="[^"]*\.\d{3}', text)


def test_every_figure_is_drawn(drawn):
    assert list(drawn[1]) == [
        f"{name}{ending}" for ending in ("", ".ko") for name in figures_of([])
    ]


def test_text_stays_text_and_names_every_stage_by_its_title(drawn):
    words = words_of(drawn[1]["waterfall"])
    for word in ("Current", "Stage 1", "LoRA rank/alpha", "More epochs", "Remainder", "seed 1"):
        assert word in words
    assert "lora_lr" not in words and "regularisation" not in words


def test_a_korean_report_has_korean_figures(drawn):
    for name in figures_of([]):
        words = words_of(drawn[1][f"{name}.ko"])
        assert re.search("[가-힣]", words)
        assert not re.search(r"\b(seed|step|current|stage|loss|training)\b", words), name
    assert "에포크 수 증가" in words_of(drawn[1]["waterfall.ko"])


def test_hangul_is_as_wide_as_in_its_fonts_on_a_machine_without_any():
    know_hangul()
    font = FontProperties(family=STYLE["font.family"], size=100)
    width, _, _ = text_to_path.get_text_width_height_descent("에포크수", font, ismath=False)
    assert width == pytest.approx(4 * 92, rel=0.01)


def test_text_of_the_study_is_text_in_a_figure(tmp_path):
    study = copy.deepcopy(STUDY)
    title = "<script>alert(1)</script> $x_1$ & *so* `on`"
    study["stages"][1]["title"] = {"en": title}
    svg = draw(build_study(tmp_path, study=study), tmp_path / "figures")["loss_curves"]
    assert "<script" not in svg
    assert all(word in words_of(svg) for word in title.split())


def test_every_color_has_another_one_on_a_dark_page(drawn):
    for svg in drawn[1].values():
        style, _, body = svg.partition("</style>")
        assert "prefers-color-scheme: dark" in style
        for color in set(re.findall("#[0-9a-f]{6}", body)):
            assert f'[style*="fill: {color}"]' in style


def test_a_grey_is_turned_round_on_a_dark_page():
    rules = " ".join(dark_rules('<path style="fill: #ffffff; stroke: #000000"/>'))
    assert "fill:#161616!important" in rules and "stroke:#e8e8e8!important" in rules


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


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Weight decay, max length, scheduler", ["Weight decay,", "max length,", "scheduler"]),
        ("가중치 감쇠와 최대 길이", ["가중치 감쇠와", "최대 길이"]),
        ("a b c", ["a b c"]),
        ("aaaaaaaaaaaaa " * 9, ["aaaaaaaaaaaaa"] * 3 + ["aaaaaaaaaaaaa …"]),
        ("옵티마이저·오프로드·메모리", ["옵티마이저·", "오프로드·", "메모리"]),
    ],
)
def test_a_long_title_breaks_into_short_lines(text, lines):
    assert lines_of(text, 14).split("\n") == lines


def test_smoothing_keeps_a_straight_line_and_its_ends():
    line = np.linspace(3.0, 1.0, 200)
    np.testing.assert_allclose(smooth(line), line)


def test_runs_share_the_points_of_a_figure():
    histories = {f"arm {arm}": dict.fromkeys(range(8)) for arm in range(128)}
    assert 1024 * points_each(histories) < 1.1 * ALL_POINTS
    assert points_each({"current": {1: None}}) == MOST_POINTS


def test_of_many_arms_the_curves_of_the_path_and_of_the_recommended_one_are_drawn(tmp_path):
    values = {"learning_rate": [1e-5 * n for n in range(1, 24)]}
    options = {**copy.deepcopy(STUDY), "designs": [{"grid": {"values": values}}]}
    made = build_study(tmp_path, seeds=(1, 2), study=options)
    sources = sources_of(made)
    every = {arm["arm"] for arm in sources.grid["arms"]}
    assert len(every) > MOST_PANELS
    drawn = load_histories(sources.grid, made.runs, sources.arms)
    assert {arm for title in drawn for arm in title.split(" = ")} & every == {*sources.arms}


def test_panels_have_limits_that_hold_all_curves():
    figure = Figure()
    panels = panels_of(figure, {"a": "A", "b": "B"}, 2.0)
    for axes, top in zip(panels.values(), (2.0, 50.0), strict=True):
        axes.plot([0, top], [1, top])
    align(panels.values())
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in panels.values()}) == 1
    low, high = panels["a"].get_ylim()
    assert low < 1 and high > 50


def test_thinning_keeps_the_ends():
    x = np.arange(5000.0)
    shown, _ = thin(x, x)
    assert len(shown) <= 800 and shown[0] == 0 and shown[-1] == 4999


def test_planned_rows_keep_one_row_of_each_class_among_the_most_frequent():
    profile = Profile(label_counts=(100, 10, 1, 1))
    settings = {"data.extract_ratio": 0.1, "data.max_classes": 3}
    assert planned_rows(settings, profile) == 10 + 1 + 1
    assert planned_rows({**settings, "data.max_classes": None}, profile) == 13


def test_a_recommended_arm_that_is_not_on_the_path_is_named(tmp_path):
    harm = {"lora_lr": -0.08, "epochs": 0.12, "regularisation": 0.0, "remainder": 0.05}
    designs = {**copy.deepcopy(STUDY), "designs": ["leave_one_out"]}
    made = build_study(tmp_path, effects=harm, study=designs)
    sources = sources_of(made)
    arm = sources.arm_title(sources.recommendation.arm)
    assert arm not in sources.path_arms.values()
    drawing = Drawing(sources=sources, histories={}, rows={})
    figure = Figure()
    load_figure("quality_cost").draw(figure, drawing)
    named = [" ".join(text.get_text().split()) for text in figure.legends[0].get_texts()]
    assert f"{html.unescape(arm)}: recommended" in named


def test_the_forest_plot_has_every_planned_contrast(drawn):
    words = words_of(drawn[1]["attribution"])
    for word in ("Stage 1 (LoRA", "More epochs", "Remainder", "Backup against", "simultaneous"):
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
    names = figures_of(["factorial"])
    assert set(FIGURES) - set(names) == {"scale"}
    assert list(figures) == [*names, *(f"{name}.ko" for name in names)]
    assert figures["interactions"].count("[") >= 6


def test_the_figures_speak_in_the_units_of_the_text(drawn, tmp_path):
    grid = load_grid(drawn[0].grid)
    effects = estimate_effects(grid, collect(grid, drawn[0].runs), STUDY)
    steps = [c.improvement.estimate for c in effects.of_role("stage")]
    assert "Accuracy minus current (points)" in drawn[1]["waterfall"]
    for step in steps:
        assert f">{100 * step:+.1f}<".replace("-", "\N{MINUS SIGN}") in drawn[1]["waterfall"]


def test_a_metric_that_is_no_share_is_drawn_as_it_is(tmp_path):
    metric = {"name": "eval_loss", "higher_is_better": False, "delta": 0.01}
    made = build_study(tmp_path, study={**STUDY, "metric": metric})
    drawing = Drawing(sources=sources_of(made), histories={}, rows={})
    waterfall.draw(figure := Figure(), drawing)
    axes = figure.axes[0]
    assert axes.get_ylabel() == "Evaluation loss minus current"
    assert all(re.fullmatch(r"[+−]0\.\d{3}", text.get_text()) for text in axes.texts)


def test_each_figure_has_its_caption_beside_it_for_the_snakemake_report(tmp_path):
    made = build_study(tmp_path)
    for file in draw_all([sources_of(made)], made.runs, tmp_path / "figures"):
        caption = (file.parent / f"captions/{file.stem}.rst").read_text(encoding="utf-8")
        assert caption.strip() == load_figure(file.stem).texts["en"][1]
