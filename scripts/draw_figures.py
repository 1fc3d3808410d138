"""Draw the report's figures (SVG), in each language, from the runs and the estimated effects.

python scripts/draw_figures.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.report.figures.draw import draw_all
from ablation.report.sources import load_languages
from ablation.results import Results


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    draw_all(load_languages(results), results.runs, results.figures)


if __name__ == "__main__":
    run(main, study_parser(__doc__).parse_args)
