"""The studies that a command line can name."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ablation.documents.entries import load_plainly
from ablation.project import SCHEMAS, STUDIES
from ablation.study.names import study_file

CONFIG = Path("config") / "config.yaml"
OWN = Path("config") / "studies"  # those of the folder one works in


def default_study() -> str:
    """The study that config/config.yaml names, else the one that is the default there."""
    schema = json.loads((SCHEMAS / "config.schema.json").read_text(encoding="utf-8"))
    own = load_plainly(CONFIG).at("study") if CONFIG.is_file() else None
    return str(own.value if own else schema["properties"]["study"]["default"])


def find_study(told: str | None) -> Path:
    """The study.yaml that a name, a folder or a path stands for; `default_study` where None.

    A name is a folder of config/studies/ here, or one of the studies that come with the project.

    Raises:
        UserError: there is no such study.
    """
    name = default_study() if told is None else told
    path = Path(name)
    if path.is_dir() and (path / "study.yaml").is_file():
        return path / "study.yaml"
    if path.is_file():
        return path
    folders = [OWN, *[Path(os.path.relpath(STUDIES))] * STUDIES.is_dir()]
    return study_file(name, *folders, key="study: " if told is None else "")
