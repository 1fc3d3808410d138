"""Render the report as one page of HTML, in all languages; trains and imports nothing heavy.

python scripts/render_page.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.files import save_text
from ablation.report.page import render_page
from ablation.report.sources import load_languages
from ablation.results import Results


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    save_text(render_page(load_languages(results), results), results.page)


if __name__ == "__main__":
    run(main, study_parser(__doc__).parse_args)
