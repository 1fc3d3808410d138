"""From the runs of a study to its effects: one matrix product, one family, and verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from ablation.designs import contrast as roles
from ablation.designs import fractions
from ablation.designs.contrast import Contrast
from ablation.designs.design import CURRENT
from ablation.designs.scale import SCALE
from ablation.evidence import claims as verdicts
from ablation.evidence import (
    family,
    inference,
    recommendation,
    sequential,
    stability,
    statistics,
)
from ablation.evidence.by_row import NO_OUTCOMES, THESE_ROWS, ByRow
from ablation.evidence.contrast import (
    DIGITS,
    candidate_arms,
    cells_of,
    computations,
    contrasts_of,
    distinct,
    facts_of,
    lacking_cells,
    lost_seeds,
    path_arms,
    planned_contrasts,
    sides_of,
    values_of,
)
from ablation.evidence.effects import (
    SCHEMA_VERSION,
    ArmSummary,
    Collapse,
    Effect,
    Effects,
    FamilyFacts,
    LeftOutArm,
    LookDecision,
    Looks,
    LostRun,
    Mean,
    Metric,
    NoiseFloor,
    Pair,
    Precision,
    Scope,
    Share,
    Table,
    Verdicts,
)
from ablation.evidence.family import Evidence, Series
from ablation.evidence.judgements import judge_impacts, judge_statements, levels_of
from ablation.evidence.moderated import Pool, mixed, pool
from ablation.evidence.outcomes import (
    OF_MACHINE,
    is_bounded,
    paired_runs,
    wide_tables,
    with_status,
)
from ablation.evidence.recommendation import Recommendation
from ablation.evidence.reports import (
    FIRST_REPORT,
    NO_REPORTS,
    History,
    Reports,
    history_of,
    share_of,
)
from ablation.evidence.retune import choose_rates
from ablation.evidence.scale import Scale, read_scale
from ablation.evidence.spread import Background, spread_of
from ablation.evidence.statistics import Estimate
from ablation.evidence.twoway import error_of
from ablation.settings.quantities import POOL_ROWS, TUNING_SHARE
from ablation.study.claim import UNDECIDED
from ablation.study.grid import Arm, Grid
from ablation.study.options import MeasuredOptions
from ablation.study.power import LOOKS, SPENDING, Error
from ablation.study.power import detectable as smallest_found
from ablation.study.run_metrics import COMPLETED, DIVERGED, MISSING
from ablation.words.catalogue import LANGUAGES

NOT_BY_ROW = ByRow(values={}, scope=THESE_ROWS, reason=NO_OUTCOMES)
SHARED_WITH_GAP = (roles.STAGE, roles.REMAINDER, roles.TOTAL, roles.ONLY, roles.WITHOUT)

FEWEST_TO_COLLAPSE = 3


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The runs of a study as they are compared.

    Attributes:
        grid: Its arms.
        runs: metrics.csv, each run with the seed that it stands beside.
        metric: Its metric.
        tables: Each quantity, seeds by arms.
        ran: The arm and seed of each run that came to an end.
        diverged: Those of the runs that diverged.
        by_row: What the runs answered on each test row.
        looks: Numbers of seeds at which results are looked at.
        history: The reports that the study had before.
    """

    grid: Grid
    runs: pd.DataFrame
    metric: Metric
    tables: Mapping[str, pd.DataFrame]
    ran: set[tuple[str, int]]
    diverged: set[tuple[str, int]]
    by_row: ByRow = NOT_BY_ROW
    looks: tuple[int, ...] = ()
    history: History = FIRST_REPORT

    @cached_property
    def table(self) -> pd.DataFrame:
        """The metric, seeds by arms, in the order in which the seeds were planned."""
        found = self.tables[self.metric.name]
        planned = [seed for seed in self.grid.seeds if seed in found.index]
        return found.loc[[*planned, *(s for s in found.index if s not in planned)]]

    @cached_property
    def gains(self) -> pd.DataFrame:
        """The same with the sign by which more is better."""
        return self.table if self.metric.higher_is_better else -self.table

    @cached_property
    def pools(self) -> dict[NoiseKind, Pools]:
        """The noise common to arms that are alike: with few rows it is larger, as at a high rate.

        By the rows that they draw from; None: all.
        """
        kinds: dict[NoiseKind, list[Arm]] = {}
        for arm in self.grid.arms:
            kinds.setdefault(_noise_kind(arm), []).append(arm)
        return {kind: _pools_of(self, arms) for kind, arms in kinds.items()}


