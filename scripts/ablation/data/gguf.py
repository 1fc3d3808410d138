"""GGUF weights as an ordinary model folder."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert_gguf(file: Path, output: Path) -> None:
    """Write a GGUF model as float32 safetensors with config.json and tokenizer.json."""
    folder, name = str(file.parent), file.name
    quantized = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = copy.deepcopy(quantized.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # else save_pretrained refuses the unpacked weights
    plain = type(quantized)(config).to(torch.float32)
    plain.load_state_dict(quantized.state_dict())
    plain.save_pretrained(output)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(output)
