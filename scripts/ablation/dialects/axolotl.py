"""axolotl: its own names for the Trainer's arguments, and defaults of its own.

Its own: one epoch, a cosine schedule, micro-batches of one row, bf16 where the GPU has it, rows
beyond `sequence_len` dropped rather than cut, and a warmup of 3 % of all steps but at most 100.
Its ratios round down where the Trainer's round up, and its steps are those of all epochs at once.
Names of Trainer's arguments that axolotl has not are passed over, as axolotl does.
Read in axolotl 0.19.0.
"""

from __future__ import annotations

import functools

from ablation.dialects import defaults, vocabulary
from ablation.dialects.axolotl_rules import ATTENTION, refuse_together, refuse_values
from ablation.dialects.blocks import read_lora_keys, read_model, read_optim, read_trainer
from ablation.dialects.keys import (
    Key,
    Keys,
    Settings,
    Warmup,
    by_setting,
    deepspeed_keys,
    optimizer_name,
    trainer_keys,
    under,
)
from ablation.dialects.reader import Reader
from ablation.documents.entries import Entry
from ablation.documents.scalars import is_number
from ablation.settings.architecture import LINEAR
from ablation.settings.catalogue import words

NAME = "axolotl"
LIBRARY = vocabulary.library_of(NAME)
PASSES_OVER_STRANGERS = True
# It does not start without the first; no other trainer has one of the others.
MARKS = words("base_model sequence_len sample_packing lora_target_linear")
DEFAULTS = (
    (defaults.AXOLOTL, defaults.AXOLOTL_DEFAULTS),
    *defaults.WITH_TRAINER,
)

_LORA = {
    "lora_r": "lora.r",
    "lora_alpha": "lora.lora_alpha",
    "lora_dropout": "lora.lora_dropout",
    "lora_modules_to_save": "lora.modules_to_save",
    "lora_fan_in_fan_out": "lora.fan_in_fan_out",
    "lora_target_parameters": "lora.target_parameters",
    "lora_rank_pattern": "lora.rank_pattern",
    "lora_alpha_pattern": "lora.alpha_pattern",
    "peft_layers_to_transform": "lora.layers_to_transform",
    "peft_layers_pattern": "lora.layers_pattern",
    "peft_layer_replication": "lora.layer_replication",
    "peft_use_rslora": "lora.use_rslora",
    "peft_use_dora": "lora.use_dora",
    "peft_init_lora_weights": "lora.init_lora_weights",
    "peft_trainable_token_indices": "lora.trainable_token_indices",
}
_RENAMED = {
    "micro_batch_size": "per_device_train_batch_size",
    "num_epochs": "num_train_epochs",
    "sequence_len": "max_length",
    "eval_batch_size": "per_device_eval_batch_size",
}
_OWN_OPTIMIZERS = words(
    "optimi_adamw ao_adamw_fp8 adopt_adamw adamc came_pytorch muon dion sinkgd polora flash_adamw "
    "flash_adam flash_sgd flash_sgdw flash_lion q_galore_adamw8bit"
)
_OF_ADAPTER = words("lora_target_modules lora_target_linear loraplus_lr_ratio lora_model_dir")
_READ_HERE = words(
    "bf16 fp16 gradient_checkpointing warmup_steps warmup_ratio optim sample_packing "
    "eval_sample_packing adapter attn_implementation xformers_attention flash_attention "
    "sdp_attention early_stopping_patience load_best_model_at_end"
)
# Names of Trainer's arguments that mean nothing here.
_NOT_HERE = tuple(
    name for name in vocabulary.keys_of("hf_trainer") if name not in vocabulary.keys_of(NAME)
)
NO_EFFECT = {
    "says what is logged and watched": words(
        "wandb_project wandb_entity wandb_watch wandb_name wandb_run_id wandb_log_model wandb_mode "
        "use_wandb mlflow_tracking_uri mlflow_experiment_name mlflow_run_name use_mlflow "
        "hf_mlflow_log_artifacts use_tensorboard use_trackio trackio_project_name trackio_run_name "
        "use_comet comet_api_key comet_experiment_config comet_experiment_key comet_mode "
        "comet_online comet_project_name comet_workspace use_otel_metrics otel_metrics_host "
        "otel_metrics_port include_tkps profiler_steps profiler_steps_start generate_samples "
        "num_generation_samples generation_max_new_tokens generation_temperature "
        "generation_top_p generation_top_k generation_do_sample generation_prompt_ratio"
    ),
    "says what is evaluated beside the loss": words(
        "evals_per_epoch eval_table_size eval_max_new_tokens do_bench_eval bench_dataset "
        "bench_split do_causal_lm_eval eval_causal_lm_metrics"
    ),
    "says what is saved and where": words(
        "saves_per_epoch auto_resume_from_checkpoints save_first_step dataset_prepared_path "
        "push_dataset_to_hub hf_use_auth_token dynamic_checkpoint num_dataset_shards_to_save "
        "tokenizer_save_jinja_files axolotl_config_path"
    ),
    "says how rows are prepared, not which": words(
        "dataset_processes dataset_num_proc dataset_keep_in_memory skip_prepare_dataset "
        "is_preprocess preprocess_iterable sample_packing_mp_start_method total_num_tokens "
        "total_supervised_tokens"
    ),
    "only for inference and merging": words(
        "merge_lora merge_method gradio_title gradio_share gradio_server_name gradio_server_port "
        "gradio_max_new_tokens gradio_temperature lora_on_cpu vllm"
    ),
    "only frees or places memory": words(
        "gc_steps gc_collect_steps max_memory gpu_memory_limit low_cpu_mem_usage device device_map "
        "ddp world_size use_ray ray_run_name ray_num_workers resources_per_worker "
        "experimental_skip_move_to_device qlora_sharded_model_loading"
    ),
    "stops a run, and changes none that is not stopped": words(
        "loss_watchdog_threshold loss_watchdog_patience strict"
    ),
    "tells what the base model is, as its own files do": words(
        "is_falcon_derived_model is_llama_derived_model is_mistral_derived_model "
        "is_qwen_derived_model base_model_config tokenizer_config"
    ),
}
_WARMUP_SHARE = 0.03
WARMUP_LIMIT = 100  # of steps, where no warmup is written
# Of a row of scripts: how its file is loaded. axolotl's type says how a row is put into words.
_LOADERS = words("json jsonl csv tsv parquet arrow text txt hf huggingface hub local disk file")


