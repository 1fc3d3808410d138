"""Write every arm that results may add to a study: the cells of a greedy path or a confirmation.

python scripts/list_candidates.py --results results/<study>
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.errors import UserError
from ablation.files import save_record
from ablation.results import Results
from ablation.study.adaptive import candidates
from ablation.study.resolved import load_resolved


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study = load_resolved(results)
    grid = candidates(study, args.devices or None)
    if grid is None:
        raise UserError(
            "results add nothing to this study",
            file=study.file,
            allowed="a study with greedy_path or confirm",
        )
    save_record(grid.as_json(), results.candidates)


if __name__ == "__main__":
    run(main, parse_args)
