"""Write whether fresh seeds confirm what was recommended.

python scripts/estimate_confirmation.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.evidence.by_row import load_by_row
from ablation.evidence.confirmation import save_confirmation
from ablation.evidence.fresh import estimate_confirmation
from ablation.evidence.metrics import load_table
from ablation.results import Results
from ablation.study.grid import load_grid
from ablation.study.resolved import load_resolved


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    metric = load_resolved(results).options["metric"]
    grid, table = load_grid(results.confirmation_grid), load_table(results.confirmation_metrics)
    by_row = load_by_row(grid, results.runs, metric["name"])
    save_confirmation(estimate_confirmation(grid, table, metric, by_row), results.verdict)


if __name__ == "__main__":
    run(main, study_parser(__doc__).parse_args)
