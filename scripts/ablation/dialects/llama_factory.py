"""LLaMA-Factory: Trainer arguments beside its own model, data and LoRA arguments.

Its own: alpha is twice the rank where it is not written; LoRA adapts all linear modules;
checkpointing is on, and `disable_gradient_checkpointing` turns it off; the base weights are loaded
in the precision of training; pre-training (`stage: pt`) packs by itself. It stops at a key that it
does not know. Read in llamafactory 0.9.5.
"""

from __future__ import annotations

from ablation.dialects import defaults, vocabulary
from ablation.dialects.arguments import check_arguments
from ablation.dialects.blocks import (
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
from ablation.dialects.rules import read_rules, refuse_broken, written_or
from ablation.documents.entries import Entry
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


def is_its(root: Entry) -> bool:
    """Whether a file says how it is tuned, and on what, in LLaMA-Factory's words."""
    beside = words("stage template dataset")
    return root.at("finetuning_type") is not None and any(map(root.at, beside))


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    _read_kind(reader)
    read_trainer(reader, "", skip=_READ_HERE)
    check_arguments(reader)
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
    unwritten = reader.root.at("lora_alpha") is not None and reader.raw("lora_alpha") is None
    read_lora_keys(reader, {k: n for k, n in _LORA.items() if k != "lora_alpha" or not unwritten})
    take_keys(reader, _TARGETS)
    rank = reader.first("lora.r")
    known = rank.value if rank and not rank.unreadable else defaults.LORA_RANK
    note = "lora_alpha is not written: twice the rank"
    reader.derive("lora.lora_alpha", 2.0 * known, "lora_rank", note)


# What its parser stops at (hparams/), and then the training that it starts (model/, train/, data/),
# in the words of `ablation.dialects.rules`; an absent key has its default.
RULES = read_rules("""
!model_name_or_path: please provide `model_name_or_path`
finetuning_type!=lora|oft|freeze|full: invalid fine-tuning method
quantization_bit finetuning_type=freeze|full: quantization is only compatible with the LoRA or OFT \
method
adapter_name_or_path finetuning_type!=lora: an adapter is only valid for the LoRA method
quantization_bit pissa_init: use scripts/pissa_init.py to initialize PiSSA for a quantized model
quantization_bit resize_vocab: cannot resize embedding layers of a quantized model
quantization_bit adapter_name_or_path create_new_adapter: cannot create new adapter upon a \
quantized model
use_galore/use_apollo/use_badam finetuning_type=lora: LoRA cannot be used with GaLore, APOLLO or \
BAdam together
use_galore use_apollo/use_badam: cannot use GaLore, APOLLO or BAdam together
use_apollo use_badam: cannot use GaLore, APOLLO or BAdam together
use_galore/use_apollo deepspeed: GaLore and APOLLO are incompatible with DeepSpeed yet
use_llama_pro finetuning_type=full: use_llama_pro is only valid for Freeze or LoRA training
loraplus_lr_ratio?/use_rslora/use_dora/pissa_init finetuning_type!=lora: `{}` is only valid for \
LoRA training
pissa_init stage=ppo|kto: cannot use PiSSA for current training stage
stage=ppo !reward_model: `reward_model` is necessary for PPO training
dpo_label_smoothing>0.000001 stage=dpo pref_loss!=sigmoid: `dpo_label_smoothing` is only valid for \
sigmoid loss function
neat_packing/train_on_prompt/mask_history/predict_with_generate stage!=sft: {} cannot be true \
except in SFT
mask_history train_on_prompt: mask_history is incompatible with train_on_prompt
do_predict stage=sft !predict_with_generate: enable predict_with_generate to save predictions
load_best_model_at_end stage=rm|ppo: RM and PPO do not support load_best_model_at_end
val_size>0.000001 eval_dataset: val_size cannot be given where eval_dataset is
val_size>0.000001 !dataset: val_size without a dataset
interleave_probs? mix_strategy=concat: interleave_probs is only valid for interleaved mixing
streaming val_size>0.000001 val_size<1: streaming mode should have an integer val_size
streaming max_samples?: max_samples is incompatible with streaming
streaming max_steps=none|-1: max_steps must be given in streaming mode
do_train !dataset: specify a dataset for training
do_eval/do_predict/predict_with_generate !eval_dataset val_size<=0.000001: {} needs eval_dataset, \
or val_size above 0
eval_strategy!=no|none|false !eval_dataset val_size<=0.000001: evaluation needs eval_dataset, or \
val_size above 0
fp8 quantization_bit: FP8 training is not compatible with quantization
infer_backend!=hf|huggingface: vLLM and SGLang are for inference alone
predict_with_generate compute_accuracy: predict_with_generate and compute_accuracy cannot be used \
together
quantization_device_map=auto do_train: a quantized model cannot be trained with a device map
quantization_bit adapter_name_or_path~,: a quantized model only accepts a single adapter
report_to~trackio !project: project must be given with Trackio
predict_with_generate/pissa_init/pure_bf16/use_unsloth/use_kt \
deepspeed.zero_optimization.stage=3: {} is incompatible with DeepSpeed ZeRO-3
stage=ppo !do_train: PPO training does not evaluate: use the SFT stage for that
stage=ppo shift_attn/eval_dataset?/resume_from_checkpoint?: PPO training does not take {}
stage=ppo val_size>0.000001: PPO training does not take an evaluation set yet
stage=ppo reward_model_type=lora|oft finetuning_type=full|freeze: reward_model_type cannot be an \
adapter where none is trained
use_kt finetuning_type!=lora: KTransformers only supports LoRA
use_unsloth finetuning_type=oft: Unsloth does not support OFT

stage!=pt|sft|rm|ppo|dpo|kto: unknown task
pref_loss!=sigmoid|hinge|ipo|kto_pair|orpo|simpo stage=dpo: unknown loss type
mix_strategy!=concat|interleave_under|interleave_over|interleave_once dataset~,: unknown mixing \
strategy
flash_attn? flash_attn!=auto|disabled|sdpa|fa2: unknown attention type
quantization_bit quantization_method=bitsandbytes: it is bnb now: no weight would be quantized
quantization_bit quantization_method!=bitsandbytes|bnb|hqq|eetq|gptq|awq|aqlm|quanto|mxfp4|fp8: \
unknown method: no weight would be quantized
quantization_bit quantization_method=bnb quantization_bit!=4|8: bitsandbytes only accepts 4-bit or \
8-bit quantization
quantization_bit quantization_method=hqq quantization_bit!=1|2|3|4|5|6|8: HQQ only accepts \
1/2/3/4/5/6/8-bit quantization
quantization_bit quantization_method=eetq quantization_bit!=8: EETQ only accepts 8-bit quantization
quantization_bit quantization_method=hqq|eetq deepspeed.zero_optimization.stage=3: this \
quantization is incompatible with DeepSpeed ZeRO-3
quantization_bit quantization_method=bnb quantization_bit!=4 deepspeed.zero_optimization.stage=3: \
only 4-bit quantized weights can be sharded by ZeRO-3
ref_model_quantization_bit? ref_model_quantization_bit!=4|8: only 4-bit or 8-bit quantization
reward_model_quantization_bit? reward_model_quantization_bit!=4|8: only 4-bit or 8-bit quantization
use_galore optim? optim!=adamw_torch|adamw_bnb_8bit|adamw_8bit|paged_adamw_8bit|adafactor: GaLore \
does not know this optimizer
use_apollo optim? optim!=adamw_torch: APOLLO does not know this optimizer
use_galore galore_layerwise gradient_accumulation_steps>1: per-layer GaLore does not support \
gradient accumulation
use_apollo apollo_layerwise gradient_accumulation_steps>1: per-layer APOLLO does not support \
gradient accumulation
""")
_settled = written_or(
    {
        "finetuning_type": "lora",
        "stage": "sft",
        "pref_loss": "sigmoid",
        "val_size": 0.0,
        "mix_strategy": "concat",
        "infer_backend": "huggingface",
        "quantization_method": "bnb",
        "project": "huggingface",
    }
)


def _refuse(reader: Reader) -> None:
    """What LLaMA-Factory's own parser stops at: rules, and text where it wants another value."""
    refuse_broken(reader, LIBRARY, RULES, _settled)
    names, shares = (_names(_settled(reader.root, k)) for k in ("dataset", "interleave_probs"))
    if isinstance(names, list) and isinstance(shares, list) and len(names) != len(shares):
        reason = "the length of dataset and interleave probs should be identical"
        reader.refuse("interleave_probs", "interleave_probs", LIBRARY, reason)
    for key, entry in reader.root.value.items():
        own = vocabulary.default_of(NAME, key)
        if own is None or not isinstance(entry.value, str) or entry.read_as_number:
            continue
        switch = isinstance(own.value, bool) and entry.value.lower() not in _TRUE
        if switch or (is_number(own.value) and vocabulary.fits("number", entry.value)):
            reason = "text stays text: a number in quotes is none, and any word counts as true"
            reader.refuse(key, None, LIBRARY, reason, write=f"{key}: {entry.value}")


_TRUE = words("true yes on 1 t y")


def _attention(value: object) -> object:
    """LLaMA-Factory's word for an attention in transformers' own names."""
    names = {"fa2": "flash_attention_2", "fa3": "flash_attention_3", "disabled": "eager"}
    return names.get(str(value), value)


def _read_data(reader: Reader) -> None:
    """Packing, which pre-training does by itself; rows that are held out."""
    packs = reader.raw("packing")
    if packs is not None and (packs or not reader.raw("neat_packing")):
        reader.untrained("packing")
    else:
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
