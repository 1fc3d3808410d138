"""Render the report in one language from finished measurements; trains and imports nothing heavy.

python scripts/render_report.py --results results/<study> --language en
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.files import save_text
from ablation.report.report import render_report
from ablation.report.sources import load_sources
from ablation.results import Results, remove_partial
from ablation.words.catalogue import LANGUAGES


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__)
    parser.add_argument("--language", required=True, choices=LANGUAGES)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    sources = load_sources(results, args.language)
    output = results.report(args.language)
    save_text(render_report(sources, results.figures, output), output)
    remove_partial(results)


if __name__ == "__main__":
    run(main, parse_args)
