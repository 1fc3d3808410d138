"""The report's figures, a file each.

To add one: write its file with a `FIGURE`, and name it here. The rule that draws it and the report
that shows it take all that they need from there. Names only, so that a workflow starts without
matplotlib.
"""

from __future__ import annotations

from collections.abc import Collection

from ablation.designs.factorial import FACTORIAL
from ablation.designs.scale import SCALE

# The figures in their order, each with the design that a study must have for it; None: any.
FIGURES: dict[str, str | None] = {
    "waterfall": None,
    "quality_cost": None,
    "loss_curves": None,
    "gradient_norms": None,
    "learning_rates": None,
    "attribution": None,
    "interactions": FACTORIAL,
    "scale": SCALE,
}


def figures_of(designs: Collection[str]) -> list[str]:
    """The names of the figures that a study with these designs has."""
    return [name for name, design in FIGURES.items() if design is None or design in designs]