def measure(
    grid: Grid,
    runs: pd.DataFrame,
    study: MeasuredOptions,
    by_row: ByRow = NOT_BY_ROW,
    reports: Reports = NO_REPORTS,
) -> Measured:
    """The runs of a study as they are compared; the arguments are those of `estimate_effects`."""
    history = history_of(grid, study, reports) if reports.reports else FIRST_REPORT
    at = (study.get("sequential") or {}).get("looks", LOOKS)
    paired = paired_runs(grid, runs)
    return Measured(
        grid=grid,
        runs=paired,
        metric=read_metric(study),
        tables=wide_tables(paired, study["metric"]),
        ran=with_status(paired, COMPLETED, DIVERGED),
        diverged=with_status(paired, DIVERGED),
        by_row=by_row,
        looks=(*at, *(len(one.seeds) for _, one in history.prefixes)),
        history=history,
    )


def estimate_effects(
    grid: Grid,
    runs: pd.DataFrame,
    study: MeasuredOptions,
    by_row: ByRow = NOT_BY_ROW,
    all_rows: int | None = None,
    reports: Reports = NO_REPORTS,
) -> Effects:
    """Everything that the runs of a study say.

    Args:
        grid, runs: The arms with their seeds, and metrics.csv.
        study: The values of study.yaml.
        by_row: What the runs answered on each test row; without it all is about these rows.
        all_rows: All training rows there are: what a ladder of sizes is extrapolated to.
        reports: The reports that the study has had.
    """
    grid, retuned = choose_rates(grid, runs, study["metric"])
    measured = measure(grid, runs, study, by_row, reports)
    compared = contrasts_of(grid)
    plan = sequential_plan(study, measured.metric, len(planned_contrasts(grid)), measured.history)
    series = series_of(measured, compared)
    evidence = _weigh(measured, compared, series, plan)
    contrasts = tuple(_effect(measured, one, series, evidence) for one in compared)
    arms, others = _arms(measured)
    return Effects(
        schema_version=SCHEMA_VERSION,
        study=grid.study,
        metric=measured.metric,
        seeds=tuple(sorted({int(seed) for seed in measured.runs["seed"]})),
        arms=arms,
        design_arms=others,
        left_out=_left_out(grid),
        contrasts=contrasts,
        ranking=_ranking(contrasts),
        family=_family(measured, series, plan),
        factorial=_table(measured, "factorial"),
        fractional=_table(measured, "fractional"),
        sequential=_looks(series, plan),
        scope=scope_of(measured, series),
        noise_floor=noise_floor(measured, series),
        claims=_claims(measured, study, contrasts, plan),
        missing=_lost(runs, MISSING),
        diverged=_lost(runs, DIVERGED),
        collapsed=_collapsed(measured),
        headroom=_headroom(measured),
        recommendation=_recommendation(measured, contrasts),
        scale=_scale(measured, series, evidence, all_rows),
        retuned=retuned,
    )


def _arms(measured: Measured) -> tuple[tuple[ArmSummary, ...], tuple[ArmSummary, ...]]:
    """What each arm measured: those of the path, and the others."""
    path = {arm.name for arm in path_arms(measured.grid)}
    found = [_summarize(arm.name, measured) for arm in measured.grid.arms]
    on_path = tuple(arm for arm in found if arm.arm in path)
    return on_path, tuple(arm for arm in found if arm.arm not in path)


def _claims(
    measured: Measured,
    study: MeasuredOptions,
    contrasts: Sequence[Effect],
    plan: sequential.LookPlan | None,
) -> Verdicts:
    """The verdicts on what the source report promised."""
    return Verdicts(
        impact=judge_impacts(study, contrasts),
        statements=judge_statements(
            study,
            contrasts,
            measured.tables,
            measured.metric,
            levels_of(plan, measured.history.level()),
            partial(_log_ratio, measured),
        ),
    )


def _log_ratio(measured: Measured, effect: Effect) -> Estimate:
    """The logarithm of an arm's metric over its reference's, with the noise of their contrast."""
    if effect.pair is None:
        raise ValueError(f"{effect.id} is not one arm against another")
    if effect.same_results:
        return effect.improvement

    def background(weights: Mapping[str, float], values: Mapping[int, float]) -> Background:
        one = Contrast(
            id=effect.id,
            role=effect.role,
            factor=effect.factor,
            design=effect.design,
            weights=weights,
        )
        return _background(measured, one, values)

    arms = effect.pair.arm, effect.pair.reference
    return statistics.log_ratio_of_means(measured.table, arms, background)


