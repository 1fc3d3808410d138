"""An explanation as text for a terminal of 100 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os.path import normpath
from pathlib import PurePath

from ablation.comparison.findings.finding import SEVERITIES, SIDES, Side
from ablation.comparison.findings.texts import bounds_text
from ablation.dialects.defaults import GUESS, NO_SUCH_STEP, SCRIPT
from ablation.documents.excerpt import ranges
from ablation.settings.catalogue import BOOKKEEPING, OTHER, SETTINGS
from ablation.study.explanation import (
    ClaimSaid,
    DifferenceSaid,
    Explanation,
    FindingSaid,
    ModelSaid,
    PlaceSaid,
    QuantitySaid,
    ValueSaid,
    VersionSaid,
    lines_by_file,
)
from ablation.words.catalogue import Messages, localized, smallest_plain
from ablation.words.terminal import pad, width_of, wrap

WIDTH = 100
NAME, SIDE, CLASS = 29, 29, 10
LABEL, AMOUNT = 30, 20
MOST_KEYS = 4
BARS = " ▁▂▃▄▅▆▇█"
Names = Mapping[str, str]


def render(said: Explanation, texts: Messages, every: bool = False) -> str:
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


# --- Lines --------------------------------------------------------------------------------------


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


def _heading(said: Explanation, texts: Messages) -> list[str]:
    files = {side: PurePath(said["files"][side]) for side in SIDES}
    name = said["study"] or f"{files['current'].name}, {files['backup'].name}"
    facts = {f"{side}_dialect": said["dialects"][side] for side in SIDES}
    facts |= {side: files[side].name for side in SIDES}
    lines = [texts("explain.heading", name=name), "=" * 40, texts("explain.files", **facts)]
    folders = {normpath(path.parent) for path in files.values()}
    if len(folders) == 1 and folders != {"."}:
        lines.append(texts("explain.folder", folder=folders.pop()))
    lines += [_kind(said, side, texts) for side in SIDES]
    lines += [_versions(said, texts), _data(said, texts), _model(said["architecture"], texts)]
    return [part for line in lines for part in wrap(line, WIDTH)]


def _kind(said: Explanation, side: Side, texts: Messages) -> str:
    """What is trained, to what end, and what speaks for the dialect in which it is written."""
    kind, keys = said["kinds"][side], said["speaks_for"][side]
    text = texts("explain.kind", side=texts.as_side(side), kind=kind["text"][texts.language])
    if not keys:
        return text
    shown = ", ".join(keys[:MOST_KEYS])
    told = {"dialect": said["dialects"][side], "keys": shown, "count": len(keys)}
    return text + " " + texts("explain.speaks_for", **told)


def _versions(said: Explanation, texts: Messages) -> str:
    """The releases that each side says it ran with, and those assumed for the others."""
    told = {side: said["versions"][side]["told"] for side in SIDES}
    assumed = {**said["versions"]["current"]["assumed"], **said["versions"]["backup"]["assumed"]}
    names = ", ".join(f"{library} {number}" for library, number in assumed.items())
    parts = [
        texts("explain.versions_told", side=texts.as_side(side), versions=", ".join(shown))
        for side in SIDES
        if (shown := [_version(one) for one in told[side]])
    ]
    parts += [texts("explain.versions_assumed", versions=names)] if names else []
    return texts("explain.versions", parts="; ".join(parts))


def _version(one: VersionSaid) -> str:
    place = f"{PurePath(one['file']).name}:{one['line']}" if one["line"] else one["file"]
    return f"{one['library']} {one['number']} ({place})"


def _data(said: Explanation, texts: Messages) -> str:
    data = said["data"]
    key = f"explain.labels_from_{data['num_labels_from']}"
    key = key if data["num_labels_from"] else "explain.labels_unknown"
    labels = texts(key, labels=data["num_labels"])
    if data["origin"] == "profile":
        facts = {"rows": texts.as_number(data["pool"]), "profile": data["profile"]}
        return texts("explain.profile", labels=data["num_labels"], **facts)
    if data["origin"] == "stated":
        facts = {"rows": texts.as_number(data["rows"]), "pool": texts.as_number(data["pool"])}
        return texts("explain.stated", labels=labels, **facts)
    hint = texts(f"explain.nominal_hint_{'study' if said['study'] else 'files'}")
    return texts("explain.nominal", hint=hint, labels=labels)


def _model(facts: ModelSaid, texts: Messages) -> str:
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


def names_of(said: Explanation) -> dict[str, str]:
    """What each file is called: its name, with its folder where two files have the same name."""
    places: list[PlaceSaid] = [d[side] for d in said["differences"] for side in SIDES]
    places += [place for finding in said["findings"] for place in finding["places"]]
    files = {*said["files"].values(), *(place["file"] for place in places if place["file"])}
    paths = [PurePath(file) for file in sorted(files)]
    common = Counter(path.name for path in paths)
    return {
        str(path): path.name if common[path.name] == 1 else "/".join(path.parts[-2:])
        for path in paths
    }


# --- Differences -------------------------------------------------------------------------------


def _differences(said: Explanation, texts: Messages, every: bool) -> list[str]:
    rows = said["differences"]
    if not rows:
        if said["not_read"]:
            reasons = "; ".join(said["not_read"])
            return wrap(texts("explain.no_known_differences", reasons=reasons), WIDTH)
        return [texts("explain.no_differences")]
    shown = [d for d in rows if d["class"] != BOOKKEEPING]
    folded = [d for d in rows if d["class"] == BOOKKEEPING]
    lines = [texts("explain.differences", count=len(shown)), ""]
    heads = [(texts("explain.setting"), NAME), (texts("explain.current"), SIDE)]
    heads += [(texts("explain.backup"), SIDE), (texts("explain.acts_on"), CLASS)]
    lines += _row(heads)
    for difference in shown:
        lines += _difference(difference, texts)
    if folded and every:
        lines += ["", "  " + texts("explain.bookkeeping_all")]
        for difference in folded:
            lines += _difference(difference, texts)
    elif folded:
        left = ", ".join(difference["setting"] for difference in folded)
        text = texts("explain.bookkeeping", count=len(folded), names=left)
        lines += ["", *_indented(text, "  ", "  ")]
    return lines


def _difference(difference: DifferenceSaid, texts: Messages) -> list[str]:
    name, lines = difference["setting"].removeprefix(OTHER), []
    if difference["setting"].startswith(OTHER) and name in SETTINGS:
        name = texts("explain.key_called", key=name)
    if width_of(name) >= NAME:
        lines, name = [f"  {name}"], ""
    cells = [(name, NAME)]
    for side, value in values_of(difference, texts).items():
        cells.append((f"{value} ({_origin(difference[side], texts)})", SIDE))
    return lines + _row([*cells, (texts(f"class.{difference['class']}"), CLASS)])


def values_of(difference: DifferenceSaid, texts: Messages) -> dict[Side, str]:
    """Both values, written alike; a warmup below 1 is told as the share of the steps that it is."""
    small, told = smallest_plain([difference[side]["value"] for side in SIDES]), {}
    for side in SIDES:
        value = difference[side]["value"]
        told[side] = texts.as_value(value, small)
        if difference["setting"] == "warmup_steps" and isinstance(value, float) and 0 < value < 1:
            told[side] = texts("explain.share", value=told[side])
    return told


def _origin(found: ValueSaid, texts: Messages) -> str:
    if found["line"] is not None:
        lines = lines_by_file([found, *found["also"]]).items()
        return "; ".join(f"{file}:{', '.join(map(str, numbers))}" for file, numbers in lines)
    if found["origin"] == "derived" and found["key"] and found["key"] != GUESS:
        return texts("explain.derived", key=found["key"])
    return _default(found["key"], texts) if found["key"] else texts("explain.default_absent")


# --- Findings ----------------------------------------------------------------------------------


def _findings(said: Explanation, texts: Messages) -> list[str]:
    found = said["findings"]
    if not found:
        return [texts("explain.no_findings")]
    counts = {f"{s}s": sum(f["severity"] == s for f in found) for s in SEVERITIES}
    lines = [texts("explain.findings", **counts)]
    for finding in found:
        lines += ["", *_finding(finding, texts, names_of(said))]
    return lines


def _finding(finding: FindingSaid, texts: Messages, names: Names) -> list[str]:
    language = texts.language
    mark = texts(f"severity.{finding['severity']}")
    first = f"  {mark}  "
    lines = _indented(finding["title"][language], first, " " * width_of(first))
    lines += _indented(finding["text"][language], "      ", "      ")
    where = places(finding["places"], texts, names)
    tail = f"[{finding['id']}] {where}"
    return lines + _indented(tail, "      ", "      ")


def places(found: Sequence[PlaceSaid], texts: Messages, names: Names) -> str:
    """The lines of each file, and the libraries whose defaults count."""
    lines = lines_by_file(found, names).items()
    parts = [f"{name}:{ranges(numbers, shortest=3)}" for name, numbers in lines]
    defaults = {_default(p["key"], texts): None for p in found if p["line"] is None and p["key"]}
    return "; ".join([*parts, *defaults])


def _default(library: str, texts: Messages) -> str:
    nobodys = {NO_SUCH_STEP: "absent", SCRIPT: "script", GUESS: "guess"}.get(library)
    if nobodys:
        return texts(f"explain.default_{nobodys}")
    return texts("explain.default", library=library.removeprefix("transformers."))


# --- Claims ------------------------------------------------------------------------------------


def _claims(said: Explanation, texts: Messages) -> list[str]:
    if not said["claims"]:
        return []
    lines = [texts("explain.claims")]
    for claim in said["claims"]:
        lines += ["", *_claim(claim, texts)]
    return lines


def _claim(claim: ClaimSaid, texts: Messages) -> list[str]:
    verdict = f"  {texts('verdict.' + claim['verdict'])}  "
    text = localized(claim["text"] or claim["id"], texts.language)
    lines = _indented(text, verdict, " " * width_of(verdict))
    unit = {"factor": "times", "relative_reduction": "percent"}.get(claim["unit"], "number")
    facts = {
        "quantity": claim["quantity"],
        "claimed": bounds_text(texts, claim["low"], claim["high"], unit),
        "computed": bounds_text(texts, claim["interval_low"], claim["interval_high"], unit),
    }
    detail = texts("explain.claim", **facts)
    if claim["reference"]:
        detail += " " + texts(
            "explain.claim_of",
            arm=claim["arm"],
            reference=claim["reference"],
            arm_value=texts.as_number(claim["arm_value"]),
            reference_value=texts.as_number(claim["reference_value"]),
        )
    return lines + _indented("; ".join(filter(None, (detail, claim["source"]))), *["      "] * 2)


# --- Quantities --------------------------------------------------------------------------------


def _quantities(said: Explanation, texts: Messages) -> list[str]:
    lines = [texts("explain.quantities"), ""]
    heads = [("", LABEL), (texts("explain.current"), AMOUNT), (texts("explain.backup"), AMOUNT)]
    lines += _row([*heads, (texts("explain.ratio"), AMOUNT)])
    for quantity in said["quantities"]:
        lines += _quantity(quantity, texts)
    lines += ["", "  " + texts("explain.curves")]
    top = max((rate for side in SIDES for rate in said["curves"][side]["rate"]), default=1.0) or 1.0
    for side in SIDES:
        bars = sparkline(said["curves"][side]["rate"], top)
        lines.append(f"  {pad(texts.as_side(side), 9)}{bars}".rstrip())
    return lines


def _quantity(quantity: QuantitySaid, texts: Messages) -> list[str]:
    language, unit = texts.language, quantity["unit"]
    amounts = [quantity[side] for side in SIDES]
    shown = texts.numbers(*amounts) if unit == "number" else map(_show(texts, unit), amounts)
    cells = [(quantity["label"][language], LABEL)]
    for side, value in zip(SIDES, shown, strict=True):
        if side in quantity["at_most"] and quantity[side] is not None:
            value = texts("explain.at_most", value=value)
        cells.append((value, AMOUNT))
    ratio = bounds_text(texts, quantity["ratio_low"], quantity["ratio_high"], "times")
    formula = quantity["formula"][language]
    return _row([*cells, (ratio, AMOUNT)]) + ([f"      = {formula}"] if formula else [])


def _show(texts: Messages, unit: str) -> Callable[[float | None], str]:
    show: Callable[[float | None], str] = getattr(texts, f"as_{unit}")
    return show


def sparkline(values: Sequence[float], top: float) -> str:
    """The values as bars, in shares of `top`."""
    steps = len(BARS) - 1
    return "".join(BARS[min(steps, round(steps * value / top))] for value in values)
