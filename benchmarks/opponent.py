"""The opponent of bench.py: Hugging Face Trainer with DeepSpeed ZeRO-2, as its users write it.

It does what a run does: it evaluates and saves after each epoch, and tests the best weights.

deepspeed --num_gpus 1 benchmarks/opponent.py --run FOLDER [--gradient-checkpointing]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path


def main() -> None:
    """Train, test, save the adapter, and write the times of the steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--local_rank", type=int, default=0)
    args = parser.parse_args()
    import torch
    from datasets import load_from_disk
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        PreTrainedTokenizerFast,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    job = json.loads((args.run / "job.json").read_text())
    data = {
        name: load_from_disk(f"{job['data']}/{name}") for name in ("train", "validation", "test")
    }
    data = {
        name: split.select_columns(["input_ids", "label"]).rename_column("label", "labels")
        for name, split in data.items()
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{job['model']}/tokenizer.json")
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        job["model"], num_labels=job["num_labels"], dtype=torch.float32
    )
    model.config.pad_token_id = 0
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", **job["lora"]))

    class Clock(TrainerCallback):
        steps: list[float] = []

        def on_step_begin(self, *_, **__):
            self.begun = time.perf_counter()

        def on_step_end(self, *_, **__):
            self.steps.append(time.perf_counter() - self.begun)

    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(args.run / "out"),
            num_train_epochs=job["epochs"],
            per_device_train_batch_size=job["batch"],
            per_device_eval_batch_size=job["batch"],
            learning_rate=1e-3,
            logging_steps=1,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="accuracy",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            gradient_checkpointing=args.gradient_checkpointing,
            deepspeed={
                "zero_optimization": {"stage": 2},
                "train_micro_batch_size_per_gpu": "auto",
                "train_batch_size": "auto",
                "gradient_accumulation_steps": 1,
                "gradient_clipping": 1.0,
            },
        ),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        compute_metrics=lambda found: {
            "accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())
        },
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[Clock()],
    )
    trainer.train()
    scores = trainer.predict(data["test"]).metrics
    model.save_pretrained(args.run / "adapter")
    (args.run / "times.json").write_text(json.dumps({"steps": Clock.steps, "scores": scores}))


if __name__ == "__main__":
    main()
