"""What identifies prepared data, and what a cut text keeps at its end."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablation.errors import UserError
from ablation.settings.profile import Deal, load_profile
from ablation.sums import damaged


def digest(value: Any) -> str:
    """Short hash of a JSON value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_fingerprint(data: Path) -> str:
    """Short hash of the prepared data: of its labels, its splits, and how seeds split it anew."""
    files = [data / "labels.json", *sorted(data.glob("*/state.json"))]
    content = [path.read_bytes() for path in files]
    deal = deal_of(data)
    if deal is not None:
        content.append(json.dumps(asdict(deal), sort_keys=True).encode())
    return hashlib.sha256(b"".join(content)).hexdigest()[:16]


def deal_of(data: Path) -> Deal | None:
    """How each seed deals the prepared rows out anew; None where all runs share one split."""
    profile = data / "profile.json"
    return load_profile(profile).deal if profile.is_file() else None


def require_whole(data: Path) -> None:
    """Raise a `UserError` where the prepared data is not what was written.

    Data of an earlier version has no sums: it is taken as it is.
    """
    wrong = damaged(data, load_profile(data / "profile.json").sums)
    if wrong:
        raise UserError(
            "the prepared data is damaged: it is not what was written",
            file=data,
            found=", ".join(wrong),
            allowed="the files as they were written; remove the folder to prepare the data again",
        )


def special_tail(data: Path) -> tuple[int, ...]:
    """Special tokens that stay at the end of a text of the prepared data when it is cut.

    Raises:
        UserError: An earlier version prepared it, which did not tell them.
    """
    found = load_profile(data / "profile.json").special_tail
    if found is None:
        raise UserError(
            "the prepared data is of an earlier version",
            file=data / "profile.json",
            allowed="data of this version; remove the folder to prepare the data again",
        )
    return found
