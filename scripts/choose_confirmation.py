"""Write what is confirmed on fresh seeds: the recommended arm.

python scripts/choose_confirmation.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.evidence.decisions import choose_confirmation
from ablation.evidence.effects import load_effects
from ablation.files import save_record
from ablation.results import Results
from ablation.study.adaptive import candidates, confirmation_grid
from ablation.study.resolved import load_resolved


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study, effects = load_resolved(results), load_effects(results.effects)
    decision = choose_confirmation(effects.recommendation)
    grid = confirmation_grid(study, candidates(study, args.devices or None), decision)
    save_record(decision, results.confirmed)
    save_record(grid.as_json(), results.confirmation_grid)


if __name__ == "__main__":
    run(main, study_parser(__doc__, devices=True).parse_args)
