"""What findings say in each language: the texts beside them with the evidence put in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ablation.comparison.findings import TOPICS
from ablation.comparison.findings.finding import Finding
from ablation.words.catalogue import Messages, load_catalogue, texts_beside
from ablation.words.errors import translate


def load_texts(language: str) -> Messages:
    """The texts of explain and of its findings in a language.

    Those of findings stand beside them, see `texts_beside`.
    """
    beside = {
        f"finding.{name}.{part}": text
        for topic in TOPICS
        for name, texts in topic.TEXTS.items()
        for part, text in zip(
            ("title", "text"), texts_beside("finding", name, texts, language), strict=True
        )
    }
    return Messages(language, {**beside, **load_catalogue("explain", language)})


def tell(finding: Finding, texts: Messages, part: str) -> str:
    """The `title` or `text` of a finding; sentences in its evidence are in the language, too."""
    said = {name: _said(value, texts.language) for name, value in finding.evidence.items()}
    return texts(f"finding.{finding.id}.{part}", **said)


def _said(value: object, language: str) -> object:
    """A sentence, or each of several `name: sentence` and `name: values (sentence)`, translated."""
    if isinstance(value, list):
        return [_said(one, language) if isinstance(one, str) else one for one in value]
    if not isinstance(value, str) or " " not in value:
        return value
    name, mark, rest = value.partition(": ")
    if (whole := translate(value, language)) != value or not mark:
        return whole
    if aside := _ASIDE.fullmatch(value):
        return f"{aside[1]}{translate(aside[2], language)})"
    return f"{name}: {translate(rest, language)}"


_ASIDE = re.compile(r"(.*\()([^()]+)\)", re.DOTALL)


def localized(finding: Finding, texts: Mapping[str, Messages], part: str) -> dict[str, str]:
    """A part of a finding in all languages."""
    return {language: tell(finding, text, part) for language, text in texts.items()}


def bounds_text(texts: Messages, low: float | None, high: float | None, unit: str) -> str:
    """A quantity known within bounds, as `unit` writes its values: "number", "times", ..."""
    show = getattr(texts, f"as_{unit}")
    if low is None and high is None:
        return texts("none")
    if low is not None and (high is None or high != low):
        if high is None:
            return texts("explain.at_least", value=show(low))
        return texts("explain.between", low=show(low), high=show(high))
    return texts("explain.at_most", value=show(high)) if low is None else show(low)
