"""Learning-rate curves of an arm, computed from its settings alone (no torch).

The arithmetic is that of `transformers/optimization.py` and `deepspeed/runtime/lr_schedules.py`;
the tests step the installed classes and compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ablation.errors import UserError
from ablation.settings.catalogue import Settings

Curve = Callable[[int], float]
Shape = Callable[[float], float]  # of a part of a rise or a fall, from 0 to 1


def effective_batch(settings: Settings) -> int:
    """Rows per optimizer step: micro-batch x accumulation x devices."""
    return (
        int(settings["per_device_train_batch_size"])
        * int(settings["gradient_accumulation_steps"])
        * int(settings["world_size"])
    )


def steps_per_epoch(settings: Settings, train_rows: int) -> int:
    """Optimizer steps in one epoch as `Trainer` counts them; at least 1.

    The micro-batches are dealt out to the devices and the last round is filled up
    (`accelerate` with `even_batches`), so each division rounds up, unless
    `dataloader_drop_last` cuts the unfinished micro-batch and the unfinished round.
    """
    micro = int(settings["per_device_train_batch_size"])
    world = int(settings["world_size"])
    if settings.get("dataloader_drop_last", False):
        batches = train_rows // micro // world
    else:
        batches = math.ceil(math.ceil(train_rows / micro) / world)
    return max(math.ceil(batches / int(settings["gradient_accumulation_steps"])), 1)


def total_steps(settings: Settings, train_rows: int) -> int:
    """Optimizer steps of the whole run as `Trainer` plans them; `max_steps` wins over epochs."""
    max_steps = int(settings.get("max_steps", -1))
    if max_steps > 0:
        return max_steps
    epochs = float(settings["num_train_epochs"])
    return math.ceil(epochs * steps_per_epoch(settings, train_rows))


def warmup_steps(settings: Settings, total: int) -> int:
    """Steps of warmup: a value below 1 is a share of all steps, rounded up."""
    value = float(settings.get("warmup_steps", 0))
    return int(value) if value >= 1 else math.ceil(total * value)


def is_known(settings: Settings) -> bool:
    """Whether the scheduler is one that can be computed ahead of training, from what is written."""
    if str(settings["lr_scheduler_type"]) not in {*_HF, *_DEEPSPEED}:
        return False
    try:
        rate = rate_of(settings, 100)
        return all(math.isfinite(rate(step)) for step in (0, 50, 99))
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return False  # an argument that is no number, or no word that the schedule knows


def learning_rates(settings: Settings, total: int) -> np.ndarray:
    """The learning rate used at each of `total` optimizer steps, first step first.

    Raises:
        UserError: the scheduler is none that can be computed ahead of training.
    """
    rate = rate_of(settings, total)
    return np.array([rate(step) for step in range(total)])


def rate_of(settings: Settings, total: int) -> Curve:
    """The learning rate of a run of `total` optimizer steps by step, counted from 0.

    Raises:
        UserError: the scheduler is none that can be computed ahead of training.
    """
    name = str(settings["lr_scheduler_type"])
    if name in _HF:
        factor = _HF[name](settings, total)
        base = float(settings["learning_rate"])
        return lambda step: base * factor(step)
    if name in _DEEPSPEED:
        # DeepSpeed steps its scheduler after the optimizer: step k runs at index k - 1, and the
        # first step at index -1, where each schedule has a value of its own.
        curve = _DEEPSPEED[name](settings, total)
        last = int(_kwargs(settings).get("last_batch_iteration", -1))
        if last == -1:
            return lambda step: curve(step - 1)
        base = float(settings["learning_rate"])  # one that continues sets nothing as it begins
        return lambda step: curve(last + step) if step else base
    raise UserError(
        "lr_scheduler_type has no schedule that is known before training",
        found=name,
        allowed=[*_HF, *_DEEPSPEED],
    )


def _kwargs(settings: Settings) -> dict[str, Any]:
    return dict(settings.get("lr_scheduler_kwargs") or {})


def _warmed(warmup: int, after: Curve) -> Curve:
    """A factor that rises linearly from 0 for `warmup` steps and then follows `after`."""
    return lambda step: step / max(1, warmup) if step < warmup else after(step)


def _constant(settings: Settings, total: int) -> Curve:
    return lambda step: 1.0


def _constant_with_warmup(settings: Settings, total: int) -> Curve:
    return _warmed(warmup_steps(settings, total), lambda step: 1.0)


def _linear(settings: Settings, total: int) -> Curve:
    warmup = warmup_steps(settings, total)
    span = max(1, total - warmup)
    return _warmed(warmup, lambda step: max(0.0, (total - step) / span))


def _cosine(settings: Settings, total: int) -> Curve:
    warmup = warmup_steps(settings, total)
    span = max(1, total - warmup)
    kwargs = _kwargs(settings)
    cycles = float(kwargs.get("num_cycles", 0.5))
    floor = 0.0
    if settings["lr_scheduler_type"] == "cosine_with_min_lr":
        floor = _floor_rate(kwargs, float(settings["learning_rate"]))

    def after(step: int) -> float:
        factor = 0.5 * (1.0 + math.cos(math.pi * cycles * 2.0 * (step - warmup) / span))
        return max(0.0, factor * (1 - floor) + floor)

    return _warmed(warmup, after)


def _floor_rate(kwargs: Mapping[str, Any], base: float) -> float:
    if kwargs.get("min_lr") is not None:
        return float(kwargs["min_lr"]) / base
    return float(kwargs.get("min_lr_rate") or 0.0)


def _cosine_with_restarts(settings: Settings, total: int) -> Curve:
    warmup = warmup_steps(settings, total)
    span = max(1, total - warmup)
    cycles = float(_kwargs(settings).get("num_cycles", 1))

    def after(step: int) -> float:
        progress = (step - warmup) / span
        if progress >= 1.0:
            return 0.0
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((cycles * progress) % 1.0))))

    return _warmed(warmup, after)


def _polynomial(settings: Settings, total: int) -> Curve:
    warmup = warmup_steps(settings, total)
    kwargs = _kwargs(settings)
    base = float(settings["learning_rate"])
    end = float(kwargs.get("lr_end", 1e-7))
    power = float(kwargs.get("power", 1.0))

    def after(step: int) -> float:
        if step > total:
            return end / base
        left = 1 - (step - warmup) / max(1, total - warmup)
        return ((base - end) * left**power + end) / base

    return _warmed(warmup, after)


def _inverse_sqrt(settings: Settings, total: int) -> Curve:
    warmup = warmup_steps(settings, total)
    timescale = _kwargs(settings).get("timescale") or warmup or 10_000
    return _warmed(warmup, lambda step: 1.0 / math.sqrt((step + timescale - warmup) / timescale))


def _warmup_stable_decay(settings: Settings, total: int) -> Curve:
    kwargs = _kwargs(settings)
    warmup = warmup_steps(settings, total)
    decay = int(kwargs.get("num_decay_steps", 0))
    stable = int(kwargs.get("num_stable_steps") or total - warmup - decay)
    floor = float(kwargs.get("min_lr_ratio", 0))
    cycles = float(kwargs.get("num_cycles", 0.5))
    rises: dict[str, Shape] = {
        "linear": lambda part: part,
        "cosine": lambda part: 0.5 * (1.0 - math.cos(math.pi * part)),
        "1-sqrt": lambda part: 1.0 - math.sqrt(1.0 - part),
    }
    falls: dict[str, Shape] = {
        "linear": lambda part: 1.0 - part,
        "cosine": lambda part: 0.5 * (1.0 + math.cos(math.pi * cycles * 2.0 * part)),
        "1-sqrt": lambda part: 1.0 - math.sqrt(part),
    }
    rise = rises[kwargs.get("warmup_type", "linear")]
    fall = falls[kwargs.get("decay_type", "cosine")]

    def factor(step: int) -> float:
        if step < warmup:
            return max(0.0, rise(step / max(1, warmup)) * (1.0 - floor) + floor)
        if step < warmup + stable:
            return 1.0
        if step < warmup + stable + decay:
            part = (step - warmup - stable) / max(1, decay)
            return max(0.0, fall(part) * (1.0 - floor) + floor)
        return floor

    return factor


def _ds_warmup(settings: Settings, total: int) -> tuple[int, Curve]:
    """DeepSpeed's number of warmup steps and the share of the rise reached at an index."""
    kwargs = _kwargs(settings)
    asked = kwargs.get("warmup_num_steps")
    steps = max(2, int(asked) if asked is not None else max(1, warmup_steps(settings, total)))
    if kwargs.get("warmup_type", "log") == "linear":
        return steps, lambda index: index / steps
    return steps, lambda index: math.log(index + 1) / math.log(steps)