def is_its(root: Entry) -> bool:
    """Whether a file names a base model, and rows by path and by axolotl's type."""
    rows = root.at("datasets")
    plain = rows.plain() if rows is not None else None
    typed = isinstance(plain, list) and any(
        isinstance(row, dict) and "path" in row and row.get("type", "json") not in _LOADERS
        for row in plain
    )
    return typed and root.at("base_model") is not None


def read(reader: Reader) -> None:
    """Read the whole file into the reader's settings."""
    reader.null_is_absent = True
    _read_kind(reader)
    read_trainer(reader, "", skip=(*_READ_HERE, *_NOT_HERE))
    for key, setting in _RENAMED.items():
        reader.take(key, setting)
    read_model(reader, name_key="base_model")
    reader.untrained("revision_of_model", "model_revision")
    if _has_adapter(reader):
        read_lora_keys(reader, _LORA)
        _read_targets(reader)
    elif not _is_set(reader, "adapter"):  # a plugin's adapter may read these keys
        reader.doubt("no adapter is trained", (*_LORA, *_OF_ADAPTER))
    _read_accumulation(reader)
    _read_optimizer(reader)
    _read_schedule(reader)
    _read_warmup(reader)
    _read_precision(reader)
    _read_memory(reader)
    _read_attention(reader)
    _read_data(reader)
    _read_selection(reader)
    _refuse(reader)
    refuse_together(reader, LIBRARY)
    refuse_values(reader, LIBRARY)


def _has_adapter(reader: Reader) -> bool:
    return reader.raw("adapter") in ("lora", "qlora")


def _is_set(reader: Reader, key: str) -> bool:
    return bool(reader.raw(key))


def _read_kind(reader: Reader) -> None:
    """What is trained, and to what end."""
    if not _is_set(reader, "adapter"):
        key = "unfrozen_parameters" if _is_set(reader, "unfrozen_parameters") else "adapter"
        reader.derive("lora.enable", False, key, "no adapter: the model's own weights are trained")
        if key == "unfrozen_parameters":
            reader.derive("training.method", "freeze", key, "only these weights are trained")
    else:
        reader.untrained("adapter", "training.method")
        if not _has_adapter(reader):
            reader.derive("lora.enable", False, "adapter", "an adapter of another kind")
    objectives = (
        ("rl", lambda value: value),
        ("reward_model", lambda value: "reward"),
        ("process_reward_model", lambda value: "process_reward"),
        ("pretraining_dataset", lambda value: "pt"),
        ("kd_trainer", lambda value: "gkd"),
    )
    for key, name in objectives:
        if _is_set(reader, key):
            reader.derive("training.objective", name(reader.raw(key)), key, "the kind of training")
    reader.derive("training.objective", "sft", LIBRARY, "nothing else is asked for")


