"""What a study will cost and what it can find, said before anything runs.

Costs come from runs that were measured, where there are any, else from FLOPs. The smallest effect
that can be found comes from the noise of a pilot (the runs that are there), else from an assumed
one. Neither imports torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from ablation.designs import DESIGNS, Designs
from ablation.designs.a_a import A_A
from ablation.designs.design import ENDPOINT, SETS_OF_FACTORS, Cell, Options
from ablation.designs.factorial import FACTORIAL
from ablation.designs.feasibility import cannot_run, cautions
from ablation.designs.fractional import FRACTIONAL
from ablation.designs.greedy_path import GREEDY_PATH
from ablation.designs.grid import GRID
from ablation.designs.leave_one_out import LEAVE_ONE_OUT
from ablation.designs.one_at_a_time import ONE_AT_A_TIME
from ablation.designs.staged import STAGED
from ablation.results import Results
from ablation.settings import schedules
from ablation.settings.architecture import Architecture, read_architecture, run_forwards
from ablation.settings.catalogue import Settings
from ablation.settings.quantities import DataFacts as Data
from ablation.settings.quantities import padded_tokens, read_plan, real_tokens
from ablation.study import packing, power
from ablation.study.cards import assumed_speed
from ablation.study.forecasted import (
    ArmPlan,
    Basis,
    Caution,
    Forecast,
    Noise,
    Price,
    Prospect,
    Total,
)
from ablation.study.grid import Arm, Grid, expand
from ablation.study.options import MetricOptions
from ablation.study.packing import CPU, Machine
from ablation.study.run_metrics import COMPLETED, peek_run
from ablation.study.study import Study
from ablation.words.catalogue import LANGUAGES, is_score

FORWARD = 1 / 3  # of the cost of training on a token, where the model is not known
# Where the cost of a run, and the noise, come from.
MEASURED, FROM_SPEED, GUESSED, RELATIVE = "measured", "measured_speed", "assumed_speed", "relative"
PILOT, STATED, ASSUMED = "pilot", "stated", "assumed"
# Share of test rows on which two arms differ whatever the seed, where it was not measured.
ROWS_DIFFER = 0.05
MANY_HOURS = 100  # of one device: from here on, a plan tells how to ask for less
ROUNDING = 1e-12  # a spread below it is one of binary fractions


@dataclass(frozen=True)
class Pilot:
    """What the runs that are there have measured.

    Attributes:
        hours: Device-hours of a run, by variant.
        values: The study's metric by variant and seed.
    """

    hours: dict[str, float]
    values: dict[str, dict[int, float]]


@dataclass(frozen=True)
class Cost:
    """What a run of an arm costs.

    Attributes:
        hours: Device-hours; None where the number of rows is not known.
        origin: "measured", "measured_speed" (FLOPs at the speed of measured runs),
            "assumed_speed", or "relative".
        relative: Its cost over that of a run of `current`.
    """

    hours: float | None
    origin: str
    relative: float


# --- What is there already ---------------------------------------------------------------------


def read_pilot(grid: Grid, runs: str | Path, metric: str) -> Pilot:
    """What the finished runs of the grid's arms have measured; runs that diverged are left out."""
    hours: dict[str, float] = {}
    values: dict[str, dict[int, float]] = {}
    for variant in dict.fromkeys(arm.variant for arm in grid.arms):
        spent = []
        for path in sorted((Path(runs) / variant).glob("seed-*/metrics.json")):
            run = peek_run(path)
            if run is None or run.status != COMPLETED:
                continue
            if run.cost.wall_seconds:
                spent.append(run.cost.wall_seconds * (run.environment.world_size or 1) / 3600)
            value = run.quality.scores.get(metric)
            if value is not None:
                seed = int(path.parent.name.removeprefix("seed-"))
                values.setdefault(variant, {})[seed] = value
        if spent:
            hours[variant] = math.fsum(spent) / len(spent)
    return Pilot(hours, values)


def measure_noise(pilot: Pilot) -> Noise | None:
    """The pooled standard deviation of the differences of all pairs of arms over shared seeds.

    None where no two arms share two seeds, or where nothing varies.
    """
    squares, freedom, pairs, most = 0.0, 0, 0, 0
    for one, other in combinations(pilot.values.values(), 2):
        seeds = sorted(set(one) & set(other))
        if len(seeds) < 2:
            continue
        differences = [one[seed] - other[seed] for seed in seeds]
        mean = math.fsum(differences) / len(seeds)
        squares += math.fsum((value - mean) ** 2 for value in differences)
        freedom += len(seeds) - 1
        pairs, most = pairs + 1, max(most, len(seeds))
    sd = math.sqrt(squares / freedom) if freedom else 0.0
    return Noise(sd, PILOT, pairs, most) if sd > ROUNDING else None


