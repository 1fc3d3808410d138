"""What Trainer and DeepSpeed really do with arguments and a DeepSpeed file, on two tiny layers.

python tests/reference/engine.py pairs.json

The file holds a list of {"name": …, "arguments": …, "deepspeed": …}; what each pair does is printed
as a line of JSON: clipping, optimizer, scheduler, precision and the rates of the steps, of the
engine that was built and trained, or the class and text of the exception that refused it. What it
said of the pairs in engine.json is kept there, as the first run compiles kernels for minutes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.update(
    RANK="0",
    LOCAL_RANK="0",
    WORLD_SIZE="1",
    MASTER_ADDR="127.0.0.1",
    MASTER_PORT=str(29600 + os.getpid() % 1000),
    DS_ACCELERATOR="cpu",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
)
# Operators are compiled where runs compile theirs; a killed process's lock must not stop this one.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from ablation.machine.launcher import extensions_folder
from ablation.machine.locks import remove_stale_locks

os.environ["TORCH_EXTENSIONS_DIR"] = str(extensions_folder())
remove_stale_locks(extensions_folder())
ROWS = 48


class RateOfEachStep:
    """A callback that keeps the rate with which each optimizer step is made."""

    def __new__(cls) -> Any:
        from transformers import TrainerCallback

        class Callback(TrainerCallback):
            rates: list[float]

            def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
                self.rates = []

            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                groups = kwargs["optimizer"].param_groups
                self.rates.append(float(groups[0]["lr"]))

        return Callback()


def tiny_trainer(arguments: dict[str, Any], deepspeed: dict[str, Any] | None, folder: str) -> Any:
    """A Trainer with these arguments, a model of two layers and 48 rows."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification, Trainer, TrainingArguments

    args = TrainingArguments(
        **{
            "output_dir": folder,
            "use_cpu": True,
            "report_to": "none",
            "save_strategy": "no",
            "logging_strategy": "no",
            "disable_tqdm": True,
            **arguments,
            "deepspeed": deepspeed,
        }
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        num_labels=3,
    )
    rows = [
        {"input_ids": torch.randint(1, 64, (8,)).tolist(), "labels": i % 3} for i in range(ROWS)
    ]
    return Trainer(model=LlamaForSequenceClassification(config), args=args, train_dataset=rows)


def trained(arguments: dict[str, Any], deepspeed: dict[str, Any] | None) -> dict[str, Any]:
    """What the built engine, its optimizer's groups and the first steps' rates say."""
    callback = RateOfEachStep()
    with tempfile.TemporaryDirectory() as folder:
        trainer = tiny_trainer(arguments, deepspeed, folder)
        trainer.add_callback(callback)
        trainer.train()
    engine = trainer.model_wrapped
    optimizer = engine.basic_optimizer
    group = optimizer.param_groups[0]
    scheduler = getattr(trainer.lr_scheduler, "scheduler", trainer.lr_scheduler)
    return {
        "clip": engine.gradient_clipping(),
        "optimizer": type(optimizer).__name__,
        "adam_w": bool(getattr(optimizer, "adam_w_mode", True)),
        "group": {name: group[name] for name in ("betas", "eps") if name in group},
        "decay": max(float(group.get("weight_decay", 0)) for group in optimizer.param_groups),
        "scheduler": type(scheduler).__name__,
        "bf16": engine.bfloat16_enabled(),
        "stage": engine.zero_optimization_stage(),
        "rates": callback.rates,
    }


def reset() -> None:
    """Forget the state that accelerate keeps between two trainers of a process."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def main(file: str) -> None:
    for pair in json.loads(Path(file).read_text()):
        reset()
        try:
            said = trained(pair["arguments"], pair["deepspeed"])
        except Exception as error:  # whatever the libraries say is the answer
            said = {"refused": type(error).__name__, "reason": str(error)}
        print("\n" + json.dumps({**pair, "said": said}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
