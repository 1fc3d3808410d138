"""What the report says of each design, in both languages, on studies whose truth is planted."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from synthetic import STUDY, Synthetic, build_study, confirm
from test_report import analyse, render, section

from ablation.evidence.effects import load_effects, save_effects
from ablation.evidence.metrics import collect
from ablation.files import load_json, save_json
from ablation.report.figures import waterfall
from ablation.report.figures.figure import Drawing
from ablation.report.incomplete import render_partial
from ablation.report.page import render_page
from ablation.report.report import render_report
from ablation.report.sources import load_sources
from ablation.study.adaptive import candidates, confirmation_grid
from ablation.study.load import load_study
from ablation.study.resolved import save_resolved
from ablation.words.catalogue import LANGUAGES

SEEDS = (1, 2, 3, 4, 5)
# Epochs help twice as much once the learning rate is right: an interaction of 6 points.
EFFECTS = {
    "lora_lr": -0.03,
    "epochs": 0.09,
    "regularisation": 0.002,
    "remainder": 0.05,
    "lora_lr×epochs": 0.06,
}


def study(root: Path, **keys) -> Synthetic:
    options = {**copy.deepcopy(STUDY), **keys}
    made = build_study(root, study=options, seeds=SEEDS, effects=EFFECTS, noise=0.008)
    analyse(made)
    return made


def block(text: str, title: str) -> str:
    return text.split(f"### {title}\n", 1)[1].split("\n#", 1)[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def first_number(cell: str) -> float:
    return float(re.search(r"[+−][\d.]+", cell).group().replace("−", "-"))


def same_shape(one: str, other: str) -> None:
    for pattern in (r"^#+ ", r"^\| ", r"^- ", r"^!\["):
        assert len(re.findall(pattern, one, re.M)) == len(re.findall(pattern, other, re.M))


# --- The path and its arms in words ---


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Synthetic:
    """A study whose last stage takes all that the others leave, so that it is the backup."""
    root = tmp_path_factory.mktemp("whole")
    left = load_effects(study(root / "first").results.effects).by_id["remainder"].settings
    stages = [*STUDY["stages"], {"name": "rest", "settings": list(left)}]
    return study(root / "second", stages=stages, designs=["leave_one_out"])


def test_a_last_stage_that_is_the_backup_is_one_with_it(whole):
    text = render(whole)
    assert "| Stage 4 (rest) = Backup |" in text and not re.search(r"\| Backup \| \d", text)
    save_resolved(load_study(whole.study), whole.results)
    drawing = Drawing(sources=load_sources(whole.results, "en"), histories={}, rows={})
    waterfall.draw(figure := Figure(), drawing)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels[0] == "Current" and labels[-2:] == ["Stage 4\nrest", "Backup minus\ncurrent"]
    assert len(labels) == 6


def test_arms_are_told_in_few_words(whole):
    text = render(whole)
    assert "| stages 1 to 3, against current |" in text
    assert "| the backup without stage 2 (More epochs), against current |" in text
    korean = render(whole, "ko")
    assert "| 1~3단계, 현재 대비 |" in korean and "백업에서 2단계(에포크 수 증가) 제외" in korean


def test_a_warning_of_several_arms_is_one_row(whole):
    warnings = [
        {
            "id": "dead_knobs",
            "severity": "warning",
            "arm": arm,
            "variant": arm,
            "seeds": seeds,
            "numbers": {"other": "stage1-lora_lr", "settings": ["max_length"]},
        }
        for arm, seeds in (("stage2-epochs", [1, 2]), ("without-epochs", [2, 3]))
    ]
    save_json({"schema_version": 1, "warnings": warnings}, whole.results.health)
    found = rows(block(render(whole), "Health of the runs"))
    whole.results.health.unlink()
    arms = "Stage 2 (More epochs); The backup without stage 2 (More epochs)"
    assert [row[1:3] for row in found] == [[arms, "1, 2, 3"]]
    assert "Stage 2 (More epochs): every step's loss is that of Stage 1 (" in found[0][3]


def test_each_arm_of_a_warning_stands_once_and_each_thing_warned_of_has_a_row(whole):
    arms = ("current", "stage1-lora_lr", "stage2-epochs", "without-epochs")
    warnings = [
        {
            "id": "other_origin",
            "severity": "warning",
            "arm": arm,
            "variant": arm,
            "seeds": [1],
            "numbers": {"other": library, "found": "1", "usual": "2"},
        }
        for arm in arms
        for library in ("torch", "numpy")
    ]
    save_json({"schema_version": 1, "warnings": warnings}, whole.results.health)
    found = rows(block(render(whole), "Health of the runs"))
    whole.results.health.unlink()
    told = "Current, stage 1, stage 2; The backup without stage 2 (More epochs)"
    assert [row[1] for row in found] == [told, told]
    assert "torch was 1" in found[0][3] and "numpy was 1" in found[1][3]


# --- Greedy path and grid ---


@pytest.fixture(scope="module")
def greedy(tmp_path_factory) -> Synthetic:
    grid = {"grid": {"values": {"learning_rate": [1e-4, 8e-4]}}}
    return study(tmp_path_factory.mktemp("greedy"), designs=["greedy_path", grid])


def test_a_greedy_path_tells_what_it_chose_and_over_what(greedy):
    found = rows(block(render(greedy), "Greedy path (exploratory)"))
    assert [row[0].rpartition(", ")[2] for row in found] == ["forward"] * 4 + ["backward"] * 4
    assert found[0][0].startswith("stage 2")
    assert first_number(found[0][1]) == pytest.approx(9, abs=1)
    assert len(found[0][2].split(", ")) == 3 and found[3][2] == "–"


def test_a_step_chosen_by_its_own_seeds_gets_no_level_of_impact(greedy):
    text = block(render(greedy), "Greedy path (exploratory)")
    assert not re.search("HIGH|MEDIUM|LOW|NONE", text)
    assert "prove nothing by themselves" in text


def test_two_ways_over_the_same_arms_are_no_test_of_interaction(greedy):
    text = block(render(greedy), "Greedy path (exploratory)")
    assert "say nothing about interactions: stage 2, remainder, stage 1, stage 3." in text
    assert "forward minus backward" not in text


def test_two_ways_over_other_arms_show_what_depends_on_the_rest(greedy):
    path = greedy.folder / "effects.json"
    kept = load_effects(path)
    name = "greedy_difference:epochs"
    improvement = replace(kept.by_id[name].improvement, estimate=-0.06, low=-0.07, high=-0.05)
    other = replace(kept.by_id[name], one_run=False, improvement=improvement)
    contrasts = tuple(other if one.id == name else one for one in kept.contrasts)
    try:
        save_effects(replace(kept, contrasts=contrasts), path)
        text = block(render(greedy), "Greedy path (exploratory)")
    finally:
        save_effects(kept, path)
    assert "−6.0 points [−7.0, −5.0], n = 5. The interval, which is not corrected" in text


def test_a_grid_names_its_base_and_says_that_nothing_is_corrected(greedy):
    text = block(render(greedy), "Tuning grid (exploratory)")
    assert [row[0] for row in rows(text)] == [
        "`grid-learning_rate=0.0001`",
        "`grid-learning_rate=0.0008`",
    ]
    assert "Impact, not corrected" in text and "starts from (Current)" in text


def test_greedy_path_and_grid_are_told_alike_in_korean(greedy):
    same_shape(render(greedy), render(greedy, "ko"))
    assert "선택되지 않은 요인" in render(greedy, "ko")


# --- Factorial and fraction ---


@pytest.fixture(scope="module")
def factorial(tmp_path_factory) -> Synthetic:
    designs = ["one_at_a_time", "leave_one_out", {"factorial": {"remainder": True}}, "a_a"]
    return study(tmp_path_factory.mktemp("factorial"), designs=designs)


@pytest.fixture(scope="module")
def fraction(tmp_path_factory) -> Synthetic:
    designs = [{"fractional": {"remainder": True}}, "compute_matched"]
    return study(tmp_path_factory.mktemp("fraction"), designs=designs)


def test_a_fraction_gives_an_interaction_in_the_unit_of_the_full_factorial(factorial, fraction):
    pairs = {row[0]: row for row in rows(block(render(factorial), "Interactions"))}
    pair = next(row for name, row in pairs.items() if "stage 1" in name and "stage 2" in name)
    chains = rows(block(render(fraction), "A fraction of the combinations"))[4:]
    assert chains[0][0] == "stage 1 × stage 2 + stage 3 × remainder"
    for row, place in ((pair, 1), (chains[0], 2)):
        assert first_number(row[place]) == pytest.approx(6, abs=1)
        assert row[-1] == "together more than the sum"


def test_a_fraction_tells_what_each_effect_is_confounded_with(fraction):
    text = block(render(fraction), "A fraction of the combinations")
    assert rows(text)[1][1] == "stage 1 × stage 3 × remainder"
    assert "resolution IV" in text
    assert "Defining words: stage 1 × stage 2 × stage 3 × remainder." in text
    same_shape(render(fraction), render(fraction, "ko"))


def test_a_step_that_is_nothing_but_compute_has_no_measured_zero(fraction):
    row = rows(block(render(fraction), "At equal compute"))[0]
    assert row[0].startswith("stage 2")
    assert row[2] == "the same arm: it changes nothing else"
    assert row[1] == row[3]


def test_overlapping_designs_show_one_contrast_with_one_p(factorial):
    text = render(factorial)
    listed = [row[0] for row in rows(block(text, "Every planned contrast"))]
    assert not any(name.endswith("rate), alone") for name in listed)
    assert "remainder, on top of all others" not in listed
    assert len(listed) == load_effects(factorial.folder / "effects.json").family.size == 25
    single = rows(block(text, "One at a time, and leave one out"))
    assert len(single) == 4 and all("→" in cell for row in single for cell in row[1:])


def test_what_the_study_did_not_plan_has_no_column(tmp_path):
    left_out = study(tmp_path, designs=["leave_one_out"])
    table = rows(block(render(left_out), "One at a time, and leave one out"))
    assert table and all(len(row) == 2 and "→" in row[1] for row in table)


def test_the_seeds_of_a_control_are_not_those_of_the_study(factorial):
    method = section(render(factorial), "How it was measured")
    assert "Seeds: 1, 2, 3, 4, 5. " in method
    assert "with seeds of its own: 1001, 1002, 1003, 1004, 1005." in method


def test_westfall_young_stands_beside_holm(factorial):
    text = block(render(factorial), "Every planned contrast")
    assert "p, sign flips: alone / Holm / Westfall-Young" in text
    assert all(len(row[6].split(" / ")) == 3 for row in rows(text))
    assert "flips the signs of whole seeds" in text


# --- Looks and confirmation ---


def test_looks_have_their_boundary_and_no_p_that_decides_nothing(tmp_path):
    made = study(tmp_path, sequential={"looks": [3, 5]})
    text = render(made)
    assert len(rows(block(text, "Seeds added until decided"))) == 7
    assert "not shown (p" not in text and "Westfall" not in text
    assert "see the boundaries below" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_fresh_seeds_refute_a_part_that_falls_behind_the_backup(tmp_path, language):
    made = study(tmp_path, confirm={"seeds": [101, 102, 103, 104, 105]})
    verdict = confirm(made, {"stages": ["epochs", "lora_lr"]}, EFFECTS)
    assert (verdict.status, verdict.reason) == ("refuted", "worse_than_backup")
    assert "101, 102, 103, 104, 105" in render(made, language, verdict)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_backup_itself_is_not_compared_with_itself(tmp_path, language):
    made = study(tmp_path, confirm={"seeds": [101, 102, 103]})
    every = ["lora_lr", "epochs", "regularisation", "remainder"]
    verdict = confirm(made, {"stages": every}, EFFECTS)
    assert verdict.is_backup and verdict.reason == "beats_current"
    title = {"en": "Confirmed on fresh seeds?", "ko": "새 시드로 재확인한 결과"}[language]
    assert "[+0.0, +0.0]" not in block(render(made, language, verdict), title)


def test_the_runs_of_the_confirmation_are_counted_and_stand_in_the_table(tmp_path):
    made = study(tmp_path, confirm={"seeds": [101, 102, 103]}, designs=["leave_one_out"])
    verdict = confirm(made, {"stages": ["epochs", "regularisation", "remainder"]}, EFFECTS)
    text = render(made, "en", verdict)
    assert "The confirmation has 9 runs of its own, on fresh seeds: 101, 102, 103." in text
    measured = len(list(made.runs.glob("*/seed-*")))
    assert f"- {measured} of {measured} runs read the states" in text
    page = render_page([load_sources(made.results, "en")], made.results)
    assert page.count("<td>confirmation</td>") == 9
    assert page.count("<td>comparison</td>") == measured - 9


def test_a_partial_report_lists_the_runs_that_the_confirmation_lacks(tmp_path):
    made = study(tmp_path, confirm={"seeds": [101, 102]}, designs=["leave_one_out"])
    confirm(made, {"stages": ["epochs", "regularisation", "remainder"]}, EFFECTS)
    loaded = load_study(made.study)
    save_resolved(loaded, made.results)
    decision = {"stages": ["epochs", "regularisation", "remainder"]}
    grid = confirmation_grid(loaded, candidates(loaded), decision)
    made.results.run_metrics(grid.arms[1].variant, 102).unlink()
    fresh = collect(grid, made.runs)
    sources = replace(load_sources(made.results, "en"), partial=True, fresh=fresh)
    text = render_report(sources, made.results.figures, made.results.page)
    planned = len(list(made.runs.glob("*/seed-*")))
    assert f"{planned - 1} of {planned} planned runs have a result" in text
    told = block(text, "Missing and diverged runs")
    assert "The backup without stage 1" in told and "with seed 102." in told
    assert "every planned run finished" not in told


def test_means_beside_a_gain_are_of_the_seeds_that_it_pairs(tmp_path):
    missing = [("stage1-lora_lr", 1), ("backup", 2)]
    made = build_study(tmp_path, seeds=SEEDS, effects=EFFECTS, missing=missing, study=STUDY)
    analyse(made)
    text = render(made)
    gap = re.search(r"over the 4 seeds that these arms share\): ([\d.]+)% .*? ([\d.]+)% with", text)
    gain = first_number(text[gap.end() :])
    assert float(gap[2]) - float(gap[1]) == pytest.approx(gain, abs=0.11)
    assert "These arms have not all the same seeds" in text


def test_a_step_measured_on_others_says_what_it_does_without_them(tmp_path):
    told = "on top of stages 1 to 3"
    bare, alone, averaged = (
        next(
            line
            for line in render(study(tmp_path / name, **keys)).splitlines()
            if re.match(r"\d\. \*\*Remainder", line) and told in line
        )
        for name, keys in (
            ("bare", {}),
            ("alone", {"designs": ["one_at_a_time"]}),
            ("averaged", {"designs": [{"factorial": {"remainder": True}}]}),
        )
    )
    assert "Alone" not in bare and "On average" not in bare
    assert "Alone, on top of current: +" in alone
    assert "On average over all orders of the factors: +" in averaged


# --- Stability and the path of the runs ---


@pytest.mark.parametrize(
    ("language", "title", "gap"),
    [
        ("en", "Convergence stability", "backup against current"),
        ("ko", "수렴 안정성", "현재 대비 백업"),
    ],
)
def test_stability_is_told_in_the_unit_of_the_claim(factorial, language, title, gap):
    text = render(factorial, language)
    found = {row[0]: row for row in rows(section(text, title))}
    assert len(found) == 6 and gap in found
    claim = next(line for line in text.splitlines() if re.match(r"\| (Convergence|수렴이)", line))
    every = "all stages against current" if language == "en" else "현재 대비 모든 단계 적용"
    value = re.search(r"[+−][\d.]+% \[.*?\]", found[every][1]).group()
    assert value in claim and "n = 5" in found[every][1]


def test_a_halved_learning_rate_is_steadier_and_divergences_are_counted(tmp_path):
    options = {"study": STUDY, "seeds": SEEDS, "effects": EFFECTS}
    made = build_study(tmp_path, **options, diverged=[("stage2-epochs", 2)])
    analyse(made)
    found = rows(section(render(made), "Convergence stability"))
    assert first_number(found[0][1]) == pytest.approx(-50, abs=10) and found[0][-1] == "steadier"
    assert found[1][-2] == "1 / 0 of 5 (p > 0.99)"
    assert found[1][-1] != "steadier"


def test_the_report_says_which_path_runs_took_and_why(made_plain):
    english, korean = (
        section(render(made_plain, language), title)
        for language, title in (("en", "How it was measured"), ("ko", "측정 방법"))
    )
    assert "20 of 25 runs read the states of the frozen layers" in english
    assert "5 of 25 runs computed all layers in every step" in english
    assert "Backup. Reason: `bias is all`." in english
    assert "`bias is all`" in korean
    assert "Share of the tokens in training batches that are text and not padding: 80%." in english


@pytest.fixture(scope="module")
def made_plain(tmp_path_factory) -> Synthetic:
    made = study(tmp_path_factory.mktemp("plain"))
    grid = load_json(made.grid)
    variant = next(arm["variant"] for arm in grid["arms"] if arm["arm"] == "backup")
    for path in made.runs.glob("*/*/metrics.json"):
        metrics = load_json(path)
        metrics["environment"] |= {"cached_share": 1.0 if path.parent.name == "seed-1" else 0.4}
        if path.parts[-3] == variant:
            metrics["environment"] |= {"path": "plain", "path_reason": "bias is all"}
            metrics["environment"] |= {"cached_share": 0.0}
        path.write_text(json.dumps(metrics))
    analyse(made)
    return made


def test_the_report_tells_what_a_small_cache_lacked(made_plain):
    said = section(render(made_plain), "How it was measured")
    assert "The cache holds 40% to 100% of a run's rows" in said
    assert "40%" in section(render(made_plain, "ko"), "측정 방법")


def test_times_from_the_cache_are_not_taken_for_the_sources(made_plain):
    assert "the states of the frozen layers read from a cache" in section(
        render(made_plain), "Expected and measured"
    )


def test_a_partial_report_tells_the_confirmation_too(made_plain):
    verdict = {"status": "nothing_to_confirm", "reason": "nothing_recommended", "few_seeds": False}
    path = made_plain.folder / "confirmation/verdict.json"
    save_json(verdict, path)
    asked = {"confirm": {"seeds": [101]}}
    study = load_study(made_plain.study)
    save_resolved(replace(study, options={**study.options, **asked}), made_plain.results)
    written = render_partial(made_plain.results)
    assert written[0].parent == made_plain.folder / "partial"
    assert "Nothing was run again: no arm is recommended." in written[0].read_text()
