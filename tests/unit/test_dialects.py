"""Each dialect is recognized, has its own defaults, and says what runs here do not do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ablation.comparison.findings.texts import load_texts
from ablation.comparison.resolve import (
    Configuration,
    find_differences,
    require_runnable,
    resolve_file,
    resolve_pair,
)
from ablation.dialects import DIALECTS, recognize
from ablation.documents.entries import load_entries
from ablation.errors import UserError
from ablation.settings.schedules import effective_batch, learning_rates
from ablation.study.explain import explain_files
from ablation.study.explain_text import render

QWEN3 = {"model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 64, "dtype": "bfloat16"}
SEVEN = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
ZERO = "deepspeed.zero_optimization"

HF = """\
output_dir: out
learning_rate: 1e-4
num_train_epochs: 2
lora:
  r: 16
  lora_alpha: 32
"""
LLAMA_FACTORY = """\
model_name_or_path: Qwen/Qwen3-4B
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: all
cutoff_len: 512
learning_rate: 1.0e-4
"""
AXOLOTL = """\
base_model: Qwen/Qwen3-4B
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
sequence_len: 512
learning_rate: 0.0002
"""
TRL = """\
model_name_or_path: Qwen/Qwen3-4B
use_peft: true
output_dir: out
"""
DEEPSPEED = """\
{
  "train_micro_batch_size_per_gpu": 4,
  "optimizer": {"type": "Adam", "params": {"lr": 1e-5}},
  "zero_optimization": {"stage": 2}
}
"""
NATIVE = """\
training: {epochs: 2}
lora: {r: 4}
deepspeed: {train_micro_batch_size_per_gpu: 4}
"""
KEDRO = """\
train:
  training_args: {learning_rate: 1e-4}
  lora: {config: {r: 4}}
