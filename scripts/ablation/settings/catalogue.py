"""The canonical hyperparameters: names, types, limits, and what each acts on.

Names are those of `transformers.TrainingArguments`, `peft.LoraConfig` (prefix `lora.`) and the
DeepSpeed configuration (prefix `deepspeed.`). The few that have no name there (`max_length`,
`data.extract_ratio`, `loss.*`) are called what their users call them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ablation.errors import UserError, shorten

Settings = Mapping[str, Any]  # an arm's, by name; SETTINGS has the type of each

LEARNING = "learning"
SYSTEMS = "systems"
BOTH = "both"
DATA = "data"
BOOKKEEPING = "bookkeeping"
NO_OP = "no-op"
UNKNOWN = "unknown"
# What a key is called that no setting stands for: this and the key.
OTHER = "other."

# The setting of study.yaml for faster operations, the same in all arms, and what it may name.
KERNELS: Final = "kernels"
PADDING_FREE = "padding_free"

DEEPSPEED_SCHEDULERS = ("WarmupLR", "WarmupDecayLR", "WarmupCosineLR", "OneCycle", "LRRangeTest")
HF_SCHEDULERS = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "cosine_with_min_lr",
    "warmup_stable_decay",
)


_LARGEST = 2**53  # whole numbers beyond it are no longer exact in JSON readers


def words(text: str) -> tuple[str, ...]:
    """The words of a text: long lists of names read better without quotes."""
    return tuple(text.split())


@dataclass(frozen=True)
class Setting:
    """One canonical hyperparameter.

    Attributes:
        name: The canonical name.
        kind: "float", "int", "bool", "text", "texts", "ints" or "mapping".
        acts_on: What a change of it can change (one of the classes above).
        group: The section of the report that treats it.
        minimum: The smallest allowed value; `above` excludes it.
        maximum: The largest allowed value.
        allowed: The only allowed values.
        optional: Whether null is a value.
        held: Whether the study holds it equal in all arms, whatever the two sides say.
        above: Whether `minimum` itself is excluded.
    """

    name: str
    kind: str
    acts_on: str
    group: str
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    optional: bool = False
    held: bool = False
    above: bool = False

    def read(self, value: object) -> object:
        """The value in the setting's own type.

        Raises:
            UserError: without file and line; the caller knows those.
        """
        if value is None:
            if self.optional:
                return None
            raise self._error(value)
        value = _READERS[self.kind](self, value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._check_range(value)
        if self.allowed is not None and value not in self.allowed:
            raise self._error(value)
        return value

    def _check_range(self, value: float) -> None:
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise self._error(value)
        low = self.minimum is not None and (
            value < self.minimum or (self.above and value == self.minimum)
        )
        high = self.maximum is not None and value > self.maximum
        if not math.isfinite(value) or low or high:
            raise self._error(value)

    def _error(self, value: object) -> UserError:
        return UserError(
            f"{self.name} has a value it cannot have",
            found="null" if value is None else shorten(value),
            allowed=self.describe(),
        )

    def describe(self) -> str:
        """The allowed values in words."""
        if self.allowed is not None:
            words = " | ".join(self.allowed)
        else:
            words = _WORDS[self.kind]
            if self.minimum is not None:
                words += f" {'above' if self.above else 'of at least'} {self.minimum:g}"
            if self.maximum is not None:
                words += f" and at most {self.maximum:g}"
        return words + (" | null" if self.optional else "")


_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true | false",
    "text": "text",
    "texts": "a list of names",
    "ints": "a list of whole numbers",
    "mapping": "a mapping of names to numbers or words",
}


def _read_float(setting: Setting, value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise setting._error(value) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise setting._error(value)
    try:
        return float(value)
    except OverflowError:
        raise setting._error(value) from None


def _read_int(setting: Setting, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _read_float(setting, value)
    if not math.isfinite(number) or number != int(number):
        raise setting._error(value)
    return int(number)


# What pydantic and argument parsers take for a switch.
_SWITCHES = {
    **dict.fromkeys(words("true 1 yes on y t"), True),
    **dict.fromkeys(words("false 0 no off n f"), False),
}


def _read_bool(setting: Setting, value: object) -> bool:
    if isinstance(value, float):
        raise setting._error(value)
    if (word := str(value).lower()) in _SWITCHES:
        return _SWITCHES[word]
    raise setting._error(value)


def _read_text(setting: Setting, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise setting._error(value)
    return str(value)


def _read_texts(setting: Setting, value: object) -> str | list[str]:
    if isinstance(value, str):
        return value if setting.name == "lora.target_modules" else [value]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise setting._error(value)
    if not value and setting.name == "lora.target_modules":
        raise setting._error(value)
    return sorted(set(value))


def _read_ints(setting: Setting, value: object) -> list[int]:
    items = value if isinstance(value, list) else [value]
    numbers = {_read_int(setting, item) for item in items}
    if not numbers or any(abs(number) > _LARGEST for number in numbers):
        raise setting._error(value)
    return sorted(numbers)


def _read_mapping(setting: Setting, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise setting._error(value)
    if not all(item is None or isinstance(item, (str, int, float)) for item in value.values()):
        raise setting._error(value)
    return dict(sorted(value.items()))


_READERS = {
    "float": _read_float,
    "int": _read_int,
    "bool": _read_bool,
    "text": _read_text,
    "texts": _read_texts,
    "ints": _read_ints,
    "mapping": _read_mapping,
}

_ZERO = "deepspeed.zero_optimization"
_MANY = 1_000_000
_STEPS = 1_000_000_000

SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        # LoRA
        Setting("lora.r", "int", LEARNING, "lora", minimum=1, maximum=65536),
        Setting("lora.lora_alpha", "float", LEARNING, "lora", minimum=0, above=True),
        Setting("lora.lora_dropout", "float", LEARNING, "lora", minimum=0, maximum=0.99),
        Setting("lora.target_modules", "texts", LEARNING, "lora"),
        Setting("lora.layers_to_transform", "ints", LEARNING, "lora", optional=True),
        Setting("lora.modules_to_save", "texts", LEARNING, "lora", optional=True),
        Setting("lora.bias", "text", LEARNING, "lora", allowed=("none", "all", "lora_only")),
        Setting("lora.use_rslora", "bool", LEARNING, "lora"),
        Setting("lora.use_dora", "bool", LEARNING, "lora"),
        Setting("lora.init_lora_weights", "bool", LEARNING, "lora"),
        Setting("lora.enable", "bool", LEARNING, "lora"),
        Setting("lora.trains_head", "bool", LEARNING, "lora"),
        # Learning rate and schedule
        Setting("learning_rate", "float", LEARNING, "learning_rate", minimum=0, above=True),
        Setting("lr_scheduler_type", "text", LEARNING, "scheduler"),
        Setting("lr_scheduler_kwargs", "mapping", LEARNING, "scheduler"),
        Setting("warmup_steps", "float", LEARNING, "scheduler", minimum=0, maximum=_STEPS),
        # Batch
        Setting("per_device_train_batch_size", "int", BOTH, "batch", minimum=1, maximum=_MANY),
        Setting("gradient_accumulation_steps", "int", BOTH, "batch", minimum=1, maximum=_MANY),
        Setting("world_size", "int", BOTH, "batch", minimum=1, maximum=_MANY),
        # Optimizer
        Setting("weight_decay", "float", LEARNING, "weight_decay", minimum=0),
        Setting("optim", "text", LEARNING, "optimizer"),
        Setting(
            "optim_implementation",
            "text",
            BOTH,
            "deepspeed",
            allowed=("torch", "torch_fused", "deepspeed"),
        ),
        Setting("adam_beta1", "float", LEARNING, "optimizer", minimum=0, maximum=1),
        Setting("adam_beta2", "float", LEARNING, "optimizer", minimum=0, maximum=1),
        Setting("adam_epsilon", "float", LEARNING, "optimizer", minimum=0),
        Setting("max_grad_norm", "float", LEARNING, "optimizer", minimum=0),
        Setting("label_smoothing_factor", "float", LEARNING, "loss", minimum=0, maximum=1),
        # Duration
        Setting("num_train_epochs", "float", LEARNING, "epochs", minimum=-1, maximum=_MANY),
        Setting("max_steps", "int", LEARNING, "epochs", minimum=-1, maximum=_STEPS),
        # Text and data
        Setting("max_length", "int", DATA, "max_length", minimum=1, maximum=_STEPS),
        Setting("truncation", "bool", DATA, "max_length"),
        Setting("padding", "text", SYSTEMS, "max_length", allowed=("longest", "max_length")),
        Setting("data.extract_ratio", "float", DATA, "data", minimum=0, maximum=1, above=True),
        Setting("data.max_classes", "int", DATA, "data", minimum=2, optional=True),
        # Loss
        Setting("loss.use_class_weights", "bool", LEARNING, "loss"),
        Setting("loss.class_weight_alpha", "float", LEARNING, "loss", minimum=0),
        Setting("loss.class_weight_min", "float", LEARNING, "loss", minimum=0),
        Setting("loss.class_weight_max", "float", LEARNING, "loss", minimum=0, optional=True),
        # Selection of the weights that count
        Setting("load_best_model_at_end", "bool", LEARNING, "selection"),
        Setting("metric_for_best_model", "text", LEARNING, "selection", optional=True),
        Setting("greater_is_better", "bool", LEARNING, "selection", optional=True),
        # Precision
        Setting(
            "model.dtype", "text", BOTH, "precision", allowed=("float32", "bfloat16", "float16")
        ),
        Setting("bf16", "bool", BOTH, "precision"),
        Setting("fp16", "bool", BOTH, "precision"),
        # Memory and DeepSpeed
        Setting("gradient_checkpointing", "bool", SYSTEMS, "deepspeed"),
        Setting(f"{_ZERO}.stage", "int", BOTH, "deepspeed", minimum=0, maximum=3),
        Setting(
            f"{_ZERO}.offload_optimizer.device",
            "text",
            SYSTEMS,
            "deepspeed",
            allowed=("none", "cpu", "nvme"),
        ),
        Setting(
            f"{_ZERO}.offload_param.device",
            "text",
            SYSTEMS,
            "deepspeed",
            allowed=("none", "cpu", "nvme"),
        ),
        Setting(f"{_ZERO}.offload_optimizer.pin_memory", "bool", SYSTEMS, "deepspeed"),
        Setting(f"{_ZERO}.offload_param.pin_memory", "bool", SYSTEMS, "deepspeed"),
        Setting(f"{_ZERO}.allgather_bucket_size", "int", SYSTEMS, "deepspeed", minimum=0),
        Setting(f"{_ZERO}.reduce_bucket_size", "int", SYSTEMS, "deepspeed", minimum=1),
        Setting("dataloader_num_workers", "int", SYSTEMS, "loader", minimum=0),
        Setting("dataloader_pin_memory", "bool", SYSTEMS, "loader"),
        # Held equal in all arms: what is compared must be evaluated on the same rows
        Setting("split.seed", "int", DATA, "data", optional=True, held=True),
        Setting("split.test_size", "float", DATA, "data", minimum=0, maximum=1, held=True),
        Setting("split.val_size", "float", DATA, "data", minimum=0, maximum=1, held=True),
        Setting("split.extract_seed", "int", DATA, "data", optional=True, held=True),
        Setting("split.stratify_extract", "bool", DATA, "data", held=True),
        Setting("data.label_column", "text", DATA, "data", optional=True, held=True),
        Setting("serialization.text_columns", "texts", DATA, "data", optional=True, held=True),
        Setting("serialization.separator", "text", DATA, "data", held=True),
        Setting("serialization.key_value_separator", "text", DATA, "data", held=True),
        Setting("serialization.include_column_names", "bool", DATA, "data", held=True),
        Setting("model.name_or_path", "text", BOTH, "model", optional=True, held=True),
        Setting("model.trust_remote_code", "bool", BOTH, "model", held=True),
        Setting("seed", "int", LEARNING, "seed", held=True),
    )
}


# Values that a library has and no run here: by setting, the pattern of them and what is said.
_NOT_RUN = {
    "lora.init_lora_weights": (
        "gaussian|eva|olora|pissa(_niter_[0-9]+)?|corda|loftq|orthogonal|mica|lora_ga",
        "runs here begin with peft's own initialization, or with a random one",
    ),
    "optim_implementation": ("axolotl", "runs here have no such optimizer"),
}


def not_run_here(setting: str, value: object) -> str | None:
    """Why no run here can have a value that its library has; None where it has no such value."""
    pattern, reason = _NOT_RUN.get(setting, ("", ""))
    return reason if isinstance(value, str) and re.fullmatch(pattern, value) else None


@dataclass(frozen=True)
class Untrained:
    """A setting that is read and compared, and that no run here can act upon.

    Attributes:
        acts_on: What a change of it can change where it is acted upon.
        note: What runs here do instead.
        harmless: Values with which nothing is missing.
    """

    acts_on: str
    note: str
    harmless: tuple[object, ...] = (None, False, "", [], {})

    def is_harmless(self, value: object) -> bool:
        """Whether nothing is missing with this value."""
        return value is None or any(
            value == harmless and type(value) is type(harmless) for harmless in self.harmless
        )


# accelerate's own AcceleratorConfig, as a dump of TrainingArguments writes it out.
_ACCELERATOR = {
    "split_batches": False,
    "dispatch_batches": None,
    "even_batches": True,
    "use_seedable_sampler": True,
    "non_blocking": False,
    "gradient_accumulation_kwargs": None,
}


def _untrained(acts: str, note: str, names: str, *harmless: object) -> dict[str, Untrained]:
    values = harmless or Untrained.harmless
    return {name: Untrained(acts, note, values) for name in words(names)}


UNTRAINED: dict[str, Untrained] = {
    **_untrained(
        BOTH,
        "not run here: the base weights are loaded in model.dtype, not quantized",
        "load_in_4bit load_in_8bit quantization_bit quantization_config gptq qlora fp8 "
        "bnb_4bit_use_double_quant use_bnb_nested_quant",
    ),
    **_untrained(
        BOTH,
        "not run here: the optimizer keeps its state in 32 bits",
        "optim_state",
        "float32",
        None,
    ),
    **_untrained(
        LEARNING,
        "not run here: nothing is added to the embeddings",
        "neftune_noise_alpha noisy_embedding_alpha",
        *(None, 0, False),
    ),
    **_untrained(
        LEARNING,
        "not run here: LoRA adapters are trained on a frozen base",
        "training.method unfrozen_parameters freeze_trainable_layers freeze_trainable_modules "
        "freeze_extra_modules freeze_vision_tower freeze_multi_modal_projector "
        "freeze_language_model freeze_mm_modules use_llama_pro reinit_weights mixture_of_depths "
        "train_from_scratch oft_rank oft_block_size oft_target module_dropout relora "
        "relora_prune_ratio relora_prune_method lisa_n_layers lisa_step_interval "
        "lisa_layers_attribute peft",
        *(None, False, "lora", "full", "", [], {}),
    ),
    **_untrained(
        LEARNING,
        "not run here: runs here classify",
        "rl rl_beta dpo_beta beta pref_beta pref_ftx pref_loss pref_bco_weight "
        "dpo_label_smoothing dpo_loss_type dpo_loss_weights dpo_use_weighting label_smoothing "
        "simpo_gamma cpo_alpha orpo_alpha rpo_alpha kto_desirable_weight kto_undesirable_weight "
        "kto_chosen_weight kto_rejected_weight desirable_weight undesirable_weight loss_weights "
        "use_weighting f_divergence_type f_alpha_divergence_coef discopop_tau ld_alpha ref_model "
        "ref_model_adapters ref_model_quantization_bit ref_model_mixup_alpha sync_ref_model "
        "ref_model_sync_steps precompute_ref_log_probs reward_model reward_model_adapters "
        "reward_model_type reward_model_quantization_bit process_reward_model reward_weights "
        "reward_funcs center_rewards_coefficient disable_dropout num_generations num_iterations "
        "steps_per_generation generation_batch_size max_completion_length epsilon epsilon_high "
        "delta scale_rewards importance_sampling_level mask_truncated_completions "
        "top_entropy_quantile temperature top_p top_k min_p repetition_penalty ppo_epochs "
        "ppo_buffer_size ppo_target ppo_score_norm ppo_whiten_rewards trl ebft use_dft_loss "
        "use_eaft_loss use_eaft eaft_alpha eaft_k use_asft_loss asft_alpha truncation_mode",
        *(None,),
    ),
    **_untrained(
        LEARNING, "not run here: runs here classify", "training.objective", *(None, "sft")
    ),
    **_untrained(
        LEARNING,
        "not run here: every run begins with a new adapter and the model's own tokens",
        "lora_model_dir adapter_name_or_path create_new_adapter special_tokens tokens eot_tokens "
        "eos_token pad_token add_tokens add_special_tokens new_special_tokens_config "
        "init_special_tokens resize_vocab added_tokens_overrides resize_token_embeddings_to_32x "
        "mean_resizing_embeddings shrink_embeddings fix_untrained_tokens split_special_tokens "
        "embeddings_skip_upcast peft_autocast_adapter_dtype peft_ensure_weight_tying",
    ),
    **_untrained(
        BOTH,
        "not run here: the model is loaded as its own files say",
        "model_revision model_init_kwargs model_kwargs model_config rope_scaling model_type "
        "overrides_of_model_config overrides_of_model_kwargs type_of_model tokenizer_type "
        "tokenizer_use_fast tokenizer_legacy router_aux_loss_coef moe_aux_loss_coef "
        "experts_implementation cls_model_config scaling_softmax shift_attn s2_attention "
        "tokenizer_name_or_path",
        *(None, False, "main", "", {}),
    ),
    **_untrained(
        BOTH,
        "not run here: the base weights are loaded in model.dtype, not quantized",
        "quantization_method quantization_type double_quantization bnb_4bit_quant_type "
        "bnb_4bit_quant_storage bnb_4bit_compute_dtype bnb_config_kwargs qat quantization "
        "model_quantization_config model_quantization_config_kwargs quantize_moe_experts "
        "fp8_backend fp8_config quantization_device_map",
        *(None, {}),
    ),
    **_untrained(
        LEARNING,
        "not run here: the optimizer is another one",
        "use_galore galore_rank galore_scale galore_target galore_update_interval galore_layerwise "
        "galore_proj_type use_apollo apollo_rank apollo_scale apollo_target "
        "apollo_update_interval apollo_layerwise apollo_proj apollo_proj_type apollo_scale_type "
        "apollo_scale_front use_badam badam_mode badam_start_block badam_switch_mode "
        "badam_switch_interval badam_update_ratio badam_mask_mode use_muon use_adam_mini dion_lr "
        "dion_momentum dion_rank_fraction dion_rank_multiple_of qgalore_rank qgalore_scale "
        "qgalore_update_proj_gap qgalore_proj_type qgalore_proj_quant qgalore_proj_bits "
        "qgalore_proj_group_size qgalore_cos_threshold qgalore_gamma_proj qgalore_queue_size "
        "lr_quadratic_warmup cosine_constant_lr_ratio cosine_min_lr_ratio lr_div_factor "
        "jagged_restart_steps jagged_restart_warmup_steps jagged_restart_anneal_steps adafactor",
    ),
    **_untrained(
        DATA,
        "not run here: each row is a sequence of its own",
        "packing neat_packing sample_packing eval_packing padding_free batch_flattening "
        "packing_strategy sample_packing_eff_est sample_packing_bin_size "
        "sample_packing_group_size sample_packing_sequentially multipack_real_batches "
        "pretrain_multipack_attn pretrain_multipack_buffer_size streaming_multipack_buffer_size "
        "max_packed_sequence_len",
    ),
    **_untrained(
        DATA,
        "all arms are evaluated on the study's own rows",
        "test_datasets eval_dataset dataset_test_split split.val_rows eval_on_each_dataset "
        "test_split_size eval_sequence_len",
        *(None, False, [], {}),
    ),
    **_untrained(
        DATA,
        "all arms train on the study's own data, read as it says",
        "dataset_dir media_dir tokenized_path dataset_text_field dataset_train_split "
        "dataset_streaming dataset_splits dataset_configs dataset_kwargs streaming mix_strategy "
        "interleave_probs buffer_size disable_shuffling shuffle_merged_datasets "
        "shuffle_before_merging_datasets pretraining_dataset pretraining_sample_concatenation "
        "dataset_shard_num dataset_shard_idx dataset_exact_deduplication max_prompt_len "
        "max_prompt_length min_sample_len default_system default_system_message "
        "chat_template_jinja chat_template_kwargs role_boundaries tool_format enable_thinking "
        "preserve_thinking ignore_pad_token_for_loss use_pose pose_max_context_len "
        "pose_num_chunks pose_split_on_token_ids data_files",
        *(None, [], {}),
    ),
    **_untrained(
        DATA,
        "not run here: rows beyond max_length are cut, not dropped",
        "excess_length_strategy",
        "truncate",
        None,
    ),
    **_untrained(
        DATA,
        "all arms train on the study's own data",
        "dataset datasets dataset_name dataset_config dataset_mixer dataset_mixture max_samples",
        *(None,),
    ),
    **_untrained(
        LEARNING,
        "belongs to language modeling; runs here classify",
        "template chat_template chat_template_path completion_only_loss assistant_only_loss "
        "loss_type train_on_prompt train_on_inputs mask_history task_type lora.task_type",
        *(None, False, "SEQ_CLS"),
    ),
    **_untrained(
        LEARNING,
        "not run here: one learning rate for all weights",
        "loraplus_lr_ratio loraplus_lr_embedding embedding_lr embedding_lr_scale lr_groups",
    ),
    **_untrained(
        LEARNING,
        "not run here: the optimizer has no further arguments",
        "optim_args optim_target_modules adam_beta3 adam_epsilon2",
    ),
    **_untrained(
        LEARNING,
        "not run here: all epochs are trained",
        "early_stopping_patience",
        *(None, 0, False),
    ),
    **_untrained(
        LEARNING,
        "not run here: rows are shuffled in an order that all arms share",
        "train_sampling_strategy dataloader_drop_last data_seed ignore_data_skip "
        "curriculum_sampling dataloader_multiprocessing_context accelerator_config shuffle_dataset",
        *(None, False, "random", {}, _ACCELERATOR),
    ),
    **_untrained(
        LEARNING,
        "not run here: losses are averaged over the tokens of all devices",
        "average_tokens_across_devices",
        *(None, True),
    ),
    **_untrained(
        SYSTEMS,
        "not run here: DeepSpeed shares the memory",
        "fsdp fsdp_config fsdp_version parallelism_config auto_find_batch_size",
        *(None, False, "", [], {}),
    ),
    **_untrained(
        SYSTEMS,
        "not run here: the model runs uncompiled, with its own kernels",
        "torch_compile torch_compile_backend torch_compile_mode use_liger_kernel "
        "liger_kernel_config enable_liger_kernel use_unsloth use_unsloth_gc flash_attention "
        "flash_attn attn_implementation use_flash_attention_2 xformers_attention sdp_attention "
        "use_kernels lora_mlp_kernel lora_qkv_kernel lora_o_kernel lora_embedding_kernel "
        "chunked_cross_entropy flash_attn_cross_entropy flash_attn_fuse_mlp tiled_mlp plugins "
        "liger_rope liger_rms_norm liger_glu_activation liger_swiglu liger_layer_norm "
        "liger_fused_linear_cross_entropy liger_cross_entropy cut_cross_entropy use_v1_kernels",
        *(None, False, "", {}, [], "auto", "sdpa", "disabled"),
    ),
    **_untrained(
        BOTH,
        "not run here: precision is that of model.dtype, bf16 and fp16",
        "tf32 bf16_full_eval fp16_full_eval upcast_layernorm upcast_lmhead_output pure_bf16",
    ),
    **_untrained(
        SYSTEMS,
        "not run here: checkpointing is not reentrant and stays on the device",
        "gradient_checkpointing_kwargs activation_checkpointing_kwargs activation_offloading "
        "gradient_checkpointing_offload use_reentrant_gc torch_empty_cache_steps full_determinism",
        *(None, False, {}),
    ),
    **_untrained(
        LEARNING,
        "not run here: LoRA has no such part",
        " ".join(
            f"lora.{name}"
            for name in words(
                "exclude_modules layers_pattern rank_pattern alpha_pattern fan_in_fan_out "
                "target_parameters trainable_token_indices layer_replication loftq_config "
                "eva_config corda_config lora_ga_config velora_config monteclora_config "
                "alora_invocation_tokens use_qalora lora_bias use_bdlora arrow_config kasa_config "
                "ensure_weight_tying pissa_init"
            )
        ),
    ),
    **_untrained(
        LEARNING,
        "not run here: DeepSpeed trains without this block",
        " ".join(
            f"deepspeed.{name}"
            for name in words(
                "curriculum_learning data_efficiency progressive_layer_drop compression_training "
                "sparse_attention eigenvalue prescale_gradients gradient_predivide_factor "
                "communication_data_type torch_autocast amp data_types sparse_gradients elasticity"
            )
        ),
        *(None, False, {}, 1.0),
    ),
}

# Settings that mean nothing without each other: a stage that moves the first moves the second.
MOVES_TOGETHER = {
    "lr_scheduler_type": ("lr_scheduler_kwargs",),
    "load_best_model_at_end": ("metric_for_best_model", "greater_is_better"),
}

# DeepSpeed's `activation_checkpointing` acts only through its own API, which no Hugging Face model
# calls. The gathering of ZeRO-3 weights happens when a checkpoint is saved.
_WITHOUT_EFFECT = ("deepspeed.activation_checkpointing.",)
_SAVING = (
    f"{_ZERO}.stage3_gather_16bit_weights_on_model_save",
    f"{_ZERO}.stage3_gather_fp16_weights_on_model_save",
)
_DEEPSPEED_TRAINED = (f"{_ZERO}.", "deepspeed.fp16.", "deepspeed.bf16.")


def acts_on(name: str) -> str:
    """What a change of this setting can change: one of the classes above."""
    if name in SETTINGS:
        return SETTINGS[name].acts_on
    if name in UNTRAINED:
        return UNTRAINED[name].acts_on
    if name.startswith(OTHER):
        return UNKNOWN
    if name.startswith(_WITHOUT_EFFECT):
        return NO_OP
    if name.startswith(_DEEPSPEED_TRAINED) and name not in _SAVING:
        return SYSTEMS if name.startswith(f"{_ZERO}.") else BOTH
    return BOOKKEEPING


def group_of(name: str) -> str:
    """The section of the report that treats this setting."""
    if name in SETTINGS:
        return SETTINGS[name].group
    if name.startswith("lora."):
        return "lora"
    return "deepspeed" if acts_on(name) in (NO_OP, SYSTEMS, BOTH) else "bookkeeping"


def in_arm(name: str) -> bool:
    """Whether the setting is part of an arm: it reaches training and is not held equal."""
    if name in SETTINGS:
        return not SETTINGS[name].held
    return name not in UNTRAINED and acts_on(name) in (SYSTEMS, BOTH)
