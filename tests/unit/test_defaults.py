"""The defaults are those of the installed libraries: an upgrade that changes one is caught here."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
from pathlib import Path

import pytest

from ablation import dialects
from ablation.dialects import blocks, defaults
from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS, HF_SCHEDULERS, SETTINGS, UNTRAINED

# What TrainingArguments calls otherwise, or spreads over two settings.
NAMED_OTHERWISE = {"optim", "optim_implementation", "lr_scheduler_kwargs", "gradient_checkpointing"}
# Fields of releases before 5: read from old files, gone from the class.
OLD_FIELDS = {
    "overwrite_output_dir",
    "logging_dir",
    "save_safetensors",
    "include_inputs_for_metrics",
    "include_tokens_per_second",
    "push_to_hub_model_id",
    "push_to_hub_organization",
    "push_to_hub_token",
    "use_mps_device",
    "past_index",
    "ray_scope",
    "dispatch_batches",
    "fp16_backend",
    "fp16_opt_level",
    "fsdp_min_num_params",
    "fsdp_transformer_layer_cls_to_wrap",
    "half_precision_backend",
    "jit_mode_eval",
    "mp_parameters",
    "sharded_ddp",
    "split_batches",
    "torchdynamo",
    "tp_size",
    "tpu_metrics_debug",
    "tpu_num_cores",
    "use_ipex",
    "use_legacy_prediction_loop",
    "xpu_backend",
}
ZERO = "deepspeed.zero_optimization"


def field_defaults(cls) -> dict[str, object]:
    found = {}
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
        else:
            found[field.name] = field.default
    return found


@pytest.fixture(scope="module")
def trainer() -> dict[str, object]:
    return field_defaults(pytest.importorskip("transformers").TrainingArguments)


@pytest.fixture(scope="module")
def lora() -> dict[str, object]:
    return field_defaults(pytest.importorskip("peft").LoraConfig)


def test_every_default_is_a_setting():
    tables = [value for name, value in vars(defaults).items() if name.endswith("_DEFAULTS")]
    tables = [table for table in tables if table is not defaults.OPTIMIZER_DEFAULTS]
    names = {name for table in tables for name in table if "." in name or name in SETTINGS}
    assert names <= {*SETTINGS, *UNTRAINED}


def test_every_setting_can_have_its_default():
    for _, table in (*defaults.WITH_TRAINER, *defaults.NATIVE_LOOP):
        for name, value in table.items():
            if name in SETTINGS:
                assert SETTINGS[name].read(value) == value


def test_trainer_defaults_are_those_of_the_class(trainer):
    for name, value in defaults.TRAINER_DEFAULTS.items():
        if name not in NAMED_OTHERWISE:
            assert trainer[name] == value, name
    assert blocks.OPTIMIZERS[str(trainer["optim"])] == ("adamw", "torch_fused")
    assert trainer["lr_scheduler_kwargs"] is None


def test_checkpointing_is_off_and_its_old_name_is_an_alias(trainer):
    transformers = pytest.importorskip("transformers")
    assert trainer["activation_checkpointing"] is None
    made = transformers.TrainingArguments(output_dir="unused", use_cpu=True)
    assert made.activation_checkpointing is False
    old = transformers.TrainingArguments(
        output_dir="unused", use_cpu=True, gradient_checkpointing=True
    )
    assert old.activation_checkpointing is True


def test_every_field_of_the_trainer_is_trained_bookkeeping_or_said_to_be_untrained(trainer):
    special = {"optim", "warmup_steps", "deepspeed", "activation_checkpointing"}
    known = blocks.TRAINER_SETTINGS | blocks.TRAINER_BOOKKEEPING | {*UNTRAINED} | special
    assert set(trainer) - known == set()


def test_bookkeeping_names_are_fields_or_known_old_ones(trainer):
    assert blocks.TRAINER_BOOKKEEPING - set(trainer) == OLD_FIELDS


def test_old_trainer_names_are_gone_and_their_new_ones_are_there(trainer):
    for old, new in blocks.OLD_TRAINER_NAMES.items():
        assert new in trainer, new
        if old != "activation_checkpointing":  # the new name of a name that we keep
            assert old not in trainer, old
    assert {"warmup_ratio", "group_by_length"}.isdisjoint(trainer)


def test_a_warmup_below_one_is_a_ratio_that_rounds_up():
    transformers = pytest.importorskip("transformers")
    made = transformers.TrainingArguments(output_dir="unused", use_cpu=True, warmup_steps=0.1)
    assert made.get_warmup_steps(101) == 11
    made.warmup_steps = 7
    assert made.get_warmup_steps(101) == 7


def test_harmless_values_of_untrained_arguments_include_their_defaults(trainer, lora):
    for name, value in trainer.items():
        if name in UNTRAINED:
            assert value in UNTRAINED[name].harmless, name
    for name, value in lora.items():
        if f"lora.{name}" in UNTRAINED:
            assert value in UNTRAINED[f"lora.{name}"].harmless, name


def test_lora_defaults_are_those_of_the_class(lora):
    for name, value in defaults.LORA_DEFAULTS.items():
        assert lora[name.removeprefix("lora.")] == value, name
    assert lora["target_modules"] is None


def test_every_field_of_lora_is_trained_ignored_or_said_to_be_untrained(lora):
    known = {name.removeprefix("lora.") for name in blocks.LORA_FIELDS}
    assert set(lora) - known - {"peft_type", *blocks._LORA_IGNORED} == set()


def test_pefts_own_target_modules_are_those_of_its_table():
    constants = pytest.importorskip("peft.utils.constants")
    table = constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    for kind, names in defaults.PEFT_TARGETS.items():
        assert sorted(table[kind]) == sorted(names), kind


def test_optimizers_exist_or_are_known_old_or_foreign_names():
    names = pytest.importorskip("transformers.training_args").OptimizerNames
    known = {name.value for name in names}
    foreign = {"adamw_hf", "adamw_apex_fused", "paged_adamw"} | {
        name for name in blocks.COMPRESSED_OPTIMIZERS if name.startswith("ao_")
    }
    assert {*blocks.OPTIMIZERS, *blocks.COMPRESSED_OPTIMIZERS} - known == foreign


def test_schedulers_exist_in_their_libraries():
    types = pytest.importorskip("transformers").SchedulerType
    assert set(HF_SCHEDULERS) <= {kind.value for kind in types}
    schedules = pytest.importorskip("deepspeed.runtime.lr_schedules")
    assert set(DEEPSPEED_SCHEDULERS) == set(schedules.VALID_LR_SCHEDULES)


@pytest.mark.parametrize("name", DEEPSPEED_SCHEDULERS)
def test_a_deepspeed_schedulers_parameters_are_those_of_its_signature(name):
    schedules = pytest.importorskip("deepspeed.runtime.lr_schedules")
    signature = inspect.signature(getattr(schedules, name).__init__).parameters
    assert set(defaults.SCHEDULER_PARAMETERS[name]) == {*signature} - {"self", "optimizer"}
    for parameter, value in defaults.SCHEDULER_DEFAULTS[name].items():
        assert signature[parameter].default == value, parameter


def zero_defaults() -> dict[str, object]:
    """DeepSpeed's ZeRO block as it is when nothing is written, deprecated switches left out."""
    config = pytest.importorskip("deepspeed.runtime.zero.config").DeepSpeedZeroConfig
    offload = pytest.importorskip("deepspeed.runtime.zero.offload_config")
    found = {
        field.alias or name: field.default
        for name, field in config.model_fields.items()
        if not (field.json_schema_extra or {}).get("deprecated")
    }
    for block, cls in (
        ("offload_optimizer", offload.DeepSpeedZeroOffloadOptimizerConfig),
        ("offload_param", offload.DeepSpeedZeroOffloadParamConfig),
    ):
        found |= {f"{block}.{name}": field.default for name, field in cls.model_fields.items()}
    return found


