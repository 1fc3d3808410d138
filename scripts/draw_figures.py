"""Draw the report's figures (SVG) from the runs and the estimated effects.

python scripts/draw_figures.py --results results/<study>
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.evidence.effects import load_effects
from ablation.evidence.metrics import load_table
from ablation.files import load_json
from ablation.report.figures.draw import draw_all
from ablation.results import Results
from ablation.study.resolved import load_resolved


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    draw_all(
        load_json(results.grid(load_resolved(results).adaptive)),
        load_table(results.metrics),
        load_effects(results.effects),
        results.runs,
        load_json(results.profile),
        results.figures,
    )


if __name__ == "__main__":
    run(main, parse_args)
