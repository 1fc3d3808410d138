"""LLaMA-Factory: Trainer arguments beside its own model, data and LoRA arguments.

Its own: alpha is twice the rank where it is not written; LoRA adapts all linear modules;
checkpointing is on, and `disable_gradient_checkpointing` turns it off; the base weights are loaded
in the precision of training; pre-training (`stage: pt`) packs by itself. It stops at a key that it
does not know. Read in llamafactory 0.9.5.
"""

from __future__ import annotations

from ablation.dialects import defaults, vocabulary
from ablation.dialects.blocks import (
    check_best_model,
    read_lora_keys,
    read_model,
    read_trainer,
)
from ablation.dialects.keys import (
    Key,
    Keys,
    Settings,
    Warmup,
    by_setting,
    deepspeed_keys,
    take_keys,
    trainer_keys,
    under,
)
from ablation.dialects.reader import Reader
from ablation.documents.scalars import is_number
from ablation.settings.catalogue import words

NAME = "llama_factory"
LIBRARY = vocabulary.library_of(NAME)
REFUSES_STRANGERS = True
REFUSES_REPEATED = ("OmegaConf", "found duplicate key {key}")
# Its generating keys (temperature, max_new_tokens, ...) stand in anybody's files.
MARKS = words("stage finetuning_type template dataset cutoff_len lora_target lora_rank dataset_dir")
DEFAULTS = (
    (defaults.LLAMA_FACTORY, defaults.LLAMA_FACTORY_DEFAULTS),
    *defaults.WITH_TRAINER,
)

_LORA = {
    "lora_rank": "lora.r",
    "lora_alpha": "lora.lora_alpha",
    "lora_dropout": "lora.lora_dropout",
    "use_rslora": "lora.use_rslora",
    "use_dora": "lora.use_dora",
    "pissa_init": "lora.pissa_init",
}
NO_EFFECT = {
    "says what is logged and watched": words(
        "plot_loss print_param_status include_effective_tokens_per_second use_swanlab "
        "swanlab_api_key swanlab_lark_secret swanlab_lark_webhook_url swanlab_logdir swanlab_mode "
        "swanlab_project swanlab_run_name swanlab_workspace compute_accuracy "
        "enable_torch_profiler profile_modules profiler_active_steps profiler_output_dir "
        "profiler_profile_memory profiler_record_shapes profiler_repeat profiler_wait_steps "
        "profiler_warmup_steps profiler_with_stack"
    ),
    "says how rows are prepared, not which": words(
        "overwrite_cache cache_dir preprocessing_num_workers preprocessing_batch_size "
        "data_shared_file_system"
    ),
    "only for generating and exporting": words(
        "do_sample temperature top_p top_k num_beams max_length max_new_tokens repetition_penalty "
        "length_penalty skip_special_tokens predict_with_generate generation_max_length "
        "generation_num_beams generation_config eval_num_beams infer_backend infer_dtype "
        "vllm_maxlen vllm_gpu_util vllm_enforce_eager vllm_max_lora_rank vllm_config "
        "sglang_maxlen sglang_mem_fraction sglang_tp_size sglang_config sglang_lora_backend "
        "use_kv_cache export_dir export_size export_device export_quantization_bit "
        "export_quantization_dataset export_quantization_nsamples export_quantization_maxlen "
        "export_legacy_format export_hub_model_id pissa_convert default_system"
    ),
    "says where a run takes place": words(
        "low_cpu_mem_usage offload_folder ray_num_workers ray_init_kwargs master_addr master_port "
        "ray_run_name ray_storage_path placement_strategy resources_per_worker "
        "hf_hub_token ms_hub_token om_hub_token overwrite_output_dir use_fast_tokenizer"
    ),
}
_READ_HERE = words("stage finetuning_type packing neat_packing flash_attn early_stopping_steps")
# Names that older releases used: what they are called now.
_OLD = {
    "evaluation_strategy": "eval_strategy",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "max_source_length": "cutoff_len",
    "use_flash_attention_2": "flash_attn",
    "flash_attn_2": "flash_attn",
    "sft_packing": "packing",
    "dataset_format": "template",
    "upcast_layernorm_output": "upcast_layernorm",
    "shift_attention": "shift_attn",
}


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    _read_kind(reader)
    read_trainer(reader, "", skip=_READ_HERE)
    check_best_model(reader)
    read_model(reader)
    if reader.raw("finetuning_type") in (None, "lora"):
        _read_lora(reader)
    else:
        reason = "finetuning_type is not lora: no adapter is trained"
        reader.idle({reason: (*_LORA, *(one.key for one in _TARGETS))})
    take_keys(reader, _OWN)
    _read_checkpointing(reader)
    _read_precision(reader)
    _read_data(reader)
    reader.untrained("quantization_bit")
    reader.untrained("flash_attn", "attn_implementation", _attention)
    reader.untrained("early_stopping_steps", "early_stopping_patience")
    _refuse(reader)
    for key, name in _OLD.items():
        if reader.root.at(key) is not None:
            reason = f"it has no such key any more: it is {name} now"
            reader.refuse(key, None, LIBRARY, reason, write=f"{name}: …")


