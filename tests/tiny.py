"""A random model of a few thousand weights and data to train it on, in the pipeline's formats.

    python tests/tiny.py FOLDER

writes FOLDER/model, FOLDER/data and FOLDER/grid.json: what scripts/train_run.py --results takes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

WORDS = [f"w{number}" for number in range(60)]
SPECIAL = ["<unk>", "<s>", "</s>"]
LAYERS = 4
FACTS = {"model_type": "llama", "num_hidden_layers": LAYERS}

SETTINGS: dict[str, Any] = {
    "learning_rate": 5e-3,
    "weight_decay": 0.01,
    "num_train_epochs": 2.0,
    "max_steps": -1,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "world_size": 2,
    "warmup_steps": 0.1,
    "lr_scheduler_type": "linear",
    "lr_scheduler_kwargs": {},
    "optim": "adamw",
    "optim_implementation": "torch_fused",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "label_smoothing_factor": 0.0,
    "lora.r": 4,
    "lora.lora_alpha": 8,
    "lora.lora_dropout": 0.05,
    "lora.target_modules": ["k_proj", "o_proj", "q_proj", "v_proj"],
    "lora.layers_to_transform": [2, 3],
    "lora.modules_to_save": ["score"],
    "lora.bias": "lora_only",
    "lora.use_rslora": False,
    "lora.use_dora": False,
    "lora.init_lora_weights": True,
    "loss.use_class_weights": False,
    "loss.class_weight_alpha": 1.0,
    "loss.class_weight_min": 0.0,
    "loss.class_weight_max": None,
    "data.extract_ratio": 0.5,
    "data.max_classes": None,
    "max_length": 12,
    "truncation": True,
    "padding": "longest",
    "model.dtype": "float32",
    "bf16": False,
    "fp16": False,
    "gradient_checkpointing": False,
    "model.trust_remote_code": False,
    "load_best_model_at_end": True,
    "metric_for_best_model": "accuracy",
    "greater_is_better": True,
    "deepspeed.zero_optimization.stage": 2,
    "deepspeed.zero_optimization.offload_optimizer.device": "none",
    "deepspeed.zero_optimization.allgather_bucket_size": 500_000_000,
    "deepspeed.zero_optimization.reduce_bucket_size": 500_000_000,
    "dataloader_num_workers": 0,
    "dataloader_pin_memory": False,
}


def write_model(folder: Path, hidden_size: int = 16) -> Path:
    """model.json of a random Llama with a word tokenizer; the weights depend on nothing else."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=None,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    record = {
        "path": str(folder.resolve()),
        "revision": None,
        "source": {"kind": "tiny"},
        "architecture": FACTS,
        "tokenizer": str(folder.resolve()),
    }
    path = folder / "model.json"
    path.write_text(json.dumps(record))
    return path


