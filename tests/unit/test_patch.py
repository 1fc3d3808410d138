import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hunks import apply_hunks
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ablation.comparison.resolve import resolve_file
from ablation.comparison.rewrite import Rewrite, Target, rewrite
from ablation.dialects import DIALECTS
from ablation.dialects.keys import ORDER
from ablation.dialects.reader import Reader
from ablation.dialects.writer import Change
from ablation.documents.edit import Document
from ablation.documents.entries import load_entries
from ablation.documents.files import Files
from ablation.documents.source import read_text
from ablation.documents.style import Style, write_number, write_scalar
from ablation.errors import UserError
from ablation.report.patch import (
    current_target,
    patch_name,
    patch_text,
    recommended_rewrite,
    shown_patch,
    unified_patch,
)
from ablation.results import Results
from ablation.settings.catalogue import words
from ablation.study.grid import expand
from ablation.study.load import load_study
from ablation.study.resolved import save_resolved

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "config/studies/account_tax/study.yaml"
ARCHITECTURE = {"num_hidden_layers": 36, "dtype": "bfloat16", "max_position_embeddings": 40960}
SCRIPT = ROOT / "scripts/write_patch.py"

KEDRO = """\
split:
  max_classes: 280
train:
  tokenization: {max_length: 256}  # in tokens
  training_args:
    learning_rate: 2.0e-5
  lora:
    config:
      r: 8
  deepspeed:
    config:
      zero_optimization:
        stage: 2
"""
WARM_COSINE = {
    "lr_scheduler_type": "WarmupCosineLR",
    "lr_scheduler_kwargs": {
        "cos_min_ratio": 0.025,
        "warmup_min_ratio": 0.1,
        "warmup_type": "linear",
    },
}


@pytest.fixture(scope="module")
def study():
    return load_study(STUDY)


@pytest.fixture(scope="module")
def arms(study):
    return {arm.name: arm.settings for arm in expand(study).arms}


def changed_lines(old: str, new: str) -> list[int]:
    """The lines (from 1) of the old text that the new one has otherwise or not at all."""
    lines = unified_patch(Path("f.yml"), old, new).split("\n")
    number, found = 0, []
    for line in lines[3:]:
        if line.startswith("@@"):
            number = int(line.split()[1].split(",")[0][1:])
            continue
        if line.startswith("-"):
            found.append(number)
        if line[:1] in ("-", " "):
            number += 1
    return found


def added(old: str, new: str) -> list[str]:
    """The lines that only the new text has, stripped."""
    lines = unified_patch(Path("f.yml"), old, new).split("\n")
    return [line[1:].strip() for line in lines[3:] if line.startswith("+")]


def write(folder: Path, text: str, name: str = "training.yml") -> Target:
    path = folder / name
    path.write_bytes(text.encode())
    return Target(path, ARCHITECTURE, None, 4)


def patched_text(target: Target, wanted: dict[str, object]) -> str:
    return rewrite(target, wanted).after[target.path]


def recommended_text(study, arm: str) -> str:
    return next(iter(recommended_rewrite(study, arm).after.values()))


def patch(folder: Path, text: str, name: str = "training.yml", **wanted: object) -> str:
    """The patched text; setting names with `__` for a dot."""
    target = write(folder, text, name)
    return patched_text(target, {key.replace("__", "."): value for key, value in wanted.items()})


def replayed(target: Target, changes: tuple[Change, ...]) -> dict[Path, str]:
    """The texts after the changes, done one by one to the texts as they are."""
    side = target.resolve()
    reader = Reader(load_entries(target.path), str(target.path))
    DIALECTS[side.dialect].read(reader)
    texts = {path: read_text(path) for path in map(Path, side.files)}
    files = Files(texts, reader.root, reader.read_keys, ORDER)
    for change in changes:
        files.apply(change.operation)
    return files.texts


def values(target: Target) -> dict[str, object]:
    settings = target.resolve().settings
    return {name: value.value for name, value in settings.items() if not value.unreadable}


# The source study


