"""The figure of docs/statistics.md, from benchmarks/evidence.json: `simulate_evidence.py` makes it.

python benchmarks/draw_evidence.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parent.parent
BLUE, ORANGE, GRAY = "#1f5fa8", "#c8641b", "#6b7280"


def draw_coverage(axes: Axes, by_rows: dict[str, Any]) -> None:
    """How often both intervals hold for new rows, by the number of seeds."""
    for rows, style in (("450", "-"), ("10000", "--")):
        seeds = [int(n) for n in by_rows[rows]]
        for key, color, name in (
            ("floored", BLUE, "seeds and rows"),
            ("seeds_only", ORANGE, "seeds alone"),
        ):
            values = [one[key] for one in by_rows[rows].values()]
            label = f"{name}, {int(rows):,} rows"
            axes.plot(seeds, values, style, color=color, marker="o", markersize=4, label=label)
    axes.axhline(0.95, color=GRAY, linewidth=0.8)
    axes.set(xlabel="Seeds", xticks=[3, 4, 5, 8], ylim=(0.78, 1.0))
    axes.set_title("95% intervals that hold for new rows", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def draw_power(axes: Axes, powers: dict[str, Any]) -> None:
    """How often a step of 2 SD is found, with the common variance and without."""
    for key, color, style, name in (
        ("all real, moderated", BLUE, "--", "shared variance, all steps real"),
        ("one real, moderated", BLUE, "-", "shared variance, one step real"),
        ("all real, alone", ORANGE, "--", "each alone, all steps real"),
        ("one real, alone", ORANGE, "-", "each alone, one step real"),
    ):
        seeds = [int(n) for n in powers[key]]
        values = list(powers[key].values())
        axes.plot(seeds, values, style, color=color, marker="o", markersize=4, label=name)
    axes.set(xlabel="Seeds", xticks=[3, 4, 5], ylim=(0.0, 1.0))
    axes.set_title("Studies in which a step of 2 SD is found", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def main() -> None:
    """Draw docs/statistics.svg."""
    found = json.loads((ROOT / "benchmarks" / "evidence.json").read_text())
    pyplot.rcParams["svg.hashsalt"] = "statistics"
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    draw_coverage(left, found["coverage_of_rows"])
    draw_power(right, found["power_at_2_sd"])
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(ROOT / "docs" / "statistics.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
