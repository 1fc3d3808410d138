"""Write one row for each run of the grid into metrics.csv; absent runs are listed as missing.

python scripts/collect_metrics.py --results results/<study>
"""

from __future__ import annotations

import argparse
import logging

from ablation.cli import run, study_parser
from ablation.evidence.metrics import collect, save_table
from ablation.results import Results
from ablation.study.grid import load_grid
from ablation.study.resolved import load_resolved

logger = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__)
    parser.add_argument("--confirmation", action="store_true", help="of the confirmation's runs")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    grid, output = results.confirmation_grid, results.confirmation_metrics
    if not args.confirmation:
        grid, output = results.grid(load_resolved(results).adaptive), results.metrics
    table = collect(load_grid(grid), results.runs)
    save_table(table, output)
    counts = table["status"].value_counts().to_dict()
    logger.info("%d rows: %s", len(table), ", ".join(f"{n} {s}" for s, n in counts.items()))


if __name__ == "__main__":
    run(main, parse_args)
