"""Values written as people write them, in the manner of what they replace."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ablation.documents.scalars import is_text

_WORD = re.compile(r"[A-Za-z_][\w./-]*")
_WORDS = re.compile(r"[A-Za-z_][\w./,-]*")
_BOOLEANS = (("true", "false"), ("yes", "no"), ("on", "off"))
SMALLEST_DECIMAL = 1e-3


class Raw(str):
    """A piece of a file that is written as it stands."""


@dataclass(frozen=True)
class Style:
    """How a file is written.

    Attributes:
        quote: What stands around text: `"`, `'` or nothing.
        step: Blanks that a block is indented by.
        json: Whether only JSON is allowed.
    """

    quote: str = '"'
    step: int = 2
    json: bool = False


def write_number(value: float, old: str = "") -> str:
    """A number in the manner of the old one: `320`, `0.002`, `1.0e-5`.

    A power of ten gets a point and a signed exponent, so that YAML 1.1 reads a number.
    """
    if isinstance(value, int):
        return str(value)
    whole = value == int(value) and abs(value) < 1e15
    if whole and (re.fullmatch(r"[-+]?\d+", old) or (not old and abs(value) >= 1)):
        return str(int(value))
    small = value and abs(value) < SMALLEST_DECIMAL and not re.fullmatch(r"\d*\.\d+", old)
    if "e" in old.lower() or small or (value and abs(value) < 1e-4) or abs(value) >= 1e15:
        return _power(value)
    return repr(value)


def _power(value: float) -> str:
    digits = 0
    while float(f"{value:.{digits}e}") != value:
        digits += 1
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{exponent[0]}{int(exponent[1:])}"


def write_text(value: str, quote: str, json_only: bool = False) -> str:
    """Text in the given quotes, or in double ones where it would not be read as this text."""
    if quote == "'" and not json_only and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    safe = _WORD.fullmatch(value) and is_text(value)
    if not quote and safe and not json_only:
        return value
    return json.dumps(value, ensure_ascii=False)


def write_bool(value: bool, old: str = "") -> str:
    """A truth value in the old one's words and case: `True`, `no`, `false`."""
    pair = next((pair for pair in _BOOLEANS if old.lower() in pair), _BOOLEANS[0])
    word = pair[0] if value else pair[1]
    if old[:1].isupper():
        return word.upper() if old.isupper() else word.capitalize()
    return word


def write_scalar(value: object, style: Style, old: str = "") -> str:
    """A scalar in the manner of the old one's text, quotes included."""
    if isinstance(value, Raw):
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return write_bool(value, old)
    if isinstance(value, (int, float)):
        return write_number(value, old)
    quote = style.quote
    if old and (old[0] in "\"'" or is_text(old)):
        quote = old[0] if old[0] in "\"'" else ""
        if not quote and "," in old and _WORDS.fullmatch(str(value)) and not style.json:
            return str(value)  # q_proj,v_proj
    return write_text(str(value), quote, style.json)


def write_flow(value: object, style: Style, indent: int | None = None) -> str:
    """A value on one line; with `indent`, mappings stand on lines of their own below it."""
    if isinstance(value, list):
        return "[" + ", ".join(write_flow(item, style) for item in value) + "]"
    if not isinstance(value, dict):
        return write_scalar(value, style)
    below = None if indent is None else indent + style.step
    pairs = [f"{write_key(k, style)}: {write_flow(v, style, below)}" for k, v in value.items()]
    if indent is None or below is None or not pairs:
        return "{" + ", ".join(pairs) + "}"
    lines = ",\n".join(" " * below + pair for pair in pairs)
    return "{\n" + lines + "\n" + " " * indent + "}"


def write_key(key: str, style: Style) -> str:
    """A key, quoted where it must be."""
    return write_text(key, "", style.json)


def write_block(key: str, value: object, indent: int, style: Style) -> list[str]:
    """The lines of a key and its value, a mapping as a block below it."""
    start = " " * indent + write_key(key, style) + ":"
    if isinstance(value, dict) and value:
        lines = [start]
        for below, child in value.items():
            lines += write_block(below, child, indent + style.step, style)
        return lines
    return [f"{start} {write_flow(value, style)}"]