def test_deepspeeds_zero_defaults_are_those_of_its_classes():
    found = zero_defaults()
    table = defaults.DEEPSPEED_DEFAULTS | defaults.DEEPSPEED_UNSAID
    for name, value in table.items():
        if name.startswith(f"{ZERO}."):
            assert found[name.removeprefix(f"{ZERO}.")] == value, name


def test_every_zero_key_is_known_or_a_block_of_its_own():
    table = defaults.DEEPSPEED_DEFAULTS | defaults.DEEPSPEED_UNSAID
    known = {name.removeprefix(f"{ZERO}.") for name in table}
    blocks_of_their_own = {"offload_param", "offload_optimizer", "zenflow", "leaf_module"}
    others = {"save_muon_momentum_buffer_in_memory", "stage3_gather_fp16_weights_on_model_save"}
    assert set(zero_defaults()) - known <= blocks_of_their_own | others


def test_overlap_comm_is_on_for_zero_3_alone():
    config = pytest.importorskip("deepspeed.runtime.zero.config").DeepSpeedZeroConfig
    assert [config(stage=stage).overlap_comm for stage in range(4)] == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("prefix", "name"), [("fp16", "DeepSpeedFP16Config"), ("bf16", "DeepSpeedBF16Config")]
)
def test_deepspeeds_precision_defaults_are_those_of_its_classes(prefix, name):
    cls = getattr(pytest.importorskip("deepspeed.runtime.precision_config"), name)
    found = {f"deepspeed.{prefix}.{key}": field.default for key, field in cls.model_fields.items()}
    table = {
        k: v for k, v in defaults.DEEPSPEED_UNSAID.items() if k.startswith(f"deepspeed.{prefix}")
    }
    assert table == {key: value for key, value in found.items() if not key.endswith(".enabled")}


