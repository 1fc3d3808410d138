"""Write the study as it is resolved: both sides' settings, where they differ, what is asked.

    python scripts/resolve_study.py --study config/studies/account_tax/study.yaml \
        --results results/account_tax
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.results import Results
from ablation.study.adaptive import with_kept_spending
from ablation.study.load import load_study
from ablation.study.resolved import save_resolved


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__)
    parser.add_argument("--study", required=True, help="a study.yaml")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study = with_kept_spending(load_study(args.study), args.study, results)
    save_resolved(study, results)


if __name__ == "__main__":
    run(main, parse_args)
