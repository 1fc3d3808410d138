"""Write what is confirmed on fresh seeds: the recommended arm.

    python scripts/choose_confirmation.py --study config/studies/<study>/study.yaml \
        --grid results/<study>/grid.json --effects results/<study>/effects.json \
        --decision results/<study>/confirmation/decision.json \
        --output results/<study>/confirmation/grid.json
"""

from __future__ import annotations

import argparse

from ablation.cli import run
from ablation.evidence.decisions import choose_confirmation
from ablation.evidence.effects import load_effects
from ablation.files import save_json
from ablation.study.adaptive import candidates, confirmation_grid
from ablation.study.study import load_study


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="a study.yaml with `confirm`")
    parser.add_argument("--grid", required=True, help="grid.json")
    parser.add_argument("--effects", required=True, help="effects.json")
    parser.add_argument("--devices", type=int, help="devices that each run is told to use; 0: any")
    parser.add_argument("--decision", required=True, help="the decision to write")
    parser.add_argument("--output", required=True, help="the confirmation's grid.json to write")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    study, effects = load_study(args.study), load_effects(args.effects)
    decision = choose_confirmation(effects.recommendation)
    grid = confirmation_grid(study, candidates(study, args.devices or None), decision)
    save_json(decision, args.decision)
    save_json(grid.as_json(), args.output)


if __name__ == "__main__":
    run(main, parse_args)