def _refuse(reader: Reader) -> None:
    """What axolotl's own schema stops at (utils/schemas/validation.py and peft.py)."""
    if reader.raw("learning_rate") is None:
        reader.refuse("learning_rate", "learning_rate", LIBRARY, "`learning_rate` is required")
    asked = {key: reader.raw(key) for key in ("adapter", "load_in_4bit", "load_in_8bit", "gptq")}
    if not asked["adapter"] and (asked["load_in_4bit"] or asked["load_in_8bit"]):
        key = "load_in_4bit" if asked["load_in_4bit"] else "load_in_8bit"
        reason = "load_in_8bit and load_in_4bit are not supported without an adapter"
        reader.refuse(key, key, LIBRARY, reason, "adapter: lora, or no quantized weights")
    if asked["adapter"] == "qlora":
        if asked["load_in_8bit"] or asked["gptq"]:
            reader.refuse("adapter", None, LIBRARY, "qlora cannot be loaded in 8 bit or GPTQ")
        elif not asked["load_in_4bit"]:
            reason = "qlora requires load_in_4bit to be true"
            reader.refuse("adapter", None, LIBRARY, reason, write="load_in_4bit: true")
    for key in ("lora_r", "lora_alpha"):
        if (
            _has_adapter(reader)
            and reader.raw(key) is None
            and not _is_set(reader, "lora_model_dir")
        ):
            name = _LORA[key]
            reader.refuse(
                "adapter", name, LIBRARY, f"a new adapter needs `{key}`: it has no default"
            )
    if _is_set(reader, "warmup_steps") and _is_set(reader, "warmup_ratio"):
        reason = "warmup_steps and warmup_ratio are mutually exclusive"
        reader.refuse("warmup_ratio", "warmup_steps", LIBRARY, reason, "one of the two")
    if _is_set(reader, "gradient_accumulation_steps") and _is_set(reader, "batch_size"):
        reason = "please set only one of gradient_accumulation_steps or batch_size"
        reader.refuse("batch_size", "gradient_accumulation_steps", LIBRARY, reason)
    if _is_set(reader, "test_datasets") and _is_set(reader, "val_set_size"):
        reason = "non-zero val_set_size should not be used with test_datasets"
        reader.refuse("val_set_size", "split.val_size", LIBRARY, reason)
    if _is_set(reader, "sample_packing") and _is_set(reader, "rl"):
        reason = "`sample_packing: true` does not work with RLHF training"
        reader.refuse("sample_packing", "packing", LIBRARY, reason)
    _refuse_evaluation(reader)
    _refuse_groups(reader)


def _refuse_evaluation(reader: Reader) -> None:
    steps, strategy = reader.raw("eval_steps"), reader.raw("eval_strategy")
    if steps and strategy and strategy != "steps":
        reader.refuse("eval_steps", "eval_steps", LIBRARY, "eval_strategy and eval_steps mismatch")
    nothing = reader.raw("val_set_size") == 0 and not _is_set(reader, "test_datasets")
    if nothing and (steps or strategy) and strategy != "no":
        key = "eval_steps" if steps else "eval_strategy"
        reason = "eval_steps and eval_strategy are not supported with val_set_size == 0"
        reader.refuse(key, key, LIBRARY, reason, "val_set_size above 0, or no evaluation")
    every, between = reader.raw("save_steps"), steps
    if _is_set(reader, "early_stopping_patience") and _do_not_divide(every, between):
        reason = (
            "`early_stopping_patience` requires that eval_steps should evenly divide save_steps"
        )
        reader.refuse("early_stopping_patience", "early_stopping_patience", LIBRARY, reason)
    for every, other in (("evals_per_epoch", "eval_steps"), ("saves_per_epoch", "save_steps")):
        if _is_set(reader, every) and _is_set(reader, other):
            reader.refuse(every, None, LIBRARY, f"{other} and {every} are mutually exclusive")
    save = reader.raw("save_strategy")
    if save and _is_set(reader, "save_steps") and save != "steps":
        reader.refuse("save_steps", "save_steps", LIBRARY, "save_strategy and save_steps mismatch")