def write_data(folder: Path, num_labels: int = 4, rows: int = 120) -> Path:
    """Folder with train, validation and test: each class favors words of its own."""
    from datasets import Dataset

    generator = np.random.default_rng(0)
    sizes = {"train": rows, "validation": rows // 3, "test": rows // 3}
    start = 0
    for split, size in sizes.items():
        shares = np.arange(num_labels, 0, -1) / np.arange(num_labels, 0, -1).sum()
        labels = generator.choice(num_labels, size=size, p=shares)
        labels[:num_labels] = np.arange(num_labels)
        texts = [draw_text(generator, int(label), num_labels) for label in labels]
        columns = {
            "input_ids": texts,
            "label": labels,
            "row": np.arange(start, start + size),
            "length": np.array([len(text) for text in texts], dtype=np.int32),
        }
        if split == "train":
            columns["extract_rank"] = (generator.permutation(size) + 0.5) / size
        Dataset.from_dict(columns).save_to_disk(str(folder / split))
        start += size
    (folder / "labels.json").write_text(json.dumps([f"class {n}" for n in range(num_labels)]))
    (folder / "profile.json").write_text(json.dumps({"special_tail": []}))
    return folder


def draw_text(generator: np.random.Generator, label: int, num_labels: int) -> list[int]:
    """Token ids of one row."""
    width = len(WORDS) // num_labels
    own = generator.integers(label * width, (label + 1) * width, size=20)
    any_word = generator.integers(0, len(WORDS), size=20)
    length = generator.integers(3, 20)
    mixed = np.where(generator.random(20) < 0.7, own, any_word)[:length]
    return [int(word) + len(SPECIAL) for word in mixed]


def write_grid(path: Path, arms: dict[str, dict[str, Any]], seeds: tuple[int, ...] = (1,)) -> Path:
    """grid.json with one arm for each name; the values change `SETTINGS`."""
    grid = {
        "study": "tiny",
        "world_size_source": 2,
        "arms": [
            {
                "arm": name,
                "kind": "endpoint",
                "stage": None,
                "variant": name,
                "changed": sorted(changes),
                "settings": SETTINGS | changes,
            }
            for name, changes in arms.items()
        ],
        "seeds": list(seeds),
        "runs": [{"arm": n, "variant": n, "seed": s} for n in arms for s in seeds],
    }
    path.write_text(json.dumps(grid, indent=1))
    return path


def as_results(
    folder: Path,
    *,
    model: Path,
    grid: Path | None = None,
    data: Path | None = None,
    states: Path | None = None,
) -> Path:
    """A folder that is laid out as results/<study>, with links to what the programs read.

    Args:
        folder: The folder to write.
        model: model.json.
        grid: grid.json.
        data: The folder of the prepared rows.
        states: prefix.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    links = {"model": model.parent, "grid.json": grid, "data": data}
    links["prefix"] = states.parent if states else None
    for name, target in links.items():
        if target is not None and not (folder / name).exists():
            (folder / name).symlink_to(target.resolve())
    return folder


def main(folder: Path) -> None:
    """Write everything that a run needs."""
    write_model(folder / "model")
    write_data(folder / "data")
    write_grid(
        folder / "grid.json",
        {
            "current": {},
            "checkpointing": {"gradient_checkpointing": True},
            "bf16": {"bf16": True, "model.dtype": "bfloat16"},
            "cosine": {
                "lr_scheduler_type": "WarmupCosineLR",
                "lr_scheduler_kwargs": {
                    "warmup_min_ratio": 0.1,
                    "cos_min_ratio": 0.025,
                    "warmup_type": "linear",
                },
                "optim_implementation": "deepspeed",
            },
            "cosine-torch": {
                "lr_scheduler_type": "WarmupCosineLR",
                "lr_scheduler_kwargs": {"total_num_steps": 10, "warmup_num_steps": 4},
            },
            "stage0": {"deepspeed.zero_optimization.stage": 0},
            "onecycle": {
                "lr_scheduler_type": "OneCycle",
                "lr_scheduler_kwargs": {"cycle_min_lr": 1e-4, "cycle_max_lr": 1e-3},
            },
            "nodrop": {"lora.lora_dropout": 0.0},
            "offload": {
                "deepspeed.zero_optimization.offload_optimizer.device": "cpu",
                "optim_implementation": "deepspeed",
            },
            "offload-torch": {"deepspeed.zero_optimization.offload_optimizer.device": "cpu"},
            "weighted": {"loss.use_class_weights": True, "label_smoothing_factor": 0.1},
            "nan": {"learning_rate": 1e30, "max_grad_norm": 0.0},
            "epochs": {"num_train_epochs": 6.0},
        },
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))


def write_family(folder: Path, family: str, kind: str, shard: str = "1GB", **options) -> None:
    """A random model of a family, as `kind` saves it; large weights show each difference."""
    import torch
    import transformers

    config = getattr(transformers, f"{family}Config")(
        vocab_size=70,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        pad_token_id=0,
        **options,
    )
    torch.manual_seed(0)
    network = getattr(transformers, f"{family}{kind}")(config)
    with torch.no_grad():
        for param in network.parameters():
            param.mul_(5 if param.ndim > 1 else 1)
    network.save_pretrained(folder, max_shard_size=shard)
