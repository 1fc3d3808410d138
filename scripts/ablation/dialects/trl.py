"""TRL and alignment-handbook: `SFTConfig`, `ModelConfig` and script arguments in one flat file.

DeepSpeed stands in `deepspeed` as with the Trainer, or as accelerate writes it: a block
`deepspeed_config` (`zero_stage`, `offload_optimizer_device`, ...) here or in the file that
`accelerate_config` names. TRL's own: full fine-tuning unless `use_peft`, a learning rate of 2e-5,
LoRA 16/32/0.05, checkpointing on, bf16 unless fp16, float32 weights. Which of TRL's trainers a file
is for is not written in it: keys that only one of them has tell. Read in trl 1.16.0.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ablation.dialects import defaults, vocabulary
from ablation.dialects.arguments import check_arguments
from ablation.dialects.blocks import (
    HEADS,
    read_lora_keys,
    read_model,
    read_trainer,
)
from ablation.dialects.deepspeed import LAUNCHED, embed_deepspeed
from ablation.dialects.keys import (
    Key,
    Keys,
    Settings,
    Warmup,
    by_setting,
    deepspeed_keys,
    trainer_keys,
    under,
)
from ablation.dialects.objective import tell_objective
from ablation.dialects.reader import Reader, meant
from ablation.dialects.rules import read_rules, refuse_broken, written_or
from ablation.settings.catalogue import words

NAME = "trl"
LIBRARY = vocabulary.library_of(NAME)
REFUSES_STRANGERS = True
DEFAULTS = (
    (defaults.TRL, defaults.TRL_DEFAULTS),
    (defaults.TRL_MODEL, defaults.TRL_MODEL_DEFAULTS),
    *defaults.WITH_TRAINER,
)

_LORA = {
    "lora_r": "lora.r",
    "lora_alpha": "lora.lora_alpha",
    "lora_dropout": "lora.lora_dropout",
    "lora_target_modules": "lora.target_modules",
    "lora_target_parameters": "lora.target_parameters",
    "lora_modules_to_save": "lora.modules_to_save",
    "use_rslora": "lora.use_rslora",
    "use_dora": "lora.use_dora",
}
_ZERO = "deepspeed.zero_optimization"
_ACCELERATE_IGNORED = words(
    "zero3_init_flag zero3_save_16bit_model deepspeed_multinode_launcher deepspeed_hostfile "
    "offload_optimizer_nvme_path offload_param_nvme_path"
)
_LAUNCH_IGNORED = words(
    "compute_environment debug distributed_type downcast_bf16 enable_cpu_affinity machine_rank "
    "main_training_function num_machines rdzv_backend same_network tpu_env tpu_use_cluster "
    "tpu_use_sudo use_cpu main_process_port main_process_ip gpu_ids dynamo_config"
)
_PREDEFINED = {"single_gpu": 0, "multi_gpu": 0, "zero1": 1, "zero2": 2, "zero3": 3}
NO_EFFECT = {
    "says what is logged and watched": words(
        "log_completions num_completions_to_print log_unique_prompts log_completions_hub_repo "
        "log_multimodal wandb_entity wandb_project wandb_run_group system_prompt_logging "
        "callbacks benchmarks tags"
    ),
    "says how rows are prepared, not which": words(
        "dataset_num_proc preprocessing_num_workers ignore_bias_buffers"
    ),
    "says where a run takes place": words("env config lora_task_type report_to_all"),
    "says what is saved and where": words(
        "hub_model_revision overwrite_hub_revision push_to_hub_revision"
    ),
}
# The learning rate of each of TRL's trainers where none is written: of those that 1.16.0 no longer
# has (PRM, BCO, PPO) as 1.8.0 had it.
_RATES = {
    **dict.fromkeys(words("dpo ipo grpo kto orpo cpo simpo rloo preferences"), 1e-6),
    "reward": 1e-4,
    "process_reward": 1e-5,
    "bco": 5e-7,
    "ppo": 3e-6,
    "gkd": 2e-5,
}
# Names that older releases used, in which of them, and what they are called now.
_OLD = {
    "max_seq_length": "max_length",
    "torch_dtype": "dtype",
    "dataset_mixer": "datasets",
    "dataset_splits": "datasets",
    "dataset_configs": "datasets",
    "max_prompt_length": None,
    "evaluation_strategy": "eval_strategy",
    "use_flash_attention_2": "attn_implementation",
    "neftune_noise_alpha_": None,
    "warmup_ratio": "warmup_steps",
    "rpo_alpha": "loss_type",
    "logging_dir": None,
    "overwrite_output_dir": None,
    "use_liger": "use_liger_kernel",
    "group_by_length": "train_sampling_strategy",
}


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    _read_kind(reader)
    reader.doubted.add("label_smoothing")  # scripts call Trainer's own label_smoothing_factor so
    skip = ("bf16",) if reader.raw("bf16") is None else ()  # null is its default
    read_trainer(reader, "", skip=skip)
    check_arguments(reader)
    read_model(reader)
    if _adapts(reader):
        read_lora_keys(reader, _LORA)
        _read_single_target(reader)
    else:
        reason = "use_peft is not true: no adapter is trained"
        if reader.root.at("use_peft") is None:
            reader.doubt(reason, _LORA)
        else:  # told so: that they stand beside it speaks against nothing
            reader.idle({reason: [key for key in _LORA if reader.root.at(key) is not None]})
    for key in ("max_length", "max_seq_length"):
        _read_length(reader, key)
    _read_launch(reader)
    off = reader.says("fp16", True)
    note = "TRL trains in bfloat16 unless fp16 is set"
    reader.derive("bf16", not off, "fp16" if off else defaults.TRL, note)
    for key in ("dataset_mixture", "dataset_mixer", "dataset_splits", "dataset_configs"):
        reader.untrained(key)
    reader.derive("packing", False, LIBRARY, "packs where it is told to")
    refuse_broken(reader, LIBRARY, RULES, _settled)
    for key, name in () if vocabulary.is_dump(reader.root.value) else _OLD.items():
        if reader.root.at(key) is not None and key not in vocabulary.keys_of(NAME):
            now = f"it is {name} now" if name else "it is gone"
            reason = f"it has no such key any more: {now}; an older release reads it"
            reader.refuse(key, None, LIBRARY, reason, write=f"{name}: …" if name else None)


# What its configurations stop at, and then the trainers as they start (trainer/), in the words of
# `ablation.dialects.rules`; an absent key has its default.
RULES = read_rules("""
load_in_8bit load_in_4bit: 8 bit and 4 bit precision cannot be used at the same time
log_completions_hub_repo !log_completions: log_completions_hub_repo requires log_completions
generation_batch_size? steps_per_generation?: generation_batch_size and steps_per_generation \
cannot be used together
num_generations<2 num_generations?: at least 2 generations per prompt are needed
auto_find_batch_size num_generations?: auto_find_batch_size is not supported with GRPO
loss_type!=nll|dft|chunked_nll loss_type? dataset_text_field?/packing/completion_only_loss/\
assistant_only_loss: unknown loss type
padding_free !packing max_length!=none !max_prompt_length beta=none: max_length is not enforced \
without padding and packing: packing must be on, or max_length null
loss_type=exo_pair label_smoothing<=0: label_smoothing must be above 0 with this loss
loss_type=robust label_smoothing>0.4999999: label_smoothing must be below 0.5 with this loss
loss_type=aot|aot_unpaired use_weighting: use_weighting is not supported with this loss
f_divergence_type? f_divergence_type!=reverse_kl loss_type!=sigmoid|sigmoid_norm|hinge|ipo|\
exo_pair|robust|discopop|sft|none: f_divergence_type is not supported with this loss
sync_ref_model use_peft: sync_ref_model is not supported with an adapter
liger_kernel_config.fused_linear_cross_entropy beta?: fused_linear_cross_entropy is not supported \
with this trainer
deepspeed.zero_optimization.stage=3 use_peft gradient_checkpointing_kwargs.selective: selective \
checkpointing is not supported with an adapter under ZeRO-3
""")
_settled = written_or({"label_smoothing": 0.0, "max_length": 1024})
# Modules of whole models that lie below none: their names are their paths.
_OUTERMOST = HEADS | {"lm_head", "embed_out", "qa_outputs"}


def _read_single_target(reader: Reader) -> None:
    """A list of one name becomes the name, which peft takes for a pattern of a whole path."""
    found = reader.first("lora.target_modules")
    names = [found.value] if found and isinstance(found.value, str) else found and found.value
    if found is None or not isinstance(names, list) or len(names) != 1:
        return
    name = str(names[0])
    one = re.fullmatch(r"(\.\*\\\.)?(\w+)", name)
    value = [one[2]] if one and one[1] else name
    reader.settings["lora.target_modules"] = [replace(found, value=value)]
    if one and not one[1] and name not in _OUTERMOST:
        reason = "one name alone is taken for a pattern of whole paths, and none is just that"
        write = rf"lora_target_modules: ['.*\.{name}']"
        reader.refuse(str(found.key), "lora.target_modules", LIBRARY, reason, write=write)


def _of_one(value: object, settings: Settings) -> object:
    """Targets as TRL takes them: one name alone as the pattern of its modules' paths."""
    return [rf".*\.{value[0]}"] if isinstance(value, list) and len(value) == 1 else value


