from __future__ import annotations

import copy
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from counted import count_calls
from synthetic import STUDY, Synthetic, build_study

from ablation.evidence.confirmation import Confirmation, save_confirmation
from ablation.evidence.effects import save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.health import check_health, health_json
from ablation.evidence.metrics import collect, load_table, save_table
from ablation.evidence.statistics import Estimate
from ablation.files import load_json, save_json
from ablation.report.figures import figures_of
from ablation.report.report import render_report
from ablation.report.sources import GROUPS, load_sources
from ablation.settings.profile import load_profile
from ablation.study.explain import explain_study
from ablation.study.grid import load_grid
from ablation.study.load import load_study, read_options
from ablation.study.resolved import save_resolved
from ablation.words.catalogue import LANGUAGES, Messages, load_catalogue, short_value

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "workflow" / "report" / "report.md.j2"
ARMS = ("current", "stage1-lora_lr", "stage2-epochs", "stage3-regularisation", "backup")


def analyse(made: Synthetic) -> None:
    grid = load_grid(made.grid)
    save_table(collect(grid, made.runs), made.folder / "metrics.csv")
    table = load_table(made.folder / "metrics.csv")
    effects = estimate_effects(grid, table, read_options(made.study))
    save_effects(effects, made.folder / "effects.json")
    warnings = check_health(load_json(made.grid), made.runs, load_profile(made.profile))
    save_json(health_json(warnings), made.folder / "health.json")


def render(made: Synthetic, language: str = "en", verdict: Confirmation | None = None) -> str:
    results, study = made.results, load_study(made.study)
    if verdict:
        study = replace(study, options={**study.options, "confirm": {"seeds": [101]}})
        save_confirmation(verdict, results.verdict)
    save_resolved(study, results)
    sources = load_sources(results, language)
    return render_report(sources, results.figures, results.report(language))


def report(root: Path, language: str = "en", **kwargs) -> str:
    made = build_study(root, **kwargs)
    analyse(made)
    return render(made, language)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Synthetic:
    made = build_study(tmp_path_factory.mktemp("report"))
    analyse(made)
    return made


@pytest.fixture(scope="module")
def english(made) -> str:
    return render(made)


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next one that is as high."""
    marks, rest = re.search(rf"^(#+) {re.escape(title)}\n(.*)", text, re.M | re.S).groups()
    return re.split(rf"^#{{1,{len(marks)}}} ", rest, maxsplit=1, flags=re.M)[0]


# --- Catalogues ---


def test_every_key_of_the_catalogue_is_used_and_every_used_one_is_there():
    library = ROOT / "scripts" / "ablation"
    files = [*library.glob("words/*.py"), *library.glob("report/**/*.py"), TEMPLATE]
    code = "\n".join(file.read_text() for file in files)
    literals = set(re.findall(r"""["']([\w.]+)["']""", code))
    starts = tuple(re.findall(r"""f?["']([\w.]+\.)["'{]""", code))
    keys = set(load_catalogue("report", "en"))
    called = set(re.findall(r"""\b(?:t|self|messages)\(\s*["']([\w.]+)["']""", code))
    assert {key for key in called if not key.endswith(".")} <= keys
    assert {key for key in keys if key not in literals and not key.startswith(starts)} == set()


def test_there_is_a_title_for_every_group_of_settings():
    assert {f"group.{group}" for group in GROUPS} <= set(load_catalogue("report", "en"))


# --- Numbers ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2e-05, "2e-5"),
        (2.5e-07, "2.5e-7"),
        (0.01, "0.01"),
        (256.0, "256"),
        ([28, 29, 30, 31], "28-31"),
        ([1, 3], "1, 3"),
        (0.00099999999999, "0.001"),
        ({"a": 0.1}, "a=0.1"),
        (True, "true"),
        ("none", "none"),
    ],
)
def test_values_read_as_people_write_them(value, text):
    assert short_value(value) == text


