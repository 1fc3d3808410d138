"""Which arms cannot run: settings that the libraries refuse or that no run here can carry out.

Everything that would end a run after its data and model are prepared is said here, from the arm's
settings and the facts of the model alone. `tests/soak/settings_matrix.py` holds it against real
runs: what is not refused here trains as it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ablation.settings.adapted import find_adapted
from ablation.settings.architecture import (
    ABSENT,
    KNOWN_FAMILIES,
    LINEAR,
    Facts,
    is_full,
    is_rotary,
    places_of,
)
from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS, HF_SCHEDULERS, KERNELS, Settings
from ablation.settings.quantities import kernels_of
from ablation.settings.schedule_arguments import (
    excess_arguments,
    impossible_argument,
    missing_arguments,
    unknown_arguments,
)
from ablation.words.catalogue import Messages, load_catalogue

_ZERO = "deepspeed.zero_optimization"
_QUANTIZED = tuple(
    f"{_ZERO}.zero_quantized_{what}" for what in ("weights", "nontrainable_weights", "gradients")
)
# Metrics that every evaluation measures, each with the prefix eval_.
MEASURED = ("loss", "accuracy", "macro_f1", "weighted_f1")
# Optimizers that run, and who may build each of them.
OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "adamw": ("torch", "torch_fused", "deepspeed"),
    "adam": ("torch", "deepspeed"),
    "sgd": ("torch", "deepspeed"),
    "adagrad": ("torch",),
    "adafactor": ("torch",),
}


@dataclass(frozen=True)
class Reason:
    """Why something is left out.

    Attributes:
        id: Names its text: `cannot.<id>` of the catalogue's section `plan`.
        numbers: What the text shows.
        settings: The settings that it lies in, the first one first.
    """

    id: str
    numbers: Mapping[str, object] = field(default_factory=dict)
    settings: tuple[str, ...] = ()

    def text(self, language: str = "en") -> str:
        """The reason in words."""
        t = Messages(language, load_catalogue("plan", language))
        return t(f"cannot.{self.id}", **self.numbers)


def cannot_run(settings: Settings, model: Facts, devices: int | None = None) -> Reason | None:
    """Why an arm with these settings cannot run; None where nothing speaks against it.

    Args:
        settings: The arm's settings.
        model: Facts of its config.json, as study.yaml has them.
        devices: Devices that each run is told to use; None where the number adapts to the arm.
    """
    checks = (*_CHECKS, *(_FULL_CHECKS if is_full(settings) else _ADAPTER_CHECKS))
    found = (reason for check in checks for reason in check(settings, model))
    return next(found, None) or _batch(settings, devices)


def cautions(settings: Settings, model: Facts) -> Iterator[Reason]:
    """What an arm runs with although it is likely to be a mistake."""
    numbers = _beyond_places(settings, model)
    if numbers and settings["padding"] != "max_length" and is_rotary(model):
        yield Reason("rotated_beyond_places", numbers, ("max_length",))


def needs_gpu(settings: Settings) -> Reason | None:
    """Why an arm cannot run on the CPU; None where it can."""
    if settings.get("fp16"):
        return Reason("fp16_on_cpu", {}, ("fp16",))
    if settings.get("model.dtype") == "float16" and not settings.get("bf16"):
        return Reason("float16_on_cpu", {}, ("model.dtype",))
    quantized = [name for name in _QUANTIZED if settings.get(name)]
    if quantized:
        return Reason("quantized_on_cpu", {"found": ", ".join(quantized)}, tuple(quantized))
    return None


def _precision(settings: Settings, model: Facts) -> Iterator[Reason]:
    if settings.get("fp16") and settings.get("bf16"):
        yield Reason("fp16_and_bf16", {}, ("fp16", "bf16"))
    if settings.get(f"{_ZERO}.legacy_stage1"):
        yield Reason("legacy_stage1", {}, (f"{_ZERO}.legacy_stage1",))


def _kernels(settings: Settings, model: Facts) -> Iterator[Reason]:
    kernels = ", ".join(kernels_of(settings))
    if kernels and model.get("model_type") not in KNOWN_FAMILIES:
        family, known = model.get("model_type"), ", ".join(KNOWN_FAMILIES)
        numbers = {"found": kernels, "family": family, "known": known}
        yield Reason("kernels_unknown", numbers, (KERNELS,))
    elif kernels and model.get("attention_dropout"):
        yield Reason("kernels_dropout", {"found": kernels}, (KERNELS,))


def _selection(settings: Settings, model: Facts) -> Iterator[Reason]:
    if not settings.get("load_best_model_at_end"):
        return
    metric = settings.get("metric_for_best_model")
    if not metric:
        yield Reason("best_without_metric", {}, ("load_best_model_at_end",))
    elif str(metric).removeprefix("eval_") not in MEASURED:
        numbers = {"found": metric, "measured": ", ".join(MEASURED)}
        yield Reason("metric_not_measured", numbers, ("metric_for_best_model",))


def _duration(settings: Settings, model: Facts) -> Iterator[Reason]:
    epochs, steps = float(settings["num_train_epochs"]), int(settings.get("max_steps", -1))
    if epochs <= 0 and steps <= 0:
        yield Reason("no_steps", {"epochs": f"{epochs:g}"}, ("num_train_epochs", "max_steps"))


def _optimizer(settings: Settings, model: Facts) -> Iterator[Reason]:
    name, built_by = settings["optim"], settings["optim_implementation"]
    if name not in OPTIMIZERS:
        numbers = {"found": name, "known": ", ".join(OPTIMIZERS)}
        yield Reason("optimizer_unknown", numbers, ("optim",))
    elif built_by not in OPTIMIZERS[name]:
        numbers = {"found": name, "by": built_by, "known": ", ".join(OPTIMIZERS[name])}
        yield Reason("optimizer_not_built_so", numbers, ("optim", "optim_implementation"))
    for beta in ("adam_beta1", "adam_beta2"):
        if name in ("adamw", "adam") and float(settings[beta]) >= 1:
            yield Reason("beta_of_one", {"found": beta}, (beta,))


def _schedule(settings: Settings, model: Facts) -> Iterator[Reason]:
    name, given = settings["lr_scheduler_type"], settings.get("lr_scheduler_kwargs") or {}
    rate, kwargs = float(settings["learning_rate"]), ("lr_scheduler_kwargs", "lr_scheduler_type")
    if name not in HF_SCHEDULERS + DEEPSPEED_SCHEDULERS:
        known = ", ".join(HF_SCHEDULERS + DEEPSPEED_SCHEDULERS)
        yield Reason("schedule_unknown", {"found": name, "known": known}, ("lr_scheduler_type",))
    for found, reason in (
        (unknown_arguments(name, given), "schedule_argument_unknown"),
        (missing_arguments(name, given), "schedule_argument_missing"),
        (excess_arguments(name, given), "schedule_argument_twice"),
    ):
        if found:
            yield Reason(reason, {"found": ", ".join(found), "schedule": name}, kwargs)
    wrong = impossible_argument(name, given, rate)
    if wrong:
        numbers = {"found": f"{wrong}: {given.get(wrong)}", "schedule": name}
        yield Reason("schedule_argument_impossible", numbers, (*kwargs, "learning_rate"))


def _texts(settings: Settings, model: Facts) -> Iterator[Reason]:
    numbers = _beyond_places(settings, model)
    if numbers and settings["padding"] == "max_length":
        yield Reason("padded_beyond_places", numbers, ("max_length", "padding"))
    elif numbers and not is_rotary(model):
        yield Reason("longer_than_places", numbers, ("max_length",))


def _beyond_places(settings: Settings, model: Facts) -> Mapping[str, object]:
    """The longest text and the model's positions, where the one goes beyond the other."""
    places, length = places_of(model), int(settings["max_length"])
    return {"length": length, "places": places} if places and length > places else {}


