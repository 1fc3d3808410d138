"""`ablation demo`: the default study, end to end, without a GPU."""

from __future__ import annotations

import argparse

from ablation.command.run import run_study
from ablation.command.studies import find_study
from ablation.command.words import Parser
from ablation.words.catalogue import Messages

STUDY = "debian_sections"


def add_arguments(parser: Parser) -> None:
    """The arguments of `ablation demo`."""
    parser.option("snakemake", nargs="*", metavar="OPTION")
    parser.option("-n", "--dry-run", action="store_true")
    parser.option("--cores", default="all")
    parser.set_defaults(profile=None)


def main(args: argparse.Namespace, t: Messages) -> int:
    """Run the default study; 1 where a run or a step has failed."""
    return run_study(find_study(STUDY), args, t)