def _read_kind(reader: Reader) -> None:
    """What is trained, and to what end."""
    method = reader.raw("finetuning_type")
    if method in ("full", "freeze"):
        note = "the model's own weights are trained"
        reader.derive("lora.enable", False, "finetuning_type", note)
    reader.untrained("finetuning_type", "training.method")
    if reader.raw("stage") == "dpo" and reader.raw("pref_loss") in ("orpo", "simpo", "ipo"):
        reader.derive("training.objective", reader.raw("pref_loss"), "pref_loss", "its loss")
    else:
        reader.untrained("stage", "training.objective")
    reader.derive("training.objective", "sft", LIBRARY, "`stage` is not written")


def _read_lora(reader: Reader) -> None:
    read_lora_keys(reader, _LORA)
    take_keys(reader, _TARGETS)
    rank = reader.first("lora.r")
    known = rank.value if rank and not rank.unreadable else defaults.LORA_RANK
    note = "lora_alpha is not written: twice the rank"
    reader.derive("lora.lora_alpha", 2.0 * known, "lora_rank", note)


def _refuse(reader: Reader) -> None:
    """What LLaMA-Factory's own parser stops at (hparams/)."""
    method = reader.raw("finetuning_type") or "lora"
    stage = reader.raw("stage") or "sft"
    if not reader.raw("model_name_or_path"):
        reason = "please provide `model_name_or_path`"
        reader.refuse("model_name_or_path", "model.name_or_path", LIBRARY, reason)
    asked = {key: bool(reader.raw(key)) for key in ("use_galore", "use_apollo", "use_badam")}
    if method not in ("lora", "oft", "freeze", "full"):
        reader.refuse("finetuning_type", None, LIBRARY, "invalid fine-tuning method")
    if reader.raw("quantization_bit") and method not in ("lora", "oft"):
        reason = "quantization is only compatible with the LoRA or OFT method"
        reader.refuse("quantization_bit", "quantization_bit", LIBRARY, reason)
    if reader.raw("adapter_name_or_path") and method != "lora":
        reason = "an adapter is only valid for the LoRA method"
        reader.refuse("adapter_name_or_path", "adapter_name_or_path", LIBRARY, reason)
    for key, on in asked.items():
        if on and method == "lora":
            reason = "LoRA cannot be used with GaLore, APOLLO or BAdam together"
            reader.refuse(key, key, LIBRARY, reason)
    for key in ("loraplus_lr_ratio", "use_rslora", "use_dora", "pissa_init"):
        if reader.raw(key) and method != "lora":
            reader.refuse(key, None, LIBRARY, f"`{key}` is only valid for LoRA training")
    if reader.raw("neat_packing") and stage != "sft":
        reason = "neat_packing cannot be true except in SFT"
        reader.refuse("neat_packing", "packing", LIBRARY, reason)
    for key in ("train_on_prompt", "mask_history"):
        if reader.raw(key) and stage != "sft":
            reader.refuse(key, key, LIBRARY, f"{key} cannot be true except in SFT")
    if reader.raw("mask_history") and reader.raw("train_on_prompt"):
        reason = "mask_history is incompatible with train_on_prompt"
        reader.refuse("mask_history", "mask_history", LIBRARY, reason)
    if stage in ("rm", "ppo") and reader.raw("load_best_model_at_end"):
        reason = "RM and PPO do not support load_best_model_at_end"
        reader.refuse("load_best_model_at_end", "load_best_model_at_end", LIBRARY, reason)
    _refuse_data(reader)


