"""Which arguments a scheduler takes, which it needs, and what they may be (no torch).

As `transformers/optimization.py` and `deepspeed/runtime/lr_schedules.py` have them; the tests
compare with the installed functions.
"""

from __future__ import annotations

from collections.abc import Mapping

_COSINE_FLOOR = ("num_cycles", "min_lr", "min_lr_rate")
# `lr_scheduler_kwargs` of each of transformers' schedulers that can be computed before training.
TAKES: dict[str, tuple[str, ...]] = {
    "linear": (),
    "cosine": ("num_cycles",),
    "cosine_with_restarts": ("num_cycles",),
    "polynomial": ("lr_end", "power"),
    "constant": (),
    "constant_with_warmup": (),
    "inverse_sqrt": ("timescale",),
    "cosine_with_min_lr": _COSINE_FLOOR,
    "warmup_stable_decay": (
        "num_decay_steps",
        "num_stable_steps",
        "warmup_type",
        "decay_type",
        "min_lr_ratio",
        "num_cycles",
    ),
}
# Of each group one, and one only.
NEEDS_ONE: dict[str, tuple[str, ...]] = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
    "OneCycle": ("cycle_min_lr",),
}
_NEEDS_TOO = {"OneCycle": ("cycle_max_lr",)}
_SHAPES = ("linear", "cosine", "1-sqrt")


def unknown_arguments(name: str, given: Mapping[str, object]) -> list[str]:
    """Arguments that one of transformers' schedulers does not take."""
    return [key for key in given if name in TAKES and key not in TAKES[name]]


def missing_arguments(name: str, given: Mapping[str, object]) -> tuple[str, ...]:
    """Arguments of which a scheduler needs one and has none; empty where nothing is missing."""
    found = {key for key, value in given.items() if value is not None}
    groups = [group for group in (NEEDS_ONE.get(name, ()), _NEEDS_TOO.get(name, ())) if group]
    return next((group for group in groups if not found & set(group)), ())


def excess_arguments(name: str, given: Mapping[str, object]) -> tuple[str, ...]:
    """Arguments that exclude each other."""
    group = [key for key in NEEDS_ONE.get(name, ()) if given.get(key) is not None]
    return tuple(group) if len(group) > 1 else ()


def impossible_argument(name: str, given: Mapping[str, object], rate: float) -> str | None:
    """The argument whose value the scheduler refuses; None where all are possible.

    Args:
        name: The scheduler.
        given: Its arguments.
        rate: The learning rate.
    """
    for key, value in given.items():
        if key in ("warmup_type", "decay_type"):
            if name in TAKES and value not in _SHAPES:
                return key
        elif value is not None and not isinstance(value, int | float):
            return key
    end = given.get("lr_end", 1e-7)
    above = name == "polynomial" and isinstance(end, int | float) and not end < rate
    return "lr_end" if above else None