def _do_not_divide(whole: object, part: object) -> bool:
    """Whether two numbers, neither zero, do not divide."""
    return is_number(whole) and is_number(part) and 0 not in (whole, part) and whole % part != 0


def _refuse_groups(reader: Reader) -> None:
    """GRPO wants whole groups of generations in each batch; DPO a weight for each loss."""
    size, group = reader.raw("trl.generation_batch_size"), reader.raw("trl.num_generations")
    if size is None:
        rows, times = reader.raw("micro_batch_size"), reader.raw("gradient_accumulation_steps")
        numbers = [value if isinstance(value, int) and value else 1 for value in (rows, times)]
        size = numbers[0] * numbers[1]
    if reader.raw("rl") == "grpo" and _do_not_divide(size, group):
        reason = f"generation batch size {size} must be divisible by trl.num_generations"
        reader.refuse("trl.num_generations", None, LIBRARY, reason)
    losses, weights = reader.raw("dpo_loss_type"), reader.raw("dpo_loss_weights")
    if isinstance(losses, list) and isinstance(weights, list) and len(losses) != len(weights):
        reason = "`dpo_loss_type` and `dpo_loss_weights` must be the same length"
        reader.refuse("dpo_loss_weights", None, LIBRARY, reason)


def _read_targets(reader: Reader) -> None:
    """`lora_target_linear` adds every linear module, by name, to `lora_target_modules`.

    Others that are named there, as an embedding, are adapted too: no setting says so.
    """
    if reader.raw("lora_target_linear") is True:
        named = reader.root.at("lora_target_modules")
        plain = named.plain() if named else None
        others = set(map(str, plain if isinstance(plain, list) else [plain])) - {*LINEAR, "None"}
        if not others:
            reader.ignore("lora_target_modules")
        reader.take("lora_target_linear", "lora.target_modules", lambda value: "all-linear")
        return
    targets = reader.root.at("lora_target_modules")
    if targets is not None and targets.plain() not in (None, []):
        reader.take("lora_target_modules", "lora.target_modules")
        read_lora_keys(reader, {})  # once more, now that the modules are known
    else:
        reader.ignore("lora_target_modules")


def _read_accumulation(reader: Reader) -> None:
    """`batch_size` says nothing: accumulation is 1 before axolotl would divide it up."""
    if reader.raw("batch_size") is not None:
        note = "axolotl accumulates once unless gradient_accumulation_steps says otherwise"
        reader.derive("gradient_accumulation_steps", 1, "batch_size", note)


def _read_optimizer(reader: Reader) -> None:
    """A name of transformers, or one of the optimizers that axolotl brings with it."""
    entry = reader.root.at("optimizer")
    if entry is None:
        return
    if entry.plain() in _OWN_OPTIMIZERS:
        reader.ignore("optimizer")
        reader.add("optimizer", entry, "optim", entry.plain())
        reader.add("optimizer", entry, "optim_implementation", NAME)
    else:
        read_optim(reader, "optimizer")


def _read_schedule(reader: Reader) -> None:
    """The schedule; a cosine with a floor is transformers' `cosine_with_min_lr`."""
    floor = reader.root.at("cosine_min_lr_ratio")
    kind = reader.raw("lr_scheduler")
    plain = floor.plain() if floor else None
    if floor is not None and plain and is_number(plain):
        reader.ignore("cosine_min_lr_ratio")
        if kind in (None, "cosine"):
            note = "a cosine that ends at cosine_min_lr_ratio"
            reader.add(
                "cosine_min_lr_ratio", floor, "lr_scheduler_type", "cosine_with_min_lr", note
            )
            reader.settings.pop("lr_scheduler_kwargs", None)
            rate = {"min_lr_rate": float(plain)}
            reader.add("cosine_min_lr_ratio", floor, "lr_scheduler_kwargs", rate, note)
            return
    reader.take("lr_scheduler", "lr_scheduler_type")


