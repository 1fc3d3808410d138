"""Draw the report's figures (SVG), in each language, from the runs and the estimated effects.

python scripts/draw_figures.py --results results/<study>
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.report.figures.draw import draw_all
from ablation.report.sources import load_languages
from ablation.results import Results


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    draw_all(load_languages(results), results.runs, results.figures)


if __name__ == "__main__":
    run(main, parse_args)
