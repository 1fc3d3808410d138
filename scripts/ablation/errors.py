"""The exceptions whose message says all: a user's mistake, and a run without a result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ablation.masking import mask, visible

_LABELS = ("found:  ", "allowed:", "write:  ")


class UserError(Exception):
    """A mistake in what the user wrote: shown as a message, never as a traceback.

    Args:
        problem: One sentence that says what is wrong.
        file: The file it is in.
        line: The line in that file, from 1.
        found: What stands there.
        allowed: What may stand there: a sentence, or the values.
        write: The line to write instead.
        parts: The mistakes that this one puts together; the problem is their number then.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        found: object = None,
        allowed: str | Iterable[object] | None = None,
        write: str | None = None,
        parts: Sequence[UserError] = (),
    ) -> None:
        self.parts = tuple(parts)
        self.problem = mask(problem)
        self.file = str(file) if file is not None else None
        self.line = line
        self.found = mask(found) if isinstance(found, str) else found
        self.allowed = allowed if isinstance(allowed, str) or allowed is None else tuple(allowed)
        self.write = mask(write) if write is not None else None
        super().__init__(self.message())

    def at(self, file: str | Path, line: int | None) -> UserError:
        """The same mistake with its place, for whoever knows where the value came from."""
        return UserError(
            self.problem,
            file=file,
            line=line,
            found=self.found,
            allowed=self.allowed,
            write=self.write,
            parts=self.parts,
        )

    def message(self, say: Callable[[str], str] = str, labels: Sequence[str] = _LABELS) -> str:
        """All of it, as it is shown.

        Args:
            say: What a sentence is in the reader's language.
            labels: What to call what was found, what is allowed, and what to write.
        """
        where = ""
        if self.file is not None:
            where = f"{self.file}:{self.line}: " if self.line is not None else f"{self.file}: "
        lines = [f"{where}{say(self.problem)}"]
        found, allowed, write = labels
        if self.found is not None:
            lines.append(f"  {found} {mask(shorten(self.found))}")
        if isinstance(self.allowed, str):
            lines.append(f"  {allowed} {say(self.allowed)}")
        elif self.allowed is not None:
            lines.append(f"  {allowed} {', '.join(map(str, self.allowed))}")
        if self.write is not None:
            lines.append(f"  {write} {self.write}")
        return visible("\n".join([*lines, *(part.message(say, labels) for part in self.parts)]))


def shorten(value: object, limit: int = 120) -> str:
    """Text of a value for a message, cut to `limit` characters."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def few(items: Sequence[str], most: int, mark: str = ", ") -> str:
    """The first of some items for a message, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return mark.join(items[:most]) + more


def raise_all(problems: Iterable[UserError]) -> None:
    """Raise the problems as one error, if there are any: the user mends all of them in one go."""
    problems = list({str(problem): problem for problem in problems}.values())
    if not problems:
        return
    if len(problems) == 1:
        raise problems[0]
    raise UserError(f"{len(problems)} problems:", parts=problems)


class RunError(Exception):
    """A run cannot give a result that could be trusted; its message says all."""


class Interrupted(Exception):
    """A run was asked to leave and has saved a checkpoint: its next try goes on from there."""
