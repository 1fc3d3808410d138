"""What a setting is where a file does not say it, by the library that then decides.

The values are those of the pinned versions; `tests/unit/test_defaults.py` reads them from the
installed classes, so that an upgrade that changes one is caught. Those of LLaMA-Factory, axolotl
and TRL, which the environment lacks, are those of llamafactory 0.9.5, axolotl 0.19.0 and trl
1.16.0; the same test reads their sources where they are on the path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ablation.settings.catalogue import words

TRAINER = "transformers.TrainingArguments"
PEFT = "peft.LoraConfig"
DEEPSPEED = "deepspeed"
TRANSFORMERS_MODEL = "transformers.from_pretrained"
LOADER = "torch.utils.data.DataLoader"
SCRIPT = "the script"  # decides what no library does: the value is assumed
NO_SUCH_STEP = "no such step"
GUESS = "a guess"  # where neither a file nor the model tells
LLAMA_FACTORY = "llamafactory.hparams"
AXOLOTL = "axolotl.utils.schemas"
TRL = "trl.SFTConfig"
TRL_MODEL = "trl.ModelConfig"

TRAINER_DEFAULTS: dict[str, object] = {
    "learning_rate": 5e-5,
    "weight_decay": 0.0,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "lr_scheduler_type": "linear",
    "lr_scheduler_kwargs": {},
    "warmup_steps": 0.0,
    "optim": "adamw",
    "optim_implementation": "torch_fused",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "label_smoothing_factor": 0.0,
    "bf16": False,
    "fp16": False,
    "gradient_checkpointing": False,
    "load_best_model_at_end": False,
    "metric_for_best_model": None,
    "greater_is_better": None,
    "dataloader_num_workers": 0,
    "dataloader_pin_memory": True,
    "seed": 42,
}

LORA_RANK = 8
LORA_DEFAULTS: dict[str, object] = {
    "lora.r": LORA_RANK,
    "lora.lora_alpha": 8.0,
    "lora.lora_dropout": 0.0,
    "lora.layers_to_transform": None,
    "lora.modules_to_save": None,
    "lora.bias": "none",
    "lora.use_rslora": False,
    "lora.use_dora": False,
    "lora.init_lora_weights": True,
}

DEEPSPEED_DEFAULTS: dict[str, object] = {
    "deepspeed.zero_optimization.stage": 0,
    "deepspeed.zero_optimization.offload_optimizer.device": "none",
    "deepspeed.zero_optimization.offload_optimizer.pin_memory": True,
    "deepspeed.zero_optimization.offload_param.device": "none",
    "deepspeed.zero_optimization.offload_param.pin_memory": True,
    "deepspeed.zero_optimization.allgather_bucket_size": 500_000_000,
    "deepspeed.zero_optimization.reduce_bucket_size": 500_000_000,
}

# What DeepSpeed does where one side writes a key and the other does not. `overlap_comm` is on for
# ZeRO 3 alone.
DEEPSPEED_UNSAID: dict[str, object] = {
    **{
        f"deepspeed.zero_optimization.{name}": value
        for name, value in {
            "contiguous_gradients": True,
            "reduce_scatter": True,
            "use_multi_rank_bucket_allreduce": True,
            "allgather_partitions": True,
            "overlap_comm": None,
            "compute_grad_norm": True,
            "load_from_fp32_weights": True,
            "elastic_checkpoint": False,
            "sub_group_size": 1_000_000_000,
            "ignore_unused_parameters": True,
            "legacy_stage1": False,
            "round_robin_gradients": False,
            "parameter_alignment": False,
            "pipeline_loading_checkpoint": False,
            "override_module_apply": True,
            "log_trace_cache_warnings": False,
            "enable_sanity_checks": False,
            "zero_hpz_partition_size": 1,
            "zero_quantized_weights": False,
            "zero_quantized_nontrainable_weights": False,
            "zero_quantized_gradients": False,
            "memory_efficient_linear": True,
            "stage3_prefetch_bucket_size": 50_000_000,
            "stage3_param_persistence_threshold": 100_000,
            "stage3_model_persistence_threshold": 2**63 - 1,
            "stage3_max_live_parameters": 1_000_000_000,
            "stage3_max_reuse_distance": 1_000_000_000,
            "stage3_gather_16bit_weights_on_model_save": False,
            "stage3_module_granularity_threshold": 0,
            "stage3_use_all_reduce_for_fetch_params": False,
            "stage3_allgather_sequential": False,
            "offload_optimizer.nvme_path": None,
            "offload_optimizer.buffer_count": 4,
            "offload_optimizer.pipeline_read": False,
            "offload_optimizer.pipeline_write": False,
            "offload_optimizer.fast_init": False,
            "offload_optimizer.ratio": 1.0,
            "offload_optimizer.super_offload": False,
            "offload_optimizer.cpuadam_cores_perc": 0.8,
            "offload_param.nvme_path": None,
            "offload_param.buffer_count": 5,
            "offload_param.buffer_size": 100_000_000,
            "offload_param.max_in_cpu": 1_000_000_000,
        }.items()
    },
    "deepspeed.fp16.auto_cast": False,
    "deepspeed.fp16.loss_scale": 0.0,
    "deepspeed.fp16.initial_scale_power": 16,
    "deepspeed.fp16.loss_scale_window": 1000,
    "deepspeed.fp16.hysteresis": 2,
    "deepspeed.fp16.consecutive_hysteresis": False,
    "deepspeed.fp16.min_loss_scale": 1,
    "deepspeed.fp16.fp16_master_weights_and_grads": False,
    "deepspeed.bf16.immediate_grad_update": False,
    "deepspeed.bf16.check_grad_overflow": True,
    "deepspeed.bf16.bf16_master_weights_and_grads": False,
    "deepspeed.bf16.bf16_optimizer_states": False,
}

# The numbers of which DeepSpeed takes any; the others may not be below 0.
DEEPSPEED_BELOW_ZERO = words(
    "deepspeed.fp16.initial_scale_power deepspeed.fp16.loss_scale_window deepspeed.fp16.hysteresis "
    "deepspeed.fp16.min_loss_scale deepspeed.zero_optimization.stage3_module_granularity_threshold"
)

# A training loop that drives DeepSpeed itself: DeepSpeed has these in its optimizer and engine.
NATIVE_LOOP_DEFAULTS: dict[str, object] = {
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "gradient_accumulation_steps": 1,
    "lr_scheduler_type": "constant",
    "lr_scheduler_kwargs": {},
    "warmup_steps": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "bf16": False,
    "fp16": False,
}
LOADER_DEFAULTS: dict[str, object] = {
    "dataloader_num_workers": 0,
    "dataloader_pin_memory": False,
}
# DeepSpeed wants these said, or leaves them to the loop.
SCRIPT_DEFAULTS: dict[str, object] = {
    "num_train_epochs": 1.0,
    "per_device_train_batch_size": 1,
    "optim": "adamw",
    "optim_implementation": "deepspeed",
}

MODEL_DEFAULTS: dict[str, object] = {"model.trust_remote_code": False}

# Steps that a loop or a pipeline either has or has not: absent means that nothing is chosen, cut,
# weighted or filtered.
LOOP_STEPS: dict[str, object] = {
    "max_steps": -1,
    "label_smoothing_factor": 0.0,
    "gradient_checkpointing": False,
    "load_best_model_at_end": False,
    "metric_for_best_model": None,
    "greater_is_better": None,
}
PIPELINE_DEFAULTS: dict[str, object] = {
    "truncation": True,
    "padding": "longest",
    "data.extract_ratio": 1.0,
    "data.max_classes": None,
    "excess_length_strategy": "truncate",
    "loss.use_class_weights": False,
    "loss.class_weight_alpha": 1.0,
    "loss.class_weight_min": 0.0,
    "loss.class_weight_max": None,
}

# What every dialect rests on, after defaults of its own.
Defaults = tuple[tuple[str, dict[str, object]], ...]
IN_EVERY_RUN: Defaults = (
    (PEFT, LORA_DEFAULTS),
    (DEEPSPEED, DEEPSPEED_DEFAULTS),
    (TRANSFORMERS_MODEL, MODEL_DEFAULTS),
    (NO_SUCH_STEP, PIPELINE_DEFAULTS),
)
WITH_TRAINER: Defaults = ((TRAINER, TRAINER_DEFAULTS), *IN_EVERY_RUN)
NATIVE_LOOP: Defaults = (
    (DEEPSPEED, NATIVE_LOOP_DEFAULTS),
    (LOADER, LOADER_DEFAULTS),
    (SCRIPT, SCRIPT_DEFAULTS),
    (NO_SUCH_STEP, LOOP_STEPS),
    *IN_EVERY_RUN,
)

# LLaMA-Factory: checkpointing is on unless it is switched off; alpha follows the rank (see there).
LLAMA_FACTORY_DEFAULTS: dict[str, object] = {
    "max_length": 2048,
    "lora.target_modules": "all-linear",
    "gradient_checkpointing": True,
}

# The learning rate, `lora_r` and `lora_alpha` have none: axolotl wants them written.
AXOLOTL_DEFAULTS: dict[str, object] = {
    "num_train_epochs": 1.0,
    "per_device_train_batch_size": 1,
    "lr_scheduler_type": "cosine",
    "max_length": 512,
    "excess_length_strategy": "drop",
    "bf16": True,
}

TRL_DEFAULTS: dict[str, object] = {
    "learning_rate": 2e-5,
    "max_length": 1024,
    "gradient_checkpointing": True,
}

TRL_MODEL_DEFAULTS: dict[str, object] = {
    "lora.r": 16,
    "lora.lora_alpha": 32.0,
    "lora.lora_dropout": 0.05,
    "model.dtype": "float32",
}

# Modules that peft adapts where none are named (peft/utils/constants.py).
PEFT_TARGETS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        words(
            "llama llama4 mistral mixtral qwen2 qwen3 gemma gemma2 gemma3_text opt gptj gpt_neo "
            "stablelm bart"
        ),
        ("q_proj", "v_proj"),
    ),
    "phi": ("fc1", "fc2", "q_proj", "v_proj"),
    **dict.fromkeys(("gpt_neox", "bloom", "falcon", "chatglm"), ("query_key_value",)),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), ("c_attn",)),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), ("query", "value")),
}

# Modules that "all-linear" comes to on a classifier of this kind.
ALL_LINEAR: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        words("llama mistral qwen2 qwen3 gemma gemma2 gemma3_text smollm3"),
        words("down_proj gate_proj k_proj o_proj q_proj up_proj v_proj"),
    ),
    "phi3": ("down_proj", "gate_up_proj", "o_proj", "qkv_proj"),
    "gpt_neox": ("dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"),
}

# A DeepSpeed scheduler's own parameters (deepspeed/runtime/lr_schedules.py): those that change
# the curve when absent, all that there are, and those that must be there.
SCHEDULER_DEFAULTS: dict[str, dict[str, object]] = {
    "WarmupLR": {"warmup_min_lr": 0.0, "warmup_num_steps": 1000, "warmup_type": "log"},
    "WarmupDecayLR": {
        "warmup_min_lr": 0.0,
        "warmup_max_lr": 0.001,
        "warmup_num_steps": 1000,
        "warmup_type": "log",
    },
    "WarmupCosineLR": {
        "warmup_min_ratio": 0.0,
        "warmup_num_steps": 1000,
        "cos_min_ratio": 0.0001,
        "warmup_type": "log",
    },
    "OneCycle": {},
    "LRRangeTest": {},
}
SCHEDULER_REQUIRED: dict[str, tuple[str, ...]] = {
    "WarmupDecayLR": ("total_num_steps",),
    "WarmupCosineLR": ("total_num_steps",),
    "OneCycle": ("cycle_min_lr", "cycle_max_lr"),
}
_WARMUP = ("warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "warmup_type")
SCHEDULER_PARAMETERS: dict[str, tuple[str, ...]] = {
    "WarmupLR": (*_WARMUP, "last_batch_iteration"),
    "WarmupDecayLR": ("total_num_steps", *_WARMUP, "last_batch_iteration"),
    "WarmupCosineLR": words(
        "total_num_steps warmup_min_ratio warmup_num_steps cos_min_ratio warmup_type "
        "last_batch_iteration"
    ),
    "OneCycle": words(
        "cycle_min_lr cycle_max_lr decay_lr_rate cycle_first_step_size cycle_second_step_size "
        "cycle_first_stair_count cycle_second_stair_count decay_step_size cycle_momentum "
        "cycle_min_mom cycle_max_mom decay_mom_rate last_batch_iteration"
    ),
    "LRRangeTest": words(
        "lr_range_test_min_lr lr_range_test_step_size lr_range_test_step_rate "
        "lr_range_test_staircase last_batch_iteration"
    ),
}

# What an optimizer that DeepSpeed builds does where its block does not say: its own defaults, those
# of torch.optim's where DeepSpeed takes that one ("torch.": asked for by `torch_adam`).
_ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
OPTIMIZER_DEFAULTS: dict[str, dict[str, object]] = {
    **dict.fromkeys(words("adam adamw lamb torch.adam radam"), _ADAM),
    "torch.adamw": {**_ADAM, "weight_decay": 0.01},
    "lion": {"lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 0.0},
    "adagrad": {"lr": 1e-2, "eps": 1e-10, "weight_decay": 0.0},
    "adadelta": {"lr": 1.0, "eps": 1e-6, "weight_decay": 0.0},
    "adafactor": {"lr": 1e-2, "weight_decay": 0.0},
    **{name: {**_ADAM, "lr": 2e-3} for name in ("adamax", "nadam")},
    "asgd": {"lr": 1e-2, "weight_decay": 0.0},
    "rmsprop": {"lr": 1e-2, "eps": 1e-8, "weight_decay": 0.0},
    "rprop": {"lr": 1e-2},
    "sgd": {"lr": 1e-3, "weight_decay": 0.0},
    "sparseadam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8},
    "lbfgs": {"lr": 1.0},
    "muon": {"lr": 2e-2, "weight_decay": 0.0},
}
# The names that DeepSpeed knows in any case of letters.
DEEPSPEED_OPTIMIZERS = words("adagrad adam adamw lamb lion muadam muadamw musgd muon")
# The parameters of an optimizer's class: DeepSpeed hands it the whole block.
_TORCH = "lr weight_decay foreach maximize differentiable"
OPTIMIZER_PARAMETERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("adam", "adamw"),
        words(
            "lr betas eps weight_decay bias_correction amsgrad set_grad_none adam_w_mode "
            "torch_adam fp32_optimizer_states"
        ),
    ),
    **dict.fromkeys(
        ("torch.adam", "torch.adamw"),
        words(
            f"{_TORCH} betas eps amsgrad capturable fused decoupled_weight_decay adam_w_mode "
            "torch_adam fp32_optimizer_states"
        ),
    ),
    "lion": words("lr betas weight_decay set_grad_none"),
    "lamb": words(
        "lr betas eps weight_decay bias_correction eps_inside_sqrt max_coeff min_coeff amsgrad"
    ),
    "sgd": words(f"{_TORCH} momentum dampening nesterov fused"),
    "adagrad": words(f"{_TORCH} eps lr_decay initial_accumulator_value fused"),
    "rmsprop": words(f"{_TORCH} eps alpha momentum centered capturable"),
    "radam": words(f"{_TORCH} betas eps decoupled_weight_decay capturable"),
    "nadam": words(f"{_TORCH} betas eps momentum_decay decoupled_weight_decay capturable"),
    "adamax": words(f"{_TORCH} betas eps capturable"),
    "adadelta": words(f"{_TORCH} eps rho capturable"),
    "adafactor": words("lr weight_decay beta2_decay eps d foreach maximize"),
    "asgd": words(f"{_TORCH} lambd alpha t0 capturable"),
    "rprop": words("lr etas step_sizes capturable foreach maximize differentiable"),
    "sparseadam": words("lr betas eps maximize"),
    "lbfgs": words(
        "lr max_iter max_eval tolerance_grad tolerance_change history_size line_search_fn"
    ),
}
# Any other name must be one of torch.optim's, as it is spelled there.
TORCH_OPTIMIZERS = words(
    "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam RAdam RMSprop Rprop SGD "
    "SparseAdam"
)
# Those that ZeRO takes without `zero_allow_untested_optimizer`.
ZERO_OPTIMIZERS = words("adam adamw adagrad lion muon")

_ZERO_KEYS = tuple(
    name.removeprefix("deepspeed.zero_optimization.").split(".")[0]
    for name in (*DEEPSPEED_DEFAULTS, *DEEPSPEED_UNSAID)
    if name.startswith("deepspeed.zero_optimization.")
)
_PRECISION_KEYS = {
    block: tuple(n.split(".")[2] for n in DEEPSPEED_UNSAID if n.startswith(f"deepspeed.{block}."))
    for block in ("bf16", "fp16")
}
# The blocks whose keys DeepSpeed checks, with the keys that they have: any other stops it.
BLOCK_KEYS: dict[str, tuple[str, ...]] = {
    "zero_optimization": (
        *_ZERO_KEYS,
        *words(
            "zenflow leaf_module cpu_offload_param cpu_offload_use_pin_memory cpu_offload "
            "stage3_gather_fp16_weights_on_model_save save_muon_momentum_buffer_in_memory "
            "mics_shard_size mics_hierarchical_params_gather zeropp_loco_param"
        ),
        # pydantic takes a field by its own name, too.
        *(name.removeprefix("stage3_") for name in _ZERO_KEYS if name.startswith("stage3_")),
    ),
    "zero_optimization.offload_optimizer": words(
        "device nvme_path buffer_count pin_memory pipeline_read pipeline_write fast_init ratio "
        "super_offload cpuadam_cores_perc"
    ),
    "zero_optimization.offload_param": words(
        "device nvme_path buffer_count buffer_size max_in_cpu pin_memory"
    ),
    "bf16": ("enabled", *_PRECISION_KEYS["bf16"]),
    "fp16": ("enabled", *_PRECISION_KEYS["fp16"]),
    "tensorboard": words("enabled output_path job_name"),
    "csv_monitor": words("enabled output_path job_name"),
    "wandb": words("enabled group team project"),
    "comms_logger": words("enabled prof_all prof_ops verbose debug"),
    "tensor_parallel": words(
        "dtype autotp_size tp_overlap_comm vocab_parallel_lm_head vocab_parallel_ce_backend tp "
        "injection_policy_tuple partition_config preset_model keep_module_on_host kernel_inject"
    ),
    "compile": words(
        "deepcompile autoep_non_moe free_activation free_activation_threshold offload_activation "
        "offload_activation_pin_memory offload_opt_states double_buffer symmetric_memory debug_log "
        "offload_parameters sync_before_reduce sync_after_reduce sync_before_allgather "
        "sync_after_allgather keep_int_input_tensors keep_all_input_tensors passes"
    ),
    "comet": words(
        "enabled samples_log_interval project workspace api_key experiment_name experiment_key "
        "online mode"
    ),
    "hybrid_engine": words(
        "enabled max_out_tokens inference_tp_size release_inference_cache pin_parameters "
        "tp_gather_partition_size enable_cuda_graph"
    ),
}

# Kinds of the values below blocks that watch and place: a `switch` is no text, as `|` takes none.
DEEPSPEED_KINDS: dict[str, tuple[str, ...]] = {
    "boolean": (
        *(f"{name}.enabled" for name in words("tensorboard csv_monitor wandb comet comms_logger")),
        *words("comms_logger.prof_all comms_logger.verbose comms_logger.debug"),
        *(
            f"hybrid_engine.{name}"
            for name in words("enabled release_inference_cache pin_parameters enable_cuda_graph")
        ),
        *(
            f"compile.{name}"
            for name in BLOCK_KEYS["compile"]
            if name not in ("free_activation_threshold", "passes")
        ),
        "tensor_parallel.tp_overlap_comm",
    ),
    "integer": words(
        "comet.samples_log_interval hybrid_engine.max_out_tokens hybrid_engine.inference_tp_size "
        "hybrid_engine.tp_gather_partition_size compile.free_activation_threshold "
        "tensor_parallel.autotp_size"
    ),
    "string": words(
        "tensorboard.output_path tensorboard.job_name csv_monitor.output_path "
        "csv_monitor.job_name wandb.project"
    ),
    "array": ("comms_logger.prof_ops",),
    "object": ("weight_quantization.quantized_initialization",),
    "switch": words("flops_profiler.enabled wall_clock_breakdown"),
}

# What must be a block where it is there, and the keys of others that take these values alone.
DEEPSPEED_BLOCKS = words(
    "data_types activation_checkpointing torch_autocast flops_profiler tensorboard wandb comet "
    "csv_monitor comms_logger checkpoint aio autotuning hybrid_engine compile tensor_parallel "
    "pipeline data_efficiency timers weight_quantization optimizer.params"
)
DEEPSPEED_CHOICES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("communication_data_type", "seq_parallel_communication_data_type"),
        ("fp32", "fp16", "bf16"),
    ),
    "checkpoint.tag_validation": ("Ignore", "Warn", "Fail"),
    "torch_autocast.dtype": words(
        "bfloat16 bf16 torch.bfloat16 float16 fp16 half torch.float16 float32 fp32 float "
        "torch.float32 int8 torch.int8"
    ),
}

# Keys that DeepSpeed 0.19 no longer has, and refuses.
REMOVED_DEEPSPEED_KEYS: dict[str, str] = {
    "nebula": "Nebula checkpointing has been removed.",
    "compression_training": "The DeepSpeed compression library has been removed.",
    "amp": "NVIDIA Apex AMP integration has been removed.",
    "quantize_training": "Mixture-of-Quantization (MoQ) / 'quantize_training' has been removed.",
    "sparse_gradients": (
        "Sparse compression of dense torch.nn.Embedding gradients has been removed."
    ),
    "eigenvalue": "Eigenvalue-based Mixture-of-Quantization (MoQ) has been removed",
    "sparse_attention": "DeepSpeed Sparse Attention has been removed",
    "elasticity": "Elastic training has been removed",
    "graph_harvesting": "Graph harvesting has been removed",
    "curriculum_learning": "Legacy top-level 'curriculum_learning' has been removed.",
    "progressive_layer_drop": "Progressive Layer Dropping has been removed",
}
REMOVED_ZERO_KEYS: dict[str, str] = {
    "mics_shard_size": "MiCS ZeRO-3 sharding has been removed",
    "mics_hierarchical_params_gather": "MiCS ZeRO-3 sharding has been removed",
    "zeropp_loco_param": "LoCo-Zero++ has been removed",
}


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A default that a library had in earlier releases.

    Attributes:
        library: The library.
        before: The first release that no longer has it.
        setting: The setting.
        value: The earlier default.
        of: Whose default it is, as `DEFAULTS` of the dialects names it.
        change: Where it was changed.
    """

    library: str
    before: str
    setting: str
    value: Any
    of: str
    change: str


# The defaults above hold from these releases on; `change` is a pull request, or the release.
EARLIER = (
    Earlier(
        library="deepspeed",
        before="0.19.3",
        setting="max_grad_norm",
        value=0.0,
        of=DEEPSPEED,
        change="DeepSpeed #8068",
    ),
    Earlier(
        library="torch",
        before="2.8",
        setting="optim_implementation",
        value="torch",
        of=TRAINER,
        change="transformers takes the fused AdamW from torch 2.8 on",
    ),
    *(
        Earlier(library="trl", before=before, setting=setting, value=value, of=TRL, change=change)
        for before, setting, value, change in (
            ("0.12.0", "learning_rate", 5e-5, "TRL 0.12"),
            ("0.19.0", "bf16", False, "TRL 0.19"),
            ("0.22.0", "gradient_checkpointing", False, "TRL 0.22"),
        )
    ),
)
