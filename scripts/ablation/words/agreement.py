"""Words that agree with what was put before them: English plurals, Korean particles."""

from __future__ import annotations

import re

# How a name ends as a Korean reads it: after a vowel, after the consonant l, after another one.
VOWEL, LIQUID, CONSONANT = "vowel", "l", "consonant"
_HANGUL, _LAST_HANGUL, _FINALS, _FINAL_L = 0xAC00, 0xD7A3, 28, 8
_DIGITS = dict(zip("0123456789", "CLVCVVCLLV", strict=True))  # 영 일 이 삼 사 오 육 칠 팔 구
_LETTERS = {"L": "L", "R": "L", "M": "C", "N": "C"}  # as letters are named: 엘, 알, 엠, 엔
_KINDS = {"V": VOWEL, "L": LIQUID, "C": CONSONANT}
_UNITS = ("%", "%p", "GiB", "MiB")  # 퍼센트, 퍼센트포인트, 기비바이트: all end in a vowel
# Latin words that end in a consonant which Korean writes below the last vowel: step, topic, type;
# not so rate, batch, check, loop. A silent e leaves the consonant before it.
_CLOSED = re.compile(
    r"(?:[mn]|ng|(?<!o)[aeiou]p|[aou]b|[^aeiou][aeiou]c|[aio]ck|ook|out|put|set|net|type"
    r"|[aeiou][mn]e)$"
)
_ASIDE = re.compile(r"(?<=\S)\s*[(\[][^()\[\]]*[)\]]$")
_MARKS = re.compile(r"[\s`'\"*_’”」』>}.,:;]+$")


def agreeing(language: str, forms: str, value: object, before: str) -> str:
    """The form that fits, of two that `|` parts.

    Args:
        language: The language. In Korean the forms are particles, after a consonant and after a
            vowel ("은|는"); in others the words for one and for several ("row|rows").
        forms: Both forms.
        value: What a plural goes by: a number, also one written with separators, or a list.
        before: The sentence so far, by whose last word a particle goes.
    """
    first, second = forms.split("|")
    if language == "ko":
        ending = ending_of(before)
        closed = ending == CONSONANT or (ending == LIQUID and not first.startswith("으"))
        return first if closed else second
    count = len(value) if isinstance(value, (list, tuple)) else value
    return first if count == 1 or str(count) == "1" else second


def ending_of(text: str) -> str:
    """How the last word of a text ends in Korean speech; a remark in brackets is passed over."""
    bare = _MARKS.sub("", text)
    while (shorter := _MARKS.sub("", _ASIDE.sub("", bare))) != bare:
        bare = shorter
    bare = bare.rstrip(")]")
    if not bare or bare.endswith(_UNITS):
        return VOWEL
    last = bare[-1]
    if _HANGUL <= ord(last) <= _LAST_HANGUL:
        final = (ord(last) - _HANGUL) % _FINALS
        return VOWEL if final == 0 else LIQUID if final == _FINAL_L else CONSONANT
    if last in _DIGITS:
        return _KINDS[_DIGITS[last]]
    return _latin(re.split(r"[^A-Za-z]", bare)[-1])


def _latin(word: str) -> str:
    """How a Latin word ends: read letter by letter where it is an abbreviation."""
    if len(word) < 2 or word.isupper():
        return _KINDS[_LETTERS.get(word[-1:].upper(), "V")]
    word = word.lower()
    if word.endswith(("l", "le")):
        return LIQUID
    return CONSONANT if _CLOSED.search(word) else VOWEL
