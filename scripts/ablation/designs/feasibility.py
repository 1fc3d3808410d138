"""Which arms cannot run: combinations of settings that the libraries refuse or cannot carry out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ablation.settings.architecture import ALL_LINEAR, ATTENTION, KNOWN_FAMILIES, LINEAR
from ablation.words.catalogue import load_catalogue

Settings = Mapping[str, Any]

_ZERO = "deepspeed.zero_optimization"
# A side that trained a language model may name lm_head: a classifier has none, and peft skips it.
_MODULES = (*LINEAR, "embed_tokens", "score", "lm_head")


@dataclass(frozen=True)
class Reason:
    """Why something is left out.

    Attributes:
        id: Names its text: `plan.cannot.<id>` of the catalogue.
        numbers: What the text shows.
    """

    id: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def text(self, language: str = "en") -> str:
        """The reason in words."""
        return load_catalogue("plan", language)[f"cannot.{self.id}"].format(**self.numbers)


def cannot_run(
    settings: Settings, model: Mapping[str, Any], devices: int | None = None
) -> Reason | None:
    """Why an arm with these settings cannot run; None where nothing speaks against it.

    Args:
        settings: The arm's settings.
        model: Facts of its config.json, as study.yaml has them.
        devices: Devices that each run is told to use; None where the number adapts to the arm.
    """
    checks = (
        _precision(settings),
        _selection(settings),
        _layers(settings, int(model["num_hidden_layers"])),
        _modules(settings, model),
        _offload(settings, "optimizer", lowest_stage=1),
        _offload(settings, "param", lowest_stage=3),
        _batch(settings, devices),
    )
    return next((reason for reason in checks if reason is not None), None)


def _precision(settings: Settings) -> Reason | None:
    both = settings.get("fp16") and settings.get("bf16")
    return Reason("fp16_and_bf16") if both else None


def _selection(settings: Settings) -> Reason | None:
    if settings.get("load_best_model_at_end") and not settings.get("metric_for_best_model"):
        return Reason("best_without_metric")
    return None


def _layers(settings: Settings, layers: int) -> Reason | None:
    asked = settings.get("lora.layers_to_transform") or []
    beyond = [layer for layer in asked if not 0 <= layer < layers]
    if beyond:
        return Reason("layers_beyond_model", {"found": beyond, "layers": layers})
    return None


def _modules(settings: Settings, model: Mapping[str, Any]) -> Reason | None:
    """peft leaves out the names that a model hasn't, as long as it has one of them."""
    asked, family = settings.get("lora.target_modules"), model.get("model_type")
    if not asked or family not in KNOWN_FAMILIES:
        return None
    if isinstance(asked, str):
        unknown = [] if _matches(asked, int(model["num_hidden_layers"])) else [asked]
    else:
        unknown = [name for name in asked if name.rsplit(".", 1)[-1] not in _MODULES]
    if not unknown:
        return None
    numbers = {"found": ", ".join(unknown), "family": family, "known": ", ".join(LINEAR)}
    return Reason("modules_not_in_model", numbers)


def _matches(pattern: str, layers: int) -> bool:
    """Whether the whole path of a linear layer of the model matches, as peft asks of a text."""
    if pattern.lower() == ALL_LINEAR:
        return True
    blocks = {name: "self_attn" if name in ATTENTION else "mlp" for name in LINEAR}
    paths = (f"model.layers.{n}.{blocks[name]}.{name}" for n in range(layers) for name in LINEAR)
    try:
        return any(re.fullmatch(pattern, path) for path in paths)
    except re.error:
        return False


def _offload(settings: Settings, what: str, lowest_stage: int) -> Reason | None:
    """DeepSpeed moves optimizer states from ZeRO 1 on, weights and anything on NVMe with ZeRO 3."""
    device = settings.get(f"{_ZERO}.offload_{what}.device") or "none"
    if device == "none":
        return None
    stage = int(settings.get(f"{_ZERO}.stage") or 0)
    needed = 3 if device == "nvme" else lowest_stage
    numbers = {"what": f"offload_{what}", "device": device, "stage": stage, "needed": needed}
    if stage < needed:
        return Reason("offload_below_stage", numbers)
    if device == "nvme" and not settings.get(f"{_ZERO}.offload_{what}.nvme_path"):
        return Reason("nvme_without_path", numbers)
    return None


def _batch(settings: Settings, devices: int | None) -> Reason | None:
    micro, accumulation, source = (
        int(settings[name])
        for name in (
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "world_size",
        )
    )
    rows = micro * accumulation * source
    if devices is not None and rows % devices:
        return Reason("batch_not_divisible", {"rows": rows, "devices": devices})
    return None
