"""Write the current configuration changed into an arm, and the patch that changes it.

python scripts/write_patch.py --results results/<study>
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ablation.cli import run, study_parser
from ablation.evidence.effects import load_recommendation
from ablation.files import save_text
from ablation.report.patch import patch_text, recommended_rewrite
from ablation.results import Results
from ablation.study.resolved import load_resolved


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__)
    parser.add_argument("--arm", help="the arm to recommend; without it what helped")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study = load_resolved(results)
    verdict = results.verdict if study.fresh_seeds else None
    arm = args.arm or load_recommendation(results.effects, verdict).applied
    found = recommended_rewrite(study, arm)
    for path, text in found.after.items():
        save_text(text, results.recommended / path.name)
    patch = results.recommended / f"{Path(study.current.file).stem}.patch"
    save_text(patch_text(found, study.folder), patch)


if __name__ == "__main__":
    run(main, parse_args)
