"""What an arm's settings amount to: steps, rates, decay, weights, tokens, compute and memory."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ablation.errors import UserError
from ablation.settings import schedules
from ablation.settings.architecture import (
    GPU,
    HOST,
    Architecture,
    MemoryPart,
    adapted_layers,
    backward_layers,
    count_trainable,
    estimate_memory,
    flops_per_token,
    is_full,
    layer_forwards,
)
from ablation.settings.catalogue import KERNELS, Settings
from ablation.settings.profile import Profile, load_profile

Bounds = tuple[float | None, float | None]

PROFILE = "profile"
STATED = "stated"
NOMINAL = "nominal"
# Rows to plan with where nobody says how many there are: large enough for roundings not to show.
NOMINAL_ROWS = 400_000
MOST_STEPS = 200_000
TOLERANCE = 0.01

AXOLOTL = "axolotl"  # counts steps in its own way
OF_RATES = (
    "learning_rate.first",
    "learning_rate.first_above_zero",
    "learning_rate.peak",
    "learning_rate.last",
    "learning_rate.last_over_peak",
    "learning_rate.mean",
    "learning_rate.mean_over_peak",
    "learning_rate.sum",
    "weight_decay.sum",
    "weight_decay.shrinkage",
)
# Quantities that grow with the number of tokens of a row.
OF_TOKENS = ("tokens_per_row", "tokens_per_step", "tokens_per_run", "flops_per_run")


def engine_dtype(settings: Settings) -> str:
    """Type of the weights while training: DeepSpeed casts the model to its own."""
    if settings["bf16"]:
        return "bfloat16"
    return "float16" if settings["fp16"] else settings["model.dtype"]


# Training rows that an arm draws its extract from; absent: all of them. No file sets it.
POOL_ROWS = "data.pool_rows"
# Share of the validation rows on which nothing but a learning rate is chosen; absent: none. No file
# sets it, either.
TUNING_SHARE = "data.tuning_share"


def kernels_of(settings: Settings) -> list[str]:
    """The study's `kernels`; most have none."""
    return list(settings.get(KERNELS, ()))


def cut_of(settings: Settings) -> int | None:
    """Most tokens of a text that an arm reads, None where it reads all."""
    return settings["max_length"] if settings["truncation"] else None


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data.

    Attributes:
        origin: "profile" (prepared data), "stated" (a number of rows in study.yaml or on the
            command line) or "nominal" (nothing: only what does not depend on it is shown).
        pool: Training rows before any arm takes its share.
        evaluated: Rows of validation and of test.
        label_counts: Training rows of each class, the most frequent first; None if unknown.
        num_labels: Classes of the head; None if unknown.
        labels_from: "profile", "max_classes" or None.
        lengths: Token counts of texts and how many have them; None if unknown.
        longest: The longest text in tokens; None if unknown.
        truncated: Share of texts longer than a maximum length, by that length.
        spread: How many times more rows the other of two worlds has, where they are not counted.
            Sides whose data differ have other spreads: nothing that rests on rows is then equal.
    """

    origin: str
    pool: int
    evaluated: tuple[int, int] = (0, 0)
    label_counts: tuple[int, ...] | None = None
    num_labels: int | None = None
    labels_from: str | None = None
    lengths: tuple[np.ndarray, np.ndarray] | None = None
    longest: int | None = None
    truncated: Mapping[int, float] | None = None
    spread: float = 4.0

    @property
    def counted(self) -> bool:
        """Whether the number of rows is known."""
        return self.origin != NOMINAL

    def cut(self, rows: int) -> DataFacts:
        """The same with only so many rows of the whole data set, drawn at random."""
        share = rows / (self.pool + sum(self.evaluated))
        validation, test = (round(count * share) for count in self.evaluated)
        counts = self.label_counts and tuple(round(count * share) for count in self.label_counts)
        pool = max(1, round(self.pool * share))
        return replace(self, pool=pool, evaluated=(validation, test), label_counts=counts)

    def assuming(self, tokens: float | None) -> DataFacts:
        """The same with so many tokens in every text, where lengths are not known."""
        if tokens is None or self.lengths is not None:
            return self
        return replace(self, lengths=(np.array([float(tokens)]), np.ones(1)))

    def train_rows(self, settings: Settings) -> int:
        """Rows that an arm trains on: its share of the most frequent classes it keeps."""
        share = share_of_rows(settings, self.pool)
        if self.label_counts is None:
            return max(1, round(self.pool * share))
        kept = self.label_counts[: settings.get("data.max_classes") or None]
        return sum(max(1, round(count * share)) for count in kept if count)


def extract_of(settings: Settings) -> tuple[Any, ...]:
    """What tells an arm's training rows: share, classes, and rows to draw from if these are few."""
    pool = settings.get(POOL_ROWS)
    found = float(settings["data.extract_ratio"]), settings["data.max_classes"]
    return found if pool is None else (*found, int(pool))