def _offload(settings: Settings, model: Facts) -> Iterator[Reason]:
    """DeepSpeed moves optimizer states from ZeRO 1 on, weights and anything on NVMe with ZeRO 3."""
    for what, lowest in (("optimizer", 1), ("param", 3)):
        name = f"{_ZERO}.offload_{what}"
        device, stage = settings.get(f"{name}.device") or "none", settings.get(f"{_ZERO}.stage")
        if device == "none":
            continue
        needed = 3 if device == "nvme" else lowest
        numbers = {"what": f"offload_{what}", "device": device}
        if int(stage or 0) < needed:
            numbers |= {"stage": int(stage or 0), "needed": needed}
            yield Reason("offload_below_stage", numbers, (f"{name}.device", f"{_ZERO}.stage"))
        elif device == "nvme" and not settings.get(f"{name}.nvme_path"):
            yield Reason("nvme_without_path", numbers, (f"{name}.device",))


def _shape(settings: Settings, model: Facts) -> Iterator[Reason]:
    needed = ("lora.r", "lora.lora_alpha", "lora.target_modules")
    missing = tuple(name for name in needed if settings.get(name, "") is None)
    if missing:
        found = ("lora.enable", *missing)
        yield Reason("adapter_without_shape", {"found": ", ".join(missing)}, found)


