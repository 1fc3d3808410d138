"""Write the arms of a study and their runs.

python scripts/expand_grid.py --results results/<study>
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.files import save_record
from ablation.results import Results
from ablation.study.grid import expand, save_grid_csv
from ablation.study.resolved import load_resolved


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    grid = expand(load_resolved(results), args.devices or None)
    save_record(grid.as_json(), results.planned_grid)
    save_grid_csv(grid, results.planned_grid.with_suffix(".csv"))


if __name__ == "__main__":
    run(main, parse_args)
