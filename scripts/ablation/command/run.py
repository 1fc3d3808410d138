"""`ablation run`: the whole study, with a line a run that a person can read."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ablation.command.follow import follow
from ablation.command.studies import find_study
from ablation.command.words import Parser
from ablation.command.workflow import environment, only_call, snakemake_command, unlock_stale
from ablation.errors import UserError
from ablation.project import PROJECT
from ablation.results import Results
from ablation.study.load import load_study
from ablation.words.catalogue import Messages
from ablation.workflow.folders import check_places

FAILED = 1
DEFAULT_PROFILE = "profiles/default"  # which Snakemake takes without being told


def add_arguments(parser: Parser) -> None:
    """The arguments of `ablation run`."""
    parser.option("study", nargs="?")
    parser.option("snakemake", nargs="*", metavar="OPTION")
    parser.option("-n", "--dry-run", action="store_true")
    parser.option("--cores", default="all")
    parser.option("--profile", metavar="FOLDER")


def main(args: argparse.Namespace, t: Messages) -> int:
    """Run the study; 1 where a run or a step has failed."""
    return run_study(find_study(args.study), args, t)


def refuse_foreign_profile(folder: Path) -> None:
    """Refuse the profile that Snakemake finds by itself, where it is not the project's own.

    It may hold programs, and may be somebody else's, as the study is.

    Raises:
        UserError: there is one, and nobody has said to use it.
    """
    if folder.exists() and folder.resolve() != (PROJECT / DEFAULT_PROFILE).resolve():
        raise UserError(
            "Snakemake would take a profile of the working folder, which can run any program",
            file=folder,
            allowed="a profile that is said with --profile: read it before",
            write=f"ablation run --profile {folder}",
        )


def _show(command: Sequence[str], t: Messages) -> int:
    """Run Snakemake where it trains nothing; its exit code, whoever stops to read what it says."""
    piped = None if sys.stdout.isatty() else subprocess.PIPE
    done = subprocess.run(
        command, env=environment(t.language), stdout=piped, encoding="utf-8", check=False
    )
    sys.stdout.write(done.stdout or "")
    return done.returncode


def run_study(file: Path, args: argparse.Namespace, t: Messages) -> int:
    """Run the workflow of a study, or show what it would do.

    Raises:
        UserError: the study cannot be run, Snakemake is at work in this folder, or would find a
            profile of somebody else's there.
    """
    study = load_study(file)
    if not args.profile:
        refuse_foreign_profile(Path(DEFAULT_PROFILE))
    options = ["--workflow-profile", args.profile] if args.profile else ["--cores", args.cores]
    command = snakemake_command(file, [*options, *args.snakemake])
    if args.dry_run:
        short = [] if args.snakemake else ["--quiet", "rules"]  # else a page for each job
        return FAILED if _show([*command, "-n", *short], t) else 0
    study.require_data()
    check_places(Results(Path("results") / study.name))  # before its log is written
    with only_call(t) as lock:
        unlock_stale(snakemake_command(file, []), t)
        return FAILED if follow(command, file, t, sys.stdout, lock) else 0
