"""Write whether more seeds are needed after a look at the results, for which arms, and why.

python scripts/decide_seeds.py --results results/<study> --look 2
"""

from __future__ import annotations

import argparse
import logging

from ablation.cli import run, study_parser
from ablation.evidence.by_row import load_by_row
from ablation.evidence.decisions import decide_seeds
from ablation.evidence.metrics import collect
from ablation.evidence.reports import load_reports
from ablation.files import save_record
from ablation.results import Results
from ablation.study.adaptive import read_looks, seeds_grid
from ablation.study.resolved import load_resolved

logger = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__, devices=True)
    parser.add_argument("--look", required=True, type=int, help="which look it is, from 1")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study = load_resolved(results)
    grid = seeds_grid(study, read_looks(results, args.look - 1), args.devices or None)
    runs = collect(grid, results.runs)
    decision = decide_seeds(
        grid,
        runs,
        study.all_seeds(),
        study.options,
        args.look,
        by_row=load_by_row(grid, results.runs, study.options["metric"]["name"]),
        reports=load_reports(results.reports),
    )
    save_record(decision, results.look(args.look))
    logger.info("%d seeds: %s", decision["n"], decision["reason"])


if __name__ == "__main__":
    run(main, parse_args)
