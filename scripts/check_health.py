"""Write warnings about finished runs, each with its evidence, and say them.

    python scripts/check_health.py --grid results/<study>/grid.json --runs results/<study>/runs \
        --profile results/<study>/data/profile.json --output results/<study>/health.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.evidence.health import check_health, health_json, health_line, load_texts
from ablation.evidence.metrics import load_json
from ablation.files import save_json
from ablation.words.catalogue import LANGUAGES


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", required=True, help="grid.json")
    parser.add_argument("--runs", required=True, help="folder of the runs")
    parser.add_argument("--profile", help="data/profile.json")
    parser.add_argument("--output", help="health.json to write")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="the language of the lines")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    there = args.profile and Path(args.profile).is_file()
    profile = load_json(args.profile) if there else None
    warnings = check_health(load_json(args.grid), args.runs, profile)
    if args.output:
        save_json(health_json(warnings), args.output)
    texts = load_texts(args.lang)
    for warning in warnings:
        print(health_line(warning, texts))
    if not warnings:
        print(texts("all_well"))


if __name__ == "__main__":
    run(main, parse_args)
