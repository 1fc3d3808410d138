"""Write the current configuration changed into an arm, and the patch that changes it.

    python scripts/write_patch.py --study config/studies/account_tax/study.yaml --arm backup \
        --output-config recommended/training.yml --output-patch recommended/training.patch
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run
from ablation.evidence.effects import load_recommendation
from ablation.files import save_text
from ablation.report.patch import patch_text, recommended_rewrite
from ablation.study.study import load_study


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", required=True, help="a study.yaml")
    arm = parser.add_mutually_exclusive_group(required=True)
    arm.add_argument("--arm", help="the arm to recommend")
    arm.add_argument("--effects", help="effects.json: the arm that it recommends")
    parser.add_argument("--confirmation", help="confirmation/verdict.json, where there is one")
    parser.add_argument(
        "--output-config",
        required=True,
        help="where the configuration goes, and beside it the files that it includes",
    )
    parser.add_argument("--output-patch", required=True, help="where the patch goes")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    study = load_study(args.study)
    arm = args.arm or load_recommendation(args.effects, args.confirmation).applied
    found = recommended_rewrite(study, arm)
    output = Path(args.output_config)
    for number, (path, text) in enumerate(found.after.items()):
        save_text(text, output if number == 0 else output.with_name(path.name))
    save_text(patch_text(found, study.folder), args.output_patch)


if __name__ == "__main__":
    run(main, parse_args)