def _left_out(grid: Grid) -> tuple[LeftOutArm, ...]:
    """The arms that cannot run, with the reason in each language."""
    return tuple(
        LeftOutArm(arm=lost.name, text={code: lost.reason.text(code) for code in LANGUAGES})
        for lost in grid.left_out
    )


def read_metric(study: MeasuredOptions) -> Metric:
    """The metric of study.yaml."""
    own = study["metric"]
    return Metric(
        name=str(own["name"]),
        higher_is_better=bool(own.get("higher_is_better", True)),
        delta=float(own["delta"]),
        impact_multiples=verdicts.multiples_of(own.get("impact_multiples")),
    )


def sequential_plan(
    study: MeasuredOptions,
    metric: Metric,
    families: int,
    history: History = FIRST_REPORT,
) -> sequential.LookPlan | None:
    """The looks of study.yaml's `sequential`; None where the number of seeds is fixed."""
    options = study.get("sequential")
    if options is None:
        return None
    return sequential.LookPlan(
        tuple(int(n) for n in options.get("looks", LOOKS)),
        float(options.get("alpha", inference.ALPHA)) * share_of(history.number),
        str(options.get("spending", SPENDING)),
        metric.delta,
        families + len(history.dropped),
    )


# --- The family --------------------------------------------------------------------------------


def series_of(measured: Measured, compared: Sequence[Contrast]) -> dict[str, Series]:
    """Every contrast's improvements by seed, by id."""
    values = values_of(compared, measured.gains)
    planned = [c for c in compared if c.role in roles.PLANNED]
    first = distinct(planned, measured.grid)
    found = {}
    for one in compared:
        same = first.get(one.id)
        found[one.id] = Series(
            id=one.id,
            values=values[one.id],
            planned=same is not None or one.role in roles.SECONDARY,
            identical=not computations(one, measured.grid) or same_results(measured, one),
            same_as=None if same == one.id else same,
            background=_background(measured, one, values[one.id]),
            lost=lost_seeds(one, values[one.id], measured.diverged),
            sides=sides_of(one, measured.grid),
        )
    return found


Pools = Mapping[int, Pool | None]
NoiseKind = tuple[int | None, float | None]  # rows that are drawn from, and rows set aside


def _noise_kind(arm: Arm) -> NoiseKind:
    return arm.settings.get(POOL_ROWS), arm.settings.get(TUNING_SHARE)


def _pools_of(measured: Measured, arms: Sequence[Arm]) -> Pools:
    """The noise common to arms, from the first seeds up to each one.

    Each computation counts once. Runs that diverged are no noise, and the seeds of an A/A control
    are others.
    """
    first = {arm.variant: arm.name for arm in reversed(arms) if arm.name != roles.A_A}
    table = measured.table.reindex(columns=list(dict.fromkeys(first.values())))
    values = table.to_numpy(dtype=float, copy=True)
    places = {seed: place for place, seed in enumerate(table.index)}
    for arm, seed in measured.diverged:
        if arm in table.columns and seed in places:
            values[places[seed], table.columns.get_loc(arm)] = np.nan
    return {int(seed): pool(values[: place + 1]) for seed, place in places.items()}


def _common(measured: Measured, one: Contrast) -> Pools:
    """The noise of a contrast's arms; of several kinds, each counts as it is weighted."""
    squares: dict[NoiseKind, float] = {}
    for arm in measured.grid.arms:
        weight = one.weights.get(arm.name, 0.0)
        if weight:
            kind = _noise_kind(arm)
            squares[kind] = squares.get(kind, 0.0) + weight**2
    if len(squares) == 1:
        return measured.pools[next(iter(squares))]
    seeds = set.intersection(*(set(measured.pools[kind]) for kind in squares)) if squares else set()
    return {
        seed: mixed([(measured.pools[kind][seed], weight) for kind, weight in squares.items()])
        for seed in seeds
    }


def _background(measured: Measured, one: Contrast, values: Mapping[int, float]) -> Background:
    """What a contrast's noise is judged by beside its own values."""
    return Background(
        squares=sum(weight**2 for _, weight in computations(one, measured.grid)),
        pools={} if one.role == roles.A_A else _common(measured, one),
        rows=measured.by_row.squares(one.weights, values, {*measured.looks, len(values)}),
    )