def _read_warmup(reader: Reader) -> None:
    """`warmup_steps`, else `warmup_ratio`, else 3 % of all steps but at most 100; 1 becomes 2.

    Where `max_steps` is written they are counted of it; axolotl counts of no more steps than the
    epochs have, which the data alone can tell: `counting` leaves that to the quantities.
    """
    reader.counting["by"] = NAME
    steps, ratio = reader.raw("warmup_steps"), reader.raw("warmup_ratio")
    if steps is not None:
        note = "axolotl makes 2 of 1" if steps == 1 else None
        if isinstance(steps, float) and not steps.is_integer():
            reason = "warmup_steps must be a whole number; a share is warmup_ratio"
            write = f"warmup_ratio: {steps:g}"
            reader.refuse("warmup_steps", "warmup_steps", LIBRARY, reason, "a whole number", write)
        reader.take("warmup_steps", "warmup_steps", lambda value: 2 if value == 1 else value, note)
        return
    share: float = _WARMUP_SHARE
    limit: int | None = WARMUP_LIMIT
    if ratio is not None:
        note = "a share of all steps, rounded down"
        reader.take("warmup_ratio", "warmup_steps", _share, note)
        written = reader.first("warmup_steps")
        if written is None or written.unreadable:
            return
        share, limit = written.value, None
    reader.counting |= {"warmup_share": share, "warmup_limit": limit}
    _count_warmup(reader, share, limit)


def _count_warmup(reader: Reader, share: float, limit: int | None) -> None:
    total = reader.first("max_steps")
    key = defaults.AXOLOTL if limit else "warmup_ratio"
    most = f", at most {limit}" if limit else ""
    if total is None or total.unreadable or total.value <= 0:
        note = f"{share:.0%} of all steps, rounded down{most}"
        reader.derive("warmup_steps", share, key, note)
        return
    count = min(int(share * total.value), limit or total.value)
    reader.settings.pop("warmup_steps", None)
    note = f"{share:g} of {total.value} steps, rounded down{most}"
    reader.derive("warmup_steps", float(2 if count == 1 else count), key, note)


def _share(value: object) -> object:
    """A ratio; one that would be taken for steps is none."""
    return value if not is_number(value) or 0 <= value < 1 else f"{value:g} (a ratio)"


def _read_precision(reader: Reader) -> None:
    """As axolotl settles it in `resolve_dtype` and `_configure_precision_settings`.

    `bf16: auto` is on where the GPU has it, as every recent one; `bfloat16` turns mixed precision
    on beside `bf16: false`; the base weights are loaded in the same precision, those in 8 bit
    without bf16 in float16.
    """
    bf16, fp16 = reader.raw("bf16"), reader.raw("fp16")
    named = {dtype: reader.raw(dtype) is True for dtype in ("bfloat16", "float16", "float32")}
    if bf16 == "full":
        reader.take("bf16", "model.dtype", lambda value: "bfloat16", "pure bfloat16")
        reader.derive("bf16", False, "bf16", "weights in bfloat16, no mixed precision")
    elif bf16 is False and named["bfloat16"]:
        reader.take("bfloat16", "bf16", note="bfloat16 turns it on beside bf16: false")
    elif bf16 not in (None, "auto"):
        reader.take("bf16", "bf16")
    elif fp16 is True:
        reader.derive("bf16", False, "fp16", "fp16 is set")
    else:
        key = "bf16" if bf16 == "auto" else defaults.AXOLOTL
        reader.derive("bf16", True, key, "auto: where the GPU has it, as every recent one")
    if reader.says("bf16", True):
        reader.derive("fp16", False, "bf16", "bf16 wins over fp16")
    else:
        reader.take("fp16", "fp16")
    half = reader.says("fp16", True) or named["float16"] or reader.raw("load_in_8bit") is True
    precision = "float16" if half else "float32"
    if reader.says("bf16", True) or bf16 == "full" or named["bfloat16"]:
        precision = "bfloat16"
    reader.derive("model.dtype", precision, "bf16", "loaded in the precision of training")


def _read_memory(reader: Reader) -> None:
    """Checkpointing, which may also move what it saves; the loader's workers."""
    if reader.raw("gradient_checkpointing") in ("offload", "offload_disk", "unsloth"):
        reader.untrained("gradient_checkpointing", "gradient_checkpointing_offload")
        reader.take("gradient_checkpointing", "gradient_checkpointing", lambda value: True)
    else:
        reader.take("gradient_checkpointing", "gradient_checkpointing")
    loader = ("dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor")
    if all(reader.raw(key) is None for key in loader):
        note = "axolotl starts a worker for each GPU where nothing is written; counted as one"
        reader.derive("dataloader_num_workers", 1, defaults.AXOLOTL, note)


