"""Write every arm that results may add to a study: the cells of a greedy path or a confirmation.

python scripts/list_candidates.py --results results/<study>
"""

from __future__ import annotations

import argparse

from ablation.cli import run, study_parser
from ablation.errors import UserError
from ablation.files import save_record
from ablation.results import Results
from ablation.study.adaptive import candidates
from ablation.study.resolved import load_resolved


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    study = load_resolved(results)
    grid = candidates(study, args.devices or None)
    if grid is None:
        raise UserError(
            "results add nothing to this study",
            file=study.file,
            allowed="a study with greedy_path or confirm",
        )
    save_record(grid.as_json(), results.candidates)


if __name__ == "__main__":
    run(main, study_parser(__doc__, devices=True).parse_args)
