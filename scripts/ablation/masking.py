"""Tokens, keys and passwords: what is a secret, and text in which none can be read.

What a configuration says under the name of a secret, or in the shape of one, is shown and stored
as `HIDDEN`. Better too much is hidden than too little: no setting that a run uses is a secret.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TypeGuard

HIDDEN = "(hidden)"

_WORDS = (
    r"(?:token|secrets?|passw(?:or)?ds?|passphrase|credentials?|authorization|bearer|cookies?"
    r"|session[_-]?id|비밀번호|암호|시크릿|webhook(?:[_-]?url)?|connection[_-]?string|dsn"
    r"|(?:api|access|private|secret|account|shared|signing|encryption)[_-]?key(?:s|[_-]?id)?)"
)
_ENDS = r"(?:auth|key|key[_-]?id|pwd|pat|sas)"
_SECRET = re.compile(rf"(?:.*{_WORDS}|(?:.*[_-])?{_ENDS})", re.IGNORECASE)
# Texts that a tokenizer marks rows with, and names of a row's columns. One more word may make a
# secret of either (`translator_text_key`).
_MARKS = (
    r"(?:pad|eos|bos|unk|sep|cls|mask|image|audio|video|vision|eot|boi|eoi|end|start|stop|think|max"
    r"|min|num|max_new|response|assistant|decoder|tokenizer|fim|prefix|suffix|middle|placeholder)"
)
_COLUMNS = (
    r"(?:prompt|response|text|label|input|output|target|source|image|audio|video|chosen|rejected"
    r"|answer|question|instruction|completion|content|role|messages?|column|sort|score|class"
    r"|conversations?|dialog(?:ue)?|history|tools?|context|reference|ground_truth|reward_fn"
    r"|caption|summary|title|passage|document)"
)
_PARTS = r"(?:train|eval|test|val|validation|data|dataset)"
_HARMLESS = re.compile(
    rf"(?:{_MARKS}_)+token|(?:(?:{_PARTS}|{_COLUMNS})_)*{_COLUMNS}_key", re.IGNORECASE
)
# `name: value` and `name=value`, in a comment or on a line of a configuration.
_NAMED = re.compile(
    rf"(?P<name>(?<![\w-])(?:[\w-]*{_WORDS}|(?:[\w-]*[_-])?{_ENDS})[\"']?\s*[:=]\s*(?:&\S+\s+)?)"
    r"(?P<value>\"(?:\\.|[^\"\\])*\"|'[^']*'|(?:(?!\s#)[^\s,}\]&])(?:(?!\s#)[^,}\]&\n])*)",
    re.IGNORECASE,
)
# `--name value`, in one text or as two items of a list.
_FLAG = re.compile(
    rf"(?P<name>(?<![\w-])--?[\w-]*{_WORDS}[\"']?(?:,\s*|\s+)[\"']?)(?![\"'-])[^\s\"',\]]+",
    re.IGNORECASE,
)
# What a terminal obeys, and what turns the direction of a line.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PLAIN_VALUES = {"true", "false", "null", "none", "auto", "yes", "no", "~", HIDDEN}
# What tells itself by its form: tokens of hubs and clouds, signed tokens, private keys.
_SHAPES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|sk-[\w-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}"
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
)
_IN_URL = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")


class Hidden(str):
    """What is shown in a secret's place; two of them are equal where the secrets are.

    Only a hash that is another one in each process tells them apart: nothing of it is stored.
    """

    _secret: int

    def __new__(cls, shown: str, secret: object = "") -> Hidden:
        """The text `shown`, in the place of `secret`."""
        self = super().__new__(cls, shown)
        self._secret = hash(str(secret))
        return self

    def __eq__(self, other: object) -> bool:
        """Other texts are compared as what is shown."""
        same = not isinstance(other, Hidden) or self._secret == other._secret
        return same and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        """The contrary: a text has one of its own."""
        return not self == other

    __hash__ = str.__hash__


def is_secret(key: str) -> bool:
    """Whether a dotted key, or a block that it stands in, has the name of a secret."""
    names = unicodedata.normalize("NFKC", key).split(".")
    return any(_SECRET.fullmatch(name) and not _HARMLESS.fullmatch(name) for name in names)


def hide(key: str, value: object) -> object:
    """A value as it may be shown and stored: `HIDDEN` where its key is a secret's.

    Switches stay: `use_auth_token: true` tells nothing. In all other text, secrets that tell
    themselves by their form are hidden.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {name: hide(f"{key}.{name}", item) for name, item in value.items()}
    if isinstance(value, list):
        flags = ["", *(item.lstrip("-") if _is_flag(item) else "" for item in value)]
        return [hide(f"{key}.{f}" if f else key, v) for f, v in zip(flags, value, strict=False)]
    if is_secret(key):
        return Hidden(HIDDEN, value)
    if not isinstance(value, str):
        return value
    shown = mask(value)
    return value if shown == value else Hidden(shown, value)


def _is_flag(item: object) -> TypeGuard[str]:
    return isinstance(item, str) and item.startswith("-")


def visible(text: str) -> str:
    """Text for a terminal: what it would obey, or what turns a line around, is spelled out."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def mask(text: str) -> str:
    """Text without the secrets in it; as many lines as before."""
    text = _IN_URL.sub(HIDDEN, _SHAPES.sub(HIDDEN, text))
    return _NAMED.sub(_masked, _FLAG.sub(rf"\g<name>{HIDDEN}", text))


def _masked(match: re.Match[str]) -> str:
    name = re.split(r"[\"'\s:=]", match["name"], maxsplit=1)[0]
    value = match["value"].rstrip()
    harmless = _HARMLESS.fullmatch(name) or value.strip("\"'").lower() in _PLAIN_VALUES
    if harmless or value[:1] in "*|>{[":
        return match.group()
    quote = value[0] if value[0] in "\"'" else ""
    return f"{match['name']}{quote}{HIDDEN}{quote}" + match["value"][len(value) :]
