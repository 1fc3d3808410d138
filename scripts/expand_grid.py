"""Write the arms of a study and their runs.

    python scripts/expand_grid.py --study config/studies/account_tax/study.yaml \
        --json grid.json --csv grid.csv
"""

from __future__ import annotations

import argparse

from ablation.cli import run
from ablation.files import save_json
from ablation.study.grid import expand, save_grid_csv
from ablation.study.study import load_study


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="a study.yaml")
    parser.add_argument("--json", required=True, help="where the grid goes")
    parser.add_argument("--csv", required=True, help="where the table arm x setting goes")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    grid = expand(load_study(args.study), args.devices or None)
    save_json(grid.as_json(), args.json)
    save_grid_csv(grid, args.csv)


if __name__ == "__main__":
    run(main, parse_args)
