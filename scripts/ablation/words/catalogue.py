"""The catalogue: sentences in each language, and numbers as that language writes them.

`<language>.yaml` beside this file has a section for each thing that speaks: `report`, `explain`,
`health`, `plan`, `command`. To add a language, write its file and name it in `LANGUAGES`.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import yaml

from ablation.errors import UserError
from ablation.records import leaves
from ablation.words.agreement import agreeing

LANGUAGES = ("en", "ko")
ASKED = "ABLATION_LANGUAGE"
SECTIONS = ("report", "explain", "health", "plan", "trackers", "card", "command")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MINUS = "\N{MINUS SIGN}"


def load_catalogue(section: str, language: str) -> Mapping[str, str]:
    """The texts of one section in one language, under dotted keys.

    Raises:
        UserError: there is no catalogue of this language.
    """
    if language not in LANGUAGES:
        raise UserError("no catalogue of this language", found=language, allowed=LANGUAGES)
    return {name: str(text).strip() for name, text in leaves(_read(language)[section])}


@cache
def _read(language: str) -> Mapping[str, Any]:
    path = Path(__file__).with_name(f"{language}.yaml")
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


def texts_beside(
    kind: str, name: str, texts: Mapping[str, tuple[str, ...]], language: str
) -> tuple[str, ...]:
    """The texts that stand beside a thing, in a language.

    A language that the thing lacks has them in its catalogue, under `beside.<kind>.<name>`, as a
    list; English where that has none either.

    Args:
        kind: "finding", "figure" or "design".
        name: The thing's name.
        texts: Its texts by language.
        language: The language asked for.
    """
    if language in texts:
        return texts[language]
    own = (_read(language).get("beside") or {}).get(kind, {}).get(name)
    return tuple(map(str, own)) if own else texts[LANGUAGES[0]]


def asked_language() -> str:
    """The language that the environment asks for: `ablation run --lang` does, for the workflow."""
    language = os.environ.get(ASKED, LANGUAGES[0])
    return language if language in LANGUAGES else LANGUAGES[0]


def localized(text: object, language: str) -> str:
    """A text of study.yaml in the language asked for, else in English, else as it stands."""
    if isinstance(text, Mapping):
        return str(text.get(language) or text.get("en") or next(iter(text.values()), ""))
    return "" if text is None else str(text)


def in_english(text: str, /, **values: object) -> str:
    """A sentence of the code's own with its values put in, as those of the catalogue are."""
    return Filler(Messages(LANGUAGES[0], {})).vformat(text, (), values)