@pytest.mark.parametrize(
    "arm", ["current", "stage1-lora_learning_rate", "stage3-decay_length_scheduler", "backup"]
)
def test_git_apply_turns_the_current_file_into_the_recommended_one(arm, arms, tmp_path):
    folder = tmp_path / "repository" / "config" / "studies" / "한국 study"
    shutil.copytree(STUDY.parent, folder, ignore=shutil.ignore_patterns(".*"))
    subprocess.run(["git", "init", "-q", tmp_path / "repository"], check=True)
    results = Results(tmp_path / "results")
    save_resolved(load_study(folder / "study.yaml"), results)
    subprocess.run([sys.executable, SCRIPT, "--results", results.folder, "--arm", arm], check=True)
    config, diff = results.recommended / "training.yml", results.recommended / "training.patch"
    if arm != "current":
        subprocess.run(["git", "apply", diff], cwd=folder, check=True)
    assert (folder / "training.yml").read_bytes() == config.read_bytes()
    side = resolve_file(config, {**ARCHITECTURE, "num_hidden_layers": 36})
    for name, value in arms[arm].items():
        found = side.settings.get(name)
        assert (found.value if found else None) == value, name


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the program patch")
def test_the_program_patch_applies_it_from_the_root(study, tmp_path):
    old = read_text(current_target(study).path)
    new = recommended_text(study, "backup")
    path = tmp_path / "a b" / "training.yml"
    path.parent.mkdir()
    path.write_text(old)
    (tmp_path / ".git").mkdir()
    subprocess.run(
        ["patch", "-s", "-p1"],
        input=unified_patch(path, old, new),
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert path.read_text() == new


def test_each_stage_touches_only_its_own_lines(study):
    old = read_text(current_target(study).path)
    changes = {arm.name: recommended_text(study, arm.name) for arm in expand(study).arms}
    assert changes["current"] == old
    assert changed_lines(old, changes["stage1-lora_learning_rate"]) == [40, 41, 66]
    assert changed_lines(old, changes["stage2-epochs"]) == [40, 41, 62, 66]
    third = changes["stage3-decay_length_scheduler"]
    assert changed_lines(old, third) == [30, 40, 41, 62, 66, 67]
    assert added(old, third)[-8:] == [
        "scheduler:",
        'type: "WarmupCosineLR"',
        "params:",
        'total_num_steps: "auto"',
        'warmup_num_steps: "auto"',
        "cos_min_ratio: 0.025",
        "warmup_min_ratio: 0.1",
        'warmup_type: "linear"',
    ]


def test_a_batch_that_is_written_twice_changes_in_both_blocks(study):
    target = current_target(study)
    wanted = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2}
    old = read_text(target.path)
    assert changed_lines(old, patched_text(target, wanted)) == [63, 65, 93, 94]


def test_the_backup_file_takes_the_current_values_through_its_anchors(study):
    target = Target(STUDY.parent / "deepspeed.yml", ARCHITECTURE, None, 4)
    wanted = {
        "lora.r": 128,
        "lora.layers_to_transform": list(range(28, 36)),
        "learning_rate": 2e-5,
        "weight_decay": 0.01,
        "per_device_train_batch_size": 32,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": 3.0,
        "max_length": 256,
        "padding": "longest",
        "gradient_checkpointing": True,
        "deepspeed.zero_optimization.offload_optimizer.device": "none",
        "deepspeed.zero_optimization.offload_optimizer.pin_memory": False,
        "dataloader_num_workers": 8,
    }
    old = read_text(target.path)
    new = patched_text(target, wanted)
    assert changed_lines(old, new) == [13, 17, 24, 30, 31, 38, 39, 53, 118, 129, 130, 135]
    assert "learning_rate: &lr 2.0e-5" in added(old, new)
    assert "gradient_checkpointing: true" in added(old, new)


def test_what_a_dialect_cannot_say_is_named_with_both_values(study, arms):
    target = Target(STUDY.parent / "deepspeed.yml", ARCHITECTURE, None, 4)
    with pytest.raises(UserError) as caught:
        patched_text(target, arms["current"])
    message = str(caught.value)
    for name in ("optim_implementation", "load_best_model_at_end", "data.max_classes"):
        assert name in message
    assert "optim_implementation: deepspeed -> torch_fused" in message


def test_an_unknown_arm_is_a_message(study):
    with pytest.raises(UserError, match="no such arm"):
        recommended_text(study, "stage1-lora")


# Layout


def test_line_endings_and_a_missing_final_newline_stay(tmp_path):
    old = KEDRO.replace("\n", "\r\n").rstrip()
    wanted = {"learning_rate": 1e-5, "lr_scheduler_type": "cosine"}
    wanted |= {"deepspeed.zero_optimization.stage": 3, "loss.use_class_weights": True}
    new = patched_text(write(tmp_path, old), wanted)
    assert "\n" not in new.replace("\r\n", "")
    assert new.endswith("use_class_weights: true")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    diff = unified_patch(tmp_path / "training.yml", old, new)
    subprocess.run(["git", "apply", "-"], input=diff.encode(), cwd=tmp_path, check=True)
    assert (tmp_path / "training.yml").read_bytes() == new.encode()


def test_a_byte_order_mark_stays(tmp_path):
    new = patch(tmp_path, "\ufeff" + KEDRO, learning_rate=1e-5)
    assert new == "\ufeff" + KEDRO.replace("2.0e-5", "1.0e-5")


def test_a_flow_mapping_stays_on_its_line(tmp_path):
    new = patch(tmp_path, KEDRO, max_length=320, padding="max_length")
    assert '{max_length: 320, padding: "max_length"}  # in tokens\n' in new


def test_json_stays_json(tmp_path):
    old = """\
{
\t"train": {
\t\t"tokenization": {"max_length": 256},
\t\t"training_args": {
\t\t\t"learning_rate": 2e-5,
\t\t\t"warmup_ratio": 0.1
\t\t},
\t\t"deepspeed": {"config": {"zero_optimization": {"stage": 2}}}
\t}
}
"""
    new = patch(tmp_path, old, "training.json", max_length=320, bf16=True, **WARM_COSINE)
    read = json.loads(new)
    assert read["train"]["training_args"] == {
        "learning_rate": 2e-5,
        "warmup_ratio": 0.1,
        "bf16": True,
    }
    assert read["train"]["deepspeed"]["config"]["scheduler"]["type"] == "WarmupCosineLR"


