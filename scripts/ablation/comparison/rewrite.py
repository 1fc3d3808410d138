"""A user's configuration changed into an arm: the changes that do it, and the texts they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablation.comparison.resolve import Configuration, resolve_file, resolve_pair
from ablation.comparison.versions import Versions
from ablation.dialects import DIALECTS, recognize
from ablation.dialects.keys import ORDER
from ablation.dialects.writer import BESIDE, Change, Writer
from ablation.documents.entries import load_entries
from ablation.documents.files import Files
from ablation.documents.source import read_instead, read_text
from ablation.errors import UserError, raise_all, shorten
from ablation.settings.catalogue import OTHER

PASSES = 4  # taking out a block may uncover a default, which is then written
_ON = ("lora.enable", "lora.trains_head")  # on where a file does not say otherwise


@dataclass(frozen=True)
class Target:
    """The file to change and how it is resolved.

    Attributes:
        path: The user's configuration.
        architecture: Facts of the model, as `resolve_file` wants them.
        dialect: The dialect's name; recognized by its keys when None.
        world_size: Devices where no file says.
        other: The other side, which says what this one leaves open.
        other_dialect: Its dialect.
        versions: The releases that the two ran with; those that files beside them tell where None.
    """

    path: Path
    architecture: Mapping[str, object]
    dialect: str | None = None
    world_size: int | None = None
    other: Path | None = None
    other_dialect: str | None = None
    versions: tuple[Versions | None, Versions | None] = (None, None)

    def resolve(self) -> Configuration:
        """The settings of the file."""
        if self.other is None:
            own = self.versions[0]
            return resolve_file(self.path, self.architecture, self.dialect, self.world_size, own)
        dialects = (self.dialect, self.other_dialect)
        sides = (self.path, self.other, self.architecture, dialects, self.world_size)
        return resolve_pair(*sides, versions=self.versions)[0]


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """A configuration changed.

    Attributes:
        before: The text of the file and of those that it includes, by path; the file first.
        after: The texts that they shall have.
        changes: What was done to them, in order: these changes, applied to the texts of before,
            are the texts of after.
    """

    before: Mapping[Path, str]
    after: Mapping[Path, str]
    changes: tuple[Change, ...]


def rewrite(target: Target, wanted: Mapping[str, object]) -> Rewrite:
    """A configuration with the values changed that differ from the wanted ones.

    What is returned was resolved: each wanted setting has its value, every other one its old.
    A value that is written in several places is changed in all of them.

    Args:
        target: The file.
        wanted: Setting to value; settings that are not named stay as they are.

    Raises:
        UserError: the dialect cannot say one of the settings, or the file is such that a value
            cannot be changed without changing another.
    """
    side = before = target.resolve()
    expected = _expected(before, wanted)
    changes: list[Change] = []
    texts = original = {path: read_text(path) for path in map(Path, before.files)}
    files = _opened(target, texts, before.dialect)
    for _ in range(PASSES):
        wrong = [n for n, v in expected.items() if _value(side, n) != v and n not in BESIDE]
        if not wrong:
            break
        if _ON[0] in wrong and expected[_ON[0]]:  # what its defaults say already is not written
            wrong = [n for n in wrong if not n.startswith("lora.") or n in (_ON[0], "lora.r")]
        changes += Writer(files, DIALECTS[side.dialect], side.readable, expected).write(wrong)
        if files.texts == texts:
            break
        texts = files.texts
        side = _resolve_changed(target, texts, before.dialect)
    _check(target, before, side, expected)
    return Rewrite(before=original, after=texts, changes=tuple(changes))


def _expected(before: Configuration, wanted: Mapping[str, object]) -> dict[str, object]:
    """What the changed file shall do: where its adapter goes, what belongs to it goes too."""
    told = {n: v.value for n, v in before.settings.items() if n not in before.assumed}
    found = {n: v for n, v in told.items() if not n.startswith(OTHER)}
    if wanted.get(_ON[0]) is True:
        found[_ON[1]] = None
    found |= wanted
    if found.get(_ON[0]) is False:
        found |= {n: None for n in found if n.startswith("lora.") and n != _ON[0]}
        found.pop(_ON[1], None)
    return found | {n: True for n in _ON if n in found and found[n] is None}


def _opened(target: Target, texts: Mapping[Path, str], dialect: str) -> Files:
    """The files as one tree that knows which keys the dialect reads."""
    with read_instead(texts):
        root = load_entries(target.path)
        reader = recognize(root, str(target.path), dialect).reader
    return Files(texts, reader.root, reader.read_keys, ORDER)


def _value(side: Configuration, name: str) -> object:
    value = side.settings.get(name)
    plain = value.value if value is not None else None
    return True if plain is None and name in _ON else plain


def _resolve_changed(target: Target, texts: Mapping[Path, str], dialect: str) -> Configuration:
    try:
        with read_instead(texts):
            side = target.resolve()
    except UserError as error:
        raise UserError(
            f"changed to the arm's values, the file would be refused: {error.problem}",
            file=error.file or target.path,
            line=error.line,
            found=error.found,
            allowed=error.allowed,
        ) from None
    if side.dialect != dialect:
        raise UserError(
            "changed to the arm's values, the file would be taken for another dialect",
            file=target.path,
            found=side.dialect,
            allowed=f"a study.yaml that names the dialect of the file: {dialect}",
            write=f"dialects: {{current: {dialect}}}",
        )
    return side


def _check(
    target: Target, before: Configuration, after: Configuration, expected: Mapping[str, object]
) -> None:
    """Refuse a text that does anything but what is expected."""
    dialect, keys = before.dialect, DIALECTS[before.dialect].KEYS
    wrong = [n for n, v in expected.items() if _value(after, n) != v and n not in BESIDE]
    silent = [n for n in wrong if not keys.of(n)]
    problems = []
    if silent:
        pairs = [f"{n}: {shorten(_value(after, n))} -> {shorten(expected[n])}" for n in silent]
        problems.append(
            UserError(
                f"a file of the dialect {dialect} cannot say what the arm changes:"
                + "".join(f"\n    {pair}" for pair in pairs),
                file=target.path,
                allowed="an arm without these changes, or a configuration of another dialect",
            )
        )
    # What nothing reads, as a shared value that no longer reaches what is read, what was not known
    # before, and defaults that come with an adapter, is no arm's.
    mine = (OTHER, "lora.") if expected.get(_ON[0]) else (OTHER,)
    free = {n for n in after.settings if n.startswith(mine) or n in before.assumed}
    for name in sorted({*expected, *after.settings} - {*silent, *BESIDE, *(free - {*expected})}):
        value = _value(after, name)
        if value != expected.get(name):
            problems.append(_mismatch(target, after, name, value, expected.get(name)))
    raise_all(problems)


def _mismatch(
    target: Target, after: Configuration, name: str, value: object, expected: object
) -> UserError:
    place = after.settings.get(name)
    return UserError(
        f"the file cannot be changed so that {name} is {shorten(expected)}",
        file=target.path,
        line=place.line if place else None,
        found=f"{name} stays {shorten(value)}",
    )
