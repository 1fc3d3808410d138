"""Files as people write them: whatever parses is read, and what is odd about it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablation.comparison.resolve import resolve_file
from ablation.documents.entries import load_entries
from ablation.errors import UserError
from ablation.study.explain import explain_files

Explain = Callable[..., dict[str, Any]]
BASE = """output_dir: out
learning_rate: 1.0e-4
num_train_epochs: 3
per_device_train_batch_size: 4
"""
KOREAN = "# 학습률과 에포크 설정\n"


@pytest.fixture
def explain(tmp_path: Path) -> Explain:
    """A function that explains two files of a suffix by their contents."""

    def run(current: str | bytes, backup: str | bytes = BASE, suffix: str = ".yaml"):
        paths = [str(tmp_path / f"{name}{suffix}") for name in ("a", "b")]
        for path, content in zip(paths, (current, backup), strict=True):
            Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())
        return explain_files(paths[0], paths[1], {})

    return run


def values(said: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The differences: setting to both values."""
    return {
        d["setting"]: (d["current"]["value"], d["backup"]["value"]) for d in said["differences"]
    }


def findings(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [finding for finding in said["findings"] if finding["id"] == name]


# --- Encodings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("cp949", "CP949"),
        ("euc-kr", "CP949"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16-LE"),
        ("utf-16-be", "UTF-16-BE"),
        ("utf-32", "UTF-32"),
    ],
)
def test_a_file_in_another_encoding_is_read_and_its_encoding_is_told(explain, encoding, told):
    text = f"{KOREAN}{BASE.replace('1.0e-4', '2.0e-4')}run_name: 실험\n"
    said = explain(text.encode(encoding))
    assert values(said) == {"learning_rate": (2e-4, 1e-4), "run_name": ("실험", None)}
    (found,) = findings(said, "file_encoding")
    assert (found["severity"], found["evidence"]["found"]) == ("warning", told)
    assert found["evidence"]["side"] == "current"


def test_western_comments_are_read_too(explain):
    said = explain((BASE + "# café – naïve\n").encode("cp1252"))
    assert not said["differences"]
    assert findings(said, "file_encoding")[0]["evidence"]["found"] == "CP1252"


def test_a_byte_order_mark_is_nothing_in_yaml_and_stops_pythons_json(explain):
    assert not findings(explain("\ufeff" + BASE), "file_not_read_by_trainer")
    text = '\ufeff{"output_dir": "o", "learning_rate": 1e-4}'
    (found,) = findings(explain(text, text[1:], ".json"), "file_not_read_by_trainer")
    assert "BOM" in found["evidence"]["reason"]


# --- Documents ----------------------------------------------------------------------------------


def test_of_several_documents_the_training_configuration_is_read(explain):
    said = explain(f"name: exp\nauthor: me\n---\n{BASE}---\n")
    assert not said["differences"]
    (found,) = findings(said, "file_not_read_by_trainer")
    assert found["severity"] == "problem"
    assert "the part that begins in line 4 is read here" in found["evidence"]["reason"]


def test_several_configurations_in_one_file_are_asked_about(explain):
    with pytest.raises(UserError, match="several configurations stand in one file") as error:
        explain(f"{BASE}---\n{BASE}")
    assert (error.value.line, error.value.found) == (6, "they begin in lines 1, 6")


def test_a_document_has_anchors_of_its_own(explain):
    said = explain(f"name: &x exp\n---\n{BASE}seed: &x 7\ndata_seed: *x\n")
    assert values(said)["seed"] == (7, 42)


@pytest.mark.parametrize(
    "text",
    [
        "- learning_rate: 2.0e-4\n- num_train_epochs: 5\n",
        "- learning_rate: 2.0e-4\n  num_train_epochs: 5\n",
    ],
)
def test_a_list_at_the_top_is_read_where_it_is_one_configuration(explain, text):
    said = explain(text, "learning_rate: 1.0e-4\nnum_train_epochs: 3\n")
    assert values(said) == {"learning_rate": (2e-4, 1e-4), "num_train_epochs": (5.0, 3.0)}
    assert "a list" in findings(said, "file_not_read_by_trainer")[0]["evidence"]["reason"]