"""
ADAPTER = """\
{
  "peft_type": "LORA",
  "r": 8,
  "lora_alpha": 16,
  "task_type": "SEQ_CLS"
}
"""
NESTED = """\
model: {name: org/some-8b}
lora: {rank: 16, alpha: 32, target_modules: [q_proj]}
training: {num_train_epochs: 2, learning_rate: 1e-4, gradient_accumulation_steps: 4}
"""
SMALLEST = {
    "nested": NESTED,
    "peft_adapter": ADAPTER,
    "kedro": KEDRO,
    "deepspeed_native": NATIVE,
    "llama_factory": LLAMA_FACTORY,
    "axolotl": AXOLOTL,
    "trl": TRL,
    "deepspeed_json": DEEPSPEED,
    "hf_trainer": HF,
}


@pytest.fixture
def resolve(tmp_path: Path):
    def read(text: str, name: str = "file.yml", **options) -> Configuration:
        path = tmp_path / name
        path.write_text(text)
        return resolve_file(path, QWEN3, **options)

    return read


def values(side: Configuration, *names: str) -> tuple:
    return tuple(side.settings[name].value for name in names)


def refused(side: Configuration) -> UserError:
    """The complaint with which no run of a file can start."""
    with pytest.raises(UserError) as error:
        require_runnable(side)
    return error.value


def notes(side: Configuration) -> dict[str, str | None]:
    return {entry.key: entry.note for entry in side.unknown}


@pytest.mark.parametrize("name", SMALLEST)
def test_a_dialect_is_recognized_by_its_keys(resolve, name):
    assert resolve(SMALLEST[name]).dialect == name


def test_every_dialect_has_a_smallest_file_here():
    assert set(SMALLEST) == set(DIALECTS)


@pytest.mark.parametrize("name", SMALLEST)
def test_a_file_compared_with_itself_has_no_differences(tmp_path, name):
    path = tmp_path / "file.yml"
    path.write_text(SMALLEST[name])
    assert find_differences(*resolve_pair(path, path, QWEN3)) == []


@pytest.mark.parametrize("name", SMALLEST)
def test_a_key_that_nothing_reads_is_listed_with_its_line(resolve, name):
    text = SMALLEST[name]
    text = (
        text.replace("{\n", '{\n  "surely_unknown": 7,\n', 1)
        if text[0] == "{"
        else (text + "surely_unknown: 7\n")
    )
    side = resolve(text)
    line = next(n for n, row in enumerate(text.split("\n"), 1) if "surely_unknown" in row)
    found = [entry for entry in side.unknown if entry.key == "surely_unknown"]
    assert [(entry.line, entry.value, entry.note) for entry in found] == [(line, 7, None)]


def test_a_file_of_two_dialects_asks_which(tmp_path):
    path = tmp_path / "file.yml"
    path.write_text("base_model: x\ncutoff_len: 5\n")
    with pytest.raises(UserError, match="llama_factory or axolotl") as error:
        recognize(load_entries(path), str(path))
    assert "--dialect current=llama_factory" in error.value.allowed
    assert error.value.write == "dialects: {current: llama_factory}"


def test_a_named_dialect_is_not_guessed(resolve):
    assert resolve(HF + "cutoff_len: 5\n", dialect="hf_trainer").dialect == "hf_trainer"


def test_each_dialect_has_its_own_defaults(resolve):
    """E8: an absent key is the default of its dialect, and those differ."""
    names = ("learning_rate", "lora.lora_dropout", "bf16", "gradient_checkpointing", "max_length")
    found = {name: values(resolve(SMALLEST[name]), *names) for name in ("hf_trainer", "trl")}
    assert found["hf_trainer"] == (1e-4, 0.0, False, False, 2048)
    assert found["trl"] == (2e-5, 0.05, True, True, 1024)
    axolotl = resolve(AXOLOTL)
    assert values(axolotl, "lr_scheduler_type", "num_train_epochs") == ("cosine", 1.0)
    assert values(axolotl, "per_device_train_batch_size", "bf16") == (1, True)
    assert axolotl.settings["lr_scheduler_type"].key == "axolotl.utils.schemas"
    factory = resolve(LLAMA_FACTORY)
    assert values(factory, "gradient_checkpointing", "bf16") == (True, False)
    assert values(factory, "lr_scheduler_type", "num_train_epochs") == ("linear", 3.0)
    assert values(resolve(DEEPSPEED), "lr_scheduler_type", "optim") == ("constant", "adamw")


# Hugging Face Trainer


def test_deepspeed_as_a_path_has_the_lines_of_that_file(tmp_path, resolve):
    (tmp_path / "ds.json").write_text('{\n  "zero_optimization": {\n\t"stage": 3,\n "x": 1}\n}\n')
    side = resolve(HF + "deepspeed: configs/ds.json\n")
    stage = side.settings[f"{ZERO}.stage"]
    assert (stage.value, Path(stage.file).name, stage.line) == (3, "ds.json", 3)
    assert [Path(file).name for file in side.files] == ["file.yml", "ds.json"]
    (unknown,) = side.unknown
    assert (Path(unknown.file).name, unknown.line) == ("ds.json", 4)


def test_a_deepspeed_file_that_is_not_there_is_said_with_those_that_are(tmp_path, resolve):
    (tmp_path / "other.json").write_text("{}")
    error = refused(resolve(HF + "deepspeed: ds.json\n"))
    assert "does not exist" in error.problem
    assert error.line == 7
    assert "other.json" in error.allowed


def test_an_error_in_the_deepspeed_file_is_said_there(tmp_path, resolve):
    (tmp_path / "ds.json").write_text('{\n"zero_optimization": {"stage": 4}}')
    refusals = resolve(HF + "deepspeed: ds.json\n").refusals
    assert [(Path(r.file).name, r.line) for r in refusals if "cannot have" in r.reason] == [
        ("ds.json", 2)
    ]


@pytest.mark.parametrize(
    "block",
    [
        "peft_config: {r: 16, lora_alpha: 32}",
        "lora_config: {r: 16, lora_alpha: 32}",
        "lora_r: 16\nlora_alpha: 32",
    ],
)
def test_lora_may_stand_in_a_block_or_in_flat_keys(resolve, block):
    side = resolve(f"output_dir: out\n{block}\n")
    assert values(side, "lora.r", "lora.lora_alpha") == (16, 32.0)
    assert side.unknown == []


def test_json_is_read_as_yaml_is(resolve):
    plain = {"output_dir": "o", "learning_rate": 1e-4, "num_train_epochs": 2, "bf16": True}
    side = resolve(json.dumps(plain, indent=2), "file.json")
    assert values(side, "learning_rate", "num_train_epochs", "bf16") == (1e-4, 2.0, True)
    assert side.settings["learning_rate"].line == 3


@pytest.mark.parametrize(
    ("old", "setting", "value"),
    [
        ("warmup_ratio: 0.1", "warmup_steps", 0.1),
        ("warmup_ratio: 0.1\nwarmup_steps: 5", "warmup_steps", 5.0),
        ("torch_dtype: torch.bfloat16", "model.dtype", "bfloat16"),
        ("dtype: fp16", "model.dtype", "float16"),
        ("evaluation_strategy: epoch", "eval_strategy", "epoch"),
        ("per_gpu_train_batch_size: 4", "per_device_train_batch_size", 4),
        ("max_seq_length: 77", "max_length", 77),
        ("no_cuda: true", "use_cpu", True),
        ("group_by_length: true", "train_sampling_strategy", "group_by_length"),
        ("activation_checkpointing: true", "gradient_checkpointing", True),
        ("load_in_4bit: true", "load_in_4bit", True),
        ("lr_scheduler_kwargs: '{\"num_cycles\": 2}'", "lr_scheduler_kwargs", {"num_cycles": 2}),
    ],
)
def test_old_names_and_spellings_are_mapped(resolve, old, setting, value):
    """E7"""
    assert values(resolve(f"output_dir: o\n{old}\n"), setting) == (value,)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("neftune_noise_alpha: 5", "neftune_noise_alpha"),
        ("optim: adamw_bnb_8bit", "optim"),
        ("load_in_8bit: true", "load_in_8bit"),
        ("group_by_length: true", "group_by_length"),
        ("torch_compile: true", "torch_compile"),
        ("fsdp: full_shard", "fsdp"),
        ("average_tokens_across_devices: false", "average_tokens_across_devices"),
        ("packing: true", "packing"),
    ],
)
def test_what_no_run_does_is_listed_with_what_runs_do_instead(resolve, line, key):
    assert "here" in notes(resolve(f"{HF}{line}\n"))[key]


@pytest.mark.parametrize(
    "line",
    [
        "neftune_noise_alpha: null",
        "optim: adamw_torch",
        "load_in_8bit: false",
        "group_by_length: false",
        "packing: false",
        "fsdp: ''",
    ],
)
def test_what_is_switched_off_is_not_missed(resolve, line):
    assert resolve(f"{HF}{line}\n").unknown == []


def test_an_untrained_setting_is_compared_and_not_staged(tmp_path):
    files = tmp_path / "a.yml", tmp_path / "b.yml"
    files[0].write_text(HF)
    files[1].write_text(HF + "neftune_noise_alpha: 5\n")
    (found,) = find_differences(*resolve_pair(*files, QWEN3))
    assert (found.setting, found.acts_on, found.trained) == (
        "neftune_noise_alpha",
        "learning",
        False,
    )


@pytest.mark.parametrize("optimizer", ["adafactor", "lion_32bit", "galore_adamw"])
def test_an_optimizer_that_no_run_here_has_is_read_by_its_name(resolve, optimizer):
    side = resolve(f"{HF}optim: {optimizer}\n")
    assert values(side, "optim") == (optimizer,)
    assert not side.refusals


def test_a_name_that_is_no_optimizer_of_the_trainer_is_refused(resolve):
    error = refused(resolve(f"{HF}optim: muon\n"))
    assert "muon is not a valid OptimizerNames" in error.problem
    assert error.line == 7


def test_eight_bit_adamw_is_adamw_with_a_note(resolve):
    side = resolve(HF + "optim: paged_adamw_8bit\n")
    assert values(side, "optim", "optim_state") == (
        "adamw",
        "8bit, paged (bitsandbytes)",
    )


def test_a_token_is_hidden_wherever_it_stands(resolve):
    side = resolve(HF + "hub_token: hf_secret\nmy_api_key: secret\n")
    assert "secret" not in json.dumps(side.as_json()).replace("my_api_key", "")


def test_layers_beside_all_linear_are_refused_as_peft_refuses_them(resolve):
    peft = pytest.importorskip("peft")
    with pytest.raises(ValueError, match="cannot be used when"):
        peft.LoraConfig(target_modules="all-linear", layers_to_transform=[1])
    text = "output_dir: o\nlora: {target_modules: all-linear, layers_to_transform: [1]}\n"
    assert "cannot be used when `target_modules` is a str" in refused(resolve(text)).problem


def test_pefts_own_modules_are_taken_where_none_are_named(resolve):
    targets = resolve(HF).settings["lora.target_modules"]
    assert (targets.value, targets.origin) == (["q_proj", "v_proj"], "derived")


def test_deepspeeds_optimizer_and_scheduler_decide_over_the_trainers(resolve):
    text = (
        HF + "optim: adamw_torch\nlr_scheduler_type: cosine\ndeepspeed:\n"
        "  optimizer: {type: AdamW, params: {lr: auto, weight_decay: auto}}\n"
        "  scheduler: {type: WarmupLR, params: {warmup_num_steps: 7}}\n"
    )
    side = resolve(text)
    assert values(side, "optim_implementation", "lr_scheduler_type") == ("deepspeed", "WarmupLR")
    assert side.settings["lr_scheduler_type"].overrules == (("lr_scheduler_type", 8),)
    assert side.settings["lr_scheduler_kwargs"].value["warmup_num_steps"] == 7


# Equivalences


def test_two_cuts_of_one_effective_batch_are_equal_in_rows():
    """E1"""
    batch = {"world_size": 1, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 8}
    other = {**batch, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}
    assert effective_batch(batch) == effective_batch(other) == 32


def test_a_ratio_of_warmup_rounds_up_in_the_trainer_and_down_in_axolotl(resolve):
    """E2"""
    trainer = resolve(HF + "warmup_ratio: 0.1\nmax_steps: 105\n").settings
    axolotl = resolve(AXOLOTL + "warmup_ratio: 0.1\nmax_steps: 105\n").settings
    assert trainer["warmup_steps"].value == 0.1
    assert axolotl["warmup_steps"].value == 10.0


@pytest.mark.parametrize(
    "written",
    [
        LLAMA_FACTORY,
        LLAMA_FACTORY.replace("lora_target: all", f"lora_target: {','.join(SEVEN)}"),
        AXOLOTL,
        AXOLOTL.replace("lora_target_linear: true", f"lora_target_modules: {SEVEN}"),
        TRL + "lora_target_modules: all-linear\n",
        HF + f"  target_modules: {SEVEN}\n",
        HF + "  target_modules: All-Linear\n",
    ],
)
def test_all_linear_is_the_same_modules_in_every_dialect(resolve, written):
    """E4: see test_defaults for peft's own resolution of it."""
    assert values(resolve(written), "lora.target_modules") == (SEVEN,)


