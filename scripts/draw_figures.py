"""Draw the report's figures (SVG) from the runs and the estimated effects.

    python scripts/draw_figures.py --grid results/<study>/grid.json \
        --metrics results/<study>/metrics.csv --effects results/<study>/effects.json \
        --runs results/<study>/runs --profile results/<study>/data/profile.json \
        --output-dir results/<study>/figures
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.evidence.effects import load_effects
from ablation.evidence.metrics import load_json, load_table
from ablation.report.figures.draw import draw_all


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", required=True, help="grid.json")
    parser.add_argument("--metrics", required=True, help="metrics.csv")
    parser.add_argument("--effects", required=True, help="effects.json")
    parser.add_argument("--runs", required=True, help="folder of the runs")
    parser.add_argument("--profile", help="data/profile.json, for arms that have not run yet")
    parser.add_argument("--output-dir", required=True, help="folder to write the figures to")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Draw and write."""
    profile = load_json(args.profile) if args.profile and Path(args.profile).is_file() else None
    draw_all(
        load_json(args.grid),
        load_table(args.metrics),
        load_effects(args.effects),
        args.runs,
        profile,
        args.output_dir,
    )


if __name__ == "__main__":
    run(main, parse_args)