class Measured(Protocol):
    """A difference with its interval, as `evidence.statistics.Estimate`."""

    @property
    def estimate(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def n(self) -> int: ...


class Filler(string.Formatter):
    """Fills texts: `{x:times}` is shown by `Messages.as_times`, `{n:row|rows}` agrees with n.

    A side or a step that begins a sentence has a capital letter. In Korean `{:은|는}` is
    the particle that fits what stands before it.
    """

    def __init__(self, messages: Messages) -> None:
        self.messages = messages

    def vformat(self, text: str, args: Sequence[Any], values: Mapping[str, Any]) -> str:
        """The text with the values put in."""
        told, sentence = "", text.endswith(".")
        for literal, field, spec, conversion in self.parse(text):
            told += literal
            if field is None:
                continue
            value = self.get_field(field, args, values)[0] if field else None
            shown = self._shown(self.convert_field(value, conversion), spec or "", told)
            named = spec in _SIDES or (sentence and field in _STEPS)
            told += capital(shown) if named and _BEGINS.search(told) else shown
        return told

    def _shown(self, value: Any, spec: str, before: str) -> str:
        if "|" in spec:
            return agreeing(self.messages.language, spec, value, before)
        show = getattr(self.messages, f"as_{spec}", None) if spec else None
        return show(value) if show else self.format_field(value, spec)


_SIDES, _STEPS = ("side", "sides"), ("step", "steps", "stages")
_BEGINS = re.compile(r"(^|[.!?])[\s*]*$")


@dataclass(frozen=True)
class Messages:
    """A language's texts by key: `messages("none")`, `messages("path.stage", number=1)`.

    A text may name how a value is shown: `{rows:number}`, `{factor:times}`, `{share:percent}`,
    `{size:memory}`, `{setting:value}`, `{side:side}`, `{names:names}`: the methods `as_...` below.
    For words that agree with a value see `Filler`.
    """

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        return Filler(self).vformat(self.texts[key], (), values)

    def has(self, key: str) -> bool:
        """Whether the catalogue has the key."""
        return key in self.texts

    # Numbers. None is a dash everywhere: what was not measured has no number.

    def number(self, value: float | None, digits: int = 3, *, small: float = 1e-3) -> str:
        """Significant digits without zeros at the end, thousands separated: 0.012, 1,440, 1.2e-5.

        What is below `small` once it is rounded has an exponent.
        """
        if value is None or not math.isfinite(value):
            return self("none")
        text = number_text(value, digits, small=small)
        return text.replace("-", MINUS, 1) if value < 0 else text

    def numbers(self, *values: float | None, digits: int = 3) -> list[str]:
        """Numbers that are compared, all with an exponent where one of them needs it."""
        small = smallest_plain(values, digits)
        return [self.number(value, digits, small=small) for value in values]

    def percent(self, share: float | None, digits: int = 1) -> str:
        """A share as a percentage: 0.123 is "12.3%"; 0.9996 is ">99.9%", as it is not all."""
        if share is None or not math.isfinite(share):
            return self("none")
        return f"{in_percent(share, digits)}%"

    def change(self, share: float | None) -> str:
        """A relative change with its sign: -0.456 is "−45.6%"."""
        return self("none") if share is None else f"{signed(100 * share)}%"

    def factor(self, value: float | None) -> str:
        """A ratio: 2.97 is "2.97×"."""
        return self("none") if value is None else self("unit.times", value=self.number(value))

    def seconds(self, value: float | None) -> str:
        """A duration in the largest fitting unit."""
        if value is None or not math.isfinite(value):
            return self("none")
        for unit, size in (("hours", 3600), ("minutes", 60)):
            if value >= 2 * size:
                return self(f"unit.{unit}", value=f"{value / size:.1f}")
        return self("unit.seconds", value=f"{value:.1f}" if value < 100 else f"{value:.0f}")

    def memory(self, value: float | None) -> str:
        """Bytes as GiB (or MiB below one)."""
        if value is None or not math.isfinite(value):
            return self("none")
        return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"

    def score(self, value: float | None, metric: str) -> str:
        """A value of a metric: scores between 0 and 1 in percent, others as they are."""
        if value is None or is_score(metric):
            return self.percent(value)
        return f"{value:.3f}".replace("-", MINUS)

    def difference(self, value: float | None, metric: str) -> str:
        """A difference of a metric with its sign: scores in percentage points."""
        if value is None:
            return self("none")
        text = change_text(value, metric)
        return self("unit.points", value=text) if is_score(metric) else text

    def interval(self, low: float | None, high: float | None, metric: str) -> str:
        """An interval of a difference in brackets; a text where there is none."""
        if low is None or high is None:
            return self("no_interval")
        return f"[{change_text(low, metric)}, {change_text(high, metric)}]"

    def effect(self, effect: Measured, metric: str) -> str:
        """A difference with its interval and its number of seeds."""
        if effect.estimate is None:
            return self("effect.none")
        return self(
            "effect.text",
            value=self.difference(effect.estimate, metric),
            interval=self.interval(effect.low, effect.high, metric),
            n=effect.n,
        )

    def label(self, name: str) -> str:
        """A setting's label within a sentence, its name where it has none."""
        key = f"setting.{name}"
        return self(key) if self.has(key) else code(name)

    def setting(self, name: str) -> str:
        """A setting's name for a table: its label where there is one, and the name."""
        key = f"setting.{name}"
        return f"{self(key)} ({code(name)})" if self.has(key) else code(name)

    def value(self, value: object, small: float = 1e-3) -> str:
        """A setting's value, short: runs of integers as a range, mappings as pairs."""
        if value is None:
            return self("value.none")
        if value == {} or value == []:
            return self("value.empty")
        return code(short_value(value, small=small))

    def values(self, *values: object) -> list[str]:
        """Values that are compared, written alike."""
        small = smallest_plain(values)
        return [self.value(value, small) for value in values]

    def listing(self, items: Sequence[str]) -> str:
        """Items in one line."""
        return ", ".join(items) if items else self("none")

    # How a text asks for a value: {x:number}, {x:times}, ...

    def as_number(self, value: float | None) -> str:
        """Three significant digits, whole numbers whole."""
        return self.number(value)

    def as_times(self, value: float | None) -> str:
        """A ratio."""
        return self.factor(value)

    def as_percent(self, value: float | None) -> str:
        """A share, small ones with two significant digits."""
        if value is None:
            return self("none")
        if 0 < value < _LEAST_SHARE:
            return f"<{100 * _LEAST_SHARE:g}%"
        if value in (0, 1):
            return f"{value:.0%}"
        small = 0 < abs(value) < 0.01
        return f"{100 * value:.2g}%".replace("-", MINUS) if small else self.percent(value)

    def as_memory(self, value: float | None) -> str:
        """Bytes as GiB or MiB."""
        return self("none") if value is None else self.memory(value)

    def as_value(self, value: object, small: float = 1e-3) -> str:
        """A setting's value as one writes it."""
        if value is None:
            return self("value.none")
        if value in ({}, []):
            return self("value.empty")
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return ", ".join(value)
        if isinstance(value, float) and not value.is_integer():
            value = float(f"{value:.6g}")
        return short_value(value, small=small)

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


_LEAST_SHARE = 1e-5  # below it a reader wants no digits


def is_score(metric: str) -> bool:
    """Whether a metric lies between 0 and 1 and reads as a percentage."""
    return "accuracy" in metric or "_f1" in metric


def in_percent(share: float, digits: int = 1) -> str:
    """A share in percent without the sign: "12.3".

    What is neither nothing nor all is not rounded to it: "<0.1", ">99.9".
    """
    text, step = f"{100 * share:.{digits}f}", 10.0**-digits
    if 0 < share < 1 and float(text) == 0:
        return f"<{step:.{digits}f}"
    if 0 < share < 1 and float(text) == 100:
        return f">{100 - step:.{digits}f}"
    return text.replace("-", MINUS)


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, also when it is positive."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def change_text(value: float, metric: str) -> str:
    """A difference of a metric with its sign, without a unit: scores in percentage points."""
    return signed(100 * value) if is_score(metric) else signed(value, 3)


def short_value(value: object, *, small: float = 1e-3) -> str:
    """A value on one line: 2e-5, 28-35, cos_min_ratio=0.025; below `small` with an exponent."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number_text(value, 10, small=small, separated=False)
    if isinstance(value, list):
        numbers = all(isinstance(item, int) for item in value)
        if numbers and len(value) > 2 and value == list(range(value[0], value[-1] + 1)):
            return f"{value[0]}-{value[-1]}"
        return ", ".join(short_value(item, small=small) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={short_value(item, small=small)}" for key, item in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def number_text(value: float, digits: int, *, small: float = 1e-3, separated: bool = True) -> str:
    """A number as people write it in a configuration: 2e-5, 0.01, 256.

    Args:
        value: The number.
        digits: Significant digits, those of whole numbers apart; zeros at the end are left out.
        small: What is below it once it is rounded has an exponent.
        separated: Whether thousands are.
    """
    if not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    if rounded and (abs(rounded) < small or abs(rounded) >= _LARGE):
        mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
        return f"{_bare(mantissa)}e{int(exponent)}"
    if not separated and abs(rounded) >= 1:
        return f"{value:.{digits}g}"
    if abs(rounded) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    places = digits - 1 - math.floor(math.log10(abs(rounded))) if rounded else 0
    return _bare(f"{value:.{max(0, places)}f}")


_LARGE = 1e9


def smallest_plain(values: Sequence[object], digits: int = 10) -> float:
    """Below what numbers that are compared have an exponent: all small ones, or none of them."""
    floats = [v for v in values if isinstance(v, float) and math.isfinite(v) and v]
    sizes = [abs(float(f"{value:.{digits}g}")) for value in floats]
    return 0.1 if sizes and min(sizes) < 1e-3 else 1e-3


def _bare(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def capital(text: str) -> str:
    """The text with its first letter as at the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def cell(text: str) -> str:
    """Text that stays in its table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Text of a file as code within a line, which nothing in it can end."""
    return f"`{in_code(text)}`"


def in_code(text: str) -> str:
    """The same without the marks around it, for a sentence that has them."""
    return " ".join(text.split()).replace("`", "'")


_MARKS = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\*[]#~$"} | {mark: f"&#{ord(mark)};" for mark in "<>&|`{}"}
)
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # within a word it is only a letter
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_BEGINS_BLOCK = re.compile(r"^(?=[-+=])|^(\d+)(?=[.)])")
_CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_OPENS = re.compile(r"^ {0,3}(`{3,}|~{3,})")


