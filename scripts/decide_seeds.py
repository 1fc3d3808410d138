"""Write whether more seeds are needed after a look at the results, for which arms, and why.

    python scripts/decide_seeds.py --study config/studies/<study>/study.yaml --look 2 \
        --previous results/<study>/decided/look-1.json --runs results/<study>/runs \
        --output results/<study>/decided/look-2.json
"""

from __future__ import annotations

import argparse
import logging

from ablation.cli import run
from ablation.evidence.decisions import decide_seeds
from ablation.evidence.metrics import collect, load_json
from ablation.files import save_json
from ablation.study.adaptive import seeds_grid
from ablation.study.study import load_study

logger = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="a study.yaml with `sequential`")
    parser.add_argument("--look", required=True, type=int, help="which look it is, from 1")
    parser.add_argument("--previous", nargs="*", default=[], help="the decisions of earlier looks")
    parser.add_argument("--runs", required=True, help="folder of the runs")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    parser.add_argument("--output", required=True, help="the decision to write")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    study = load_study(args.study)
    grid = seeds_grid(study, [load_json(path) for path in args.previous], args.devices or None)
    runs = collect(grid, args.runs)
    options, metric = study.options["sequential"], study.options["metric"]
    decision = decide_seeds(grid, runs, study.all_seeds(), options, metric, args.look)
    save_json(decision, args.output)
    logger.info("%d seeds: %s", decision["n"], decision["reason"])


if __name__ == "__main__":
    run(main, parse_args)
