"""What effects.json holds, as types: contrasts with their evidence, and verdicts.

`estimate.estimate_effects` makes it, `save_effects` writes it, `load_effects` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablation.designs.contrast import GAP, REMAINDER, STAGE
from ablation.evidence.claims import Impact
from ablation.evidence.confirmation import load_confirmation
from ablation.evidence.family import Evidence
from ablation.evidence.inference import Odds
from ablation.evidence.recommendation import Recommendation
from ablation.evidence.retune import Side
from ablation.evidence.scale import Scale
from ablation.evidence.sequential import Decision
from ablation.evidence.stability import Stability
from ablation.evidence.statistics import Estimate, SeedRange
from ablation.files import save_record
from ablation.records import load_typed, to_plain

SCHEMA_VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The study's metric.

    Attributes:
        delta: The smallest effect that matters.
        impact_multiples: From how many times delta on each level of impact begins.
    """

    name: str
    higher_is_better: bool
    delta: float
    impact_multiples: dict[str, float]


@dataclass(frozen=True)
class Mean(Estimate):
    """A quantity of an arm: its mean over seeds with its interval, and the seeds' values."""

    values: dict[int, float] | None = None


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """What an arm measured.

    Attributes:
        completed, diverged, missing: Its seeds by what became of their runs.
        means: Each quantity.
    """

    arm: str
    kind: str
    stage: str | None
    variant: str
    completed: tuple[int, ...]
    diverged: tuple[int, ...]
    missing: tuple[int, ...]
    means: dict[str, Mean]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A contrast's share of a whole, with Fieller's interval."""

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is known of one arm against another beside the metric.

    Attributes:
        arm, reference: The arms; all differences are arm minus reference.
        settings: The settings in which they differ.
        quantities: The difference of each quantity, in its own unit.
        missing: Planned seeds on which one of both has no run.
        if_missing: The mean improvement, were these runs as bad and as good as can be; None where
            none is missing, or the metric has no bounds.
        correlation: Of both arms over seeds; what pairing pays.
        stability: Whether the arm trains more steadily.
    """

    arm: str
    reference: str
    settings: tuple[str, ...]
    quantities: dict[str, Estimate]
    missing: int
    if_missing: tuple[float, float] | None
    correlation: float | None
    stability: Stability


@dataclass(frozen=True, kw_only=True)
class Precision:
    """What the interval of an effect rests on.

    Attributes:
        low, high: The uncorrected 95 % interval on these test rows.
        own_sd: Standard deviation of its own values over seeds; None below two.
        common_sd: What the noise common to all arms makes of it; None where there is none.
        disagree: Whether both differ threefold: then arms are unequally noisy.
        new_rows: Whether its other intervals and tests hold for new test rows.
        shares: Of their variance: what more seeds, more rows, or either would take off ("seeds",
            "rows", "both").
    """

    low: float | None
    high: float | None
    own_sd: float | None = None
    common_sd: float | None = None
    disagree: bool = False
    new_rows: bool = False
    shares: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Scope:
    """For whom the intervals of a study hold.

    Attributes:
        rows: "new_rows" (others like the test rows), "these_rows", or "new_splits" (other training
            and test rows, where each seed has its own).
        reason: Why these rows only: "no_outcomes", "metric" or "other_rows".
        size: Test rows, where they are known.
    """

    rows: str
    reason: str | None = None
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A contrast with what was measured of it; improvements are positive.

    Attributes:
        id, role, factor, design, weights: As in `contrast.Contrast`.
        planned: Whether it shares the error of the study.
        one_run: Whether both sides are the same runs, so that it is zero by construction.
        same_results: Whether both sides gave the same numbers to the last bit.
        values: The improvement by seed.
        improvement: Its mean with its own, uncorrected intervals.
        precision: What these rest on, and the interval on these test rows.
        median: Its median over seeds, which a collapsed seed does not move.
        evidence: What may be concluded of it within its family.
        impact: How large it is, in words.
        odds: How often it improves.
        share: Its share of the whole; None where the whole is not surely different from zero.
        aliases: What it cannot be told from, in a fraction of the combinations.
        pair: More of it, where it is one arm against another.
    """

    id: str
    role: str
    factor: str | None
    design: str
    weights: dict[str, float]
    planned: bool
    one_run: bool
    same_results: bool
    values: dict[int, float]
    improvement: Estimate
    precision: Precision
    median: float | None
    evidence: Evidence
    impact: Impact
    odds: Odds
    share: Share | None
    aliases: tuple[str, ...]
    pair: Pair | None

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that it changes."""
        return self.pair.settings if self.pair else ()


