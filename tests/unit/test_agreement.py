"""Sentences agree with what is put into them, in every text of both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ablation.comparison.findings.texts import load_texts
from ablation.words.agreement import agreeing
from ablation.words.catalogue import LANGUAGES, SECTIONS, Messages, load_catalogue

ROOT = Path(__file__).resolve().parents[2]
# What a Korean says after each name.
TOPICS = {
    "학습률": "은",
    "데이터": "는",
    "training.yml": "은",
    "study.json": "은",
    "1단계(학습률)": "는",
    "배치(1단계 + 2단계)": "는",
    "`lora.r`": "은",
    "`learning_rate`": "는",
    "`batch_size`": "는",
    "LoRA": "는",
    "GPU": "는",
    "step": "은",
    "loop": "는",
    "check": "는",
    "topic": "은",
    "model": "은",
    "scale": "은",
    "cosine": "은",
    "'warmup'": "은",
    "2": "는",
    "3": "은",
    "7": "은",
    "1,000": "은",
    "0.5": "는",
    "98%": "는",
    "+1.2%p": "는",
}
# Forms that are read only after words whose end is known: 배, %, GiB; names of settings.
KNOWN_END = ("times", "percent", "memory")
PARTICLE = re.compile(r"\{\w+(?::(\w+))?\}['`\]]*(?:은|는|이|가|을|를|과|와|으로|로)(?=[ ,.]|$)")
NOUNS = (
    "row|step|seed|run|arm|token|layer|setting|comparison|contrast|device|label|weight|key|line|"
    "candidate|position|group|fact|pair"
)
PLURAL = re.compile(
    rf"\{{(\w+)(?::(?!times|sides?)\w+)?\}}\s(?:(?!(?:for|of|over|and|with|in|against|to)\b)[a-z]+\s){{0,2}}"
    rf"(?:(?:{NOUNS})s|classes)\b"
)
# Many by their nature: what is at most or up to a number, or a list of numbers.
ALWAYS_MANY = ("places", "shorter", "length", "median", "rate")


def texts(language: str) -> Iterator[tuple[str, str]]:
    """Every text of a language with its key, those of findings and of errors too."""
    for section in SECTIONS:
        found = (
            load_texts(language).texts
            if section == "explain"
            else load_catalogue(section, language)
        )
        yield from ((f"{section}.{key}", text) for key, text in found.items())
    errors = ROOT / f"scripts/ablation/words/errors.{language}.yaml"
    if errors.is_file():
        yield from yaml.safe_load(errors.read_text(encoding="utf-8")).items()


def say(language: str, text: str, **values: object) -> str:
    return Messages(language, {"text": text, "side.current": "current"})("text", **values)


@pytest.mark.parametrize(("name", "particle"), TOPICS.items())
def test_a_particle_fits_the_end_of_a_name(name, particle):
    assert agreeing("ko", "은|는", None, name) == particle
    assert say("ko", "{name}{:은|는} 다르다", name=name) == f"{name}{particle} 다르다"


def test_after_an_l_the_way_is_told_without_a_vowel():
    told = [
        agreeing("ko", "으로|로", None, name) for name in ("파일", "1", "model", "값", "3", "2")
    ]
    assert told == ["로", "로", "로", "으로", "으로", "로"]


@pytest.mark.parametrize(
    ("value", "told"),
    [(1, "1 row is"), (2, "2 rows are"), (0, "0 rows are"), ("1", "1 row is")],
)
def test_words_agree_with_a_count(value, told):
    assert say("en", "{n} {n:row is|rows are}", n=value) == told


def test_words_agree_with_a_list():
    text = "{keys:names} {keys:differs|differ}"
    assert say("en", text, keys=["lora.r"]) == "lora.r differs"
    assert say("en", text, keys=["lora.r", "optim"]) == "lora.r, optim differ"


def test_a_side_or_a_step_that_begins_a_sentence_has_a_capital_letter():
    text = "{side:side} is slow. {side:side}, not {side:side}."
    assert say("en", text, side="current") == "Current is slow. Current, not current."
    assert (
        say("en", "**{stages}**: better.", stages="stages 2 to 7") == "**Stages 2 to 7**: better."
    )
    assert say("en", "{step}, on the path", step="stage 1") == "stage 1, on the path"


def test_no_english_text_has_a_noun_that_does_not_agree_with_its_number():
    wrong = [
        f"{key}: {match.group()}"
        for key, text in texts("en")
        for match in PLURAL.finditer(text)
        if match[1] not in ALWAYS_MANY
    ]
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_offers_two_forms_to_choose_from(language):
    offered = re.compile(r"\w\((?:s|es)\)|(?:은\(는\)|이\(가\)|을\(를\)|\(으\)로)")
    assert [key for key, text in texts(language) if offered.search(text)] == []


def test_no_korean_particle_is_fixed_after_a_name_that_is_not_known():
    wrong = [
        f"{key}: {match.group()}"
        for key, text in texts("ko")
        for match in PARTICLE.finditer(text)
        if match[1] not in KNOWN_END
    ]
    assert wrong == []
