"""Which arms cannot run: combinations of settings that the libraries refuse or cannot carry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ablation.messages import load_catalogue

Settings = Mapping[str, Any]

_ZERO = "deepspeed.zero_optimization"


@dataclass(frozen=True)
class Reason:
    """Why something is left out.

    Attributes:
        id: Names its text: `cannot.<id>` in plan.<language>.yaml.
        numbers: What the text shows.
    """

    id: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def text(self, language: str = "en") -> str:
        """The reason in words."""
        return load_catalogue(f"plan.{language}")[f"cannot.{self.id}"].format(**self.numbers)


def cannot_run(settings: Settings, layers: int, devices: int | None = None) -> Reason | None:
    """Why an arm with these settings cannot run; None where nothing speaks against it.

    Args:
        settings: The arm's settings.
        layers: Decoder layers of the model.
        devices: Devices that each run is told to use; None where the number adapts to the arm.
    """
    checks = (
        _precision(settings),
        _selection(settings),
        _layers(settings, layers),
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