def share_of_rows(settings: Settings, pool: int) -> float:
    """The share of all training rows that an arm takes: its extract, of the rows it draws from."""
    drawn = min(1.0, float(settings.get(POOL_ROWS) or pool) / max(1, pool))
    return float(settings.get("data.extract_ratio", 1.0)) * drawn


def read_plan(
    profile: str | Path | None,
    rows: int | None,
    held_out: tuple[float, float],
    max_classes: list[int],
) -> DataFacts:
    """The plan from prepared data, else from a stated number of rows, else a nominal one.

    Args:
        profile: data/profile.json of the study, if there is one.
        rows: Rows of the whole data set, if somebody said so.
        held_out: Shares of rows that validation and test take.
        max_classes: The class limits of both sides, for a number of labels without data.

    Raises:
        UserError: the profile cannot be read, or tells of no rows.
    """
    if profile is not None and Path(profile).is_file():
        known = load_profile(Path(profile))
        if not (known.rows.train and known.label_counts):
            allowed = "data/profile.json of a study, which has rows and label_counts"
            raise UserError("the file tells of no training rows", file=profile, allowed=allowed)
        return _from_profile(known)
    labels = max(max_classes, default=None)
    found = "max_classes" if labels else None
    left = 1.0 - sum(held_out)
    pool = NOMINAL_ROWS if rows is None else max(1, round(rows * left))
    validation, test = (round(pool * share / left) for share in held_out)
    origin = NOMINAL if rows is None else STATED
    return DataFacts(origin, pool, (validation, test), num_labels=labels, labels_from=found)


def _from_profile(profile: Profile) -> DataFacts:
    tokens, lengths = profile.tokens, None
    if tokens and tokens.histogram.counts:
        edges = np.array(tokens.histogram.edges, float)
        middles = np.maximum((edges[:-1] + edges[1:] - 1) / 2, 1.0)
        lengths = middles, np.array(tokens.histogram.counts, float)
    return DataFacts(
        origin=PROFILE,
        pool=profile.rows.train,
        evaluated=(profile.rows.validation, profile.rows.test),
        label_counts=profile.label_counts,
        num_labels=profile.num_labels,
        labels_from=PROFILE,
        lengths=lengths,
        longest=tokens.max if tokens else None,
        truncated=profile.truncated_share,
    )


# --- Tokens ------------------------------------------------------------------------------------


def real_tokens(settings: Settings, plan: DataFacts) -> float | None:
    """Mean tokens of a row after truncation, without padding; None before the data is profiled."""
    if plan.lengths is None:
        return None
    lengths, counts = plan.lengths
    return float(np.average(np.minimum(lengths, int(settings["max_length"])), weights=counts))