def scope_of(measured: Measured, series: Mapping[str, Series]) -> Scope:
    """For whom the intervals of the study's family hold."""
    by_row = measured.by_row
    members = [one for one in _members(series) if not one.identical and one.n > 1]
    lacking = [one.id for one in members if one.background and one.n not in one.background.rows]
    if by_row.values and lacking:
        return Scope(rows=THESE_ROWS, reason=NO_OUTCOMES, size=by_row.size)
    return Scope(rows=by_row.scope, reason=by_row.reason, size=by_row.size)


def same_results(measured: Measured, contrast: Contrast) -> bool:
    """Whether a contrast is zero since arms gave the same numbers to the last bit on every seed.

    Loss has enough digits that this does not happen by chance: such arms did the same thing.
    """
    sums: dict[tuple[bytes, ...], float] = {}
    arms, tables = [arm for arm, weight in contrast.weights.items() if weight], []
    for name in (measured.metric.name, "eval_loss", "final_loss"):
        if not set(arms) <= set(measured.tables[name]):
            return False
        values = measured.tables[name][arms].to_numpy()
        tables.append(values[~np.isnan(values).any(axis=1)])
        if not tables[-1].size:
            return False
    for place, arm in enumerate(arms):
        outcome = tuple(table[:, place].tobytes() for table in tables)
        sums[outcome] = sums.get(outcome, 0.0) + contrast.weights[arm]
    return all(abs(total) < 10**-DIGITS for total in sums.values())


def _weigh(
    measured: Measured,
    compared: Sequence[Contrast],
    series: Mapping[str, Series],
    plan: sequential.LookPlan | None,
) -> dict[str, Evidence]:
    """Each contrast's evidence; interactions are a family of their own."""
    inner = [series[one.id] for one in compared if one.role in roles.SECONDARY]
    outer = [series[one.id] for one in compared if one.role not in roles.SECONDARY]
    delta, history = measured.metric.delta, measured.history
    if plan is not None:
        own = replace(plan, families=max(1, len(inner)))
        return family.weigh(outer, delta, plan) | family.weigh(inner, delta, own)
    level = history.level()
    earlier = [(r.members, len(r.seeds), history.level(which)) for which, r in history.prefixes]
    found = family.weigh_reports(outer, delta, earlier, level)
    return found | family.weigh(inner, delta, level=replace(level, dropped=0))


def _members(series: Mapping[str, Series]) -> list[Series]:
    """The members of the study's family."""
    second = tuple(f"{role}:" for role in roles.SECONDARY)
    return [one for one in series.values() if one.counts and not one.id.startswith(second)]


def _family(
    measured: Measured, series: Mapping[str, Series], plan: sequential.LookPlan | None
) -> FamilyFacts:
    members, history = _members(series), measured.history
    n = min((one.n for one in members), default=0)
    alpha = plan.alpha if plan else history.level().alpha
    size = len(members) + len(history.dropped)
    level = alpha / max(1, size)
    return FamilyFacts(
        members=tuple(one.id for one in members),
        size=size,
        report=history.number,
        dropped=history.dropped,
        method=family.SPENDING if plan else family.HOLM,
        alpha=alpha,
        simultaneous_confidence=1 - level,
        n=n,
        sign_flip_floor=inference.sign_flip_floor(n),
        seeds_for_floor=inference.seeds_below_floor(level),
    )


def noise_floor(measured: Measured, series: Mapping[str, Series]) -> NoiseFloor:
    """The noise of the metric, and what these seeds can find."""
    members = _members(series)
    planned = [one for one in members if not one.identical and one.n > 1]
    variances = [float(np.var(list(one.values.values()), ddof=1)) for one in planned]
    sd = float(np.sqrt(np.mean(variances))) if variances else None
    n = min((one.n for one in planned), default=0)
    common = measured.pools[_noise_kind(path_arms(measured.grid)[0])]
    prior = max((one.prior for one in common.values() if one), default=0.0)
    left = [_left_by_rows(one) for one in planned]

    def detectable(comparisons: int) -> float | None:
        if not sd:
            return None
        error = Error(
            n=n,
            comparisons=max(1, comparisons),
            prior=prior,
            rows=float(np.mean(left)) / sd**2,
        )
        found = smallest_found(error)
        return None if found is None else found * sd

    control, current = series.get(roles.A_A), statistics.arm_values(measured.table, CURRENT)
    return NoiseFloor(
        a_a=control.estimate if control else None,
        current_sd=float(current.std(ddof=1)) if len(current) > 1 else None,
        paired_sd=sd,
        n=n,
        detectable=detectable(1),
        detectable_corrected=detectable(len(members)),
    )


