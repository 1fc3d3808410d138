"""Two revisions of a configuration, taken out of git with the files that they include."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ablation.errors import UserError
from ablation.words.catalogue import Messages

STAGED = ":0"  # git's own name of what is staged for the next commit
SUFFIXES = ("*.yml", "*.yaml", "*.json")


def export(revisions: Sequence[str], file: str, folder: Path, t: Messages) -> list[str]:
    """The file at the new revision and at the old one, written below a folder.

    Every YAML and JSON file of the repository is written beside it: a configuration may include
    others, and they have revisions of their own.

    Args:
        revisions: The old one and the new one; ":0" is what is staged.
        file: The file, as one names it in the folder one works in.
        folder: An empty folder.
        t: The command's texts.

    Raises:
        UserError: this is no repository, or a revision does not have the file.
    """
    top = Path(_git(["rev-parse", "--show-toplevel"], Path.cwd(), t).strip())
    name = Path(os.path.relpath(Path(file).absolute(), top))
    found = []
    for side, revision in zip(("new", "old"), reversed(revisions), strict=True):
        target = folder / side
        _write(revision, top, target, t)
        if not (target / name).is_file():
            problem = t("explain.not_in_revision", revision=revision)
            raise UserError(problem, found=file, allowed=t("explain.files_of_revision"))
        found.append(str(target / name))
    return found


def _write(revision: str, top: Path, target: Path, t: Messages) -> None:
    """Write the configurations of a revision below a folder."""
    (target / ".git").mkdir(parents=True)  # the root that paths in a configuration begin at
    environment = dict(os.environ)
    if revision != STAGED:
        environment["GIT_INDEX_FILE"] = str(target.with_suffix(".index"))
        _git(["read-tree", "--end-of-options", revision], top, t, environment)
    names = _git(["ls-files", "-z", "--", *SUFFIXES], top, t, environment)
    prefix = f"--prefix={target}/"
    _git(["checkout-index", "-q", "-z", "--stdin", prefix], top, t, environment, names)


def _git(
    arguments: list[str],
    folder: Path,
    t: Messages,
    environment: dict[str, str] | None = None,
    text: str | None = None,
) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise UserError(t("explain.no_git")) from error
    if done.returncode:
        problem = t("explain.git_failed")
        raise UserError(problem, found=done.stderr.strip().removeprefix("fatal: "))
    return done.stdout
