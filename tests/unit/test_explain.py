"""What `explain` prints and writes, and the claims that it decides."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablation.comparison.findings.texts import load_texts
from ablation.errors import UserError
from ablation.settings.quantities import STATED, DataFacts, compute
from ablation.study import arithmetic
from ablation.study.explain import explain_files, explain_study
from ablation.study.explain_text import WIDTH, render, sparkline
from ablation.study.load import load_study
from ablation.words.catalogue import LANGUAGES
from ablation.words.terminal import width_of, wrap

# --- Output ------------------------------------------------------------------------------------


@pytest.fixture
def said(account_tax: Path) -> dict[str, Any]:
    """The explanation of the source study."""
    return explain_study(load_study(account_tax / "study.yaml"))


def test_every_line_fits_a_terminal_in_both_languages(said):
    for language in LANGUAGES:
        for every in (False, True):
            text = render(said, load_texts(language), every)
            assert max(map(width_of, text.splitlines())) <= WIDTH


TABLE = {
    "lora.r": (40, 13),
    "lora.lora_alpha": (41, 14),
    "lora.layers_to_transform": (44, 17),
    "learning_rate": (66, 24),
    "per_device_train_batch_size": (63, 30),
    "gradient_accumulation_steps": (65, 31),
    "weight_decay": (67, 53),
    "num_train_epochs": (62, 118),
    "deepspeed.zero_optimization.offload_optimizer.device": (98, 38),
    "max_length": (30, 129),
    "lr_scheduler_type": (None, 81),
}
MISSED = {
    "data.extract_ratio": (13, 132),
    "data.max_classes": (11, None),
    "padding": (32, 130),
    "gradient_checkpointing": (78, None),
    "load_best_model_at_end": (81, None),
}


def test_the_sources_differences_and_those_it_missed_have_their_lines(said):
    found = {d["setting"]: d for d in said["differences"]}
    for setting, lines in {**TABLE, **MISSED}.items():
        assert (found[setting]["current"]["line"], found[setting]["backup"]["line"]) == lines


def test_bookkeeping_is_one_line_unless_asked_for(said):
    texts = load_texts("en")
    folded, whole = render(said, texts), render(said, texts, every=True)
    assert "deepspeed.yml:55" not in folded
    assert "50 (deepspeed.yml:55)" in whole


def test_numbers_on_the_screen_are_those_of_the_json(said):
    text = render(said, load_texts("en"))
    for number in ("21,688,320", "32,174,080", "2.5e-7", "33.3×", "3.33×", "17.2×"):
        assert number in text


def test_quantities_carry_their_formula_and_ratio(said):
    found = {quantity["name"]: quantity for quantity in said["quantities"]}
    assert found["effective_batch"]["current"] == found["effective_batch"]["backup"] == 128
    assert found["sample_passes"]["ratio_low"] == pytest.approx(100 / 3)
    assert found["tokens_per_row"]["at_most"] == ["current"]
    assert found["tokens_per_row"]["ratio_high"] is None
    assert all(set(q["formula"]) == set(LANGUAGES) for q in said["quantities"])


def test_the_explanation_is_plain_json(said):
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_prepared_data_settles_what_lengths_do(account_tax, tmp_path):
    histogram = {"edges": list(range(0, 301, 10)), "counts": [0] * 11 + [9] + [0] * 18}
    quantiles = dict.fromkeys(("mean", "median", "p95", "p99"), 115.0)
    profile = {
        "rows": {"train": 1000, "validation": 100, "test": 200},
        "num_labels": 2,
        "label_counts": [600, 400],
        "tokens": {**quantiles, "max": 120, "histogram": histogram},
        "truncated_share": {"256": 0.0, "320": 0.0},
    }
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(profile))
    said = explain_study(load_study(account_tax / "study.yaml"), path)
    seen = {finding["id"]: finding for finding in said["findings"]}
    assert "max_length_idle" in seen
    assert seen["class_filter_idle"]["evidence"]["classes"] == 2
    assert seen["padding_wasted"]["evidence"]["real"] == pytest.approx(114.5)
    assert "compute" in seen
    for language in LANGUAGES:
        assert "1,000" in render(said, load_texts(language))


def run(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts/explain.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_it_takes_a_name_a_folder_or_a_file(root, account_tax):
    study = account_tax / "study.yaml"
    outputs = [run(root, what) for what in ("account_tax", account_tax, study)]
    assert [output.returncode for output in outputs] == [0, 0, 0]
    heads = [output.stdout.splitlines()[0] for output in outputs]
    assert heads == ["account_tax: what the two configurations do"] * 3


def test_it_takes_two_bare_files(root, account_tax, tmp_path):
    output = tmp_path / "findings.json"
    sides = account_tax / "training.yml", account_tax / "deepspeed.yml"
    result = run(root, *sides, "--layers", 36, "--json", "--output", output)
    assert result.returncode == 0, result.stderr
    assert json.loads(output.read_text())["findings"][0]["id"] == "data_amount"


def test_it_takes_the_models_config(root, account_tax, tmp_path):
    facts = yaml.safe_load((account_tax / "study.yaml").read_text())["model"]["architecture"]
    (tmp_path / "config.json").write_text(json.dumps(facts))
    sides = account_tax / "training.yml", account_tax / "deepspeed.yml"
    result = run(root, *sides, "--model-config", tmp_path / "config.json")
    assert "32,174,080" in result.stdout


def test_a_mistake_is_a_message(root, account_tax):
    for arguments in (["no_such_study"], ["a.yml", "b.yml"], [account_tax, "x", "y"]):
        result = run(root, *arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.stderr


def test_it_needs_neither_torch_nor_pandas(root):
    code = (
        "import sys, runpy; sys.argv = ['explain.py', 'account_tax']; "
        "sys.path.insert(0, 'scripts'); runpy.run_path('scripts/explain.py', run_name='__main__'); "
        "heavy = {'torch', 'transformers', 'pandas', 'scipy', 'datasets'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_text_is_wrapped_by_columns_not_letters():
    assert wrap("학습 설정", 6) == ["학습", "설정"]
    assert wrap("abcdefgh", 3) == ["abc", "def", "gh"]
    assert sparkline([0.0, 0.5, 1.0], 1.0) == " ▄█"


# --- Claims ------------------------------------------------------------------------------------

SETTINGS = {
    "lora.r": 8,
    "lora.lora_alpha": 16.0,
    "learning_rate": 1e-4,
    "weight_decay": 0.01,
    "num_train_epochs": 3.0,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "world_size": 1,
    "warmup_steps": 0.0,
    "lr_scheduler_type": "constant",
    "lr_scheduler_kwargs": {},
    "max_length": 100,
    "padding": "longest",
}


def arms() -> dict:
    plan = DataFacts(STATED, 800)
    backup = {**SETTINGS, "num_train_epochs": 10.0, "max_length": 125}
    stage = {**SETTINGS, "num_train_epochs": 10.0}
    sides = {"current": SETTINGS, "stage1-epochs": stage, "backup": backup}
    return {name: compute(settings, plan, None) for name, settings in sides.items()}


def judge(**entry: Any) -> dict[str, Any]:
    entry = {"id": "it", "decided_by": "arithmetic", "unit": "factor", **entry}
    if "arm" not in entry:
        entry.setdefault("contrast", "gap")
    contrasts = arithmetic.contrasts_of([("epochs", "stage1-epochs")])
    return arithmetic.judge_statements([entry], arms(), contrasts)[0]


@pytest.mark.parametrize(
    ("entry", "verdict"),
    [
        ({"quantity": "steps", "low": 3.3, "high": 3.4}, "confirmed"),
        ({"quantity": "steps", "low": 4}, "refuted"),
        ({"quantity": "steps", "low": 2, "high": 3, "beyond": "refuted"}, "refuted"),
        ({"quantity": "steps", "low": 2, "high": 3}, "confirmed"),
        ({"quantity": "steps", "contrast": "epochs", "low": 3.3}, "confirmed"),
        ({"quantity": "steps", "contrast": "all_stages", "low": 3.3}, "confirmed"),
        ({"quantity": "steps", "contrast": "remainder", "low": 1, "high": 1}, "confirmed"),
        ({"quantity": "lora.scale", "low": 1.01}, "refuted"),
        ({"quantity": "learning_rate", "low": 1, "high": 1, "beyond": "refuted"}, "confirmed"),
        ({"quantity": "tokens_per_run", "low": 3, "high": 5}, "confirmed"),
        ({"quantity": "tokens_per_run", "low": 4}, "undecided"),
        ({"quantity": "tokens_per_run", "low": 5}, "refuted"),
        ({"quantity": "steps", "unit": "absolute", "low": 700, "high": 700}, "confirmed"),
        ({"quantity": "steps", "arm": "backup", "low": 1000, "high": 1000}, "confirmed"),
        ({"quantity": "steps", "arm": "backup", "low": 1, "high": 999}, "refuted"),
        ({"quantity": "trainable_parameters", "low": 2}, "unknown"),
    ],
)
def test_arithmetic_decides(entry, verdict):
    if verdict == "unknown":
        with pytest.raises(UserError, match="unknown quantity"):
            judge(**entry)
        return
    assert judge(**entry)["verdict"] == verdict


def test_the_verdict_carries_the_numbers():
    found = judge(quantity="steps", low=3)
    assert (found["arm_value"], found["reference_value"]) == (1000, 300)
    assert found["estimate"] == pytest.approx(10 / 3)


def test_statements_that_training_decides_are_left_to_it():
    entry = {"id": "accuracy", "quantity": "eval_accuracy", "contrast": "gap", "low": 0.05}
    assert arithmetic.judge_statements([entry], {}, {}) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"quantity": "steps", "low": 3, "high": 2},
        {"quantity": "steps"},
        {"quantity": "steps", "low": 1, "unit": "furlongs"},
        {"quantity": "steps", "low": 1, "beyond": "maybe"},
        {"quantity": "steps", "low": 1, "contrast": "no_such_stage"},
        {"quantity": "steps", "low": 1, "arm": "no_such_arm"},
        {"low": 1},
    ],
)
def test_a_claim_that_cannot_be_is_a_message(entry):
    with pytest.raises(UserError):
        judge(**entry)


def test_the_sources_claims_get_their_verdicts(account_tax):
    study = load_study(account_tax / "study.yaml")
    said = explain_study(study, rows=3_000_000)
    verdicts = {claim["id"]: claim for claim in said["claims"]}
    assert verdicts["parameters_twice"]["verdict"] == "refuted"
    assert verdicts["parameters_twice"]["estimate"] == pytest.approx(1.483, abs=1e-3)
    assert verdicts["alpha_raises_scale"]["verdict"] == "refuted"
    assert verdicts["batch_equal"]["verdict"] == "confirmed"
    assert verdicts["last_rate"]["verdict"] == "confirmed"
    assert verdicts["constant_rate"]["verdict"] == "refuted"
    assert verdicts["training_by_passes"]["estimate"] == pytest.approx(100 / 3)
    assert all(math.isfinite(c["estimate"]) for c in said["claims"] if c["estimate"] is not None)


def test_a_pair_of_other_dialects_is_explained(tmp_path):
    current, backup = tmp_path / "a.json", tmp_path / "b.json"
    current.write_text(json.dumps({"train_micro_batch_size_per_gpu": 8, "optimizer": ADAM}))
    backup.write_text(json.dumps({"train_micro_batch_size_per_gpu": 16, "optimizer": ADAM}))
    said = explain_files(current, backup, {})
    assert "effective_batch_differs" in {finding["id"] for finding in said["findings"]}
    assert render(said, load_texts("ko"))


ADAM = {"type": "AdamW", "params": {"lr": 1e-4}}


def test_an_arithmetic_claim_that_names_nothing_is_said_with_its_line(account_tax, edit):
    edit("study.yaml", "quantity: lora.r\n", "quantity: lora.rank\n")
    with pytest.raises(UserError, match=r"study.yaml:\d+: claim rank_twice names an unknown"):
        explain_study(load_study(account_tax / "study.yaml"))


def test_a_share_of_the_steps_is_told_from_steps_in_the_table(tmp_path):
    files = tmp_path / "a.yml", tmp_path / "b.yml"
    for file, steps in zip(files, ("0.1", "20"), strict=True):
        file.write_text(f"learning_rate: 0.1\nnum_train_epochs: 3\nwarmup_steps: {steps}\n")
    text = " ".join(render(explain_files(*files, {}), load_texts("en")).split())
    assert "0.1 of all steps" in text
    assert "20 of all steps" not in text


def test_what_follows_from_an_absent_key_has_no_empty_origin(tmp_path):
    files = tmp_path / "a.yml", tmp_path / "b.yml"
    flat = "learning_rate: 0.1\nnum_train_epochs: 3\n"
    for file, text in zip(files, (flat, f"{flat}lora_r: 8\n"), strict=True):
        file.write_text(text)
    text = render(explain_files(*files, {}), load_texts("en"))
    assert "derived: )" not in text
    assert "derived: None" not in text
