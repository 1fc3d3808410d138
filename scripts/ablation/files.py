"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation.errors import UserError
from ablation.sums import SEAL, seal_is_broken, sealed


def save_json(data: object, path: str | Path) -> None:
    """Write JSON so that the file is never seen half written; numbers must be finite."""
    save_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", path)


def save_text(text: str, path: str | Path) -> None:
    """Write text so that the file is never seen half written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        error.filename = error.filename or str(path)  # a full disk names none
        raise


def load_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: the file cannot be read or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("the file is not there", file=path) from None
    except OSError as error:
        raise UserError(f"the file cannot be read ({error.strerror})", file=path) from None
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise UserError(f"the file is not JSON ({error})", file=path, line=line) from None


def save_record(record: Mapping[str, object], path: str | Path) -> None:
    """Write a record of the results with the sum of its own content."""
    save_json(sealed(record), path)


def load_record(path: str | Path) -> Any:
    """The content of a record of the results, without its sum.

    Raises:
        UserError: the file cannot be read, is not JSON, or is no longer what was written.
    """
    record = load_json(path)
    if not isinstance(record, dict):
        return record
    if seal_is_broken(record):
        raise damaged_file(path)
    return {name: value for name, value in record.items() if name != SEAL}


def damaged_file(path: str | Path) -> UserError:
    """What is said of a file of the results that is no longer what was written."""
    return UserError(
        "the file is damaged: it is not what was written",
        file=path,
        write=f"rm {path}   # and call again: it is made anew",
    )
