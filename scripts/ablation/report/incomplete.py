"""A report of the runs that are there, while others are missing: in partial/, until all are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ablation.data.counts import all_training_rows
from ablation.evidence.by_row import load_by_row
from ablation.evidence.effects import save_effects
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.health import check_health, health_json
from ablation.evidence.metrics import collect, load_table, save_table
from ablation.evidence.reports import load_reports
from ablation.files import load_record, save_record, save_text
from ablation.machine.progress import FAILED, STOPPED, read_progress
from ablation.report.figures.draw import draw_all
from ablation.report.page import render_page
from ablation.report.report import render_report
from ablation.report.sources import Sources, load_languages
from ablation.results import Results, remove_partial
from ablation.settings.profile import load_profile
from ablation.study.adaptive import read_looks, seeds_grid
from ablation.study.grid import load_grid, read_grid
from ablation.study.grid_file import GridFile
from ablation.study.resolved import load_resolved
from ablation.study.study import Study


def render_partial(results: Results, devices: int | None = None) -> list[Path]:
    """The reports of the runs that are there; none before the study is planned and prepared.

    Args:
        results: The study's results.
        devices: As in `expand`.
    """
    needed = (results.study, results.planned_grid, results.profile)
    if not all(path.is_file() for path in needed):
        return []
    remove_partial(results)
    try:
        return _render_all(load_resolved(results), results.partial(), devices)
    except BaseException:
        remove_partial(results)  # nothing half written
        raise


def _render_all(study: Study, results: Results, devices: int | None) -> list[Path]:
    content, profile = _grid_so_far(study, results, devices), load_profile(results.profile)
    grid = read_grid(content)
    save_record(content, results.grid(study.adaptive))
    save_table(collect(grid, results.runs), results.metrics)
    table = load_table(results.metrics)
    by_row = load_by_row(grid, results.runs, study.options["metric"]["name"])
    rows, before = all_training_rows(results.profile), load_reports(results.reports)
    effects = estimate_effects(grid, table, study.options, by_row, rows, before)
    save_effects(effects, results.effects)
    save_record(health_json(check_health(content, results.runs, profile)), results.health)
    languages = _sources(results)
    draw_all(languages, results.runs, results.figures)
    reports = [_render(results, sources) for sources in languages]
    save_text(render_page(languages, results), results.page)
    return [*reports, results.page]


def _grid_so_far(study: Study, results: Results, devices: int | None) -> GridFile:
    """The grid as far as results have decided on it."""
    if study.looks:
        looks = range(1, len(study.looks))
        there = [number for number in looks if results.look(number).is_file()]
        whole = next((number - 1 for number in looks if number not in there), len(looks))
        return seeds_grid(study, read_looks(results, whole), devices).as_json()
    decided = study.adaptive and results.decided_grid.is_file()
    return load_record(results.decided_grid if decided else results.planned_grid)


def _sources(results: Results) -> list[Sources]:
    nobody = results.analysis / "locks"  # no run is at work any more
    runs, fresh = read_progress(results, nobody).runs, None
    if results.confirmation_grid.is_file():
        fresh = collect(load_grid(results.confirmation_grid), results.runs)
    failed = [run for run in runs if run.state in (FAILED, STOPPED)]
    return [
        replace(one, partial=True, failed=failed, fresh=fresh) for one in load_languages(results)
    ]


def _render(results: Results, sources: Sources) -> Path:
    output = results.report(sources.messages.language)
    save_text(render_report(sources, results.figures, output), output)
    return output