def test_comments_beside_and_between_changed_lines_stay(tmp_path):
    old = """\
train:
  training_args:
    # the rate
    learning_rate: 2.0e-5   # tuned by hand

    # the size
    per_device_train_batch_size: 8 # fits
  lora:
    config:
      target_modules:   # attention
        # first
        - q_proj  # query
        - k_proj  # key
        - "v_proj"
"""
    new = patch(
        tmp_path,
        old,
        learning_rate=0.001,
        per_device_train_batch_size=16,
        lora__target_modules=["o_proj", "q_proj", "v_proj"],
    )
    expected = old.replace("2.0e-5", "1.0e-3").replace("size: 8", "size: 16")
    assert new == expected.replace("- k_proj", "- o_proj")


def test_a_block_list_grows_and_shrinks_by_lines(tmp_path):
    old = "train:\n  training_args: {}\n  lora:\n    config:\n      target_modules:\n"
    old += "      - v_proj # v\n      - q_proj\n"
    grown = patch(tmp_path, old, lora__target_modules=["k_proj", "q_proj", "v_proj"])
    assert grown == old + "      - k_proj\n"
    shrunk = patch(tmp_path, grown, lora__target_modules=["q_proj"])
    assert shrunk.endswith("target_modules:\n      - q_proj\n")
    word = patch(tmp_path, old, lora__target_modules="all-linear")
    assert word.endswith("target_modules: all-linear\n")


def test_a_list_over_many_lines_keeps_its_comments(tmp_path):
    old = "train:\n  training_args: {}\n  lora:\n    config:\n      target_modules: [\n"
    old += '        "q_proj",  # query\n        "k_proj",\n        "v_proj"\n      ]\n'
    new = patch(tmp_path, old, lora__target_modules=["o_proj", "q_proj", "up_proj", "v_proj"])
    assert new == old.replace('"k_proj"', '"o_proj"').replace(
        '"v_proj"\n', '"v_proj",\n        "up_proj"\n'
    )
    less = patch(tmp_path, old, lora__target_modules=["q_proj"])
    assert '"q_proj"' in less and "# query" in less and "k_proj" not in less


@pytest.mark.parametrize(
    ("value", "old", "expected"),
    [
        (1e-5, "2.0e-5", "1.0e-5"),
        (2e-5, "1e-5", "2.0e-5"),
        (0.002, "0.01", "0.002"),
        (0.0005, "0.01", "0.0005"),
        (0.0005, "", "5.0e-4"),
        (10.0, "3", "10"),
        (2.5, "3", "2.5"),
        (2.0, "1.0", "2.0"),
        (512.0, "", "512"),
        (0.0, "", "0.0"),
        (200_000_000, "5e8", "200000000"),
        (1.25e-7, "1e-5", "1.25e-7"),
    ],
)
def test_numbers_are_written_as_people_write_them(value, old, expected):
    assert write_number(value, old) == expected


@pytest.mark.parametrize(
    ("value", "old", "expected"),
    [
        ("cosine", "'linear'", "'cosine'"),
        ("cosine", "linear", "cosine"),
        ("none", '"cpu"', '"none"'),
        ("no", "cpu", '"no"'),
        ("it's", "'a'", "'it''s'"),
        (True, "False", "True"),
        (False, "on", "off"),
        (None, "280", "null"),
        (280, "null", "280"),
        ("accuracy", "null", '"accuracy"'),
    ],
)
def test_scalars_take_the_manner_of_what_they_replace(value, old, expected):
    assert write_scalar(value, Style(), old) == expected


# Adding and taking out


def test_a_new_key_stands_behind_its_neighbors_in_their_quotes(tmp_path):
    old = KEDRO.replace("2.0e-5", '2.0e-5\n    report_to: "none"')
    new = patch(tmp_path, old, lr_scheduler_type="cosine", lora__lora_alpha=32.0)
    lines = new.split("\n")
    assert lines[lines.index("    learning_rate: 2.0e-5") + 1] == '    lr_scheduler_type: "cosine"'
    assert lines[lines.index("      r: 8") + 1] == "      lora_alpha: 32"


def test_a_missing_block_is_added_with_the_key(tmp_path):
    new = patch(tmp_path, KEDRO, loss__use_class_weights=True, loss__class_weight_max=10.0)
    assert new == KEDRO + "  loss:\n    use_class_weights: true\n    class_weight_max: 10\n"


def test_a_block_without_a_value_is_filled(tmp_path):
    old = "train:\n  training_args:   # nothing yet\n  tokenization:\n    max_length: 9\n"
    new = patch(tmp_path, old, bf16=True)
    assert new == old.replace("yet\n", "yet\n    bf16: true\n")


def test_a_default_is_not_written(tmp_path):
    old = KEDRO.replace("2.0e-5", "2.0e-5\n    lr_scheduler_type: cosine")
    assert patch(tmp_path, old, lr_scheduler_type="cosine") == old
    with_scheduler = patch(tmp_path, KEDRO, **WARM_COSINE)
    back = patch(tmp_path, with_scheduler, lr_scheduler_type="linear", lr_scheduler_kwargs={})
    assert back == KEDRO


def test_a_deepspeed_scheduler_takes_the_place_of_the_argument(tmp_path):
    old = KEDRO.replace(
        "2.0e-5",
        "2.0e-5\n    lr_scheduler_type: cosine_with_min_lr\n"
        "    lr_scheduler_kwargs:\n      min_lr: 1.0e-6",
    )
    new = patch(tmp_path, old, **WARM_COSINE)
    assert "lr_scheduler" not in new
    back = patch(tmp_path, new, lr_scheduler_type="polynomial", lr_scheduler_kwargs={"power": 2.0})
    assert "scheduler:" not in back
    assert "    lr_scheduler_type: polynomial\n" in back
    assert "    lr_scheduler_kwargs:\n      power: 2\n" in back


