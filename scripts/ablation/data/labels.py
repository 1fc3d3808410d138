"""Labels that differ in nothing that a reader sees: found, told, and merged where that is asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ablation.errors import few
from ablation.words.catalogue import in_english

MOST_NAMED = 5
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def plain_form(label: str) -> str:
    """The label in one Unicode form, without invisible characters, with single blanks; 1.0 is 1."""
    text = unicodedata.normalize("NFKC", label)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c.isspace())
    text = " ".join(text.split())
    number = _WHOLE.fullmatch(text)
    return number[1] if number else text


def alike(labels: Iterable[str]) -> list[list[str]]:
    """Groups of labels with the same plain form, in order of appearance."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(plain_form(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def describe_alike(groups: list[list[str]]) -> str:
    """A note on labels that look alike, with the line that merges them."""
    named = few([" = ".join(map(ascii_form, group)) for group in groups], MOST_NAMED, "; ")
    note = (
        "The labels of {n} {n:group|groups} differ only in Unicode form, blanks or invisible "
        "characters, or as 1 and 1.0, and are classes of their own: {named}. "
        "`merge_labels: true` under data: makes each group one class."
    )
    return in_english(note, n=len(groups), named=named)


def ascii_form(label: str) -> str:
    """The label in quotes, what cannot be seen of it escaped."""
    seen = all(c.isprintable() and (c == " " or not c.isspace()) for c in label)
    return repr(label) if seen and unicodedata.is_normalized("NFC", label) else ascii(label)
