"""Values that differ and do nothing: which, given the other settings of both sides."""

from __future__ import annotations

from collections.abc import Mapping

from ablation.dialects.blocks import HEADS
from ablation.dialects.reader import Value

Settings = Mapping[str, Value]

_ZERO = "deepspeed.zero_optimization"
_WITHOUT_WARMUP = ("constant", "OneCycle", "LRRangeTest")


def has_no_effect(name: str, current: Settings, backup: Settings) -> bool:
    """Whether a difference of this setting does nothing on either side.

    What switches it off must hold on both: in an arm between them, the one side's switch may meet
    the other side's value.
    """
    if name == "lora.modules_to_save" and name in current and name in backup:
        # Whether a head is trained is a setting of its own: `lora.trains_head`.
        return _trained_whole(current[name]) == _trained_whole(backup[name])
    return _is_off(name, current) and _is_off(name, backup)


def _is_off(name: str, side: Settings) -> bool:
    """Whether the side's other settings leave this one without effect."""

    def value(setting: str) -> object:
        return side[setting].value if setting in side else None

    if name == "num_train_epochs":
        steps = value("max_steps")
        return isinstance(steps, int) and steps > 0
    if name in ("metric_for_best_model", "greater_is_better"):
        return not value("load_best_model_at_end")
    if name.startswith("loss.class_weight_"):
        return not value("loss.use_class_weights")
    if name in ("adam_beta1", "adam_beta2", "adam_epsilon"):
        return value("optim") == "sgd"
    if name == "warmup_steps":
        return value("lr_scheduler_type") in _WITHOUT_WARMUP
    for block in ("offload_optimizer", "offload_param"):
        if name.startswith(f"{_ZERO}.{block}.") and not name.endswith(".device"):
            return value(f"{_ZERO}.{block}.device") == "none"
    if name.startswith(f"{_ZERO}.stage3_"):
        return value(f"{_ZERO}.stage") != 3
    if name.startswith(f"{_ZERO}.") and not name.endswith((".stage", ".device")):
        return value(f"{_ZERO}.stage") == 0
    for precision in ("fp16", "bf16"):
        if name.startswith(f"deepspeed.{precision}."):
            return not value(precision)
    return False


def _trained_whole(modules: Value) -> set[str]:
    return set(modules.value or ()) - HEADS