def _layers(settings: Settings, model: Facts) -> Iterator[Reason]:
    name, layers = "lora.layers_to_transform", int(model["num_hidden_layers"])
    targets = settings.get("lora.target_modules")
    if settings.get(name) and isinstance(targets, str):
        yield Reason("layers_beside_pattern", {"found": targets}, (name, "lora.target_modules"))
    beyond = [layer for layer in settings.get(name) or [] if not 0 <= layer < layers]
    if beyond:
        yield Reason("layers_beyond_model", {"found": beyond, "layers": layers}, (name,))


def _modules(settings: Settings, model: Facts) -> Iterator[Reason]:
    """peft leaves out the names that a model has not, as long as it has one of them."""
    name = "lora.target_modules"
    adapted = find_adapted(settings, model)
    if adapted is None:
        return
    numbers = {"family": model["model_type"], "known": ", ".join(LINEAR)}
    unmatched = [one for one in adapted.unmatched if one not in ABSENT]
    if unmatched:
        yield Reason("modules_not_in_model", {"found": ", ".join(unmatched), **numbers}, (name,))
    if adapted.unsupported:
        found = ", ".join(dict.fromkeys(p.rsplit(".", 1)[-1] for p in adapted.unsupported))
        yield Reason("modules_not_linear", {"found": found, **numbers}, (name,))
    if not adapted.modules:
        targets = settings[name]
        found = targets if isinstance(targets, str) else ", ".join(targets)
        yield Reason("modules_not_in_model", {"found": found, **numbers}, (name,))


def _saved(settings: Settings, model: Facts) -> Iterator[Reason]:
    adapted = find_adapted(settings, model)
    unsaved = [one for one in adapted.unsaved if one not in ABSENT] if adapted else []
    if unsaved:
        numbers = {"found": ", ".join(unsaved), "family": model["model_type"]}
        yield Reason("saved_not_in_model", numbers, ("lora.modules_to_save",))


def _batch(settings: Settings, devices: int | None) -> Reason | None:
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "world_size")
    micro, accumulation, source = (int(settings[name]) for name in names)
    rows = micro * accumulation * source
    if devices is not None and rows % devices:
        return Reason("batch_not_divisible", {"rows": rows, "devices": devices}, names)
    return None


_Check = Callable[[Settings, Facts], Iterator[Reason]]
_CHECKS: tuple[_Check, ...] = (
    _precision,
    _kernels,
    _selection,
    _duration,
    _optimizer,
    _schedule,
    _texts,
    _offload,
)
_ADAPTER_CHECKS: tuple[_Check, ...] = (_shape, _layers, _modules, _saved)
_FULL_CHECKS: tuple[_Check, ...] = ()