@pytest.mark.parametrize(
    ("written", "algorithm"),
    [
        ("{type: AdamW}", "adamw"),
        ("{type: Adam}", "adamw"),
        ("{type: Adam, params: {adam_w_mode: true}}", "adamw"),
        ("{type: Adam, params: {adam_w_mode: false}}", "adam"),
    ],
)
def test_deepspeeds_adam_is_adamw_unless_told_otherwise(resolve, written, algorithm):
    """E5"""
    side = resolve(f"train_batch_size: 8\noptimizer: {written}\n")
    assert values(side, "optim", "optim_implementation") == (algorithm, "deepspeed")


def curve(name: str, **kwargs: object) -> np.ndarray:
    settings = {"learning_rate": 1e-3, "lr_scheduler_type": name, "warmup_steps": 10}
    return learning_rates({**settings, "lr_scheduler_kwargs": kwargs}, 100)


@pytest.mark.parametrize(
    ("deepspeed", "trainer"),
    [("WarmupDecayLR", "linear"), ("WarmupLR", "constant_with_warmup")],
)
def test_deepspeeds_twins_need_a_linear_warmup(deepspeed, trainer):
    """E5: equal from one step to the next, as DeepSpeed steps its schedule after the optimizer."""
    linear = curve(deepspeed, warmup_type="linear", warmup_min_lr=0.0)
    log = curve(deepspeed, warmup_min_lr=0.0)
    np.testing.assert_allclose(linear[1:], curve(trainer)[:-1], atol=1e-12)
    assert np.abs(log[1:] - curve(trainer)[:-1]).max() > 1e-4


