"""`ablation report`: the report of the runs that are there, without training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ablation.command.status import begun_results
from ablation.command.studies import find_study
from ablation.command.words import Parser
from ablation.machine.progress import DIVERGED, DONE, read_progress
from ablation.report.incomplete import render_partial
from ablation.words.catalogue import LANGUAGES, Messages


def add_arguments(parser: Parser) -> None:
    """The arguments of `ablation report`."""
    parser.option("study")
    parser.option("--json", action="store_true")
    parser.option("--results", default="results")


def main(args: argparse.Namespace, t: Messages) -> int:
    """Print where the report is; where runs are missing, one of those that are there is made."""
    file = find_study(args.study)
    results = begun_results(file.absolute().parent.name, Path(args.results), t)
    progress = read_progress(results)
    finished = progress.count(DONE, DIVERGED)
    whole = finished == len(progress.runs)
    if not (whole and results.report(t.language).is_file()):
        if not render_partial(results):
            print(t("report.not_prepared"))
            return 1
        results = results.partial()
    found = {language: str(results.report(language)) for language in LANGUAGES}
    told = {
        "reports": found,
        "page": str(results.page),
        "runs": len(progress.runs),
        "finished": finished,
    }
    print(json.dumps(told, indent=1) if args.json else found[t.language])
    return 0
