"""TRL and alignment-handbook: `SFTConfig`, `ModelConfig` and script arguments in one flat file.

DeepSpeed stands in `deepspeed` as with the Trainer, or as accelerate writes it: a block
`deepspeed_config` (`zero_stage`, `offload_optimizer_device`, ...) here or in the file that
`accelerate_config` names. TRL's own: a learning rate of 2e-5, LoRA 16/32/0.05, checkpointing on,
bf16 unless fp16, float32 weights. Refused: full fine-tuning (`use_peft` absent or false). Read
in trl 1.16.0.
"""

from __future__ import annotations

from ablation.dialects import defaults
from ablation.dialects.blocks import read_deepspeed, read_lora_keys, read_model, read_trainer
from ablation.dialects.keys import (
    Key,
    Keys,
    Warmup,
    by_setting,
    deepspeed_keys,
    trainer_keys,
    under,
)
from ablation.dialects.reader import Reader
from ablation.errors import UserError
from ablation.settings.catalogue import words

NAME = "trl"
SIGNATURE = (
    "use_peft",
    "dataset_mixer",
    "dataset_mixture",
    "dataset_text_field",
    "assistant_only_loss",
    "completion_only_loss",
    "accelerate_config",
    "deepspeed_config.zero_stage",
)
DEFAULTS = (
    (defaults.TRL, defaults.TRL_DEFAULTS),
    (defaults.TRL_MODEL, defaults.TRL_MODEL_DEFAULTS),
    (defaults.TRAINER, defaults.TRAINER_DEFAULTS),
    (defaults.PEFT, defaults.LORA_DEFAULTS),
    (defaults.DEEPSPEED, defaults.DEEPSPEED_DEFAULTS),
    (defaults.NO_SUCH_STEP, defaults.PIPELINE_DEFAULTS),
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
_ACCELERATE = {
    "zero_stage": f"{_ZERO}.stage",
    "offload_optimizer_device": f"{_ZERO}.offload_optimizer.device",
    "offload_param_device": f"{_ZERO}.offload_param.device",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
}
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
_UNTRAINED = words(
    "dataset_name dataset_config dataset_mixer dataset_mixture packing eval_packing padding_free "
    "completion_only_loss assistant_only_loss loss_type chat_template chat_template_path "
    "shuffle_dataset activation_offloading"
)
_IGNORED = words(
    "model_revision lora_task_type dataset_train_split dataset_test_split dataset_splits "
    "dataset_num_proc dataset_text_field dataset_kwargs preprocessing_num_workers "
    "bnb_4bit_quant_type use_bnb_nested_quant packing_strategy eos_token pad_token"
)


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    if reader.raw("use_peft") is not True:
        entry = reader.root.at("use_peft")
        raise UserError(
            "full fine-tuning cannot be run here: `use_peft` is not true",
            file=reader.file,
            line=entry.line if entry else 1,
            found=f"use_peft: {entry.text if entry else 'not set'}",
            allowed="LoRA, as in use_peft: true",
            write="use_peft: true",
        )
    skip = ("bf16",) if reader.raw("bf16") is None else ()  # null is its default
    read_trainer(reader, "", skip=skip)
    read_model(reader)
    read_lora_keys(reader, _LORA)
    for key in ("max_length", "max_seq_length"):
        _read_length(reader, key)
    _read_launch(reader)
    off = reader.says("fp16", True)
    note = "TRL trains in bfloat16 unless fp16 is set"
    reader.derive("bf16", not off, "fp16" if off else defaults.TRL, note)
    for key in _UNTRAINED:
        reader.untrained(key)
    reader.ignore(*_IGNORED)


def _read_length(reader: Reader, key: str) -> None:
    """The limit of a row; null means that nothing is cut."""
    entry = reader.root.at(key)
    if entry is not None and entry.value is None:
        reader.ignore(key)
        reader.derive("truncation", False, key, "no limit: nothing is cut")
        return
    reader.take(key, "max_length")


def _read_launch(reader: Reader) -> None:
    """What accelerate's launcher is told, here or in a file of its own."""
    name = reader.root.at("accelerate_config")
    if name is not None and isinstance(name.value, str) and name.value in _PREDEFINED:
        reader.take("accelerate_config", f"{_ZERO}.stage", _PREDEFINED.get, "set by accelerate")
    elif name is not None:
        reader.include("accelerate_config")
        reader.block("accelerate_config")
        _read_accelerate(reader, "accelerate_config.")
    _read_accelerate(reader, "")


def _read_accelerate(reader: Reader, prefix: str) -> None:
    block = f"{prefix}deepspeed_config"
    if reader.block(block) is not None:
        for key, setting in _ACCELERATE.items():
            reader.take(f"{block}.{key}", setting)
        reader.include(f"{block}.deepspeed_config_file")
        read_deepspeed(reader, f"{block}.deepspeed_config_file")
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
)
KEYS = Keys(
    by_setting(trainer_keys(""), deepspeed_keys("deepspeed", follows=True), under("", _LORA), _OWN),
    deepspeed="deepspeed",
    warmup=Warmup("warmup_ratio", "warmup_steps"),
    elsewhere=("deepspeed_config", "accelerate_config"),
)
