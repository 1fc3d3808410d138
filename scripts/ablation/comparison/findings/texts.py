"""What findings say in each language: texts of the catalogue with the evidence put in."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablation.comparison.findings.finding import Finding
from ablation.words.catalogue import Messages, load_catalogue, short_value

LANGUAGES = ("en", "ko")


def load_texts(language: str) -> Texts:
    """The texts of explain in a language."""
    return Texts(Messages(language, load_catalogue(f"findings.{language}")))


class _Formatter(string.Formatter):
    """Puts values in by the name of a method of `Texts`: {x:times}, {x:memory}."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts

    def format_field(self, value: Any, format_spec: str) -> str:
        shown = getattr(self.texts, f"as_{format_spec}", None) if format_spec else None
        return shown(value) if shown else super().format_field(value, format_spec)


@dataclass(frozen=True)
class Texts:
    """A language's catalogue, and numbers as it writes them."""

    messages: Messages

    def __call__(self, key: str, /, **values: Any) -> str:
        return _Formatter(self).vformat(self.messages.texts[key], (), values)

    def has(self, key: str) -> bool:
        """Whether the catalogue has the key."""
        return self.messages.has(key)

    def of(self, finding: Finding, part: str) -> str:
        """The `title` or `text` of a finding."""
        return self(f"finding.{finding.id}.{part}", **finding.evidence)

    def as_number(self, value: float | None) -> str:
        """Three significant digits, whole numbers whole, without zeros at the end."""
        text = self.messages.number(value)
        return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text

    def as_times(self, value: float | None) -> str:
        """A ratio."""
        return self("none") if value is None else self("unit.times", value=self.as_number(value))

    def as_percent(self, value: float | None) -> str:
        """A share, small ones with two significant digits."""
        if value is None:
            return self("none")
        small = 0 < abs(value) < 0.01
        return f"{100 * value:.2g}%" if small else self.messages.percent(value)

    def as_memory(self, value: float | None) -> str:
        """Bytes as GiB or MiB."""
        return self("none") if value is None else self.messages.memory(value)

    def as_value(self, value: object) -> str:
        """A setting's value as one writes it."""
        if value is None:
            return self("value.none")
        if value in ({}, []):
            return self("value.empty")
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return ", ".join(value)
        if isinstance(value, float) and not value.is_integer():
            value = float(f"{value:.6g}")
        return short_value(value)

    def as_side(self, value: str) -> str:
        """A side's name."""
        return self(f"side.{value}")

    def as_sides(self, value: list[str]) -> str:
        """Names of sides."""
        return ", ".join(map(self.as_side, value))

    def as_names(self, value: list[str]) -> str:
        """Names in one line."""
        return ", ".join(value)

    def as_lines(self, value: list[str]) -> str:
        """Sentences in one line."""
        return "; ".join(value)

    def as_file(self, value: str) -> str:
        """The name of a file without its folder."""
        return value.rsplit("/", 1)[-1]

    def bounds(self, low: float | None, high: float | None, unit: str) -> str:
        """A quantity known within bounds, by the method of its unit."""
        show = getattr(self, f"as_{unit}")
        if low is None and high is None:
            return self("none")
        if low is not None and (high is None or high != low):
            if high is None:
                return self("explain.at_least", value=show(low))
            return self("explain.between", low=show(low), high=show(high))
        return self("explain.at_most", value=show(high)) if low is None else show(low)


def localized(finding: Finding, texts: Mapping[str, Texts], part: str) -> dict[str, str]:
    """A part of a finding in all languages."""
    return {language: text.of(finding, part) for language, text in texts.items()}
