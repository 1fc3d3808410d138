"""Render the report as one page of HTML, in all languages; trains and imports nothing heavy.

python scripts/render_page.py --results results/<study>
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.files import save_text
from ablation.report.page import render_page
from ablation.report.sources import load_languages
from ablation.results import Results


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    save_text(render_page(load_languages(results), results), results.page)


if __name__ == "__main__":
    run(main, parse_args)
