"""What a scalar of a file means: YAML 1.1 with numbers as people write them."""

from __future__ import annotations

import math
import re
from typing import TypeGuard

import yaml

MERGE_TAG = "tag:yaml.org,2002:merge"
_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_TEXT_TAGS = {MERGE_TAG, *(f"tag:yaml.org,2002:{name}" for name in ("timestamp", "value"))}
# YAML 1.1 reads `1e-5` and `5e8` as text, since it wants a dot and a sign; people mean numbers.
_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?\d[\d_]*")
_DIGITS = 100  # a number with more characters is none that a setting could have
_HALVES = re.compile("[\ud800-\udfff]")
_YAML = yaml.SafeLoader("")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a whole number or a float; a Boolean is neither."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class NotAScalar(ValueError):
    """A scalar that no configuration may have; its text is the problem."""


def resolve_tag(text: str, tag: str | None, implicit: tuple[bool, bool]) -> str:
    """The tag of a scalar: its own, else the one that YAML 1.1 finds in its spelling."""
    if tag is not None and tag != "!":
        return tag
    found: str = _YAML.resolve(yaml.ScalarNode, text, implicit)  # type: ignore[no-untyped-call]
    return found


def read_plain(text: str) -> object:
    """What a text means that is written without quotes; as it stands where that is nothing."""
    tag = resolve_tag(text, None, (True, False))
    try:
        return read_scalar(text, tag, True)[0] if is_known(tag) else text
    except NotAScalar:
        return text


def is_text(plain: str) -> bool:
    """Whether a scalar that is written without quotes is text: not `no`, `null`, `3` or `1e-5`."""
    tag = resolve_tag(plain, None, (True, False))
    return is_known(tag) and isinstance(read_scalar(plain, tag, True)[0], str)


def is_known(tag: str) -> bool:
    """Whether a scalar with this tag is plain data rather than an object to build."""
    return tag in _CORE_TAGS or tag in _TEXT_TAGS


def read_scalar(text: str, tag: str, plain: bool) -> tuple[object, bool]:
    """The value of a scalar, and whether it is a number that YAML 1.1 reads as text.

    Args:
        text: Its text without quotes.
        tag: Its resolved tag, one that `is_known`.
        plain: Whether it stands without quotes.

    Raises:
        NotAScalar: a number that is none.
    """
    kind = tag.rsplit(":", 1)[1]
    if kind == "null":
        return None, False
    if kind == "bool":
        return text.lower() in ("yes", "true", "on"), False
    if kind in ("int", "float"):
        return _told(_yaml_number(text, kind), text), False
    if kind == "str" and plain and len(text) <= _DIGITS and _NUMBER.fullmatch(text):
        number = _number(text)
        return _told(number, text), math.isfinite(number)
    return _joined(text), False


def _joined(text: str) -> str:
    """Text whose letters are whole: JSON writes those beyond 16 bits as two halves."""
    if not _HALVES.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _yaml_number(text: str, kind: str) -> int | float:
    """A number of YAML 1.1, which may be octal, hexadecimal or to the base 60."""
    node = yaml.ScalarNode(f"tag:yaml.org,2002:{kind}", text)
    read = _YAML.construct_yaml_int if kind == "int" else _YAML.construct_yaml_float
    if len(text) > _DIGITS:
        return math.inf  # no setting has it: it is told as it is written
    try:
        return read(node)
    except (ValueError, OverflowError):
        raise NotAScalar("not a number") from None


def _number(text: str) -> int | float:
    text = text.replace("_", "")
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def _told(number: int | float, text: str) -> object:
    """A number; one that is not finite stays as it is written, as no setting can have it."""
    return number if isinstance(number, int) or math.isfinite(number) else text
