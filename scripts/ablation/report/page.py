"""The report as one page of HTML: the same Markdown in each language, its figures inside.

What a reader would sort or search stands in it whole: every run and every setting. It asks nothing
of any other machine, and says so to the browser. All text comes through Markdown without HTML or
through a template that escapes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from ablation.dialects.reader import DEFAULT, Value
from ablation.project import REPORT
from ablation.report.figures.dark import dark_rules, without_style
from ablation.report.report import render_report
from ablation.report.sources import Sources
from ablation.results import Results
from ablation.settings.catalogue import group_of, in_arm
from ablation.words.catalogue import Messages, anchor, plain, short_value, smallest_plain

TEMPLATE = "report.html.j2"
# Of metrics.csv: what the table of all runs shows beside the metric, and how it is said.
_COLUMNS = {
    "quality.selected.eval_macro_f1": "eval_macro_f1",
    "quality.selected.eval_loss": "eval_loss",
    "cost.train_runtime": "train_runtime",
    "cost.peak_memory_bytes": "peak_memory_bytes",
    "optimisation.clipped_share": "clipped_share",
}


# In a drawing: the names that no part of it uses, and the blanks at the beginning of lines.
_UNUSED = re.compile(r'\sid="(?:[xy]tick|line2d|text|patch)_\d+"|(?<=\n)\s+')


# Blanks at which no line ends: of "n = 3", "43.7% ± 4.1", "[+23.4, +35.2]".
_UNBROKEN = re.compile(
    r"(?<=\bn) (?== \d)|(?<=\bn =) (?=\d)| (?=± )|(?<= ±) | (?=[+−\d][\d.%×]*\])"
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table that can be sorted: what it shows, and what it is sorted by."""

    text: str
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that can be sorted and searched.

    Attributes:
        name: By which links find it.
        title: Its heading.
        columns: The heads of its columns.
        rows: Its cells.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A heading in the table of contents."""

    level: int
    name: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Article:
    """The report in one language, as HTML that is safe.

    Attributes:
        language: The language.
        title: Its title.
        head: All before the picture: title, purpose, warnings, the answer.
        picture: The waterfall; empty before there are runs.
        lines: The first lines of the patch; empty where there are none.
        body: What follows.
        contents: Its headings.
        tables: What stands whole only here.
        words: The page's own words.
    """

    language: str
    title: str
    head: Markup
    picture: Markup
    lines: Markup
    body: Markup
    contents: Sequence[Entry]
    tables: Sequence[Table]
    words: Mapping[str, str]


def render_page(languages: Sequence[Sources], results: Results) -> str:
    """The page of a report.

    Args:
        languages: What the report is made from, once in each language.
        results: Where its figures are, and where the page will lie.
    """
    articles = [
        _article(one, render_report(one, results.figures, results.page), results.analysis)
        for one in languages
    ]
    drawings = [str(part) for one in articles for part in (one.picture, one.body)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(REPORT),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    script = (REPORT / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(TEMPLATE).render(
        articles=articles,
        style=Markup((REPORT / "report.css").read_text(encoding="utf-8")),
        dark=Markup("".join(dark_rules("".join(drawings)))),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )


# --- Markdown -----------------------------------------------------------------------------------


def _article(sources: Sources, text: str, folder: Path) -> Article:
    language, t = sources.messages.language, sources.messages
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    names = _name_headings(tokens, language)
    shown = _Shown(parser, folder, language)
    blocks = list(shown.blocks(tokens))
    first = next((at for at, block in enumerate(blocks) if block.kind == "h2"), len(blocks))
    answer, rest = blocks[:first], blocks[first:]
    parts: dict[str, list[str]] = {"head": [], "picture": [], "lines": []}
    part = "head"
    for block in answer:
        if block.kind == "picture":
            part = "picture"
        elif part == "picture" and block.kind == "p":
            part = "lines"
        parts[part].append(block.html)
    words = {key: t(f"page.{key}") for key in ("contents", "search", "language", "skip")}
    tables = [_runs_table(sources), _settings_table(sources)]
    return Article(
        language=language,
        title=names[0].title if names else "",
        head=Markup("".join(parts["head"])),
        picture=Markup("".join(parts["picture"])),
        lines=Markup("".join(parts["lines"])),
        body=Markup("".join(block.html for block in rest)),
        contents=[
            *(one for one in names if one.level == 2),
            *(Entry(level=2, name=f"{language}-{one.name}", title=one.title) for one in tables),
        ],
        tables=tables,
        words=words,
    )


def _name_headings(tokens: Sequence[Token], language: str) -> list[Entry]:
    """Give each heading the name by which links find it: as GitHub does, after its language."""
    found: dict[str, Entry] = {}
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        title = plain(inline.content)
        name = base = f"{language}-{anchor(title)}"
        count = 0
        while name in found:
            count += 1
            name = f"{base}-{count}"
        opening.attrSet("id", name)
        found[name] = Entry(level=int(opening.tag[1]), name=name, title=title)
    return list(found.values())


@dataclass(frozen=True)
class _Block:
    kind: str
    html: str


class _Shown:
    """Markdown's blocks as HTML: figures inside, tables that scroll, changes in color."""

    def __init__(self, parser: MarkdownIt, folder: Path, language: str) -> None:
        self.parser = parser
        self.folder = folder
        self.language = language
        self.drawn = 0

    def blocks(self, tokens: Sequence[Token]) -> Iterator[_Block]:
        """Each block at the top, and what it is."""
        group: list[Token] = []
        for token in tokens:
            group.append(token)
            if token.level == 0 and token.nesting <= 0:
                yield self._block(group)
                group = []

    def _block(self, group: list[Token]) -> _Block:
        first = group[0]
        inline = group[1] if len(group) > 1 else None
        children = (inline.children or []) if inline and inline.type == "inline" else []
        for token in group:
            for child in token.children or []:
                self._point(child)
                if child.type == "text":
                    child.content = _UNBROKEN.sub("\N{NO-BREAK SPACE}", child.content)
        if len(children) == 1 and children[0].type == "image":
            return _Block("picture", self._picture(children[0]))
        if first.type == "fence" and first.info.strip() == "diff":
            return _Block("fence", _changes(first.content))
        text: str = self.parser.renderer.render(group, self.parser.options, {})
        if first.type == "table_open":
            return _Block("table", f'<div class="table" tabindex="0">{text}</div>')
        if first.type == "paragraph_open" and len(children) >= 2 and children[0].type == "em_open":
            kind = "caption" if children[-1].type == "em_close" else "p"
            return _Block(kind, text.replace("<p>", '<p class="caption">', 1))
        return _Block({"heading_open": first.tag, "paragraph_open": "p"}.get(first.type, ""), text)

    def _point(self, token: Token) -> None:
        """Let a link to a heading find it in its own language."""
        target = str(token.attrs.get("href", ""))
        if token.type == "link_open" and target.startswith("#"):
            token.attrSet("href", f"#{self.language}-{target[1:]}")

    def _picture(self, image: Token) -> str:
        """The figure itself, with names of its own for its parts."""
        file = self.folder / str(image.attrs["src"])
        alt = html.escape("".join(part.content for part in image.children or []))
        if not file.is_file():
            return f"<p>{alt}</p>"
        self.drawn += 1
        drawing = without_style(file.read_text(encoding="utf-8"))
        drawing = drawing[drawing.index("<svg") :]
        own = f"{self.language}{self.drawn}-"
        drawing = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{own}", drawing)
        drawing = _UNUSED.sub("", re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.S))
        drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)
        return f'<div class="figure" tabindex="0">{drawing}</div>'


