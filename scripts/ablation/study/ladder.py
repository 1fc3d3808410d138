"""What a ladder of sizes and tuned sides cost, and a ladder to propose where rows are too many."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from ablation.designs import DESIGNS
from ablation.designs.retune import RETUNE
from ablation.designs.scale import SCALE
from ablation.settings.catalogue import Settings
from ablation.study.cards import assumed_speed
from ablation.study.forecast import (
    MANY_HOURS,
    Pilot,
    Prices,
    read_data,
    read_pilot,
    set_prices,
    sum_hours,
    variant_of,
)
from ablation.study.forecasted import Ladder, Price
from ablation.study.grid import Grid, expand
from ablation.study.packing import Machine
from ablation.study.study import Study

LARGEST = (100_000, 30_000, 10_000, 3_000)  # training rows that are proposed at most, the first
STEPS_DOWN = (10, 3, 1)  # of the smaller sizes and the largest, by which they are smaller


def plan_further(
    study: Study, results: str | Path, machine: Machine, rows: int | None = None
) -> tuple[Ladder | None, Price | None]:
    """The sizes of a study, or some to propose, and what tuning its steps costs where asked for.

    Args:
        study: The study.
        results: Its folder of results; what was measured there sets the price.
        machine: Whose speed is assumed, where no run was measured.
        rows: Rows of the whole data set, where the data is not prepared.
    """
    grid = expand(study)
    prices = _prices(study, grid, results, machine, rows)
    tuned = RETUNE in study.designs
    return _ladder(study, grid, prices), _cost(grid, prices, RETUNE) if tuned else None


def _ladder(study: Study, grid: Grid, prices: Prices) -> Ladder | None:
    if SCALE in study.designs:
        return _asked(study, grid, prices)
    if prices.speed is None or not prices.data.counted:
        return None
    costs = {arm.variant: prices.of(arm.settings, arm.variant).hours for arm in grid.arms}
    if (sum_hours(costs[run.variant] for run in grid.runs()) or 0.0) <= MANY_HOURS:
        return None
    offers = (_proposed(study, grid, prices, top) for top in LARGEST)
    return next((offer for offer in offers if offer and (offer.hours or 0.0) <= MANY_HOURS), None)


def _prices(
    study: Study, grid: Grid, results: str | Path, machine: Machine, rows: int | None
) -> Prices:
    pilot = read_pilot(grid, Path(results) / "runs", study.options["metric"]["name"])
    data = read_data(study, Path(results) / "data" / "profile.json", rows)
    return set_prices(study, grid, pilot, data, assumed_speed(machine.kind, machine.card))


def _asked(study: Study, grid: Grid, prices: Prices) -> Ladder:
    rows = sorted(study.designs[SCALE]["rows"])
    cost = _cost(grid, prices, SCALE)
    everything = prices.data.pool if prices.data.counted else None
    return Ladder(
        asked=True, rows=rows[:-1], runs=cost.runs, hours=cost.hours, all_rows=everything, write=[]
    )


def _cost(grid: Grid, prices: Prices, design: str) -> Price:
    """The runs that a design adds to the path, and their hours; None where these are not known."""
    arms = {arm.variant: arm.settings for arm in grid.arms if set(arm.designs) == {design}}
    each = sum_hours(prices.of(settings, variant).hours for variant, settings in arms.items())
    whole = None if each is None else each * len(grid.seeds)
    return Price(runs=len(arms) * len(grid.seeds), hours=whole)


def _proposed(study: Study, grid: Grid, prices: Prices, top: int) -> Ladder | None:
    """A ladder up to so many training rows; None where there are hardly more."""
    data = prices.data
    if 2 * top > data.pool:
        return None
    everything = data.pool + sum(data.evaluated)
    most = math.ceil(top * everything / data.pool / 1000) * 1000
    own = replace(prices, data=data.cut(most), pilot=Pilot({}, {}))
    rows = [top // step for step in STEPS_DOWN]
    arms = _arms(study, grid, rows)
    costs = [own.of(settings).hours or 0.0 for settings in arms.values()]
    sizes = ", ".join(map(str, rows))
    return Ladder(
        asked=False,
        rows=rows,
        runs=len(arms) * len(grid.seeds),
        hours=math.fsum(costs) * len(grid.seeds),
        all_rows=data.pool,
        write=["data:", f"  max_rows: {most}", f"designs: [{{scale: {{rows: [{sizes}]}}}}]"],
    )


def _arms(study: Study, grid: Grid, rows: list[int]) -> dict[str, Settings]:
    """The settings of the path at all sizes, by config id."""
    design, options = DESIGNS[SCALE], {**DESIGNS[SCALE].defaults(), "rows": rows}
    space = design.settle(study.space(), options)
    cells = design.plan(space, options, grid.seeds).cells
    path = DESIGNS["staged"].plan(space, {}, grid.seeds).cells
    return {variant_of(cell.settings): cell.settings for cell in (*path, *cells)}
