"""The arm that is recommended as the user's own file, and the patch that makes it."""

from __future__ import annotations

import difflib
from pathlib import Path

from ablation.comparison.rewrite import Rewrite, Target, rewrite
from ablation.errors import UserError
from ablation.study.adaptive import candidates
from ablation.study.grid import expand
from ablation.study.study import Study

_NO_NEWLINE = "\n\\ No newline at end of file\n"


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
    return rewrite(current_target(study), arms[arm_name].settings)


def current_target(study: Study) -> Target:
    """The study's current configuration as a file to change."""
    return Target(
        study.folder / study.options["current"],
        study.options["model"]["architecture"],
        study.options.get("dialects", {}).get("current"),
        study.options.get("world_size"),
        study.folder / study.options["backup"],
        study.options.get("dialects", {}).get("backup"),
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
    stop = "\t" if " " in name else ""  # as git: else `patch` takes what follows for a date
    diff = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}{stop}", f"b/{name}{stop}")
    body = [line if line.endswith("\n") else f"{line}{_NO_NEWLINE}" for line in diff]
    return f"diff --git a/{name} b/{name}\n" + "".join(body)


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
