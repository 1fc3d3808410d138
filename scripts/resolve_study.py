"""Write both sides' effective settings and where they differ.

    python scripts/resolve_study.py --study config/studies/account_tax/study.yaml \
        --current current.json --backup backup.json --differences differences.json
"""

from __future__ import annotations

import argparse

from ablation.cli import run
from ablation.files import save_json
from ablation.study.study import load_study


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="a study.yaml")
    parser.add_argument("--current", required=True, help="where the current side's settings go")
    parser.add_argument("--backup", required=True, help="where the backup's settings go")
    parser.add_argument("--differences", required=True, help="where the differences go")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    study = load_study(args.study)
    save_json(study.current.as_json(), args.current)
    save_json(study.backup.as_json(), args.backup)
    save_json(study.differences_json(), args.differences)


if __name__ == "__main__":
    run(main, parse_args)