def test_a_cosine_with_a_floor_has_a_near_twin_in_deepspeed():
    """E5: near, and no more: the two curves are a step apart."""
    trainer = curve("cosine_with_min_lr", min_lr_rate=0.1)
    deepspeed = curve("WarmupCosineLR", cos_min_ratio=0.1, warmup_type="linear")
    gap = np.abs(trainer - deepspeed).max()
    assert 1e-6 < gap < 1.2e-4


def test_an_absent_warmup_type_is_logarithmic(resolve):
    text = "train_batch_size: 8\nscheduler: {type: WarmupLR, params: {warmup_num_steps: 5}}\n"
    (kwargs,) = values(resolve(text), "lr_scheduler_kwargs")
    assert kwargs["warmup_type"] == "log"


# DeepSpeed


@pytest.mark.parametrize(
    ("written", "devices", "batch"),
    [
        ("train_batch_size: 64", 4, (16, 1, 4)),
        ("train_batch_size: 64\ntrain_micro_batch_size_per_gpu: 4", 4, (4, 4, 4)),
        ("train_batch_size: 64\ngradient_accumulation_steps: 2", 4, (8, 2, 4)),
        (
            "train_batch_size: 64\ntrain_micro_batch_size_per_gpu: 4\n"
            "gradient_accumulation_steps: 2",
            None,
            (4, 2, 8),
        ),
        ("train_micro_batch_size_per_gpu: 4", None, (4, 1, 1)),
    ],
)
def test_deepspeeds_global_batch_says_what_the_other_numbers_leave_open(
    resolve, written, devices, batch
):
    side = resolve(f"{written}\n", world_size=devices)
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "world_size")
    assert values(side, *names) == batch