def test_one_parameter_of_a_scheduler_changes_one_line(tmp_path):
    old = patch(tmp_path, KEDRO, **WARM_COSINE)
    kwargs = {**WARM_COSINE["lr_scheduler_kwargs"], "cos_min_ratio": 0.5}
    new = patch(tmp_path, old, lr_scheduler_kwargs=kwargs)
    assert new == old.replace("0.025", "0.5")


def test_another_deepspeed_scheduler_gets_its_own_parameters(tmp_path):
    old = patch(tmp_path, KEDRO, **WARM_COSINE)
    kwargs = {"warmup_min_lr": 0.0, "warmup_type": "log"}
    new = patch(tmp_path, old, lr_scheduler_type="WarmupDecayLR", lr_scheduler_kwargs=kwargs)
    assert "cos_min_ratio" not in new
    assert 'warmup_max_lr: "auto"' in new


def test_a_deepspeed_optimizer_comes_and_goes_with_its_values(tmp_path):
    new = patch(tmp_path, KEDRO, optim_implementation="deepspeed")
    block = '      optimizer:\n        type: "AdamW"\n        params:\n          lr: "auto"\n'
    assert block in new
    explicit = new.replace('lr: "auto"', "lr: 2.0e-5").replace('decay: "auto"', "decay: 0.0")
    back = patch(tmp_path, explicit, optim_implementation="torch")
    assert "optimizer:" not in back and '    optim: "adamw_torch"\n' in back
    twice = patch(tmp_path, explicit, weight_decay=0.1)
    assert "          weight_decay: 0.1\n" in twice and "    weight_decay: 0.1\n" in twice


def test_a_value_that_only_the_deepspeed_block_says_is_said_to_the_trainer_too(tmp_path):
    old = KEDRO + "      gradient_clipping: 1.0\n"
    new = patch(tmp_path, old, max_grad_norm=0.5)
    assert "gradient_clipping: 0.5\n" in new and "    max_grad_norm: 0.5\n" in new


def test_auto_stays_auto(tmp_path):
    old = KEDRO + "      train_micro_batch_size_per_gpu: auto\n      train_batch_size: 32\n"
    old = old.replace("2.0e-5", "2.0e-5\n    per_device_train_batch_size: 8")
    new = patch(tmp_path, old, per_device_train_batch_size=16)
    assert new == old.replace("size: 8", "size: 16").replace("size: 32", "size: 64")


def test_offload_keeps_the_optimizer_that_was_measured(tmp_path):
    device = "deepspeed.zero_optimization.offload_optimizer.device"
    new = patched_text(write(tmp_path, KEDRO), {device: "cpu"})
    assert "zero_force_ds_cpu_optimizer: false" in new


def test_null_is_written_where_null_is_a_value_else_the_key_goes(tmp_path):
    nvme = "deepspeed.zero_optimization.offload_param.nvme_path"
    old = KEDRO + "        offload_param:\n          nvme_path: /nvme\n"
    new = patched_text(write(tmp_path, old), {"data.max_classes": None, nvme: None})
    assert new == KEDRO.replace("280", "null")


@pytest.mark.parametrize(
    ("old", "value", "expected"),
    [
        ("warmup_ratio: 0.1", 0.03, "warmup_ratio: 0.03"),
        ("warmup_ratio: 0.1", 100.0, "warmup_steps: 100"),
        ("warmup_steps: 100", 0.1, "warmup_steps: 0.1"),
        ("warmup_steps: 100\n    warmup_ratio: 0.2", 0.1, "warmup_steps: 0\n    warmup_ratio: 0.1"),
        ("warmup_ratio: 0.1", 0.0, "warmup_ratio: 0.0"),
    ],
)
def test_warmup_is_a_share_or_steps_under_its_own_name(tmp_path, old, value, expected):
    text = KEDRO.replace("learning_rate: 2.0e-5", old)
    assert patch(tmp_path, text, warmup_steps=value) == text.replace(old, expected)


# Anchors

SHARED = """\
base: &base
  r: 8   # rank
  lora_alpha: 16
train:
  training_args:
    learning_rate: &rate 2.0e-5
  lora:
    config:
      <<: *base
  deepspeed:
    config:
      train_micro_batch_size_per_gpu: &micro 8
      gradient_accumulation_steps: *micro
      optimizer:
        type: AdamW
        params: {lr: *rate}
"""


def test_an_anchored_block_with_one_user_is_changed_and_added_to_where_it_is(tmp_path):
    text = SHARED.replace("&micro 8", "8").replace("*micro", "1")
    new = patch(tmp_path, text, lora__r=16, lora__use_rslora=True, learning_rate=1e-5)
    expected = text.replace("r: 8 ", "r: 16 ").replace("2.0e-5", "1.0e-5")
    assert new == expected.replace("alpha: 16\n", "alpha: 16\n  use_rslora: true\n")


def test_an_anchored_block_with_two_users_is_overridden_where_one_merges_it(tmp_path):
    text = SHARED + "other:\n  <<: *base\n"
    new = patch(tmp_path, text, lora__r=16, lora__use_rslora=True)
    merged = "      <<: *base\n"
    assert new == text.replace(merged, merged + "      r: 16\n      use_rslora: true\n")
    assert load_entries(tmp_path / "training.yml").at("other.r").plain() == 8


