"""Write the factor that a greedy path switches next, and what the others gained.

python scripts/choose_step.py --results results/<study> --direction forward --step 1
"""

from __future__ import annotations

import argparse
import logging

from ablation.cli import run, study_parser
from ablation.designs.greedy_path import BACKWARD, FORWARD
from ablation.evidence.decisions import choose_step
from ablation.evidence.metrics import collect
from ablation.files import save_record
from ablation.results import Results
from ablation.study.adaptive import candidates, read_steps, step_arms
from ablation.study.grid import Grid
from ablation.study.resolved import load_resolved

logger = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__, devices=True)
    parser.add_argument("--direction", required=True, choices=(FORWARD, BACKWARD))
    parser.add_argument("--step", required=True, type=int, help="which step it is, from 1")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study = load_resolved(results)
    previous = read_steps(results, args.direction, args.step - 1)
    among = candidates(study, args.devices or None)
    base, found = step_arms(study, among, args.direction, previous)
    grid = Grid(study.name, [base, *found.values()], study.first_seeds())
    runs = collect(grid, results.runs)
    metric = study.options["metric"]
    decision = choose_step(base, found, runs, metric, args.direction, args.step)
    save_record(decision, results.step(args.direction, args.step))
    logger.info("%s, step %d: %s", args.direction, args.step, decision["chosen"])


if __name__ == "__main__":
    run(main, parse_args)