@dataclass(frozen=True, kw_only=True)
class FamilyFacts:
    """The family of planned contrasts, and how it is corrected.

    Attributes:
        members: Their ids.
        size: How many comparisons the error is shared by.
        report: Which report of the study it is, from 1: a later one has less of the error left.
        dropped: Those that an earlier report made and that are no longer asked for.
        method: "holm" or "spending_bonferroni".
        simultaneous_confidence: The confidence of each of the simultaneous intervals.
        n: Fewest seeds of a member.
        sign_flip_floor: The smallest p that a sign-flip test of so many seeds can reach.
        seeds_for_floor: Fewest seeds with which it can reach the family's level.
    """

    members: tuple[str, ...]
    size: int
    report: int
    dropped: tuple[str, ...]
    method: str
    alpha: float
    simultaneous_confidence: float
    n: int
    sign_flip_floor: float
    seeds_for_floor: int


@dataclass(frozen=True, kw_only=True)
class Table:
    """A factorial, or a fraction of one.

    Attributes:
        cells: Cells with an arm.
        seeds: The seeds that all of them have.
        lacking: Cells that have no arm: then nothing is estimated.
        resolution: Of a fraction: letters of its shortest defining word.
        defining_words: Of a fraction: products of factors that are constant over its cells.
    """

    factors: tuple[str, ...]
    cells: int
    seeds: tuple[int, ...]
    lacking: tuple[tuple[str, ...], ...]
    resolution: int | None = None
    defining_words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LookDecision:
    """Where a contrast stands in a study with looks."""

    id: str
    decision: Decision


@dataclass(frozen=True, kw_only=True)
class Looks:
    """The looks of a study, and where each planned contrast stands.

    Attributes:
        looks: Numbers of seeds.
        families: Over how many comparisons the error is shared.
        boundaries: The nominal p of an effect at each look.
        equivalence_boundaries: The same for equivalence.
        next_seeds: The seeds to go on to; None where all is decided.
    """

    looks: tuple[int, ...]
    alpha: float
    spending: str
    families: int
    boundaries: tuple[float, ...]
    equivalence_boundaries: tuple[float, ...]
    next_seeds: int | None
    contrasts: tuple[LookDecision, ...]


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """How large a difference is that means nothing, and the smallest that these seeds can find.

    Attributes:
        a_a: Current against itself with other seeds, where the study has that control.
        current_sd: Standard deviation of current over its seeds.
        paired_sd: That of a paired difference, pooled over the planned contrasts (root mean
            square).
        n: Fewest seeds of a planned contrast.
        detectable: The effect that these seeds find with 80 % power, once alone.
        detectable_corrected: The same, corrected for the family.
    """

    a_a: Estimate | None
    current_sd: float | None
    paired_sd: float | None
    n: int
    detectable: float | None
    detectable_corrected: float | None


