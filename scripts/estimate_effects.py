"""Write effects.json: contrasts over paired seeds, impact levels, and verdicts on the claims.

    python scripts/estimate_effects.py --grid results/<study>/grid.json \
        --metrics results/<study>/metrics.csv --study config/studies/<study>/study.yaml \
        --output results/<study>/effects.json
"""

from __future__ import annotations

import argparse

from ablation.cli import run
from ablation.evidence.effects import save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import load_table
from ablation.study.grid import load_grid
from ablation.study.study import read_options


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", required=True, help="grid.json")
    parser.add_argument("--metrics", required=True, help="metrics.csv")
    parser.add_argument("--study", required=True, help="study.yaml: metric and claims")
    parser.add_argument("--output", required=True, help="effects.json to write")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Estimate and write."""
    effects = estimate_effects(
        load_grid(args.grid), load_table(args.metrics), read_options(args.study)
    )
    save_effects(effects, args.output)


if __name__ == "__main__":
    run(main, parse_args)
