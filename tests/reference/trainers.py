"""Keeps what axolotl, LLaMA-Factory and TRL make of small configurations, in trainers.json.

tests/reference/trainers.sh FOLDER makes the environment; then run this file with its Python. Each
trainer's own schema or parser reads the text; the values that it then holds are written under the
names of this project's settings, and a text that it refuses as `null`. With files as arguments,
those are read instead and the result is printed.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

os.environ.setdefault("DISABLE_VERSION_CHECK", "1")
KEPT = Path(__file__).with_name("trainers.json")
AXOLOTL = """base_model: org/some-8b
datasets: [{path: my/rows.jsonl, type: alpaca}]
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
FACTORY = """model_name_or_path: org/some-8b
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
"""
TRL = """model_name_or_path: org/some-8b
use_peft: true
lora_target_modules: [q_proj, v_proj]
dataset_name: my/rows
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
learning_rate: 0.0002
num_train_epochs: 1
max_length: 2048
"""
# Lines that are put behind each text; "-key" takes a line away.
LINES = {
    "axolotl": [
        *("", "sample_packing: true", "sample_packing: true\npad_to_sequence_len: false"),
        *("pad_to_sequence_len: true", "flash_attention: true", "sdp_attention: true"),
        *("xformers_attention: true", "eager_attention: true", "flex_attention: true"),
        *("attn_implementation: sdpa", "flash_attention: true\nattn_implementation: sdpa"),
        *("warmup_steps: 0.1", "warmup_steps: 10", "warmup_steps: 10\nwarmup_ratio: 0.1"),
        *("warmup_steps: 0\nwarmup_ratio: 0.1", "val_set_size: 0.1", "val_set_size: 100"),
        *("val_set_size: 0\neval_steps: 10", "val_set_size: 0.1\ntest_datasets: [{path: x}]"),
        *("batch_size: 8", "-gradient_accumulation_steps\nbatch_size: 8", "-num_epochs"),
        *("-micro_batch_size", "-lora_dropout\nlora_dropout: 0.05", "-sequence_len"),
        *("-adapter", "-adapter\nload_in_8bit: true", "load_in_4bit: true", "load_in_8bit: true"),
        *("-adapter\nadapter: qlora", "-adapter\nadapter: qlora\nload_in_4bit: true"),
        *("lr_scheduler: linear", "lr_scheduler_type: linear", "num_train_epochs: 9"),
        *("weight_decay: 0.1", "per_device_train_batch_size: 9", "-learning_rate", "seed: 7"),
        *("evals_per_epoch: 2\neval_steps: 10", "saves_per_epoch: 2\nsave_steps: 10"),
        *("excess_length_strategy: truncate", "max_grad_norm: 0.3", "max_steps: 100"),
        *("eval_strategy: epoch\neval_steps: 10", "sample_packing: true\nrl: dpo"),
        *("warmup_steps: 1.0e+2", "max_steps: 1e3", "max_steps: '100'", "sample_packing: 'true'"),
        *("-num_epochs\nnum_epochs: null", "-sequence_len\nsequence_len: null", "-base_model"),
        *("-datasets", "-datasets\ndatasets: []", "-learning_rate\nlearning_rate: auto"),
        *("test_datasets: []\nval_set_size: 0.1", "-adapter\nadapter: LoRA", "warmup_ratio: '0.1'"),
        *(
            "xformers_attention: true\nflash_attention: true",
            "-learning_rate\nlearning_rate: '2e-4'",
        ),
    ],
    "llama_factory": [
        *(
            "",
            "packing: true",
            "neat_packing: true",
            "lora_rank: 16",
            "lora_rank: 16\nlora_alpha: 8",
        ),
        *("-cutoff_len", "max_length: 4096", "lora_dropout: 0.1", "-lora_target", "val_size: 0.1"),
        *("evaluation_strategy: steps", "val_size: 0.1\neval_dataset: held", "use_galore: true"),
        *("-finetuning_type\nfinetuning_type: full\nuse_dora: true", "use_rslora: true"),
        *("-finetuning_type\nfinetuning_type: full", "-finetuning_type\nfinetuning_type: freeze"),
        *(
            "mask_history: true\ntrain_on_prompt: true",
            "streaming: true\nmax_samples: 5\nmax_steps: 9",
        ),
        *("-stage\nstage: dpo", "num_epochs: 3", "weight_decay: 0.1", "max_steps: 100", "seed: 7"),
        *("-finetuning_type\nfinetuning_type: full\nquantization_bit: 4", "warmup_steps: 20"),
        *(
            "-learning_rate",
            "-lr_scheduler_type",
            "-num_train_epochs",
            "additional_target: lm_head",
        ),
        *("save_strategy: nonsense", "eval_strategy: no", "logging_steps: 0", "warmup_steps: null"),
        *("-lr_scheduler_type\nlr_scheduler_type: Cosine", "packing: false\nneat_packing: true"),
        *("-stage\nstage: ppo", "-stage\nstage: pt\npacking: null", "lora_alpha: null"),
        *("-finetuning_type\nfinetuning_type: null", "quantization_bit: 4\npissa_init: true"),
        *(
            "streaming: true\nval_size: 0.1\nmax_steps: 5",
            "save_steps: '500'",
            "warmup_steps: '20'",
        ),
        *("mix_strategy: interleave_under\ninterleave_probs: '0.5,0.5'", "interleave_probs: '1.0'"),
        *(
            "-finetuning_type\nfinetuning_type: full\nuse_galore: true\nuse_badam: true",
            "-finetuning_type\nfinetuning_type: full\nuse_llama_pro: true",
            "-stage\nstage: dpo\npref_loss: ipo\ndpo_label_smoothing: 0.1",
        ),
    ],
    "trl": [
        *("", "-max_length", "max_seq_length: 1024", "bf16: false", "fp16: true", "dtype: auto"),
        *(
            "torch_dtype: bfloat16",
            "dtype: bfloat16",
            "lora_r: 8",
            "lora_alpha: 8",
            "packing: true",
        ),
        *("lora_dropout: 0.0", "-use_peft", "load_in_4bit: true\nload_in_8bit: true", "seed: 7"),
        *(
            "warmup_steps: 0.1",
            "warmup_ratio: 0.1",
            "gradient_checkpointing: false",
            "-learning_rate",
        ),
        *(
            "evaluation_strategy: steps",
            "eval_strategy: epoch",
            "weight_decay: 0.1",
            "max_steps: 100",
        ),
        *(
            "lr_scheduler_type: cosine",
            "num_epochs: 3",
            "dataset_train_split: test",
            "use_dora: true",
        ),
        *(
            "eval_strategy: no",
            "save_strategy: nonsense",
            "hub_strategy: nonsense",
            "packing: 'true'",
        ),
        *(
            "lr_scheduler_type: Cosine",
            "logging_steps: 0",
            "warmup_steps: null",
            "warmup_steps: '20'",
        ),
        *(
            "-learning_rate\nlearning_rate: auto",
            "-use_peft\nuse_peft: 'true'",
            "group_by_length: true",
        ),
        *("-per_device_train_batch_size\nper_device_train_batch_size: auto", "save_steps: 2.5"),
        *(
            "lr_scheduler_type: reduce_lr_on_plateau",
            "lr_scheduler_type: reduce_lr_on_plateau\neval_strategy: steps\neval_steps: 5",
            "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 0.1\nsave_steps: 20",
            "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 0.1\nsave_steps: 0.2",
            "dataloader_prefetch_factor: 2",
            "dataloader_prefetch_factor: 2\ndataloader_num_workers: 1",
        ),
    ],
}