def test_numbers_are_formatted_in_one_place_for_both_languages():
    en, ko = (Messages(language, load_catalogue("report", language)) for language in LANGUAGES)
    assert en.difference(0.123, "eval_accuracy") == "+12.3 points"
    assert ko.difference(-0.123, "eval_accuracy") == "−12.3%p"
    assert en.difference(-0.5, "eval_loss") == "−0.500"
    assert en.number(1440) == "1,440"
    assert en.number(2.86e-5) == "2.86e-5"
    assert (en.seconds(45.2), en.seconds(600), ko.seconds(7200)) == (
        "45.2 s",
        "10.0 min",
        "2.0시간",
    )
    assert en.memory(1.5 * 2**30) == "1.50 GiB"
    assert (en.factor(3), ko.factor(3)) == ("3×", "3배")
    assert en.percent(None) == "–"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((2e-3, 1e-3 - 1e-12), ["0.002", "0.001"]),
        ((2e-3, 2e-4), ["2e-3", "2e-4"]),
        ((0.5, 5e-5), ["0.5", "5e-5"]),
        ((0.054, 0.104), ["0.054", "0.104"]),
        ((5.87e12, 1.2e13), ["5.87e12", "1.2e13"]),
        ((0.0, None), ["0", "–"]),
    ],
)
def test_numbers_that_are_compared_are_written_alike(values, told):
    assert Messages("en", load_catalogue("report", "en")).numbers(*values) == told


def test_values_of_both_files_are_written_alike():
    texts = Messages("en", load_catalogue("report", "en"))
    assert texts.values(2e-3, 5e-5) == ["`2e-3`", "`5e-5`"]
    assert texts.values(0.01, 0.002, True) == ["`0.01`", "`0.002`", "`true`"]


# --- The report ---


def test_the_date_is_that_of_the_newest_measurement(english):
    assert "**Date**: 2025-10-09" in english


def test_rendering_again_gives_the_same_text(made, english):
    assert render(made) == english


def test_the_answer_stands_before_any_section(english):
    answer = english.partition("\n## ")[0]
    change, gain, sure = re.findall(r"^- (\*\*.*)$", answer, re.M)
    assert change.startswith("**What to change, largest gain first:** Epochs `2` → `6`, ")
    assert change.endswith(", and 13 more settings. In all: the whole backup.")
    assert (effect := re.match(r"\*\*What it gains:\*\* (\+\d+\.\d points \[.*?\], n = 3), ", gain))
    assert effect[1] in section(english, "Recommendations")
    assert "above 1.0 points" in sure and "fresh seeds have not confirmed it" in sure
    assert "It contains stage 1" in sure and "[Recommendations](#recommendations)" in sure
    assert "figures/waterfall.svg" in answer
    diff = re.search(r"^```diff\n(.*?)```", answer, re.M | re.S)[1].splitlines()
    assert len(diff) == 10 and '-    padding: "longest"' in diff
    assert "[the whole patch](recommended/training.patch)" in answer


def test_evidence_and_method_are_an_appendix(english):
    titles = re.findall(r"^## (.*)$", english, re.M)
    assert titles[:2] == ["The staged path", "Expected and measured"]
    assert titles[-1] == "Appendix: evidence and method"
    assert "### Every planned contrast" in section(english, titles[-1])


def test_the_sections_stand_in_the_order_of_the_source(english):
    titles = re.findall(r"^### \d+\. (.*)$", english, re.M)
    assert titles[:9] == [
        "LoRA",
        "Learning rate",
        "Batch size and gradient accumulation",
        "Weight decay",
        "Number of epochs",
        "Learning-rate scheduler",
        "Maximum length of the text",
        "DeepSpeed and memory",
        "Data",
    ]


def test_claimed_and_measured_impact_stand_side_by_side(english):
    row = next(line for line in english.splitlines() if line.startswith("| Epochs"))
    assert row.split(" | ")[1:4] == ["`2`", "`6`", "HIGH"]
    assert re.search(r"\*\*HIGH\*\*, helps: \+1\d\.\d points \[.*\], n = 3 \(stage 2\)", row)


def test_excerpts_are_the_users_own_lines_with_their_place(english):
    lora = section(english, "1. LoRA")
    assert "`training.yml:12-13, 16`" in lora
    assert "    r: 8\n    lora_alpha: 16" in lora
    assert "layers_to_transform: [-3, -2, -1]" in lora


def test_the_effective_batch_is_multiplied_out(english):
    assert "16 × 1 × 4 devices = 64 rows" in english
    assert "8 × 2 × 4 devices = 64 rows" in english


def test_a_difference_in_data_has_its_section_and_is_called_overlooked(english):
    data = section(english, "9. Data")
    assert "500 (current), 1,000 (backup)" in data
    assert "do not mention this difference" in data