def test_a_whole_alias_becomes_a_merge_with_an_override(tmp_path):
    text = SHARED.replace("config:\n      <<: *base", "config: *base  # shared")
    text += "other: *base\n"
    new = patch(tmp_path, text, lora__r=16)
    old = "    config: *base  # shared\n"
    assert new == text.replace(old, "    config:  # shared\n      <<: *base\n      r: 16\n")


def test_a_nested_override_repeats_the_block_it_hides(tmp_path):
    text = """\
ds: &ds
  zero_optimization:
    stage: 2   # sharded
    reduce_bucket_size: 5e8
eval: *ds
train:
  training_args: {learning_rate: 2.0e-5}
  deepspeed:
    config: {<<: *ds}
"""
    new = patched_text(write(tmp_path, text), {"deepspeed.zero_optimization.stage": 1})
    block = "{<<: *ds, zero_optimization: {stage: 1, reduce_bucket_size: 5e8}}"
    assert new == text.replace("{<<: *ds}", block)


def test_two_settings_that_share_an_anchor_part(tmp_path):
    new = patch(tmp_path, SHARED, per_device_train_batch_size=16)
    assert "train_micro_batch_size_per_gpu: &micro 16\n" in new
    assert "      gradient_accumulation_steps: 8\n" in new
    other = patch(tmp_path, SHARED, gradient_accumulation_steps=2)
    assert "train_micro_batch_size_per_gpu: &micro 8\n" in other
    assert "      gradient_accumulation_steps: 2\n" in other


def test_a_key_in_a_shared_block_is_not_taken_out(tmp_path):
    text = KEDRO + "        offload_param: &offload\n          device: none\n"
    text += "          nvme_path: /nvme\nother: *offload\n"
    nvme = "deepspeed.zero_optimization.offload_param.nvme_path"
    with pytest.raises(UserError, match="repeated elsewhere"):
        patched_text(write(tmp_path, text), {nvme: None})


def test_a_merged_block_that_holds_one_key_is_no_longer_merged():
    text = "a: &a\n  scheduler: {type: X}\nb: &b\n  stage: 2\nds:\n  <<: *b\n  <<: *a\n"
    document = Document(text, "f.yml", {"ds.scheduler.type", "ds.stage"})
    document.remove("ds.scheduler")
    assert document.text == text.replace("  <<: *a\n", "")


def test_a_removed_block_leaves_one_blank_line():
    text = "a:\n  b: 1\n\n  c:\n    d: 1\n\n  e: 2\n"
    document = Document(text, "f.yml")
    document.remove("a.c.d")
    assert document.text == "a:\n  b: 1\n\n  e: 2\n"


# Other dialects

HF = """\
output_dir: out
num_train_epochs: 3
learning_rate: 5.0e-5
warmup_ratio: 0.1   # of all steps
optim: adamw_torch
max_seq_length: 512
lora_r: 8
lora_target_modules: [q_proj, v_proj]
deepspeed: configs/ds.json
"""
DS = """\
{
  "train_micro_batch_size_per_gpu": "auto",
  "zero_optimization": {
    "stage": 2
  },
  "gradient_clipping": 1.0
}
"""
LLAMA = """\
model_name_or_path: some/model
finetuning_type: lora
lora_target: q_proj,v_proj
lora_rank: 8
cutoff_len: 512
learning_rate: 1.0e-4
bf16: true
disable_gradient_checkpointing: false
"""
AXOLOTL = """\
base_model: some/model
adapter: lora
lora_r: 8
lora_alpha: 16
lora_target_linear: true
sequence_len: 512
micro_batch_size: 2
num_epochs: 1
optimizer: adamw_torch
learning_rate: 0.0002
bf16: true
"""
TRL = """\
use_peft: true
learning_rate: 2.0e-4
lora_r: 16
lora_target_modules: [q_proj, v_proj]
max_length: 1024
"""
COMMON = {"learning_rate": 1e-5, "lora.r": 32, "max_length": 256, "num_train_epochs": 10.0}


