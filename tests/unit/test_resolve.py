"""The source study: what really differs, what only looks different, and where each value stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from counted import count_calls

from ablation.comparison.resolve import (
    find_differences,
    find_silent,
    require_runnable,
    resolve_file,
    resolve_pair,
)
from ablation.errors import UserError
from ablation.settings.catalogue import BOOKKEEPING, NO_OP

QWEN3_4B = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "hidden_size": 2560,
    "max_position_embeddings": 40960,
    "dtype": "bfloat16",
}
KWARGS = {"cos_min_ratio": 0.025, "warmup_min_ratio": 0.1, "warmup_type": "linear"}
OFFLOAD = "deepspeed.zero_optimization.offload_optimizer.device"

# setting: (current, line in training.yml), (backup, line in deepspeed.yml); no line: a default
EXPECTED = {
    # the table of the source report
    "lora.r": ((128, 40), (256, 13)),
    "lora.lora_alpha": ((256.0, 41), (512.0, 14)),
    "lora.layers_to_transform": (([*range(28, 36)], 44), ([*range(30, 36)], 17)),
    "learning_rate": ((2e-5, 66), (1e-5, 24)),
    "per_device_train_batch_size": ((32, 63), (16, 30)),
    "gradient_accumulation_steps": ((1, 65), (2, 31)),
    "weight_decay": ((0.01, 67), (0.002, 53)),
    "num_train_epochs": ((3.0, 62), (10.0, 118)),
    OFFLOAD: (("none", 98), ("cpu", 38)),
    "max_length": ((256, 30), (320, 129)),
    "lr_scheduler_type": (("linear", None), ("WarmupCosineLR", 81)),
    # what the table missed
    "lr_scheduler_kwargs": (({}, None), (KWARGS, 82)),
    "data.extract_ratio": ((0.1, 13), (1.0, 132)),
    "data.max_classes": ((280, 11), (None, None)),
    "padding": (("longest", 32), ("max_length", 130)),
    "optim_implementation": (("torch_fused", None), ("deepspeed", 48)),
    "gradient_checkpointing": ((True, 78), (False, None)),
    "load_best_model_at_end": ((True, 81), (False, None)),
    "metric_for_best_model": (("accuracy", 82), (None, None)),
    "greater_is_better": ((True, 83), (None, None)),
    "dataloader_num_workers": ((8, 79), (4, 135)),
}
# Written differently, or on one side only, with the same effect.
EQUAL = (
    "deepspeed.zero_optimization.stage",
    "deepspeed.zero_optimization.offload_optimizer.pin_memory",
    "deepspeed.zero_optimization.offload_param.pin_memory",
    "deepspeed.zero_optimization.reduce_bucket_size",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "warmup_steps",
    "world_size",
    "lora.lora_dropout",
    "lora.target_modules",
    "lora.modules_to_save",
    "lora.bias",
    "bf16",
    "fp16",
    "optim",
    "dataloader_pin_memory",
    "model.dtype",
    "truncation",
)


@pytest.fixture
def pair(account_tax: Path):
    return resolve_pair(account_tax / "training.yml", account_tax / "deepspeed.yml", QWEN3_4B)


@pytest.fixture
def resolve(account_tax: Path, edit):
    def changed(old: str, new: str, file: str = "training.yml"):
        edit(file, old, new)
        return resolve_file(account_tax / file, QWEN3_4B)

    return changed


def test_the_twelve_differences_and_those_the_report_missed_are_found_with_their_lines(pair):
    found = {
        d.setting: tuple((side.value, side.line) for side in (d.current, d.backup))
        for d in find_differences(*pair)
        if d.acts_on not in (BOOKKEEPING, NO_OP)
    }
    assert found == EXPECTED


def test_what_has_equal_effects_is_no_difference(pair):
    current, backup = pair
    assert {d.setting for d in find_differences(*pair)}.isdisjoint(EQUAL)
    for name in EQUAL:
        assert current.settings[name].value == backup.settings[name].value, name


def test_the_repeated_batch_sizes_and_clipping_name_their_other_places(pair):
    settings = pair[0].settings
    ((key, line, file),) = settings["per_device_train_batch_size"].also
    assert (key, line) == ("train.deepspeed.config.train_micro_batch_size_per_gpu", 93)
    assert Path(file).name == "training.yml"
    assert settings["gradient_accumulation_steps"].also[0][1] == 94
    assert settings["gradient_checkpointing"].also[0][1] == 58


def test_deepspeeds_own_checkpointing_and_observers_do_not_reach_training(pair):
    classes = {d.setting: d.acts_on for d in find_differences(*pair)}
    assert classes["deepspeed.activation_checkpointing.partition_activations"] == NO_OP
    assert classes["deepspeed.flops_profiler.enabled"] == BOOKKEEPING
    assert classes["output_dir"] == BOOKKEEPING


def test_held_settings_that_one_side_does_not_mention_are_silent_not_different(pair):
    silent = {d.setting: d.current.line for d in find_silent(*pair)}
    assert silent["split.test_size"] == 9
    assert silent["data.label_column"] == 7
    assert {d.setting for d in find_differences(*pair)}.isdisjoint(silent)


def test_a_number_that_yaml_reads_as_text_says_so(pair):
    note = pair[1].settings["learning_rate"].note
    assert "YAML 1.1 reads 1e-5 as text" in note
    bucket = pair[0].settings["deepspeed.zero_optimization.allgather_bucket_size"]
    assert (bucket.value, bucket.line) == (500_000_000, 99)


def test_scheduler_presets_that_no_run_uses_are_listed(pair):
    lines = {entry.key: entry.line for entry in pair[1].unknown}
    assert lines["sched_onecycle.scheduler.type"] == 91
    assert lines["sched_linear_warmup.scheduler.type"] == 101
    assert not [key for key in lines if key.startswith(("ds_base", "sched_warmcos", "lora_def"))]
    assert pair[0].unknown == []


def test_the_silent_side_trains_on_the_other_sides_devices(pair):
    devices = pair[1].settings["world_size"]
    assert (devices.value, devices.origin) == (4, "derived")
    assert devices.note.endswith("training.yml:91")


def test_the_study_says_the_devices_where_no_file_does(account_tax, edit):
    edit("training.yml", "    num_gpus: 4\n", "")
    pair = resolve_pair(
        account_tax / "training.yml", account_tax / "deepspeed.yml", QWEN3_4B, world_size=8
    )
    assert [side.settings["world_size"].value for side in pair] == [8, 8]


def test_batch_sizes_that_are_written_twice_and_disagree_are_refused(resolve):
    side = resolve("train_micro_batch_size_per_gpu: 32", "train_micro_batch_size_per_gpu: 16")
    with pytest.raises(UserError, match="mismatch TrainingArguments values") as error:
        require_runnable(side)
    assert error.value.line == 93


def test_auto_beside_a_written_value_is_that_value(resolve):
    side = resolve("train_micro_batch_size_per_gpu: 32", "train_micro_batch_size_per_gpu: auto")
    micro = side.settings["per_device_train_batch_size"]
    assert (micro.value, micro.line, micro.also) == (32, 63, ())


def test_auto_bucket_sizes_come_from_the_models_width(resolve):
    side = resolve("reduce_bucket_size: 5e8", "reduce_bucket_size: auto")
    bucket = side.settings["deepspeed.zero_optimization.reduce_bucket_size"]
    assert (bucket.value, bucket.origin, bucket.line) == (2560 * 2560, "derived", 100)


@pytest.mark.parametrize(
    ("layers", "value"),
    [
        ("[-1, -36]", [0, 35]),
        ("[35, 0, 35]", [0, 35]),
        ("-1", [35]),
        ("[]", None),
        ("null", None),
        (str([*range(36)]), None),
        (str([*range(-36, 0)]), None),
    ],
)
def test_layers_are_counted_from_zero_and_all_of_them_are_no_restriction(resolve, layers, value):
    side = resolve("[28, 29, 30, 31, 32, 33, 34, 35]", layers)
    assert side.settings["lora.layers_to_transform"].value == value


def test_a_layer_that_the_model_does_not_have_is_refused_with_its_line(resolve):
    side = resolve("[28, 29,", "[99, 29,")
    assert side.settings["lora.layers_to_transform"].value == [29, 30, 31, 32, 33, 34, 35, 99]
    with pytest.raises(UserError, match="a layer that the model does not have") as error:
        require_runnable(side)
    assert (error.value.line, error.value.found) == (44, "99")


def test_max_steps_on_both_sides_leaves_epochs_without_effect(account_tax, edit):
    """E6: the difference is listed, and it explains nothing."""
    edit("training.yml", "num_train_epochs: 3\n", "num_train_epochs: 3\n    max_steps: 100\n")
    files = account_tax / "training.yml", account_tax / "other.yml"
    text = files[0].read_text().replace("num_train_epochs: 3\n", "num_train_epochs: 9\n")
    files[1].write_text(text)
    (epochs,) = find_differences(*resolve_pair(*files, QWEN3_4B))
    assert (epochs.setting, epochs.acts_on, epochs.trained) == ("num_train_epochs", NO_OP, False)
    files[1].write_text(text.replace("max_steps: 100", "max_steps: -1"))
    found = {d.setting: d.trained for d in find_differences(*resolve_pair(*files, QWEN3_4B))}
    assert found == {"num_train_epochs": True, "max_steps": True}


@pytest.mark.parametrize(
    ("old", "one", "other", "setting"),
    [
        ("bf16: true\n", "bf16: true\n    lr_scheduler_type: constant\n", None, "warmup_steps"),
        (
            "load_best_model_at_end: true",
            "load_best_model_at_end: false",
            None,
            "greater_is_better",
        ),
        ('["score"]', "[score]", "null", "lora.modules_to_save"),
        ('["score"]', "[score, embed]", "[embed]", "lora.modules_to_save"),
    ],
)
def test_values_that_do_nothing_on_either_side_explain_nothing(
    account_tax, edit, old, one, other, setting
):
    edit("training.yml", old, one)
    first, second = account_tax / "training.yml", account_tax / "other.yml"
    text = first.read_text()
    changes = {
        "warmup_steps": ("warmup_ratio: 0.1", "warmup_ratio: 0.2"),
        "greater_is_better": ("greater_is_better: true", "greater_is_better: false"),
        "lora.modules_to_save": (one, other),
    }
    assert changes[setting][0] in text
    second.write_text(text.replace(*changes[setting]))
    (found,) = find_differences(*resolve_pair(first, second, QWEN3_4B))
    assert (found.setting, found.acts_on) == (setting, NO_OP)


def test_transformers_selects_by_loss_where_no_metric_is_named(resolve):
    side = resolve('    metric_for_best_model: "accuracy"\n    greater_is_better: true\n', "")
    metric, higher = (side.settings[n] for n in ("metric_for_best_model", "greater_is_better"))
    assert (metric.value, higher.value, metric.origin) == ("loss", False, "derived")
    transformers = pytest.importorskip("transformers")
    made = transformers.TrainingArguments(
        output_dir="unused",
        use_cpu=True,
        load_best_model_at_end=True,
        eval_strategy="steps",
        save_steps=500,
        eval_steps=500,
    )
    assert (made.metric_for_best_model, made.greater_is_better) == ("loss", False)


def test_a_deepspeed_key_of_one_side_is_compared_with_deepspeeds_default(account_tax, edit):
    """E8: absent is not different, and not equal either: it is the default."""
    edit("deepspeed.yml", "    stage: 2\n", "    stage: 2\n    contiguous_gradients: true\n")
    edit("deepspeed.yml", "    stage: 2\n", "    stage: 2\n    overlap_comm: true\n")
    pair = resolve_pair(account_tax / "training.yml", account_tax / "deepspeed.yml", QWEN3_4B)
    found = {d.setting: (d.current.value, d.backup.value) for d in find_differences(*pair)}
    assert "deepspeed.zero_optimization.contiguous_gradients" not in found
    assert found["deepspeed.zero_optimization.overlap_comm"] == (False, True)


def test_full_fine_tuning_has_no_setting_of_lora_but_that_it_is_off(resolve):
    side = resolve("enable: true", "enable: false")
    assert [name for name in side.settings if name.startswith("lora.")] == ["lora.enable"]
    assert (side.settings["lora.enable"].value, side.settings["lora.enable"].line) == (False, 86)


def test_the_resolved_file_is_json_with_every_place(pair):
    data = json.loads(json.dumps(pair[1].as_json(), allow_nan=False))
    assert data["dialect"] == "deepspeed_native"
    assert data["settings"]["lora.r"]["key"] == "lora.r"
    assert data["settings"]["lora.r"]["line"] == 13
    assert data["settings"]["seed"]["value"] == 42
    assert set(data["unknown"][0]) == {"key", "file", "line", "value", "note"}


def test_a_side_compared_with_itself_has_no_differences(account_tax):
    for name in ("training.yml", "deepspeed.yml"):
        pair = resolve_pair(account_tax / name, account_tax / name, QWEN3_4B)
        assert find_differences(*pair) == []
        assert find_silent(*pair) == []


def test_resolving_both_sides_needs_no_torch_and_does_little(account_tax, root):
    code = (
        "import sys\n"
        "from ablation.comparison.resolve import resolve_pair, find_differences\n"
        f"pair = resolve_pair({str(account_tax / 'training.yml')!r}, "
        f"{str(account_tax / 'deepspeed.yml')!r}, {{'num_hidden_layers': 36}})\n"
        "assert len(find_differences(*pair)) > 20\n"
        "assert not {'torch', 'transformers', 'deepspeed', 'numpy'} & set(sys.modules)\n"
    )
    calls, _ = count_calls(code, root)
    assert calls < 350_000  # 228,000 when this was written, a tenth of a second of a core
