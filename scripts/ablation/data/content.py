"""What a file really is by its first bytes, where its name says something else."""

from __future__ import annotations

from pathlib import Path

_OF_EXCEL = "pandas.read_excel(OLD).to_csv(NEW, index=False)"
_POINTER = b"version https://git-lfs.github.com/spec/"
# First bytes, what a file with them is, and what helps; the longest first.
_KINDS = (
    (_POINTER, "a pointer of Git LFS, not the file itself", "git lfs pull"),
    (b"SQLite format 3\0", "an SQLite database", None),
    (b"ARROW1", "an Arrow (Feather) file", "pandas.read_feather(OLD).to_parquet(NEW)"),
    (
        b"\xd0\xcf\x11\xe0",
        "an old Excel workbook",
        _OF_EXCEL,
    ),
    (b"%PDF", "a PDF", None),
    (b"PAR1", "a Parquet file", None),
    (
        b"PK\x03\x04",
        "a ZIP archive or an Excel workbook",
        _OF_EXCEL,
    ),
    (b"\x1f\x8b", "compressed with gzip", None),
)
_PAGES = (b"<!doctype html", b"<html")


def recognize(path: Path) -> tuple[str, str | None] | None:
    """What the file is and what makes it readable; None where its first bytes say nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return None
    if head.lstrip().lower().startswith(_PAGES):
        return "a web page, as of a download that failed", None
    return next(((kind, help_) for start, kind, help_ in _KINDS if head.startswith(start)), None)
