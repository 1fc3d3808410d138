"""The model card of a run's adapter: adapter/README.md, as the Hugging Face hub reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ablation.masking import mask
from ablation.words.catalogue import cell, code

CARD = "README.md"
TASK = "text-classification"
# What the hub calls a score of metrics.json, and how it names it to people.
SCORES = {
    "eval_accuracy": ("accuracy", "Accuracy"),
    "eval_macro_f1": ("f1", "Macro F1"),
    "eval_weighted_f1": ("f1", "Weighted F1"),
    "eval_loss": ("loss", "Loss"),
}
KINDS = {"final": "after the last epoch", "best": "of the best epoch"}


def model_card(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """The text of README.md: front matter, then what was trained, on what, and how good it is.

    It names no folder of the machine: a model that lies in one is called by its folder's name.

    Args:
        config: The contents of config.json.
        metrics: The contents of metrics.json.
    """
    lines = ["---", front_matter(config, metrics), "---", "", *_body(config, metrics)]
    return mask("\n".join(lines)) + "\n"


def base_name(config: Mapping[str, Any]) -> str:
    """What the base model is called: its name on the hub, its package, or its folder's name."""
    model = config["model"]
    package = (model.get("source") or {}).get("package")
    if package:
        return str(package["requirement"])
    path = str(config["model_path"])
    return Path(path).resolve().name if Path(path).is_dir() else path


def front_matter(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """The YAML block of the card, without its fences."""
    study, scores = config["study"], selected_scores(metrics)
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=study,
            dataset_name=study,
            dataset_split="test",
            metric_type=SCORES[name][0],
            metric_name=SCORES[name][1],
            metric_value=round(value, 6),
        )
        for name, value in scores.items()
    ]
    data = ModelCardData(
        base_model=base_name(config),
        library_name="peft",
        pipeline_tag=TASK,
        datasets=[study],
        metrics=list(dict.fromkeys(SCORES[name][0] for name in scores)),
        tags=["lora", "staged-ablation"],
        model_name=f"{study}, {config['variant']}, seed {config['seed']}",
        eval_results=results or None,
    )
    return data.to_yaml()


def selected_scores(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The test scores of the weights that the adapter holds; none where the run diverged."""
    quality = metrics["quality"]
    found = quality[quality["selected"]] or {}
    return {name: found[name] for name in SCORES if found.get(name) is not None}


def _body(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    data, quality = metrics["data"], metrics["quality"]
    yield f"# {code(config['study'])}: {code(config['variant'])}, seed {config['seed']}"
    yield ""
    yield (
        f"A LoRA adapter for sequence classification on {code(base_name(config))}. It is one run of"
        f" an ablation: one arm of the study {code(config['study'])}, trained with seed"
        f" {config['seed']}. Other seeds of the same arm lie beside it; one run alone says little"
        " of the arm."
    )
    yield from ["", "## Scores", ""]
    if selected_scores(metrics):
        yield f"On {data['test_rows']} test rows, with the weights {KINDS[quality['selected']]}."
        yield ""
        yield from _table(("Score", "Value"), _scores(metrics))
    else:
        yield "The run diverged: it has no scores."
    yield from ["", "## Data", ""]
    facts = {
        "training rows": data["train_rows"],
        "validation rows": data["validation_rows"],
        "test rows": data["test_rows"],
        "classes": data["num_labels"],
        "fingerprint of the rows": config["data_fingerprint"],
    }
    yield from _table(("Data", "Value"), facts.items())
    yield from ["", "## Settings", ""]
    yield from _table(("Setting", "Value"), sorted(config["settings"].items()))
    yield from ["", "## Versions", ""]
    environment = metrics["environment"]
    versions = {**environment["versions"], "code": environment["code_commit"] or "unknown"}
    yield from _table(("Library", "Version"), versions.items())


def _scores(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in selected_scores(metrics).items():
        yield SCORES[name][1], f"{value:.4f}"


def _table(head: tuple[str, str], rows: Any) -> Iterator[str]:
    """A Markdown table of two columns; values that are no text are written as JSON."""
    yield f"| {head[0]} | {head[1]} |"
    yield "| --- | --- |"
    for name, value in rows:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"| {cell(code(str(name)))} | {cell(code(text))} |"
