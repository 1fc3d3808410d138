"""What a plan says, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablation.records import to_plain
from ablation.study.grid_file import LeftOutEntry
from ablation.study.options import LooksOptions, MetricOptions
from ablation.study.packing import Packing

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Noise:
    """The standard deviation of a paired difference over seeds.

    Attributes:
        sd: In the metric's unit.
        origin: "pilot" (measured), "stated" (by the user) or "assumed" (as large as delta).
        pairs: Pairs of arms that it was measured on.
        seeds: The most seeds that a pair shares.
        rows: What the test rows add for new rows, in the metric's unit squared, however many
            seeds there are; 0 where that is not known.
    """

    sd: float
    origin: str
    pairs: int = 0
    seeds: int = 0
    rows: float = 0.0


@dataclass(frozen=True)
class Prospect:
    """What a design comes to.

    Attributes:
        design: Its name.
        asked: Whether the study asks for it.
        factors: How many factors it has.
        arms: Different arms that it needs.
        shared: Those of them that the staged path trains anyway.
        at_most: Whether results decide how many arms there will be, so that these are the most.
        hours: Device-hours of one seed of its arms and the staged path; None where not known.
        costs: Those of each run.
        contrasts: Comparisons that share the error: its own and those of all designs asked for.
        variance: Variance of an estimate, over that of a difference of two runs.
        detectable_sd: The smallest effect found with 80 % power, in sd of a paired difference.
        detectable: The same in the metric's unit.
        reason: Why it cannot be run; None where it can.
        prior: Degrees of freedom that the noise of all arms adds to a comparison's own.
    """

    design: str
    asked: bool
    factors: int
    arms: int
    shared: int
    at_most: bool
    hours: float | None
    contrasts: int
    variance: float | None
    detectable_sd: float | None
    detectable: float | None
    reason: str | None = None
    prior: float = 0.0
    costs: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ArmPlan:
    """An arm in a plan.

    Attributes:
        arm: Its name.
        same_as: The arm whose runs it shares; None where it has its own.
        changed: How many settings differ from `current`.
        runs: Its own runs.
        finished: Those of them that are there.
        hours: Device-hours of a run; None where not known.
        cost_from: Where that comes from.
        relative: In runs of `current`.
    """

    arm: str
    kind: str
    design: tuple[str, ...]
    stages: tuple[str, ...]
    variant: str
    same_as: str | None
    changed: int
    runs: int
    finished: int
    hours: float | None
    cost_from: str
    relative: float | None


@dataclass(frozen=True, kw_only=True)
class Caution:
    """What arms run with although it is likely to be a mistake, in words by language."""

    reason: str
    numbers: Mapping[str, object]
    arms: list[str]
    text: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Total:
    """All runs: how many, how many arms share with others, and their device-hours."""

    arms: int
    runs: int
    shared: int
    finished: int
    hours: float | None
    hours_left: float | None


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What the prices rest on.

    Attributes:
        device: "cpu" or "gpu".
        card: The GPU's kind, where one is known.
        all_rows: Rows of the whole data set, where anybody says.
        origin: Where the speed comes from.
        speed: FLOPs a second and device; None where nothing in seconds is known.
        rows: Training rows, where they are counted.
        measured: Runs that are there.
        lengths_known: Whether texts were measured.
    """

    device: str
    card: str | None
    all_rows: int | None
    origin: str
    speed: float | None
    rows: int | None
    measured: int
    lengths_known: bool


@dataclass(frozen=True, kw_only=True)
class Price:
    """Runs and their device-hours; None where these are not known."""

    runs: int
    hours: float | None


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The sizes of a study, or some to propose.

    Attributes:
        asked: Whether the study has it.
        rows: The smaller sizes of the study's own; all sizes of a proposed one.
        all_rows: Training rows, where they are counted.
        write: The lines of study.yaml that ask for it.
    """

    asked: bool
    rows: list[int]
    runs: int
    hours: float | None
    all_rows: int | None
    write: list[str]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What some hours of the machine buy.

    Attributes:
        rows: Of the whole data set; None: all there are.
        design: Beside the staged path, which always runs.
        seeds: The most of each arm.
        looks: Seeds at which results are looked at; empty where looking does not pay.
        spending: How the error is spent over them.
        runs: At most.
        devices: Of each run.
        hours: Of the machine, at most.
        contrasts: Comparisons that share the error.
        detectable: The smallest effect found with 80 % power on new rows, in the metric's unit.
        power_at_delta: The chance to find an effect of delta.
    """

    rows: int | None
    design: str
    seeds: int
    looks: tuple[int, ...]
    spending: str | None
    runs: int
    devices: int
    hours: float
    contrasts: int
    detectable: float
    power_at_delta: float


@dataclass(frozen=True, kw_only=True)
class Bought:
    """What so many hours buy; None where not even two seeds."""

    hours: float
    offer: Offer | None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What hours of a machine buy.

    Attributes:
        hours: Of the machine.
        devices: That it has.
        chosen: The offer; None where the hours buy nothing.
        frontier: What fewer and more hours would buy.
        write: The lines of study.yaml that ask for the offer.
    """

    hours: float
    devices: int
    chosen: Offer | None
    frontier: list[Bought]
    write: list[str]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Everything that a plan says.

    Attributes:
        metric: Name, direction and delta, as study.yaml has them.
        sequential: The looks, as study.yaml has them.
        confirm: What fresh seeds take at the most, beside all that, where the study asks for them.
        ladder: Sizes of the study, or some to propose; None where there is nothing to say.
        retune: What tuning both sides of each step costs, where the study asks for it.
        budget: What a time buys, where one was asked for.
    """

    study: str
    seeds: list[int]
    most_seeds: int
    metric: MetricOptions
    arms: list[ArmPlan]
    left_out: Sequence[LeftOutEntry]
    cautions: list[Caution]
    total: Total
    prices: Basis
    packing: Packing | None
    noise: Noise
    designs: Sequence[Prospect]
    sequential: LooksOptions | None
    confirm: Price | None = None
    ladder: Ladder | None = None
    retune: Price | None = None
    budget: Budget | None = None

    def as_json(self) -> dict[str, object]:
        """It as `ablation plan --json` prints it."""
        found = to_plain(self)
        for design in found["designs"]:
            del design["costs"]
        if self.budget is None:
            del found["budget"]
        return {"schema_version": SCHEMA_VERSION, **found}
