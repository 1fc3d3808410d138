"""Numbers of metrics.json that sum up a run's history; numpy only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}


def load_history(path: Path) -> list[dict[str, Any]]:
    """Lines of history.jsonl, one for each optimizer step."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def summarize_history(
    history: list[dict[str, Any]], max_grad_norm: float, num_labels: int
) -> dict[str, Any]:
    """The `optimisation` block of metrics.json; steps whose value isn't finite are left out.

    `final_loss` is the mean of the last tenth of the steps. `loss_roughness` is that of
    `roughness_around_trend`, with the noise that this batch has; `loss_noise` is the same of the
    loss itself, in nats.
    """
    loss = finite_values(history, "loss")
    norms = finite_values(history, "grad_norm")
    rates = finite_values(history, "learning_rate")
    clipping = max_grad_norm > 0
    return {
        "initial_loss": first_loss(history),
        "ln_num_labels": float(np.log(num_labels)),
        "final_loss": float(loss[-max(1, len(loss) // 10) :].mean()) if len(loss) else None,
        "grad_norm": {
            name: float(np.quantile(norms, q)) if len(norms) else None
            for name, q in QUANTILES.items()
        },
        "clipped_share": share_above(norms, max_grad_norm) if clipping else 0.0,
        "learning_rate": {
            "first": float(rates[0]) if len(rates) else None,
            "peak": float(rates.max()) if len(rates) else None,
            "last": float(rates[-1]) if len(rates) else None,
            "sum": float(rates.sum()),
        },
        "steps": len(history),
        "loss_roughness": roughness_around_trend(loss),
        "loss_noise": noise_around_trend(loss),
    }


def roughness_around_trend(loss: Sequence[float] | np.ndarray) -> float | None:
    """Relative noise of a loss curve around its trend; None below three steps.

    The root of the mean squared second difference of the logarithm of the loss over 6, which is
    the standard deviation of the noise whatever the trend, as long as that is smooth (Gasser,
    Sroka and Jennen-Steinmetz 1986, Biometrika 73(3):625-633). Of the logarithm, so that a run that
    reaches a lower loss is not rougher for it.
    """
    values = np.asarray(loss, dtype=float)
    return noise_around_trend(np.log(values[np.isfinite(values) & (values > 0)]))


def noise_around_trend(values: Sequence[float] | np.ndarray) -> float | None:
    """The noise of a curve around its trend, in its own unit; None below three steps."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if known.size < 3:
        return None
    return float(np.sqrt((np.diff(known, 2) ** 2).mean() / 6))


def finite_values(history: list[dict[str, Any]], key: str) -> np.ndarray:
    """A column of the history without the missing values."""
    return np.array([line[key] for line in history if line[key] is not None], dtype=float)


def first_loss(history: list[dict[str, Any]]) -> float | None:
    """Loss of the first step, None where it isn't finite."""
    return history[0]["loss"] if history else None


def share_above(values: np.ndarray, limit: float) -> float | None:
    """Share of the values above a limit."""
    return float((values > limit).mean()) if len(values) else None
