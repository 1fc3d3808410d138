"""Write every arm that results may add to a study: the cells of a greedy path or a confirmation.

    python scripts/list_candidates.py --study config/studies/<study>/study.yaml \
        --output results/<study>/candidates.json
"""

from __future__ import annotations

import argparse

from ablation.cli import run
from ablation.errors import UserError
from ablation.files import save_json
from ablation.study.adaptive import candidates
from ablation.study.study import load_study


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="a study.yaml")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    parser.add_argument("--output", required=True, help="candidates.json to write")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    grid = candidates(load_study(args.study), args.devices or None)
    if grid is None:
        raise UserError(
            "results add nothing to this study",
            file=args.study,
            allowed="a study with greedy_path or confirm",
        )
    save_json(grid.as_json(), args.output)


if __name__ == "__main__":
    run(main, parse_args)