def padded_tokens(settings: Settings, plan: DataFacts) -> tuple[float, bool]:
    """Tokens that are computed for a row, and whether that is only an upper bound.

    Padded to `max_length` that is the limit itself. Padded to the longest of its micro-batch it
    is the expected maximum over the micro-batch, or at most the limit where lengths are unknown.
    """
    limit = int(settings["max_length"])
    if settings["padding"] == "max_length":
        return float(limit), False
    if plan.lengths is None:
        return float(limit), True
    lengths, counts = plan.lengths
    below = np.cumsum(counts) / counts.sum()
    rows = int(settings["per_device_train_batch_size"])
    chance = np.diff(below**rows, prepend=0.0)
    return float(np.sum(chance * np.minimum(lengths, limit))), False


def token_bounds(reference: Settings, arm: Settings) -> Bounds:
    """Bounds of arm over reference in computed tokens of a row, whatever the texts' lengths."""
    here, there = int(reference["max_length"]), int(arm["max_length"])
    ratio = there / here
    fixed = [settings["padding"] == "max_length" for settings in (reference, arm)]
    if all(fixed):
        return ratio, ratio
    if fixed[0]:
        return None, ratio
    if fixed[1]:
        return ratio, None
    return min(1.0, ratio), max(1.0, ratio)


# --- Rates and decay ---------------------------------------------------------------------------