def _left_by_rows(one: Series) -> float:
    """The variance of a contrast's mean that more seeds would not take away."""
    squares = one.background.rows.get(one.n) if one.background else None
    if squares is None:
        return 0.0
    return max(0.0, squares.rows - squares.error) / (squares.n * squares.size)


def _looks(series: Mapping[str, Series], plan: sequential.LookPlan | None) -> Looks | None:
    """Where each planned contrast stands: its looks, and why it stopped."""
    if plan is None:
        return None
    decisions = family.decisions(_members(series), plan)
    return Looks(
        looks=plan.looks,
        alpha=plan.alpha,
        spending=plan.spending,
        families=plan.families,
        boundaries=plan.effect_limits,
        equivalence_boundaries=plan.equivalence_limits,
        next_seeds=sequential.seeds_needed(decisions.values()),
        contrasts=tuple(LookDecision(id=name, decision=d) for name, d in decisions.items()),
    )


def _scale(
    measured: Measured,
    series: Mapping[str, Series],
    evidence: Mapping[str, Evidence],
    all_rows: int | None,
) -> Scale | None:
    """How effects change with rows; None where the study has one size."""
    facts = facts_of(measured.grid, SCALE)
    if facts is None:
        return None

    def estimate(one: Contrast) -> Estimate:
        return series_of(measured, [one])[one.id].estimate

    return read_scale(facts, series, evidence, estimate, all_rows)


# --- One effect --------------------------------------------------------------------------------


def _effect(
    measured: Measured,
    one: Contrast,
    series: Mapping[str, Series],
    evidence: Mapping[str, Evidence],
) -> Effect:
    own, metric = series[one.id], measured.metric
    impact = verdicts.judge_impact(
        own.estimate,
        metric.delta,
        metric.impact_multiples,
        evidence[one.id],
        family.rule_of(own, evidence[one.id]),
    )
    one_run = not computations(one, measured.grid)
    pair = None if one.pair is None else _pair(measured, one.pair, own, one_run)
    if pair is not None:
        lost = pair.stability.divergences
        impact = verdicts.diverging(impact, lost.arm, lost.reference)
    return Effect(
        **asdict(one),
        planned=own.planned and one.role in roles.PLANNED,
        one_run=one_run,
        same_results=own.identical,
        values=dict(sorted(own.values.items())),
        improvement=own.estimate,
        precision=_precision(own),
        median=float(np.median(list(own.values.values()))) if own.values else None,
        evidence=evidence[one.id],
        impact=impact,
        odds=improvement_odds(own, one, measured.ran, measured.diverged),
        share=_share(measured, one, series),
        aliases=_aliases(measured.grid, one),
        pair=pair,
    )


def _precision(one: Series) -> Precision:
    """What the interval of an effect rests on, and what would make it narrower."""
    values = list(one.values.values())
    here = statistics.estimate(
        values, list(one.values), one.spread(new_rows=False), identical=one.identical
    )
    if one.background is None or one.identical or len(values) < 2:
        return Precision(low=here.low, high=here.high)
    found = one.background.moderated(np.array(values), list(one.values)[-1])
    squares = one.background.rows.get(one.n)
    shares = error_of(squares, found.variance, found.freedom).shares if squares else None
    return Precision(
        low=here.low,
        high=here.high,
        own_sd=math.sqrt(found.own),
        common_sd=None if found.pooled is None else math.sqrt(found.pooled),
        disagree=found.disagree,
        new_rows=squares is not None,
        shares=shares,
    )


def improvement_odds(
    series: Series,
    contrast: Contrast,
    ran: set[tuple[str, int]],
    diverged: set[tuple[str, int]],
) -> inference.Odds:
    """How often a contrast improves; a diverged run loses to every run that did not."""
    found = dict(series.values)
    for arm, seed in diverged:
        if contrast.pair and arm in contrast.pair and all((a, seed) in ran for a in contrast.pair):
            above, below = (float((one, seed) in diverged) for one in contrast.pair)
            found[seed] = below - above
    values = list(found.values())
    return inference.probability_of_improvement(values)


