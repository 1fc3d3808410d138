"""What identifies prepared data, and what a cut text keeps at its end."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablation.data.rows import Deal
from ablation.errors import UserError
from ablation.files import load_record
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
    found = load_record(profile).get("deal") if profile.is_file() else None
    return None if found is None else Deal(**found)


def require_whole(data: Path) -> None:
    """Raise a `UserError` where the prepared data is not what was written.

    Data of an earlier version has no sums: it is taken as it is.
    """
    sums = load_record(data / "profile.json").get("sums", {})
    wrong = damaged(data, sums)
    if wrong:
        raise UserError(
            "the prepared data is damaged: it is not what was written",
            file=data,
            found=", ".join(wrong),
            allowed="the files as they were written; remove the folder to prepare the data again",
        )


def special_tail(data: Path) -> list[int]:
    """Special tokens that stay at the end of a text of the prepared data when it is cut."""
    return load_record(data / "profile.json")["special_tail"]
