"""Which versions of the libraries a side ran with, as files beside its configuration tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablation.comparison.releases import Releases, allowed
from ablation.dialects.defaults import Earlier
from ablation.dialects.reader import Value
from ablation.project import PROJECT

LIBRARIES = ("transformers", "accelerate", "deepspeed", "peft", "trl", "torch")
# The releases that the defaults of `ablation.dialects` are those of, and that runs here use.
ASSUMED = {
    "transformers": "5.24.0",
    "accelerate": "1.15.0",
    "deepspeed": "0.19.8",
    "peft": "0.21.2",
    "trl": "1.16.0",
    "torch": "2.13.0",
}
_ALIASES = {"pytorch": "torch"}
_NAMES = "|".join((*LIBRARIES, *_ALIASES))
_EXTRAS = r"(?:\s*\[[\w\s,.-]*\])?"
# A line of requirements.txt, and one of a conda environment: `- conda-forge::transformers=4.44`.
_REQUIREMENT = re.compile(
    rf"^\s*(?:-\s+)?[\"']?(?:[\w./-]+::)?({_NAMES}){_EXTRAS}(?![\w-])\s*(.*)$", re.I
)
# Requirements in quotes, as those of pyproject.toml, and poetry's `transformers = "^4.45"`.
_QUOTED = re.compile(rf"[\"']({_NAMES}){_EXTRAS}(?![\w-])\s*([^\"']*)[\"']", re.I)
_KEYED = re.compile(rf"^\s*[\"']?({_NAMES})[\"']?\s*=\s*(.+)$", re.I)
_WITHIN = re.compile(r"\b(version|tag|rev|branch|git|url)\s*=\s*[\"']([^\"']+)[\"']")
# A package of a lock file, in TOML, YAML or JSON: its name, then its version.
_NAME = re.compile(rf"^\s*(?:- )?(?:name\s*[:=]\s*)?[\"']?({_NAMES})[\"']?\s*(?::\s*\{{)?$", re.I)
_OTHER_NAME = re.compile(r"^\s*(?:- )?name\s*[:=]\s*|^\s*[\"'][\w.-]+[\"']\s*:\s*\{$|^\[\[")
_VERSION = re.compile(r"^\s*[\"']?version[\"']?\s*[:=]\s*[\"']?(?:==)?v?(\d[\w.+!-]*)")
# A wheel or a conda package in a URL.
_ARCHIVE = re.compile(rf"/({_NAMES})-(\d[\w.+!]*)(?:-|\.tar|\.zip|\.conda)", re.I)
# A tag or a commit of a repository.
_GIT = re.compile(rf"git\+[^\s#;]*?/({_NAMES})(?:\.git)?(?:@([^\s#;,\"']+))?(?=[\s#;\"']|$)", re.I)
_TAG = re.compile(r"v?(\d+\.\d+(?:\.\d+)*(?:[._-]?(?:rc|post|dev)\d*)?)", re.I)
_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]+[\"']?([^\s\"']+)")
_COMMENT = re.compile(r"(^|\s)#.*$")
# "Framework versions" of a model card.
_CARD = re.compile(
    rf"^\s*[-*]\s+[*_`]*({_NAMES})[*_`]*\s*[:=]*[*_`\s]*v?(\d[\w.+]*)[*_`]*\s*$", re.I
)
_LARGEST = 5_000_000  # bytes: no list of versions is longer
GIT = "git"


@dataclass(frozen=True, kw_only=True)
class Version:
    """The version of a library that a side ran with.

    Attributes:
        library: Its name.
        number: The version, as it is written: "4.44.2", also "~=4.45", or "git 1a2b3c".
        file: The file that tells it.
        line: Its line.
    """

    library: str
    number: str
    file: str
    line: int | None

    @property
    def releases(self) -> Releases:
        """The releases that it may be: one, or those of a specifier."""
        return Releases() if self.number.startswith(GIT) else allowed(self.number)

    def within(self, since: str | None, before: str) -> bool | None:
        """Whether it lies from one release on and before another; None where that depends."""
        return self.releases.within(since, before)


Versions = Mapping[str, Version]


def find_versions(
    configuration: str | Path, told: Mapping[str, str] | None = None, file: str = "", line: int = 1
) -> dict[str, Version]:
    """The versions of a side: those that are told, then those of files beside its configuration.

    Of several files the surest counts; one that names a release counts before a range.

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
    beside = list(_beside(Path(configuration)))
    for version in sorted(beside, key=lambda one: not one.releases.one):
        found.setdefault(version.library, version)
    return found


def assumed_versions(versions: Versions, dialect: str) -> dict[str, str]:
    """The releases that are taken for the libraries of which nothing tells any."""
    own = [library for library in ASSUMED if library != "trl" or dialect == "trl"]
    return {library: ASSUMED[library] for library in own if library not in versions}


def is_default_of(value: Value, one: Earlier) -> bool:
    """Whether a value is the library's own, which no file has set."""
    return value.line is None and value.key == one.of


def contradictions_of(
    configuration: str | Path, versions: Versions
) -> Iterator[tuple[Version, list[Version]]]:
    """Each version of a side, with those that files beside its configuration tell and exclude it.

    Nothing of a version that study.yaml says: then somebody has decided.
    """
    beside = list(_beside(Path(configuration)))
    for version in versions.values():
        same = [one for one in beside if one.library == version.library]
        others = [one for one in same if one.releases.excludes(version.releases)]
        if version in same and others:
            yield version, others


