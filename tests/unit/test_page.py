"""report.html, read as a browser reads it."""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import PROGRAM, Browser
from synthetic import STUDY, Synthetic, build_study
from test_report import analyse

from ablation.report.figures.draw import draw_all
from ablation.report.page import render_page
from ablation.report.sources import load_sources
from ablation.study.load import load_study
from ablation.study.resolved import save_resolved

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
LANGUAGES = ("en", "ko")
EVIL = "<script>window.ran = 1</script><img src=x onerror=window.ran=1>"
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")


def page_of(made: Synthetic) -> Path:
    """The page of a study, beside its figures and its patch."""
    analyse(made)
    save_resolved(load_study(made.study), made.results)
    languages = [load_sources(made.results, language) for language in LANGUAGES]
    draw_all(languages, made.runs, made.results.figures)
    made.results.page.write_text(render_page(languages, made.results), encoding="utf-8")
    sys.path.insert(0, str(SCRIPTS))
    import write_patch

    write_patch.main(argparse.Namespace(results=made.folder, arm=None))
    return made.results.page


def evil_study() -> dict:
    study = copy.deepcopy(STUDY)
    study["title"] = {"en": f"{EVIL} title", "ko": f"{EVIL} 제목"}
    study["stages"][1]["title"] = {"en": f"{EVIL} & epochs", "ko": f"{EVIL} 에포크"}
    study["claims"]["statements"][0]["text"] = {"en": EVIL, "ko": EVIL}
    return study


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("page") / "<script>window.ran = 1<"
    root.mkdir()
    missing = [("stage1-lora_lr", 3)]
    return page_of(build_study(root, study=evil_study(), missing=missing))


@pytest.fixture(scope="module")
def browser(page) -> Iterator[Browser]:
    with Browser() as one:
        one.show(1440, 900)
        one.open(page)
        yield one


def test_text_of_the_users_files_is_text(page):
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"<script", text)) == 1 and "<img" not in text
    assert text.count("&lt;script&gt;window.ran") > 10
    assert not re.search(r"""(src|href)=["'](?!#|recommended/)""", text.partition("<body>")[2])


def test_the_page_has_every_run_and_every_setting(page):
    text = page.read_text(encoding="utf-8")
    runs = re.search(r'id="en-runs-table".*?</table>', text, re.S)[0]
    assert runs.count("<tr>") == 1 + 5 * 3 and "<td>missing</td>" in runs
    settings = re.search(r'id="en-settings-table".*?</table>', text, re.S)[0]
    assert "<td>lora.r LoRA rank</td>" in settings and "8 (training.yml:12)" in settings


@needs_browser
def test_nothing_of_the_users_text_runs_and_the_console_is_silent(browser):
    assert browser.ask("window.ran === undefined")
    assert browser.told == []


@needs_browser
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_window(browser, width, language):
    browser.show(width, 900)
    browser.ask(f"show('{language}')")
    assert browser.ask("document.documentElement.scrollWidth") <= width


@needs_browser
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_is_seen_without_scrolling(browser, language):
    browser.show(1440, 900)
    browser.ask(f"show('{language}'); scrollTo(0, 0)")
    parts = (".answer > ul > li:last-child", ".picture svg", ".diff ins")
    for part in parts:
        found = f"document.querySelector('[data-article={language}] {part}')"
        assert browser.ask(f"{found}.getBoundingClientRect().bottom") < 900, part


@needs_browser
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_link_is_broken(browser, page, language):
    browser.ask(f"show('{language}')")
    links = browser.ask(
        "[...document.querySelectorAll('a:not([hidden])')].map(a => a.getAttribute('href'))"
    )
    names = set(browser.ask("[...document.querySelectorAll('[id]')].map(one => one.id)"))
    assert any(link.startswith("recommended/") for link in links)
    for link in map(unquote, links):
        assert link[1:] in names if link[0] == "#" else (page.parent / link).is_file(), link


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_accessible(browser, scheme, language):
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    browser.show(1440, 900, scheme)
    browser.ask(f"show('{language}')")
    browser.ask((resources.files(axe) / "axe.min.js").read_text(encoding="utf-8") + "; 0")
    rules = "{runOnly: ['wcag2a', 'wcag2aa', 'best-practice']}"
    found = browser.ask(f"axe.run(document, {rules}).then(r => JSON.stringify(r.violations))")
    told = {one["id"]: one["nodes"][0]["html"][:200] for one in json.loads(found)}
    assert told == {}


@needs_browser
def test_a_button_shows_the_other_language(browser):
    browser.ask("show('en'); document.querySelector('[data-show=ko]').click()")
    shown = "document.querySelector('main').checkVisibility()"
    assert not browser.ask(shown) and browser.ask("document.documentElement.lang") == "ko"
    assert browser.ask("document.activeElement.dataset.show") == "ko"
    assert "제목" in browser.ask("document.title")


@needs_browser
def test_a_link_into_the_other_language_shows_it(browser):
    browser.ask("show('en'); location.hash = '#ko-runs'")
    browser.ask("new Promise(done => setTimeout(done, 100))")
    assert browser.ask("document.documentElement.lang") == "ko"


@needs_browser
def test_a_table_is_sorted_by_numbers_and_searched(browser):
    browser.ask("show('en')")
    table = "document.getElementById('en-runs-table')"
    click = f"{table}.querySelectorAll('th button')[4].click()"
    read = f"[...{table}.tBodies[0].rows].map(row => Number(row.cells[4].dataset.key))"
    for direction in ("ascending", "descending"):
        browser.ask(click)
        values = [value for value in browser.ask(read) if value]
        assert values == sorted(values, reverse=direction == "descending") and len(values) == 14
        assert browser.ask(f"{table}.querySelectorAll('th')[4].ariaSort") == direction
    field = "document.querySelector('[data-search=en-runs-table]')"
    event = "dispatchEvent(new Event('input', {bubbles: true}))"
    browser.ask(f"{field}.value = 'missing'; {field}.{event}")
    assert browser.ask(f"[...{table}.tBodies[0].rows].filter(row => !row.hidden).length") == 1


@needs_browser
def test_in_print_tables_are_whole(browser):
    browser.show(1000, 900, medium="print")
    box = "document.querySelector('[data-article=en] .whole')"
    browser.ask("show('en')")
    assert browser.ask(f"{box}.scrollHeight <= {box}.clientHeight + 1")
    assert not browser.ask("document.querySelector('.contents').checkVisibility()")
