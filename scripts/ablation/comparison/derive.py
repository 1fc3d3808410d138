"""What settings come to on a model, for a number of devices, and where a library fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ablation.comparison.versions import Versions, is_default_of
from ablation.dialects.defaults import (
    ALL_LINEAR,
    DEEPSPEED,
    DEEPSPEED_UNSAID,
    EARLIER,
    GUESS,
    PEFT,
    PEFT_TARGETS,
    SCRIPT,
)
from ablation.dialects.reader import DEFAULT, DERIVED, Value
from ablation.errors import UserError
from ablation.settings.architecture import Facts

Settings = dict[str, Value]
Refuse = Callable[[str, str, str, str], None]

_ZERO = "deepspeed.zero_optimization"
_BATCH = "deepspeed.train_batch_size"
_MICRO = "per_device_train_batch_size"
_STEPS = "gradient_accumulation_steps"
_DEFAULT_TARGETS = ("q_proj", "v_proj")  # peft's, for every model of Llama's kind


def derive(
    settings: Settings,
    automatic: Mapping[str, Value],
    architecture: Facts,
    world_size: int | None,
    refuse: Refuse,
) -> None:
    """Fill what depends on the model, the devices or other settings, in place.

    Args:
        settings: One side's settings, defaults included.
        automatic: Those of them that are written as `auto`.
        architecture: Facts of the model, as in its config.json.
        world_size: How many devices it trains on where the file does not say.
        refuse: Notes what a library refuses: key, setting, library and its reason.

    Raises:
        UserError: a layer that the model does not have.
    """
    _derive_layers(settings, architecture)
    _derive_targets(settings, architecture)
    _derive_model(settings, architecture)
    _derive_batch(settings, world_size, refuse)
    _derive_selection(settings)
    _derive_duration(settings)
    _derive_automatic(settings, automatic, architecture)


def _derive_layers(settings: Settings, architecture: Facts) -> None:
    """Layers counted from zero; all of the model's layers are no restriction."""
    layers = settings["lora.layers_to_transform"]
    count = architecture.get("num_hidden_layers")
    if layers.value is None or count is None:
        return
    count = int(count)
    for layer in layers.value:
        if not -count <= layer < count:
            raise UserError(
                f"'{layers.key}' names a layer that the model does not have",
                file=layers.file,
                line=layers.line,
                found=layer,
                allowed=f"0 to {count - 1}, or -{count} to -1 from the end: "
                f"the model has {count} layers",
            )
    resolved = sorted({layer % count for layer in layers.value})
    if len(resolved) == count:
        note = f"all {count} layers are named, as without the key"
        settings["lora.layers_to_transform"] = replace(layers, value=None, note=note)
    elif resolved != layers.value:
        note = f"counted from the end of {count} layers"
        settings["lora.layers_to_transform"] = replace(layers, value=resolved, note=note)


def _derive_targets(settings: Settings, architecture: Facts) -> None:
    """Module names in place of `all-linear`, and peft's own where the file names none."""
    kind = architecture.get("model_type")
    targets = settings.get("lora.target_modules")
    if targets is not None:
        if targets.value == "all-linear" and kind in ALL_LINEAR:
            note = f"all-linear on a {kind}"
            value = list(ALL_LINEAR[kind])
            settings["lora.target_modules"] = replace(targets, value=value, note=note)
        return
    if kind is not None and kind not in PEFT_TARGETS:
        raise UserError(
            f"no target modules are named, and peft has none for a {kind}",
            allowed="the names of modules that LoRA adapts",
            write="target_modules: [q_proj, v_proj]",
        )
    names = PEFT_TARGETS.get(str(kind), _DEFAULT_TARGETS)
    note = f"peft's own for a {kind or 'model of this kind'}"
    settings["lora.target_modules"] = Value(list(names), DERIVED, key=PEFT, note=note)


def _derive_model(settings: Settings, architecture: Facts) -> None:
    if "model.dtype" not in settings or settings["model.dtype"].value == "auto":
        dtype = architecture.get("dtype") or architecture.get("torch_dtype")
        key = "transformers.from_pretrained" if dtype else GUESS
        name = str(dtype or "float32").removeprefix("torch.")
        settings["model.dtype"] = Value(name, DERIVED, key=key, note="the model's own dtype")
    if "max_length" not in settings:
        limit = architecture.get("max_position_embeddings")
        key, note = "max_position_embeddings", "no limit is set: the model's own"
        if limit is None:
            key = GUESS
            note = "no limit is set, and model.architecture in study.yaml has no such fact: a guess"
        settings["max_length"] = Value(int(limit or 2048), DERIVED, key=key, note=note)


