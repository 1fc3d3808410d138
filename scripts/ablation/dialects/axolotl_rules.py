"""What axolotl's schema refuses of several keys together (utils/schemas/validation.py, 0.19.0).

A rule fires where all of its keys have the values that it names. Those whose breach depends on more
than that are told in `ablation.dialects.axolotl`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ablation.dialects.reader import Reader

Get = Callable[[str], object]


@dataclass(frozen=True)
class Rule:
    """One refusal.

    Attributes:
        key: The key that is named.
        broken: Whether the file, by its keys' plain values, breaks the rule.
        reason: The schema's words.
    """

    key: str
    broken: Callable[[Get], object]
    reason: str


def _block(get: Get, key: str) -> Mapping[str, object]:
    found = get(key)
    return found if isinstance(found, dict) else {}


def _has_adapter(get: Get) -> bool:
    return get("adapter") in ("lora", "qlora")


def _has_kernels(get: Get) -> bool:
    return any(get(f"lora_{name}_kernel") for name in ("mlp", "qkv", "o"))


_8BIT_OF_BNB = ("adamw_8bit", "adamw_bnb_8bit")
RULES = (
    Rule(
        "eval_table_size",
        lambda get: (
            get("sample_packing")
            and get("eval_table_size")
            and get("eval_sample_packing") is not False
        ),
        "eval_table_size and eval_sample_packing are not supported together with sample_packing",
    ),
    Rule(
        "batch_size",
        lambda get: (
            get("batch_size")
            and not get("micro_batch_size")
            and not get("gradient_accumulation_steps")
        ),
        "at least two of micro_batch_size, gradient_accumulation_steps, batch_size must be set",
    ),
    Rule(
        "eval_strategy",
        lambda get: (
            get("evals_per_epoch") and get("eval_strategy") and get("eval_strategy") != "steps"
        ),
        "eval_strategy must be empty or set to `steps` when used with evals_per_epoch",
    ),
    Rule(
        "do_bench_eval",
        lambda get: get("do_bench_eval") and not get("evals_per_epoch") and not get("eval_steps"),
        "do_bench_eval requires evals_per_epoch or eval_steps to be set",
    ),
    Rule(
        "gradient_checkpointing_kwargs",
        lambda get: (
            get("unfrozen_parameters")
            and _block(get, "gradient_checkpointing_kwargs").get("use_reentrant") is True
        ),
        "`use_reentrant` must be false when used with partially frozen model",
    ),
    Rule(
        "noisy_embedding_alpha",
        lambda get: get("noisy_embedding_alpha") and get("neftune_noise_alpha"),
        "noisy_embedding_alpha is deprecated, use neftune_noise_alpha; both are set",
    ),
    Rule(
        "loraplus_lr_ratio",
        lambda get: get("lr_groups") and get("loraplus_lr_ratio"),
        "lr_groups and loraplus_lr_ratio cannot be used together",
    ),
    Rule(
        "unfrozen_parameters",
        lambda get: (
            get("adapter") and get("peft_layers_to_transform") and get("unfrozen_parameters")
        ),
        "`unfrozen_parameters` used with `peft_layers_to_transform` can have unexpected behavior",
    ),
    Rule(
        "peft_layers_pattern",
        lambda get: get("peft_layers_pattern") and not get("peft_layers_to_transform"),
        "peft_layers_pattern requires peft_layers_to_transform to be set",
    ),
    Rule(
        "flash_attn_fuse_mlp",
        lambda get: _has_adapter(get) and get("flash_attn_fuse_mlp"),
        "fused modules are not supported with LoRA/QLoRA",
    ),
    Rule(
        "use_onebitllms",
        lambda get: _has_adapter(get) and get("use_onebitllms"),
        "LoRA/QLoRA is not supported with use_onebitllms",
    ),
    Rule(
        "load_in_8bit",
        lambda get: _has_kernels(get) and get("adapter") == "lora" and get("load_in_8bit"),
        "lora_mlp_kernel, lora_qkv_kernel, and lora_o_kernel are not compatible with 8-bit LoRA",
    ),
    Rule(
        "trust_remote_code",
        lambda get: _has_kernels(get) and get("trust_remote_code"),
        "lora_mlp_kernel, lora_qkv_kernel, and lora_o_kernel are not compatible with "
        "trust_remote_code",
    ),
    Rule(
        "sample_packing",
        lambda get: get("rl") == "kto" and get("sample_packing"),
        "sample_packing is not supported with kto",
    ),
    Rule(
        "rl",
        lambda get: get("rl") == "kto" and get("remove_unused_columns") is not False,
        "set `remove_unused_columns: false` when using kto",
    ),
    Rule(
        "optimizer",
        lambda get: get("optimizer") == "muon" and get("deepspeed"),
        "Muon optimizer is currently incompatible with DeepSpeed",
    ),
    Rule(
        "optimizer",
        lambda get: get("optimizer") == "polora" and not _has_adapter(get),
        "polora only updates LoRA (A, B) factors and requires adapter: lora or qlora",
    ),
    Rule(
        "optimizer",
        lambda get: (
            get("optimizer") in _8BIT_OF_BNB
            and get("fsdp_config")
            and str(get("fsdp_version") or _block(get, "fsdp_config").get("fsdp_version")) == "2"
        ),
        "FSDP2 is not compatible with this optimizer, use `adamw_torch_8bit` instead",
    ),
    Rule(
        "tokens",
        lambda get: get("tokens") is not None and not isinstance(get("tokens"), list),
        "tokens: input should be a valid list; special tokens stand in special_tokens",
    ),
)


def refuse_together(reader: Reader, library: str) -> None:
    """Note each rule that the file breaks."""

    def get(key: str) -> object:
        entry = reader.root.at(key)
        return None if entry is None else entry.plain()

    for rule in RULES:
        if rule.broken(get):
            reader.refuse(rule.key, None, library, rule.reason)
