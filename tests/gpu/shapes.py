"""Models of random weights in real shapes, and rows for them; nothing is downloaded.

    python tests/gpu/shapes.py FOLDER SHAPE DTYPE

writes FOLDER/model.json with weights and a word tokenizer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

LABELS = 8
VOCABULARY = 8192  # of words: a real vocabulary adds weights that no step multiplies with
SHAPES: dict[str, dict[str, int]] = {
    "qwen3-0.6b": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "qwen3-4b": {
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
}


def architecture(shape: str) -> dict[str, Any]:
    """The facts of the shape's config.json."""
    return {
        "model_type": "qwen3",
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
        "attention_bias": False,
        **SHAPES[shape],
    }


def trained_layers(shape: str) -> list[int]:
    """The layers that get an adapter: the upper 8, of the tiny shape the upper 2."""
    layers = SHAPES[shape]["num_hidden_layers"]
    return list(range(layers - min(8, layers // 3), layers))


def write_model(folder: Path, shape: str, dtype: str) -> Path:
    """model.json of a random Qwen3 with a word tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    words = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(VOCABULARY - 3))]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = {key: value for key, value in architecture(shape).items() if key != "model_type"}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
    config = Qwen3Config(max_position_embeddings=4096, **ends, **facts)
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, dtype))
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        network = Qwen3ForCausalLM(config)
    network.save_pretrained(folder)
    record = {
        "path": str(folder.resolve()),
        "revision": None,
        "source": {"kind": "tiny"},
        "architecture": {"model_type": "qwen3", "num_hidden_layers": config.num_hidden_layers},
        "tokenizer": str(folder.resolve()),
    }
    path = folder / "model.json"
    path.write_text(json.dumps(record))
    return path


def write_data(folder: Path, rows: int, tokens: int) -> Path:
    """Folder with train, validation and test; half of the texts are of full length."""
    from datasets import Dataset

    generator = np.random.default_rng(0)
    start = 0
    for split, size in (("train", rows), ("validation", 16), ("test", 32)):
        labels = np.arange(size) % LABELS
        lengths = np.where(generator.random(size) < 0.5, tokens, generator.integers(4, tokens + 1))
        band = (VOCABULARY - 3) // LABELS
        texts = [
            (3 + label * band + generator.integers(0, band, length)).tolist()
            for label, length in zip(labels, lengths, strict=True)
        ]
        columns = {
            "input_ids": texts,
            "label": labels,
            "row": np.arange(start, start + size),
            "length": lengths.astype(np.int32),
        }
        if split == "train":
            columns["extract_rank"] = (generator.permutation(size) + 0.5) / size
        Dataset.from_dict(columns).save_to_disk(str(folder / split))
        start += size
    (folder / "labels.json").write_text(json.dumps([f"class {n}" for n in range(LABELS)]))
    (folder / "profile.json").write_text(json.dumps({"special_tail": []}))
    return folder


if __name__ == "__main__":
    write_model(Path(sys.argv[1]), *sys.argv[2:4])