def _ds_total(settings: Settings, total: int) -> int:
    asked = _kwargs(settings).get("total_num_steps")
    return int(asked) if asked is not None else total


def _warmup_lr(settings: Settings, total: int) -> Curve:
    """`WarmupLR`, and `WarmupDecayLR` which falls linearly to 0 after the same rise."""
    kwargs = _kwargs(settings)
    low = float(kwargs.get("warmup_min_lr", 0.0))
    base: Any = settings["learning_rate"]
    high = float(kwargs.get("warmup_max_lr", base))
    warmup, rise = _ds_warmup(settings, total)
    planned = _ds_total(settings, total)
    decays = settings["lr_scheduler_type"] == "WarmupDecayLR"

    def rate(index: int) -> float:
        if index < 0:
            return low
        if index < warmup:
            part = rise(index)
        elif decays:
            part = max(0.0, (planned - index) / max(1.0, planned - warmup))
        else:
            part = 1.0
        return low + (high - low) * part

    return rate


def _warmup_cosine_lr(settings: Settings, total: int) -> Curve:
    kwargs = _kwargs(settings)
    base = float(settings["learning_rate"])
    start = float(kwargs.get("warmup_min_ratio", 0.0))
    floor = float(kwargs.get("cos_min_ratio", 0.0001))
    warmup, rise = _ds_warmup(settings, total)
    span = max(1, _ds_total(settings, total) - warmup)

    def rate(index: int) -> float:
        if index < 0:
            return 0.0
        if index < warmup:
            return base * (start + rise(index) * (1.0 - start))
        progress = min(1.0, (index - warmup + 1) / span)
        return base * max(0.0, floor + (1.0 - floor) * (1 + math.cos(math.pi * progress)) / 2)

    return rate