# --- JSON ---------------------------------------------------------------------------------------

JSON = '{"output_dir": "http://o", "learning_rate": 1e-4, "num_train_epochs": 3}'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (JSON.replace(', "num', ',\n // a "rate" /* \n "num'), 2),
        (JSON.replace(', "num', ', /* as\n before, */ "num'), 1),
        (JSON.replace("3}", "3,}"), 1),
        (JSON.replace(', "num', ",\n # yaml\n 'num").replace('epochs"', "epochs'"), 2),
    ],
)
def test_json_that_pythons_parser_refuses_is_read_and_a_problem(explain, text, line):
    said = explain(text, JSON, ".json")
    assert not said["differences"]
    (found,) = findings(said, "file_not_read_by_trainer")
    assert (found["severity"], found["places"][0]["line"]) == ("problem", line)
    assert found["evidence"]["library"] == "Python's json"


def test_a_comment_in_an_included_deepspeed_file_is_a_problem_there(explain, tmp_path):
    (tmp_path / "ds.json").write_text(
        '{"train_micro_batch_size_per_gpu": "auto", // filled\n "zero_optimization": {"stage": 2}}'
    )
    said = explain(f"{BASE}deepspeed: ds.json\n")
    assert values(said)["deepspeed.zero_optimization.stage"] == (2, 0)
    (found,) = findings(said, "file_not_read_by_trainer")
    assert found["places"][0]["file"].endswith("ds.json")


def test_letters_that_json_writes_as_two_halves_are_read(explain):
    text = '{"learning_rate": 1e-4, "run_name": "\\ud83d\\udd25 \\uc2e4\\ud5d8", "seed": 1}'
    said = explain(text, text.replace("\\ud83d\\udd25", "x"), ".json")
    assert values(said) == {"run_name": ("🔥 실험", "x 실험")}


def test_tabs_that_pyyaml_stops_at_are_a_problem(explain):
    said = explain(BASE.replace("epochs: 3", "epochs:\t3\t# 세 번"))
    assert not said["differences"]
    (found,) = findings(said, "file_not_read_by_trainer")
    assert (found["evidence"]["library"], found["places"][0]["line"]) == ("PyYAML", 3)


# --- Values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (".nan", ".nan"),
        ("-.inf", "-.inf"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("1e999", "1e999"),
        ("0x" + "f" * 200, "0x" + "f" * 200),
    ],
)
def test_a_number_that_no_setting_has_is_told_as_it_is_written(explain, text, value):
    said = explain(f"{BASE}weight_decay: {text}\nour_own: {text}\n", f"{BASE}our_own: {text}\n")
    assert values(said) == {"weight_decay": (value, 0.0)}
    assert len(findings(said, "value_refused")) == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1.0e-4", "1e-4", {}),
        ("1.0e-4", "'1e-4'", {}),
        ("1.0e-4", "!!float 1e-4", {}),
        ("1.0e-4", "0.000_1", {}),
        ("epochs: 3", 'epochs: "3"', {}),
        ("epochs: 3", "epochs: 0x3", {}),
        ("epochs: 3", "epochs: 1:30", {"num_train_epochs": (90.0, 3.0)}),
        ("epochs: 3", "epochs: 1_0", {"num_train_epochs": (10.0, 3.0)}),
        ("out\n", "out\nbf16: on\n", {"bf16": (True, False)}),
        ("out\n", "out\nbf16: 'True'\n", {"bf16": (True, False)}),
        ("out\n", "out\nbf16: no\n", {}),
        ("out\n", "out\nseed: 010\n", {"seed": (8, 42)}),
        ("\n", "\r\n", {}),
    ],
)
def test_scalars_mean_what_pyyaml_takes_them_for_or_what_people_mean(explain, old, new, expected):
    assert values(explain(BASE.replace(old, new))) == expected


