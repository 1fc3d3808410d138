"""What a run answered on each test row: `outcomes.npy` beside metrics.json.

All scores of a run can be computed again from it, and what metrics.json does not have: how much of
an effect's uncertainty comes from the test rows. Runs that finished before it was kept have none.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ablation.errors import UserError

OUTCOMES = "outcomes.npy"
# A row of the file; rows are in the order of `row`, so that runs on the same rows line up.
SCHEMA = np.dtype(
    [
        ("row", "<i8"),  # number of the row in the source's data, from 0
        ("label", "<i4"),  # class of the row: an index of labels.json
        ("predicted", "<i4"),  # class with the largest logit
        ("probability", "<f4"),  # that the model gives the label
        ("loss", "<f4"),  # of the label, in nats, without weights and smoothing: lower is better
    ]
)


def answers(logits: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of outcomes.npy.

    Args:
        logits: Array (rows, classes).
        labels: Class of each row.
        rows: Number of each row in the source's data.
    """
    losses = row_losses(logits, labels)
    found = np.empty(len(labels), dtype=SCHEMA)
    found["row"], found["label"] = rows, labels
    found["predicted"], found["loss"] = logits.argmax(axis=1), losses
    found["probability"] = np.exp(-losses)
    return found[np.argsort(found["row"], kind="stable")]


def row_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The negative log-likelihood of each row's label, in nats."""
    logits = logits.astype(np.float64)
    top = logits.max(axis=1, keepdims=True)
    log_norm = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return log_norm - logits[np.arange(len(labels)), labels]


def save_outcomes(outcomes: np.ndarray, run: Path) -> None:
    """Write outcomes.npy into a run's folder, whole or not at all."""
    part = run / f".{OUTCOMES}.part"
    with part.open("wb") as file:
        np.save(file, outcomes, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    part.replace(run / OUTCOMES)


def load_outcomes(run: Path) -> np.ndarray | None:
    """A run's outcomes, mapped into memory; None where the run has none.

    Raises:
        UserError: the file is damaged, or of another version.
    """
    path = run / OUTCOMES
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, OSError, EOFError) as error:
        raise _unreadable(path, str(error)) from None
    if found.dtype != SCHEMA:
        raise _unreadable(path, str(found.dtype))
    return found


def _unreadable(path: Path, found: str) -> UserError:
    return UserError(
        "the outcomes of the run cannot be read",
        file=path,
        found=found,
        allowed=str(SCHEMA.descr),
        write=f"delete {path}: the run is then analyzed for its own test rows only",
    )