def _one_cycle(settings: Settings, total: int) -> Curve:
    kwargs = _kwargs(settings)
    low = float(kwargs.get("cycle_min_lr", 0.0))
    base: Any = settings["learning_rate"]
    high = float(kwargs.get("cycle_max_lr", base))
    first = float(kwargs.get("cycle_first_step_size", 2000))
    second = kwargs.get("cycle_second_step_size")
    second = float(second) if second is not None else first
    first_stairs = int(kwargs.get("cycle_first_stair_count", 0))
    second_stairs = kwargs.get("cycle_second_stair_count")
    second_stairs = int(second_stairs) if second_stairs is not None else first_stairs
    decay_size = float(kwargs.get("decay_step_size", 0))
    decay_rate = float(kwargs.get("decay_lr_rate", 0.0))
    size = first + second

    def scale(position: float) -> float:
        rising = position <= first
        stairs = first_stairs if rising else second_stairs
        part = position / first if rising else (size - position) / second
        return math.floor(part * stairs) / stairs if stairs > 0 else part

    def rate(index: int) -> float:
        if index < 0:
            return low
        if index < size:
            return low + (high - low) * scale((index + 1) % size)
        if decay_size == 0 or decay_rate == 0:
            return low
        return low / (1 + decay_rate * (index - size + 1) / decay_size)

    return rate


def _lr_range_test(settings: Settings, total: int) -> Curve:
    kwargs = _kwargs(settings)
    low = float(kwargs.get("lr_range_test_min_lr", 1e-3))
    size = int(kwargs.get("lr_range_test_step_size", 2000))
    slope = float(kwargs.get("lr_range_test_step_rate", 1.0))
    stairs = bool(kwargs.get("lr_range_test_staircase", False))

    def rate(index: int) -> float:
        part = (index + 1) / size
        return low * (1 + slope * (math.floor(part) if stairs else part))

    return rate


_HF: dict[str, Callable[[Settings, int], Curve]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "polynomial": _polynomial,
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine,
    "warmup_stable_decay": _warmup_stable_decay,
}

_DEEPSPEED: dict[str, Callable[[Settings, int], Curve]] = {
    "WarmupLR": _warmup_lr,
    "WarmupDecayLR": _warmup_lr,
    "WarmupCosineLR": _warmup_cosine_lr,
    "OneCycle": _one_cycle,
    "LRRangeTest": _lr_range_test,
}
