"""An explanation as a comment for code review: what changes, what only looks so, what to check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Final

from ablation.comparison.findings.finding import BACKUP, CURRENT, INFO, Side
from ablation.documents.entries import Entry, load_entries
from ablation.masking import hide
from ablation.settings.catalogue import BOOKKEEPING, NO_OP
from ablation.study.explain_text import names_of, places, values_of
from ablation.study.explanation import DifferenceSaid, Explanation, ValueSaid
from ablation.words.catalogue import (
    Messages,
    cell,
    code,
    in_code,
    prose,
    without_html,
)

# The newer side first in `said` is "current"; a review reads from old to new.
OLD: Final = BACKUP
NEW: Final = CURRENT
BOTH: Final[tuple[Side, ...]] = (OLD, NEW)


def render_comment(
    said: Explanation, names: Mapping[str, str], texts: Messages, t: Messages
) -> str:
    """The explanation in Markdown.

    Args:
        said: What `explain_files` or `explain_study` returned; its files must still be there.
        names: What to call each side, such as a revision; "" for the name of its file.
        texts: The texts of explanations.
        t: The command's texts.
    """
    file = PurePath(said["files"][NEW]).name
    called: dict[str, str] = {
        side: names[side] or PurePath(said["files"][side]).name for side in BOTH
    }
    real = [d for d in said["differences"] if d["class"] not in (BOOKKEEPING, NO_OP)]
    parts = [
        [t("comment.title", file=file, old=called[OLD], new=called[NEW])],
        _changes(real, called, texts, t),
        _only_looks(said, t),
        _checks(said, texts, t),
        _facts(said, texts, t),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _changes(
    real: list[DifferenceSaid], called: Mapping[str, str], texts: Messages, t: Messages
) -> list[str]:
    if not real:
        return [t("comment.nothing")]
    heads = [t("comment.setting"), code(called[OLD]), code(called[NEW]), t("comment.acts_on")]
    lines = [t("comment.changes", count=len(real)), "", f"| {' | '.join(heads)} |"]
    lines.append("| --- | --- | --- | --- |")
    for d in real:
        shown = values_of(d, texts)
        values = [cell(_value(d[side], shown[side])) for side in BOTH]
        lines.append(
            f"| {code(d['setting'])} | {' | '.join(values)} | {texts('class.' + d['class'])} |"
        )
    return lines


def _value(found: ValueSaid, shown: str) -> str:
    """A value with its line, or with the word that it is a default."""
    where = f":{found['line']}" if found["line"] is not None else f", {found['origin']}"
    origin = f" <sub>{prose(PurePath(found['file']).name)}{where}</sub>" if found["file"] else ""
    return f"{prose(shown) if isinstance(found['value'], str) else without_html(shown)}{origin}"


# --- Changed to the eye only ---------------------------------------------------------------------


def _only_looks(said: Explanation, t: Messages) -> list[str]:
    found = list(changed_in_vain(said))
    if not found:
        return []
    lines = [t("comment.only_looks"), ""]
    for key, old, new, reason in found:
        lines.append(
            t(
                "comment.in_vain",
                key=in_code(key),
                old=in_code(old),
                new=in_code(new),
                reason=t(f"comment.{reason}"),
            )
        )
    return lines


def changed_in_vain(said: Explanation) -> Iterator[tuple[str, str, str, str]]:
    """Key, old text, new text and reason of each value that changed and changes nothing.

    The reasons: "no_effect" (other settings rule), "bookkeeping", "unread" (no one reads the key),
    "same" (it amounts to the same). Two dialects have no keys in common: nothing is told of them.
    """
    if said["dialects"][OLD] != said["dialects"][NEW]:
        return
    sides = {side: dict(load_entries(said["files"][side]).leaves()) for side in BOTH}
    unread = {p["key"] for f in said["findings"] for p in f["places"] if p["setting"] is None}
    for key in dict.fromkeys([*sides[OLD], *sides[NEW]]):
        old, new = (_spelled(sides[side].get(key)) for side in BOTH)
        if old == new:
            continue
        old, new = (str(hide(key, value)) for value in (old, new))
        classes = {d["class"] for d in said["differences"] if _rests_on(d, key)}
        if not classes:
            yield key, old, new, "unread" if key in unread else "same"
        elif classes <= {BOOKKEEPING, NO_OP}:
            yield key, old, new, "no_effect" if NO_OP in classes else "bookkeeping"


def _spelled(entry: Entry | None) -> str:
    """A value as it stands in the file; a dash where the key is absent."""
    if entry is None:
        return "–"
    return entry.text if entry.text is not None else str(entry.plain())


def _rests_on(difference: DifferenceSaid, key: str) -> bool:
    """Whether either side's value comes from the key, or from one above or below it."""
    keys = [k for side in BOTH for k in _keys(difference[side])]
    return any(k == key or k.startswith(f"{key}.") or key.startswith(f"{k}.") for k in keys)


def _keys(found: ValueSaid) -> list[str]:
    others = [other["key"] for other in found.get("also") or ()]
    return [key for key in (found["key"], *others) if key and found["file"]]


# --- Findings ------------------------------------------------------------------------------------


def _checks(said: Explanation, texts: Messages, t: Messages) -> list[str]:
    found = [f for f in said["findings"] if f["severity"] != INFO]
    if not found:
        return [t("comment.no_checks")]
    language = texts.language
    lines = [t("comment.checks"), ""]
    for finding in found:
        mark = texts(f"severity.{finding['severity']}")
        where = places(finding["places"], texts, names_of(said))
        text = f"{finding['text'][language]} ({where})" if where else finding["text"][language]
        lines.append(f"- **{mark}: {without_html(finding['title'][language])}**  ")
        lines.append(f"  {without_html(' '.join(text.split()))}")
    return lines


def _facts(said: Explanation, texts: Messages, t: Messages) -> list[str]:
    found = [f for f in said["findings"] if f["severity"] == INFO]
    if not found:
        return []
    language = texts.language
    lines = [f"<details><summary>{t('comment.facts', count=len(found))}</summary>", ""]
    titles = (" ".join(finding["title"][language].split()) for finding in found)
    lines += [f"- {without_html(title)}" for title in titles]
    return [*lines, "", "</details>"]
