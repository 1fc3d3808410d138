"""The entry point of the command: finds the subcommand, and says mistakes in one message."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from ablation.cli import DISK_ERRORS, let_readers_leave
from ablation.command.words import Parser, language_of, load_words
from ablation.errors import UserError
from ablation.words.catalogue import Messages
from ablation.words.errors import tell

COMMANDS = ("explain", "init", "plan", "run", "status", "report", "demo")
DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; its exit code.

    0: done. 1: something that was run has failed. 2: a mistake in the command line or a file.
    3: `explain --check` has found a problem. 130: interrupted.
    """
    let_readers_leave()
    words = list(sys.argv[1:] if argv is None else argv)
    language = language_of(words)
    t = load_words(language)
    found = _without_language(words)
    name = found[0] if found else "--help"
    try:
        if name in ("-h", "--help", "--version"):
            print(_version() if name == "--version" else _overview(t), flush=True)
            return DONE
        try:
            return _run(name, [*words[: len(words) - len(found)], *found[1:]], t)
        finally:
            sys.stdout.flush()
    except UserError as error:
        print(f"{t('error')}: {tell(error, language)}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print(t("interrupted"), file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"{t('error')}: {place}{t('disk', reason=error.strerror)}", file=sys.stderr)
        return MISTAKE


def _without_language(words: Sequence[str]) -> list[str]:
    """The words from the subcommand on: `--lang ko` may stand before it."""
    place = 0
    while place < len(words) and words[place].startswith("--lang"):
        place += 1 if "=" in words[place] else 2
    return list(words[place:])


def _run(name: str, rest: list[str], t: Messages) -> int:
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        write = f"ablation {near[0]}" if near else "ablation --help"
        raise UserError(t("unknown_command"), found=name, allowed=COMMANDS, write=write)
    try:
        module = importlib.import_module(f"ablation.command.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ablation":
            raise
        write = 'pip install "staged-ablation[train]"'
        problem = t("not_installed", command=name)
        raise UserError(problem, found=error.name, write=write) from error
    parser = Parser(t, name)
    module.add_arguments(parser)
    return module.main(parser.parse(rest), t)


def _overview(t: Messages) -> str:
    lines = [t("overview.usage"), "", t("overview.purpose"), "", t("overview.commands")]
    lines += [f"  {name:<9}{t(f'{name}.summary')}" for name in COMMANDS]
    return "\n".join([*lines, "", t("overview.more")])


def _version() -> str:
    try:
        return version("staged-ablation")
    except PackageNotFoundError:  # a checkout that was not installed
        return "staged-ablation"