def _refuse_data(reader: Reader) -> None:
    held_out = reader.raw("val_size")
    size = held_out if isinstance(held_out, (int, float)) else 0
    evaluated = reader.raw("eval_dataset")
    if size > 1e-6 and evaluated:
        reason = "val_size cannot be given where eval_dataset is"
        reader.refuse("val_size", "split.val_size", LIBRARY, reason)
    if size > 1e-6 and not reader.raw("dataset"):
        reader.refuse("val_size", "split.val_size", LIBRARY, "val_size without a dataset")
    if reader.raw("do_eval") and not evaluated and size <= 1e-6:
        reason = "eval_dataset must be given, or val_size above 0"
        reader.refuse("do_eval", None, LIBRARY, reason)
    strategy = reader.raw("eval_strategy")
    if strategy not in (None, "no", False) and not evaluated and size <= 1e-6:
        reason = "evaluation needs eval_dataset, or val_size above 0"
        reader.refuse("eval_strategy", "eval_strategy", LIBRARY, reason)
    if reader.raw("streaming"):
        if not reader.raw("max_steps") or reader.raw("max_steps") == -1:
            reason = "max_steps must be given in streaming mode"
            reader.refuse("streaming", "max_steps", LIBRARY, reason)
        if reader.raw("max_samples") is not None:
            reason = "max_samples is incompatible with streaming"
            reader.refuse("max_samples", "max_samples", LIBRARY, reason)


def _attention(value: object) -> object:
    """LLaMA-Factory's word for an attention in transformers' own names."""
    names = {"fa2": "flash_attention_2", "fa3": "flash_attention_3", "disabled": "eager"}
    return names.get(str(value), value)


def _read_data(reader: Reader) -> None:
    """Packing, which pre-training does by itself; rows that are held out."""
    reader.untrained("packing")
    if reader.raw("packing") is None:
        if reader.raw("neat_packing"):
            reader.derive("packing", True, "neat_packing", "neat_packing packs")
        elif reader.raw("stage") == "pt":
            reader.derive("packing", True, "stage", "pre-training packs unless told otherwise")
        else:
            reader.derive("packing", False, LIBRARY, "packs where it is told to")
    size = reader.root.at("val_size")
    plain = size.plain() if size else None
    if is_number(plain) and plain >= 1:
        reader.untrained("val_size", "split.val_rows")
    else:
        reader.take("val_size", "split.val_size")
    reader.derive("split.val_size", 0.0, LIBRARY, "nothing is held out unless told")


def _targets(value: object) -> object:
    names = _names(value)
    return "all-linear" if names in (["all"], ["all-linear"]) else names


def _names(value: object) -> object:
    """Names that may stand in one text, with commas between them."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def _read_checkpointing(reader: Reader) -> None:
    take_keys(reader, [_SWITCH])
    if reader.root.at(_SWITCH.key) is None and reader.says("gradient_checkpointing", False):
        written = reader.settings.pop("gradient_checkpointing")[0]
        reader.derive(
            "gradient_checkpointing",
            True,
            str(written.key),
            f"only `{_SWITCH.key}: true` turns it off in LLaMA-Factory",
        )


def _inverted(value: object) -> object:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "false"
    return not value if isinstance(value, bool) else value


def _read_precision(reader: Reader) -> None:
    """The base weights' dtype; without mixed precision it is the model's own."""
    if reader.raw("pure_bf16") is True:
        reader.untrained("pure_bf16")
        reader.derive("model.dtype", "bfloat16", "pure_bf16", "training in pure bfloat16")
    for key, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        if reader.says(key, True):
            reader.derive("model.dtype", dtype, key, "loaded in the precision of training")


def _joined(value: object, settings: Settings) -> object:
    """Names in one text with commas between them, as LLaMA-Factory's own examples have them."""
    if value == "all-linear":
        return "all"
    return ",".join(value) if isinstance(value, list) else value


_TARGETS = (
    Key("lora_target", "lora.target_modules", _targets, _joined),
    Key("additional_target", "lora.modules_to_save", _names, _joined),
)
_OWN = (Key("cutoff_len", "max_length"),)
_METHOD = Key("finetuning_type", "lora.enable", write=lambda on, settings: "lora" if on else "full")
_SWITCH = Key(
    "disable_gradient_checkpointing",
    "gradient_checkpointing",
    _inverted,
    lambda value, settings: not value,
)
KEYS = Keys(
    {
        **by_setting(
            trainer_keys(""),
            deepspeed_keys("deepspeed", follows=True),
            under("", _LORA),
            _TARGETS,
            _OWN,
            [_METHOD],
        ),
        _SWITCH.setting: (_SWITCH,),
    },
    deepspeed="deepspeed",
    warmup=Warmup("warmup_ratio", "warmup_steps"),
)