@pytest.mark.parametrize(
    ("text", "wanted", "lines"),
    [
        (
            HF.replace("configs/ds.json", "{zero_optimization: {stage: 2}}"),
            {
                **COMMON,
                **WARM_COSINE,
                "optim_implementation": "deepspeed",
                "lora.lora_alpha": 64.0,
                "per_device_train_batch_size": 16,
                "deepspeed.zero_optimization.stage": 3,
            },
            [
                "num_train_epochs: 10",
                "learning_rate: 1.0e-5",
                "max_seq_length: 256",
                "lora_r: 32",
                "lora_alpha: 64",
            ],
        ),
        (
            HF.replace("deepspeed: configs/ds.json\n", ""),
            {**COMMON, "deepspeed.zero_optimization.stage": 2, "lora.use_dora": True},
            ["train_micro_batch_size_per_gpu: auto", "enabled: auto", "stage: 2", "use_dora: true"],
        ),
        (
            LLAMA,
            {
                **COMMON,
                "lora.lora_alpha": 16.0,
                "lora.target_modules": ["k_proj", "q_proj"],
                "gradient_checkpointing": False,
            },
            [
                "lora_target: k_proj,q_proj",
                "lora_alpha: 16",
                "cutoff_len: 256",
                "disable_gradient_checkpointing: true",
            ],
        ),
        (
            AXOLOTL,
            {
                **COMMON,
                "lora.target_modules": ["q_proj"],
                "lr_scheduler_type": "linear",
                "per_device_train_batch_size": 8,
                "optim_implementation": "torch_fused",
                "padding": "max_length",
            },
            [
                "micro_batch_size: 8",
                "lr_scheduler: linear",
                "pad_to_sequence_len: true",
                "optimizer: adamw_torch_fused",
                "sequence_len: 256",
            ],
        ),
        (TRL, {**COMMON, "model.dtype": "bfloat16"}, ["dtype: bfloat16", "max_length: 256"]),
    ],
    ids=["hf_trainer", "hf_trainer without deepspeed", "llama_factory", "axolotl", "trl"],
)
def test_each_dialect_is_written_in_its_own_words(tmp_path, text, wanted, lines):
    target = write(tmp_path, text)
    before = target.resolve()
    target = replace(target, dialect=before.dialect)
    new = patched_text(target, wanted)
    write(tmp_path, new)
    assert values(target) == {n: v.value for n, v in before.settings.items()} | wanted
    assert set(lines) <= {line.strip() for line in new.split("\n")}


def test_a_block_of_deepspeed_leaves_a_file_in_its_dialect(tmp_path):
    text = HF.replace("deepspeed: configs/ds.json\n", "")
    new = patch(tmp_path, text, deepspeed__zero_optimization__stage=2)
    assert write(tmp_path, new).resolve().dialect == "hf_trainer"


def test_of_a_key_that_stands_twice_the_one_that_counts_is_changed(tmp_path):
    text = HF.replace("deepspeed: configs/ds.json\n", "learning_rate: 1.0e-4\n")
    new = patch(tmp_path, text, learning_rate=2e-4)
    assert new == text.replace("learning_rate: 1.0e-4", "learning_rate: 2.0e-4")


def test_a_deepspeed_file_is_changed_in_its_own_dialect(tmp_path):
    wanted = {"learning_rate": 1e-4, "gradient_accumulation_steps": 2, "adam_beta2": 0.95}
    new = json.loads(patch(tmp_path, DS, "ds.json", **wanted))
    assert new["gradient_accumulation_steps"] == 2
    assert new["optimizer"]["type"] == "AdamW"
    assert new["optimizer"]["params"]["betas"] == [0.9, 0.95]


def test_a_value_in_an_included_file_is_changed_there(tmp_path):
    (tmp_path / "ds.json").write_text(DS)
    target = write(tmp_path, HF)
    wanted = {**WARM_COSINE, "max_grad_norm": 0.5, "learning_rate": 1e-5}
    files = rewrite(target, wanted).after
    assert list(files) == [target.path, tmp_path / "ds.json"]
    main, included = files.values()
    assert main.startswith(HF[: HF.index("5.0e-5")]) and "max_grad_norm: 0.5\n" in main
    included = json.loads(included)
    assert included["gradient_clipping"] == 0.5
    assert included["scheduler"]["type"] == "WarmupCosineLR"
    assert (tmp_path / "ds.json").read_text() == DS


# The report's hunks are the patch


def applied(found: Rewrite) -> dict[Path, str]:
    """What the report shows, applied to the files as they are."""
    shown = shown_patch(found)
    parts = dict.fromkeys(found.before, "")
    for part in re.split(r"^(?=--- a/)", shown, flags=re.MULTILINE)[1:]:
        name = part.split("\n")[0].removeprefix("--- a/").rstrip("\t")
        parts[next(path for path in parts if path.name == Path(name).name)] = part
    return {path: apply_hunks(text, parts[path]) for path, text in found.before.items()}


