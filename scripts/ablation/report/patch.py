"""The arm that is recommended as the user's own file, and the patch that makes it."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.comparison.rewrite import Rewrite, Target, rewrite
from ablation.documents.secrets import mask_document
from ablation.errors import UserError
from ablation.settings.catalogue import KERNELS
from ablation.settings.quantities import POOL_ROWS, TUNING_SHARE
from ablation.study.adaptive import candidates
from ablation.study.grid import expand
from ablation.study.paths import locate
from ablation.study.study import Study

CONTEXT = 3  # lines around a change
_NO_NEWLINE = "\n\\ No newline at end of file\n"
# What the study gives all its arms and no file says: a recommended file is for all rows.
OF_STUDY = (POOL_ROWS, TUNING_SHARE, KERNELS)


def recommended_rewrite(study: Study, arm_name: str) -> Rewrite:
    """The study's current configuration changed so that it does what an arm does.

    Raises:
        UserError: there is no such arm, or the file's dialect cannot say one of its settings.
    """
    found = candidates(study)
    arms = {arm.name: arm for arm in [*(found.arms if found else []), *expand(study).arms]}
    if arm_name not in arms:
        near = difflib.get_close_matches(arm_name, arms, n=1)
        raise UserError(
            "the study has no such arm",
            file=study.file,
            found=arm_name,
            allowed=list(arms),
            write=f"--arm {near[0]}" if near else None,
        )
    settings = {n: v for n, v in arms[arm_name].settings.items() if n not in OF_STUDY}
    return rewrite(current_target(study), settings)


def current_target(study: Study) -> Target:
    """The study's current configuration as a file to change."""
    return Target(
        path=locate(study.folder, study.options["current"]),
        architecture=study.options["model"]["architecture"],
        dialect=study.options.get("dialects", {}).get("current"),
        world_size=study.options.get("world_size"),
        other=locate(study.folder, study.options["backup"]),
        other_dialect=study.options.get("dialects", {}).get("backup"),
        versions=(study.current.versions, study.backup.versions),
    )


def patch_text(found: Rewrite, fallback: Path | None = None) -> str:
    """The patch of all files of a configuration; empty where nothing changes.

    Args:
        found: The configuration changed.
        fallback: The study's folder.
    """
    return "".join(
        unified_patch(path, found.before[path], text, fallback)
        for path, text in found.after.items()
    )


def unified_patch(path: Path, old: str, new: str, fallback: Path | None = None) -> str:
    """The patch from one text of a file to another; empty where they are equal.

    `git apply` takes it anywhere in the repository, from the file's folder up, and `patch -p1` in
    the repository's root. A file outside of any repository is named relative to `fallback`.

    Args:
        path: The file.
        old: Its text.
        new: The text that it shall have.
        fallback: The study's folder.
    """
    if old == new:
        return ""
    name = patch_name(path, fallback)
    return f"diff --git a/{name} b/{name}\n{_heads(name)}{hunks(old, new)}"


def shown_patch(found: Rewrite, fallback: Path | None = None) -> str:
    """The patch of all files for people to read: the same hunks, without the secrets in them.

    A line with a secret is no context of a hunk, which applies without it. A changed line that
    has one, in its comment, is shown with the secret hidden; it alone does not apply.
    """
    return "".join(
        _heads(patch_name(path, fallback))
        + hunks(found.before[path], text, functools.partial(mask_document, file=path.name))
        for path, text in found.after.items()
        if text != found.before[path]
    )


def _heads(name: str) -> str:
    stop = "\t" if " " in name else ""  # as git: else `patch` takes what follows for a date
    return f"--- a/{name}{stop}\n+++ b/{name}{stop}\n"


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line of one text or of both.

    Attributes:
        sign: "-" in the old text alone, "+" in the new one alone, " " in both.
        text: The line, with its line feed.
        shown: The same as it may be shown.
        old: How many lines of the old text stand before it.
        new: How many lines of the new text stand before it.
    """

    sign: str
    text: str
    shown: str
    old: int
    new: int


def hunks(old: str, new: str, show: Callable[[str], str] = str) -> str:
    """What changes between two texts, with up to three lines around it.

    Args:
        old: A text.
        new: Another.
        show: A text as it may be shown, with as many lines.
    """
    lines = list(_compared(old, new, show))
    changed = [at for at, line in enumerate(lines) if line.sign != " "]
    near = {at + step for at in changed for step in range(-CONTEXT, CONTEXT + 1)}
    groups: list[list[_Line]] = [[]]
    for at, line in enumerate(lines):
        if at in near and (line.sign != " " or line.shown == line.text):
            groups[-1].append(line)
        else:
            groups.append([])
    return "".join(_hunk(group) for group in groups if any(line.sign != " " for line in group))


def _compared(old: str, new: str, show: Callable[[str], str]) -> Iterator[_Line]:
    before, after = _lines(old), _lines(new)
    shown = _lines(show(old)), _lines(show(new))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        sign = " " if kind == "equal" else "-"
        for at in range(a, a_end):
            at_new = b + (at - a) * (sign == " ")
            yield _Line(sign=sign, text=before[at], shown=shown[0][at], old=at, new=at_new)
        for at in range(b, b_end) if sign == "-" else ():
            yield _Line(sign="+", text=after[at], shown=shown[1][at], old=a_end, new=at)


def _hunk(lines: Sequence[_Line]) -> str:
    spans = [
        _span(lines[0].old, sum(line.sign != "+" for line in lines)),
        _span(lines[0].new, sum(line.sign != "-" for line in lines)),
    ]
    body = (line.sign + line.shown for line in lines)
    text = "".join(line if line.endswith("\n") else f"{line}{_NO_NEWLINE}" for line in body)
    return f"@@ -{spans[0]} +{spans[1]} @@\n{text}"


def _span(before: int, count: int) -> str:
    """Lines as a patch counts them: an empty span is named by the line before it."""
    return str(before + 1) if count == 1 else f"{before + bool(count)},{count}"


def _lines(text: str) -> list[str]:
    """The lines of a text as git counts them, each with its line feed."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def patch_name(path: Path, fallback: Path | None = None) -> str:
    """A file's name in a patch: relative to its repository, else to `fallback` or its folder."""
    path = path.resolve()
    for folder in path.parents:
        if (folder / ".git").exists():
            return path.relative_to(folder).as_posix()
    if fallback is not None:
        folder = fallback.resolve()
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.name