def test_the_recommended_arm_is_told_with_its_patch_its_steps_and_what_would_tell_more(english):
    text = section(english, "Recommendations")
    assert "-    num_train_epochs: 2        # short on purpose" in text
    assert "+    num_train_epochs: 6        # short on purpose" in text
    assert "`recommended/training.yml`" in text and "--- a/training.yml" in text
    assert "**Recommended: the whole backup.**" in text
    assert "1. **Stage 1 (LoRA rank/alpha and learning rate)**: −" in text
    assert "`without-lora_lr`: stage 1" in text and "designs: [leave_one_out]" in text
    assert "fresh seeds have not confirmed it" in text and "confirm: {seeds: [101," in text


def test_the_figures_are_relative_images_with_alternative_text(english):
    images = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", english)
    assert {link for _, link in images} == {f"figures/{name}.svg" for name in figures_of([])}
    assert all(alt for alt, _ in images)


def test_every_table_has_as_many_cells_in_each_row(english):
    for block in re.findall(r"(?:^\|.*\n)+", english, re.M):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block


@pytest.mark.parametrize("name", ["default", "every_design", "confirmed"])
@pytest.mark.parametrize("report", ["report.md", "report.ko.md"])
def test_no_table_has_two_columns_of_the_same_name(name, report):
    text = (ROOT / "tests/golden" / name / report).read_text(encoding="utf-8")
    heads = re.findall(r"^\| (.*) \|\n\| ?---", text, re.M)
    assert len(heads) > 8
    for head in heads:
        columns = head.split(" | ")
        assert len(set(columns)) == len(columns), head


def test_both_languages_have_the_same_headings_tables_and_lines(made, english):
    korean = render(made, "ko")
    for pattern in (r"^#+ ", r"^\| ", r"^```", r"^- ", r"^!\["):
        assert len(re.findall(pattern, english, re.M)) == len(re.findall(pattern, korean, re.M))
    assert re.search(r"2단계\(에포크 수 증가\)", korean)


