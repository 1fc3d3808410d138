"""Write the arms of a study and their runs.

python scripts/expand_grid.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.files import save_record
from ablation.results import Results
from ablation.study.grid import expand, save_grid_csv
from ablation.study.resolved import load_resolved


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    grid = expand(load_resolved(results), args.devices or None)
    save_record(grid.as_json(), results.planned_grid)
    save_grid_csv(grid, results.planned_grid.with_suffix(".csv"))


if __name__ == "__main__":
    run(main, study_parser(__doc__, devices=True).parse_args)
