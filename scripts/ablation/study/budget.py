"""What a budget buys: rows, design, seeds and looks, chosen together.

A run's cost grows with its rows, and so does what it says of them: with a tenth of the rows there
are ten times as many runs, their effects are those of a tenth of the rows, and new test rows are
less certain. So a budget buys the most rows with which an effect of delta is found; where it pays
for none of them, the smallest effect that can be found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ablation.designs.factorial import FACTORIAL
from ablation.designs.fractional import FRACTIONAL
from ablation.designs.grid import GRID
from ablation.errors import UserError
from ablation.settings.architecture import read_architecture
from ablation.settings.quantities import DataFacts as Data
from ablation.study import looks, packing, power
from ablation.study.cards import assumed_speed
from ablation.study.forecast import (
    Pilot,
    foresee,
    noise_of,
    plan_cells,
    read_data,
    read_pilot,
    set_prices,
)
from ablation.study.forecasted import Bought, Budget, Noise, Offer, Prospect
from ablation.study.grid import Grid, expand
from ablation.study.packing import Machine
from ablation.study.study import Study

FRONTIER = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # budgets beside the one that is asked for
SHARES = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)
FEWEST_ROWS = 10_000  # below it, effects of many rows are not expected to show
MOST_SEEDS = 30
LOOKS_FROM = 5  # seeds from which looking earlier is worth its error
CELLS = 100  # of the integration that gives the looks' boundaries
COSTS_LITTLE = 1.1  # looks may raise the smallest effect found by so much: they save most runs


@dataclass(frozen=True, kw_only=True)
class Market:
    """One number of rows with all designs: what `best_offer` chooses from.

    Attributes:
        rows: Of the whole data set; None: all.
        prospects: Each design with what a seed costs.
        noise: Of a paired difference at so many test rows.
    """

    rows: int | None
    prospects: list[Prospect]
    noise: Noise


def plan_budget(
    study: Study,
    results: str,
    hours: float,
    machine: Machine,
    *,
    rows: int | None = None,
    sd: float | None = None,
) -> Budget:
    """What so many hours of a machine buy, and what more or fewer would.

    Args:
        study: The study.
        results: Its folder of results: runs in it are the pilot.
        hours: That the machine may run.
        machine: Its devices.
        rows: Rows of the whole data set, where the data is not prepared.
        sd: The standard deviation of a paired difference, where it is known.

    Raises:
        UserError: nothing tells how long a run takes.
    """
    grid = expand(study)
    pilot = read_pilot(grid, f"{results}/runs", study.options["metric"]["name"])
    profile = f"{results}/data/profile.json"
    markets = list(
        _markets(study, grid, machine, pilot, data=read_data(study, profile, rows), sd=sd)
    )
    if not markets:
        raise _unknown_cost(study, hours)
    ways = _ways(study, grid, machine)
    delta = float(study.options["metric"]["delta"])
    offers = {share: best_offer(markets, hours * share, machine, ways, delta) for share in FRONTIER}
    chosen = offers[1.0] and with_looks(offers[1.0], markets, delta)
    return Budget(
        hours=hours,
        devices=machine.devices,
        chosen=chosen,
        frontier=[Bought(hours=hours * share, offer=offer) for share, offer in offers.items()],
        write=lines_of(chosen, study) if chosen else [],
    )


def _unknown_cost(study: Study, hours: float) -> UserError:
    """The mistake of asking what a time buys where nothing tells what a run takes."""
    return UserError(
        "a budget needs to know how long a run takes: the number of rows is not known",
        file=study.file,
        line=study.lines.get("data"),
        found=f"--budget {hours:g}h",
        allowed="prepared data, finished runs, or the number of rows",
        write="--rows 100000",
    )


def _markets(
    study: Study,
    grid: Grid,
    machine: Machine,
    pilot: Pilot,
    *,
    data: Data,
    sd: float | None,
) -> Iterator[Market]:
    """Fewer and fewer rows; what was measured on some holds for these only, its speed for all."""
    speed = assumed_speed(machine.kind, machine.card)
    prices = set_prices(study, grid, pilot, data, speed)
    if prices.speed is None:
        return
    everything, cells = data.pool + sum(data.evaluated), plan_cells(study)
    for share in SHARES:
        if share > 1 and everything / share < FEWEST_ROWS:
            return
        fewer = round_rows(everything / share) if share > 1 else None
        here = data if fewer is None else data.cut(fewer)
        own = replace(prices, data=here)
        if fewer is not None:
            own = replace(own, pilot=Pilot({}, pilot.values))
        noise = noise_of(study, pilot, sd, here)
        yield Market(rows=fewer, prospects=foresee(study, cells, own, noise, 2), noise=noise)


def round_rows(rows: float) -> int:
    """A number of rows with two digits, as a person would write it."""
    unit = 10 ** max(0, math.floor(math.log10(rows)) - 1)
    return int(rows / unit) * unit


def _ways(study: Study, grid: Grid, machine: Machine) -> list[int]:
    """The numbers of devices of a run that are not known to be too few."""
    architecture = read_architecture(study.options["model"]["architecture"])
    arms = [arm.settings for arm in grid.arms]
    labels = read_data(study, None, None).num_labels
    ways = packing.find_ways([1.0], arms, machine, architecture, labels)
    return [way.devices for way in ways if way.fits is not False] or [ways[-1].devices]


def best_offer(
    markets: Sequence[Market], hours: float, machine: Machine, ways: Sequence[int], delta: float
) -> Offer | None:
    """The most rows with which delta is found, else the smallest effect; None for no two seeds."""
    found = [
        offer
        for market in markets
        for prospect in market.prospects
        if (offer := _offer(market, prospect, hours, machine, ways, delta))
    ]
    enough = [offer for offer in found if offer.detectable <= delta]
    most = max((offer.rows or math.inf for offer in enough), default=None)
    kept = [offer for offer in enough if (offer.rows or math.inf) == most] or found
    return min(kept, key=lambda offer: (offer.detectable, offer.hours), default=None)


def _offer(
    market: Market,
    prospect: Prospect,
    hours: float,
    machine: Machine,
    ways: Sequence[int],
    delta: float,
) -> Offer | None:
    """A design at a number of rows with as many seeds as the hours pay for."""
    if not prospect.hours or prospect.variance is None or prospect.design == GRID:
        return None
    lengths = {
        devices: _length(prospect, 1, devices, machine) for devices in ways
    }  # of one seed of each arm
    devices = min(lengths, key=lambda way: (lengths[way], way))
    seeds = min(MOST_SEEDS, int(hours / lengths[devices] + 1e-9))
    if seeds < 2:
        return None
    error = _error(prospect, market.noise, seeds)
    unit = market.noise.sd * math.sqrt(prospect.variance)
    return Offer(
        rows=market.rows,
        design=prospect.design,
        seeds=seeds,
        looks=(),
        spending=None,
        runs=seeds * len(prospect.costs),
        devices=devices,
        hours=_length(prospect, seeds, devices, machine),
        contrasts=prospect.contrasts,
        detectable=(power.detectable(error) or math.inf) * unit,
        power_at_delta=power.power_of(error, delta / unit),
    )


def _length(prospect: Prospect, seeds: int, devices: int, machine: Machine) -> float:
    """Hours of the machine for so many seeds of a design's arms and the staged path."""
    at_once = max(1, machine.devices // devices)
    speed = devices * (packing.EFFICIENCY if devices > 1 else 1.0)
    whole = seeds * math.fsum(prospect.costs) / (at_once * speed)
    return max(whole, max(prospect.costs) / speed)


def _error(prospect: Prospect, noise: Noise, seeds: int) -> power.Error:
    rows = noise.rows / noise.sd**2
    shared = prospect.contrasts
    return power.Error(n=seeds, comparisons=shared, prior=prospect.prior, rows=rows)


def with_looks(offer: Offer, markets: Sequence[Market], delta: float) -> Offer:
    """An offer with looks up to its most seeds: early ones where they cost little, late ones else.

    As it is where it has too few seeds, or where looking would cost it delta.
    """
    if offer.seeds < LOOKS_FROM:
        return offer
    market = next(market for market in markets if market.rows == offer.rows)
    prospect = next(one for one in market.prospects if one.design == offer.design)
    error = _error(prospect, market.noise, offer.seeds)
    unit = market.noise.sd * math.sqrt(prospect.variance or 1.0)
    at = (*(n for n in (*power.LOOKS, 20) if n < offer.seeds - 1), offer.seeds)
    for spending, most in ((power.POCOCK, COSTS_LITTLE), (power.OBRIEN_FLEMING, math.inf)):
        last = looks.boundaries(at, error.alpha / error.comparisons, spending, CELLS)[-1]
        looking = replace(error, alpha=last * error.comparisons)
        found = (power.detectable(looking) or math.inf) * unit
        lost = offer.detectable <= delta < found
        if found <= most * offer.detectable and not lost:
            chance = power.power_of(looking, delta / unit)
            return replace(
                offer, looks=at, spending=spending, detectable=found, power_at_delta=chance
            )
    return offer


def lines_of(offer: Offer, study: Study) -> list[str]:
    """The lines of study.yaml that ask for an offer."""
    lines = ["data:", f"  max_rows: {offer.rows}"] if offer.rows else []
    first = offer.looks[0] if offer.looks else offer.seeds
    lines.append(f"seeds: [{', '.join(map(str, range(1, first + 1)))}]")
    if offer.design not in study.designs:
        options = ": {remainder: true}" if offer.design in (FACTORIAL, FRACTIONAL) else ""
        lines.append(f"designs: [staged, {offer.design}{options}]")
    if offer.looks:
        at = ", ".join(map(str, offer.looks))
        lines.append(f"sequential: {{looks: [{at}], spending: {offer.spending}}}")
    return lines