@pytest.mark.parametrize("tag", ["!ENV ${LR}", "!include lr.yaml", "!!python/name:os.system"])
def test_a_tag_is_shown_as_it_is_written_and_builds_nothing(explain, tag):
    said = explain(BASE.replace("1.0e-4", tag))
    told = tag.replace("!!", "tag:yaml.org,2002:")
    assert values(said)["learning_rate"][0].split() == told.split()
    assert findings(said, "file_not_read_by_trainer")
    assert not findings(said, "value_refused")


def test_a_key_that_stands_twice_is_a_problem_where_its_values_differ(explain):
    said = explain(BASE + "learning_rate: 2.0e-4\nnum_train_epochs: 3\n")
    assert values(said) == {"learning_rate": (2e-4, 1e-4)}
    found = {f["evidence"]["key"]: f["severity"] for f in findings(said, "key_twice")}
    assert found == {"learning_rate": "problem", "num_train_epochs": "warning"}


def test_a_key_that_stands_twice_stops_the_parsers_that_check_it(explain):
    text = "model_name_or_path: m\nstage: sft\ncutoff_len: 8\ncutoff_len: 16\n"
    (found,) = findings(explain(text, text.replace("8", "16")), "refused_by_library")[:1]
    assert (found["evidence"]["library"], found["places"][0]["line"]) == ("OmegaConf", 4)


# --- Spelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spell",
    [
        lambda key: "".join(w.title() if n else w for n, w in enumerate(key.split("_"))),
        lambda key: key.replace("_", "-"),
        str.upper,
    ],
    ids=["camel", "kebab", "upper"],
)
def test_keys_in_another_spelling_are_read_as_a_scripts_own(explain, spell):
    lines = [line.split(": ") for line in BASE.splitlines()]
    text = "".join(f"{spell(key)}: {value}\n" for key, value in lines)
    said = explain(text.replace("1.0e-4", "2.0e-4"), text)
    assert values(said) == {"learning_rate": (2e-4, 1e-4)}
    (found, _) = findings(said, "names_of_a_script")
    assert set(found["evidence"]["keys"]) == {spell(key) for key, _ in lines}


def test_keys_in_another_spelling_are_not_obeyed_where_the_trainer_has_keys_of_its_own(explain):
    text = "base_model: m\nlearning_rate: 1.0e-4\nnum_epochs: 1\nmicroBatchSize: 4\n"
    said = explain(text.replace("Size: 4", "Size: 8"), text)
    assert values(said) == {"other.microBatchSize": (8, 4)}
    (found, _) = findings(said, "key_not_of_trainer")
    assert found["severity"] == "problem"
    assert found["evidence"]["nearest"] == "micro_batch_size"


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ('["--learning_rate", "1e-4", "--num_train_epochs=3", "--bf16"]', ".json"),
        ("name: x\nargs: [train.py, --learning_rate, 1e-4, --num_train_epochs, 3, --bf16]", ".yml"),
        ("command:\n- python\n- --learning_rate=1e-4\n- --num_train_epochs=3\n- --bf16\n", ".yml"),
    ],
)
def test_the_arguments_of_a_command_line_in_a_file_are_read(explain, text, suffix):
    said = explain(text.replace("1e-4", "2e-4").replace("=3", "=03"), text, suffix)
    assert values(said) == {"learning_rate": (2e-4, 1e-4)}
    assert findings(said, "names_of_a_script") or findings(said, "file_not_read_by_trainer")


# --- Few keys -----------------------------------------------------------------------------------

