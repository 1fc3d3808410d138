"""Malformed configurations: one message with file and line each, quickly and in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablation.comparison.resolve import require_runnable, resolve_file
from ablation.errors import UserError

MODEL = {"model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 2560}
HF = "output_dir: out\n"
KEDRO = "train:\n  training_args:\n"
NATIVE = "training:\n  epochs: 2\n"
AXOLOTL = (
    "base_model: m\nadapter: lora\nlora_r: 8\nlora_alpha: 8\nlearning_rate: 1e-4\n"
    "datasets: [{path: a}]\n"
)
BILLION = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MERGE_BOMB = "m0: &m0 {k0: 1}\n" + "".join(
    f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}, *m{n - 1}, *m{n - 1}], k{n}: 1}}\n"
    for n in range(1, 20)
)

# name: (what the file holds, what the message says, its line)
CASES: dict[str, tuple[str | bytes, str, int]] = {
    # not YAML
    "tab for indentation": ("a:\n\tb: 1\n", "a tab stands in the indentation", 2),
    "tab in a nested block": (f"{KEDRO}\t\tseed: 1\n", "a tab stands in the indentation", 3),
    "unterminated quote": (f'{HF}run_name: "abc\n', "not YAML", 3),
    "unterminated single quote": (f"{HF}run_name: 'abc\nseed: 1\n", "not YAML", 4),
    "unterminated list": (f"{HF}report_to: [a, b\n", "not YAML", 3),
    "unterminated mapping": ('{"learning_rate": 1\n', "not YAML", 2),
    "wrong indentation": ("a:\n    b: 1\n  c: 2\n", "not YAML", 3),
    "a value without a key": (f"{HF}nonsense\n", "not YAML", 3),
    "two colons": ("learning_rate: 1: 2\n", "not YAML", 1),
    "several configurations": ("output_dir: a\n---\noutput_dir: b\n", "several config", 3),
    "several documents": (f"{HF}---\nname: b\n", "expected a single document", 2),
    "several empty documents": ("---\n---\na: 1\n", "no dialect recognizes", 1),
    "an unknown directive": ("%FOO bar\n%YAML 9.9\n---\na: 1\n", "not YAML", 1),
    "a reserved character": ("a: @b\n", "not YAML", 1),
    "an undefined tag handle": ("a: !x!y 1\n", "not YAML", 1),
    "a bad escape": ('a: "\\q"\n', "not YAML", 1),
    "a control character": ("a: 1\nb: \x01\n", "a character that YAML does not allow", 2),
    # anchors
    "an undefined anchor": (f"{HF}seed: *none\n", "the alias '\\*none' has no anchor", 2),
    "an undefined merge": (f"{HF}lora:\n  <<: *none\n", "the alias '\\*none' has no anchor", 3),
    "an alias inside itself": ("a: &a\n  b: *a\n", "an alias stands inside the value", 1),
    "a list inside itself": (f"{HF}x: &x [*x]\n", "an alias stands inside the value", 2),
    "a merge inside itself": ("a: &a\n  <<: *a\n  b: 1\n", "an alias stands inside the value", 1),
    "a merge of a list": (f"{HF}lora:\n  <<: 5\n", "merges something that is not a mapping", 3),
    "a merge of texts": (f"{HF}lora:\n  <<: [a]\n", "merges something that is not a mapping", 3),
    "a billion laughs": (BILLION, "expands to more than 50,000 values", 1),
    "a billion merges": (MERGE_BOMB, "expands to more than 50,000 values", 2),
    # objects and keys
    "a python object": (f"{HF}x: !!python/object:os.system {{}}\n", "would build an object", 2),
    "a python call": (f"{HF}x: !!python/object/apply:os.system [ls]\n", "would build an", 2),
    "a python name": (f"{HF}seed: !!python/name:os.system\n", "would build an object", 2),
    "a tag of one's own": (f"{HF}seed: !mine 1\n", "would build an object", 2),
    "a set": (f"{HF}report_to: !!set {{a, b}}\n", "would build an object", 2),
    "bytes": (f"{HF}run_name: !!binary aGVsbG8=\n", "would build an object", 2),
    "a key that is a list": ("? [a, b]\n: 1\n", "a key is a list or a mapping", 1),
    "a key that is a mapping": (f"{HF}? {{a: 1}}\n: 1\n", "a key is a list or a mapping", 2),
    # no configuration
    "an empty file": ("", "the file is empty", 1),
    "comments alone": ("# nothing\n# here\n", "the file is empty", 1),
    "null": ("null\n", "the file is empty", 1),
    "a list at the top": ("- a\n- b\n", "not a configuration", 1),
    "a text": ("just words\n", "not a configuration", 1),
    "a number": ("5\n", "not a configuration", 1),
    "no key of a dialect": ("a: 1\nb: 2\n", "no dialect recognizes", 1),
    "an empty mapping": ("{}\n", "no dialect recognizes", 1),
    "a binary file": (b"\x89PNG\r\n\x1a\n\x00\x00", "a binary file", 2),
    "a zip file": (b"a: 1\nPK\x03\x04\xff\xfe", "a binary file", 2),
    "a null byte": (b"a: 1\nb: \x00\n", "a binary file", 2),
    "latin-1": ("output_dir: é\n".encode("latin-1"), "not a UTF-8 text file", 1),
    "utf-16": ("output_dir: o\n".encode("utf-16"), "not a UTF-8 text file", 1),
    "a python program": ("import os\nprint(1)\n", "not a configuration", 1),
    # depth
    "brackets": ("a: " + "[" * 100_000, "nested", 1),
    "braces": ("a: " + "{b: " * 50_000, "nested", 1),
    "dashes": ("a:\n  " + "- " * 50_000 + "x\n", "nest", 2),
    "closed brackets": ("a: " + "[" * 500 + "]" * 500, "nested too deeply", 1),
    "indentation": ("".join(" " * n + "a:\n" for n in range(500)), "nested too deeply", 65),
    # numbers
    "not a number": (f"{HF}learning_rate: .nan\n", "cannot have", 2),
    "infinity": (f"{HF}learning_rate: .inf\n", "cannot have", 2),
    "minus infinity": (f"{HF}weight_decay: -.inf\n", "cannot have", 2),
    "a float beyond all": (f"{HF}learning_rate: 1e999\n", "cannot have", 2),
    "not a number in words": (f"{HF}learning_rate: nan\n", "cannot have", 2),
    "a negative learning rate": (f"{HF}learning_rate: -1e-5\n", "cannot have", 2),
    "a learning rate of 0": (f"{HF}learning_rate: 0\n", "cannot have", 2),
    "negative epochs": (f"{HF}num_train_epochs: -3\n", "cannot have", 2),
    "endless epochs": (f"{HF}num_train_epochs: 1e300\n", "cannot have", 2),
    "negative epochs of a loop": ("training:\n  epochs: -2\n", "cannot have", 2),
    "text for a number": (f"{HF}weight_decay: small\n", "cannot have", 2),
    "a date for a number": (f"{HF}seed: 2025-10-10\n", "cannot have", 2),
    "a list for a number": (f"{HF}weight_decay: [0.1]\n", "cannot have", 2),
    "a switch for a number": (f"{HF}learning_rate: true\n", "cannot have", 2),
    "a number for a switch": (f"{HF}bf16: 2\n", "cannot have", 2),
    "null for a number": (f"{HF}num_train_epochs:\n", "cannot have", 2),
    "half a row": (f"{HF}per_device_train_batch_size: 1.5\n", "cannot have", 2),
    "no rows": (f"{HF}per_device_train_batch_size: 0\n", "cannot have", 2),
    "a huge integer": (f"{HF}max_steps: {10**30}\n", "cannot have", 2),
    "an integer of 5000 digits": (f"{HF}max_steps: {'9' * 5000}\n", "cannot have", 2),
    "a hexadecimal of 9000 digits": (f"{HF}max_steps: 0x{'f' * 9000}\n", "cannot have", 2),
    "a huge rank": (f"{HF}lora: {{r: {10**12}}}\n", "cannot have", 2),
    "rank 0": (f"{HF}lora:\n  r: 0\n", "cannot have", 3),
    "dropout 1": (f"{HF}lora:\n  lora_dropout: 1.0\n", "cannot have", 3),
    "a warmup ratio above 1": (f"{HF}warmup_ratio: 10\n", "must lie in range", 2),
    # layers and modules
    "layer 99 of 36": (f"{HF}lora:\n  layers_to_transform: [99]\n", "does not have", 3),
    "layer -37 of 36": (f"{HF}lora:\n  layers_to_transform: [-37]\n", "does not have", 3),
    "layers in words": (f"{HF}lora:\n  layers_to_transform: [last]\n", "cannot have", 3),
    "half a layer": (f"{HF}lora:\n  layers_to_transform: [1.5]\n", "cannot have", 3),
    "modules by number": (f"{HF}lora:\n  target_modules: [1]\n", "cannot have", 3),
    "no modules": (f"{HF}lora:\n  target_modules: []\n", "cannot have", 3),
    "an unknown bias": (f"{HF}lora: {{bias: some}}\n", "cannot have", 2),
    # blocks of the wrong type
    "train: 5": ("train: 5\n", "no dialect recognizes", 1),
    "training_args: 5": ("train:\n  training_args: 5\n", "is not a block", 2),
    "lora: []": (f"{HF}lora: []\n", "is not a block", 2),
    "lora: text": (f"{NATIVE}lora: yes please\n", "names a file that does not exist", 3),
    "data: []": (f"{NATIVE}data: []\n", "is not a block", 3),
    "deepspeed: a list": (f"{HF}deepspeed: [1]\n", "is not a block", 2),
    "deepspeed: x": (f"{HF}deepspeed: x\n", "names a file that does not exist", 2),
    "a missing file": (f"{NATIVE}deepspeed: ds.json\n", "names a file that does not exist", 3),
    "a path with a null": (f'{HF}deepspeed: "a\\0b"\n', "names a file that does not exist", 2),
    "a path without end": (f"{HF}deepspeed: {'a/' * 5000}b\n", "names a file", 2),
    "zero_optimization: 5": ("zero_optimization: 5\n", "is not a block", 1),
    "zero stage 4": ("zero_optimization:\n  stage: 4\n", "cannot have", 2),
    "zero stage in words": ("zero_optimization:\n  stage: two\n", "cannot have", 2),
    "offload as a text": ("zero_optimization:\n  offload_param: cpu\n", "is not a block", 2),
    "offload to the moon": (
        "zero_optimization:\n  offload_param:\n    device: moon\n",
        "cannot have",
        3,
    ),
    "optimizer as a text": ("train_batch_size: 8\noptimizer: Adam\n", "is not a block", 2),
    "three betas": (
        "train_batch_size: 8\noptimizer:\n  type: Adam\n  params:\n    betas: [1, 2, 3]\n",
        "are a pair of numbers",
        5,
    ),
    "an unknown scheduler": (
        "train_batch_size: 8\nscheduler:\n  type: WarmupSine\n",
        "does not recognize LR scheduler",
        3,
    ),
    "scheduler steps in words": (
        "train_batch_size: 8\nscheduler:\n  type: WarmupLR\n  params:\n    warmup_num_steps: ten\n",
        "must be a number",
        5,
    ),
    "scheduler arguments as a list": (f"{HF}lr_scheduler_kwargs: [1]\n", "cannot have", 2),
    "scheduler arguments in bad JSON": (f"{HF}lr_scheduler_kwargs: '{{x'\n", "cannot have", 2),
    # contradictions
    "written twice": (
        f"{HF}learning_rate: 1e-4\ndeepspeed:\n  train_micro_batch_size_per_gpu: auto\n"
        "  zero_optimization: {stage: 2}\n  gradient_clipping: auto\n  optimizer:\n"
        "    type: AdamW\n    params:\n      lr: 2e-4\n      weight_decay: auto\n",
        "mismatch TrainingArguments values",
        10,
    ),
    "batches that do not multiply": (
        "train_batch_size: 10\ntrain_micro_batch_size_per_gpu: 4\ngradient_accumulation_steps: 2\n",
        "is not 4 rows x 2 steps",
        1,
    ),
    "two dialects": ("base_model: m\ncutoff_len: 4\n", "this may be llama_factory or axolotl", 1),
    "a schedule of axolotl's own": (f"{AXOLOTL}lr_scheduler: [rex]\n", "cannot have", 7),
}


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_file_gives_one_message_with_its_line(tmp_path: Path, name: str):
    content, message, line = CASES[name]
    path = tmp_path / "file.yml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as error:
        require_runnable(resolve_file(path, MODEL))
    assert (error.value.file, error.value.line) == (str(path), line)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert len(str(error.value)) < 3000


def test_there_are_at_least_sixty():
    assert len(CASES) >= 60


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_is_no_file_is_said_without_a_line(tmp_path: Path, kind: str):
    path = tmp_path / "file.yml"
    if kind == "folder":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(UserError, match=r"does not exist|not a file") as error:
        resolve_file(path, MODEL)
    assert error.value.file == str(path)


def test_an_included_file_is_as_guarded_as_the_first(tmp_path: Path):
    (tmp_path / "ds.json").write_text("[" * 100_000)
    (tmp_path / "file.yml").write_text("output_dir: o\ndeepspeed: ds.json\n")
    with pytest.raises(UserError, match="nest") as error:
        require_runnable(resolve_file(tmp_path / "file.yml", MODEL))
    assert (error.value.file, error.value.line) == (str(tmp_path / "ds.json"), 1)


HEAVY = {
    "50 MB": lambda: "learning_rate: 1e-4\n" + "a: 1\n" * 10_000_000,
    "half a megabyte of lists": lambda: "a: [" + "[]," * 170_000 + "]\n",
    "half a megabyte of keys": lambda: "".join(f"k{n}: 1\n" for n in range(49_000)),
    "half a megabyte of quotes": lambda: "a: " + '"' * 500_000,
    "half a megabyte of one word": lambda: f"{HF}seed: " + "x" * 500_000,
    "half a megabyte of digits": lambda: f"{HF}seed: " + "9" * 500_000,
    "brackets": lambda: "a: " + "[" * 500_000,
    "question marks": lambda: "? " * 250_000,
    "anchors": lambda: "".join(f"k{n}: &a{n} 1\n" for n in range(30_000)) + "x: *b\n",
    "laughs": lambda: BILLION,
    "merges": lambda: MERGE_BOMB,
}
LIMITED = """
import resource, sys, time
from pathlib import Path
limit = 500 * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
most = 15_000_000  # calls of functions; five seconds of a core or so
def count(frame, event, argument):
    global most
    most -= event in ("call", "c_call")
    if not most:
        sys.setprofile(None)
        raise SystemExit("too much is done")
from ablation.errors import UserError
from ablation.comparison.resolve import require_runnable, resolve_file
sys.setprofile(count)
try:
    require_runnable(resolve_file(sys.argv[1], {"num_hidden_layers": 36}))
except UserError as error:
    assert error.line is not None, error
    print(str(error)[:200])
"""


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_file_is_refused_with_little_done_and_500_mb(tmp_path: Path, root: Path, name: str):
    path = tmp_path / "file.yml"
    path.write_text(HEAVY[name]())
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        env={"PYTHONPATH": str(root / "scripts")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-500:]
    assert run.stdout.startswith(f"{path}:")
