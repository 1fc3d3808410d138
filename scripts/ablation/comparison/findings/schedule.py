"""Findings on the learning rate over the run and on weight decay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ablation.comparison.findings.finding import (
    INFO,
    SIDES,
    WARNING,
    Finding,
    Pair,
    pairwise_evidence,
)
from ablation.dialects.reader import DEFAULT
from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS
from ablation.settings.schedules import learning_rates

TYPE, KWARGS, WARMUP = "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"
SMALL_SHRINKAGE = 0.01
# Schedules of DeepSpeed whose lengths are numbers of steps, whatever the run's length.
IN_STEPS = ("OneCycle", "LRRangeTest")
DEEPSPEED_WARMUPS = ("WarmupLR", "WarmupDecayLR", "WarmupCosineLR")
TWIN_STEPS = 5_000


def absent_scheduler(pair: Pair) -> Iterator[Finding]:
    """No scheduler in the file is not a constant rate where Trainer runs it."""
    for side in SIDES:
        found = pair.setting(side, TYPE)
        if found is None or found.origin != DEFAULT:
            continue
        names = [TYPE, WARMUP]
        rates = pair.quantities[side].planned[-1]
        evidence = {"type": found.value, "library": found.key}
        if found.value == "constant":
            yield pair.find("scheduler_absent_constant", INFO, evidence, names, side)
            continue
        evidence |= {
            "peak": rates["learning_rate.peak"],
            "end": rates["learning_rate.last_over_peak"],
            "warmup": rates["warmup"] / rates["steps"],
        }
        yield pair.find("scheduler_absent", WARNING, evidence, names, side)


def shapes(pair: Pair) -> Iterator[Finding]:
    """Start, peak and end of both curves."""
    if not pair.differs(TYPE, KWARGS):
        return
    evidence: dict[str, Any] = pairwise_evidence("type", pair.both(TYPE))
    for side in SIDES:
        rates = pair.quantities[side].planned[-1]
        peak = rates["learning_rate.peak"]
        evidence |= {
            f"{side}_peak": pair.quantities[side].get("learning_rate.peak"),
            f"{side}_last": pair.quantities[side].get("learning_rate.last"),
            f"{side}_end": rates["learning_rate.last_over_peak"],
            f"{side}_mean": rates["learning_rate.mean"] / peak if peak else None,
        }
    yield pair.find("schedules_differ", INFO, evidence, [TYPE, KWARGS, "learning_rate"])


def idle_first_step(pair: Pair) -> Iterator[Finding]:
    """A warmup that starts at zero spends the first step on nothing."""
    idle = [side for side in SIDES if pair.quantities[side].get("learning_rate.first") == 0]
    if idle:
        second = pair.quantities[idle[-1]].get("learning_rate.first_above_zero")
        evidence = {"sides": idle, "last_side": idle[-1], "second": second}
        places = [p for side in idle for p in pair.places(TYPE, WARMUP, side=side)]
        yield pair.find("first_step_idle", INFO, evidence, [TYPE, WARMUP], places=places)


def summed_rate(pair: Pair) -> Iterator[Finding]:
    """The distance weights can travel is the sum of the rate over the run, not its peak."""
    total = pair.factor("learning_rate.sum")
    if total is None or (not pair.differs("learning_rate") and abs(total - 1) < 0.01):
        return
    evidence = {
        **pairwise_evidence("peak", pair.amounts("learning_rate.peak")),
        **pairwise_evidence("sum", pair.amounts("learning_rate.sum")),
        "peak_factor": pair.factor("learning_rate.peak"),
        "mean_factor": pair.factor("learning_rate.mean"),
        "steps_factor": pair.factor("steps"),
        "sum_factor": total,
    }
    names = ["learning_rate", TYPE, "num_train_epochs", "data.extract_ratio"]
    yield pair.find("learning_rate_sum", WARNING, evidence, names)


def summed_decay(pair: Pair) -> Iterator[Finding]:
    """What decay does over a run is the product over its steps, and often nothing."""
    if not pair.differs("weight_decay"):
        return
    coefficients = pair.both("weight_decay")
    shrinkages = pair.amounts("weight_decay.shrinkage")
    evidence = {
        **pairwise_evidence("coefficient", coefficients),
        **pairwise_evidence("shrinkage", shrinkages),
        **pairwise_evidence("sum", pair.amounts("weight_decay.sum")),
        "coefficient_factor": coefficients[1] / coefficients[0] if coefficients[0] else None,
        "sum_factor": pair.factor("weight_decay.sum"),
        "small": SMALL_SHRINKAGE,
    }
    names = ["weight_decay", "learning_rate", "num_train_epochs", "data.extract_ratio"]
    known = [value for value in shrinkages if value is not None]
    if len(known) < len(SIDES):
        yield pair.find("weight_decay_ratio", WARNING, evidence, names)
    elif max(known) < SMALL_SHRINKAGE:
        yield pair.find("weight_decay_too_small", WARNING, evidence, names)
    else:
        yield pair.find("weight_decay_total", WARNING, evidence, names)


def decayed_weights(pair: Pair) -> Iterator[Finding]:
    """Trainer spares biases and norms from decay; an optimizer that DeepSpeed makes does not."""
    name = "optim_implementation"
    if not pair.differs(name) or "deepspeed" not in pair.both(name):
        return
    saved = {m for side in SIDES for m in pair.value(side, "lora.modules_to_save") or ()}
    known = pair.architecture is not None and pair.architecture.known
    biased = not known or bool(pair.architecture.biased)
    trains_bias = biased and any(pair.value(side, "lora.bias") != "none" for side in SIDES)
    apart = trains_bias or any("norm" in module for module in saved)
    evidence = pairwise_evidence("implementation", pair.both(name))
    if apart:
        yield pair.find("decay_covers_biases", WARNING, evidence, [name, "lora.bias"])
    else:
        yield pair.find("decay_covers_the_same", INFO, evidence, [name, "lora.bias"])


def warmup_in_steps(pair: Pair) -> Iterator[Finding]:
    """The same share of a longer run is a longer warmup."""
    shares, steps = pair.both(WARMUP), pair.amounts("warmup")
    factor = pair.factor("warmup")
    if None in shares or factor is None:
        return
    evidence = {
        **pairwise_evidence("warmup", shares),
        **pairwise_evidence("steps", steps),
        "factor": factor,
    }
    units = {value < 1 for value in shares if value}
    if len(units) == 2:
        yield pair.find("warmup_units", WARNING, evidence, [WARMUP])
    elif shares[0] == shares[1] and 0 < shares[0] < 1 and abs(factor - 1) > 0.05:
        yield pair.find("warmup_share_same", INFO, evidence, [WARMUP])


def warmup_types(pair: Pair) -> Iterator[Finding]:
    """DeepSpeed warms up by the logarithm unless told otherwise; transformers linearly."""
    kinds = []
    for side in SIDES:
        kind = "linear"
        if pair.value(side, TYPE) in DEEPSPEED_WARMUPS:
            kind = (pair.value(side, KWARGS) or {}).get("warmup_type", "log")
        kinds.append(kind if pair.value(side, WARMUP) else None)
    if None not in kinds and kinds[0] != kinds[1]:
        evidence = pairwise_evidence("kind", tuple(kinds))
        yield pair.find("warmup_types", WARNING, evidence, [TYPE, KWARGS])


def fixed_length(pair: Pair) -> Iterator[Finding]:
    """A schedule whose length is a number of steps does not stretch with the run."""
    for side in SIDES:
        if pair.value(side, TYPE) in IN_STEPS:
            evidence = {"type": pair.value(side, TYPE), "steps": pair.quantities[side].get("steps")}
            yield pair.find("schedule_in_steps", WARNING, evidence, [TYPE, KWARGS], side)


def twin(pair: Pair) -> Iterator[Finding]:
    """How Trainer's arguments would say what a DeepSpeed schedule does, and how close that is."""
    for side in SIDES:
        settings = pair.quantities[side].settings
        found = twin_of(settings)
        if found is None or not pair.differs(TYPE):
            continue
        steps = min(TWIN_STEPS, int(pair.quantities[side].planned[-1]["steps"] or TWIN_STEPS))
        curves = [learning_rates(s, steps) for s in (settings, {**settings, **found})]
        away = float(np.max(np.abs(curves[0] - curves[1]))) / float(curves[0].max() or 1.0)
        evidence = {
            "type": settings[TYPE],
            "twin": found[TYPE],
            "kwargs": found[KWARGS],
            "deviation": away,
            "steps": steps,
        }
        yield pair.find("scheduler_twin", INFO, evidence, [TYPE, KWARGS], side)


def twin_of(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The nearest Hugging Face schedule of a DeepSpeed one; None where there is none."""
    kwargs = settings.get(KWARGS) or {}
    if settings[TYPE] not in DEEPSPEED_SCHEDULERS or "total_num_steps" in kwargs:
        return None
    if settings[TYPE] == "WarmupCosineLR":
        floor = float(kwargs.get("cos_min_ratio", 0.0001))
        return {TYPE: "cosine_with_min_lr", KWARGS: {"min_lr_rate": floor}}
    names = {"WarmupDecayLR": "linear", "WarmupLR": "constant_with_warmup"}
    name = names.get(settings[TYPE])
    return None if name is None else {TYPE: name, KWARGS: {}}


CHECKS = (
    summed_rate,
    absent_scheduler,
    shapes,
    summed_decay,
    decayed_weights,
    warmup_in_steps,
    warmup_types,
    fixed_length,
    idle_first_step,
    twin,
)
