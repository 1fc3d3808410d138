"""What identifies prepared data, and what a cut text keeps at its end."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ablation.errors import UserError
from ablation.sums import damaged


def digest(value: Any) -> str:
    """Short hash of a JSON value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_fingerprint(data: Path) -> str:
    """Short hash of the prepared data: of its labels and of the fingerprints of its splits."""
    files = [data / "labels.json", *sorted(data.glob("*/state.json"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def require_whole(data: Path) -> None:
    """Raise a `UserError` where the prepared data is not what was written.

    Data of an earlier version has no sums: it is taken as it is.
    """
    sums = json.loads((data / "profile.json").read_text()).get("sums", {})
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
    return json.loads((data / "profile.json").read_text())["special_tail"]