# What takes more than terms to say, and values of a kind that the schema has not.
MORE = [
    "datasets: [{path: a, type: sharegpt}]",
    "tokens: {a: b}",
    "attn_implementation: flash",
    "lora_target_modules: ['(']\n-lora_target_linear",
    "early_stopping_patience: 2\nsave_steps: 15\neval_steps: 10\nval_set_size: 0.1",
    "early_stopping_patience: 2\nsave_steps: 20\neval_steps: 10\nval_set_size: 0.1",
    "rl: grpo\ntrl: {num_generations: 3}",
    "rl: grpo\ntrl: {num_generations: 4}",
    "rl: dpo\ndpo_loss_type: [sigmoid]\ndpo_loss_weights: [1.0, 0.5]",
    *("logging_steps: 0.2", "logging_steps: '5'", "logging_steps: 5.0", "save_steps: 0.2"),
    *("bf16: full", "bf16: half", "tf32: 'yes'", "wandb_name: 7", "rl: ppo", "seed: abc"),
    *(
        "chat_template: mine",
        "chat_template: tokenizer_default_fallback_chatml",
        "special_tokens: a",
    ),
    *("learning_rate: '2e-4'", "num_epochs: many", "optimizer: adamw_torch", "fsdp: full_shard"),
]
# Values that keys need where `true` is none, and whole lines for terms.
VALUES = {
    "activation_offloading!=hidden_states": "activation_offloading: true",
    "adapter": "lora",
    "adapter!=lora|qlora": "-adapter",
    "adapter!=lora|qlora|llama-adapter": "adapter: mine",
    "added_tokens_overrides": '{"1": "x"}',
    "attn_implementation!=none|flash_attention_2": "attn_implementation: sdpa",
    "base_model~falcon": "base_model: org/falcon-7b",
    "base_model~mpt": "base_model: org/mpt-7b",
    "batch_size": "8",
    "chat_template": "chatml",
    "context_parallel_size>1": "context_parallel_size: 2",
    "deepspeed": "zero2.json",
    "dpo_loss_type": '["ipo"]',
    "dpo_loss_weights": "[1.0]",
    "early_stopping_patience": "3",
    "embedding_lr": "0.1",
    "embedding_lr_scale": "0.1",
    "eval_strategy": "epoch",
    "eval_strategy!=steps": "eval_strategy: epoch",
    "eval_table_size": "5",
    "evals_per_epoch": "2",
    "fp8_config": '{"recipe": "tensorwise"}',
    "fsdp": '["full_shard"]',
    "fsdp_config": '{"reshard_after_forward": true}',
    "gpu_memory_limit": "20",
    "lisa_step_interval": "5",
    "lora_dropout": "0.05",
    "lora_modules_to_save": '["lm_head"]',
    "lora_target_parameters": '["x"]',
    "loraplus_lr_ratio": "16",
    "lr_groups": '[{"name": "a", "modules": ["q"], "lr": 0.1}]',
    "max_memory": '{"0": "10GiB"}',
    "max_packed_sequence_len": "10",
    "model_quantization_config": "Mxfp4Config",
    "neftune_noise_alpha": "5",
    "neftune_noise_alpha<=0": "neftune_noise_alpha: 0",
    "noisy_embedding_alpha": "5",
    "optimizer~8bit": "optimizer: adamw_8bit",
    "optimizer~flash_": "optimizer: flash_adamw",
    "peft": '{"loftq_config": {"loftq_bits": 4}}',
    "peft_layers_pattern": "layers",
    "peft_layers_to_transform": "[0, 1]",
    "peft_trainable_token_indices": "[1]",
    "pretrain_multipack_buffer_size": "10",
    "pretraining_dataset": '[{"path": "c4"}]',
    "processor_kwargs": '{"a": 1}',
    "push_dataset_to_hub": "me/rows",
    "qat": '{"weight_dtype": "int8"}',
    "revision_of_model": "main",
    "rope_scaling": '{"type": "linear"}',
    "rpo_alpha": "1.0",
    "special_tokens": '{"pad_token": "x"}',
    "streaming_multipack_buffer_size": "10",
    "tokens": '["x"]',
    "torch_compile_options": '{"shape_padding": true}',
    "trl.num_generations<=1": "trl: {num_generations: 1}",
    "unfrozen_parameters": '["lm_head"]',
    "val_set_size": "0.1",
    "warmup_ratio": "0.1",
}
# Lines that go with a key so that no other rule is broken.
BESIDE = {
    "relora": ("jagged_restart_steps: 10",),
    "selective_checkpointing": ("gradient_checkpointing: true",),
    "dataset_exact_deduplication": ("max_steps: 10",),
    "streaming": ("max_steps: 10",),
    "pretraining_dataset": ("max_steps: 10",),
    "batch_flattening": ("attn_implementation: flash_attention_2",),
}


