"""Write the grid of a study whose results decided what was run, once all of it is decided.

python scripts/decide_grid.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.files import save_record
from ablation.results import Results
from ablation.study.adaptive import decided_grid, read_decisions
from ablation.study.grid import save_grid_csv
from ablation.study.resolved import load_resolved


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study = load_resolved(results)
    grid, facts = decided_grid(study, read_decisions(study, results), args.devices or None)
    save_record({**grid.as_json(), **facts}, results.decided_grid)
    save_grid_csv(grid, results.decided_grid.with_suffix(".csv"))


if __name__ == "__main__":
    run(main, study_parser(__doc__, devices=True).parse_args)
