"""Sums that tell whether a file or a record is still what was written: damage, not malice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypedDict

import xxhash

CHUNK = 1 << 24  # bytes that are read at once
SEAL = "seal"


class Stamp(TypedDict):
    """By which a large file is known, without reading it again."""

    bytes: int
    mtime_ns: int
    xxh3: str


def file_sum(path: Path, tell: Callable[[], object] = lambda: None) -> str:
    """XXH3 of a file's bytes (hex).

    Args:
        path: The file.
        tell: Called now and then: large files take long.
    """
    found = xxhash.xxh3_128()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            found.update(part)
            tell()
    return found.hexdigest()


def bytes_sum(content: bytes) -> str:
    """XXH3 of bytes (hex), as `file_sum` finds it."""
    return xxhash.xxh3_128_hexdigest(content)


def sums_of(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Sum of each file, by its path in the folder."""
    return {path.relative_to(folder).as_posix(): file_sum(path) for path in sorted(files)}


def files_below(folder: Path) -> list[Path]:
    """All files of a folder and of those in it."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damaged(folder: Path, sums: Mapping[str, str]) -> list[str]:
    """The files that are absent or no longer have their sum."""
    return [name for name, found in sums.items() if not _has_sum(folder / name, found)]


def _has_sum(path: Path, expected: str) -> bool:
    try:
        return file_sum(path) == expected
    except OSError:
        return False


def stamps_of(
    folder: Path, files: Iterable[Path], tell: Callable[[], object] = lambda: None
) -> dict[str, Stamp]:
    """Sum, size and time of each file: for large ones, that are read again only when touched.

    Args:
        folder: What the files are named from.
        files: The files.
        tell: Called now and then while they are read.
    """
    found = {}
    for path in sorted(files):
        total, stat = file_sum(path, tell), path.stat()
        stamp: Stamp = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "xxh3": total}
        found[path.relative_to(folder).as_posix()] = stamp
    return found


def changed_files(folder: Path, stamps: Mapping[str, Stamp]) -> list[str]:
    """Files that are no longer those that were stamped."""
    return [name for name, stamp in stamps.items() if _has_changed(folder / name, stamp)]


def _has_changed(path: Path, stamp: Stamp) -> bool:
    try:
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns) == (stamp["bytes"], stamp["mtime_ns"]):
            return False
        return stat.st_size != stamp["bytes"] or file_sum(path) != stamp["xxh3"]
    except OSError:
        return True


def sealed(record: Mapping[str, object]) -> dict[str, object]:
    """The record with the sum of its own content."""
    content = {name: value for name, value in record.items() if name != SEAL}
    return {**content, SEAL: _content_sum(content)}


def seal_is_broken(record: Mapping[str, object]) -> bool:
    """Whether a record is not what was sealed; one without a seal is of an earlier version."""
    content = {name: value for name, value in record.items() if name != SEAL}
    return SEAL in record and record[SEAL] != _content_sum(content)


def _content_sum(content: Mapping[str, object]) -> str:
    # As it reads back: a key 1 becomes "1", and a tuple a list.
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return bytes_sum(text.encode())
