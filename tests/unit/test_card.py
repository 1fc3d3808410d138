"""The model card of an adapter."""

from __future__ import annotations

import copy
import re

import pytest
from huggingface_hub import ModelCard

from ablation.study.run_metrics import read_metrics
from ablation.training.card import card_name, model_card

CONFIG = {
    "study": "news",
    "variant": "r8-lr0.002-ep2-0badcafe",
    "seed": 3,
    "settings": {"learning_rate": 2e-3, "lora.r": 8, "lora.target_modules": ["q_proj"]},
    "model": {"path": "hub/tiny", "source": {"kind": "hub"}},
    "model_path": "hub/tiny",
    "data_fingerprint": "00ff",
}
SCORES = {"eval_loss": 1.5, "eval_accuracy": 0.75, "eval_macro_f1": 0.5, "eval_weighted_f1": None}
METRICS = {
    "status": "completed",
    "data": {"train_rows": 10, "validation_rows": 2, "test_rows": 4, "num_labels": 2},
    "quality": {"selected": "best", "best": SCORES, "final": {**SCORES, "eval_accuracy": 0.25}},
    "environment": {"versions": {"torch": "2.13.0"}, "code_commit": None},
}

MEASURED = read_metrics(METRICS)


def test_a_card_names_base_model_data_settings_scores_seed_and_versions():
    card = ModelCard(model_card(CONFIG, MEASURED, "en"))
    assert card.data.base_model == "hub/tiny"
    assert card.data.library_name == "peft"
    assert card.data.datasets == ["news"]
    assert card.data.metrics == ["accuracy", "f1", "loss"]
    assert card.data.model_name == "news, r8-lr0.002-ep2-0badcafe, seed 3"
    for told in ("seed 3", "| `learning_rate` | `0.002` |", "| `torch` | `2.13.0` |", "`00ff`"):
        assert told in card.text


def test_a_cards_scores_are_those_of_the_weights_that_the_adapter_holds():
    found = {one.metric_name: one.metric_value for one in card_of("best").data.eval_results}
    assert found == {"Accuracy": 0.75, "Macro F1": 0.5, "Loss": 1.5}
    assert card_of("final").data.eval_results[0].metric_value == 0.25


def test_each_language_has_a_card_of_its_own_with_the_same_front_matter():
    english, korean = (ModelCard(model_card(CONFIG, MEASURED, one)) for one in ("en", "ko"))
    assert "A LoRA adapter for sequence classification on `hub/tiny`" in english.text
    assert "`hub/tiny` 위에서 학습한 시퀀스 분류용 LoRA 어댑터" in korean.text
    assert "with the weights of the best epoch" in english.text
    assert "최고 에포크의 가중치" in korean.text and "## 설정" in korean.text
    assert not re.search("[가-힣]", english.text)
    assert english.data.to_dict() == korean.data.to_dict()
    assert [card_name(one) for one in ("en", "ko")] == ["README.md", "README.ko.md"]


def card_of(selected: str) -> ModelCard:
    quality = {**METRICS["quality"], "selected": selected}
    return ModelCard(model_card(CONFIG, read_metrics({**METRICS, "quality": quality}), "en"))


def test_a_diverged_run_has_a_card_without_scores():
    quality = {"selected": "best", "best": None, "final": None}
    card = ModelCard(model_card(CONFIG, read_metrics({**METRICS, "quality": quality}), "en"))
    assert card.data.eval_results is None
    assert "diverged" in card.text


@pytest.mark.parametrize("study", ["a: b", "`x` | [y](z)", "---", "- <b>"])
def test_a_name_cannot_break_a_card(study):
    card = ModelCard(model_card({**CONFIG, "study": study}, MEASURED, "en"))
    assert card.data.datasets == [study]
    assert "\n## Settings\n" in card.text
    assert "[y](z)" not in card.text.replace("`'x' | [y](z)`", "")


def test_a_card_names_no_folder_of_the_machine_and_no_secret(tmp_path):
    folder = tmp_path / "home" / "somebody" / "tiny"
    folder.mkdir(parents=True)
    config = copy.deepcopy(CONFIG) | {"model_path": str(folder), "model": {"path": str(folder)}}
    config["settings"]["note"] = "hf_abcdefghijklmnop"
    card = ModelCard(model_card(config, MEASURED, "en"))
    assert card.data.base_model == "tiny"
    assert str(tmp_path) not in card.content
    assert "hf_abcdefghijklmnop" not in card.content


def test_a_model_of_a_package_is_called_by_its_requirement():
    config = {**CONFIG, "model": {"path": ".", "source": {"package": {"requirement": "m==0.1"}}}}
    assert ModelCard(model_card(config, MEASURED, "en")).data.base_model == "m==0.1"
