"""Write warnings about finished runs, each with its evidence, and say them.

python scripts/check_health.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.evidence.health import check_health, health_json, health_line, load_texts
from ablation.files import load_record, save_record
from ablation.results import Results
from ablation.settings.profile import load_profile
from ablation.study.resolved import load_resolved
from ablation.words.catalogue import LANGUAGES


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__)
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="the language of the lines")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    grid = load_record(results.grid(load_resolved(results).adaptive))
    warnings = check_health(grid, results.runs, load_profile(results.profile))
    save_record(health_json(warnings), results.health)
    texts = load_texts(args.lang)
    for warning in warnings:
        print(health_line(warning, texts))
    if not warnings:
        print(texts("all_well"))


if __name__ == "__main__":
    run(main, parse_args)
