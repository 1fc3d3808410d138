"""A user's mistake in the reader's language.

Errors are raised in English, where they happen. `errors.<language>.yaml` has each English sentence
with `{}` for what the code puts in, and the same sentence in the language.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from ablation.errors import UserError
from ablation.words.catalogue import Filler, Messages, load_catalogue
from ablation.words.terminal import pad, width_of

_FIELD = re.compile(r"\{(\w*)(?::([^{}]*))?\}")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def tell(error: UserError, language: str) -> str:
    """The whole message of a mistake in a language."""
    t = Messages(language, load_catalogue("command", language))
    labels = [t(f"mistake.{name}") for name in ("found", "allowed", "write")]
    width = max(map(width_of, labels))
    padded = [pad(label, width) for label in labels]
    return error.message(lambda text: translate(text, language), padded)


def translate(text: str, language: str) -> str:
    """A sentence of an error in a language; the sentence itself where the table lacks it.

    What the code has put in is translated, too, where it is a sentence of the table.
    """
    for pattern, other in _table(language):
        if match := pattern.fullmatch(text):
            named = {k: translate(v, language) for k, v in match.groupdict().items()}
            parts = [translate(part, language) for part in match.groups()]
            return Filler(Messages(language, {})).vformat(other, parts, named)
    return text


@cache
def _table(language: str) -> list[tuple[re.Pattern[str], str]]:
    """English sentences as patterns with what they are in the language, the most telling first."""
    file = Path(__file__).with_name(f"errors.{language}.yaml")
    if not file.is_file():
        return []
    pairs = dict(yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader))
    english, other = load_catalogue("plan", "en"), load_catalogue("plan", language)
    pairs |= {text: other[key] for key, text in english.items() if key.startswith("cannot.")}
    ordered = sorted(pairs, key=lambda text: len(_FIELD.sub("", text)), reverse=True)
    return [(_pattern(text), pairs[text]) for text in ordered]


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern that finds what was put into the sentence, by name where it has names."""
    pieces, seen = [], set()
    at = 0
    for field in _FIELD.finditer(text):
        pieces.append(re.escape(text[at : field.start()]))
        name, forms = field[1], field[2]
        if forms:
            pieces.append(f"(?:{forms})")
        else:
            pieces.append(f"(?P={name})" if name in seen else f"(?P<{name}>.+)" if name else "(.+)")
            seen |= {name} - {""}
        at = field.end()
    return re.compile("".join([*pieces, re.escape(text[at:])]), re.DOTALL)