def _derive_batch(settings: Settings, world_size: int | None, refuse: Refuse) -> None:
    """Devices, micro-batch and accumulation, where DeepSpeed's global batch ties them together.

    A Trainer's own defaults count as written: it refuses a global batch that they do not give. A
    loop that drives DeepSpeed leaves to it what is not written.
    """
    total = settings.get(_BATCH)
    known = {name: settings[name] for name in (_MICRO, _STEPS) if not _is_open(settings[name])}
    counted = [total] if total is not None else []
    if not all(_is_count(value.value) for value in (*counted, *known.values())):
        total = None  # refused where it is read: nothing follows from it
    if "world_size" not in settings:
        settings["world_size"] = _devices(total, known, world_size)
    if total is None:
        return
    devices = settings["world_size"]
    share, rest = divmod(total.value, devices.value)
    for name in (_STEPS, _MICRO):  # DeepSpeed fills accumulation first
        if name in known:
            continue
        other = known.get(_MICRO if name == _STEPS else _STEPS)
        value = share // other.value if other else (1 if name == _STEPS else share)
        note = f"from train_batch_size {total.value} on {devices.value} devices"
        derived = Value(value, DERIVED, total.file, total.line, total.key, note)
        settings[name] = known[name] = derived
    micro, steps = settings[_MICRO], settings[_STEPS]
    if rest or micro.value * steps.value != share:
        product = micro.value * steps.value * devices.value
        reason = (
            f"train_batch_size {total.value} is not {micro.value} rows x {steps.value} steps x "
            f"{devices.value} devices = {product}"
        )
        refuse(str(total.key), _MICRO, DEEPSPEED, reason)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_open(value: Value) -> bool:
    return value.origin == DEFAULT and value.key in (DEEPSPEED, SCRIPT)


def _devices(total: Value | None, known: Mapping[str, Value], world_size: int | None) -> Value:
    """The devices that a global batch implies, else those the caller knows of, else one."""
    if total is not None and len(known) == 2:
        rows = known[_MICRO].value * known[_STEPS].value
        if total.value % rows == 0:
            note = f"{total.value} rows over {rows} of each device"
            return Value(total.value // rows, DERIVED, total.file, total.line, total.key, note)
    note = "not said in the file; the other side's, or the study's"
    return Value(world_size or 1, DERIVED, key="world_size", note=note)


def _derive_selection(settings: Settings) -> None:
    """The metric that chooses the best weights, as `TrainingArguments` completes it."""
    metric, best = settings["metric_for_best_model"], settings["load_best_model_at_end"]
    if best.value and metric.value is None:
        metric = Value("loss", DERIVED, best.file, best.line, best.key, "transformers' own choice")
    elif metric.value is not None and str(metric.value).startswith("eval_"):
        metric = replace(metric, value=metric.value.removeprefix("eval_"))
    settings["metric_for_best_model"] = metric
    if metric.value is not None and settings["greater_is_better"].value is None:
        settings["greater_is_better"] = Value(
            not metric.value.endswith("loss"),
            DERIVED,
            metric.file,
            metric.line,
            metric.key,
            "by the metric's name, as transformers decides it",
        )


def _derive_duration(settings: Settings) -> None:
    steps, epochs = settings["max_steps"], settings["num_train_epochs"]
    if steps.value == 0:
        settings["max_steps"] = replace(steps, value=-1, note="0 is no limit, as -1")
    if steps.value <= 0 and epochs.value <= 0:
        raise UserError(
            "num_train_epochs has a value it cannot have",
            file=epochs.file,
            line=epochs.line,
            found=epochs.value,
            allowed="a number above 0; beside max_steps it has no effect",
        )


def _derive_automatic(
    settings: Settings, automatic: Mapping[str, Value], architecture: Facts
) -> None:
    """The bucket sizes that transformers computes from the model where they are `auto`."""
    hidden = architecture.get("hidden_size")
    if hidden is None:
        return
    hidden = int(hidden)
    formulas = {
        "reduce_bucket_size": (hidden * hidden, "hidden_size squared"),
        "stage3_prefetch_bucket_size": (int(0.9 * hidden * hidden), "0.9 x hidden_size squared"),
        "stage3_param_persistence_threshold": (10 * hidden, "10 x hidden_size"),
    }
    for name, (value, note) in formulas.items():
        place = automatic.get(f"{_ZERO}.{name}")
        if place is not None:
            settings[f"{_ZERO}.{name}"] = replace(place, value=value, note=f"auto: {note}")


def fill_earlier(settings: Settings, versions: Versions) -> None:
    """Put in the defaults of the releases that a side ran with, in place of today's."""
    for one in EARLIER:
        version, value = versions.get(one.library), settings.get(one.setting)
        if version is None or value is None or not version.within(None, one.before):
            continue
        if is_default_of(value, one):
            note = f"the default of {one.library} {version.number}: changed in {one.before}"
            settings[one.setting] = replace(value, value=one.value, note=note)


def fill_unsaid(current: Settings, backup: Settings) -> tuple[Settings, Settings]:
    """Both sides with DeepSpeed's own values for keys that only the other side writes."""
    return _filled(current, backup), _filled(backup, current)


# Settings that stand only where they are off: LoRA itself, and the head beside its adapters.
_ON_UNLESS_SAID = {
    "lora.enable": "LoRA is on",
    "lora.trains_head": "the head is trained beside the adapters",
}


def _filled(side: Settings, other: Settings) -> Settings:
    said = {name: note for name, note in _ON_UNLESS_SAID.items() if name in other}
    on = {n: Value(True, DERIVED, key=PEFT, note=note) for n, note in said.items() if n not in side}
    side = {**side, **on}
    missing = {name for name in other if name in DEEPSPEED_UNSAID and name not in side}
    filled = {name: Value(_unsaid(name, side), DEFAULT, key=DEEPSPEED) for name in missing}
    return {**side, **filled}


def _unsaid(name: str, side: Settings) -> object:
    if name == f"{_ZERO}.overlap_comm":
        return side[f"{_ZERO}.stage"].value == 3
    return DEEPSPEED_UNSAID[name]