def breaches() -> list[str]:
    """Lines for axolotl that break each of the rules that are known here, and no other one."""
    from ablation.dialects.axolotl_rules import rules

    return ["\n".join(dict.fromkeys(_lines(terms))) for terms, _ in rules()]


def _lines(terms: list[str]) -> Iterator[str]:
    """Lines that make each term of a rule hold."""
    for term in terms:
        key = re.match(r"!?([\w.]+)", term)[1]
        yield from BESIDE.get(key, ())
        if term.startswith("!"):
            yield f"-{key}"
        elif term in VALUES and term != key:
            yield VALUES[term]
        elif "=" in term and "!=" not in term and "=none" not in term:
            yield _line(key, term.split("=")[1].split("|")[0])
        elif "!=" not in term and "=none" not in term:
            yield _line(key, VALUES.get(key, "true"))


def _line(key: str, value: str) -> str:
    block, _, name = key.rpartition(".")
    return f"{block}: {{{name}: {value}}}" if block else f"{key}: {value}"


def axolotl(text: str) -> dict[str, Any]:
    from axolotl.utils.schemas.config import AxolotlConfigWCapabilities

    gpu = {"bf16": True, "fp8": True, "n_gpu": 1, "n_node": 1, "compute_capability": "sm_90"}
    cfg = AxolotlConfigWCapabilities(
        **yaml.safe_load(text), capabilities=gpu, env_capabilities={"torch_version": "2.13.0"}
    )
    found = {
        "learning_rate": cfg.learning_rate,
        "num_train_epochs": cfg.num_epochs,
        "per_device_train_batch_size": cfg.micro_batch_size,
        "gradient_accumulation_steps": cfg.gradient_accumulation_steps,
        "max_length": cfg.sequence_len,
        "lr_scheduler_type": cfg.lr_scheduler,
        "weight_decay": cfg.weight_decay,
        "packing": bool(cfg.sample_packing),
        "padding": "max_length" if cfg.pad_to_sequence_len else "longest",
        "attn_implementation": cfg.attn_implementation,
        "seed": cfg.seed,
        "max_grad_norm": cfg.max_grad_norm,
        "max_steps": cfg.max_steps,
        "training.method": cfg.adapter,
        "excess_length_strategy": cfg.excess_length_strategy,
    }
    if 0 <= cfg.val_set_size < 1:
        found["split.val_size"] = cfg.val_set_size
    if cfg.adapter:
        found |= {f"lora.{name}": getattr(cfg, f"lora_{name}") for name in ("r",)}
        found |= {"lora.lora_alpha": cfg.lora_alpha, "lora.lora_dropout": cfg.lora_dropout}
    return found


