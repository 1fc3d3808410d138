"""The exceptions whose message says all: a user's mistake, and a run without a result."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """A mistake in what the user wrote: shown as a message, never as a traceback.

    Args:
        problem: One sentence that says what is wrong.
        file: The file it is in.
        line: The line in that file, from 1.
        found: What stands there.
        allowed: What may stand there: a sentence, or the values.
        write: The line to write instead.
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
    ) -> None:
        self.problem = problem
        self.file = str(file) if file is not None else None
        self.line = line
        self.found = found
        self.allowed = allowed
        self.write = write
        super().__init__(self._message())

    def at(self, file: str | Path, line: int | None) -> UserError:
        """The same mistake with its place, for whoever knows where the value came from."""
        return UserError(
            self.problem,
            file=file,
            line=line,
            found=self.found,
            allowed=self.allowed,
            write=self.write,
        )

    def _message(self) -> str:
        where = ""
        if self.file is not None:
            where = f"{self.file}:{self.line}: " if self.line is not None else f"{self.file}: "
        lines = [f"{where}{self.problem}"]
        if self.found is not None:
            lines.append(f"  found:   {shorten(self.found)}")
        if self.allowed is not None:
            allowed = self.allowed
            if not isinstance(allowed, str):
                allowed = ", ".join(str(value) for value in allowed)
            lines.append(f"  allowed: {allowed}")
        if self.write is not None:
            lines.append(f"  write:   {self.write}")
        return "\n".join(lines)


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


def raise_all(problems: Iterable[UserError]) -> None:
    """Raise the problems as one error, if there are any: the user mends all of them in one go."""
    problems = list(problems)
    if not problems:
        return
    if len(problems) == 1:
        raise problems[0]
    merged = UserError(f"{len(problems)} problems:\n" + "\n".join(str(p) for p in problems))
    raise merged


class RunError(Exception):
    """A run cannot give a result that could be trusted; its message says all."""