def _read_attention(reader: Reader) -> None:
    """The old switches are other names for `attn_implementation`."""
    flags = [flag for flag in ATTENTION if _is_set(reader, flag)]
    for flag in flags[:1]:  # the first one counts
        if reader.raw("attn_implementation"):
            reason = "attn_implementation cannot be combined with the old attention switches"
            reader.refuse(flag, "attn_implementation", LIBRARY, reason)
        named = functools.partial(_named, ATTENTION[flag])
        reader.untrained(flag, "attn_implementation", named)
    reader.ignore(*ATTENTION)
    reader.untrained("attn_implementation")


def _named(name: str, value: object) -> object:
    return name


def _read_data(reader: Reader) -> None:
    """Packing, which pads too; rows that are too long; the rows that are held out."""
    reader.untrained("sample_packing", "packing")
    reader.untrained("eval_sample_packing", "eval_packing")
    reader.derive("packing", False, LIBRARY, "axolotl packs where it is told to")
    pads = reader.raw("pad_to_sequence_len")
    if pads is not None:
        reader.take(
            "pad_to_sequence_len", "padding", lambda value: "max_length" if value else "longest"
        )
    for key in ("sample_packing", "reward_model"):
        if pads is None and _is_set(reader, key):
            reader.derive("padding", "max_length", key, f"{key} pads to sequence_len")
    reader.take("excess_length_strategy", "excess_length_strategy")
    size = reader.root.at("val_set_size")
    plain = size.plain() if size else None
    if is_number(plain) and plain >= 1:
        reader.untrained("val_set_size", "split.val_rows")
    else:
        reader.take("val_set_size", "split.val_size")
    reader.derive("split.val_size", 0.0, LIBRARY, "axolotl holds nothing out unless told")


def _read_selection(reader: Reader) -> None:
    """The best checkpoint is kept where axolotl can: as the expression in core/builders/causal.py.

    Early stopping asks for it as `load_best_model_at_end` does; it needs rows that are held out,
    and evaluations that fall on the steps at which is saved.
    """
    reader.untrained("early_stopping_patience")
    patience = reader.raw("early_stopping_patience")
    asked = reader.raw("load_best_model_at_end") or patience
    key = (
        "load_best_model_at_end"
        if reader.raw("load_best_model_at_end")
        else "early_stopping_patience"
    )
    reader.settings.pop("load_best_model_at_end", None)
    if not asked:
        return
    save, evaluate = _every(reader, "save"), _every(reader, "eval")
    held_out = _is_set(reader, "val_set_size") != _is_set(reader, "test_datasets")
    falls = save is not None and evaluate is not None and abs(save % evaluate) < 1e-12
    note = "kept: rows are held out, and each save falls on an evaluation"
    if not (held_out and falls):
        why = "no rows are held out" if not held_out else "saves do not fall on evaluations"
        note = f"axolotl keeps the last weights without a word: {why}"
    reader.derive("load_best_model_at_end", bool(held_out and falls), key, note)


def _every(reader: Reader, what: str) -> float | None:
    """After how many steps, or what share of all, axolotl saves or evaluates; None: otherwise."""
    steps, per_epoch = reader.raw(f"{what}_steps"), reader.raw(f"{what}s_per_epoch")
    if isinstance(steps, (int, float)) and steps:
        return float(steps)
    epochs = reader.first("num_train_epochs")
    count = epochs.value if epochs and not epochs.unreadable else 1.0
    if isinstance(per_epoch, (int, float)) and per_epoch:
        share = 1.0 / (per_epoch * count)
        return share if share < 1 else None
    return None


def _pads_to_the_limit(value: object, settings: Settings) -> object:
    return value == "max_length"


_OWN = (
    *under("", _RENAMED),
    *under("", _LORA),
    Key("adapter", "lora.enable", write=lambda on, settings: "lora" if on else None),
    Key("lora_target_modules", "lora.target_modules"),
    Key("lr_scheduler", "lr_scheduler_type"),
    Key("optimizer", "optim", write=optimizer_name),
    Key("pad_to_sequence_len", "padding", write=_pads_to_the_limit),
)
_NAMED_ANEW = {key.setting for key in _OWN}
KEYS = Keys(
    by_setting(
        _OWN,
        [key for key in trainer_keys("") if key.setting not in _NAMED_ANEW],
        deepspeed_keys("deepspeed", follows=True),
    ),
    deepspeed="deepspeed",
    warmup=Warmup("warmup_ratio", "warmup_steps"),
)
