"""A report of what there is, when some runs have failed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def render(study: Path, scripts: Path, results: Path, languages: Mapping[str, str]) -> list[Path]:
    """The reports that could be rendered from the runs that are there.

    Snakemake stops before the rules that need every run. The same scripts then run here, on what
    is there; their outputs are older than the missing runs will be, so nothing has to be undone.

    Args:
        study: study.yaml.
        scripts: The folder of the scripts.
        results: The study's results.
        languages: The language of each report, by its name without ending.
    """
    metrics, effects, health = (results / n for n in ("metrics.csv", "effects.json", "health.json"))
    decided = results / "decided/grid.json"
    grid = decided if decided.exists() else results / "grid.json"
    runs, figures, profile = (results / n for n in ("runs", "figures", "data/profile.json"))
    if not (grid.exists() and profile.exists()):
        return []
    common = ["--grid", grid, "--metrics", metrics]
    drawn = [*common, "--effects", effects, "--runs", runs, "--profile", profile]
    steps: list[tuple[str, list]] = [
        ("collect_metrics", ["--grid", grid, "--runs", runs, "--output", metrics]),
        ("estimate_effects", ["--study", study, *common, "--output", effects]),
        ("draw_figures", [*drawn, "--output-dir", figures]),
    ]
    verdict = results / "confirmation/verdict.json"
    confirmed = ["--confirmation", verdict] if verdict.exists() else []
    watched = ["--grid", grid, "--runs", runs, "--profile", profile]
    steps.append(("check_health", [*watched, "--output", health]))
    reports = {results / f"{name}.md": language for name, language in languages.items()}
    for report, language in reports.items():
        arguments = ["--study", study, "--resolved", results / "resolved", *common]
        arguments += ["--effects", effects, "--profile", profile]
        arguments += ["--health", health, "--figures", figures, *confirmed]
        arguments += ["--language", language, "--output", report]
        steps.append(("render_report", arguments))
    for script, arguments in steps:
        command = [sys.executable, str(scripts / f"{script}.py"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{script} failed: {done.stderr.strip()}", file=sys.stderr)
            return []
    print(f"rendered what there is: {', '.join(map(str, reports))}", file=sys.stderr)
    return list(reports)
