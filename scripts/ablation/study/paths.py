"""Where the paths of a study.yaml lead, and whether it says so where that is outside."""

from __future__ import annotations

from pathlib import Path


def locate(folder: Path, path: str) -> Path:
    """The path as a study in the folder means it: relative to that, `~` the user's home."""
    return folder / Path(path).expanduser()


def leads_outside(folder: Path, path: str) -> bool:
    """Whether a path leads out of the study's folder and the working folder without saying so.

    One that is absolute or begins with `~` says where it leads. A relative one may climb out with
    `..`, or through a link. A working folder that is a home or the root of all holds nothing
    together, and does not count.
    """
    if Path(path).expanduser().is_absolute():
        return False
    working = Path.cwd()
    here, there = folder / path, working / path
    begun = folder.exists()  # else nothing is read by it yet, and `..` out of it finds nothing
    found = there if begun and there.exists() and not here.exists() else here
    roots = [folder, *([working] if working not in (Path.home(), Path(working.anchor)) else [])]
    try:
        target = found.resolve()
        return not any(target.is_relative_to(root.resolve()) for root in roots)
    except (OSError, RuntimeError):  # a loop of links: it leads nowhere, which is told elsewhere
        return False


def outside_problem(key: str) -> str:
    """What is wrong with such a path, by its key."""
    return (
        f"{key} leads out of the study's folder and the working folder: whoever wrote the study "
        "could read any file"
    )


OUTSIDE_ALLOWED = "a path below them; or an absolute one, which says where it leads"
