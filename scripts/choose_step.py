"""Write the factor that a greedy path switches next, and what the others gained.

    python scripts/choose_step.py --study config/studies/<study>/study.yaml \
        --direction forward --step 1 --runs results/<study>/runs \
        --output results/<study>/decided/forward-1.json
"""

from __future__ import annotations

import argparse
import logging

from ablation.cli import run
from ablation.designs.greedy_path import BACKWARD, FORWARD
from ablation.evidence.decisions import choose_step
from ablation.evidence.metrics import collect, load_json
from ablation.files import save_json
from ablation.study.adaptive import candidates, step_arms
from ablation.study.grid import Grid
from ablation.study.study import load_study

logger = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="a study.yaml with `greedy_path`")
    parser.add_argument("--direction", required=True, choices=(FORWARD, BACKWARD))
    parser.add_argument("--step", required=True, type=int, help="which step it is, from 1")
    parser.add_argument("--previous", nargs="*", default=[], help="the decisions before it")
    parser.add_argument("--runs", required=True, help="folder of the runs")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    parser.add_argument("--output", required=True, help="the decision to write")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    study = load_study(args.study)
    among = candidates(study, args.devices or None)
    previous = [load_json(path) for path in args.previous]
    base, found = step_arms(study, among, args.direction, previous)
    grid = Grid(study.name, [base, *found.values()], study.first_seeds())
    runs = collect(grid, args.runs)
    metric = study.options["metric"]
    decision = choose_step(base, found, runs, metric, args.direction, args.step)
    save_json(decision, args.output)
    logger.info("%s, step %d: %s", args.direction, args.step, decision["chosen"])


if __name__ == "__main__":
    run(main, parse_args)