SMALL = {
    "arguments and a DeepSpeed block": (
        "training: {learning_rate: 1.0e-4, num_train_epochs: 3, "
        "deepspeed: {train_batch_size: 64, zero_optimization: {stage: 2}}}\n",
        "nested",
    ),
    "two arguments in a block": ("trainer:\n  learning_rate: 1.0e-4\n  seed: 1\n", "nested"),
    "names of one's own in a block": ("hp:\n  lr: 1.0e-4\n  epochs: 3\n", "nested"),
    "one argument in a block": ("training_args:\n  learning_rate: 1.0e-4\n", "nested"),
    "a block in a block": (
        "config:\n  train:\n    learning_rate: 1.0e-4\n    num_train_epochs: 3\n",
        "nested",
    ),
    "optimizer and schedule": (
        "optimizer:\n  lr: 1.0e-4\n  weight_decay: 0.1\nscheduler:\n  warmup_steps: 10\n",
        "nested",
    ),
    "one argument": ("learning_rate: 1.0e-4\n", "hf_trainer"),
    "names of one's own": ("lr: 1.0e-4\nepochs: 3\n", "hf_trainer"),
    "axolotl": ("base_model: m\nlearning_rate: 1.0e-4\n", "axolotl"),
    "LLaMA-Factory": (
        "stage: sft\nfinetuning_type: lora\nlearning_rate: 1.0e-4\n",
        "llama_factory",
    ),
    "TRL": ("use_peft: true\nmodel_name_or_path: m\nlearning_rate: 1.0e-4\n", "trl"),
    "Kedro": ("train:\n  training_args:\n    learning_rate: 1.0e-4\n", "kedro"),
    "a loop of one's own": (
        "training: {epochs: 3}\ndeepspeed: {train_micro_batch_size_per_gpu: 2, "
        "optimizer: {type: AdamW, params: {lr: 1.0e-4}}}\n",
        "deepspeed_native",
    ),
    "DeepSpeed": ("optimizer: {type: AdamW, params: {lr: 1.0e-4}}\n", "deepspeed_json"),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_file_of_few_keys_is_explained(explain, name):
    text, dialect = SMALL[name]
    said = explain(text.replace("1.0e-4", "2.0e-4"), text)
    assert set(said["dialects"].values()) == {dialect}
    assert values(said) == {"learning_rate": (2e-4, 1e-4)}


@pytest.mark.parametrize(
    "text",
    [
        "model:\n  name: m\nlora:\n  r: 8\n  alpha: 16\n",
        "training_arguments:\n  learning_rate: 1.0e-4\npeft:\n  r: 8\n",
        "train:\n  lora:\n    config:\n      r: 8\n",
        '{"r": 8, "target_modules": ["q_proj"]}',
        '{"r": 8, "peft_type": "LORA"}',
        "lora_r: 8\n",
    ],
)
def test_a_file_of_few_lora_keys_is_explained(explain, text):
    assert values(explain(text, text.replace("8", "16"))) == {"lora.r": (8, 16)}


def test_modules_alone_say_that_an_adapter_is_trained(explain):
    text = f"{BASE}target_modules: [query]\n"
    said = explain(text, text.replace("[query]", "[query, value]"))
    assert said["kinds"]["current"]["method"] == "lora"
    assert values(said) == {"lora.target_modules": (["query"], ["query", "value"])}


_TRL = "model_name_or_path: m/x\ndataset_name: d\nlearning_rate: 1.0e-4\nuse_peft: false\n"
_LLAMA_FACTORY = "stage: sft\ntemplate: qwen\ncutoff_len: 512\nfinetuning_type: full\n"
_AXOLOTL = "base_model: m/x\nsequence_len: 512\nmicro_batch_size: 2\n"
_NESTED = "training_args: {output_dir: o, learning_rate: 1.0e-4}\npeft:\n  enabled: false\n"


@pytest.mark.parametrize(
    ("trainer", "text"),
    [
        ("trl", f"{_TRL}lora_r: 8\n"),
        ("llama_factory", f"{_LLAMA_FACTORY}lora_rank: 8\n"),
        ("axolotl", f"{_AXOLOTL}lora_r: 8\n"),
        ("hf_trainer", f"{BASE}use_lora: false\nlora:\n  r: 8\n"),
        ("nested", f"{_NESTED}  r: 8\n"),
    ],
)
def test_keys_of_an_adapter_that_nobody_trains_are_told_and_no_difference(explain, trainer, text):
    said = explain(text, text.replace(": 8\n", ": 16\n"))
    assert said["dialects"]["current"] == trainer
    assert values(said) == {}
    (line,) = findings(said, "keys_idle")[0]["evidence"]["lines"]
    assert ": 8 / 16 (" in line and "adapter" in line
    assert not findings(explain(text, text), "keys_idle")


@pytest.mark.parametrize(
    ("name", "setting", "first", "second"),
    [
        ("label_smoothing", "label_smoothing_factor", 0.1, 0.2),
        ("gpus", "world_size", 1, 4),
        ("n_gpu", "world_size", 2, 8),
    ],
)
def test_a_name_of_scripts_is_the_setting_that_it_means(explain, name, setting, first, second):
    said = explain(f"{BASE}{name}: {first}\n", f"{BASE}{name}: {second}\n")
    assert values(said) == {setting: (first, second)}
    assert findings(said, "names_of_a_script")


def test_label_smoothing_beside_beta_is_that_of_a_loss_of_preferences(explain):
    text = f"{_TRL}beta: 0.1\nlabel_smoothing: 0.1\n"
    said = explain(text, text.replace("smoothing: 0.1", "smoothing: 0.2"))
    assert values(said) == {"label_smoothing": (0.1, 0.2)}


def test_a_block_of_arguments_is_never_taken_for_a_key_without_effect(explain):
    text = "env:\n  training:\n    learning_rate: 1.0e-4\n    max_steps: 10\n"
    assert values(explain(text, text.replace("1.0e-4", "2.0e-4")))["learning_rate"] == (1e-4, 2e-4)


@pytest.mark.parametrize("devices", ["nan", "many", "null", "[2]", "0", "-1", "2.5", "9" * 30])
def test_a_number_of_devices_that_cannot_be_is_not_handed_to_the_other_side(explain, devices):
    loop = "training: {epochs: 3}\ndeepspeed: {train_batch_size: 256}\n"
    said = explain(loop, f"{BASE}num_processes: {devices}\n")
    assert said["differences"]
    assert findings(said, "value_refused")


def test_a_study_is_read_strictly(tmp_path: Path):
    path = tmp_path / "study.yaml"
    path.write_text("name: a\n---\nname: b\n")
    assert load_entries(path).odd[0].reason == "expected a single document in the stream"


# --- What a file trains for ---------------------------------------------------------------------

TRL = "model_name_or_path: m\nuse_peft: true\nlora_r: 8\ndataset_name: d\n"
LF = "model_name_or_path: m\nfinetuning_type: lora\n"
AXOLOTL = "base_model: m\nlearning_rate: 1.0e-5\n"


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        (f"{TRL}max_length: 8\n", "sft"),
        (f"{TRL}beta: 0.1\nloss_type: [sigmoid]\n", "dpo"),
        (f"{TRL}beta: 0.1\nloss_type: ipo\n", "ipo"),
        (f"{TRL}beta: 0.1\nmax_prompt_length: 128\n", "preferences"),
        (f"{TRL}beta: 0.1\nmax_prompt_length: 128\nrun_name: zephyr-7b-orpo-full\n", "orpo"),
        (f"{TRL}trainer: ORPOTrainer\nbeta: 0.1\n", "orpo"),
        (f"{TRL}cpo_alpha: 1.0\nbeta: 0.1\n", "cpo"),
        (f"{TRL}loss_type: simpo\ncpo_alpha: 0.0\nbeta: 2.0\n", "simpo"),
        (f"{TRL}desirable_weight: 1.0\nbeta: 0.1\n", "kto"),
        (f"{TRL}num_generations: 8\nbeta: 0.04\n", "grpo"),
        (f"{TRL}rloo_k: 2\n", "rloo"),
        (f"{TRL}num_ppo_epochs: 4\n", "ppo"),
        (f"{TRL}center_rewards_coefficient: 0.01\n", "reward"),
        (f"{TRL}train_on_last_step_only: true\n", "process_reward"),
        (f"{TRL}teacher_model_name_or_path: t\nlmbda: 0.5\n", "gkd"),
        (f"{LF}stage: pt\n", "pt"),
        (f"{LF}stage: rm\n", "rm"),
        (f"{LF}stage: ppo\n", "ppo"),
        (f"{LF}stage: dpo\n", "dpo"),
        (f"{LF}stage: dpo\npref_loss: orpo\n", "orpo"),
        (f"{LF}stage: dpo\npref_loss: simpo\n", "simpo"),
        (f"{LF}stage: kto\n", "kto"),
        (f"{AXOLOTL}rl: orpo\n", "orpo"),
        (f"{AXOLOTL}rl: grpo\n", "grpo"),
        (f"{AXOLOTL}reward_model: true\n", "reward"),
        (f"{AXOLOTL}pretraining_dataset: d\n", "pt"),
        (f"{BASE}lora: {{r: 8, task_type: TOKEN_CLS}}\n", "token_classification"),
        (f"{BASE}lora: {{r: 8, task_type: SEQ_CLS}}\n", "classification"),
        (f"{BASE}lora: {{r: 8, task_type: FEATURE_EXTRACTION}}\n", "embeddings"),
        (f"{BASE}mlm_probability: 0.15\n", "mlm"),
        ("training: {learning_rate: 1.0e-4, max_steps: 9}\ntrainer_type: kto\n", "kto"),
        (BASE, None),
    ],
)
def test_the_objective_is_told_in_the_heading_and_in_the_data(explain, text, objective):
    said = explain(text, text)
    kind = said["kinds"]["current"]
    assert kind["objective"] == objective
    assert objective is None or kind["text"]["en"] != kind["method"]


