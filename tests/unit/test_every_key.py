"""Each key of each trainer, another value on each side: a row, refused, or known to be idle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablation.comparison.resolve import find_differences, resolve_pair
from ablation.dialects import vocabulary
from ablation.settings.catalogue import OTHER, words

AXOLOTL = """\
base_model: org/some-8b
datasets: [{path: my/rows.jsonl, type: alpaca}]
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
learning_rate: 0.0002
"""
FACTORY = """\
model_name_or_path: org/some-8b
stage: sft
finetuning_type: lora
dataset: my_rows
template: llama3
learning_rate: 0.0001
"""
TRL = "model_name_or_path: org/some-8b\nuse_peft: true\nlearning_rate: 0.0002\n"
FLAT = "output_dir: out\nlearning_rate: 0.0001\nlora_r: 8\nlora_alpha: 16\n"
NESTED = "model: {name: org/some-8b}\nlora: {r: 16, lora_alpha: 32}\ntraining:\n"
BASES = {"axolotl": AXOLOTL, "llama_factory": FACTORY, "trl": TRL, "hf_trainer": FLAT}
# What comes to the same in both files: a secret, which is hidden; no limit of steps (-1, 0);
# axolotl's best model without steps of saving; its dtypes beside bf16, which is on; its attention.
SAME = words("hub_token max_steps load_best_model_at_end bfloat16 float16 float32 sdp_attention")
TOGETHER = 12
KEPT = json.loads(Path(vocabulary.__file__).with_name("vocabulary.json").read_text())
# What stands for a kind of value that a trainer's schema lets through.
KINDS = {
    "boolean": (False, True),
    "integer": (3, 4),
    "number": (0.5, 0.25),
    "array": (["a"], ["b"]),
}


def values_of(dialect: str, key: str, default: object) -> tuple[object, object] | None:
    """Two values that the trainer takes; None for a key of which nothing is known."""
    kinds = KEPT[dialect].get("kinds", {}).get(key, "").split()
    for kind in kinds:
        if kind in KINDS:
            return KINDS[kind]
    words = [kind[1:] for kind in kinds if kind.startswith("=")]
    if len(words) > 1:
        return words[0], words[1]
    if isinstance(default, bool):
        return default, not default
    if isinstance(default, (int, float)):
        return default, default + 1
    return None if isinstance(default, (list, dict)) else ("one", "two")


def chunks(keys: dict[str, tuple[object, object]]) -> Iterator[dict[str, tuple[object, object]]]:
    names = list(keys)
    for start in range(0, len(names), TOGETHER):
        yield {name: keys[name] for name in names[start : start + TOGETHER]}


def side(dialect: str, written: dict[str, object]) -> str:
    lines = [f"{key}: {json.dumps(value)}" for key, value in written.items()]
    if dialect == "nested":
        return NESTED + "".join(f"  {line}\n" for line in ("learning_rate: 0.1", *lines))
    kept = [one for one in BASES[dialect].splitlines() if one.split(":")[0] not in written]
    return "\n".join([*kept, *lines, ""])


def untold(folder: Path, dialect: str, keys: dict[str, tuple[object, object]]) -> Iterator[str]:
    """The keys that differ and of which nothing is said."""
    for place, name in enumerate("ab"):
        own = {key: pair[place] for key, pair in keys.items()}
        (folder / f"{name}.yaml").write_text(side(dialect, own))
    files = folder / "a.yaml", folder / "b.yaml"
    sides = resolve_pair(*files, {}, (dialect, dialect))
    said = {r.key for one in sides for r in one.refusals} | set(sides[0].without_effect)
    for difference in find_differences(*sides):
        for value in (difference.current, difference.backup):
            also = [key for key, _, _ in value.also] + [key for key, _ in value.overrules]
            said |= {str(value.key), *also, difference.setting.removeprefix(OTHER)}
    said = {key.removeprefix("training.") for key in said}
    yield from (key for key in keys if key not in said)


@pytest.mark.parametrize("dialect", [*BASES, "nested"])
def test_a_key_that_differs_is_a_row_or_refused_or_known_to_do_nothing(tmp_path, dialect):
    trainer = "hf_trainer" if dialect == "nested" else dialect
    pairs = {}
    for key in vocabulary.keys_of(trainer):
        own = vocabulary.default_of(trainer, key)
        found = values_of(trainer, key, own.value) if own and key not in SAME else None
        if found is not None:
            pairs[key] = found
    assert len(pairs) > 90
    alone = [key for some in chunks(pairs) for key in untold(tmp_path, dialect, some)]
    assert [key for key in alone for _ in untold(tmp_path, dialect, {key: pairs[key]})] == []


WITH_BLOCKS = {
    **BASES,
    "nested": "training: {learning_rate: 0.1, num_train_epochs: 3}\n",
    "kedro": "train: {training_args: {learning_rate: 0.1, num_train_epochs: 3}}\n",
    "deepspeed_native": "hardware: {num_gpus: 1}\n",
    "deepspeed_json": "train_batch_size: 4\n",
}
BLOCKS = words(
    "lora peft_config lora_config peft adapter deepspeed deepspeed_config quantization_config bnb "
    "fsdp_config accelerator_config lr_scheduler_kwargs model data datasets tokenizer evaluation "
    "optimizer scheduler training trl special_tokens model_config zero_optimization fp16"
)


@pytest.mark.parametrize("beside", ["", "enabled: true, ", "r: 8, ", "load_in_4bit: true, "])
@pytest.mark.parametrize("dialect", WITH_BLOCKS)
def test_a_key_that_nobody_knows_is_told_in_any_block(tmp_path, dialect, beside):
    silent = []
    for block in BLOCKS:
        for name, value in (("a", 1), ("b", 2)):
            added = f"{block}: {{{beside}unheard_of: {value}}}\n"
            (tmp_path / f"{name}.yaml").write_text(WITH_BLOCKS[dialect] + added)
        sides = resolve_pair(tmp_path / "a.yaml", tmp_path / "b.yaml", {}, (dialect, dialect))
        refused = any(r.key.startswith(block) for side in sides for r in side.refusals)
        if not find_differences(*sides) and not refused and block not in sides[0].without_effect:
            silent.append(block)
    assert silent == []


@pytest.mark.parametrize("dialect", [*BASES, "nested"])
def test_a_key_that_is_spelled_wrongly_is_a_row(tmp_path, dialect):
    trainer = "hf_trainer" if dialect == "nested" else dialect
    known = sorted(vocabulary.keys_of(trainer))
    wrong = {f"{key[:-2]}{key[-1]}{key[-2]}x": (1, 2) for key in known[:: len(known) // 20]}
    assert [key for some in chunks(wrong) for key in untold(tmp_path, dialect, some)] == []
