"""Small files as people of Trainer, DeepSpeed and PEFT write them: what the libraries make of them.

The files lie in tests/cases/deepspeed; `tests/reference/test_settled.py` compares generated ones
with the libraries themselves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.comparison.resolve import (
    Configuration,
    find_differences,
    resolve_file,
    resolve_pair,
)
from ablation.errors import UserError
from ablation.study.explain import explain_files

CASES = Path(__file__).parents[1] / "cases" / "deepspeed"
MODEL = {"model_type": "qwen3", "num_hidden_layers": 4, "hidden_size": 16}
ZERO = "deepspeed.zero_optimization"


def resolve(name: str) -> Configuration:
    return resolve_file(CASES / name, MODEL)


def value(side: Configuration, name: str) -> object:
    return side.settings[name].value


def differing(first: str, second: str) -> set[str]:
    pair = resolve_pair(CASES / first, CASES / second, MODEL)
    return {found.setting for found in find_differences(*pair) if not found.no_effect}


def reasons(name: str) -> str:
    return "\n".join(refusal.reason for refusal in resolve(name).refusals)


def findings(first: str, second: str) -> dict[str, dict]:
    said = explain_files(CASES / first, CASES / second, {})
    return {found["id"]: found for found in said["findings"]}


def test_a_deepspeed_block_beside_flat_arguments_is_read_with_them():
    side = resolve("01-inline-deepspeed/a.yaml")
    assert side.dialect == "hf_trainer"
    assert (value(side, "learning_rate"), value(side, "num_train_epochs")) == (2e-5, 3.0)
    found = differing("01-inline-deepspeed/a.yaml", "01-inline-deepspeed/b.yaml")
    assert {"learning_rate", "num_train_epochs"} <= found


def test_arguments_below_a_block_of_any_name_are_compared():
    side = resolve("02-keys-nobody-reads/nested-a.yaml")
    assert side.dialect == "nested"
    found = differing(*(f"02-keys-nobody-reads/nested-{side}.yaml" for side in "ab"))
    assert "learning_rate" in found


def test_a_block_with_names_of_a_scripts_own_is_compared():
    found = differing(*(f"02-keys-nobody-reads/training-block-{side}.yaml" for side in "ab"))
    assert {"learning_rate", "per_device_train_batch_size"} <= found


@pytest.mark.parametrize("kind", ["model-card", "train-batch-size"])
def test_keys_that_nobody_reads_do_not_hide_a_rate_that_differs(kind):
    pair = (f"02-keys-nobody-reads/{kind}-{side}.yaml" for side in "ab")
    assert "learning_rate" in differing(*pair)


def test_a_trainers_state_is_no_configuration():
    with pytest.raises(UserError, match="trainer_state"):
        resolve("02-keys-nobody-reads/trainer-state.json")


@pytest.mark.parametrize("name", ["a", "b"])
def test_an_optimizer_block_without_lr_and_decay_has_deepspeeds_own(name):
    side = resolve(f"04-optimizer-without-lr/{name}.yaml")
    assert (value(side, "learning_rate"), value(side, "weight_decay")) == (1e-3, 0.0)
    assert side.settings["learning_rate"].overrules == (("learning_rate", 3),)


def test_two_rates_that_deepspeed_does_not_look_at_are_no_difference():
    assert differing("04-optimizer-without-lr/a.yaml", "04-optimizer-without-lr/b.yaml") == set()
    found = findings("04-optimizer-without-lr/a.yaml", "04-optimizer-without-lr/b.yaml")
    assert found["argument_overruled"]["evidence"]["keys"] == ["learning_rate", "weight_decay"]


def test_betas_and_epsilon_that_the_block_lacks_are_deepspeeds():
    side = resolve("04-optimizer-without-lr/c.yaml")
    names = ("learning_rate", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay")
    assert [value(side, name) for name in names] == [3e-5, 0.9, 0.999, 1e-8, 0.0]


def test_a_file_without_gradient_clipping_clips_at_one_whatever_the_argument():
    files = [f"05-no-gradient-clipping/{name}.yaml" for name in "ab"]
    assert [value(resolve(file), "max_grad_norm") for file in files] == [1.0, 1.0]
    assert differing(*files) == set()


def test_a_lora_block_without_task_type_leaves_the_head_at_random():
    files = [f"06-head-without-task-type/{name}.yaml" for name in "ab"]
    assert differing(*files) == {"lora.trains_head"}
    assert value(resolve(files[0]), "lora.trains_head") is False
    assert findings(*files)["head_frozen"]["severity"] == "problem"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lr", "ds optimizer.params.lr=0.0002 vs hf learning_rate=5e-05"),
        ("clip", "ds gradient_clipping=0.5 vs hf max_grad_norm=1.0"),
        ("fp16ds", "ds fp16.enabled=True vs hf fp16|fp16_full_eval=False"),
        ("gas", "ds gradient_accumulation_steps=4 vs hf gradient_accumulation_steps=1"),
        ("wd", "ds optimizer.params.weight_decay=0.01 vs hf weight_decay=0.0"),
        ("wun", "ds scheduler.params.warmup_num_steps=500 vs hf warmup_steps=1"),
        ("wmax", "ds scheduler.params.warmup_max_lr=0.0001 vs hf learning_rate=5e-05"),
        ("micro", "ds train_micro_batch_size_per_gpu=4 vs hf per_device_train_batch_size=8"),
        ("Auto", "ds optimizer.params.lr=Auto vs hf learning_rate=5e-05"),
    ],
)
def test_a_number_that_contradicts_an_argument_or_its_default_is_refused(name, words):
    assert words in reasons(f"07-trainer-default-mismatch/{name}.yaml")


@pytest.mark.parametrize("name", ["absent", "save-absent"])
def test_keeping_the_best_model_without_the_strategies_is_refused(name):
    assert "save and eval strategy to match" in reasons(f"08-best-model-strategies/{name}.yaml")


def test_auto_in_a_bare_deepspeed_file_is_not_known():
    side = resolve("10-bare-json-with-auto/a.json")
    rate = side.settings["learning_rate"]
    assert (rate.value, rate.unreadable) == ("auto", True)
    assert "5e-05 by default" in rate.note
    assert side.settings["num_train_epochs"].unreadable


@pytest.mark.parametrize("name", ["o1", "o2"])
def test_an_offloaded_optimizer_is_deepspeeds_with_a_block_or_without(name):
    side = resolve(f"11-offload-optimizer/{name}.yaml")
    assert (value(side, "optim"), value(side, "optim_implementation")) == ("adamw", "deepspeed")


def test_without_a_lora_key_all_weights_are_trained():
    side = resolve("12-no-lora-block/a.yaml")
    assert value(side, "lora.enable") is False
    assert [name for name in side.settings if name.startswith("lora.")] == ["lora.enable"]
    found = differing("12-no-lora-block/a.yaml", "12-no-lora-block/b.yaml")
    assert {"lora.enable", "lora.r"} <= found


def test_a_template_is_named_and_nothing_is_concluded_from_it():
    side = resolve("13-templates/number.yaml")
    assert side.settings["learning_rate"].unreadable
    assert [refusal.kind for refusal in side.refusals] == ["template"]


def test_a_path_from_the_working_directory_is_found(monkeypatch):
    monkeypatch.chdir(CASES / "14-path-from-the-root")
    side = resolve_file("configs/train/a.yaml", MODEL)
    assert value(side, "lr_scheduler_type") == "WarmupLR"
    assert value(side, f"{ZERO}.stage") == 2


def test_values_that_the_libraries_take_are_taken():
    assert value(resolve("15-valid-values-refused/padding-false.yaml"), "padding") == "longest"
    epochs = resolve("15-valid-values-refused/epochs.yaml")
    assert value(epochs, "max_steps") == 150
    assert not epochs.refusals
    assert value(resolve("15-valid-values-refused/sgd.json"), "optim") == "sgd"


@pytest.mark.parametrize("name", ["ds.yaml", "ds"])
def test_a_deepspeed_file_in_yaml_is_refused_as_transformers_refuses_it(tmp_path, name):
    text = "zero_optimization: {stage: 2}\ntrain_micro_batch_size_per_gpu: auto\n"
    (tmp_path / name).write_text(text)
    path = tmp_path / "a.yaml"
    path.write_text(f"output_dir: o\nlearning_rate: 1.0e-4\ndeepspeed: {name}\n")
    side = resolve_file(path, MODEL)
    assert [refusal.reason[:20] for refusal in side.refusals] == ["the file is not JSON"]
    assert value(side, f"{ZERO}.stage") == 2


def test_an_adapters_configuration_is_read_by_its_path_and_alone():
    beside = resolve("15-valid-values-refused/adapter-path.yaml")
    alone = resolve("15-valid-values-refused/adapter_config.json")
    for side in (beside, alone):
        assert (value(side, "lora.r"), value(side, "lora.lora_alpha")) == (8, 16.0)
    assert alone.dialect == "peft_adapter"
    assert alone.settings["learning_rate"].unreadable


def test_numbers_in_json_are_numbers():
    side = resolve("17-false-notes/numbers.json")
    assert value(side, f"{ZERO}.reduce_bucket_size") == 500_000_000
    assert not any("YAML" in (found.note or "") for found in side.settings.values())


@pytest.mark.parametrize("name", ["dump", "dump-sanitized"])
def test_a_dump_of_the_arguments_is_the_arguments(name):
    side = resolve(f"17-false-notes/{name}.json")
    assert side.dialect == "hf_trainer"
    assert (value(side, "learning_rate"), value(side, "num_train_epochs")) == (2e-4, 4.0)
    assert (value(side, "lr_scheduler_kwargs"), side.refusals) == ({}, ())


def test_every_finding_of_the_cases_is_told_in_both_languages():
    for first, second in (
        ("04-optimizer-without-lr/a.yaml", "07-trainer-default-mismatch/lr.yaml"),
    ):
        pair = explain_files(CASES / first, CASES / second, {})
        for found in pair["findings"]:
            assert set(found["title"]) == {"en", "ko"}


@pytest.mark.parametrize(
    "text",
    [
        "output_dir: o\ndeepspeed: {train_batch_size: 64, gradient_accumulation_steps: 0}",
        "output_dir: o\ndeepspeed: {train_batch_size: [], train_micro_batch_size_per_gpu: 1}",
        "output_dir: o\nlora: {r: 8, modules_to_save: 3}",
        "peft_type: LORA\nmodules_to_save: [{}]",
    ],
)
def test_a_value_that_no_library_takes_is_refused_and_the_rest_is_read(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert resolve_file(path, MODEL, world_size=2).refusals


def test_two_keys_with_a_dot_between_two_dialects_do_not_end_in_an_error_of_ours(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "training: {epochs: 3}\nlora: {}\nhardware: {}\n"
        "data: {max_length: 1, extract_ratio: 0.1}\n"
        "deepspeed: {zero_optimization: {}, a.b: null, c.d: null}\n"
    )
    with pytest.raises(UserError, match="this may be"):
        resolve_file(path, MODEL)


@pytest.mark.parametrize(
    ("block", "refused"),
    [
        ("fp16: null", "fp16"),
        ("tensorboard: {enabled: maybe}", "tensorboard.enabled"),
        ("csv_monitor: {enabled: 3}", "csv_monitor.enabled"),
        ("comms_logger: {prof_ops: all}", "comms_logger.prof_ops"),
        ("tensorboard: {output_path: 3}", "tensorboard.output_path"),
        ("flops_profiler: {enabled: 'true'}", "flops_profiler.enabled"),
        ("wall_clock_breakdown: 'yes'", "wall_clock_breakdown"),
        ("compile: {deepcompile: maybe}", "compile.deepcompile"),
        ("tensor_parallel: {autotp_size: two}", "tensor_parallel.autotp_size"),
        ("bf16: null", None),
        ("tensorboard: {enabled: 'true', output_path: logs}", None),
        ("flops_profiler: {enabled: true}", None),
    ],
)
def test_a_value_of_another_kind_stops_deepspeed_also_in_blocks_that_watch(
    tmp_path, block, refused
):
    path = tmp_path / "a.yaml"
    needed = "train_micro_batch_size_per_gpu: auto\n  zero_optimization: {stage: 2}"
    engine = f"deepspeed:\n  {needed}\n  {block}\n"
    path.write_text(f"output_dir: o\nlearning_rate: 1.0e-4\nmax_steps: 9\n{engine}")
    found = [refusal.key for refusal in resolve_file(path, MODEL).refusals]
    assert found == ([f"deepspeed.{refused}"] if refused else [])
