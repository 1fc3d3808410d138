"""The model cards of a run's adapter: adapter/README.md, which the Hugging Face hub reads.

As of the reports there is one in each language: README.md in English, README.ko.md in Korean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ablation.data.request import Request
from ablation.masking import mask
from ablation.study.run_metrics import RunMetrics
from ablation.words.catalogue import LANGUAGES, Messages, cell, code, load_catalogue

TASK = "text-classification"
# What the hub calls a score of metrics.json, and how it names it to people.
SCORES = {
    "eval_accuracy": ("accuracy", "Accuracy"),
    "eval_macro_f1": ("f1", "Macro F1"),
    "eval_weighted_f1": ("f1", "Weighted F1"),
    "eval_loss": ("loss", "Loss"),
}


def card_name(language: str) -> str:
    """The file name of the card in a language."""
    return "README.md" if language == LANGUAGES[0] else f"README.{language}.md"


def model_card(config: Request, run: RunMetrics, language: str) -> str:
    """A card's text: front matter, then what was trained, on what, and how good it is.

    It names no folder of the machine: a model that lies in one is called by its folder's name.

    Args:
        config: The contents of config.json.
        run: What it measured.
        language: The language it is written in.
    """
    t = Messages(language, load_catalogue("card", language))
    lines = ["---", front_matter(config, run), "---", "", *_body(config, run, t)]
    return mask("\n".join(lines)) + "\n"


def base_name(config: Request) -> str:
    """What the base model is called: its name on the hub, its package, or its folder's name."""
    model = config["model"]
    package = (model.get("source") or {}).get("package")
    if package:
        return str(package["requirement"])
    path = str(config["model_path"])
    return Path(path).resolve().name if Path(path).is_dir() else path


def front_matter(config: Request, run: RunMetrics) -> str:
    """The YAML block of the card, without its fences."""
    study, scores = config["study"], selected_scores(run)
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


def selected_scores(run: RunMetrics) -> dict[str, float]:
    """The test scores of the weights that the adapter holds; none where the run diverged."""
    found = run.quality.scores
    return {name: value for name in SCORES if (value := found.get(name)) is not None}


def _body(config: Request, run: RunMetrics, t: Messages) -> Iterator[str]:
    yield f"# {code(config['study'])}: {code(config['variant'])}, {t('seed', seed=config['seed'])}"
    yield from ["", *_told(config, run, t)]
    yield from ["", f"## {t('settings')}", ""]
    yield from _table((t("setting"), t("value")), sorted(config["settings"].items()))
    yield from ["", f"## {t('versions')}", ""]
    made = run.environment
    versions = {**made.versions, "code": made.code_commit or "unknown"}
    yield from _table((t("library"), t("value")), versions.items())


def _told(config: Request, run: RunMetrics, t: Messages) -> Iterator[str]:
    """What the adapter is, its scores and its data."""
    names = {"base": base_name(config), "study": config["study"]}
    yield t("about", seed=config["seed"], **{key: code(name) for key, name in names.items()})
    yield ""
    if selected_scores(run):
        yield t(f"scored.{run.quality.selected}", rows=run.data.test_rows)
        yield ""
        yield from _table((t("score"), t("value")), _scores(run))
    else:
        yield t("diverged")
    yield ""
    facts: dict[str, object] = {t(name): rows for name, rows in asdict(run.data).items()}
    facts[t("fingerprint")] = config["data_fingerprint"]
    yield from _table((t("data"), t("value")), facts.items())


def _scores(run: RunMetrics) -> Iterator[tuple[str, str]]:
    for name, value in selected_scores(run).items():
        yield SCORES[name][1], f"{value:.4f}"


def _table(head: tuple[str, str], rows: Any) -> Iterator[str]:
    """A Markdown table of two columns; values that are no text are written as JSON."""
    yield f"| {head[0]} | {head[1]} |"
    yield "| --- | --- |"
    for name, value in rows:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"| {cell(code(str(name)))} | {cell(code(text))} |"
