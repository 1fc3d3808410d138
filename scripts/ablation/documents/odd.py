"""What is odd about a file whose values can be told all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from ablation.documents.source import UTF8, Source
from ablation.errors import UserError, shorten

BOM = "\ufeff"
JSON = (".json", ".jsonc", ".json5")
PYYAML = "PyYAML"
_DEEPEST = 900  # brackets that Python's parser takes, which calls itself for each
# A string, which stays, or a comment as JavaScript has it.
_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|(//[^\n]*|/\*.*?\*/)', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Odd:
    """Something at which a reader of such files stops, or with which no run can start here.

    Attributes:
        reader: Who stops; None where it is a matter of this project.
        reason: Why, in a sentence or in the reader's words.
        line: The line, from 1.
        found: What stands there.
        allowed: What may stand there.
        encoding: How the file was decoded, where it is about that.
        several: Whether it is about several configurations in one file.
    """

    reader: str | None
    reason: str
    line: int
    found: str | None = None
    allowed: str | None = None
    encoding: str | None = None
    several: bool = False

    def error(self, file: str) -> UserError:
        """The same as a user's mistake, in a file that no trainer reads."""
        return UserError(
            self.reason,
            file=file,
            line=self.line,
            found=self.found,
            allowed=self.allowed,
        )


def is_json(file: str) -> bool:
    """Whether a file is JSON by its name."""
    return file.lower().endswith(JSON)


def without_comments(text: str) -> str:
    """JSON with blanks in the places of its comments: everything else stays where it is."""
    return _COMMENT.sub(_blank, text)


def _blank(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    return re.sub(r"[^\n]", " ", found[1])


def odd_source(source: Source, file: str) -> Iterator[Odd]:
    """What is odd about a text before its values are told: its encoding and its syntax."""
    if source.line is not None:
        yield Odd(
            reader=None,
            reason="not a UTF-8 text file",
            line=source.line,
            found=source.encoding,
            allowed=UTF8,
            encoding=source.encoding,
        )
    if is_json(file):
        yield from _odd_json(source.text)
    elif "\t" in source.text:
        yield from _odd_tabs(source.text.removeprefix(BOM))


def _odd_json(text: str) -> Iterator[Odd]:
    """What Python's own parser stops at, which trainers and DeepSpeed hand such files."""
    if text.count("[") + text.count("{") > _DEEPEST:
        return
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        found = text.removeprefix(BOM).split("\n")[error.lineno - 1].strip()
        yield Odd(
            reader="Python's json", reason=error.msg, line=error.lineno, found=shorten(found, 80)
        )
    except ValueError as error:  # an integer of too many digits
        yield Odd(reader="Python's json", reason=str(error), line=1)


def _odd_tabs(text: str) -> Iterator[Odd]:
    """Tabs that libyaml takes for blanks, and PyYAML in Python, which trainers call, does not."""
    try:
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        yield Odd(
            reader=PYYAML,
            reason=str(getattr(error, "problem", None) or error),
            line=line,
            found=shorten(text.split("\n")[line - 1].strip(), 80),
        )