def prose(text: str) -> str:
    """A text that somebody else wrote as one line of Markdown that says just this text.

    No mark in it begins a heading, a link, an image, code, HTML, a formula or a template's field.
    """
    line = _EMPHASIS.sub(r"\\_", " ".join(text.split()).translate(_MARKS))
    return _BEGINS_BLOCK.sub(lambda match: f"{match.group()}\\", line)


def plain(line: str) -> str:
    """What a line made of `prose` and `code` says, without the marks."""
    return html.unescape(_ESCAPED.sub(r"\1", line.replace("`", "")))


def without_html(markdown: str) -> str:
    """Markdown in which no HTML is left outside of code: its brackets are told as text."""
    lines, closing = [], ""
    for line in markdown.split("\n"):
        opens = _OPENS.match(line)
        if closing:
            lines.append(line)
            closing = "" if line.strip() == closing else closing
        elif opens:
            lines.append(line)
            closing = opens[1]
        else:
            lines.append(_tell_brackets(line))
    return "\n".join(lines)


def _tell_brackets(line: str) -> str:
    told, at = [], 0
    for match in _CODE.finditer(line):
        told += [_TAG.sub("&lt;", line[at : match.start()]), match.group()]
        at = match.end()
    return "".join(told) + _TAG.sub("&lt;", line[at:])


def anchor(heading: str) -> str:
    """The name by which a link finds a heading: as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def fence(text: str) -> str:
    """The marks of a code block that the text cannot close."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