def test_a_global_batch_that_does_not_divide_is_refused(resolve):
    text = "train_batch_size: 63\ntrain_micro_batch_size_per_gpu: 4\n"
    error = refused(resolve(text, world_size=4))
    assert "train_batch_size 63 is not 4 rows" in error.problem
    assert error.line == 1


def test_the_trainers_default_batch_counts_as_written(resolve):
    side = resolve("output_dir: o\ndeepspeed: {train_batch_size: 32}\n")
    assert values(side, "per_device_train_batch_size", "world_size") == (8, 4)


@pytest.mark.parametrize(
    ("old", "setting"),
    [("cpu_offload", "offload_optimizer"), ("cpu_offload_params", "offload_param")],
)
def test_the_old_offload_switches_are_devices(resolve, old, setting):
    side = resolve(f"zero_optimization: {{stage: 2, {old}: true}}\n")
    assert values(side, f"{ZERO}.{setting}.device") == ("cpu",)
    assert side.unknown == []


def test_a_misspelt_zero_key_is_listed_and_not_trained(resolve):
    side = resolve("zero_optimization: {stage: 2, overlap_com: true}\n")
    assert notes(side) == {"zero_optimization.overlap_com": None}


def test_a_schedulers_misspelt_parameter_is_refused_with_those_that_there_are(resolve):
    text = "train_batch_size: 8\nscheduler:\n  type: WarmupLR\n  params:\n    warmup_steps: 5\n"
    error = refused(resolve(text))
    assert "unexpected keyword argument 'warmup_steps'" in error.problem
    assert error.line == 5
    assert "warmup_num_steps" in error.allowed


# LLaMA-Factory


@pytest.mark.parametrize(
    ("more", "alpha"), [("", 32.0), ("lora_alpha: 8\n", 8.0)], ids=["twice the rank", "written"]
)
def test_llama_factorys_alpha_is_twice_the_rank(resolve, more, alpha):
    assert values(resolve(LLAMA_FACTORY + more), "lora.lora_alpha") == (alpha,)


@pytest.mark.parametrize(
    ("written", "on"),
    [
        ("", True),
        ("disable_gradient_checkpointing: true", False),
        ("disable_gradient_checkpointing: false", True),
        ("gradient_checkpointing: false", True),
        ("disable_gradient_checkpointing: true\ngradient_checkpointing: true", True),
    ],
)
def test_llama_factorys_checkpointing_switch_is_inverted(resolve, written, on):
    assert values(resolve(f"{LLAMA_FACTORY}{written}\n"), "gradient_checkpointing") == (on,)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("finetuning_type: full", {"method": "full", "objective": "sft"}),
        ("finetuning_type: freeze", {"method": "freeze", "objective": "sft"}),
        ("finetuning_type: oft", {"method": "oft", "objective": "sft"}),
        ("stage: dpo", {"method": "lora", "objective": "dpo"}),
        ("stage: pt", {"method": "lora", "objective": "pt"}),
    ],
)
def test_llama_factorys_other_trainings_are_explained_with_their_kind(resolve, line, kind):
    key = line.split(":")[0]
    kept = [row for row in LLAMA_FACTORY.split("\n") if not row.startswith(f"{key}:")]
    assert resolve("\n".join([*kept, line, ""])).kind == kind