# --- Costs -------------------------------------------------------------------------------------


def read_data(study: Study, profile: str | Path | None, rows: int | None) -> Data:
    """What is known of the study's rows: from prepared data, else as stated, else nothing."""
    split = study.data_options()["split"]
    held_out = float(split["val_size"]), float(split["test_size"])
    stated = study.planned_rows(rows)
    sides = (study.current.settings, study.backup.settings)
    found = [side["data.max_classes"].value for side in sides if "data.max_classes" in side]
    plan = read_plan(profile, stated, held_out, [limit for limit in found if limit])
    return plan.assuming(study.options["data"]["tokens_per_row"])


def epochs_of_run(settings: Settings, data: Data) -> float:
    """How often a run goes through its rows."""
    rows = data.train_rows(settings)
    return schedules.total_steps(settings, rows) / schedules.steps_per_epoch(settings, rows)


def tokens_of_run(settings: Settings, data: Data) -> float:
    """Tokens that a run trains on, padding and repeated epochs with them."""
    rows = data.train_rows(settings)
    return rows * epochs_of_run(settings, data) * padded_tokens(settings, data)[0]


def flops_of_run(settings: Settings, data: Data, architecture: Architecture | None) -> float:
    """FLOPs of one run that computes all layers: training, and evaluation after each epoch.

    Test rows count twice: for the last weights and for those of the best epoch. Without an
    architecture, tokens stand for FLOPs.
    """
    epochs = epochs_of_run(settings, data)
    trained = tokens_of_run(settings, data)
    validation, test = data.evaluated
    tokens = real_tokens(settings, data) or float(settings["max_length"])
    read = (validation * math.ceil(epochs) + 2 * test) * tokens
    if architecture is None:
        return trained + read * FORWARD
    forwards = trained * run_forwards(architecture, settings) + read * architecture.layers
    return forwards * 2.0 * architecture.layer_parameters


@dataclass(frozen=True)
class Prices:
    """How runs are priced: measured where it was, else by FLOPs at a speed.

    Attributes:
        pilot: What was measured.
        data: What is known of the rows.
        architecture: The model; None where its facts are not known.
        speed: FLOPs a second and device; None where nothing in seconds is known.
        origin: Where the speed comes from.
        reference: FLOPs of a run of `current`.
    """

    pilot: Pilot
    data: Data
    architecture: Architecture | None
    speed: float | None
    origin: str
    reference: float

    def of(self, settings: Settings, variant: str | None = None) -> Cost:
        """What one run costs."""
        flops = flops_of_run(settings, self.data, self.architecture)
        relative = flops / self.reference
        if variant in self.pilot.hours:
            return Cost(self.pilot.hours[variant], MEASURED, relative)
        if self.speed is None:
            return Cost(None, RELATIVE, relative)
        return Cost(flops / self.speed / 3600, self.origin, relative)


