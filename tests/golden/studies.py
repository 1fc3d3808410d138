"""Three finished studies without training, and everything that the analysis writes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from synthetic import STUDY, Synthetic, build_study, confirm, write_runs

from ablation.evidence.confirmation import save_confirmation
from ablation.evidence.decisions import choose_confirmation, decide_seeds
from ablation.evidence.effects import load_effects, load_recommendation, save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.health import check_health, health_json
from ablation.evidence.metrics import collect, load_table, save_table
from ablation.files import load_json, load_record, save_json
from ablation.report.patch import patch_text, recommended_rewrite
from ablation.report.report import render_report
from ablation.report.sources import load_sources
from ablation.settings.profile import load_profile
from ablation.study.adaptive import decided_grid, seeds_grid
from ablation.study.grid import load_grid
from ablation.study.load import load_study, read_options

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "config/studies/debian_sections"
REPORTS = {"report.md": "en", "report.ko.md": "ko"}
DIGITS = 9  # of every number: what linear algebra of another machine does not move
EVERY_DESIGN = [
    "one_at_a_time",
    "leave_one_out",
    {"factorial": {"remainder": True}},
    {"fractional": {"remainder": True}},
    "greedy_path",
    {"grid": {"values": {"learning_rate": [1e-4, 8e-4]}}},
    "a_a",
    "compute_matched",
]


DEFAULT_EFFECTS = {
    "lora_learning_rate": -0.06,
    "epochs": 0.13,
    "decay_length_scheduler": -0.01,
    "layers_batch": 0.01,
    "selection": 0.0,
    "systems": 0.0,
    "data": 0.15,
}


def default(root: Path) -> Synthetic:
    """The default study: its first stage hurts, epochs and data help."""
    options = yaml.safe_load((DEFAULT / "study.yaml").read_text(encoding="utf-8"))
    return build_study(
        root, seeds=(1, 2, 3), effects=DEFAULT_EFFECTS, study=options, configurations=DEFAULT
    )


def every_design(root: Path) -> Synthetic:
    """Every design that there is, and one interaction."""
    effects = {
        "lora_lr": -0.03,
        "epochs": 0.09,
        "regularisation": 0.002,
        "remainder": 0.05,
        "lora_lr×epochs": 0.06,
    }
    return build_study(
        root,
        seeds=(1, 2, 3, 4, 5),
        effects=effects,
        noise=0.008,
        study={**STUDY, "designs": EVERY_DESIGN},
    )


CONFIRMED_EFFECTS = {"lora_lr": 0.05, "epochs": 0.12, "regularisation": 0.004, "remainder": -0.04}


def confirmed(root: Path) -> Synthetic:
    """A study with looks at 3 and 5 seeds, and fresh seeds for what it recommends."""
    options = {
        **STUDY,
        "sequential": {"looks": [3, 5], "spending": "pocock"},
        "confirm": {"seeds": [101, 102, 103, 104, 105]},
    }
    made = build_study(root, seeds=(1, 2, 3, 4, 5), effects=CONFIRMED_EFFECTS, study=options)
    study, decisions = load_study(made.study), []
    for look in (1, 2):
        grid = seeds_grid(study, decisions)
        write_runs(made, grid.as_json(), CONFIRMED_EFFECTS)
        runs = collect(grid, made.runs)
        decisions.append(decide_seeds(grid, runs, study.all_seeds(), study.options, look))
        if decisions[-1]["stop"]:
            break
    grid, facts = decided_grid(study, decisions)
    save_json({**grid.as_json(), **facts}, made.grid)
    return made


# The effects that are planted in the fresh seeds of those that ask for a confirmation.
CONFIRMED = {"default": DEFAULT_EFFECTS, "confirmed": CONFIRMED_EFFECTS}
STUDIES: dict[str, Callable[[Path], Synthetic]] = {
    "default": default,
    "every_design": every_design,
    "confirmed": confirmed,
}


def outputs(name: str, root: Path) -> dict[str, str]:
    """What the analysis writes of a study, by file name, as it stands in the golden files."""
    made = STUDIES[name](root)
    _analyze(made)
    verdict = _confirm(made, CONFIRMED[name]) if name in CONFIRMED else None
    files = {"grid.json": made.grid, "effects.json": made.results.effects}
    files |= {"confirmation.json": verdict} if verdict else {}
    found = {file: readable(load_record(path)) for file, path in files.items()}
    for file, language in REPORTS.items():
        found[file] = _report(made, language)
    study = load_study(made.study)
    arm = load_recommendation(made.folder / "effects.json", verdict).applied
    rewrite = recommended_rewrite(study, arm)
    found |= {f"recommended/{path.name}": text for path, text in rewrite.after.items()}
    found["recommended/training.patch"] = patch_text(rewrite, study.folder)
    return {file: text.replace(str(root), "ROOT") for file, text in found.items()}


def _analyze(made: Synthetic) -> None:
    grid = load_grid(made.grid)
    save_table(collect(grid, made.runs), made.folder / "metrics.csv")
    table = load_table(made.folder / "metrics.csv")
    effects = estimate_effects(grid, table, read_options(made.study))
    save_effects(effects, made.folder / "effects.json")
    warnings = check_health(load_json(made.grid), made.runs, load_profile(made.profile))
    save_json(health_json(warnings), made.folder / "health.json")


def _confirm(made: Synthetic, planted: Mapping[str, float]) -> Path:
    effects = load_effects(made.folder / "effects.json")
    decision = choose_confirmation(effects.recommendation)
    path = made.results.verdict
    save_confirmation(confirm(made, decision, planted), path)
    return path


def _report(made: Synthetic, language: str) -> str:
    results = made.results
    sources = load_sources(results, language)
    return render_report(sources, results.figures, results.report(language))


def readable(content: Any) -> str:
    """JSON that is short and yet shows in a diff what changed: what holds no object is one line."""
    return re.sub(r"[ \t]+$", "", _lines(content, 0), flags=re.MULTILINE) + "\n"


def _lines(content: Any, depth: int) -> str:
    if isinstance(content, float):
        return json.dumps(float(f"{content:.{DIGITS}g}"))
    here, inner = " " * depth, " " * (depth + 1)
    if isinstance(content, Mapping):
        items = [
            f"{json.dumps(key, ensure_ascii=False)}: {_lines(value, depth + 1)}"
            for key, value in content.items()
        ]
        flat = "{" + ", ".join(items) + "}"
        if "\n" not in flat and len(flat) < 100:
            return flat
        return "{\n" + ",\n".join(inner + item for item in items) + f"\n{here}}}"
    if isinstance(content, list | tuple):
        items = [_lines(value, depth + 1) for value in content]
        if any(isinstance(value, Mapping) for value in content):
            return "[\n" + ",\n".join(inner + item for item in items) + f"\n{here}]"
        return "[" + ", ".join(items) + "]"
    return json.dumps(content, ensure_ascii=False)