def _pair(measured: Measured, arms: tuple[str, str], own: Series, one_run: bool) -> Pair:
    tables, metric = measured.tables, measured.metric.name
    quantities = {
        key: statistics.paired_difference(
            table, *arms, identical=one_run or (own.identical and _is_quality(key))
        )
        for key, table in tables.items()
    }
    better = measured.metric.higher_is_better
    for key in OF_MACHINE:
        above, below, _ = statistics.paired_arrays(tables[key], *arms)
        quantities[key] = statistics.of_machine(quantities[key], above - below)
    quantities[metric] = own.estimate if better else statistics.flipped(own.estimate)
    arm, reference = arms
    missing, if_missing = _missing(measured, arms)
    divergences = stability.count_divergences(arms, measured.ran, measured.diverged)
    return Pair(
        arm=arm,
        reference=reference,
        settings=_own_settings(measured.grid, arms),
        quantities=quantities,
        missing=missing,
        if_missing=if_missing,
        correlation=inference.pairing(*statistics.paired_arrays(tables[metric], *arms)[:2]),
        stability=stability.compare(tables, metric, arms, own.identical, divergences),
    )


def _missing(measured: Measured, arms: tuple[str, str]) -> tuple[int, tuple[float, float] | None]:
    """Planned seeds without a run of one arm, and between what the mean lies whatever they were.

    A score is between 0 and 1, so that a pair is as bad as the worst score against the best one, or
    against the score that is there.
    """
    grid = measured.grid
    counts = [len(a.seeds or grid.seeds) for a in grid.arms if a.name in arms]
    planned = grid.seeds[: min(counts)]
    absent = [s for s in planned if not all((arm, s) in measured.ran for arm in arms)]
    if not absent or not is_bounded(measured.metric.name):
        return len(absent), None
    table = measured.table.reindex(index=planned, columns=list(dict.fromkeys(arms)))
    above, below = (table[arm] for arm in arms)
    low = above.fillna(0.0) - below.fillna(1.0)
    high = above.fillna(1.0) - below.fillna(0.0)
    return len(absent), (float(low.mean()), float(high.mean()))


def _is_quality(quantity: str) -> bool:
    return quantity.startswith("eval_") or quantity.endswith("_loss")


def _own_settings(grid: Grid, arms: tuple[str, str]) -> tuple[str, ...]:
    """The settings in which two arms differ."""
    named = {arm.name: arm.settings for arm in grid.arms}
    here, there = (named[name] for name in arms)
    return tuple(name for name in here if here[name] != there.get(name))


def _aliases(grid: Grid, one: Contrast) -> tuple[str, ...]:
    """What a main effect or a chain of a fraction cannot be told from; of others, nothing."""
    facts = facts_of(grid, "fractional")
    if facts is None or one.factor is None or one.role not in (roles.MAIN, roles.CHAIN):
        return ()
    factors = facts["factors"]
    matrix = fractions.design_of(fractions.fraction_cells(factors), factors)
    if one.role == roles.CHAIN:
        for chain in fractions.interaction_chains(matrix):
            if fractions.chain_name(chain, factors) == one.factor:
                return _words(chain, factors)
    chains = fractions.alias_chains(matrix, order=3)
    own = {chain[0][1]: chain[1:] for chain in chains}
    return _words(own.get((factors.index(one.factor),), []), factors)


def _words(chain: Sequence[tuple[int, fractions.Word]], factors: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        ("" if sign > 0 else "-") + roles.BETWEEN.join(factors[i] for i in word)
        for sign, word in chain
    )


def _share(measured: Measured, one: Contrast, series: Mapping[str, Series]) -> Share | None:
    """A contrast's share of the gap, or of what all factors do, where that is surely not zero."""
    ends = _whole(measured, one)
    background = series[one.id].background
    if ends is None or background is None:
        return None
    whole = dict(zip(ends, (1.0, -1.0), strict=True))
    arms = {*one.weights, *whole}
    apart = {arm: one.weights.get(arm, 0.0) - whole.get(arm, 0.0) for arm in arms}
    table = measured.gains.reindex(columns=sorted(arms)).dropna()
    weighed = [{arm: w for arm, w in all_.items() if w} for all_ in (one.weights, whole, apart)]
    found = [_mean_of(measured, replace(one, weights=w), table, background) for w in weighed]
    part, all_of_it, rest = found
    if all_of_it.error is None or all_of_it.df is None or not all_of_it.estimate:
        return None
    top, bottom = float(part.estimate or 0.0), all_of_it.estimate
    interval = statistics.ratio_interval(
        top=top,
        bottom=bottom,
        top_error=part.error or 0.0,
        bottom_error=all_of_it.error,
        apart_error=all_of_it.error if part.error is None else rest.error or 0.0,
        df=all_of_it.df,
    )
    if interval is None:
        return None
    low, high = interval
    return Share(estimate=top / bottom, low=low, high=high, n=part.n)


