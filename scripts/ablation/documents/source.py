"""The text of a configuration file, within the limits of one, in whatever encoding it is."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from ablation.errors import UserError

MAX_BYTES = 512 * 1024
UTF8 = "UTF-8"
_INSTEAD: ContextVar[Mapping[Path, str] | None] = ContextVar("texts to read", default=None)
# The longer marks first: UTF-32's begins as UTF-16's does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Encodings without a mark, each with letters of which its texts are mostly made.
_LEGACY = (
    ("CP949", re.compile(r"[\uac00-\ud7a3]")),
    ("Shift_JIS", re.compile(r"[\u3040-\u30ff]")),
    ("GB18030", re.compile(r"[\u4e00-\u9fff]")),
    ("CP1252", re.compile(r"[\u00a0-\u2122]")),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_SAMPLE = 1024  # bytes in which every second one is null if they are UTF-16 without a mark


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file's text.

    Attributes:
        text: The text; of a file in UTF-8 with its byte order mark.
        encoding: How its bytes were decoded; a guess where they do not say it.
        line: The first line (from 1) that is not UTF-8; None where all are.
    """

    text: str
    encoding: str = UTF8
    line: int | None = None


def read_text(path: str | Path) -> str:
    """The text of a file: see `read_source`.

    Raises:
        UserError: as `read_source`.
    """
    return read_source(path).text


def read_source(path: str | Path) -> Source:
    """The text of a file of at most `MAX_BYTES` bytes, and how it was decoded.

    Raises:
        UserError: the file is missing, a folder, unreadable, too large, or not text.
    """
    path = Path(path)
    changed = _INSTEAD.get()
    if changed and (text := changed.get(path.resolve())) is not None:
        return Source(text=text)
    source = _decode(_read(path), path)
    found = _CONTROL.search(source.text) if source.line else re.search("\0", source.text)
    if found:
        line = source.text[: found.start()].count("\n") + 1
        raise UserError("a binary file, not a configuration", file=path, line=line)
    return source


def _decode(data: bytes, path: Path) -> Source:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return Source(text=data.decode(encoding, "replace"), encoding=encoding, line=1)
    if wide := _wide(data):
        return Source(text=data.decode(wide, "replace"), encoding=wide, line=1)
    try:
        return Source(text=data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        found = f"byte 0x{data[error.start]:02x}"
    for encoding, letters in _LEGACY:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        foreign = [letter for letter in text if not letter.isascii()]
        if 2 * len(letters.findall(text)) >= len(foreign):
            return Source(text=text, encoding=encoding, line=line)
    raise UserError("not a UTF-8 text file", file=path, line=line, found=found)


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: nearly all of a configuration is ASCII, so every second byte null."""
    even, odd = (data[start:_SAMPLE:2].count(0) for start in (0, 1))
    half = min(len(data), _SAMPLE) // 2
    if len(data) % 2 or half < 4:
        return None
    if odd > 0.7 * half and even < 0.3 * half:
        return "UTF-16-LE"
    return "UTF-16-BE" if even > 0.7 * half and odd < 0.3 * half else None


@contextmanager
def read_instead(texts: Mapping[Path, str]) -> Iterator[None]:
    """Let these texts be read in the places of their files, which stay as they are."""
    token = _INSTEAD.set({path.resolve(): text for path, text in texts.items()})
    try:
        yield
    finally:
        _INSTEAD.reset(token)


def _read(path: Path) -> bytes:
    try:
        if not path.exists():
            raise UserError("the file does not exist", file=path)
        if not path.is_file():
            raise UserError("not a file", file=path)
        size = path.stat().st_size
        if size <= MAX_BYTES:
            return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"the file cannot be read: {reason}", file=path) from None
    raise UserError(
        "too large for a configuration",
        file=path,
        line=1,
        found=f"{size:,} bytes",
        allowed=f"at most {MAX_BYTES:,} bytes",
    )
