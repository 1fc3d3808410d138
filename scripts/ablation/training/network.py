"""The model of a run: base weights, LoRA adapter, and initial values that pairs of arms share."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification
from transformers.integrations.deepspeed import (
    is_deepspeed_zero3_enabled,
    set_hf_deepspeed_config,
    unset_hf_deepspeed_config,
)

from ablation.data.request import Request
from ablation.errors import RunError
from ablation.frozen.padding_free import classify_padding_free, use_padding_free
from ablation.frozen.top import build_top
from ablation.settings.architecture import is_full
from ablation.settings.catalogue import PADDING_FREE
from ablation.settings.quantities import kernels_of
from ablation.training.intent import lora_arguments
from ablation.training.parameters import is_head, named


def build_network(config: Request, num_labels: int, boundary: int = 0) -> torch.nn.Module:
    """Classifier with its adapter, each new parameter drawn from its own generator.

    Without LoRA it is the classifier itself, all of it trained.

    Args:
        config: The contents of config.json.
        num_labels: Classes.
        boundary: Layers whose states come from a cache, and that aren't loaded; 0 loads all.
    """
    model, settings = config["model"], config["settings"]
    if boundary:
        dtype = getattr(torch, settings["model.dtype"])
        path = config["model_path"]
        base, missing = build_top(path, model["revision"], dtype, num_labels, boundary)
    else:
        base, missing = build_whole(config, num_labels)
    if PADDING_FREE in kernels_of(settings):
        (use_padding_free if boundary else classify_padding_free)(base)
    if is_full(settings):
        initialize(base, config["seed"], missing, False)
        return base
    # Beside half weights peft keeps adapters in float32, which only mixed precision can carry.
    mixed = bool(settings["bf16"] or settings["fp16"])
    adapter = LoraConfig(**lora_arguments(settings))
    network = get_peft_model(base, adapter, autocast_adapter_dtype=mixed)
    initialize(network, config["seed"], missing, settings["lora.init_lora_weights"])
    put_in_order(network.peft_config["default"])
    return network


def put_in_order(adapter: Any) -> None:
    """Let each process write an adapter's configuration alike: peft keeps its names in sets."""
    for name, value in list(vars(adapter).items()):
        if isinstance(value, set):
            setattr(adapter, name, sorted(value))


def base_of(network: Any) -> Any:
    """The transformers model of a network, with or without an adapter around it."""
    return network.get_base_model() if isinstance(network, PeftModel) else network


@contextlib.contextmanager
def whole_parameters(arguments: Any) -> Iterator[None]:
    """Context in which models are built whole, though ZeRO-3 will share them out.

    transformers would load them in parts, of which neither initial values nor the special
    initializations of peft could be computed as without ZeRO. DeepSpeed cuts them when it starts.
    """
    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        set_hf_deepspeed_config(arguments.hf_deepspeed_config)


def build_whole(config: Request, num_labels: int) -> tuple[Any, set[str]]:
    """Classifier with all layers, and the parameters that its file doesn't hold."""
    model, settings = config["model"], config["settings"]
    base, loading = AutoModelForSequenceClassification.from_pretrained(
        config["model_path"],
        revision=model["revision"],
        trust_remote_code=bool(model.get("allow_remote_code", False)),
        dtype=getattr(torch, settings["model.dtype"]),
        num_labels=num_labels,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        use_safetensors=None if model.get("allow_pickle") else True,
    )
    base.config.use_cache = False
    new = {*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])}
    if lost := [name for name in sorted(new) if not is_head(base, name)]:
        raise RunError(f"the model's files do not have these parameters: {named(lost)}")
    return base, new


def initialize(
    network: torch.nn.Module, seed: int, missing: set[str], init_lora_weights: bool | str
) -> None:
    """Draw the values of the new parameters again, each from its own generator.

    Arms that differ in rank or layers then share the head, `lora_A` of the layers they share, and
    the first rows of a larger `lora_A`. The distributions are the libraries' own. Parameters that
    came with the model (biases) keep their values, and so do the special initializations of peft,
    which depend on the weights. A head that stays frozen is drawn too.

    Args:
        network: The model with its adapter.
        seed: The run's seed.
        missing: Names of the base model's parameters that its file doesn't hold: the head.
        init_lora_weights: As in LoraConfig; only True and "gaussian" are drawn here.
    """
    spread = getattr(network.config, "initializer_range", 0.02)
    with torch.no_grad():
        for name, param in network.named_parameters():
            if ".lora_" in name:
                draw_lora(name, param, parameter_generator(seed, name), init_lora_weights)
            elif base_name(name) in missing:
                draw_head(name, param, parameter_generator(seed, head_key(name)), spread)


def parameter_generator(seed: int, name: str) -> torch.Generator:
    """Generator of one parameter, keyed on the seed and the parameter's name."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def base_name(name: str) -> str:
    """Name in the base model of a parameter that peft wrapped."""
    return name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")


def head_key(name: str) -> str:
    """Name of a head's parameter where peft trains it: the same key with an adapter and without."""
    module, _, last = base_name(name).rpartition(".")
    return f"base_model.model.{module}.modules_to_save.default.{last}"


def draw_lora(
    name: str, param: torch.nn.Parameter, generator: torch.Generator, init: bool | str
) -> None:
    """Fill a LoRA matrix row by row: A uniform as kaiming_uniform(a=sqrt(5)), B zero.

    An embedding's are the other way round: A zero, B normal.
    """
    if init not in (True, "gaussian") or "magnitude" in name:
        return
    if ".lora_B." in name or ".lora_embedding_A." in name:
        param.zero_()
    elif ".lora_embedding_B." in name:
        param.copy_(torch.empty(param.shape).normal_(generator=generator))
    elif ".lora_A." in name:
        bound = 1 / math.sqrt(param[0].numel())
        for row in param:
            values = torch.empty(row.shape)
            if init is True:
                values.uniform_(-bound, bound, generator=generator)
            else:
                values.normal_(0, 1 / len(param), generator=generator)
            row.copy_(values)


def draw_head(
    name: str, param: torch.nn.Parameter, generator: torch.Generator, spread: float
) -> None:
    """Fill the head: normal weights as transformers draws them, zero biases."""
    if name.endswith(".bias"):
        param.zero_()
    else:
        param.copy_(torch.empty(param.shape).normal_(0, spread, generator=generator))


def gathered(params: Iterable[torch.nn.Parameter]) -> contextlib.AbstractContextManager[object]:
    """Context in which ZeRO-3 holds the parameters whole on each rank; nothing elsewhere."""
    if not is_deepspeed_zero3_enabled():
        return contextlib.nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(list(params), modifier_rank=0)


def trainable_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the trainable parameters on the CPU, by name."""
    params = {n: p for n, p in network.named_parameters() if p.requires_grad}
    with gathered(params.values()), torch.no_grad():
        return {name: param.detach().cpu().clone() for name, param in params.items()}


def load_trainable_state(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put values from `trainable_state` back, for evaluation: the optimizer doesn't learn of it."""
    params = {n: p for n, p in network.named_parameters() if p.requires_grad}
    with gathered(params.values()), torch.no_grad():
        for name, param in params.items():
            param.copy_(state[name])


def skip_frozen_layers(network: torch.nn.Module) -> None:
    """Keep the backward pass out of the layers below the adapter.

    With checkpointing, transformers makes the embeddings' output require a gradient, so that all
    frozen layers would be recomputed and differentiated for nothing. Only the reentrant kind of
    checkpointing needs that; values are the same without.
    """
    base_of(network).disable_input_require_grads()
