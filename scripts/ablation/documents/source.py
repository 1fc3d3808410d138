"""The text of a configuration file, within the limits of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from ablation.errors import UserError

MAX_BYTES = 512 * 1024
_INSTEAD: ContextVar[Mapping[Path, str] | None] = ContextVar("texts to read", default=None)


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file of at most `MAX_BYTES` bytes, its byte order mark included.

    Raises:
        UserError: the file is missing, a folder, unreadable, too large, or not text.
    """
    path = Path(path)
    changed = _INSTEAD.get()
    if changed and (text := changed.get(path.resolve())) is not None:
        return text
    data = _read(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            "not a UTF-8 text file", file=path, line=line, found=f"byte 0x{data[error.start]:02x}"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError("a binary file, not a configuration", file=path, line=line)
    return text


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
