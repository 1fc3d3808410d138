"""Which releases of a library a specifier allows: `4.44.2`, `~=4.45`, `>=4.46,<5`, `^0.12`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PLACES = 4  # numbers that are compared: 4.46 is 4.46.0.0
_BEFORE, _AT, _AFTER = -1, 0, 1  # in the last place: builds ahead of a release, itself, beyond it
_NUMBER = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)(.*)", re.I | re.S)
_AHEAD = re.compile(r"[._-]?(dev|a|b|c|rc|alpha|beta|pre|preview)[._-]?\d*", re.I)
_PART = re.compile(r"(===|==|~=|!=|>=|<=|=|>|<|\^|~)?\s*([\w.!*+-]*)")
Key = tuple[int, ...]


def release(number: str) -> Key:
    """The numbers of a version, as keys that compare: "4.46" is (4, 46, 0, 0, 0).

    A build ahead of a release, as "4.46.0.dev0", comes before it.
    """
    found = _NUMBER.match(number.strip())
    if not found:
        return (0,) * (_PLACES + 1)
    ahead = _AHEAD.match(found[2])
    return _key(_numbers(number), _BEFORE if ahead else _AT)


@dataclass(frozen=True, kw_only=True)
class Releases:
    """The releases that a specifier allows.

    Attributes:
        low: The first.
        high: The first that is too high; None where there is none.
    """

    low: Key = (0,) * (_PLACES + 1)
    high: Key | None = None

    @property
    def known(self) -> bool:
        """Whether the specifier rules any release out."""
        return self != Releases()

    @property
    def one(self) -> bool:
        """Whether it is a single release."""
        return self.high == (*self.low[:-1], _AFTER) and self.low[-1] == _AT

    def excludes(self, other: Releases) -> bool:
        """Whether no release is in both."""
        ends = ((self.low, other.high), (other.low, self.high))
        return any(high is not None and low >= high for low, high in ends)

    def within(self, since: str | None, before: str) -> bool | None:
        """Whether they lie from one release on and before another; None where only some do."""
        low, high = release(since or "0"), release(before)
        if self.low >= high or (self.high is not None and self.high <= low):
            return False
        return True if low <= self.low and self.high is not None and self.high <= high else None


def allowed(specifier: str) -> Releases:
    """The releases that a specifier of pip, conda or poetry allows; all where it says none.

    Alternatives (`4.44|4.45`) are taken as all from the lowest to the highest.
    """
    options = [_of_all(option) for option in re.split(r"\|+", specifier) if option.strip()]
    if not options:
        return Releases()
    highs = [option.high for option in options if option.high is not None]
    return Releases(
        low=min(option.low for option in options),
        high=max(highs) if len(highs) == len(options) else None,
    )


def _of_all(option: str) -> Releases:
    parts = [part for text in option.split(",") for part in _part(text.strip())]
    highs = [part.high for part in parts if part.high is not None]
    lows = [part.low for part in parts]
    return Releases(low=max(lows, default=Releases().low), high=min(highs, default=None))


def _part(text: str) -> Iterator[Releases]:
    """What one part of a specifier allows; nothing where it is none, or rules out too little."""
    found = _PART.fullmatch(text)
    operator, number = (found[1] or "", found[2]) if found else ("", "")
    if not _NUMBER.match(number) or operator == "!=":
        return
    numbers, key = _numbers(number), release(number)
    if operator in (">=", ">"):
        yield Releases(low=key if operator == ">=" else (*key[:-1], _AFTER))
    elif operator == "<=":
        yield Releases(high=(*key[:-1], _AFTER))
    elif operator == "<":
        yield Releases(high=(*key[:-1], _BEFORE))
    elif key[-1] == _BEFORE:
        yield Releases(low=key, high=(*key[:-1], _AFTER))
    else:
        yield Releases(low=key, high=_end(operator, number, numbers))


def _end(operator: str, number: str, numbers: Sequence[int]) -> Key:
    """The first release that is too high for an operator that names releases of a kind."""
    if operator == "~=":
        return _next(numbers[:-1] or numbers)
    if operator == "^":
        firm = next((n for n, value in enumerate(numbers, 1) if value), len(numbers))
        return _next(numbers[:firm])
    if operator == "~":
        return _next(numbers[:2])
    if number.endswith("*") or (operator in ("", "=") and len(numbers) < 3):
        return _next(numbers)
    return (*_key(numbers, _AT)[:-1], _AFTER)


def _next(numbers: Sequence[int]) -> Key:
    return _key([*numbers[:-1], numbers[-1] + 1], _BEFORE)


def _numbers(number: str) -> list[int]:
    found = _NUMBER.match(number.strip())
    return [int(part) for part in found[1].split(".")] if found else []


def _key(numbers: Sequence[int], place: int) -> Key:
    padded = [*numbers, *(0,) * _PLACES][:_PLACES]
    return (*padded, place)