@pytest.mark.parametrize("line", ["use_galore: true", "use_badam: true"])
def test_llama_factory_refuses_lora_beside_optimizers_of_its_own(resolve, line):
    error = refused(resolve(f"{LLAMA_FACTORY}{line}\n"))
    assert "LoRA cannot be used with GaLore, APOLLO or BAdam together" in str(error)


def test_llama_factory_loads_the_model_in_the_precision_of_training(resolve):
    assert values(resolve(LLAMA_FACTORY + "fp16: true\n"), "model.dtype") == ("float16",)
    assert values(resolve(LLAMA_FACTORY), "model.dtype") == ("bfloat16",)  # the model's own


# axolotl


@pytest.mark.parametrize(
    ("written", "warmup"),
    [
        ("", 0.03),
        ("max_steps: 1000", 30.0),
        ("max_steps: 9000", 100.0),
        ("max_steps: 40", 2.0),
        ("warmup_steps: 1", 2.0),
        ("warmup_steps: 7\nwarmup_ratio: 0.5", 7.0),
        ("warmup_ratio: 0.2", 0.2),
        ("warmup_ratio: 0.5\nmax_steps: 1001", 500.0),
        ("warmup_ratio:\nwarmup_steps:", 0.03),
        ("warmup_steps: 0", 0.0),
        ("warmup_steps: 0\nwarmup_ratio: 0.5", 0.0),
        ("warmup_ratio: 0", 0.0),
        ("warmup_ratio: 0.0\nmax_steps: 1000", 0.0),
    ],
)
def test_axolotls_warmup(resolve, written, warmup):
    assert values(resolve(f"{AXOLOTL}{written}\n"), "warmup_steps") == (warmup,)


def test_axolotls_batch_size_does_not_accumulate(resolve):
    side = resolve(f"{AXOLOTL}micro_batch_size: 2\nbatch_size: 8\n")
    assert values(side, "gradient_accumulation_steps") == (1,)
    assert side.unknown == []


def test_axolotl_drops_rows_that_others_cut(tmp_path, resolve):
    """E6: the same max length is not the same data."""
    files = tmp_path / "a.yml", tmp_path / "b.yml"
    files[0].write_text(AXOLOTL)
    files[1].write_text(AXOLOTL + "excess_length_strategy: truncate\n")
    (found,) = find_differences(*resolve_pair(*files, QWEN3))
    assert (found.setting, found.acts_on, found.trained) == (
        "excess_length_strategy",
        "data",
        False,
    )
    assert values(resolve(TRL), "excess_length_strategy") == ("truncate",)


def test_axolotls_cosine_with_a_floor_is_transformers_own(resolve):
    side = resolve(AXOLOTL + "cosine_min_lr_ratio: 0.1\n")
    assert values(side, "lr_scheduler_type") == ("cosine_with_min_lr",)
    assert values(side, "lr_scheduler_kwargs") == ({"min_lr_rate": 0.1},)


@pytest.mark.parametrize(
    ("written", "precision"),
    [
        ("", (True, False, "bfloat16")),
        ("bf16: auto", (True, False, "bfloat16")),
        ("bf16: false", (False, False, "float32")),
        ("fp16: true", (False, True, "float16")),
        ("bf16: true\nfp16: true", (True, False, "bfloat16")),
        ("bf16: full", (False, False, "bfloat16")),
        ("bf16: false\nfloat16: true", (False, False, "float16")),
    ],
)
def test_axolotls_precision(resolve, written, precision):
    side = resolve(f"{AXOLOTL}{written}\n")
    assert values(side, "bf16", "fp16", "model.dtype") == precision


def test_an_empty_key_is_absent_in_axolotl(resolve):
    side = resolve(AXOLOTL + "weight_decay:\nlora_dropout:\nmax_steps:\ndeepspeed:\nfsdp:\n")
    assert values(side, "weight_decay", "lora.lora_dropout", "max_steps") == (0.0, 0.0, -1)
    assert side.unknown == []


@pytest.mark.parametrize("key", ["lora_r", "lora_alpha", "learning_rate"])
def test_what_axolotl_needs_is_said(resolve, key):
    kept = [row for row in AXOLOTL.split("\n") if not row.startswith(f"{key}:")]
    assert f"`{key}`" in str(refused(resolve("\n".join(kept))))