def llama_factory(text: str) -> dict[str, Any]:
    from llamafactory.hparams import parser

    given = {"output_dir": "unused", "use_cpu": True, **yaml.safe_load(text)}
    model, data, training, tuning, _ = parser._parse_train_args(given)
    parser._verify_model_args(model, data, tuning)
    packing = tuning.stage == "pt" if data.packing is None else data.packing
    found = {
        **_trainer(training),
        "max_length": data.cutoff_len + (1 if data.packing else 0),
        "packing": packing,
        "training.method": tuning.finetuning_type,
        "training.objective": tuning.stage,
        "split.val_size": data.val_size,
    }
    if tuning.finetuning_type == "lora":
        found |= {
            "lora.r": tuning.lora_rank,
            "lora.lora_alpha": tuning.lora_alpha,
            "lora.lora_dropout": tuning.lora_dropout,
            "lora.use_rslora": tuning.use_rslora,
            "lora.modules_to_save": tuning.additional_target,
        }
    return found


def trl(text: str) -> dict[str, Any]:
    from trl import ModelConfig, ScriptArguments, SFTConfig, TrlParser

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(f"output_dir: unused\nuse_cpu: true\n{text}")
        file.flush()
        parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig))
        _, training, model = parser.parse_args_and_config(["--config", file.name])
    found = {
        **_trainer(training),
        "max_length": training.max_length,
        "packing": training.packing,
        "bf16": training.bf16,
        "gradient_checkpointing": bool(training.gradient_checkpointing),
        "model.dtype": model.dtype,
    }
    if model.use_peft:
        found |= {
            "lora.r": model.lora_r,
            "lora.lora_alpha": model.lora_alpha,
            "lora.lora_dropout": model.lora_dropout,
            "lora.use_dora": model.use_dora,
        }
    return found


def _trainer(arguments: Any) -> dict[str, Any]:
    names = (
        "learning_rate",
        "num_train_epochs",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "max_steps",
        "weight_decay",
        "max_grad_norm",
        "seed",
    )
    scheduler = str(getattr(arguments.lr_scheduler_type, "value", arguments.lr_scheduler_type))
    found = {name: getattr(arguments, name) for name in names}
    return {**found, "lr_scheduler_type": scheduler}


READ: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "axolotl": (AXOLOTL, axolotl),
    "llama_factory": (FACTORY, llama_factory),
    "trl": (TRL, trl),
}


def changed(base: str, lines: str) -> str:
    """The text with the lines behind it, and without those that they take away."""
    gone = [line[1:] for line in lines.split("\n") if line.startswith("-")]
    kept = [row for row in base.splitlines() if row.split(":")[0] not in gone]
    return "\n".join([*kept, *(row for row in lines.split("\n") if row and row[0] != "-")]) + "\n"


def read(trainer: str, text: str) -> dict[str, Any] | None:
    """What the trainer makes of a text; None where it refuses it."""
    try:
        return READ[trainer][1](text)
    except (Exception, SystemExit) as error:
        print(trainer, type(error).__name__, str(error).replace("\n", " ")[:150], file=sys.stderr)
        return None


def main(files: list[str]) -> None:
    if files:
        for file in files:
            trainer, _, path = file.partition("=")
            print(json.dumps({"file": path, "values": read(trainer, Path(path).read_text())}))
        return
    LINES["axolotl"] += breaches() + MORE
    kept = [
        {"trainer": trainer, "text": text, "values": read(trainer, text)}
        for trainer, lines in LINES.items()
        for text in (changed(READ[trainer][0], line) for line in lines)
    ]
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
