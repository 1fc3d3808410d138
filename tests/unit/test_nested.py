"""Files of people's own scripts: arguments in blocks of any name, and names that no library has."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.comparison.resolve import Configuration, find_differences, resolve_file, resolve_pair
from ablation.dialects.blocks import OTHER_METHODS
from ablation.dialects.vocabulary import keys_of
from ablation.errors import UserError
from ablation.study.explain import explain_files

OWN = """\
model: {name: org/some-8b, torch_dtype: bfloat16}
lora: {rank: 16, alpha: 32, dropout: 0.1, target_modules: [q_proj, v_proj]}
training:
  epochs: 2
  batch_size: 4
  grad_accum: 8
  learning_rate: 2e-4
  lr_scheduler: cosine
  warmup_ratio: 0.03
  optimizer: paged_adamw_8bit
  logging_steps: 10
  save_total_limit: 2
data: {max_seq_length: 1024}
evaluation: {eval_steps: 50, eval_strategy: steps}
"""
ZERO = "deepspeed.zero_optimization"
OFFLOADED = {f"{ZERO}.offload_optimizer.device": "cpu"}
FLAT = """\
output_dir: out
max_seq_length: 512
per_device_eval_batch_size: 1
num_epochs: 2
batch_size: 4
lr: 1e-4
lora_r: 8
target_modules: all-linear
gradient_accumulation_steps: 2
"""


@pytest.fixture
def resolve(tmp_path: Path):
    def read(text: str, name: str = "a.yaml") -> Configuration:
        path = tmp_path / name
        path.write_text(text)
        return resolve_file(path, {})

    return read


def values(side: Configuration, *names: str) -> tuple:
    return tuple(side.settings[name].value for name in names)


def findings(folder: Path, first: str, second: str) -> dict[str, dict]:
    for name, text in (("a.yaml", first), ("b.yaml", second)):
        (folder / name).write_text(text)
    said = explain_files(folder / "a.yaml", folder / "b.yaml", {})
    return {found["id"]: found for found in said["findings"]}


@pytest.mark.parametrize(
    "block", ["training", "training_args", "trainer", "hyperparameters", "stage_two.run"]
)
def test_arguments_are_read_below_a_block_of_any_name(resolve, block):
    outer, _, inner = block.partition(".")
    arguments = "{learning_rate: 3e-5, num_train_epochs: 2, gradient_accumulation_steps: 4}"
    text = f"{outer}: {{{inner}: {arguments}}}" if inner else f"{outer}: {arguments}"
    side = resolve(text + "\n")
    assert side.dialect == "nested"
    names = ("learning_rate", "num_train_epochs", "gradient_accumulation_steps")
    assert values(side, *names) == (3e-5, 2.0, 4)
    assert side.settings["learning_rate"].key == f"{block}.learning_rate"


def test_names_of_a_scripts_own_are_read_as_what_they_say_with_a_note(resolve):
    side = resolve(OWN)
    assert values(side, "lora.r", "lora.lora_alpha", "lora.lora_dropout") == (16, 32.0, 0.1)
    names = ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps")
    assert values(side, *names) == (2.0, 4, 8)
    assert values(side, "lr_scheduler_type", "max_length", "model.dtype") == (
        "cosine",
        1024,
        "bfloat16",
    )
    assert values(side, "optim", "optim_state") == ("adamw", "8bit, paged (bitsandbytes)")
    assert side.settings["lora.r"].note == "a name of the script's own, taken for lora.r"
    assert values(side, "eval_steps") == (50,)


def test_what_is_assumed_of_a_script_is_told(tmp_path):
    found = findings(tmp_path, OWN, OWN.replace("epochs: 2", "epochs: 3"))
    assert found["arguments_of_a_script"]["evidence"]["block"] == "training"
    assert "training.epochs" in found["names_of_a_script"]["evidence"]["keys"]


def test_a_librarys_own_name_comes_before_one_of_a_scripts_own(resolve):
    side = resolve(
        "training: {num_train_epochs: 3, epochs: 9, save_total_limit: 1}\nlora: {r: 4, rank: 64}\n"
    )
    assert values(side, "num_train_epochs", "lora.r") == (3.0, 4)
    assert side.settings["other.training.epochs"].value == 9


def test_flat_files_of_scripts_have_names_of_their_own_too(resolve):
    side = resolve(FLAT)
    assert side.dialect == "hf_trainer"
    names = ("num_train_epochs", "per_device_train_batch_size", "learning_rate")
    assert values(side, *names) == (2.0, 4, 1e-4)
    assert values(side, "lora.target_modules") == ("all-linear",)


def test_a_switch_of_lora_in_a_scripts_words_is_obeyed(resolve):
    side = resolve("is_peft: false\npeft_config: {r: 8, lora_alpha: 16}\nlearning_rate: 1e-5\n")
    assert side.kind["method"] == "full"


def test_values_are_found_where_the_file_itself_refers_to_them(resolve):
    text = "base_lr: 3e-4\ntraining: {learning_rate: '${base_lr}', num_train_epochs: 1, optim: sgd}"
    assert values(resolve(text + "\n"), "learning_rate") == (3e-4,)
    text = text.replace("${base_lr}", "${oc.env:RATE}")
    assert resolve(text + "\n").refusals[0].kind == "template"


@pytest.mark.parametrize("key", ["defaults: [model, trainer]", "_base_: ../base.yaml"])
def test_files_that_are_put_together_with_others_say_so(tmp_path, key):
    found = findings(tmp_path, f"{key}\n{OWN}", OWN)
    assert found["joined_files"]["severity"] == "warning"


def test_an_anchored_deepspeed_block_is_no_block_of_arguments(resolve):
    text = "ds: &ds {train_micro_batch_size_per_gpu: 2, gradient_accumulation_steps: 4, fp16: {}}\n"
    text += "training: {epochs: 2, warmup_ratio: 0.1}\ndeepspeed:\n  <<: *ds\n"
    assert resolve(text).dialect == "deepspeed_native"


def test_a_deepspeed_block_below_the_arguments_keeps_its_own_names(resolve):
    deepspeed = "deepspeed: {train_batch_size: 64, zero_optimization: {stage: 2}}"
    arguments = "learning_rate: 1e-4, num_train_epochs: 3, optim: sgd, max_grad_norm: 1.0"
    side = resolve(f"training: {{{arguments}, {deepspeed}}}\n")
    assert side.script is not None and not side.script.names
    assert values(side, "learning_rate", "num_train_epochs") == (1e-4, 3)


@pytest.mark.parametrize(
    ("block", "read"),
    [
        ("scheduler: {type: WarmupCosineLR, params: {total_num_steps: auto}}", True),
        ("optimizer: {type: AdamW}", True),
        ("gradient_clipping: 0.5", True),
        ("bf16: {enabled: auto}", True),
        ("level: 2, half: true", False),
        ("config: other.json, gradient_clipping: 0.5", False),
    ],
)
def test_a_deepspeed_block_beside_the_arguments_is_known_by_any_key_of_its_own(
    resolve, block, read
):
    arguments = "learning_rate: 1e-4, num_train_epochs: 3, optim: sgd, weight_decay: 0.1"
    side = resolve(f"training: {{{arguments}}}\ndeepspeed: {{{block}}}\n")
    assert any(name.startswith("other.deepspeed") for name in side.settings) is not read


def test_a_rank_is_read_once_from_a_block_of_both_names(resolve):
    side = resolve("lora_config: {rank: 16, lora_alpha: 32}\nlearning_rate: 1e-4\noptim: sgd\n")
    assert values(side, "lora.r", "lora.lora_alpha") == (16, 32)
    assert side.settings["lora.r"].also == side.settings["lora.lora_alpha"].also == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("args: {tuner_type: lora, learning_rate: 1e-4, num_train_epochs: 1}", "ms-swift"),
        ("model: m\nfine_tune_type: lora\niters: 600\nlearning_rate: 1e-5", "mlx-lm"),
        ("optimizer: {_component_: torch.optim.AdamW, lr: 1e-5}\nepochs: 1", "torchtune"),
        ("task: llm-sft\nbase_model: m\nparams: {lr: 1e-5, epochs: 1}", "AutoTrain"),
        ("dataset_mixer_list: a 1.0\nlearning_rate: 1e-5\nmax_seq_length: 4", "open-instruct"),
        ("trainer: {accelerator: gpu, max_epochs: 3}\nmodel: {lr: 0.1}", "PyTorch Lightning"),
    ],
)
def test_files_of_other_trainers_are_refused_by_name(resolve, text, name):
    with pytest.raises(UserError, match=name):
        resolve(text + "\n")


def test_a_bare_block_of_lora_fields_is_an_adapters(resolve):
    side = resolve("r: 32\nlora_alpha: 64\ntarget_modules: [q_proj]\ntask_type: CAUSAL_LM\n")
    assert side.dialect == "peft_adapter"
    assert values(side, "lora.r", "lora.target_modules") == (32, ["q_proj"])


def test_saved_arguments_are_not_refused_by_a_trainer_that_never_read_them(resolve):
    known = sorted(keys_of("hf_trainer"))[:80]
    dump = {**dict.fromkeys(known), "output_dir": "o", "num_generations": 6, "use_vllm": False}
    dump |= {"warmup_ratio": 0.1, "evaluation_strategy": None, "log_completions": False}
    lines = [f"{key}: {'null' if value is None else value}" for key, value in dump.items()]
    side = resolve("\n".join(lines) + "\n")
    assert [r for r in side.refusals if r.library == "trl 1.16.0"] == []


def test_a_null_under_an_old_name_says_nothing(resolve):
    side = resolve("learning_rate: 1e-4\nper_gpu_train_batch_size: null\nnum_train_epochs: 1\n")
    assert side.refusals == ()


def test_two_nested_files_differ_where_their_blocks_do(tmp_path):
    paths = [tmp_path / name for name in ("a.yaml", "b.yaml")]
    paths[0].write_text(OWN)
    paths[1].write_text(OWN.replace("rank: 16", "rank: 8").replace("training:", "hp:"))
    assert {d.setting for d in find_differences(*resolve_pair(*paths, {}))} == {"lora.r"}


@pytest.mark.parametrize("line", ["lora_r: {{ rank }}", "{% if big %}"])
def test_a_file_that_is_a_template_is_called_one(resolve, line):
    with pytest.raises(UserError, match="a template"):
        resolve(f"learning_rate: 1e-4\n{line}\nnum_train_epochs: 1\n")


def test_a_block_called_training_is_the_arguments_by_many_own_names(tmp_path):
    file = tmp_path / "file.yml"
    rows = ("epochs: 2", "batch_size: 4", "grad_accum: 8", "learning_rate: 5e-6", "beta: 0.1")
    file.write_text("training:\n" + "".join(f"  {row}\n" for row in rows))
    side = resolve_file(file, {})
    assert side.dialect == "nested"
    names = ("num_train_epochs", "per_device_train_batch_size", "learning_rate")
    assert [side.settings[name].value for name in names] == [2.0, 4, 5e-6]


@pytest.mark.parametrize("block", ["lora", "peft", "adapter"])
@pytest.mark.parametrize(
    ("line", "setting", "value"),
    [
        ("rank: 8", "lora.r", 8),
        ("dropout: 0.2", "lora.lora_dropout", 0.2),
        ("use_dora: true", "lora.use_dora", True),
        ("bias: all", "lora.bias", "all"),
    ],
)
def test_a_block_called_after_lora_is_one_by_any_of_its_keys(resolve, block, line, setting, value):
    side = resolve(f"training: {{learning_rate: 0.1, num_train_epochs: 3}}\n{block}: {{{line}}}\n")
    assert side.settings[setting].value == value
    assert side.kind["method"] == "lora"


@pytest.mark.parametrize("key", ["use_lora", "use_peft", "lora"])
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_switch_alone_tells_whether_an_adapter_is_trained(resolve, key, quote):
    flat = "output_dir: out\nlearning_rate: 0.1\nnum_train_epochs: 3\n"
    on, off = (resolve(f"{flat}{key}: {quote}{v}{quote}\n") for v in ("true", "false"))
    assert (on.kind["method"], off.kind["method"]) == ("lora", "full")
    assert not on.refusals + off.refusals


ENGINE = '{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}'
BLOCKS_FIRST = "training: {learning_rate: 0.1, num_train_epochs: 3}\n"


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("deepspeed: {enabled: true, config_path: ds.json}", 2),
        ("deepspeed: {config_file: ds.json}", 2),
        ("deepspeed: ds.json", 2),
        ("deepspeed: {enabled: false, config_path: ds.json}", 0),
        ("deepspeed: false", 0),
        ("deepspeed: ''", 0),
        ("deepspeed: {}", 0),
        ("deepspeed: null", 0),
    ],
)
def test_deepspeed_is_read_however_a_script_names_its_file_or_turns_it_off(
    resolve, tmp_path, line, stage
):
    (tmp_path / "ds.json").write_text(ENGINE)
    side = resolve(f"{BLOCKS_FIRST}{line}\n")
    assert side.dialect == "nested"
    assert side.settings["deepspeed.zero_optimization.stage"].value == stage
    assert not side.refusals


@pytest.mark.parametrize("rest", [BLOCKS_FIRST, "learning_rate: 0.1\nnum_train_epochs: 3\n"])
@pytest.mark.parametrize("block", ["quantization", "bnb", "bnb_config", "quantization_config"])
def test_a_block_on_quantization_tells_whether_the_base_is_quantized(resolve, rest, block):
    sides = [
        resolve(f"{rest}lora: {{r: 8}}\n{block}: {{load_in_4bit: {on}}}\n")
        for on in ("true", "false")
    ]
    assert [side.kind["method"] for side in sides] == ["qlora", "lora"]
    assert sides[0].unknown[-1].note is not None  # told, and what runs do instead


SCRIPT = "model: {name: org/some-8b}\ntraining: {learning_rate: 0.1, epochs: 3}\n"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("qlora: {enabled: true}", {"load_in_4bit": True}),
        ("quantization: {bits: 4}", {"load_in_4bit": True}),
        ("quantization: {enabled: true, bits: 8}", {"load_in_8bit": True}),
        ("bnb: {load_in_4bit: true, compute_dtype: bf16}", {"bnb_4bit_compute_dtype": "bfloat16"}),
        ("qlora: {enabled: true, double_quant: true}", {"bnb_4bit_use_double_quant": True}),
        ("quantization: {bits: 4, quant_type: nf4}", {"bnb_4bit_quant_type": "nf4"}),
        ("deepspeed: {enabled: true, zero_stage: 2}", {f"{ZERO}.stage": 2}),
        ("deepspeed_config: {stage: 3}", {f"{ZERO}.stage": 3}),
        ("deepspeed: {use_deepspeed: true, offload_optimizer: true, zero_stage: 2}", OFFLOADED),
        ("deepspeed: {zero_stage: 2, bf16: true}", {"bf16": True}),
        ("data: {max_source_length: 640, max_target_length: 64}", {"max_length": 640}),
        ("tokenization: {max_input_length: 640}", {"max_length": 640}),
        ("lora: {r: 8, use_gradient_checkpointing: unsloth}", {"gradient_checkpointing": True}),
        ("hardware: {gradient_checkpointing: unsloth}", {"gradient_checkpointing": True}),
        ("optimizer: {type: AdamW, betas: [0.8, 0.95]}", {"optim": "adamw", "adam_beta1": 0.8}),
        ("lr_scheduler: {type: cosine}", {"lr_scheduler_type": "cosine"}),
        ("batching: 1\nhardware: {gradient_clip: 0.5}", {"max_grad_norm": 0.5}),
        ("model_args: {model_name_or_path: org/other}", {"model.name_or_path": "org/some-8b"}),
        ("data_args: {max_seq_length: 640}", {"max_length": 640}),
        (
            "data_augmentation: {max_length: 64}\ndata_args: {max_length: 32}\n"
            "tokenizer: {max_length: 640}",
            {"max_length": 640},
        ),
        ("deepspeed: {enabled: true, stage: zero2}", {f"{ZERO}.stage": 2}),
        ("deepspeed: {stage: stage_3}", {f"{ZERO}.stage": 3}),
        ("deepspeed: {zero: 1}", {f"{ZERO}.stage": 1}),
        ("deepspeed: {zero_stage: 2, gradient_clipping: 0.5}", {"max_grad_norm": 0.5}),
        ("model_config: {base_model: org/other}", {"model.name_or_path": "org/some-8b"}),
        ("sft_config: {max_seq_length: 640}", {"max_length": 640}),
        ("max_sequence_length: 640", {"max_length": 640}),
        ("quant: 4bit", {"load_in_4bit": True}),
        ("quantization: 8", {"load_in_8bit": True}),
        ("quantization: {bits: 4.0, type: gptq}", {"load_in_4bit": True}),
        ("quantization: nf4", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}),
        ("quantization: {enabled: true, type: 4bit}", {"load_in_4bit": True}),
        ("quantization: fp8", {"other.quantization": "fp8"}),
        ("quantization: {enabled: true, type: gptq}", {"other.quantization.type": "gptq"}),
        ("qlora: {enabled: null}", {"other.qlora.enabled": None}),
        ("bnb: {load_in_4bit: true, bits: 8}", {"other.bnb.bits": 8}),
        ("lora: {peft_lora_r: 32, peft_lora_alpha: 64}", {"lora.r": 32, "lora.lora_alpha": 64.0}),
    ],
)
def test_words_of_a_script_on_weights_deepspeed_and_lengths_are_read(resolve, block, expected):
    side = resolve(f"{SCRIPT}{block}\n")
    assert {name: side.settings[name].value for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("deepspeed: {enabled: true, zero: true}", "deepspeed.zero"),
        ("deepspeed: {stage: offload}", "deepspeed.stage"),
        ("deepspeed: {zero_stage: 2, gradient_clipping: true}", "deepspeed.gradient_clipping"),
        ("deepspeed: {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6}", "deepspeed.f"),
        ("deepspeed: {zero_stage: 2, offload_optimizer: auto_nvme}", "deepspeed.offload_optimizer"),
        ("data: {max_len: false}", "data.max_len"),
        ("data_augmentation: {max_length: 64}", "data_augmentation.max_length"),
        ("model_output: {padding: max_length}", "model_output.padding"),
    ],
)
def test_a_word_of_a_script_that_no_setting_has_is_a_row_of_its_own(resolve, line, key):
    side = resolve(f"{SCRIPT}{line}\n")
    assert not side.refusals
    assert f"other.{key}" in side.settings


def test_a_stage_that_zero_does_not_have_is_refused_in_a_scripts_words_too(resolve):
    (refusal,) = resolve(f"{SCRIPT}deepspeed: {{zero_stage: 5}}\n").refusals
    assert refusal.key == "deepspeed.zero_stage"


@pytest.mark.parametrize("off", ["false", "0"])
def test_a_quantization_that_is_switched_off_does_nothing(resolve, off):
    side = resolve(f"{SCRIPT}lora: {{r: 8}}\nqlora: {{enabled: {off}, load_in_4bit: true}}\n")
    assert side.kind["method"] == "lora"
    assert set(side.without_effect) == {"qlora.enabled", "qlora.load_in_4bit"}


@pytest.mark.parametrize(
    ("first", "second", "row"),
    [
        ("quantization: nf4", "quantization: fp4", "bnb_4bit_quant_type"),
        ("quantization: fp8", "quantization: int8", "load_in_8bit"),
        ("qlora: {enabled: 0}", 'qlora: {enabled: "${QLORA}"}', "other.qlora.enabled"),
        ("qlora: {bits: 4}", 'qlora: {bits: 4, enabled: "${Q}"}', "other.qlora.enabled"),
    ],
)
@pytest.mark.parametrize("base", [FLAT, "SCRIPT"])
def test_weights_that_are_quantized_otherwise_are_a_difference(tmp_path, base, first, second, row):
    base = SCRIPT if base == "SCRIPT" else base
    for name, text in (("a.yaml", first), ("b.yaml", second)):
        (tmp_path / name).write_text(f"{base}{text}\n")
    said = explain_files(tmp_path / "a.yaml", tmp_path / "b.yaml", {})
    assert row in {difference["setting"] for difference in said["differences"]}


@pytest.mark.parametrize("base", [FLAT.replace("lora_r: 8", ""), "SCRIPT"])
@pytest.mark.parametrize("line", ["lora: {enabled: 0, r: 8}", "use_lora: 0\nlora: {r: 8}"])
def test_a_zero_switches_an_adapter_off(resolve, base, line):
    base = SCRIPT if base == "SCRIPT" else base.replace("target_modules: all-linear\n", "")
    assert resolve(f"{base}{line}\n").kind["method"] == "full"


def test_weights_of_four_bits_are_qlora_in_a_flat_file_too(resolve):
    assert resolve(f"{FLAT}quantization: 4bit\n").kind["method"] == "qlora"


def test_a_flat_files_lora_block_is_read_in_the_scripts_words_beside_a_rank(resolve):
    side = resolve(f"{FLAT}lora: {{r: 16, alpha: 32, dropout: 0.05}}\n".replace("lora_r: 8\n", ""))
    assert side.dialect == "hf_trainer"
    assert values(side, "lora.r", "lora.lora_alpha", "lora.lora_dropout") == (16, 32.0, 0.05)


@pytest.mark.parametrize("name", ["base_model", "model_name", "model_id", "model"])
def test_a_flat_file_names_its_model_and_its_length_in_a_scripts_words(resolve, name):
    text = FLAT.replace("max_seq_length", "sequence_len")
    assert values(resolve(f"{text}{name}: org/some-8b\n"), "model.name_or_path", "max_length") == (
        "org/some-8b",
        512,
    )


IN_THEIR_WORDS = """\
model_name: org/some-8b
data_path: data/rows.json
micro_batch_size: 8
batch_size: 128
epochs: 5
lr: 3e-4
cutoff_len: 256
lora_r: 8
"""


def test_a_script_that_a_trainers_parser_would_stop_at_is_none_of_that_trainers(resolve):
    side = resolve(IN_THEIR_WORDS)  # cutoff_len is LLaMA-Factory's, which knows no model_name
    assert side.dialect == "hf_trainer"
    assert values(side, "max_length", "learning_rate", "lora.r") == (256, 3e-4, 8)


def test_a_block_is_no_name_of_a_data_set(resolve):
    block = "dataset: {prompt_key: prompt, max_seq_length: 4096}\n"
    side = resolve(f"{block}training: {{epochs: 3, learning_rate: 3e-5}}\n")
    assert side.dialect == "nested"
    assert side.settings["other.dataset.prompt_key"].value == "prompt"


@pytest.mark.parametrize(
    ("lines", "dialect"),
    [
        (
            "finetuning_type: lora\ndataset: rows\nlora_r: 8\nlora_target_modules: [v]",
            "llama_factory",
        ),
        ("finetuning_type: full\nstage: sft\nmax_seq_length: 8\nlora_alpha: 8", "llama_factory"),
        ("base_model: m\ndatasets: [{path: d, type: alpaca}]\nlora_r: 8\nlora_alpha: 8", "axolotl"),
    ],
)
def test_what_only_one_trainer_has_tells_the_dialect_beside_anothers_names(resolve, lines, dialect):
    own = "per_device_train_batch_size: 4\nlearning_rate: 1e-4\nnum_train_epochs: 1\n"
    assert resolve(f"{own}{lines}\n").dialect == dialect


@pytest.mark.parametrize("block", ["model_args", "model_config", "model_arguments"])
def test_a_model_is_found_in_a_block_that_is_called_after_it(resolve, block):
    text = f"{block}: {{model_name_or_path: org/some-8b}}\ntraining: {{epochs: 1, lr: 0.1}}\n"
    assert values(resolve(text), "model.name_or_path") == ("org/some-8b",)


@pytest.mark.parametrize(
    "lines",
    [
        "model_name_or_path: org/some-8b\nmodel_output: {path: out/run1}\n",
        "model_registry: {name: prod}\nmodel: {path: org/some-8b}\n",
        "model_config: {name: small, path: model.json}\nbase_model: org/some-8b\n",
    ],
)
@pytest.mark.parametrize(
    "rest", ["training: {epochs: 1, lr: 0.1}\n", "output_dir: o\nlr: 0.1\nnum_train_epochs: 3\n"]
)
def test_a_path_in_a_block_that_is_not_the_models_is_not_the_model(resolve, lines, rest):
    assert values(resolve(lines + rest), "model.name_or_path") == ("org/some-8b",)


def test_a_kind_of_lora_beside_a_block_of_arguments_is_lora_and_stands_as_a_row(resolve):
    block = "peft_config: {peft_type: dora, r: 8, lora_alpha: 16}\n"
    side = resolve(f"{block}train: {{learning_rate: 0.1, num_train_epochs: 3}}\n")
    assert (side.dialect, side.kind["method"]) == ("nested", "lora")
    named = "other.peft_config.peft_type"
    assert values(side, "lora.r", "lora.lora_alpha", named) == (8, 16, "dora")


def test_a_file_that_says_that_no_adapter_is_trained_is_full_fine_tuning(resolve):
    side = resolve("peft_config: {peft_type: none}\nlearning_rate: 0.1\nnum_train_epochs: 3\n")
    assert side.kind["method"] == "full"


def test_pefts_other_methods_are_those_of_the_installed_peft():
    from peft import PeftType

    assert {kind.lower() for kind in PeftType} == {*OTHER_METHODS, "lora"}


@pytest.mark.parametrize("dialect", ["nested", "hf_trainer"])
def test_another_of_pefts_methods_is_not_read_as_lora(resolve, dialect):
    adapter = (
        "peft_config: {peft_type: PREFIX_TUNING, task_type: CAUSAL_LM, num_virtual_tokens: 8}\n"
    )
    arguments = "learning_rate: 0.1, num_train_epochs: 3"
    flat = arguments.replace(", ", "\n") + "\n"
    side = resolve(adapter + (flat if dialect == "hf_trainer" else f"train: {{{arguments}}}\n"))
    assert (side.dialect, side.kind["method"]) == (dialect, "prefix_tuning")
    assert side.settings["other.peft_config.num_virtual_tokens"].value == 8
    assert "lora.r" not in side.settings


@pytest.mark.parametrize("line", ["alpha: {}", "r: {}"])
def test_fields_of_another_method_are_its_own_and_differ(tmp_path, line):
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for file, value in zip(files, (16, 32), strict=True):
        block = f"{{peft_type: LOHA, {line.format(value)}, target_modules: [q_proj]}}"
        file.write_text(f"{FLAT.replace('lora_r: 8', '')}peft_config: {block}\n")
    said = explain_files(*files, {})
    assert [one["setting"] for one in said["differences"]] == [
        f"other.peft_config.{line.split(':')[0]}"
    ]
    assert not {"key_not_of_trainer"} & {found["id"] for found in said["findings"]}


@pytest.mark.parametrize("name", ["qlora", "dora", "rslora"])
def test_a_kind_of_lora_is_no_other_method(resolve, name):
    flat = FLAT.replace("lora_r: 8", f"peft_config: {{peft_type: {name}, r: 16, lora_alpha: 32}}")
    side = resolve(flat)
    assert values(side, "lora.r", "lora.lora_alpha") == (16, 32.0)
    assert side.settings["other.peft_config.peft_type"].value == name


@pytest.mark.parametrize(
    "parameters",
    [
        "{learning_rate: {min: 0.1, max: 0.2}}",
        "{learning_rate: {values: [0.1, 0.2]}, epochs: {value: 3}, batch_size: {values: [1, 2]}}",
    ],
)
def test_a_sweep_is_named_and_not_explained(resolve, parameters):
    with pytest.raises(UserError, match="a sweep of Weights & Biases"):
        resolve(f"method: bayes\nparameters: {parameters}\n")