@dataclass(frozen=True, kw_only=True)
class ImpactVerdict:
    """A claimed level of impact: the contrast that measured it, and the verdict."""

    setting: str
    claimed: str
    contrast: str | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class StatementVerdict:
    """A statement in numbers, what was measured of it (in its unit), and the verdict."""

    id: str
    quantity: str
    contrast: str
    unit: str
    low: float | None
    high: float | None
    estimate: float | None
    interval_low: float | None
    interval_high: float | None
    confidence: float
    n: int
    no_interval: str | None
    verdict: str
    seeds_to_decide: SeedRange | None


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The verdicts on what the source report promised."""

    impact: tuple[ImpactVerdict, ...]
    statements: tuple[StatementVerdict, ...]


@dataclass(frozen=True, kw_only=True)
class LeftOutArm:
    """An arm that a design asks for and that cannot run, with the reason in each language."""

    arm: str
    text: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class LostRun:
    """A run that is missing or diverged."""

    arm: str
    variant: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """A run that finished far below all others of its arm."""

    arm: str
    seed: int
    value: float
    median: float


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Everything that a study's runs say.

    Attributes:
        seeds: The seeds of its runs.
        arms: The arms of the staged path, in order.
        design_arms: The others.
        contrasts: Everything that is estimated.
        ranking: The steps of the path by id, decided before undecided, larger before smaller.
        factorial, fractional: Where the study has them.
        sequential: The looks; None where the number of seeds is fixed.
        scope: For whom intervals hold.
        missing, diverged: Runs that are not there, and runs that came to nothing.
        collapsed: Runs that finished far below all others of their arm.
        headroom: How much the best arm of the path could still gain; None for a metric without
            bounds.
        recommendation: The arm to take over.
        retuned: How the learning rate of each side was chosen, where the study tunes both.
        scale: How effects change with the rows to train on, where the study has several sizes.
    """

    schema_version: int
    study: str
    metric: Metric
    seeds: tuple[int, ...]
    arms: tuple[ArmSummary, ...]
    design_arms: tuple[ArmSummary, ...]
    left_out: tuple[LeftOutArm, ...]
    contrasts: tuple[Effect, ...]
    ranking: tuple[str, ...]
    family: FamilyFacts
    factorial: Table | None
    fractional: Table | None
    sequential: Looks | None
    scope: Scope
    noise_floor: NoiseFloor
    claims: Verdicts
    missing: tuple[LostRun, ...]
    diverged: tuple[LostRun, ...]
    collapsed: tuple[Collapse, ...]
    headroom: float | None
    recommendation: Recommendation
    scale: Scale | None = None
    retuned: tuple[Side, ...] = ()

    def of_role(self, *roles: str) -> list[Effect]:
        """The contrasts of these roles, in their order."""
        return [one for one in self.contrasts if one.role in roles]

    @property
    def by_id(self) -> dict[str, Effect]:
        """The contrasts by id."""
        return {one.id: one for one in self.contrasts}

    @property
    def gap(self) -> Effect:
        """Backup against current."""
        return self.by_id[GAP]

    @property
    def path(self) -> list[Effect]:
        """The steps that lead from current to backup: stages, and remainder where there is one."""
        steps = self.of_role(STAGE, REMAINDER)
        return [step for step in steps if not (step.role == REMAINDER and step.one_run)]

    @property
    def at_ceiling(self) -> bool:
        """Whether no arm can gain as much as delta over the best one."""
        return self.headroom is not None and self.headroom < self.metric.delta

    @property
    def planned(self) -> list[Effect]:
        """The members of the family."""
        return [self.by_id[name] for name in self.family.members]


def save_effects(effects: Effects, path: str | Path) -> None:
    """Write effects.json."""
    save_record(to_plain(effects), path)


def load_effects(path: str | Path) -> Effects:
    """The content of an effects.json.

    Raises:
        UserError: it is not there, or was written by another version.
    """
    return load_typed(Effects, path)


def load_recommendation(effects: str | Path, verdict: str | Path | None = None) -> Recommendation:
    """What a study recommends.

    Args:
        effects: effects.json.
        verdict: The confirmation's verdict.json, where the study has one.
    """
    found = load_effects(effects).recommendation
    there = verdict is not None and Path(verdict).is_file()
    return found.seen(load_confirmation(str(verdict)) if there else None)