def _mean_of(measured: Measured, one: Contrast, table: pd.DataFrame, like: Background) -> Estimate:
    """The mean of a contrast over the seeds of a table, with the noise of another of its arms."""
    values = values_of([one], table)[one.id]
    own = Background(
        squares=sum(weight**2 for _, weight in computations(one, measured.grid)),
        pools=like.pools,
        rows=measured.by_row.squares(one.weights, values, {len(values)}),
    )
    seeds = list(values)
    spread = own.spread(list(values.values()), seeds[-1]) if seeds else None
    same = not one.weights or same_results(measured, one)
    return statistics.estimate(list(values.values()), seeds, spread, identical=same)


def _whole(measured: Measured, one: Contrast) -> tuple[str, str] | None:
    """The arms whose difference a contrast is a share of; None where it is a share of nothing."""
    if one.role in SHARED_WITH_GAP:
        path = path_arms(measured.grid)
        return path[-1].name, path[0].name
    if one.role != roles.SHAPLEY:
        return None
    cells = cells_of(measured.grid, "factorial")
    return cells[max(cells, key=len)], cells[min(cells, key=len)]


# --- Recommendation ----------------------------------------------------------------------------


def _recommendation(measured: Measured, contrasts: Sequence[Effect]) -> Recommendation:
    """The arm to take over, from all candidates and all contrasts that switch one factor on."""
    grid = measured.grid
    factors = list(path_arms(grid)[-1].stages)
    arms = {arm.name: arm.stages for arm in grid.arms}
    steps = [
        recommendation.Step(
            factor=one.factor or one.role,
            verdict=_step_verdict(one),
            contrast=one.id,
            on_top_of=arms[one.pair.reference],
        )
        for one in contrasts
        if one.role in (roles.STAGE, roles.REMAINDER, roles.ONLY, roles.WITHOUT) and one.pair
    ]
    return recommendation.recommend(
        _candidates(measured, contrasts),
        steps,
        factors,
        measured.metric.delta,
        [design["design"] for design in grid.designs if design.get("whole", True)],
    )


def _step_verdict(one: Effect) -> str:
    if one.impact.level == verdicts.DIVERGES:
        known = one.impact.direction
        return recommendation.OPEN if known == "unclear" else known
    if one.one_run or one.same_results or one.evidence.equivalent:
        return recommendation.NO_EFFECT
    if one.evidence.significant:
        return one.impact.direction
    return recommendation.OPEN


def _candidates(measured: Measured, contrasts: Sequence[Effect]) -> list[recommendation.Candidate]:
    over_current = {
        one.pair.arm: one
        for one in contrasts
        if one.planned and one.pair and one.pair.reference == CURRENT and not one.one_run
    }
    lost = Counter(arm for arm, _ in measured.diverged)
    found = []
    for arm in candidate_arms(measured.grid):
        one = over_current.get(arm.name)
        values = statistics.arm_values(measured.gains, arm.name)
        gain = None if one is None else one.improvement.estimate
        if arm.name != CURRENT and (one is None or gain is None):
            continue
        found.append(
            recommendation.Candidate(
                arm=arm.name,
                variant=arm.variant,
                factors=frozenset(arm.stages),
                contrast=None if one is None else one.id,
                gain=gain or 0.0,
                low=None if one is None else one.evidence.low,
                helps=one is not None and one.evidence.significant and (gain or 0.0) > 0,
                values=statistics.by_seed(values),
                diverges=lost[arm.name] > lost[CURRENT],
            )
        )
    return found


# --- Tables ------------------------------------------------------------------------------------


