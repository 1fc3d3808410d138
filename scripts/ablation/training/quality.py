"""Classification quality of a set of predictions, with numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from ablation.data.outcomes import row_losses


def quality_scores(
    logits: np.ndarray, labels: np.ndarray, train_counts: np.ndarray
) -> dict[str, Any]:
    """Scores of the rows: loss (lower is better), accuracy and F1 scores (higher is better).

    `eval_loss` is the plain mean cross-entropy in nats: without class weights and label smoothing,
    so that arms with different losses stay comparable. F1 averages run over the classes that occur
    in `labels`; a predicted class that no row has costs its rows, but adds no term. A group of
    classes without any row scores None.

    Args:
        logits: Array (rows, classes).
        labels: Class id of each row.
        train_counts: Training rows of each class before any arm's filter: it cuts the groups.
    """
    predictions = logits.argmax(axis=1)
    f1, support = class_f1(predictions, labels, logits.shape[1])
    groups = frequency_groups(train_counts)
    scores = {
        "eval_loss": float(row_losses(logits, labels).mean()),
        "eval_accuracy": float((predictions == labels).mean()),
        "eval_macro_f1": mean_f1(f1, support, support > 0),
        "eval_weighted_f1": float((f1 * support).sum() / support.sum()),
    }
    for name, group in groups.items():
        scores[f"eval_f1_{name}"] = mean_f1(f1, support, group)
    return scores


def class_f1(
    predictions: np.ndarray, labels: np.ndarray, num_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """F1 and number of rows of each class; F1 is 0 where nothing was found."""
    hits = np.bincount(labels[predictions == labels], minlength=num_labels)
    support = np.bincount(labels, minlength=num_labels)
    predicted = np.bincount(predictions, minlength=num_labels)
    return 2 * hits / np.maximum(support + predicted, 1), support


def mean_f1(f1: np.ndarray, support: np.ndarray, group: np.ndarray) -> float | None:
    """Unweighted mean F1 of the group's classes that have rows, None without any."""
    present = group & (support > 0)
    return float(f1[present].mean()) if present.any() else None


def frequency_groups(train_counts: np.ndarray) -> dict[str, np.ndarray]:
    """Masks of the frequent, middle and rare third of the classes by training rows.

    Ties go by class id; with a number of classes that three does not divide, the frequent groups
    are the larger ones.
    """
    order = np.argsort(-np.asarray(train_counts), kind="stable")
    masks = {}
    for name, ids in zip(("frequent", "middle", "rare"), np.array_split(order, 3), strict=True):
        mask = np.zeros(len(order), dtype=bool)
        mask[ids] = True
        masks[name] = mask
    return masks