def rate_curve(settings: Settings, steps: int) -> tuple[np.ndarray, int]:
    """Learning rates of a run and how many steps each stands for (1, but for very long runs)."""
    stride = math.ceil(steps / MOST_STEPS)
    if stride == 1:
        return schedules.learning_rates(settings, steps), 1
    kwargs = dict(settings.get("lr_scheduler_kwargs") or {})
    for key, value in kwargs.items():
        if isinstance(value, int) and not isinstance(value, bool) and "step" in key:
            kwargs[key] = max(1, value // stride)
    warmup = float(settings.get("warmup_steps", 0.0))
    warmup = warmup if warmup < 1 else max(1, warmup // stride)
    thinned = {**settings, "lr_scheduler_kwargs": kwargs, "warmup_steps": warmup}
    return schedules.learning_rates(thinned, steps // stride), stride


def _rates(settings: Settings, steps: int) -> dict[str, float | None]:
    if not schedules.is_known(settings):
        return dict.fromkeys(OF_RATES)
    curve, stride = rate_curve(settings, steps)
    decay = float(settings["weight_decay"])
    # Of single steps, a thinned curve has others.
    rate = schedules.rate_of(settings, steps)
    peak, last = float(curve.max()), float(rate(steps - 1))
    moving = (rate(step) for step in range(steps))
    return {
        "learning_rate.first": float(rate(0)),
        "learning_rate.first_above_zero": next((float(r) for r in moving if r > 0), None),
        "learning_rate.peak": peak,
        "learning_rate.last": last,
        "learning_rate.last_over_peak": last / peak if peak else None,
        "learning_rate.mean": float(curve.mean()),
        "learning_rate.mean_over_peak": float(curve.mean()) / peak if peak else None,
        "learning_rate.sum": float(curve.sum()) * stride,
        "weight_decay.sum": float(curve.sum()) * stride * decay,
        "weight_decay.shrinkage": _shrinkage(curve, decay, stride),
    }


def _shrinkage(curve: np.ndarray, decay: float, stride: int) -> float | None:
    """Share of a weight that decay alone takes over the run: 1 - prod(1 - rate * decay)."""
    pull = curve * decay
    if np.any(pull >= 1):
        return None
    return float(-np.expm1(np.sum(np.log1p(-pull)) * stride)) + 0.0  # never -0.0


# --- All of it ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantities:
    """What one arm amounts to.

    Attributes:
        settings: The arm's settings.
        values: Quantities by name; None where something it needs is unknown.
        at_most: The quantities that are upper bounds, as texts' lengths are unknown.
        memory: The parts of a device's memory.
        planned: The values for each number of rows that was tried: the known one, or two nominal
            ones that tell what does not depend on it.
    """

    settings: Settings
    values: dict[str, float | None]
    at_most: frozenset[str]
    memory: tuple[MemoryPart, ...]
    planned: tuple[dict[str, float | None], ...]

    def get(self, name: str) -> float | None:
        """A quantity, or a setting that is a number."""
        return self.values[name] if name in self.values else self._setting(name)

    def each(self, name: str) -> list[float | None]:
        """A quantity (or setting) for each number of rows that was tried."""
        return [v[name] if name in v else self._setting(name) for v in self.planned]

    def knows(self, name: str) -> bool:
        """Whether there is such a quantity or setting."""
        return name in self.values or self._setting(name) is not None

    def _setting(self, name: str) -> float | None:
        value = self.settings.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value)


def compute(
    settings: Settings,
    plan: DataFacts,
    architecture: Architecture | None,
    assumed: Collection[str] = (),
) -> Quantities:
    """Everything an arm amounts to. What rests on something unknown is None.

    What is not known (the number of rows, how many rows a pack holds, a value that cannot be read)
    is taken in two ways; what comes out the same does not depend on it.

    Args:
        settings: The arm's settings. `counting.by: axolotl` says that steps are counted as there.
        plan: What is known of the data.
        architecture: The model; None where its facts are not known.
        assumed: Settings whose values are only assumed.
    """
    other = {**settings, **{name: _otherwise(settings[name]) for name in assumed}}
    pool = plan.pool if plan.counted else round(plan.spread * plan.pool)
    worlds = [(settings, plan, 1.0), (other, replace(plan, pool=pool), _rows_of_a_pack(settings))]
    memory: tuple[MemoryPart, ...] = ()
    if architecture is not None:
        memory = tuple(estimate_memory(architecture, settings, plan.num_labels or 0))
    planned = []
    for held, known, packed in worlds:
        values = _values(held, known, packed, sure=known is plan or plan.counted)
        if architecture is not None:
            values |= _of_architecture(values, held, known, architecture, memory)
        planned.append(values)
    first, last = planned
    values = {name: v if _same(v, last[name]) else None for name, v in first.items()}
    upper = padded_tokens(settings, plan)[1]
    at_most = frozenset(name for name in OF_TOKENS if upper and name in values)
    return Quantities(settings, values, at_most, memory, tuple(planned))


def _otherwise(value: object) -> object:
    """Another value in place of one that is only assumed."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return type(value)(3 * value) or type(value)(1)


def _rows_of_a_pack(settings: Settings) -> float:
    """Rows that fill one sequence, in the other of two worlds: the more the longer it is."""
    if not settings.get("packing"):
        return 1.0
    return 3.0 * int(settings["max_length"]) / 512


def lora_scale(settings: Settings) -> float:
    """What the adapters' output is multiplied by: alpha / r, with rsLoRA alpha / sqrt(r)."""
    rank = float(settings["lora.r"])
    return float(settings["lora.lora_alpha"]) / (
        math.sqrt(rank) if settings.get("lora.use_rslora") else rank
    )


def _values(
    settings: Settings, plan: DataFacts, packed: float, *, sure: bool
) -> dict[str, float | None]:
    rows = plan.train_rows(settings)
    sequences = max(1, round(rows / packed))
    batch = schedules.effective_batch(settings)
    limit, epochs = int(settings.get("max_steps", -1)), float(settings["num_train_epochs"])
    if settings.get("counting.by") == AXOLOTL:
        settings = _as_axolotl_counts(settings, sequences, sure=sure)
    steps = schedules.total_steps(settings, sequences)
    per_epoch = schedules.steps_per_epoch(settings, sequences)
    in_epochs = limit <= 0 and (settings.get("counting.by") or settings.get("packing"))
    passes = rows * epochs if in_epochs else rows * steps / per_epoch
    tokens, _ = padded_tokens(settings, plan)
    tokens = float(settings["max_length"]) / packed if settings.get("packing") else tokens
    return {
        "effective_batch": float(batch),
        "train_rows": float(rows),
        "steps_per_epoch": float(per_epoch),
        "steps": float(steps),
        "sample_passes": passes,
        "warmup": float(schedules.warmup_steps(settings, steps)),
        **_rates(settings, steps),
        **({} if is_full(settings) else {"lora.scale": lora_scale(settings)}),
        "real_tokens_per_row": real_tokens(settings, plan),
        "tokens_per_row": tokens,
        "tokens_per_step": tokens * batch * packed,
        "tokens_per_run": tokens * passes,
    }


def _as_axolotl_counts(settings: Settings, rows: int, *, sure: bool) -> Settings:
    """The settings with the steps and the warmup that axolotl hands on to Trainer.

    All epochs are divided into steps at once, rounded up; a share of warmup is one of at most
    these, rounded down, and its own default stops at 100 steps; of one step it makes two
    (utils/data/sft.py, core/builders/base.py in 0.19.0).
    """
    epochs, batch = float(settings["num_train_epochs"]), schedules.effective_batch(settings)
    planned = max(1, math.ceil(rows * epochs / batch))
    limit = int(settings.get("max_steps", -1))
    counted = min(planned, limit) if limit > 0 else planned
    if not sure:  # the epochs may have fewer steps than `max_steps`
        counted = max(1, counted // 2)
    warmup = float(settings.get("warmup_steps", 0.0))
    if (share := settings.get("counting.warmup_share")) is not None:
        warmup = float(int(share * counted))
        if sure and settings.get("counting.warmup_limit"):
            warmup = min(warmup, float(settings["counting.warmup_limit"]))
    warmup = 2.0 if warmup == 1 else warmup
    return {**settings, "max_steps": limit if limit > 0 else planned, "warmup_steps": warmup}


def _of_architecture(
    values: Mapping[str, float | None],
    settings: Settings,
    plan: DataFacts,
    architecture: Architecture,
    memory: tuple[MemoryPart, ...],
) -> dict[str, float | None]:
    trained = count_trainable(architecture, settings, plan.num_labels)
    on = {place: sum(p.bytes for p in memory if p.place == place) for place in (GPU, HOST)}
    per_token = flops_per_token(architecture, settings)
    return {
        "layers_adapted": float(len(adapted_layers(architecture, settings))),
        "layers_backward": float(backward_layers(architecture, settings)),
        "lora_parameters": float(trained.lora),
        "trainable_parameters": None if trained.total is None else float(trained.total),
        "layer_forwards_per_token": layer_forwards(architecture, settings),
        "flops_per_run": per_token * (values["tokens_per_run"] or 0.0),
        **{f"memory.{part.name}": float(part.bytes) for part in memory},
        "memory.gpu": float(on[GPU]),
        "memory.host": float(on[HOST]),
    }


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return math.isclose(one, other, rel_tol=TOLERANCE)


def ratio(reference: Quantities, arm: Quantities, name: str) -> Bounds:
    """Bounds of arm over reference in a quantity; equal where it is exact, None where open.

    (None, None) says that it cannot be told.
    """
    pairs = zip(reference.each(name), arm.each(name), strict=True)
    factors = [above / below if below and above is not None else None for below, above in pairs]
    if not _same(factors[0], factors[-1]):
        if name != "real_tokens_per_row":
            return None, None
        longer = int(arm.settings["max_length"]) / int(reference.settings["max_length"])
        return min(1.0, longer), max(1.0, longer)
    factor = factors[0]
    if name not in reference.at_most and name not in arm.at_most:
        return factor, factor
    above, below = arm.values["tokens_per_row"], reference.values["tokens_per_row"]
    if factor is None or not above or not below:
        return None, None
    of_longest = factor / (above / below)
    low, high = token_bounds(reference.settings, arm.settings)
    return (
        None if low is None else of_longest * low,
        None if high is None else of_longest * high,
    )