def test_deepspeed_clips_at_one_where_nothing_is_written():
    constants = pytest.importorskip("deepspeed.runtime.constants")
    assert defaults.NATIVE_LOOP_DEFAULTS["max_grad_norm"] == constants.GRADIENT_CLIPPING_DEFAULT


def owners_keys(owner: str) -> set[str]:
    """The settings of which a library has the key: read from its own classes."""
    if owner == defaults.TRAINER:
        fields = field_defaults(pytest.importorskip("transformers").TrainingArguments)
        return {*fields, "gradient_checkpointing", "optim_implementation"}  # an alias; of `optim`
    if owner == defaults.PEFT:
        return {f"lora.{name}" for name in field_defaults(pytest.importorskip("peft").LoraConfig)}
    if owner == defaults.LOADER:
        loader = pytest.importorskip("torch.utils.data").DataLoader
        return {f"dataloader_{name}" for name in inspect.signature(loader).parameters}
    if owner == defaults.DEEPSPEED:
        adam = pytest.importorskip("deepspeed.ops.adam").DeepSpeedCPUAdam
        rates = {"lr": "learning_rate", "weight_decay": "weight_decay", "eps": "adam_epsilon"}
        betas = {"adam_beta1", "adam_beta2"}
        of_adam = {rates[name] for name in rates if name in inspect.signature(adam).parameters}
        config = pytest.importorskip("deepspeed.runtime.config")
        switches = {
            setting
            for setting, function in (
                ("max_grad_norm", "get_gradient_clipping"),
                ("gradient_accumulation_steps", "get_gradient_accumulation_steps"),
                ("lr_scheduler_type", "get_scheduler_name"),
                ("lr_scheduler_kwargs", "get_scheduler_params"),
                ("bf16", "get_bfloat16_config"),
                ("fp16", "get_float16_config"),
            )
            if hasattr(config, function) or setting in ("bf16", "fp16")
        }
        zero = {f"{ZERO}.{name}" for name in zero_defaults()}
        return of_adam | betas | switches | zero | {"warmup_steps"}  # of its schedulers
    return {"model.trust_remote_code"} if owner == defaults.TRANSFORMERS_MODEL else set()


@pytest.mark.parametrize("dialect", dialects.DIALECTS)
def test_a_default_is_said_to_be_that_of_a_library_that_has_the_setting(dialect):
    unowned = (defaults.SCRIPT, defaults.NO_SUCH_STEP)
    elsewhere = (defaults.TRL, defaults.TRL_MODEL, defaults.AXOLOTL, defaults.LLAMA_FACTORY)
    for owner, table in dialects.DIALECTS[dialect].DEFAULTS:
        if owner not in (*unowned, *elsewhere):
            assert set(table) - owners_keys(owner) == set(), owner


def test_deepspeeds_adam_has_adamws_decay_unless_told_otherwise():
    config = pytest.importorskip("deepspeed.runtime.config")
    assert config.ADAM_W_MODE_DEFAULT is True


