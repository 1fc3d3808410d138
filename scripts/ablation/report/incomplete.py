"""A report of the runs that are there, while others are missing: in partial/, until all are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ablation.evidence.effects import save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.failures import find_failed
from ablation.evidence.health import check_health, health_json
from ablation.evidence.metrics import collect, load_json, load_table, save_table
from ablation.files import save_json, save_text
from ablation.report.figures.draw import draw_all
from ablation.report.report import render_report
from ablation.report.sources import load_sources
from ablation.results import Results, remove_partial
from ablation.study.adaptive import seeds_grid
from ablation.study.grid import read_grid
from ablation.study.study import Study
from ablation.words.catalogue import LANGUAGES


def render_partial(study: Study, results: Results, devices: int | None = None) -> list[Path]:
    """The reports of the runs that are there; none before the study is planned and prepared.

    Args:
        study: The study.
        results: Its results.
        devices: As in `expand`.
    """
    if not (results.planned_grid.is_file() and results.profile.is_file()):
        return []
    remove_partial(results)
    try:
        return _render_all(study, results.partial(), devices)
    except BaseException:
        remove_partial(results)  # nothing half written
        raise


def _render_all(study: Study, results: Results, devices: int | None) -> list[Path]:
    content = _grid_so_far(study, results, devices)
    grid = read_grid(content)
    profile = load_json(results.profile)
    save_table(collect(grid, results.runs), results.metrics)
    table = load_table(results.metrics)
    effects = estimate_effects(grid, table, study.options)
    save_json(content, results.partial_grid)
    save_effects(effects, results.effects)
    draw_all(content, table, effects, results.runs, profile, results.figures)
    save_json(health_json(check_health(content, results.runs, profile)), results.health)
    return [_render(study, results, language) for language in LANGUAGES]


def _grid_so_far(study: Study, results: Results, devices: int | None) -> dict[str, Any]:
    """The grid as far as results have decided on it."""
    sequential = study.options["sequential"]
    if sequential:
        looks = [results.look(number + 1) for number in range(len(sequential["looks"]) - 1)]
        missing = next((place for place, look in enumerate(looks) if not look.is_file()), None)
        decisions = [load_json(look) for look in looks[:missing]]
        return seeds_grid(study, decisions, devices).as_json()
    decided = study.adaptive and results.decided_grid.is_file()
    return load_json(results.decided_grid if decided else results.planned_grid)


def _render(study: Study, part: Results, language: str) -> Path:
    grids = [part.partial_grid, part.candidates, part.confirmation_grid]
    sources = load_sources(
        part.resolved,
        grids[0],
        part.metrics,
        part.effects,
        study.file,
        part.profile,
        part.health,
        language,
        part.verdict,
    )
    failed = find_failed([load_json(path) for path in grids if path.is_file()], part)
    output = part.report(language)
    whole = replace(sources, partial=True, failed=failed)
    save_text(render_report(whole, part.figures, output), output)
    return output