def _changes(diff: str) -> str:
    """The lines of a patch, those that go and those that come marked."""
    lines = []
    for line in diff.splitlines():
        shown = html.escape(line)
        mark = {"+": "ins", "-": "del"}.get(line[:1])
        lines.append(f"<{mark}>{shown}</{mark}>" if mark else shown)
    return f'<pre class="diff" tabindex="0"><code>{chr(10).join(lines)}</code></pre>'


# --- What stands whole only here -----------------------------------------------------------------


def _runs_table(sources: Sources) -> Table:
    """Every run once, as metrics.csv has it, those on fresh seeds with them."""
    t, runs, metric = sources.messages, sources.every_run, sources.metric
    shown = {f"quality.selected.{metric}": metric, **_COLUMNS}
    shown = {column: name for column, name in shown.items() if column in runs}
    kinds = {False: t("page.compares"), True: t("page.confirms")}
    columns = [t("column.arm"), t("page.seed"), t("page.purpose"), t("page.status")]
    rows = [
        [
            Cell(text=plain(row["title"])),
            Cell(text=str(row["seed"]), key=str(row["seed"])),
            Cell(text=kinds[row["confirms"]]),
            Cell(text=t(f"page.{row['status']}")),
            *(_number(sources, row[column], name) for column, name in shown.items()),
        ]
        for row in runs.to_dict("records")
    ]
    columns += [t(f"metric.{name}") for name in shown.values()]
    return Table(name="runs", title=t("page.runs", n=len(rows)), columns=columns, rows=rows)


def _number(sources: Sources, value: Any, name: str) -> Cell:
    t = sources.messages
    number = None if pd.isna(value) else float(value)
    if name == "train_runtime":
        text = t.seconds(number)
    elif name == "peak_memory_bytes":
        text = t.memory(number)
    elif name == "clipped_share":
        text = t.percent(number, 0)
    else:
        text = t.score(number, name)
    return Cell(text=text, key="" if number is None else repr(number))


def _settings_table(sources: Sources) -> Table:
    """Every effective setting of both sides, with the line or the library that it comes from."""
    t = sources.messages
    sides = [side.settings for side in sources.study.sides.values()]
    differing = {difference.setting for difference in sources.study.differences}
    rows = []
    for name in dict.fromkeys(name for settings in sides for name in settings):
        label = t(f"setting.{name}") if t.has(f"setting.{name}") else ""
        group = t(f"group.{group_of(name)}") if in_arm(name) else t("page.bookkeeping")
        found = [settings.get(name, Value(None, "")) for settings in sides]
        small = smallest_plain([one.value for one in found])
        rows.append(
            [
                Cell(text=f"{name} {label}".strip()),
                Cell(text=group),
                *(Cell(text=_value(t, one, small)) for one in found),
                Cell(text=t("page.differs" if name in differing else "page.same")),
            ]
        )
    columns = [
        t("column.setting"),
        t("page.group"),
        t("side.current"),
        t("side.backup"),
        t("page.compared"),
    ]
    title = t("page.settings", n=len(rows))
    return Table(name="settings", title=title, columns=columns, rows=rows)


def _value(t: Messages, found: Value, small: float) -> str:
    """A setting's value, written as that of the other side, and where it comes from."""
    text = t("value.none") if found.value is None else short_value(found.value, small=small)
    text = text or t("value.empty")
    if found.line:
        return f"{text} ({Path(found.file or '').name}:{found.line})"
    return t("value.default", value=text) if found.origin == DEFAULT else text