def test_axolotl_without_an_adapter_trains_the_models_own_weights(resolve):
    kept = [row for row in AXOLOTL.split("\n") if not row.startswith("adapter:")]
    side = resolve("\n".join(kept), dialect="axolotl")
    assert side.kind == {"method": "full", "objective": "sft"}
    assert not any(name.startswith("lora.") for name in side.settings if name != "lora.enable")


def test_axolotls_packing_and_quantized_weights_are_listed(resolve):
    text = AXOLOTL.replace("adapter: lora", "adapter: qlora\nload_in_4bit: true")
    found = notes(resolve(text + "sample_packing: true\ngradient_checkpointing: offload\n"))
    assert {"load_in_4bit", "sample_packing", "gradient_checkpointing"} <= set(found)


# TRL


@pytest.mark.parametrize(
    ("written", "precision"),
    [
        ("", (True, False)),
        ("fp16: true", (False, True)),
        ("bf16: false", (False, False)),
        ("bf16: null", (True, False)),
    ],
)
def test_trl_trains_in_bfloat16_unless_told_otherwise(resolve, written, precision):
    assert values(resolve(f"{TRL}{written}\n"), "bf16", "fp16") == precision


def test_trl_without_peft_is_full_fine_tuning(resolve):
    side = resolve("use_peft: false\noutput_dir: o\n")
    assert side.kind == {"method": "full", "objective": "sft"}
    assert side.settings["lora.enable"].line == 1


ACCELERATE = """\
deepspeed_config:
  zero_stage: 3
  offload_optimizer_device: cpu
  offload_param_device: none
  zero3_init_flag: true
distributed_type: DEEPSPEED
mixed_precision: bf16
num_processes: 8
"""


@pytest.mark.parametrize("apart", [False, True])
def test_accelerates_deepspeed_settings_are_read_here_and_from_their_file(tmp_path, resolve, apart):
    (tmp_path / "zero3.yaml").write_text(ACCELERATE)
    side = resolve(TRL + ("accelerate_config: zero3.yaml\n" if apart else ACCELERATE))
    names = (f"{ZERO}.stage", f"{ZERO}.offload_optimizer.device", "world_size", "bf16")
    assert values(side, *names) == (3, "cpu", 8, True)
    assert side.unknown == []
    assert Path(side.settings["world_size"].file).name == ("zero3.yaml" if apart else "file.yml")


def test_a_predefined_accelerate_configuration_is_known_by_name(resolve):
    assert values(resolve(TRL + "accelerate_config: zero2\n"), f"{ZERO}.stage") == (2,)


def test_older_recipes_length_and_no_limit_at_all(resolve):
    assert values(resolve(TRL + "max_seq_length: 77\n"), "max_length") == (77,)
    assert values(resolve(TRL + "max_length: null\n"), "truncation") == (False,)


# Across dialects


def test_the_same_training_in_four_dialects_has_no_trained_differences(tmp_path):
    same = {
        "hf_trainer": """\
learning_rate: 2e-4
num_train_epochs: 2
per_device_train_batch_size: 4
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
dtype: bfloat16
max_length: 512
gradient_checkpointing: true
dataloader_num_workers: 2
lora: {r: 16, lora_alpha: 32, target_modules: [q_proj, v_proj], task_type: SEQ_CLS}
""",
        "llama_factory": """\
finetuning_type: lora
learning_rate: 2e-4
num_train_epochs: 2
per_device_train_batch_size: 4
lr_scheduler_type: cosine
warmup_steps: 20
bf16: true
cutoff_len: 512
dataloader_num_workers: 2
lora_rank: 16
lora_target: q_proj, v_proj
""",
        "axolotl": """\
base_model: m
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [v_proj, q_proj]
learning_rate: 0.0002
num_epochs: 2
micro_batch_size: 4
warmup_steps: 20
sequence_len: 512
gradient_checkpointing: true
dataloader_num_workers: 2
""",
        "trl": """\
use_peft: true
learning_rate: 2e-4
num_train_epochs: 2
per_device_train_batch_size: 4
lr_scheduler_type: cosine
warmup_steps: 20
max_length: 512
dtype: bfloat16
lora_r: 16
lora_dropout: 0
dataloader_num_workers: 2
""",
    }
    files = {}
    for name, text in same.items():
        files[name] = tmp_path / f"{name}.yml"
        files[name].write_text(text)
    for name, path in files.items():
        first, second = resolve_pair(files["hf_trainer"], path, QWEN3)
        assert second.dialect == name
        trained = [d.setting for d in find_differences(first, second) if d.trained]
        assert trained == [], name


