"""The words of the command in each language, those of argparse among them."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

from ablation.words.catalogue import LANGUAGES, Messages, load_catalogue


def load_words(language: str) -> Messages:
    """The command's texts in a language."""
    return Messages(language, load_catalogue("command", language))


def language_of(argv: Sequence[str]) -> str:
    """The language that a command line asks for, found before it is parsed: help is in it, too."""
    for place, word in enumerate(argv):
        value = word.removeprefix("--lang=") if word.startswith("--lang=") else None
        if word == "--lang" and place + 1 < len(argv):
            value = argv[place + 1]
        if value in LANGUAGES:
            return value
    return LANGUAGES[0]


def speak(t: Messages) -> None:
    """Let argparse say its own words in the language: it asks `_` and `ngettext` for them."""

    def own(text: str) -> str:
        return t.texts.get(f"argparse.{text.strip()}", text.strip()) + text[len(text.rstrip()) :]

    argparse._ = own  # type: ignore[attr-defined]
    argparse.ngettext = lambda one, many, n: own(one if n == 1 else many)  # type: ignore[attr-defined]


class Parser(argparse.ArgumentParser):
    """The parser of a subcommand: its texts come from the catalogue, under the command's name."""

    def __init__(self, t: Messages, command: str) -> None:
        speak(t)
        examples = textwrap.indent(t(f"{command}.examples"), "  ")
        super().__init__(
            prog=f"ablation {command}",
            description=t(f"{command}.summary"),
            epilog=f"{t('examples')}\n{examples}\n\n{t(f'{command}.exit_codes')}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.t, self.command = t, command
        self.option("--lang", choices=LANGUAGES, default=LANGUAGES[0])

    def option(self, *names: str, **facts: Any) -> None:
        """Add an argument; its help is in the catalogue under its longest name."""
        name = max(names, key=len).lstrip("-").replace("-", "_")
        own = f"{self.command}.options.{name}"
        text = self.t(own if self.t.has(own) else f"options.{name}")
        self.add_argument(*names, help=text.replace("%", "%%"), **facts)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments of a command line; what stands after `--` may be options of Snakemake.

        argparse refuses them where an option of our own stands before the `--`.
        """
        own = [action.dest for action in self._actions]
        if "snakemake" not in own or "--" not in words:
            return self.parse_args(words)
        place = list(words).index("--")
        args = self.parse_args(words[:place])
        args.snakemake += words[place + 1 :]
        return args

    def count(self, text: str) -> int:
        """A whole number of at least 1, for `type`."""
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(self.t("not_a_count", found=text))
        return int(text)

    def counts(self, text: str) -> int | tuple[int, int]:
        """A whole number for both sides, or `current=N,backup=N`, for `type`."""
        if "=" not in text:
            return self.count(text)
        sides = self.sides(text)
        if set(sides) != {"current", "backup"}:
            raise argparse.ArgumentTypeError(self.t("not_sides", found=text))
        return self.count(sides["current"]), self.count(sides["backup"])

    def sides(self, text: str) -> dict[str, str]:
        """What is said of one side or of both, as `current=…,backup=…`, for `type`."""
        parts = [part.partition("=") for part in text.split(",")]
        found = {side.strip(): value.strip() for side, _, value in parts}
        if not set(found) <= {"current", "backup"} or not all(found.values()):
            raise argparse.ArgumentTypeError(self.t("not_sides", found=text))
        return found

    def time(self, text: str) -> float:
        """Hours out of 24h, 90m, 2d or a bare number, for `type`."""
        unit = {"m": 1 / 60, "h": 1.0, "d": 24.0}.get(text[-1:].lower())
        try:
            value = float(text if unit is None else text[:-1]) * (unit or 1.0)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(self.t("not_a_time", found=text))
        return value

    def amount(self, text: str) -> float:
        """A number above 0, for `type`."""
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(self.t("not_an_amount", found=text))
        return value
