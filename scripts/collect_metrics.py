"""Write one row for each run of the grid into metrics.csv; absent runs are listed as missing.

    python scripts/collect_metrics.py --grid results/<study>/grid.json \
        --runs results/<study>/runs --output results/<study>/metrics.csv
"""

from __future__ import annotations

import argparse
import logging

from ablation.cli import run
from ablation.evidence.metrics import collect, save_table
from ablation.study.grid import load_grid

logger = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", required=True, help="grid.json")
    parser.add_argument("--runs", required=True, help="folder of the runs")
    parser.add_argument("--output", required=True, help="metrics.csv to write")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Collect and write."""
    table = collect(load_grid(args.grid), args.runs)
    save_table(table, args.output)
    counts = table["status"].value_counts().to_dict()
    logger.info("%d rows: %s", len(table), ", ".join(f"{n} {s}" for s, n in counts.items()))


if __name__ == "__main__":
    run(main, parse_args)
