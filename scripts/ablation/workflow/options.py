"""The workflow's options file, read before Snakemake does: its mistakes with their lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ablation.documents.entries import load_plainly
from ablation.study.load import check_options


class Config(TypedDict):
    """The options with their defaults; config.schema.json says what each means."""

    study: str
    devices_per_run: str | int
    threads_per_device: int
    prefix_cache_gb: float
    warm_worker: str
    trackers: Sequence[str]
    studies: NotRequired[str]


CONFIG = "config/config.yaml"
COMMAND_LINE = "--config"


def has_options(file: Path) -> bool:
    """Whether the options file is there and says something; comments alone say nothing.

    Raises:
        UserError: it cannot be read, is no YAML, has a tag, or is no mapping.
    """
    if not (file.exists() or file.is_symlink()):
        return False
    told = load_plainly(file) if _says_something(file) else None
    return told is not None and bool(told.value)


def _says_something(file: Path) -> bool:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return True  # whoever reads it as a configuration says what is wrong
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def check_config(config: dict[str, Any], file: Path | None) -> None:
    """Check the options and fill in their defaults, in place.

    Args:
        config: The options: the file's, and over them those of the command line.
        file: The options file, which need not be there; None where another workflow gives them.

    Raises:
        UserError: a key is unknown or has a value that it cannot have, with the place of it.
    """
    said: dict[str, Any] = {}
    lines: dict[str, int | None] = {}
    if file and has_options(file):
        root = load_plainly(file)
        said = dict(root.plain())  # type: ignore[call-overload]
        lines = {key: entry.key_line for key in said if (entry := root.at(key))}
    places = {
        key: (str(file), lines[key]) if said.get(key, ...) == value else (COMMAND_LINE, None)
        for key, value in config.items()
    }
    check_options(config, places)