# This project's own files: they say what runs here, not what a configuration beside them ran with.
_OURS = {PROJECT / name for name in ("requirements.lock", "environment.yml", "pyproject.toml")}


def _beside(configuration: Path) -> Iterator[Version]:
    """What files in the configuration's folder tell, the surest first."""
    folder = configuration.parent

    def found(*patterns: str) -> Iterator[Path]:
        for pattern in patterns:
            yield from (p for p in sorted(folder.glob(pattern)) if p.resolve() not in _OURS)

    for path in found("*adapter_config.json"):
        yield from _of_adapter(path)
    for path in found("README.md"):
        yield from _of_card(path)
    for path in found("*.lock", "*-lock.y*ml"):
        yield from _of_lock(path)
    for path in found("*requirements*.txt", "*constraints*.txt", "*environment*.y*ml"):
        yield from _of_list(path, {path})
    for path in found("pyproject.toml"):
        yield from _of_project(path)


def _lines(path: Path) -> list[str]:
    try:
        if path.is_file() and path.stat().st_size <= _LARGEST:
            return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        pass
    return []


def _version(name: str, number: str, path: Path, line: int | None) -> Version:
    library = _ALIASES.get(name.lower(), name.lower())
    return Version(library=library, number=number, file=str(path), line=line)


def _of_adapter(path: Path) -> Iterator[Version]:
    lines = _lines(path)
    try:
        number = json.loads("\n".join(lines)).get("peft_version")
    except (ValueError, AttributeError):
        return
    if isinstance(number, str):
        at = next((n for n, text in enumerate(lines, 1) if "peft_version" in text), None)
        yield _version("peft", number, path, at)


def _of_lock(path: Path) -> Iterator[Version]:
    """The packages of a lock file, and its lines where it is a list of requirements."""
    name = None
    for line, text in enumerate(_lines(path), 1):
        if archive := _ARCHIVE.search(text):
            yield _version(archive[1], archive[2], path, line)
        elif named := _NAME.match(text):
            name = named[1]
        elif name and (given := _VERSION.match(text)):
            yield _version(name, given[1], path, line)
            name = None
        elif _OTHER_NAME.match(text):
            name = None
        elif "==" in text and (pin := _requirement(text)):
            yield _version(*pin, path, line)


def _of_list(path: Path, seen: set[Path]) -> Iterator[Version]:
    for line, text in enumerate(_lines(path), 1):
        if included := _INCLUDE.match(text):
            other = path.parent / included[1]
            if other.parent.resolve() == path.parent.resolve() and other not in seen:
                yield from _of_list(other, seen | {other})
        elif found := _requirement(text):
            yield _version(*found, path, line)


def _requirement(text: str) -> tuple[str, str] | None:
    """The library and the version of a requirement; None where it is of another, or says none."""
    text = _COMMENT.sub("", text).strip().removesuffix("\\")
    if git := _GIT.search(text):
        return git[1], _of_git(git[2])
    if archive := _ARCHIVE.search(text):
        return archive[1], archive[2]
    found = _REQUIREMENT.match(text)
    if not found:
        return None
    number = _specifier(found[2])
    return (found[1], number) if allowed(number).known else None


def _specifier(text: str) -> str:
    """The specifier of a requirement, without markers, hashes and builds."""
    text = re.split(r";|\s--|@", text, maxsplit=1)[0].strip(" \"'()")
    if conda := re.fullmatch(r"(={1,2}[\w.*+!]+)=[\w.*]+|=?\s*(\d[\w.*]*)\s+\S+", text):
        text = conda[1] or f"={conda[2]}"
    return text if "," in text or "|" in text else text.lstrip("=").strip()


def _of_git(reference: str | None) -> str:
    """The release that a tag names, else the commit or branch, of which none is known."""
    tag = _TAG.fullmatch(reference or "")
    return tag[1] if tag else f"{GIT} {(reference or 'HEAD')[:12]}"


def _of_project(path: Path) -> Iterator[Version]:
    """The requirements of a pyproject.toml: a project's, and those of poetry."""
    for line, text in enumerate(_lines(path), 1):
        if text.lstrip().startswith("#"):
            continue
        if keyed := _KEYED.match(text):
            number = _of_table(keyed[2])
            if number.startswith(GIT) or allowed(number).known:
                yield _version(keyed[1], number, path, line)
            continue
        for quoted in _QUOTED.finditer(text):
            if found := _requirement(quoted[0].strip("\"'")):
                yield _version(*found, path, line)


def _of_table(text: str) -> str:
    """The version in poetry's `"^4.45"`, `{version = "^4.45", ...}` or `{git = ..., rev = ...}`."""
    told = dict(_WITHIN.findall(text))
    if "version" in told:
        return told["version"]
    if "git" in told:
        return _of_git(told.get("tag") or told.get("rev") or told.get("branch"))
    return _COMMENT.sub("", text).strip(" \"'") if not text.startswith("{") else ""


def _of_card(path: Path) -> Iterator[Version]:
    for line, text in enumerate(_lines(path), 1):
        if found := _CARD.match(text):
            yield _version(found[1], found[2], path, line)