def _adapts(reader: Reader) -> bool:
    return meant(reader.raw("use_peft")) is True


def _read_kind(reader: Reader) -> None:
    """What is trained, and to what end."""
    if not _adapts(reader):
        key = "use_peft" if reader.root.at("use_peft") else LIBRARY
        note = "TRL trains the model's own weights"
        if vocabulary.is_dump(reader.root.value):
            note = "saved arguments do not say whether an adapter was trained"
        reader.derive("lora.enable", False, key, note)
    told = tell_objective(reader, preferences=True)
    name, key, note = told or ("sft", LIBRARY, "no key says it: by keys of one trainer")
    reader.derive("training.objective", name, key, note)
    if reader.raw("learning_rate") is not None or name == "sft":
        return
    if name in _RATES:
        note = f"TRL's own for {name}"
        reader.derive("learning_rate", _RATES[name], defaults.TRL, note)
    else:
        reader.untold("learning_rate", f"TRL's own for {name} is not known here")


def _read_length(reader: Reader, key: str) -> None:
    """The limit of a row; null means that nothing is cut."""
    entry = reader.root.at(key)
    if entry is not None and entry.value is None:
        reader.ignore(key)
        reader.derive("truncation", False, key, "no limit: nothing is cut")
        return
    reader.take(key, "max_length")


