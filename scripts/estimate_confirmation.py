"""Write whether fresh seeds confirm what was recommended.

    python scripts/estimate_confirmation.py --study config/studies/<study>/study.yaml \
        --grid results/<study>/confirmation/grid.json \
        --metrics results/<study>/confirmation/metrics.csv \
        --output results/<study>/confirmation/verdict.json
"""

from __future__ import annotations

import argparse

from ablation.cli import run
from ablation.evidence.confirmation import estimate_confirmation, save_confirmation
from ablation.evidence.metrics import load_table
from ablation.study.grid import load_grid
from ablation.study.study import load_study


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="study.yaml: the metric")
    parser.add_argument("--grid", required=True, help="the confirmation's grid.json")
    parser.add_argument("--metrics", required=True, help="the confirmation's metrics.csv")
    parser.add_argument("--output", required=True, help="the verdict to write")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    metric = load_study(args.study).options["metric"]
    found = estimate_confirmation(load_grid(args.grid), load_table(args.metrics), metric)
    save_confirmation(found, args.output)


if __name__ == "__main__":
    run(main, parse_args)
