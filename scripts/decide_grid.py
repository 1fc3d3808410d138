"""Write the grid of a study whose results decided what was run, once all of it is decided.

    python scripts/decide_grid.py --study config/studies/<study>/study.yaml \
        --decisions results/<study>/decided/look-*.json \
        --json results/<study>/decided/grid.json --csv results/<study>/decided/grid.csv
"""

from __future__ import annotations

import argparse

from ablation.cli import run
from ablation.evidence.metrics import load_json
from ablation.files import save_json
from ablation.study.adaptive import decided_grid
from ablation.study.grid import save_grid_csv
from ablation.study.study import load_study


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="a study.yaml")
    parser.add_argument("--decisions", nargs="*", default=[], help="what was decided, in any order")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    parser.add_argument("--json", required=True, help="where the grid goes")
    parser.add_argument("--csv", required=True, help="where the table arm x setting goes")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    decisions = [load_json(path) for path in args.decisions]
    grid, facts = decided_grid(load_study(args.study), decisions, args.devices or None)
    save_json({**grid.as_json(), **facts}, args.json)
    save_grid_csv(grid, args.csv)


if __name__ == "__main__":
    run(main, parse_args)
