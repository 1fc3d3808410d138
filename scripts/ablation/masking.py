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
    r"(?:token|secret|passw(?:or)?d|passphrase|credentials?|authorization|bearer|cookie"
    r"|session[_-]?id|비밀번호|암호|시크릿|webhook(?:[_-]?url)?|connection[_-]?string|dsn"
    r"|(?:api|access|private|secret|account|shared|signing|encryption)[_-]?key(?:[_-]?id)?)"
)
_ENDS = r"(?:auth|key|key[_-]?id|pwd|pat|sas)"
_SECRET = re.compile(rf"(?:.*{_WORDS}|(?:.*[_-])?{_ENDS})", re.IGNORECASE)
# Texts that a tokenizer marks rows with, and names of a row's columns.
_HARMLESS = re.compile(
    r"(?:.*[_-])?(?:pad|eos|bos|unk|sep|cls|mask|image|audio|video|eot|end|start|stop|think|max|min"
    r"|num|response)_token"
    r"|(?:.*[_-])?(?:prompt|response|text|label|input|output|target|source|image|audio|video|chosen"
    r"|rejected|query|answer|question|instruction|completion|content|role|messages?|column|sort"
    r"|score|class|conversations?)_key",
    re.IGNORECASE,
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
        return HIDDEN
    return mask(value) if isinstance(value, str) else value


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