def test_a_length_that_nobody_tells_is_called_a_guess(tmp_path):
    (tmp_path / "file.yml").write_text(HF)
    limits = {}
    for architecture in (QWEN3, QWEN3 | {"max_position_embeddings": 4096}):
        length = resolve_file(tmp_path / "file.yml", architecture).settings["max_length"]
        limits[length.value] = length.note
    assert "a guess" in limits[2048] and "a guess" not in limits[4096]
    (tmp_path / "other.yml").write_text(f"{HF}max_seq_length: 512\n")
    said = explain_files(tmp_path / "file.yml", tmp_path / "other.yml", {})
    assert "2048 (a guess)" in render(said, load_texts("en"))


# Trainer's arguments

FLAT = "output_dir: out\nlearning_rate: 0.1\nnum_train_epochs: 3\n"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("eval_strategy: no", "False is not a valid IntervalStrategy"),
        ("evaluation_strategy: off", "False is not a valid IntervalStrategy"),
        ("save_strategy: never", "never is not a valid SaveStrategy"),
        ("lr_scheduler_type: Cosine", "Cosine is not a valid SchedulerType"),
        ("logging_steps: 0", "requires non-zero --logging_steps"),
        ("save_steps: 10.5", "must be an integer if bigger than 1"),
        ("max_steps: auto", "auto is no number"),
        ("lr_scheduler_type: greedy", "greedy requires an eval strategy"),
        ("warmup_steps: null", "NoneType"),
    ],
)
def test_what_training_arguments_stop_at_is_told_with_its_line(resolve, lines, reason):
    error = refused(resolve(FLAT + lines + "\n"))
    assert (error.line, reason in error.problem) == (4, True)
    named = resolve(f"train:\n  training_args: {{learning_rate: 0.1, {lines}}}\n")
    assert any(reason in refusal.reason for refusal in named.refusals)


def test_a_strategy_that_yaml_reads_as_false_is_answered_with_the_line_to_write(resolve):
    assert refused(resolve(FLAT + "eval_strategy: no\n")).write == 'eval_strategy: "no"'


def test_auto_outside_of_deepspeed_is_no_default(resolve):
    side = resolve(FLAT.replace("0.1", "auto"))
    assert (side.settings["learning_rate"].value, side.settings["learning_rate"].line) == (
        "auto",
        2,
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (FLAT + "lora: {r: 8, init_lora_weights: gaussian}\n", "lora.init_lora_weights"),
        (FLAT + "lora: {r: 8, init_lora_weights: pissa_niter_4}\n", "lora.init_lora_weights"),
        (AXOLOTL + "datasets: [{path: a}]\noptimizer: muon\n", "optimizer"),
    ],
)
def test_what_a_library_has_and_no_run_here_is_not_called_a_wrong_value(resolve, text, key):
    (refusal,) = resolve(text).refusals
    assert (refusal.kind, refusal.key) == ("here", key)


@pytest.mark.parametrize(("text", "plain"), [('"true"', "true"), ('"5"', "5"), ("'1e-3'", "0.001")])
def test_a_switch_or_number_in_quotes_is_no_difference_where_nothing_acts_on_it(
    resolve, text, plain
):
    sides = [resolve(f"{FLAT}neftune_noise_alpha: {one}\n") for one in (text, plain)]
    assert (
        sides[0].settings["neftune_noise_alpha"].value
        == sides[1].settings["neftune_noise_alpha"].value
    )
    names = [resolve(f'{FLAT}model_revision: "{one}"\n') for one in ("1.10", "1.1")]
    assert names[0].settings["model_revision"].value != names[1].settings["model_revision"].value


@pytest.mark.parametrize("name", ["bf16", "load_best_model_at_end", "gradient_checkpointing"])
def test_a_switch_of_trainers_that_is_null_is_off(resolve, name):
    side = resolve(f"{FLAT}{name}: null\n")
    assert (side.settings[name].value, side.refusals) == (False, ())


@pytest.mark.parametrize("text", ["$LR", "__LR__", "'@LR@'", "'%(lr)s'", "<LR>", "'{{ lr }}'"])
def test_a_place_for_a_value_is_no_wrong_value(resolve, text):
    (refusal,) = resolve(FLAT.replace("0.1", text)).refusals
    assert (refusal.kind, refusal.line) == ("template", 2)