def _stage_of(name: object) -> object:
    return _PREDEFINED[str(name)]


def _read_launch(reader: Reader) -> None:
    """What accelerate's launcher is told, here or in a file of its own."""
    name = reader.root.at("accelerate_config")
    if name is not None and isinstance(name.value, str) and name.value in _PREDEFINED:
        reader.take("accelerate_config", f"{_ZERO}.stage", _stage_of, "set by accelerate")
    elif name is not None:
        reader.include("accelerate_config")
        reader.block("accelerate_config")
        _read_accelerate(reader, "accelerate_config.")
    _read_accelerate(reader, "")


def _read_accelerate(reader: Reader, prefix: str) -> None:
    block = f"{prefix}deepspeed_config"
    if reader.block(block) is not None:
        for key, setting in LAUNCHED.items():
            reader.take(f"{block}.{key}", setting)
        reader.include(f"{block}.deepspeed_config_file")
        embed_deepspeed(reader, f"{block}.deepspeed_config_file")
        reader.ignore(*(f"{block}.{key}" for key in _ACCELERATE_IGNORED))
    reader.take(f"{prefix}num_processes", "world_size")
    for name in ("bf16", "fp16"):
        if reader.raw(f"{prefix}mixed_precision") == name:
            reader.take(f"{prefix}mixed_precision", name, lambda value: True)
    reader.ignore(*(f"{prefix}{key}" for key in _LAUNCH_IGNORED))


_OWN = (
    Key("dtype", "model.dtype"),
    Key("torch_dtype", "model.dtype"),
    Key("max_length", "max_length"),
    Key("max_seq_length", "max_length"),
    Key("num_processes", "world_size"),
    Key("use_peft", "lora.enable"),
)
_TARGETS = Key("lora_target_modules", "lora.target_modules", write=_of_one)
KEYS = Keys(
    {
        **by_setting(
            trainer_keys(""), deepspeed_keys("deepspeed", follows=True), under("", _LORA), _OWN
        ),
        _TARGETS.setting: (_TARGETS,),
    },
    deepspeed="deepspeed",
    warmup=Warmup("warmup_ratio", "warmup_steps"),
    elsewhere=("deepspeed_config", "accelerate_config"),
)