def set_prices(study: Study, grid: Grid, pilot: Pilot, data: Data, assumed: float) -> Prices:
    """How the study's runs are priced.

    The speed is the median over the measured arms of their FLOPs in their device-seconds; without
    any it is `assumed`, in FLOP/s, if the number of rows is known.
    """
    architecture = read_architecture(study.options["model"]["architecture"])
    flops = {arm.variant: flops_of_run(arm.settings, data, architecture) for arm in grid.arms}
    speeds = sorted(flops[v] / (hours * 3600) for v, hours in pilot.hours.items() if hours > 0)
    speed, origin = None, RELATIVE
    if speeds:
        speed, origin = speeds[len(speeds) // 2], FROM_SPEED
    elif data.counted and architecture is not None:
        speed, origin = assumed, GUESSED
    return Prices(pilot, data, architecture, speed, origin, flops[grid.arms[0].variant])


# --- Designs -----------------------------------------------------------------------------------


Cells = Mapping[str, Sequence[Cell]]


def known_designs(study: Study) -> dict[str, Options]:
    """The designs that a plan speaks of, asked for or not, with their options."""
    asked = study.designs
    return {
        name: {**design.defaults(), **asked.get(name, {"remainder": True})}
        for name, design in DESIGNS.items()
        if name in asked or design.suggested
    }


def plan_cells(study: Study) -> dict[str, list[Cell]]:
    """The cells of each known design that can run; of a greedy path all that it may come to."""
    space, model = study.space(), study.options["model"]["architecture"]
    runs: dict[str, bool] = {}
    found = {}
    for name, options in known_designs(study).items():
        design = DESIGNS[name]
        if _impossible(name, len(design.factors(space, options))):
            continue
        cells = (design.may_come_to or design.plan)(space, options, study.first_seeds()).cells
        for cell in cells:
            key = _key(cell.settings)
            if key not in runs:
                runs[key] = cannot_run(cell.settings, model) is None
        found[name] = [cell for cell in cells if runs[_key(cell.settings)]]
    return found


def foresee(study: Study, cells: Cells, prices: Prices, noise: Noise, seeds: int) -> list[Prospect]:
    """What each design would come to with so many seeds, whether the study asks for it or not."""
    return [
        with_seeds(_foresee(study, cells, name, options, prices), noise, seeds)
        for name, options in known_designs(study).items()
    ]


def _no_prospect(name: str, asked: bool, count: int, reason: str) -> Prospect:
    """A design that does not fit so many factors."""
    return Prospect(
        design=name,
        asked=asked,
        factors=count,
        arms=0,
        shared=0,
        at_most=False,
        hours=None,
        contrasts=0,
        variance=None,
        detectable_sd=None,
        detectable=None,
        reason=reason,
    )


def _foresee(study: Study, cells: Cells, name: str, options: Options, prices: Prices) -> Prospect:
    space, asked = study.space(), study.designs
    count = len(DESIGNS[name].factors(space, options))
    reason = _impossible(name, count)
    if reason:
        return _no_prospect(name, name in asked, count, reason)
    keys = {_key(cell.settings): cell.settings for cell in cells[name]}
    path = {_key(cell.settings): cell.settings for cell in cells[STAGED]}
    every = path | keys
    costs = [prices.of(settings, variant_of(settings)).hours for settings in every.values()]
    hours = sum_hours(costs)
    shared = len(keys.keys() & path.keys())
    questions = compared(study, cells, {**asked, name: options})
    variance = _variance(name, count, len(keys))
    arms = len(keys)
    if name == GREEDY_PATH:
        arms = min(arms, 2 + len(options["directions"]) * (count * (count + 1) // 2 - 1))
        hours = hours and hours * min(1.0, arms / len(keys))
    if name == A_A:
        arms, shared = 1, 0
        hours = hours and hours + (prices.of(space.current, variant_of(space.current)).hours or 0)
    return Prospect(
        design=name,
        asked=name in asked,
        factors=count,
        arms=arms,
        shared=shared,
        at_most=name == GREEDY_PATH,
        hours=hours,
        contrasts=0 if variance is None else len(keys) if name == GRID else len(questions),
        variance=variance,
        detectable_sd=None,
        detectable=None,
        prior=power.prior_freedom(len(every)),
        costs=tuple(cost for cost in costs if cost is not None),
    )


def _impossible(name: str, count: int) -> str | None:
    """The text of why a design does not fit this number of factors; None where it does."""
    counts = DESIGNS[name].counts
    return None if count in counts else f"{min(counts)}-{max(counts)}"


def compared(study: Study, cells: Cells, asked: Designs) -> frozenset[tuple[str, ...]]:
    """The questions that share the error of a study with these designs, each once.

    Two arms that two designs compare are one question, as in the analysis, and each arm that may be
    recommended is one against current. Exploratory designs and controls have none.
    """
    space, found = study.space(), set()
    current, whole = _key(cells[STAGED][0].settings), set(cells[STAGED][-1].stages)
    for name, options in asked.items():
        if name not in cells:
            continue
        if name in (FACTORIAL, FRACTIONAL):
            found |= {(name, factor.name) for factor in DESIGNS[name].factors(space, options)}
        elif name in (STAGED, ONE_AT_A_TIME, LEAVE_ONE_OUT):
            arms = [_key(cell.settings) for cell in cells[name]]
            pairs = [(arms[0], other) for other in arms[1:]]
            pairs += pairwise(arms) if name == STAGED else ()
            found |= {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}
        if name != GREEDY_PATH:
            totals = (
                _key(cell.settings)
                for cell in cells[name]
                if cell.kind in SETS_OF_FACTORS and set(cell.stages) <= whole
            )
            found |= {(min(current, arm), max(current, arm)) for arm in totals if arm != current}
    return frozenset(found)


def _variance(name: str, count: int, cells: int) -> float | None:
    """The variance of a design's estimate over that of a contrast; None where it estimates none."""
    if name in (STAGED, ONE_AT_A_TIME, LEAVE_ONE_OUT, GRID):
        return power.of_contrast()
    if name == FACTORIAL:
        return power.of_shapley(count)
    return power.of_main_effect(cells) if name == FRACTIONAL else None


def with_seeds(prospect: Prospect, noise: Noise, seeds: int) -> Prospect:
    """The design with the smallest effect that it finds with so many seeds."""
    if prospect.variance is None or not prospect.contrasts:
        return prospect
    rows = noise.rows / noise.sd**2
    shared = prospect.contrasts
    error = power.Error(n=seeds, comparisons=shared, prior=prospect.prior, rows=rows)
    size = power.detectable(error)
    if size is None:
        return replace(prospect, detectable_sd=None, detectable=None)
    size *= math.sqrt(prospect.variance)
    return replace(prospect, detectable_sd=size, detectable=size * noise.sd)


def variant_of(settings: Settings) -> str:
    """The name of the results of these settings."""
    return Arm("", None, (), dict(settings)).variant


def _key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


def sum_hours(hours: Iterable[float | None]) -> float | None:
    """All of them together; None where one is not known."""
    found = list(hours)
    known = [value for value in found if value is not None]
    return math.fsum(known) if len(known) == len(found) else None


# --- Devices -----------------------------------------------------------------------------------


def pack(
    study: Study,
    grid: Grid,
    machine: Machine,
    *,
    further: Sequence[Arm] = (),
    begun: int | None = None,
) -> packing.Packing:
    """The ways to share a machine's devices, and the one that `devices_per_run: auto` takes.

    Only what the study itself says counts, so that preparing data or finishing a run changes
    nothing: lengths are in runs of `current` on one device, by FLOPs.

    Args:
        study: The study.
        grid: Its arms and seeds.
        machine: What its runs share.
        further: Arms that results may add.
        begun: Devices of the runs that are there already.
    """
    architecture = read_architecture(study.options["model"]["architecture"])
    data = read_data(study, None, None)
    flops = {arm.variant: flops_of_run(arm.settings, data, architecture) for arm in grid.arms}
    reference = flops[grid.arms[0].variant]
    costs = sorted((flops[run.variant] / reference for run in grid.runs()), reverse=True)
    arms = [arm.settings for arm in [*grid.arms, *further]]
    ways = packing.find_ways(costs, arms, machine, architecture, data.num_labels)
    chosen, reason = packing.choose_way(ways, machine, begun)
    return packing.Packing(
        kind=machine.kind,
        devices=machine.devices,
        memory=machine.memory,
        efficiency=packing.EFFICIENCY,
        ways=ways,
        chosen=chosen.devices,
        reason=reason,
    )


# --- All of it ---------------------------------------------------------------------------------


def plan_study(
    study: Study,
    results: str | Path,
    *,
    device: str = CPU,
    rows: int | None = None,
    sd: float | None = None,
    machine: Machine | None = None,
    begun: int | None = None,
) -> Forecast:
    """Everything that `plan` says of a study as it is.

    Args:
        study: The study.
        results: Its folder of results; runs in it are the pilot, data in it is counted.
        device: "cpu" or "gpu": whose speed is assumed where no run was measured.
        rows: Rows of the whole data set, where the data is not prepared.
        sd: The standard deviation of a paired difference, where it is known.
        machine: What the runs share; None where that is not known.
        begun: Devices of the runs that are there already.
    """
    grid = expand(study)
    own = study.options["metric"]
    metric: MetricOptions = {
        "name": own["name"],
        "higher_is_better": own["higher_is_better"],
        "delta": own["delta"],
    }
    pilot = read_pilot(grid, Path(results) / "runs", metric["name"])
    data = read_data(study, Path(results) / "data" / "profile.json", rows)
    speed = assumed_speed(device, machine.card if machine else None)
    prices = set_prices(study, grid, pilot, data, speed)
    noise, most_seeds = noise_of(study, pilot, sd, data), len(study.all_seeds())
    prospects = foresee(study, plan_cells(study), prices, noise, most_seeds)
    return Forecast(
        study=study.name,
        seeds=grid.seeds,
        most_seeds=most_seeds,
        metric=metric,
        arms=[_arm(arm, grid, prices, results) for arm in grid.arms],
        left_out=[lost.as_json() for lost in grid.left_out],
        cautions=_cautions(study, grid),
        total=_total(grid, prices, results),
        prices=_basis(prices, device, machine, study.planned_rows(rows)),
        packing=_packing(study, grid, prices, machine, begun),
        noise=noise,
        designs=prospects,
        sequential=study.options["sequential"],
        confirm=_confirm(study, grid, prices),
    )


def _confirm(study: Study, grid: Grid, prices: Prices) -> Price | None:
    """The most that fresh seeds of both sides and another arm take, where the study asks for it."""
    if not study.fresh_seeds:
        return None
    seeds = len(study.fresh_seeds)
    costs = {arm.variant: prices.of(arm.settings, arm.variant).hours for arm in grid.arms}
    ends = [costs.pop(v) for v in {arm.variant for arm in grid.arms if arm.kind == ENDPOINT}]
    each = sum_hours([*ends, *sorted(costs.values(), key=lambda hours: hours or 0.0)[-1:]])
    runs = seeds * (len(ends) + bool(costs))
    return Price(runs=runs, hours=None if each is None else seeds * each)


def _basis(prices: Prices, device: str, machine: Machine | None, all_rows: int | None) -> Basis:
    return Basis(
        device=device,
        card=machine.card if machine else None,
        all_rows=all_rows,
        origin=prices.origin,
        speed=prices.speed,
        rows=prices.data.pool if prices.data.counted else None,
        measured=len(prices.pilot.hours),
        lengths_known=prices.data.lengths is not None,
    )


def _cautions(study: Study, grid: Grid) -> list[Caution]:
    """What arms run with although it is likely to be a mistake, each with all its arms."""
    model = study.options["model"]["architecture"]
    arms: dict[str, tuple[Any, list[str]]] = {}
    for arm in grid.arms:
        for caution in cautions(arm.settings, model):
            arms.setdefault(caution.text(), (caution, []))[1].append(arm.name)
    return [
        Caution(
            reason=caution.id,
            numbers=caution.numbers,
            arms=names,
            text={language: caution.text(language) for language in LANGUAGES},
        )
        for caution, names in arms.values()
    ]


def _packing(
    study: Study, grid: Grid, prices: Prices, machine: Machine | None, begun: int | None
) -> packing.Packing | None:
    if machine is None:
        return None
    first = grid.arms[0]
    hours = prices.of(first.settings, first.variant).hours
    return replace(pack(study, grid, machine, begun=begun), hours=hours)


def noise_of(study: Study, pilot: Pilot, sd: float | None, data: Data) -> Noise:
    """The noise of a paired difference: as stated, as measured, else as large as delta.

    What new rows add to a score is assumed, where the number of test rows is known. Where each seed
    has test rows of its own, seeds share only as many of them as chance lets.
    """
    metric = study.options["metric"]
    found = Noise(sd, STATED) if sd is not None else measure_noise(pilot)
    found = found or Noise(float(metric["delta"]), ASSUMED)
    test = data.evaluated[1] if data.counted and is_score(metric["name"]) else 0
    shared = test / (data.pool + sum(data.evaluated)) if study.splits_per_seed else 1.0
    return replace(found, rows=shared * ROWS_DIFFER / test if test else 0.0)


def _arm(arm: Arm, grid: Grid, prices: Prices, results: str | Path) -> ArmPlan:
    first = grid.arm_of(arm.variant).name
    cost = prices.of(arm.settings, arm.variant)
    own = grid.seeds if arm.seeds is None else arm.seeds
    files = Results(Path(results))
    done = [seed for seed in own if files.run_metrics(arm.variant, seed).is_file()]
    same = first if first != arm.name and arm.seeds is None else None
    return ArmPlan(
        arm=arm.name,
        kind=arm.kind,
        design=arm.designs,
        stages=arm.stages,
        variant=arm.variant,
        same_as=same,
        changed=len(arm.changed),
        runs=0 if same else len(own),
        finished=0 if same else len(done),
        hours=cost.hours,
        cost_from=cost.origin,
        relative=cost.relative,
    )


def _total(grid: Grid, prices: Prices, results: str | Path) -> Total:
    runs = grid.runs()
    asked = len(grid.arm_runs())
    files = Results(Path(results))
    open_runs = [run for run in runs if not files.run_metrics(run.variant, run.seed).is_file()]
    costs = {arm.variant: prices.of(arm.settings, arm.variant).hours for arm in grid.arms}
    return Total(
        arms=len(grid.arms),
        runs=len(runs),
        shared=asked - len(runs),
        finished=len(runs) - len(open_runs),
        hours=sum_hours(costs[run.variant] for run in runs),
        hours_left=sum_hours(costs[run.variant] for run in open_runs),
    )