def test_numbers_carry_their_interval_and_n(english):
    causes = section(english, "Causes, ranked by measurement")
    rows = [line for line in causes.splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == 4
    assert all(re.search(r"points \[[+−][\d.]+, [+−][\d.]+\], n = 3", row) for row in rows)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_metric_at_its_ceiling_is_warned_of_with_a_finer_one(made, tmp_path, language):
    finer = "`metric: {name: eval_loss"
    assert finer in report(tmp_path, language, effects={"epochs": 0.45}, noise=0.0001)
    assert finer not in render(made, language)


def test_only_arms_with_the_same_rows_and_batch_share_the_order_of_the_data(tmp_path):
    """Seen: arms of another batch were said to see the rows in the same order."""
    made = build_study(tmp_path)
    analyse(made)
    assert "Groups of such arms: Current, stages 1 to 3; Backup." in render(made)
    grid = load_json(made.grid)
    for arm in grid["arms"]:
        if arm["arm"] in ARMS[2:4]:
            arm["settings"]["gradient_accumulation_steps"] *= 2
    save_json(grid, made.grid)
    groups = re.search(r"Groups of such arms: (.*?\.)", render(made)).group(1)
    assert groups == "Current, stage 1; Stage 2, stage 3; Backup."


def test_missing_and_diverged_runs_are_listed(tmp_path):
    text = report(tmp_path, missing=[("backup", 3)], diverged=[("stage1-lora_lr", 2)])
    absent = section(text, "Missing and diverged runs")
    assert "Backup: not run, or not finished, with seed 3." in absent
    assert "diverged with seed 2." in absent
    assert "A divergence is a verdict of its own" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_any_finished_run_the_report_is_the_plan(tmp_path, language):
    runs = [(arm, seed) for arm in ARMS for seed in (1, 2, 3)]
    text = report(tmp_path, language, missing=runs)
    assert "waterfall" not in text
    assert "(figures/learning_rates." in text
    assert "nan" not in text.lower().replace("finance", "")


def test_one_seed_says_that_it_has_no_interval(tmp_path):
    text = report(tmp_path, seeds=(1,))
    assert "one seed has no interval" in text
    assert "(no interval), n = 1" in text
    assert "**Nothing is recommended:**" in text


def test_undecided_comes_with_the_seeds_that_would_decide(tmp_path):
    text = report(tmp_path, noise=0.03, seeds=(1, 2, 3, 4))
    assert re.search(r"undecided \(\d+ to \d+ seeds in all would decide\)", text)
    assert re.search(r"^sequential: \{looks: \[4, 6(, \d+)*\]\}$", text, re.M)


def test_a_study_without_claims_still_reports(tmp_path):
    study = copy.deepcopy(STUDY)
    del study["claims"]
    text = report(tmp_path, study=study)
    assert "The study lists no claims." in text
    assert "do not mention" not in text


def test_a_metric_where_lower_is_better_is_reported_in_its_own_unit(tmp_path):
    metric = {"name": "eval_loss", "higher_is_better": False, "delta": 0.05}
    text = report(tmp_path, study={**STUDY, "metric": metric, "claims": {}})
    assert "Evaluation loss: 1." in text
    assert "The improvement from current to backup, seed by seed (minus is worse): +0.3" in text
    row = next(line for line in text.splitlines() if line.startswith("| 1 | Stage 2"))
    assert "| +0.3" in row and "helps" in row


@pytest.mark.parametrize(
    ("contrast", "compared"),
    [
        ("stage:epochs", "stage 2 against the arm before it"),
        ("only:epochs", "stage 2 (More epochs), alone"),
        ("without:epochs", "stage 2 (More epochs), on top of all others"),
        ("total:stage2-epochs", "stage 1 + stage 2, against current"),
    ],
)
def test_a_claim_may_be_about_any_contrast(tmp_path, contrast, compared):
    study = copy.deepcopy(STUDY) | {"designs": ["one_at_a_time", "leave_one_out"]}
    study["claims"]["statements"][1]["contrast"] = contrast
    text = report(tmp_path, study=study)
    assert f"| Final accuracy rises | Accuracy | {compared} |" in text


def test_without_a_remainder_all_stages_are_the_gap_and_told_once(tmp_path):
    study = copy.deepcopy(STUDY)
    found = load_study(build_study(tmp_path / "plan").study).unstaged()
    study["stages"].append({"name": "rest", "title": {"en": "The rest"}, "settings": found})
    text = report(tmp_path / "whole", study=study)
    assert "Stage 4 (The rest)" in text and "Remainder" not in text
    assert "All stages together" not in text


def test_one_stage_that_is_the_whole_gap_is_reported_though_nothing_is_recommended(tmp_path):
    study = copy.deepcopy(STUDY)
    plan = load_study(build_study(tmp_path / "plan").study)
    found = [*plan.unstaged(), *(name for stage in plan.stages for name in stage.settings)]
    study["stages"] = [{"name": "all", "title": {"en": "All of it"}, "settings": found}]
    study["claims"] = {}
    text = report(tmp_path / "whole", study=study, seeds=(1,))
    assert "**Nothing is recommended:**" in text and "Stage 1 (All of it)" in text


def test_a_small_delta_is_not_rounded(tmp_path):
    metric = {"name": "eval_accuracy", "higher_is_better": True, "delta": 0.0025}
    text = report(tmp_path / "score", study={**STUDY, "metric": metric})
    assert "HIGH from 1.25 points, MEDIUM from 0.5 points, LOW from 0.25 points" in text
    assert "Surely smaller than 0.25 points |" in text
    metric = {"name": "eval_loss", "higher_is_better": False, "delta": 0.0004}
    text = report(tmp_path / "loss", study={**STUDY, "metric": metric, "claims": {}})
    assert "Surely smaller than 4e-4 |" in text and "than 0.000" not in text


def test_a_stage_may_have_the_name_of_a_text(tmp_path):
    study = copy.deepcopy(STUDY)
    study["stages"][1]["name"] = study["claims"]["statements"][1]["contrast"] = "stage"
    text = report(tmp_path, study=study)
    assert "| Final accuracy rises | Accuracy | stage 2 against the arm before it |" in text


def test_text_of_the_study_cannot_break_a_table(tmp_path):
    study = copy.deepcopy(STUDY)
    study["stages"][1]["title"] = {"en": "more | epochs"}
    text = report(tmp_path, study=study)
    assert "more &#124; epochs" in text


def test_the_script_renders_without_importing_torch_and_does_little(made):
    folder = made.folder
    code = (
        "import sys, runpy\n"
        f"sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        f"sys.argv = ['render_report.py', '--results', {str(folder)!r}, '--language', 'ko']\n"
        f"runpy.run_path({str(ROOT / 'scripts' / 'render_report.py')!r}, run_name='__main__')\n"
        "heavy = {'torch', 'transformers', 'deepspeed', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    calls, _ = count_calls(code, ROOT)
    assert calls < 5_500_000  # 3.8 million when this was written
    assert "권장 사항" in (folder / "report.ko.md").read_text(encoding="utf-8")


def test_the_figure_and_effect_scripts_do_not_import_torch(tmp_path):
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "import collect_metrics, estimate_effects, draw_figures\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("language", "title"),
    [("en", "They train on different amounts of data"), ("ko", "학습 데이터의 양이 다르다")],
)
def test_what_needed_no_training_is_told_with_its_lines(tmp_path, language, title):
    folder = ROOT / "config/studies/debian_sections"
    made = build_study(tmp_path, configurations=folder)
    analyse(made)
    findings = explain_study(load_study(folder / "study.yaml"))
    save_json(findings, made.resolved / "findings.json")
    text = render(made, language)
    assert title in text
    assert "`training.yml:13, 63`; `deepspeed.yml:118, 132`" in text
    assert "218,880" in text


def test_warnings_about_the_runs_are_in_the_report(tmp_path):
    made = build_study(tmp_path)
    analyse(made)
    warnings = load_json(made.folder / "health.json")["warnings"]
    text = render(made)
    assert all(warning["title"]["en"] in text for warning in warnings)
    assert ("Health of the runs" in text) == bool(warnings)


DESIGNED = {**STUDY, "designs": ["staged", "one_at_a_time", "leave_one_out", "factorial", "a_a"]}


def test_planned_contrasts_are_listed_with_both_intervals_and_the_floor_in_words(english):
    text = section(english, "Evidence")
    planned = section(text, "Every planned contrast")
    rows = [line for line in planned.splitlines() if re.match(r"\| (stage|remainder|backup)", line)]
    assert len(rows) == 7
    assert all(len(re.findall(r"\[[+−][\d.]+, [+−][\d.]+\]", row)) == 2 for row in rows)
    assert "3 seeds cannot reach 0.05 over 7 comparisons by signs alone" in english
    assert "adjusted over the 7 planned contrasts" in english
    assert "Shapley" not in text and "Seeds added" not in text


def test_undecided_says_over_how_many_comparisons(tmp_path):
    assert "undecided, corrected over 7 comparisons" in report(tmp_path, noise=0.03)


@pytest.mark.parametrize("looks", [None, {"looks": [3, 5, 8]}])
def test_designs_have_their_sections_in_both_languages(tmp_path, looks):
    made = build_study(tmp_path, study={**DESIGNED, "sequential": looks})
    analyse(made)
    english, korean = render(made), render(made, "ko")
    for title in ("One at a time", "Shapley values", "Interactions", "smallest detectable"):
        assert title in english
    assert "A/A" in english and "interactions.ko.svg" in korean
    assert ("#### Seeds added until decided" in english) == bool(looks)
    for pattern in (r"^#+ ", r"^\| ", r"^- ", r"^!\["):
        assert len(re.findall(pattern, english, re.M)) == len(re.findall(pattern, korean, re.M))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_confirmation_is_told_with_its_verdict(made, language):
    effect = Estimate(0.1, 0.02, 3, (11, 12, 13), 0.05, 0.15, 0.06, 0.14)
    verdict = Confirmation(
        status="confirmed",
        reason="beats_current_and_keeps_up",
        few_seeds=True,
        stages=("epochs",),
        seeds=(11, 12, 13),
        over_current=effect,
        over_backup=effect,
        delta=0.01,
    )
    text = render(made, language, verdict)
    assert "11, 12, 13" in text and "[+6.0, +14.0]" in text


def test_an_arm_that_the_file_cannot_say_is_told_with_the_reason(tmp_path):
    study = {**STUDY, "current": "deepspeed.yml", "backup": "training.yml", "claims": {}}
    study["stages"] = [{"name": "best", "settings": ["load_best_model_at_end"]}]
    text = report(tmp_path, study=study, effects={"best": 0.1, "remainder": 0.0})
    assert "cannot be written as a change of `deepspeed.yml`" in text
    assert "cannot say what the arm changes" in text
