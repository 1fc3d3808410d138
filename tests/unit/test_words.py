"""The catalogue: every language says the same, and numbers are written in one place."""

from __future__ import annotations

import re
import string

import pytest

from ablation.comparison.findings.texts import load_texts
from ablation.errors import UserError
from ablation.words.catalogue import LANGUAGES, SECTIONS, Messages, load_catalogue, localized


def fields(text: str) -> set[str]:
    """What a text shows; a word that agrees with a value shows nothing of it."""
    parts = string.Formatter().parse(text)
    return {name for _, name, spec, _ in parts if name and "|" not in (spec or "")}


def all_texts(language: str) -> dict[str, str]:
    """Every text of a language, those of findings included."""
    found = {f"explain.{key}": text for key, text in load_texts(language).texts.items()}
    for section in SECTIONS:
        texts = load_catalogue(section, language)
        found |= {f"{section}.{key}": text for key, text in texts.items()}
    return found


@pytest.mark.parametrize("language", [x for x in LANGUAGES if x != "en"])
def test_a_language_has_the_same_texts_as_english_with_the_same_values(language):
    english, other = all_texts("en"), all_texts(language)
    assert set(english) == set(other)
    for key, text in english.items():
        assert fields(text) == fields(other[key]), key
        assert other[key].strip() or not text.strip(), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_why_an_arm_cannot_run_has_a_text(language, root):
    code = (root / "scripts/ablation/designs/feasibility.py").read_text(encoding="utf-8")
    reasons = re.findall(r'Reason\(\s*"(\w+)"', code)
    assert len(reasons) > 20
    assert {f"cannot.{reason}" for reason in reasons} <= set(load_catalogue("plan", language))


def test_an_unknown_language_is_an_error():
    with pytest.raises(UserError, match="no catalogue"):
        load_catalogue("report", "xx")


def test_a_text_falls_back_to_english():
    assert localized({"en": "a", "ko": "b"}, "ko") == "b"
    assert localized({"en": "a"}, "ko") == "a"
    assert localized("plain", "ko") == "plain"


@pytest.mark.parametrize(
    ("share", "digits", "told"),
    [
        (0.9964, 0, ">99%"),
        (0.99964, 1, ">99.9%"),
        (0.0004, 1, "<0.1%"),
        (0.004, 0, "<1%"),
        (1.0, 0, "100%"),
        (0.0, 1, "0.0%"),
        (0.994, 0, "99%"),
        (1.004, 0, "100%"),
        (None, 0, "–"),
    ],
)
def test_a_share_that_is_not_all_or_nothing_is_not_rounded_to_it(share, digits, told):
    assert Messages("en", {"none": "–"}).percent(share, digits) == told


def test_all_and_nothing_have_no_decimals_in_a_sentence():
    t = Messages("en", {"told": "{share:percent} of the steps"})
    shares = (1.0, 0.0, 1, 0.5, 0.9999)
    assert [t("told", share=share).split()[0] for share in shares] == [
        "100%", "0%", "100%", "50.0%", ">99.9%",
    ]  # fmt: skip