FAULTS = {
    "a switch that turns checkpointing off": (
        LLAMA,
        "training.yml",
        {"gradient_checkpointing": False},
        LLAMA.replace("checkpointing: false", "checkpointing: true"),
    ),
    "the comma of JSON": (
        DS,
        "ds.json",
        {"max_grad_norm": 0.5},
        DS.replace('"gradient_clipping": 1.0', '"gradient_clipping": 0.5'),
    ),
    "the last comma of JSON": (
        DS,
        "ds.json",
        {"gradient_accumulation_steps": 4},
        DS.replace('"auto",', '"auto",\n  "gradient_accumulation_steps": 4,'),
    ),
    "a ZeRO stage below `deepspeed`": (
        HF.replace("configs/ds.json", "{zero_optimization: {stage: 2}}"),
        "training.yml",
        {"deepspeed.zero_optimization.stage": 1},
        HF.replace("configs/ds.json", "{zero_optimization: {stage: 1}}"),
    ),
    "a block on one line": (
        KEDRO,
        "training.yml",
        {"max_length": 320},
        KEDRO.replace("{max_length: 256}", "{max_length: 320}"),
    ),
    "an anchor with another user": (
        SHARED + "other:\n  <<: *base\n",
        "training.yml",
        {"lora.r": 16},
        SHARED.replace("      <<: *base\n", "      <<: *base\n      r: 16\n")
        + "other:\n  <<: *base\n",
    ),
    "a list as one text": (
        LLAMA,
        "training.yml",
        {"lora.target_modules": ["k_proj", "q_proj"]},
        LLAMA.replace("q_proj,v_proj", "k_proj,q_proj"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_the_report_shows_is_what_the_patch_does(tmp_path, name):
    old, file, wanted, expected = FAULTS[name]
    found = rewrite(write(tmp_path, old, file), wanted)
    assert found.after[tmp_path / file] == expected
    assert applied(found) == found.after


@pytest.mark.parametrize("arm", ["stage1-lora_learning_rate", "backup"])
def test_the_hunks_that_are_shown_are_those_of_the_patch(study, arm):
    found = recommended_rewrite(study, arm)
    patch = patch_text(found, study.folder)
    assert shown_patch(found, study.folder) == patch.split("\n", 1)[1]
    assert applied(found) == found.after


# The patch's own form


def test_an_included_file_is_found_from_the_root_of_its_repository(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "study").mkdir()
    included = tmp_path / "configs" / "ds.json"
    included.write_text(DS)
    found = rewrite(write(tmp_path / "study", HF), {"max_grad_norm": 0.5})
    assert json.loads(found.after[included])["gradient_clipping"] == 0.5
    assert included.read_text() == DS


@pytest.mark.parametrize(
    "wanted",
    [
        {"max_grad_norm": 0.5},
        {"learning_rate": 3e-4},
        {"weight_decay": 0.05},
        {"adam_beta2": 0.95},
        {"adam_epsilon": 1e-6},
    ],
)
def test_what_deepspeed_decides_by_an_absent_key_is_left_to_the_argument(tmp_path, wanted):
    block = {"zero_optimization": {"stage": 2}}
    block |= {"optimizer": {"type": "AdamW", "params": {"torch_adam": False}}}
    (tmp_path / "ds.json").write_text(json.dumps(block))
    text = HF.replace("optim: adamw_torch\n", "").replace("configs/", "")
    target = write(tmp_path, text)
    before = values(target)
    found = rewrite(target, wanted)
    assert applied(found) == found.after
    for path, new in found.after.items():
        path.write_text(new)
    assert values(target) == before | wanted


def test_the_patch_names_the_file_from_its_repository_else_from_the_study(tmp_path):
    path = tmp_path / "studies" / "one" / "training.yml"
    path.parent.mkdir(parents=True)
    assert patch_name(path, path.parent) == "training.yml"
    assert patch_name(path, tmp_path / "studies") == "one/training.yml"
    (tmp_path / ".git").mkdir()
    assert patch_name(path, path.parent) == "studies/one/training.yml"


def test_no_change_is_an_empty_patch():
    assert unified_patch(Path("f"), "a\n", "a\n") == ""


# Any small configuration

NUMBERS = {
    "learning_rate": st.sampled_from([1e-5, 2e-4, 0.003, 5e-5]),
    "weight_decay": st.sampled_from([0.0, 0.01, 0.002]),
    "num_train_epochs": st.sampled_from([1.0, 2.5, 10.0]),
    "per_device_train_batch_size": st.integers(1, 64),
    "gradient_accumulation_steps": st.integers(1, 8),
    "max_grad_norm": st.sampled_from([0.5, 1.0]),
    "warmup_steps": st.sampled_from([0.0, 0.1, 50.0]),
    "max_length": st.integers(16, 512),
    "padding": st.sampled_from(["longest", "max_length"]),
    "data.max_classes": st.none() | st.integers(2, 300),
    "data.extract_ratio": st.sampled_from([0.1, 1.0]),
    "bf16": st.booleans(),
    "lora.r": st.integers(1, 256),
    "lora.lora_alpha": st.sampled_from([8.0, 16.0]),
    "lora.target_modules": st.sampled_from([["k_proj", "q_proj"], ["v_proj"]]),
    "lora.layers_to_transform": st.none() | st.sampled_from([[0, 1], [30, 35]]),
    "deepspeed.zero_optimization.stage": st.integers(0, 3),
    "optim_implementation": st.sampled_from(["torch_fused", "torch", "deepspeed"]),
}
SCHEDULES = st.sampled_from(
    [("linear", {}), ("cosine", {}), ("polynomial", {"power": 2.0}), tuple(WARM_COSINE.values())]
)
ARMS = st.tuples(st.fixed_dictionaries({}, optional=NUMBERS), SCHEDULES).map(
    lambda pair: pair[0] | {"lr_scheduler_type": pair[1][0], "lr_scheduler_kwargs": pair[1][1]}
)
STARTS = st.sampled_from(
    [KEDRO, KEDRO.replace("\n", "\r\n"), KEDRO.rstrip(), SHARED.replace("*micro", "2")]
)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(STARTS, st.lists(ARMS, min_size=2, max_size=3))
def test_any_arm_is_reached_from_any_other_and_comments_stay(tmp_path, text, chain):
    for arm, after in pairwise([*chain, chain[0]]):
        target = write(tmp_path, text)
        before = values(target)
        found = rewrite(target, arm)
        assert replayed(target, found.changes) == found.after
        text = found.after[target.path]
        assert values(write(tmp_path, text)) == before | arm
        assert patched_text(write(tmp_path, text), arm) == text
        assert "# in tokens" in text or "# rank" in text
        assert after is not None


NATIVE = """\
lora: &lora
  r: 8   # rank
  target_modules: ["q_proj"]
training: {epochs: 2, warmup_ratio: 0.1, warmup_steps: auto}
data:
  max_length: 64
deepspeed:
  train_micro_batch_size_per_gpu: 8
  zero_optimization: {stage: 2}
hardware: {num_gpus: 4}
"""
JSON = """\
{
  "output_dir": "out",
  "learning_rate": 1e-4,
  "lora": {"r": 8, "target_modules": ["q_proj"]},
  "deepspeed": {
    "zero_optimization": {"stage": 2}
  }
}
"""
NESTED = """\
model: {name: some/model, max_seq_length: 512}
training:
  num_train_epochs: 3  # passes
  per_device_train_batch_size: 2
  learning_rate: 2.0e-4
  warmup_ratio: 0.03
lora:
  r: 16
  lora_alpha: 32
  target_modules: [q_proj, v_proj]
"""
EVERY_DIALECT = {
    "kedro": (KEDRO, "training.yml"),
    "deepspeed_native": (NATIVE, "training.yml"),
    "deepspeed_json": (DS, "ds_config.json"),
    "hf_trainer": (HF, "training.yml"),
    "hf_trainer in JSON": (JSON, "training.json"),
    "llama_factory": (LLAMA, "training.yml"),
    "axolotl": (AXOLOTL, "training.yml"),
    "trl": (TRL, "training.yml"),
    "nested": (NESTED, "training.yml"),
}


@settings(
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(list(EVERY_DIALECT)), ARMS, st.booleans())
@example("nested", WARM_COSINE, False)
def test_in_every_dialect_the_hunks_applied_are_the_file_and_it_does_what_the_arm_does(
    tmp_path, name, arm, windows
):
    (tmp_path / "ds.json").write_text(DS)
    text, file = EVERY_DIALECT[name]
    dialect = name.split(" ")[0]
    target = write(tmp_path, text.replace("\n", "\r\n") if windows else text, file)
    target = replace(target, dialect=dialect)
    wanted = {n: value for n, value in arm.items() if DIALECTS[dialect].KEYS.of(n)}
    if dialect in ("axolotl", "llama_factory"):
        wanted.pop("bf16", None)  # it is the dtype of the weights as well
    before = values(target)
    found = rewrite(target, wanted)
    assert applied(found) == found.after
    for path, new in found.after.items():
        (tmp_path / path.name).write_bytes(new.encode())
    known = before | wanted  # what was not known (`auto` in a bare file) may now be written
    assert {name: values(target)[name] for name in known} == known


_FIELDS = (
    "r lora_alpha lora_dropout target_modules layers_to_transform modules_to_save bias use_rslora "
    "use_dora init_lora_weights"
)
WITHOUT = {"lora.enable": False, **{f"lora.{name}": None for name in words(_FIELDS)}}


@pytest.mark.parametrize("name", [name for name in EVERY_DIALECT if name != "deepspeed_json"])
def test_an_adapter_is_switched_off_and_on_again_in_every_dialect(tmp_path, name):
    (tmp_path / "ds.json").write_text(DS)
    text, file = EVERY_DIALECT[name]
    target = replace(write(tmp_path, text, file), dialect=name.split(" ")[0])
    before = values(target)
    off = patched_text(target, WITHOUT)
    write(tmp_path, off, file)
    kept = {n: v for n, v in before.items() if not n.startswith(("lora.", "unread.", "training."))}
    without = values(target)
    assert without["lora.enable"] is False
    assert not [n for n in without if n.startswith("lora.") and n != "lora.enable"]
    assert {n: without[n] for n in kept} == kept
    assert without.get("training.method") in (None, "full")
    adapter = {n: v for n, v in before.items() if n in (*WITHOUT, "lora.trains_head")}
    write(tmp_path, patched_text(target, adapter | {"lora.enable": True}), file)
    again = values(target)
    assert {n: again.get(n) for n in before} == before


def test_an_adapter_goes_by_the_key_that_the_script_switches_it_with(tmp_path):
    text = NESTED.replace("  r: 16", "  enabled: true\n  r: 16")
    assert added(text, patch(tmp_path, text, **WITHOUT)) == ["enabled: false"]
    own = HF.replace("lora_r:", "use_lora: true\nlora_r:").replace("configs/", "")
    (tmp_path / "ds.json").write_text(DS)
    assert added(own, patch(tmp_path, own, **WITHOUT)) == ["use_lora: false"]
    adapter = {n: v for n, v in values(write(tmp_path, NESTED)).items() if n in WITHOUT}
    text = text.replace("enabled: true", "enabled: false")
    back = added(text, patch(tmp_path, text, **adapter, **{"lora.enable": True}))
    assert "enabled: true" in back


def test_an_adapter_that_is_switched_off_alone_leaves_nothing_behind(tmp_path):
    shape = {n: v for n, v in values(write(tmp_path, NESTED)).items() if n in WITHOUT}
    assert "lora" not in patch(tmp_path, NESTED, **shape, **{"lora.enable": False})


def test_a_block_of_lora_that_is_added_trains_the_head_as_the_arm_does(tmp_path):
    text = "learning_rate: 1.0e-4\nnum_train_epochs: 3\noutput_dir: out\n"
    wanted = {"lora.enable": True, "lora.r": 16, "lora.lora_alpha": 32.0}
    assert "task_type: SEQ_CLS" in added(text, patch(tmp_path, text, **wanted))
    kept = patch(tmp_path, text, **wanted, **{"lora.trains_head": False})
    assert "task_type" not in kept
