"""Pairs as people of axolotl, LLaMA-Factory and TRL write them, and what the trainers do with them.

The right values are those of axolotl 0.19.0, llamafactory 0.9.5 and trl 1.16.0: their schemas and
parsers were run (tests/reference).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.comparison.findings.texts import load_texts
from ablation.comparison.resolve import resolve_file
from ablation.errors import UserError
from ablation.study.explain import explain_files
from ablation.study.explain_text import render
from ablation.words.catalogue import LANGUAGES

AXOLOTL = """\
base_model: org/some-8b
datasets:
  - path: my/rows.jsonl
    type: alpaca
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
learning_rate: 0.0002
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 3
sequence_len: 2048
"""
TRL = """\
model_name_or_path: org/some-8b
use_peft: true
lora_target_modules: [q_proj, v_proj]
dataset_name: my/rows
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
learning_rate: 0.0002
num_train_epochs: 1
max_length: 2048
"""
FLAT = "learning_rate: 0.0001\nper_device_train_batch_size: 2\nnum_train_epochs: 1\n"
BLOCKS = "model: {name: m}\ntraining: {learning_rate: 0.1, num_train_epochs: 3}\n"
FACTORY = """\
model_name_or_path: org/some-8b
stage: sft
finetuning_type: lora
lora_target: all
dataset: my_rows
template: llama3
cutoff_len: 2048
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
learning_rate: 0.0001
num_train_epochs: 3.0
lr_scheduler_type: cosine
bf16: true
"""
NOTHING = "Nothing differs"


@pytest.fixture
def explain(tmp_path: Path):
    def run(current: str, backup: str, suffix: str = "yml", **options) -> dict:
        files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for file, text in zip(files, (current, backup), strict=True):
            file.write_text(text)
        return explain_files(*files, {}, **options)

    return run


def with_lines(text: str, lines: str) -> str:
    """A file with these lines, in place of what it says of their keys."""
    told = {line.split(":")[0] for line in lines.splitlines()}
    kept = [line for line in text.splitlines() if line.split(":")[0] not in told]
    return "\n".join([*kept, lines, ""])


def rows(said: dict) -> dict[str, tuple]:
    """The differences: setting to both values, and what it acts on."""
    return {
        d["setting"]: (d["current"]["value"], d["backup"]["value"], d["class"])
        for d in said["differences"]
    }


def found(said: dict, name: str) -> list[dict]:
    """The findings of a kind."""
    return [finding for finding in said["findings"] if finding["id"] == name]


def quantity(said: dict, name: str) -> tuple:
    (one,) = (q for q in said["quantities"] if q["name"] == name)
    return one["current"], one["backup"]


# What was passed over in silence


@pytest.mark.parametrize(
    ("base", "current", "backup", "expected"),
    [
        (AXOLOTL, "", "lora_model_dir: out/first-run", {"lora_model_dir": "learning"}),
        (AXOLOTL, "", "test_datasets: [{path: held.jsonl}]", {"test_datasets": "data"}),
        (AXOLOTL, "", 'eot_tokens: ["<|im_end|>"]', {"eot_tokens": "learning"}),
        (
            AXOLOTL,
            "",
            "unfrozen_parameters: [^lm_head.weight$]",
            {"unfrozen_parameters": "learning"},
        ),
        (AXOLOTL, "", "peft: {loftq_config: {loftq_bits: 4}}", {"peft": "learning"}),
        (AXOLOTL, "", "revision_of_model: step-1000", {"model_revision": "both"}),
        (FACTORY, "dataset_dir: data_2024", "dataset_dir: data_2025", {"dataset_dir": "data"}),
        (FACTORY, "eval_dataset: held_a", "eval_dataset: held_b", {"eval_dataset": "data"}),
        (FACTORY, "", "tokenized_path: cache/old_tokens", {"tokenized_path": "data"}),
        (
            FACTORY,
            "quantization_bit: 4\nquantization_method: bnb\nquantization_type: nf4",
            "quantization_bit: 4\nquantization_method: hqq\nquantization_type: fp4",
            {"quantization_method": "both", "quantization_type": "both"},
        ),
        (FACTORY, "", "double_quantization: false", {"double_quantization": "both"}),
        (TRL, "dataset_text_field: text", "dataset_text_field: s", {"dataset_text_field": "data"}),
        (TRL, "", "dataset_train_split: test", {"dataset_train_split": "data"}),
        (TRL, "", "bnb_4bit_quant_type: fp4", {"bnb_4bit_quant_type": "both"}),
        (TRL, "", "use_bnb_nested_quant: true", {"use_bnb_nested_quant": "both"}),
        (TRL, "model_revision: main", "model_revision: step-1000", {"model_revision": "both"}),
        (TRL, "", "router_aux_loss_coef: 0.01", {"router_aux_loss_coef": "both"}),
        (TRL, "", "dataset_streaming: true", {"dataset_streaming": "data"}),
        (TRL, "", "model_init_kwargs: {rope_theta: 1e6}", {"model_init_kwargs": "both"}),
    ],
)
def test_what_differs_is_a_row(explain, base, current, backup, expected):
    said = explain(f"{base}{current}\n", f"{base}{backup}\n")
    assert {name: row[2] for name, row in rows(said).items()} == expected


@pytest.mark.parametrize(
    ("base", "line"),
    [
        (AXOLOTL, "wandb_project: mine"),
        (AXOLOTL, "dataset_prepared_path: cache"),
        (AXOLOTL, "sample_packing: false"),
        (AXOLOTL, "lora_dropout: 0.0"),
        (FACTORY, "overwrite_cache: true"),
        (FACTORY, "plot_loss: true"),
        (FACTORY, "max_length: 4096"),
        (TRL, "dataset_train_split: train"),
        (TRL, "bnb_4bit_quant_type: nf4"),
        (TRL, "bf16: true"),
        (TRL, "model_revision: main"),
    ],
)
def test_what_is_written_as_it_would_be_and_what_trains_nothing_is_no_difference(
    explain, base, line
):
    said = explain(base, f"{base}{line}\n")
    assert rows(said) == {}
    assert NOTHING in render(said, load_texts("en"))


def test_a_fork_of_a_trainers_own_keys_is_a_problem_with_the_nearest_known_one(explain):
    base = "model_name_or_path: org/small\nuse_peft: true\nlearning_rate: 0.0002\n"
    said = explain(f"{base}peft_lora_r: 8\n", f"{base}peft_lora_r: 4\n")
    assert rows(said) == {"other.peft_lora_r": (8, 4, "unknown")}
    problems = [f for f in said["findings"] if f["severity"] == "problem"]
    assert "lora_r" in {f["evidence"]["nearest"] for f in problems}


@pytest.mark.parametrize("text", [AXOLOTL, TRL, FACTORY])
def test_an_unknown_key_that_differs_is_never_nothing(explain, text):
    said = explain(f"{text}zzz_of_mine: 1\n", f"{text}zzz_of_mine: 2\n")
    assert rows(said) == {"other.zzz_of_mine": (1, 2, "unknown")}


# Keys of another trainer


@pytest.mark.parametrize(
    ("line", "setting", "value"),
    [
        ("num_train_epochs: 7", "num_train_epochs", 3.0),
        ("lr_scheduler_type: linear", "lr_scheduler_type", "cosine"),
        ("per_device_train_batch_size: 9", "per_device_train_batch_size", 2),
    ],
)
def test_axolotl_does_not_obey_names_that_it_does_not_have(explain, line, setting, value):
    said = explain(f"{AXOLOTL}{line}\n", AXOLOTL)
    assert setting not in rows(said)
    (problem,) = found(said, "key_not_of_trainer")
    assert problem["severity"] == "problem"
    assert problem["evidence"]["key"] == line.split(":")[0]


@pytest.mark.parametrize(
    ("base", "line"),
    [
        (FACTORY + "val_size: 0.1\n", "evaluation_strategy: steps"),
        (TRL, "max_seq_length: 2048"),
        (TRL, "torch_dtype: bfloat16"),
    ],
)
def test_names_of_older_releases_are_refused_by_this_one(explain, base, line):
    text = base.replace("max_length: 2048\n", "") if "max_seq" in line else base
    said = explain(f"{text}{line}\n", f"{text}{line}\n")
    assert len(found(said, "refused_by_library")) == 2
    assert NOTHING not in render(said, load_texts("en"))


@pytest.mark.parametrize(
    "lines",
    [
        "warmup_steps: 0.1",
        "warmup_steps: 10\nwarmup_ratio: 0.5",
        "val_set_size: 0\neval_steps: 10",
        "val_set_size: 0.1\ntest_datasets: [{path: held.jsonl}]",
        "batch_size: 8",
        "evals_per_epoch: 2\neval_steps: 10",
        "saves_per_epoch: 2\nsave_steps: 10",
        "sample_packing: true\nrl: dpo",
        "flash_attention: true\nattn_implementation: sdpa",
    ],
)
def test_what_axolotls_schema_refuses_is_a_problem(explain, lines):
    said = explain(f"{AXOLOTL}{lines}\n", AXOLOTL)
    problems = found(said, "refused_by_library")
    assert {problem["evidence"]["side"] for problem in problems} == {"current"}


def test_axolotls_qlora_wants_four_bits(explain):
    qlora = AXOLOTL.replace("adapter: lora", "adapter: qlora")
    assert found(explain(qlora, AXOLOTL), "refused_by_library")
    assert not found(explain(f"{qlora}load_in_4bit: true\n", AXOLOTL), "refused_by_library")


@pytest.mark.parametrize(
    "lines",
    [
        "use_galore: true",
        "val_size: 0.1\neval_dataset: held",
        "do_eval: true",
        "mask_history: true\ntrain_on_prompt: true",
        "streaming: true",
        "streaming: true\nmax_steps: 10\nmax_samples: 5",
    ],
)
def test_what_llama_factorys_parser_refuses_is_a_problem(explain, lines):
    said = explain(f"{FACTORY}{lines}\n", FACTORY)
    assert found(said, "refused_by_library")


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("load_in_8bit: true\nload_in_4bit: true", "load_in_8bit"),
        ("packing: true\nloss_type: focal", "loss_type"),
        ("padding_free: true", "padding_free"),
        ("num_generations: 1", "num_generations"),
        ("num_generations: 8\nauto_find_batch_size: true", "auto_find_batch_size"),
        ("generation_batch_size: 8\nsteps_per_generation: 2", "generation_batch_size"),
        ("loss_type: exo_pair\nbeta: 0.1", "loss_type"),
        ("loss_type: robust\nbeta: 0.1\nlabel_smoothing: 0.5", "loss_type"),
        ("beta: 0.1\nsync_ref_model: true", "sync_ref_model"),
        ("lora_target_modules: [q_proj]", "lora_target_modules"),
        ("lora_target_modules: q_proj", "lora_target_modules"),
        ("loss_type: [exo_pair]\nbeta: 0.1", "loss_type"),
        ("loss_type: [sigmoid, aot]\nuse_weighting: true\nbeta: 0.1", "loss_type"),
        ("loss_type: [sft, aot]\nf_divergence_type: js_divergence\nbeta: 0.1", "f_divergence_type"),
    ],
)
def test_what_trls_trainers_stop_at_as_they_start_is_refused(tmp_path, lines, key):
    file = tmp_path / "a.yaml"
    file.write_text(with_lines(TRL, lines))
    assert key in {refusal.key for refusal in resolve_file(file, {}, "trl").refusals}


def test_trl_allows_a_divergence_beside_losses_that_all_know_it(tmp_path):
    file = tmp_path / "a.yaml"
    lines = "loss_type: [sigmoid, sft]\nf_divergence_type: js_divergence\nbeta: 0.1\n"
    file.write_text(TRL + lines)
    assert not resolve_file(file, {}, "trl").refusals


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("[all-linear]", "all-linear"),
        ("['.*q_proj']", ".*q_proj"),
        (r"['.*\.q_proj']", ["q_proj"]),
        ("[q, v]", ["q", "v"]),
        ("[lm_head]", "lm_head"),
        ("score", "score"),
    ],
)
def test_a_list_of_one_target_is_its_only_name_to_trl(tmp_path, written, meant):
    file = tmp_path / "a.yaml"
    file.write_text(TRL.replace("[q_proj, v_proj]", written))
    side = resolve_file(file, {})
    assert side.settings["lora.target_modules"].value == meant and not side.refusals


def test_llama_factory_has_a_project_of_trackio(tmp_path):
    file = tmp_path / "a.yaml"
    for line, refused in (("", False), ("project: null\n", True)):
        file.write_text(f"{FACTORY}report_to: trackio\n{line}")
        refusals = resolve_file(file, {}).refusals
        assert [one.key for one in refusals] == (["report_to"] if refused else [])


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("quantization_bit: 3", "quantization_bit"),
        ("quantization_bit: none", "quantization_bit"),
        ("quantization_bit: 4\nquantization_method: eetq", "quantization_bit"),
        ("quantization_bit: 4\nquantization_method: bitsandbytes", "quantization_bit"),
        ("quantization_bit: 4\nadapter_name_or_path: a,b", "quantization_bit"),
        ("flash_attn: true", "flash_attn"),
        ("stage: orpo", "stage"),
        ("stage: dpo\npref_loss: kto", "pref_loss"),
        ("dataset: a,b\nmix_strategy: mixed", "mix_strategy"),
        ("use_unsloth: true\ndeepspeed: {zero_optimization: {stage: 3}}", "use_unsloth"),
        ("quantization_bit: 8\ndeepspeed: {zero_optimization: {stage: 3}}", "quantization_bit"),
        ("finetuning_type: full\nuse_apollo: true\noptim: adamw_8bit", "use_apollo"),
        ("stage: ppo\nreward_model: r\nval_size: 0.1", "stage"),
        ("plot_loss: maybe", "plot_loss"),
        ('gradient_accumulation_steps: "4"', "gradient_accumulation_steps"),
    ],
)
def test_what_llama_factory_takes_and_fails_on_as_it_starts_is_refused(tmp_path, lines, key):
    file = tmp_path / "a.yaml"
    file.write_text(with_lines(FACTORY, f"do_train: true\n{lines}"))
    assert key in {refusal.key for refusal in resolve_file(file, {}).refusals}


# Kinds of training


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (AXOLOTL.replace("adapter: lora\n", ""), ("full", "sft")),
        (AXOLOTL + "rl: dpo\n", ("lora", "dpo")),
        (AXOLOTL + "reward_model: true\n", ("lora", "reward")),
        (AXOLOTL.replace("datasets:", "pretraining_dataset:"), ("lora", "pt")),
        (
            TRL.replace("use_peft: true\nlora_target_modules: [q_proj, v_proj]\n", ""),
            ("full", "sft"),
        ),
        (TRL + "num_generations: 8\n", ("lora", "grpo")),
        (TRL + "beta: 0.1\n", ("lora", "preferences")),  # of ORPO, CPO and KTO, too
        (TRL + "beta: 0.1\nloss_type: sigmoid\n", ("lora", "dpo")),
        (FACTORY.replace("type: lora", "type: freeze"), ("freeze", "sft")),
        (FACTORY.replace("stage: sft", "stage: rm"), ("lora", "rm")),
        (FACTORY + "quantization_bit: 4\n", ("qlora", "sft")),
        (TRL + "load_in_4bit: true\n", ("qlora", "sft")),
        (FLAT + "lora: {r: 8, task_type: SEQ_CLS}\n", ("lora", "classification")),
        (FLAT + "lora: {r: 8, task_type: CAUSAL_LM}\n", ("lora", "causal")),
        (FLAT + "lora: {r: 8}\n", ("lora", None)),
        (FLAT + "model_name_or_path: m\nlora: {enable: false}\n", ("full", None)),
    ],
)
def test_every_kind_of_training_is_explained_and_named(explain, text, kind):
    said = explain(text, text)
    assert (said["kinds"]["current"]["method"], said["kinds"]["current"]["objective"]) == kind
    for language, texts in ((name, load_texts(name)) for name in LANGUAGES):
        named = said["kinds"]["current"]["text"][language]
        assert named.endswith(texts(f"explain.method.{kind[0]}"))
        assert kind[1] is None or named.startswith(texts(f"explain.objective.{kind[1]}"))
        assert named in " ".join(render(said, texts).split())


def test_a_recipe_of_trl_without_use_peft_is_full_fine_tuning_with_trls_defaults(explain):
    recipe = "model_name_or_path: org/m\nmodel_revision: main\ndataset_name: d\nmax_length: 8192\n"
    said = explain(f"{recipe}learning_rate: 0.0003\n", f"{recipe}learning_rate: 0.001\n")
    assert said["dialects"]["current"] == "trl"
    assert said["kinds"]["current"]["method"] == "full"
    assert rows(said) == {"learning_rate": (0.0003, 0.001, "learning")}


# What trainers do with what is written


@pytest.mark.parametrize(
    ("text", "setting", "value"),
    [
        (AXOLOTL + "sample_packing: true\n", "padding", "max_length"),
        (AXOLOTL + "sample_packing: true\npad_to_sequence_len: false\n", "padding", "longest"),
        (AXOLOTL + "load_in_8bit: true\nbf16: false\n", "model.dtype", "float16"),
        (AXOLOTL + "bf16: false\nbfloat16: true\n", "bf16", True),
        (AXOLOTL, "split.val_size", 0.0),
        (AXOLOTL + "flash_attention: true\n", "attn_implementation", "flash_attention_2"),
        (AXOLOTL + "sdp_attention: true\n", "attn_implementation", "sdpa"),
        (FACTORY.replace("sft", "pt"), "packing", True),
        (FACTORY + "neat_packing: true\n", "packing", True),
        (FACTORY + "flash_attn: fa2\n", "attn_implementation", "flash_attention_2"),
        (FACTORY + "max_length: 4096\n", "max_length", 2048),
        (FACTORY + "gradient_checkpointing: false\n", "gradient_checkpointing", True),
        (FACTORY + "lora_rank: 16\n", "lora.lora_alpha", 32.0),
        (TRL + "dtype: auto\n", "model.dtype", "auto"),
        (TRL, "bf16", True),
        (TRL + "fp16: true\n", "bf16", False),
    ],
)
def test_an_effective_value_is_the_trainers(tmp_path, text, setting, value):
    file = tmp_path / "file.yml"
    file.write_text(text)
    assert resolve_file(file, {}).settings[setting].value == value


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ("val_set_size: 0.05\neval_steps: 10\nsave_steps: 50\nearly_stopping_patience: 5", True),
        ("val_set_size: 0.05\neval_steps: 10\nsave_steps: 50", False),
        ("val_set_size: 0.05\neval_steps: 15\nsave_steps: 50\nload_best_model_at_end: true", False),
        ("eval_steps: 10\nsave_steps: 50\nearly_stopping_patience: 5", False),
        (
            "val_set_size: 0.1\nevals_per_epoch: 4\nsaves_per_epoch: 2\n"
            "load_best_model_at_end: true",
            True,
        ),
    ],
)
def test_axolotl_keeps_its_best_checkpoint_where_it_can(tmp_path, lines, kept):
    file = tmp_path / "file.yml"
    file.write_text(f"{AXOLOTL}{lines}\n")
    assert resolve_file(file, {}).settings["load_best_model_at_end"].value is kept


def test_an_optimizer_or_schedule_that_no_run_can_have_is_explained(explain):
    said = explain(f"{AXOLOTL}optimizer: muon\nlr_scheduler: rex\n", AXOLOTL)
    assert rows(said)["optim"][:2] == ("muon", "adamw")
    assert rows(said)["lr_scheduler_type"][:2] == ("rex", "cosine")
    assert quantity(said, "learning_rate.peak")[0] is None
    assert not found(said, "refused_by_library")
    assert "rex" in render(said, load_texts("en"))


def test_synonyms_of_attention_are_no_difference(explain):
    said = explain(
        f"{AXOLOTL}flash_attention: true\n", f"{AXOLOTL}attn_implementation: flash_attention_2\n"
    )
    assert rows(said) == {}


def test_states_in_fewer_bits_and_paged_ones_are_said(explain):
    said = explain(f"{AXOLOTL}optimizer: paged_adamw_32bit\n", f"{AXOLOTL}optimizer: adamw_torch\n")
    assert rows(said)["optim_state"][0] == "32bit, paged (bitsandbytes)"
    said = explain(f"{AXOLOTL}optimizer: adamw_bnb_8bit\n", AXOLOTL)
    assert not found(said, "optimizer_the_same")


def test_a_stage_that_is_written_keeps_its_place(explain):
    said = explain(FACTORY, FACTORY.replace("stage: sft", "stage: pt"))
    (row,) = (d for d in said["differences"] if d["setting"] == "training.objective")
    assert (row["current"]["value"], row["current"]["line"]) == ("sft", 2)


def test_tokens_of_a_language_model_are_weighed_by_version_and_device(explain):
    other = TRL.replace("batch_size: 2", "batch_size: 8").replace("steps: 4", "steps: 1")
    said = explain(TRL, other)
    assert found(said, "effective_batch_of_tokens")
    assert not found(said, "effective_batch_equal")


def test_a_key_that_stands_twice_counts_as_its_last_with_a_warning(explain):
    said = explain(
        f"{AXOLOTL}weight_decay: 0.01\nweight_decay: 0.1\n", f"{AXOLOTL}weight_decay: 0.1\n"
    )
    assert rows(said) == {}
    (twice,) = found(said, "key_twice")
    assert (twice["evidence"]["first"], twice["evidence"]["last"]) == (14, 15)


def test_a_key_that_stands_twice_in_a_file_that_is_included_is_told_with_its_place(tmp_path):
    engine = '{"zero_optimization": {"stage": 2, "stage": 3}, "gradient_clipping": 1.0}'
    (tmp_path / "ds.json").write_text(engine)
    sides = [tmp_path / name for name in ("a.yaml", "b.yaml")]
    sides[0].write_text(f"{FLAT}deepspeed: ds.json\n")
    sides[1].write_text(FLAT)
    (twice,) = found(explain_files(*sides, {}), "key_twice")
    assert twice["evidence"]["key"].endswith("stage")
    assert {place["file"] for place in twice["places"]} == {str(tmp_path / "ds.json")}


def test_a_template_is_shown_as_it_is_written_and_nothing_is_made_of_it(explain):
    text = TRL.replace("learning_rate: 0.0002", "learning_rate: ${LR}")
    said = explain(text, TRL)
    assert rows(said)["learning_rate"][:2] == ("${LR}", 0.0002)
    assert quantity(said, "learning_rate.peak")[0] is None
    assert found(said, "value_filled_elsewhere")
    assert not found(said, "learning_rate_sum")


# Rows and steps


def test_axolotls_steps_and_warmup_are_those_of_all_epochs_at_once(explain):
    text = AXOLOTL.replace("num_epochs: 3", "num_epochs: 4")
    for count, steps, warmup in ((1001, 501, 15), (12345, 6173, 100), (100_000, 50_000, 100)):
        said = explain(text, text, rows=count)
        assert quantity(said, "steps") == (steps, steps)
        assert quantity(said, "warmup") == (warmup, warmup)


def test_axolotls_share_of_warmup_is_one_of_the_steps_that_the_data_gives(explain):
    text = f"{AXOLOTL}max_steps: 10800\nwarmup_ratio: 0.05\n"
    assert quantity(explain(text, text, rows=80), "warmup") == (2, 2)  # int(0.05 x 30) = 1, so 2
    assert quantity(explain(text, text), "warmup") == (None, None)


@pytest.mark.parametrize(
    ("base", "line"),
    [(AXOLOTL, "sample_packing: true"), (TRL, "packing: true"), (FACTORY, "packing: true")],
)
def test_packs_leave_the_number_of_steps_open(explain, base, line):
    said = explain(base, f"{base}{line}\n", rows=300)
    assert quantity(said, "steps")[1] is None
    assert quantity(said, "effective_batch") == (8, 8)
    assert found(said, "packing_on_one_side")


def test_other_data_leaves_open_what_rests_on_rows_until_both_numbers_are_told(explain):
    other = AXOLOTL.replace("my/rows", "other/ten_times")
    said = explain(AXOLOTL, other, rows=300)
    assert quantity(said, "steps") == (None, None)
    assert not {"learning_rate_sum", "sample_passes"} & {f["id"] for f in said["findings"]}
    said = explain(AXOLOTL, other, rows=(300, 3000))
    assert quantity(said, "steps") == (113, 1125)


def test_a_warmup_longer_than_the_run_never_reaches_its_peak(explain):
    said = explain(f"{AXOLOTL}warmup_steps: 100\n", f"{AXOLOTL}warmup_steps: 5\n", rows=200)
    (finding,) = found(said, "warmup_longer_than_run")
    assert (finding["evidence"]["warmup"], finding["evidence"]["steps"]) == (100, 75)
    assert {f["evidence"]["side"] for f in found(said, "scheduler_absent")} == {"backup"}


# Files beside files, and files that are none


@pytest.mark.parametrize("place", ["cwd", "repository", "beside"])
def test_a_deepspeed_file_is_looked_for_as_trainers_find_it(tmp_path, monkeypatch, place):
    folder = tmp_path / "repo/configs"
    folder.mkdir(parents=True)
    (tmp_path / "repo/.git").mkdir()
    elsewhere = tmp_path / "repo/work"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    home = {"cwd": elsewhere, "repository": tmp_path / "repo", "beside": folder}[place]
    (home / "ds").mkdir()
    (home / "ds/zero2.json").write_text('{"zero_optimization": {"stage": 2}}')
    (folder / "a.yml").write_text(f"{AXOLOTL}deepspeed: ds/zero2.json\n")
    side = resolve_file(folder / "a.yml", {})
    assert side.settings["deepspeed.zero_optimization.stage"].value == 2


def test_a_deepspeed_file_that_is_not_there_is_a_warning_and_not_nothing(explain):
    text = f"{AXOLOTL}deepspeed: away/zero2.json\n"
    said = explain(text, text)
    assert len(found(said, "file_missing")) == 2
    assert NOTHING not in render(said, load_texts("en"))


def test_two_files_of_one_name_keep_their_places_apart(tmp_path):
    for name, rate in (("x", "0.0002"), ("y", "0.001")):
        (tmp_path / name).mkdir()
        text = TRL.replace("0.0002", rate)
        (tmp_path / name / "config.yml").write_text(text if name == "x" else f"# y\n{text}")
    said = explain_files(tmp_path / "x/config.yml", tmp_path / "y/config.yml", {})
    text = render(said, load_texts("en"))
    assert "x/config.yml:7" in text
    assert "y/config.yml:8" in text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("model: m\nmodel_class: llm\ntrain_dataset: d\nglobal_batch_size: 4\n", "v1 format"),
        ("compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\n", "accelerate"),
        ("architecture: {backbone_dtype: int4}\ntokenizer: {}\nprediction: {}\n", "H2O LLM Studio"),
        ('{"global_step": 5, "log_history": [], "epoch": 1.0}', "trainer_state.json"),
    ],
)
def test_other_peoples_formats_are_named(tmp_path, text, name):
    file = tmp_path / "file.yml"
    file.write_text(text)
    with pytest.raises(UserError, match=name):
        explain_files(file, file, {})


def test_flat_trainer_arguments_beside_blocks_are_trainers(explain):
    text = (
        "learning_rate: 0.0003\nnum_train_epochs: 2\nper_device_train_batch_size: 4\n"
        "lora: {r: 8, lora_alpha: 16}\n"
        "deepspeed:\n  train_micro_batch_size_per_gpu: auto\n  zero_optimization: {stage: 2}\n"
    )
    said = explain(text, text.replace("0.0003", "0.001"))
    assert said["dialects"]["current"] == "hf_trainer"
    assert rows(said)["learning_rate"] == (0.0003, 0.001, "learning")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("rl: kto", "remove_unused_columns"),
        ("evals_per_epoch: 2\neval_strategy: epoch", "evals_per_epoch"),
        ("peft_layers_pattern: layers", "peft_layers_to_transform"),
        ("lora_mlp_kernel: true\nload_in_8bit: true", "8-bit LoRA"),
        ("lora_qkv_kernel: true\ntrust_remote_code: true", "trust_remote_code"),
        ("optimizer: muon\ndeepspeed: {zero_optimization: {stage: 2}}", "incompatible"),
        (
            "optimizer: adamw_bnb_8bit\nfsdp_version: 2\nfsdp_config: {offload_params: false}",
            "FSDP2",
        ),
        ("lr_groups: [{name: a, lr: 1e-5}]\nloraplus_lr_ratio: 4", "together"),
        ("tokens: {pad_token: x}", "valid list"),
    ],
)
def test_what_axolotls_schema_refuses_of_keys_together_is_told(tmp_path, lines, words):
    file = tmp_path / "a.yml"
    file.write_text(AXOLOTL + lines + "\n")
    assert any(words in refusal.reason for refusal in resolve_file(file, {}).refusals)


def test_a_key_of_another_trainer_is_a_row_that_does_nothing_beside_the_setting(tmp_path):
    paths = [tmp_path / name for name in ("a.yml", "b.yml")]
    paths[0].write_text(AXOLOTL.replace("num_epochs", "num_train_epochs"))
    paths[1].write_text(AXOLOTL)
    said = explain_files(*paths, {})
    classes = {d["setting"]: d["class"] for d in said["differences"]}
    assert classes == {"num_train_epochs": "learning", "other.num_train_epochs": "no-op"}
    assert "the key num_train_epochs" in render(said, load_texts("en"), False)
    assert "keys_unread" not in {found["id"] for found in said["findings"]}


@pytest.mark.parametrize("base", [TRL, FACTORY, "training: {num_train_epochs: 1, optim: sgd}\n"])
def test_every_trainer_refuses_to_keep_the_best_model_without_the_strategies(tmp_path, base):
    file = tmp_path / "a.yml"
    line = "load_best_model_at_end: true"
    file.write_text(base.replace("{", f"{{{line}, ") if "{" in base else f"{base}{line}\n")
    reasons = [refusal.reason for refusal in resolve_file(file, {}).refusals]
    assert any("save and eval strategy to match" in reason for reason in reasons)


# Which trainer a file is for


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        (  # axolotl has these names, and starts without a base model on nothing
            "batch_size: 32\nmax_steps: 500\nlearning_rate: 1e-5\nwarmup_ratio: 0.1\n"
            "weight_decay: 0.01\noutput_dir: out\nseed: 42\neval_batch_size: 8\n",
            "hf_trainer",
        ),
        (  # how text is sampled is no sign of LLaMA-Factory
            f"{FLAT}lora_r: 32\nlora_alpha: 64\nnum_generations: 8\ntemperature: 0.9\n"
            "max_new_tokens: 1024\nkl_coef: 0.05\noutput_dir: out\n",
            "hf_trainer",
        ),
        (  # the adapter's keys beside a switch that is off are TRL's all the same
            TRL.replace("use_peft: true", "use_peft: false") + "lora_r: 64\nlora_alpha: 32\n"
            "lora_dropout: 0.0\nwandb_tags: a\nraw_rollout: false\ntrain_seed: 4\n",
            "trl",
        ),
        (  # LLaMA-Factory would stop at three of these, and Trainer knows those that TRL does
            "cutoff_len: 512\noutput_dir: out\nmax_seq_length: 512\npref_beta: 0.1\n"
            "sample_packing: true\n",
            "hf_trainer",
        ),
        (  # the type of a row's file, which a script hands to load_dataset
            "base_model: m\ndatasets: [{path: a.jsonl, type: json}]\noutput_dir: o\nlora_r: 8\n"
            f"lora_alpha: 16\n{FLAT}",
            "hf_trainer",
        ),
        (  # `lr`, `epochs` and `batch_size` are no names of LLaMA-Factory's: it takes none of them
            "model_name: m\nfinetuning_type: lora\ndataset: alpaca\nlr: 1e-4\nepochs: 3\n"
            "batch_size: 4\nmax_seq_length: 512\nlora_r: 8\nlora_alpha: 16\n",
            "hf_trainer",
        ),
        ("method: lora\nparameters: {r: 8, lora_alpha: 16}\n" + BLOCKS, "nested"),
        ("distributed_type: DEEPSPEED\n" + BLOCKS, "nested"),
        ("global_batch_size: 64\nlibrary_name: peft\ntags: [a]\n" + BLOCKS, "nested"),
        (  # names of a script's own speak for a training, too
            "tokenizer_class: AutoTokenizer\nlicense: mit\nlr: 0.1\nepochs: 3\nbatch_size: 4\n",
            "hf_trainer",
        ),
    ],
)
def test_a_file_is_recognized_by_what_its_trainer_alone_has(tmp_path, text, dialect):
    file = tmp_path / "file.yml"
    file.write_text(text)
    assert resolve_file(file, {}).dialect == dialect


@pytest.mark.parametrize(
    ("base", "key", "refused"),
    [
        (FACTORY, "model_type: qwen2", True),
        (FACTORY, "chat_template: llama3", True),
        (TRL, "eval_dataset: my/held_out", True),
        (TRL, "reward_funcs: [accuracy]", False),  # of TRL's own script
        (AXOLOTL, "bnb_4bit_quant_type: nf4", False),  # passed over
        (AXOLOTL, "data_seed: 7", False),
    ],
)
def test_a_key_that_another_trainer_has_is_a_stranger_to_this_one(tmp_path, base, key, refused):
    path = tmp_path / "a.yaml"
    path.write_text(f"{base}{key}\n")
    side = resolve_file(path, {})
    strangers = {one.key: one for one in side.strangers}
    own = key.startswith("reward_funcs")
    assert (key.split(":")[0] in strangers) is not own
    assert any(one.refused for one in strangers.values()) is refused


def test_llama_factory_wants_a_model(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(FACTORY.replace("model_name_or_path: org/some-8b\n", ""))
    assert [one.key for one in resolve_file(path, {}).refusals] == ["model_name_or_path"]


@pytest.mark.parametrize("key", ["torch_dtype", "dtype"])
def test_a_dtype_of_null_is_the_models_own_as_transformers_takes_it(tmp_path, key):
    path = tmp_path / "a.yaml"
    path.write_text(f"{FLAT}{key}: null\n")
    side = resolve_file(path, {"dtype": "bfloat16"})
    assert side.settings["model.dtype"].value == "bfloat16" and not side.refusals


def test_a_strategy_of_evaluation_turns_evaluation_on(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"{FLAT}do_eval: false\neval_strategy: epoch\n")
    assert resolve_file(path, {}).settings["do_eval"].value is True
    path.write_text(f"{FLAT}do_eval: false\neval_strategy: 'no'\n")
    assert resolve_file(path, {}).settings["do_eval"].value is False


@pytest.mark.parametrize(
    ("key", "rate"),
    [("step_separator: x", 1e-5), ("num_ppo_epochs: 4", 3e-6), ("lmbda: 0.5", 2e-5)],
)
def test_each_of_trls_trainers_has_a_learning_rate_of_its_own(tmp_path, key, rate):
    path = tmp_path / "a.yaml"
    path.write_text(TRL.replace("learning_rate: 0.0002", key))
    assert resolve_file(path, {}, "trl").settings["learning_rate"].value == rate


def test_a_file_that_may_be_trls_is_told_what_trl_would_do_with_it(tmp_path):
    file = tmp_path / "a.yml"
    file.write_text(f"{FLAT}dataset_name: my/rows\nuse_peft: true\nlora_r: 8\nlora_bias: all\n")
    said = explain_files(file, file, {})
    (one, _) = [f for f in said["findings"] if f["id"] == "may_be_trls"]
    assert one["evidence"]["keys"] == ["dataset_name"]
    assert "bf16: true" in one["evidence"]["lines"]
    assert "learning_rate" not in one["evidence"]["lines"]  # it is written
    file.write_text(f"{FLAT}lora_r: 8\n")
    assert "may_be_trls" not in {f["id"] for f in explain_files(file, file, {})["findings"]}


def test_what_a_plugins_adapter_may_read_is_not_passed_over(tmp_path):
    plugin = "plugins: [some.Plugin]\nadapter: some\n"
    text = AXOLOTL.replace("adapter: lora\n", plugin)
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(text.replace("lora_r: 16", "lora_r: 64"))
    said = explain_files(tmp_path / "a.yaml", tmp_path / "b.yaml", {})
    assert set(rows(said)) == {"other.lora_r"}
