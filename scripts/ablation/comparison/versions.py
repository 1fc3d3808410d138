"""Which versions of the libraries a side ran with, as files beside its configuration tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = ("transformers", "accelerate", "deepspeed", "peft", "trl", "torch")
# The releases that the defaults of `ablation.dialects` are those of, and that runs here use.
ASSUMED = {
    "transformers": "5.24.0",
    "accelerate": "1.15.0",
    "deepspeed": "0.19.8",
    "peft": "0.21.2",
    "trl": "1.16.0",
}
_NAMES = "|".join(LIBRARIES)
# `transformers==4.44.2`, also in a conda environment (`- transformers=4.44.2`); a range is no pin.
_PIN = re.compile(
    rf"^\s*(?:- )?[\"']?({_NAMES})(?:\[[\w,]+\])?\s*={{1,3}}\s*[\"']?(\d[\w.]*)", re.I
)
# poetry.lock and uv.lock.
_NAME = re.compile(rf"^name = \"({_NAMES})\"$", re.I)
_VERSION = re.compile(r"^version = \"(\d[\w.]*)\"$")
# "Framework versions" of a model card.
_CARD = re.compile(
    r"^\s*[-*] (transformers|peft|pytorch|trl|accelerate|deepspeed):? v?(\d[\w.]*)", re.I
)
_LARGEST = 5_000_000  # bytes: no list of versions is longer


@dataclass(frozen=True, kw_only=True)
class Version:
    """The version of a library that a side ran with.

    Attributes:
        library: Its name.
        number: The version, as it is written.
        file: The file that tells it.
        line: Its line.
    """

    library: str
    number: str
    file: str
    line: int | None

    @property
    def order(self) -> tuple[int, ...]:
        """The release as numbers that compare."""
        return release(self.number)


Versions = Mapping[str, Version]


def release(number: str) -> tuple[int, ...]:
    """The numbers of a version, without what follows them: "4.46.0.dev0" is (4, 46, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", number)
    return tuple(map(int, found.group().split("."))) if found else ()


def find_versions(
    configuration: str | Path, told: Mapping[str, str] | None = None, file: str = "", line: int = 1
) -> dict[str, Version]:
    """The versions of a side: those that are told, then those of files beside its configuration.

    Args:
        configuration: The side's configuration.
        told: Library to version, as `versions` of study.yaml has them.
        file: The file that tells those.
        line: Its line.
    """
    found: dict[str, Version] = {}
    for library, number in (told or {}).items():
        version = Version(library=library, number=str(number), file=file, line=line)
        found[library] = version
    for version in _beside(Path(configuration)):
        found.setdefault(version.library, version)
    return found


def _beside(configuration: Path) -> Iterator[Version]:
    """What files in the configuration's folder tell, the surest first."""
    folder = configuration.parent
    for path in sorted(folder.glob("*adapter_config.json")):
        yield from _of_adapter(path)
    for pattern in ("*.lock", "requirements*.txt", "environment*.y*ml"):
        for path in sorted(folder.glob(pattern)):
            yield from _of_list(path)
    for path in sorted(folder.glob("README.md")):
        yield from _of_card(path)


def _lines(path: Path) -> list[str]:
    try:
        if path.is_file() and path.stat().st_size <= _LARGEST:
            return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        pass
    return []


def _of_adapter(path: Path) -> Iterator[Version]:
    lines = _lines(path)
    try:
        number = json.loads("\n".join(lines)).get("peft_version")
    except (ValueError, AttributeError):
        return
    if isinstance(number, str):
        at = next((n for n, text in enumerate(lines, 1) if "peft_version" in text), None)
        yield Version(library="peft", number=number, file=str(path), line=at)


def _of_list(path: Path) -> Iterator[Version]:
    name = None
    for line, text in enumerate(_lines(path), 1):
        if pin := _PIN.match(text):
            library, number = pin.group(1).lower(), pin.group(2)
            yield Version(library=library, number=number, file=str(path), line=line)
        elif named := _NAME.match(text):
            name = named.group(1).lower()
        elif name and (given := _VERSION.match(text)):
            yield Version(library=name, number=given.group(1), file=str(path), line=line)
            name = None


def _of_card(path: Path) -> Iterator[Version]:
    for line, text in enumerate(_lines(path), 1):
        if found := _CARD.match(text):
            library = found.group(1).lower().replace("pytorch", "torch")
            yield Version(library=library, number=found.group(2), file=str(path), line=line)
