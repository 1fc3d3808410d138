"""A study that is wrong says where, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.command.studies import find_study
from ablation.errors import UserError
from ablation.evidence.outcomes import quantities
from ablation.study.claim import SEED_SPREAD, measured_quantities
from ablation.study.load import check_options, load_study, read_options
from ablation.study.names import study_file
from ablation.words.catalogue import localized


def message(folder) -> str:
    with pytest.raises(UserError) as caught:
        load_study(folder / "study.yaml")
    return str(caught.value)


@pytest.mark.parametrize("name", ["account_tax", "debian_sections"])
def test_every_shipped_study_loads(root, name):
    study = load_study(root / "config/studies" / name / "study.yaml")
    assert study.name == name
    assert study.stages


def test_the_source_configurations_are_byte_for_byte_those_of_the_source(root):
    import hashlib

    folder = root / "config/studies/account_tax"
    sums = {
        "training.yml": "68952dac8d2de29928ce4fafba529cdde31a19ed7071e5443fb66b38be4dc816",
        "deepspeed.yml": "53497b0ec2a0c0529733a40e65ef7d070092ca89c0e89ef062a232af359244cf",
    }
    for name, expected in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected


def test_both_studies_have_the_same_differences(root):
    names = []
    for study in ("account_tax", "debian_sections"):
        loaded = load_study(root / "config/studies" / study / "study.yaml")
        names.append({d.setting for d in loaded.differences if d.trained})
    # The machine's: the laptop has neither loader processes nor pinned memory.
    machine = {
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "deepspeed.zero_optimization.offload_optimizer.pin_memory",
    }
    assert names[0] - machine == names[1] - machine


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_one(account_tax, edit):
    edit("study.yaml", "seeds: [1, 2, 3]", "sedes: [1, 2, 3]")
    text = message(account_tax)
    assert "study.yaml:20: unknown key 'sedes'" in text
    assert "write:   seeds: …" in text


def test_an_unknown_stage_setting_is_named_with_its_line_and_the_nearest_one(account_tax, edit):
    edit("study.yaml", "settings: [num_train_epochs]", "settings: [num_train_epoch]")
    text = message(account_tax)
    assert "study.yaml:64: a stage names an unknown setting" in text
    assert "write:   - num_train_epochs" in text


def test_a_stage_that_changes_nothing_is_an_error(account_tax, edit):
    edit("study.yaml", "settings: [num_train_epochs]", "settings: [adam_beta1]")
    assert "stage 'epochs' changes nothing" in message(account_tax)


def test_a_stage_of_differences_without_effect_is_an_error(account_tax, edit):
    edit("training.yml", "load_best_model_at_end: true", "load_best_model_at_end: false")
    edit("study.yaml", "settings: [num_train_epochs]", "settings: [metric_for_best_model]")
    assert "stage 'epochs' changes nothing" in message(account_tax)


def test_a_setting_that_is_held_equal_cannot_be_staged(account_tax, edit):
    edit("study.yaml", "settings: [num_train_epochs]", "settings: [split.test_size]")
    assert "held equal in all arms" in message(account_tax)


def test_a_setting_in_two_stages_is_an_error(account_tax, edit):
    edit("study.yaml", "settings: [num_train_epochs]", "settings: [num_train_epochs, lora.r]")
    assert "lora.r, already in stage 'lora_learning_rate'" in message(account_tax)


def test_all_wrong_settings_are_said_at_once(account_tax, edit):
    edit("study.yaml", "settings: [num_train_epochs]", "settings: [epochz, lr]")
    text = message(account_tax)
    assert "2 problems" in text and "epochz" in text and "lr" in text


def test_a_missing_configuration_is_named_with_the_files_that_are_there(account_tax, edit):
    edit("study.yaml", "current: training.yml", "current: train.yml")
    text = message(account_tax)
    assert "study.yaml:13: the current configuration does not exist" in text
    assert "training.yml" in text


def test_a_stage_cannot_be_named_like_a_path(account_tax, edit):
    edit("study.yaml", "name: epochs", "name: ../epochs")
    assert "'stages.1.name' cannot be so" in message(account_tax)


@pytest.mark.parametrize("name", ["a/b", "..", "", "with space", None])
def test_a_study_name_that_is_no_folder_name_is_refused(root, name):
    with pytest.raises(UserError, match="cannot be used"):
        study_file(name, root / "config/studies")


def test_an_unknown_study_suggests_the_nearest(root):
    with pytest.raises(UserError, match="write:   study: account_tax"):
        study_file("acount_tax", root / "config/studies")


def test_a_study_that_a_command_names_is_looked_for_here_too_and_no_line_of_a_file_is_advised(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config/studies/news").mkdir(parents=True)
    (tmp_path / "config/studies/news/study.yaml").touch()
    with pytest.raises(UserError) as caught:
        find_study("nws")
    assert caught.value.write == "news" and "account_tax" in caught.value.allowed
    (tmp_path / "config/config.yaml").write_text("study: nws\n")
    with pytest.raises(UserError, match="write:   study: news"):
        find_study(None)
    assert find_study("news") == Path("config/studies/news/study.yaml")
    assert find_study("account_tax").is_file()


def test_an_unknown_option_of_the_workflow_is_refused():
    with pytest.raises(UserError, match="unknown key"):
        check_options({"study": "account_tax", "devices": 2})


def test_options_of_the_workflow_get_their_defaults():
    options = {"study": "account_tax"}
    check_options(options)
    assert options["devices_per_run"] == "auto"


def test_texts_fall_back_to_english(account_tax):
    title = load_study(account_tax / "study.yaml").options["title"]
    assert localized(title, "ko") != localized(title, "en") == localized(title, "fr")


def test_rows_are_split_and_serialized_as_the_current_side_says(account_tax):
    options = load_study(account_tax / "study.yaml").data_options()
    assert options["label_column"] == "acct_code"
    assert options["split"]["val_size"] == 0.1
    assert options["serialization"]["separator"] == "| "


def test_a_stage_moves_the_arguments_of_its_scheduler_with_it(account_tax, edit):
    edit("study.yaml", "lr_scheduler_type, lr_scheduler_kwargs", "lr_scheduler_type")
    study = load_study(account_tax / "study.yaml")
    assert "lr_scheduler_kwargs" in study.stages[2].settings


SPLIT = "data:\n  split: {{test_size: {}, val_size: {}}}\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        (
            "study.yaml",
            "name: eval_accuracy\n  higher_is_better: true",
            "name: eval_loss\n  higher_is_better: true",
            ["study.yaml:24: ", "lower is better", "write:   higher_is_better: false"],
        ),
        (
            "study.yaml",
            "name: eval_accuracy\n  higher_is_better: true",
            "name: eval_macro_f1\n  higher_is_better: false",
            ["study.yaml:24: ", "higher is better", "write:   higher_is_better: true"],
        ),
        ("study.yaml", "delta: 0.01", "delta: 5", ["study.yaml:25: ", "write:   delta: 0.05"]),
        ("study.yaml", "delta: 0.01", "delta: 1", ["study.yaml:25: ", "write:   delta: 0.01"]),
        (
            "study.yaml",
            "delta: 0.01",
            "delta: 0.01\n  impact_multiples: {low: 10}",
            ["study.yaml:26: ", "must rise from low to high"],
        ),
        (
            "study.yaml",
            "data:\n",
            SPLIT.format(0.6, 0.5),
            ["study.yaml:45: ", "leaves no rows for training", "= 1.1"],
        ),
        ("study.yaml", "data:\n", SPLIT.format(0, 0.1), ["test_size is not a share of the rows"]),
        ("training.yml", "test_size: 0.2", "test_size: 0.95", ["leaves no rows for training"]),
        (
            "study.yaml",
            "data:\n",
            "data:\n  split_per: seed\n  split: {seed: 7}\n",
            ["data.split.seed has no effect", "split_per: study"],
        ),
        ("study.yaml", "data:\n", "data:\n  encoding: utf-88\n", ["study.yaml:45: ", "cp949"]),
        ("study.yaml", "seeds: [1, 2, 3]", "seeds: [1.0, 2.0]", ["study.yaml:20: ", "2.0"]),
        ("study.yaml", "name: epochs", "name: gap", ["study.yaml:62: ", "cannot have this name"]),
        ("study.yaml", "name: epochs", "name: current", ["cannot have this name"]),
        ("study.yaml", "backup: deepspeed.yml", "backup: training.yml", ["nothing to compare"]),
    ],
)
def test_what_would_spoil_a_finished_study_is_refused_before_it_starts(
    account_tax, edit, file, old, new, parts
):
    edit(file, old, new)
    text = message(account_tax)
    for part in parts:
        assert part in text


CLAIM = "- {id: mine, text: {en: Mine}, quantity: eval_accuracy, unit: absolute, low: 0.05}"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("low: 0.05}", "contrast: epoch, low: 0.05}", ["unknown contrast", "contrast: epochs"]),
        (
            "low: 0.05}",
            "contrast: 'only:epoch', low: 0.05}",
            ["unknown contrast", "contrast: only:epochs"],
        ),
        (
            "low: 0.05}",
            "contrast: 'shaply:epochs', low: 0.05}",
            ["unknown contrast", "contrast: shapley:epochs"],
        ),
        (
            "quantity: eval_accuracy,",
            "quantity: steps, contrast: all_stage, decided_by: arithmetic,",
            ["unknown contrast", "contrast: all_stages"],
        ),
        ("quantity: eval_accuracy", "quantity: accuracy", ["unknown quantity", "eval_accuracy"]),
        (
            "quantity: eval_accuracy,",
            "quantity: step, contrast: gap, decided_by: arithmetic,",
            ["unknown quantity", "quantity: steps"],
        ),
        ("unit: absolute", "unit: value", ["unknown unit"]),
        (", low: 0.05", "", ["empty range"]),
        ("low: 0.05", "low: 0.05, high: 0.01", ["empty range"]),
        ("low: 0.05", "low: 0.05, arm: backup", ["needs no run", "decided_by: arithmetic"]),
        ("quantity: eval_accuracy", "quantity: seed_spread", ["a spread is compared as a ratio"]),
        ("id: mine", "id: stability", ["two claims have the same id"]),
    ],
)
def test_a_claim_that_no_result_could_decide_is_refused_before_it_starts(
    account_tax, edit, old, new, parts
):
    assert old in CLAIM
    edit("study.yaml", "  statements:\n", f"  statements:\n    {CLAIM.replace(old, new)}\n")
    text = message(account_tax)
    assert "study.yaml:96: " in text or "study.yaml:97: " in text
    for part in parts:
        assert part in text


def test_a_claim_of_impact_names_a_setting(account_tax, edit):
    edit("study.yaml", "{setting: lora.r, impact: HIGH}", "{setting: lora.rr, impact: HIGH}")
    text = message(account_tax)
    assert "a claim names an unknown setting" in text and "setting: lora.r" in text


def test_lower_is_better_for_a_loss_that_does_not_say(account_tax, edit):
    edit("study.yaml", "name: eval_accuracy\n  higher_is_better: true", "name: eval_loss")
    study = load_study(account_tax / "study.yaml")
    assert study.options["metric"]["higher_is_better"] is False


def test_a_claim_is_about_all_stages_where_it_names_no_contrast(account_tax, edit):
    edit("study.yaml", "  statements:\n", f"  statements:\n    {CLAIM}\n")
    options = read_options(account_tax / "study.yaml")
    assert options["claims"]["statements"][0]["contrast"] == "all_stages"
    assert options["metric"]["delta"] == 0.01


@pytest.mark.parametrize("name", ["eval_accuracy", "eval_weighted_f1", "eval_loss"])
def test_the_quantities_that_claims_may_name_are_those_that_are_measured(name):
    measured = quantities({"name": name, "higher_is_better": True})
    assert {*measured, SEED_SPREAD} == set(measured_quantities(name))


def test_missing_keys_are_named_once(account_tax):
    (account_tax / "study.yaml").write_text("title: {en: Mine}\n")
    text = message(account_tax)
    assert "problems" not in text and "current, backup, model, data, stages must be there" in text


def test_a_fact_of_the_model_that_is_true_or_false_is_nothing_else(account_tax, edit):
    edit("study.yaml", "tie_word_embeddings: true", "tie_word_embeddings: sometimes")
    told = message(account_tax)
    assert "study.yaml:" in told and "tie_word_embeddings" in told and "sometimes" in told