def test_a_number_in_words_under_the_name_of_a_setting_is_refused_with_the_line_to_write(explain):
    text = "train_micro_batch_size_per_gpu: 4\nzero_optimization: {stage: 2}\nlearning_rate: many\n"
    (found,) = findings(explain(text, text.replace("many", "1.0e-4")), "value_refused")
    assert found["evidence"]["found"] == "many"
    assert found["places"][0]["line"] == 3


def test_a_length_alone_does_not_make_a_file_a_trainers_of_its_own(tmp_path):
    for text in ('{"max_length": 512}', '{"max_length": 512, "learning_rate": 1e-4, "seed": 1}'):
        path = tmp_path / "training.json"
        path.write_text(text)
        assert resolve_file(path, {}).dialect == "hf_trainer"
    path.write_text('{"max_length": 512, "learning_rate": 1e-4, "use_peft": true}')
    assert resolve_file(path, {}).dialect == "trl"


def test_a_kedro_file_that_takes_values_from_globals_is_explained_as_it_is_written(tmp_path):
    kedro = "train:\n  training_args: {learning_rate: RATE}\n  lora: {config: {r: 8}}\n"
    files = [tmp_path / name for name in ("a.yml", "b.yml")]
    for file, rate in zip(files, ('"${globals:rate}"', "1.0e-4"), strict=True):
        file.write_text(kedro.replace("RATE", rate))
    side = resolve_file(files[0], {})
    told = side.settings["learning_rate"]
    assert (side.dialect, told.value, told.unreadable) == ("kedro", "${globals:rate}", True)
    assert [refusal.kind for refusal in side.refusals] == ["template"]
    rows = explain_files(*files, {})["differences"]
    assert [row["setting"] for row in rows] == ["learning_rate"]