def written_default(package: str, file: str, field: str) -> object:
    """The default of a class's field, from the source of a package that need not be importable."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"needs the sources of {package} on the path")
    tree = ast.parse((Path(found.origin).parent / file).read_text())
    [value] = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == field and node.value
    ]
    if isinstance(value, ast.Call):
        value = next(word.value for word in value.keywords if word.arg == "default")
    return ast.literal_eval(value)


@pytest.mark.parametrize(
    ("package", "file", "fields"),
    [
        (
            "llamafactory",
            "hparams/data_args.py",
            {"cutoff_len": defaults.LLAMA_FACTORY_DEFAULTS["max_length"]},
        ),
        (
            "llamafactory",
            "hparams/finetuning_args.py",
            {
                "lora_rank": defaults.LORA_DEFAULTS["lora.r"],
                "lora_alpha": None,
                "lora_dropout": defaults.LORA_DEFAULTS["lora.lora_dropout"],
                "lora_target": "all",
            },
        ),
        ("llamafactory", "hparams/model_args.py", {"disable_gradient_checkpointing": False}),
        (
            "axolotl",
            "utils/schemas/training.py",
            {
                "num_epochs": defaults.AXOLOTL_DEFAULTS["num_train_epochs"],
                "micro_batch_size": defaults.AXOLOTL_DEFAULTS["per_device_train_batch_size"],
                "gradient_accumulation_steps": 1,
                "lr_scheduler": defaults.AXOLOTL_DEFAULTS["lr_scheduler_type"],
                "optimizer": "adamw_torch_fused",
                "weight_decay": defaults.TRAINER_DEFAULTS["weight_decay"],
                "max_grad_norm": None,
            },
        ),
        (
            "axolotl",
            "utils/schemas/config.py",
            {
                "sequence_len": defaults.AXOLOTL_DEFAULTS["max_length"],
                "excess_length_strategy": None,
                "bf16": "auto",
                "gradient_checkpointing": False,
                "load_best_model_at_end": False,
            },
        ),
        ("axolotl", "utils/schemas/peft.py", {"lora_r": None, "lora_dropout": 0.0}),
        (
            "trl",
            "trainer/sft_config.py",
            {
                "learning_rate": defaults.TRL_DEFAULTS["learning_rate"],
                "max_length": defaults.TRL_DEFAULTS["max_length"],
            },
        ),
        ("trl", "trainer/base_config.py", {"gradient_checkpointing": True, "bf16": None}),
        (
            "trl",
            "trainer/model_config.py",
            {
                "lora_r": defaults.TRL_MODEL_DEFAULTS["lora.r"],
                "lora_alpha": defaults.TRL_MODEL_DEFAULTS["lora.lora_alpha"],
                "lora_dropout": defaults.TRL_MODEL_DEFAULTS["lora.lora_dropout"],
                "dtype": defaults.TRL_MODEL_DEFAULTS["model.dtype"],
            },
        ),
    ],
)
def test_defaults_of_other_trainers_are_those_of_their_sources(package, file, fields):
    """Run with PYTHONPATH at the packages of the environment of tests/reference/trainers.sh.

    Nothing of them is imported. With axolotl 0.19.0, llamafactory 0.9.5 and trl 1.16.0 all hold.
    """
    assert {field: written_default(package, file, field) for field in fields} == fields


def classifier(kind: str, **lora: object):
    """A peft model of two tiny layers without memory, for what peft makes of a LoRA block."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 32,
        "num_labels": 3,
        "pad_token_id": 0,
    }
    config = transformers.AutoConfig.for_model(kind, **sizes)
    with torch.device("meta"):
        model = transformers.AutoModelForSequenceClassification.from_config(config)
        return peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **lora))


def trained(kind: str, **lora: object) -> set[str]:
    """The names of the weights that peft trains."""
    named = classifier(kind, **lora).named_parameters()
    return {name for name, weight in named if weight.requires_grad}


@pytest.mark.parametrize("kind", ["qwen3", "llama", "gemma2", "phi3", "gpt_neox"])
def test_all_linear_comes_to_these_modules_on_a_classifier(kind):
    """E4: `all-linear` and the list of modules adapt the same weights."""
    names = list(defaults.ALL_LINEAR[kind])
    assert trained(kind, target_modules="all-linear") == trained(kind, target_modules=names)


@pytest.mark.parametrize(
    ("rslora", "scale"), [(False, 32 / 16), (True, 32 / 4)], ids=["alpha/r", "alpha/sqrt(r)"]
)
def test_the_scale_of_lora_is_alpha_over_its_rank_or_the_root_of_it(rslora, scale):
    """E3"""
    lora = {"r": 16, "lora_alpha": 32, "use_rslora": rslora, "target_modules": ["q_proj"]}
    scales = {
        module.scaling["default"]
        for module in classifier("qwen3", **lora).modules()
        if hasattr(module, "scaling") and isinstance(module.scaling, dict)
    }
    assert scales == {scale}


def test_the_head_is_trained_whether_it_is_named_or_not():
    named = trained("qwen3", target_modules=["q_proj"], modules_to_save=["score"])
    assert named == trained("qwen3", target_modules=["q_proj"])


def test_all_layers_named_are_the_layers_without_naming_any():
    every = trained("qwen3", target_modules=["q_proj"], layers_to_transform=[0, 1])
    assert every == trained("qwen3", target_modules=["q_proj"])
    assert every == trained("qwen3", target_modules=["q_proj"], layers_to_transform=[])


def test_peft_matches_no_layer_to_a_negative_index():
    """Why negative layers are resolved here: peft alone adapts nothing, or refuses."""
    try:
        found = trained("qwen3", target_modules=["q_proj"], layers_to_transform=[-1])
    except ValueError:
        return
    assert not [name for name in found if "lora_" in name]
