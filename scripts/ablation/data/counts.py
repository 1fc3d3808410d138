"""How many rows each arm trains on: as its runs counted them, or as planned from the data."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ablation.data.rows import extract_size
from ablation.settings.catalogue import Settings
from ablation.settings.profile import Profile, load_profile
from ablation.settings.quantities import share_of_rows
from ablation.study.grid_file import GridFile


def planned_rows(settings: Settings, profile: Profile) -> int:
    """Training rows of an arm before any run has counted them.

    The most frequent `max_classes` classes, of each the extracted share and at least one row. Exact
    where the extract is stratified, else what is expected.
    """
    counts = profile.label_counts[: settings.get("data.max_classes") or None]
    share = share_of_rows(settings, sum(profile.label_counts))
    return sum(extract_size(count, share) for count in counts)


def all_training_rows(profile: Path) -> int | None:
    """The training rows of the whole data set, before `max_rows` drew some of it.

    None where the data is not prepared.
    """
    if not profile.is_file():
        return None
    rows = load_profile(profile).rows
    drawn = rows.read - rows.not_drawn
    return round(rows.train * rows.read / drawn) if drawn else None


def train_rows_of(
    grid: GridFile, runs_table: pd.DataFrame, profile: Profile | None
) -> dict[str, int]:
    """Training rows by arm: as the runs counted them, else as planned from the data's profile."""
    found = {}
    for arm in grid["arms"]:
        own = runs_table[runs_table["variant"] == arm["variant"]]
        measured = own["data.train_rows"].dropna() if "data.train_rows" in own else pd.Series()
        if len(measured):
            found[arm["arm"]] = int(measured.iloc[0])
        elif profile is not None:
            found[arm["arm"]] = planned_rows(arm["settings"], profile)
    return found
