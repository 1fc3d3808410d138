"""Where a study is, by its name; metrics by theirs. It imports nothing heavy: people wait."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from ablation.errors import UserError

LOWER_IS_BETTER = ("eval_loss",)  # of the metrics that every run has
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def study_file(name: str, studies: str | Path) -> Path:
    """The study.yaml of a study by its name.

    Raises:
        UserError: the name is not a folder's name, or there is no such study.
    """
    studies = Path(studies)
    known = sorted(path.parent.name for path in studies.glob("*/study.yaml"))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            "the study's name cannot be used: results/<study>/ is named after it",
            file="config/config.yaml",
            found=f"study: {name}",
            allowed=f"letters, digits, '_', '-' and '.'; here: {', '.join(known)}",
            write=f"study: {known[0]}" if known else None,
        )
    file = studies / name / "study.yaml"
    if not file.exists():
        near = difflib.get_close_matches(name, known, n=1) or known[:1]
        raise UserError(
            "there is no such study",
            file=file,
            found=name,
            allowed=known,
            write=f"study: {near[0]}" if near else None,
        )
    return file
