"""An explanation as text for a terminal of 100 columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from ablation.findings.finding import SEVERITIES, SIDES
from ablation.findings.texts import Texts
from ablation.settings import BOOKKEEPING

WIDTH = 100
NAME, SIDE, CLASS = 29, 29, 10
LABEL, AMOUNT = 30, 20
BARS = " ▁▂▃▄▅▆▇█"
Said = Mapping[str, Any]


def render(said: Said, texts: Texts, every: bool = False) -> str:
    """The whole explanation.

    Args:
        said: What `explain_study` or `explain_files` returned.
        texts: The language.
        every: Whether bookkeeping is listed instead of folded into a line.
    """
    parts = [
        _heading(said, texts),
        _differences(said, texts, every),
        _findings(said, texts),
        _claims(said, texts),
        _quantities(said, texts),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


# --- Text that knows how wide it is ------------------------------------------------------------


def width_of(text: str) -> int:
    """Columns that a text takes: two for each Korean letter."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, columns: int) -> str:
    """The text with blanks up to a width."""
    return text + " " * max(0, columns - width_of(text))


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most so many columns, broken at blanks; words that are longer are cut."""
    lines: list[str] = []
    for word in text.split():
        while width_of(word) > columns:
            lines.append(_head(word, columns))
            word = word[len(lines[-1]) :]
        if lines and width_of(lines[-1]) + 1 + width_of(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def _head(word: str, columns: int) -> str:
    used = 0
    for at, letter in enumerate(word):
        used += width_of(letter)
        if used > columns:
            return word[:at]
    return word


def _indented(text: str, first: str, rest: str) -> list[str]:
    lines = wrap(text, WIDTH - width_of(first))
    return [(first if at == 0 else rest) + line for at, line in enumerate(lines)]


def _row(cells: Sequence[tuple[str, int]]) -> list[str]:
    """The lines of a table row; long cells are wrapped."""
    wrapped = [wrap(text, columns - 1) for text, columns in cells]
    height = max(map(len, wrapped))
    lines = []
    for at in range(height):
        parts = [
            pad(cell[at] if at < len(cell) else "", columns)
            for cell, (_, columns) in zip(wrapped, cells, strict=True)
        ]
        lines.append(("  " + "".join(parts)).rstrip())
    return lines


# --- Heading -----------------------------------------------------------------------------------


def _heading(said: Said, texts: Texts) -> list[str]:
    files = {side: PurePath(said["files"][side]) for side in SIDES}
    name = said["study"] or f"{files['current'].name}, {files['backup'].name}"
    facts = {f"{side}_dialect": said["dialects"][side] for side in SIDES}
    facts |= {side: files[side].name for side in SIDES}
    lines = [texts("explain.heading", name=name), "=" * 40, texts("explain.files", **facts)]
    if len({path.parent for path in files.values()}) == 1 and str(files["current"].parent) != ".":
        lines.append(texts("explain.folder", folder=files["current"].parent))
    lines += [_data(said, texts), _model(said["architecture"], texts)]
    return [part for line in lines for part in wrap(line, WIDTH)]


def _data(said: Said, texts: Texts) -> str:
    data = said["data"]
    known = data["num_labels_from"] or "unknown"
    labels = texts(f"explain.labels_from_{known}" if known != "unknown" else "explain.labels_unknown",
                   labels=data["num_labels"])
    if data["origin"] == "profile":
        facts = {"rows": texts.as_number(data["pool"]), "profile": data["profile"]}
        return texts("explain.profile", labels=data["num_labels"], **facts)
    if data["origin"] == "stated":
        facts = {"rows": texts.as_number(data["rows"]), "pool": texts.as_number(data["pool"])}
        return texts("explain.stated", labels=labels, **facts)
    hint = texts(f"explain.nominal_hint_{'study' if said['study'] else 'files'}")
    return texts("explain.nominal", hint=hint, labels=labels)


def _model(facts: Said, texts: Texts) -> str:
    if facts["missing"]:
        key = "explain.layers_only" if facts["layers"] else "explain.no_model"
        return texts(key, missing=", ".join(facts["missing"]), layers=facts["layers"])
    return texts(
        "explain.model",
        family=facts["family"],
        layers=facts["layers"],
        hidden=facts["hidden"],
        parameters=texts.as_number(facts["parameters"]),
    )


# --- Differences -------------------------------------------------------------------------------


def _differences(said: Said, texts: Texts, every: bool) -> list[str]:
    rows = said["differences"]
    if not rows:
        return [texts("explain.no_differences")]
    shown = [d for d in rows if d["class"] != BOOKKEEPING]
    folded = [d for d in rows if d["class"] == BOOKKEEPING]
    lines = [texts("explain.differences", count=len(shown)), ""]
    heads = [(texts("explain.setting"), NAME), (texts("explain.current"), SIDE)]
    heads += [(texts("explain.backup"), SIDE), (texts("explain.acts_on"), CLASS)]
    lines += _row(heads)
    for difference in shown:
        lines += _difference(difference, said, texts)
    if folded and every:
        lines += ["", "  " + texts("explain.bookkeeping_all")]
        for difference in folded:
            lines += _difference(difference, said, texts)
    elif folded:
        names = ", ".join(difference["setting"] for difference in folded)
        text = texts("explain.bookkeeping", count=len(folded), names=names)
        lines += ["", *_indented(text, "  ", "  ")]
    return lines


def _difference(difference: Said, said: Said, texts: Texts) -> list[str]:
    name, lines = difference["setting"], []
    if width_of(name) >= NAME:
        lines, name = [f"  {name}"], ""
    cells = [(name, NAME)]
    cells += [(_cell(difference[side], side, said, texts), SIDE) for side in SIDES]
    return lines + _row([*cells, (texts(f"class.{difference['class']}"), CLASS)])


def _cell(found: Said, side: str, said: Said, texts: Texts) -> str:
    """A value and where it comes from."""
    return f"{texts.as_value(found['value'])} ({_origin(found, side, said, texts)})"


def _origin(found: Said, side: str, said: Said, texts: Texts) -> str:
    if found["line"] is not None:
        others = [str(other["line"]) for other in found.get("also") or ()]
        lines = ", ".join([str(found["line"]), *others])
        return f"{PurePath(said['files'][side]).name}:{lines}"
    if found["origin"] == "derived":
        return texts("explain.derived", key=found["key"])
    if found["key"]:
        return texts("explain.default", library=found["key"])
    return texts("explain.default_absent")


# --- Findings ----------------------------------------------------------------------------------


def _findings(said: Said, texts: Texts) -> list[str]:
    found = said["findings"]
    if not found:
        return [texts("explain.no_findings")]
    counts = {f"{s}s": sum(f["severity"] == s for f in found) for s in SEVERITIES}
    lines = [texts("explain.findings", **counts)]
    for finding in found:
        lines += ["", *_finding(finding, said, texts)]
    return lines


def _finding(finding: Said, said: Said, texts: Texts) -> list[str]:
    language = texts.messages.language
    mark = texts(f"severity.{finding['severity']}")
    first = f"  {mark}  "
    lines = _indented(finding["title"][language], first, " " * width_of(first))
    lines += _indented(finding["text"][language], "      ", "      ")
    where = places(finding["places"], said, texts)
    return lines + (_indented(f"[{finding['id']}] {where}", "      ", "      "))


def places(found: Iterable[Said], said: Said, texts: Texts) -> str:
    """Lines of both files, and the libraries whose defaults count."""
    parts, libraries = [], []
    for side in SIDES:
        mine = [place for place in found if place["side"] == side]
        lines = sorted({place["line"] for place in mine if place["line"] is not None})
        if lines:
            name = PurePath(said["files"][side]).name
            parts.append(f"{name}:{', '.join(map(str, lines))}")
        libraries += [place["key"] for place in mine if place["line"] is None and place["key"]]
    named = list(dict.fromkeys(libraries))
    return "; ".join(parts + [texts("explain.default", library=name) for name in named])


# --- Claims ------------------------------------------------------------------------------------


def _claims(said: Said, texts: Texts) -> list[str]:
    if not said["claims"]:
        return []
    lines = [texts("explain.claims")]
    for claim in said["claims"]:
        lines += ["", *_claim(claim, texts)]
    return lines


def _claim(claim: Said, texts: Texts) -> list[str]:
    verdict = f"  {texts('verdict.' + claim['verdict'])}  "
    text = (claim["text"] or {}).get(texts.messages.language) or (claim["text"] or {}).get("en")
    lines = _indented(text or claim["id"], verdict, " " * width_of(verdict))
    unit = _unit_of(claim)
    computed = texts.bounds(claim["interval_low"], claim["interval_high"], unit)
    claimed = texts.bounds(claim["low"], claim["high"], unit)
    detail = f"{claim['quantity']}: {texts('explain.claimed')} {claimed}, {texts('explain.is')} {computed}"
    if claim["reference"]:
        values = (claim["arm_value"], claim["reference_value"])
        facts = {"arm": claim["arm"], "reference": claim["reference"]}
        facts |= {"arm_value": texts.as_number(values[0])}
        facts |= {"reference_value": texts.as_number(values[1])}
        detail += f" ({texts('explain.of_contrast', **facts)})"
    else:
        detail += f" ({claim['arm']})"
    source = claim["source"] or {}
    where = f" — {source['file']}:{source['lines']}" if source else ""
    return lines + _indented(detail + where, "      ", "      ")


def _unit_of(claim: Said) -> str:
    return {"factor": "times", "relative_reduction": "percent"}.get(claim["unit"], "number")


# --- Quantities --------------------------------------------------------------------------------


def _quantities(said: Said, texts: Texts) -> list[str]:
    lines = [texts("explain.quantities"), ""]
    heads = [("", LABEL), (texts("explain.current"), AMOUNT), (texts("explain.backup"), AMOUNT)]
    lines += _row([*heads, (texts("explain.ratio"), AMOUNT)])
    for quantity in said["quantities"]:
        lines += _quantity(quantity, texts)
    lines += ["", "  " + texts("explain.curves")]
    top = max(max(said["curves"][side]["rate"]) for side in SIDES) or 1.0
    for side in SIDES:
        lines.append(f"  {pad(texts.as_side(side), 9)}{sparkline(said['curves'][side]['rate'], top)}")
    return lines


def _quantity(quantity: Said, texts: Texts) -> list[str]:
    language, show = texts.messages.language, getattr(texts, f"as_{quantity['unit']}")
    cells = [(quantity["label"][language], LABEL)]
    for side in SIDES:
        value = show(quantity[side])
        if side in quantity["at_most"] and quantity[side] is not None:
            value = texts("explain.at_most", value=value)
        cells.append((value, AMOUNT))
    ratio = texts.bounds(quantity["ratio_low"], quantity["ratio_high"], "times")
    label = quantity["label"][language]
    indent = " " * (len(label) - len(label.lstrip()))
    cells[0] = (label.strip(), LABEL - len(indent))
    lines = [f"  {indent}{line[2:]}" for line in _row([*cells, (ratio, AMOUNT)])]
    formula = quantity["formula"][language]
    return lines + ([f"  {indent}    = {formula}"] if formula else [])


def sparkline(values: Sequence[float], top: float) -> str:
    """The values as bars, in shares of `top`."""
    steps = len(BARS) - 1
    return "".join(BARS[min(steps, round(steps * value / top))] for value in values)
