"""Where a study is, by its name; metrics by theirs. It imports nothing heavy: people wait."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from ablation.errors import UserError

LOWER_IS_BETTER = ("eval_loss",)  # of the metrics that every run has
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def study_file(name: str, *studies: str | Path, key: str = "study: ") -> Path:
    """The study.yaml of a study by its name.

    Args:
        name: The name.
        studies: The folders of studies; the first that has it counts.
        key: What the name stands behind in config.yaml; empty where a command line says it.

    Raises:
        UserError: the name is not a folder's name, or there is no such study.
    """
    folders = [Path(folder) for folder in studies]
    known = sorted({file.parent.name for one in folders for file in one.glob("*/study.yaml")})
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            "the study's name cannot be used: results/<study>/ is named after it",
            file="config/config.yaml" if key else None,
            found=f"{key}{name}",
            allowed=f"letters, digits, '_', '-' and '.'; here: {', '.join(known)}",
            write=f"{key}{known[0]}" if known else None,
        )
    files = [folder / name / "study.yaml" for folder in folders]
    file = next((file for file in files if file.exists()), None)
    if file is None:
        near = difflib.get_close_matches(name, known, n=1) or known[:1]
        raise UserError(
            "there is no such study",
            file=files[0],
            found=name,
            allowed=known,
            write=f"{key}{near[0]}" if near else None,
        )
    return file