def _ranking(contrasts: Sequence[Effect]) -> tuple[str, ...]:
    """Stages and remainder: what diverges, then the decided, larger before smaller."""

    def key(one: Effect) -> tuple[bool, bool, float]:
        size, level = one.improvement.estimate, one.impact.level
        large = -abs(size) if size is not None else 0.0
        return level != verdicts.DIVERGES, level == UNDECIDED, large

    ranked = [c for c in contrasts if c.role in (roles.STAGE, roles.REMAINDER) and not c.one_run]
    return tuple(one.id for one in sorted(ranked, key=key))


def _summarize(name: str, measured: Measured) -> ArmSummary:
    own = measured.runs[measured.runs["arm"] == name]
    arm = next(arm for arm in measured.grid.arms if arm.name == name)

    def seeds(status: str) -> tuple[int, ...]:
        return tuple(sorted(int(seed) for seed in own.loc[own["status"] == status, "seed"]))

    return ArmSummary(
        arm=name,
        kind=arm.kind,
        stage=arm.stage,
        variant=arm.variant,
        completed=seeds(COMPLETED),
        diverged=seeds(DIVERGED),
        missing=seeds(MISSING),
        means={
            key: _mean(table, name, measured.by_row if key == measured.metric.name else NOT_BY_ROW)
            for key, table in measured.tables.items()
        },
    )


def _mean(table: pd.DataFrame, arm: str, by_row: ByRow) -> Mean:
    """An arm's mean; of the metric with an interval on new rows, where outcomes are there."""
    values = statistics.arm_values(table, arm)
    seeds = values.index.tolist()
    rows = by_row.squares({arm: 1.0}, seeds, {len(seeds)})
    own = Background(squares=1.0, pools={}, rows=rows)
    spread = own.spread(values.tolist(), seeds[-1]) if rows else spread_of(values.tolist())
    found: Estimate = statistics.estimate(values.tolist(), seeds, spread)
    return Mean(**vars(found), values=statistics.by_seed(values))


def _table(measured: Measured, design: str) -> Table | None:
    """What a factorial or fractional design came to; None where the study has not got it."""
    facts = facts_of(measured.grid, design)
    if facts is None:
        return None
    lacking = lacking_cells(measured.grid, design)
    cells = list(cells_of(measured.grid, design).values())
    rows = measured.table.reindex(columns=cells).dropna()
    found = Table(
        factors=tuple(facts["factors"]),
        cells=len(cells),
        seeds=tuple(sorted(int(seed) for seed in rows.index.tolist())),
        lacking=tuple(tuple(sorted(cell)) for cell in lacking),
    )
    if design == "factorial" or lacking:
        return found
    matrix = fractions.design_of(fractions.fraction_cells(found.factors), found.factors)
    words = fractions.defining_words(matrix)
    names = tuple(roles.BETWEEN.join(found.factors[i] for i in word) for word in words)
    return replace(found, resolution=fractions.resolution(matrix), defining_words=names)


def _collapsed(measured: Measured) -> tuple[Collapse, ...]:
    """Finished runs that lie far below their arm's others.

    Further below the median than five times the largest other distance from it, and than five
    times delta.
    """
    found = []
    for arm in measured.grid.arms:
        values = statistics.by_seed(statistics.arm_values(measured.table, arm.name))
        values = {s: v for s, v in values.items() if (arm.name, s) not in measured.diverged}
        if len(values) < FEWEST_TO_COLLAPSE:
            continue
        median = float(np.median(list(values.values())))
        worst = (min if measured.metric.higher_is_better else max)(values, key=values.__getitem__)
        others = max(abs(v - median) for seed, v in values.items() if seed != worst)
        loss = abs(median - values[worst])
        if loss > 5 * max(others, measured.metric.delta):
            found.append(Collapse(arm=arm.name, seed=worst, value=values[worst], median=median))
    return tuple(found)


def _headroom(measured: Measured) -> float | None:
    """How much the best arm of the path could still gain; None for a metric without bounds."""
    if not (measured.metric.higher_is_better and is_bounded(measured.metric.name)):
        return None
    names = [arm.name for arm in path_arms(measured.grid)]
    means = measured.table.reindex(columns=names).mean().dropna()
    return None if means.empty else 1.0 - float(means.max())


def _lost(runs: pd.DataFrame, status: str) -> tuple[LostRun, ...]:
    rows = runs.loc[runs["status"] == status, ["arm", "variant", "seed"]]
    return tuple(
        LostRun(arm=arm, variant=variant, seed=int(seed))
        for arm, variant, seed in rows.to_numpy().tolist()
    )
