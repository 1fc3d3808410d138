"""What the report says of the kind of training, and of the releases here and in the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ablation.comparison.findings.finding import SIDES
from ablation.report.sources import Sources
from ablation.study.explanation import VersionSaid
from ablation.words.catalogue import code, prose


def kind_lines(sources: Sources) -> list[str]:
    """The kind of training: once where both sides have the same."""
    t = sources.messages
    if sources.findings is None:
        return []
    names = [prose(sources.findings["kinds"][side]["text"][t.language]) for side in SIDES]
    if names[0] == names[1]:
        return [t("method.kind", kind=names[0])]
    return [t("method.kinds", current=names[0], backup=names[1])]


def version_lines(sources: Sources) -> list[str]:
    """The releases that runs here used, those the source ran with, and what is known to differ."""
    t, start = sources.messages, "environment.versions."
    runs = sources.every_run
    columns = sorted(name for name in runs.columns if name.startswith(start))
    here = {c.removeprefix(start): v for c in columns if (v := values_of(runs, c))}
    if not here:
        return []
    pairs = t.listing([f"{name} {' / '.join(numbers)}" for name, numbers in here.items()])
    said = sources.findings
    if said is None or not any(said["versions"][side]["told"] for side in SIDES):
        return [t("method.versions_here", versions=pairs)]
    source = [_source_line(sources, side, said["versions"][side]["told"]) for side in SIDES]
    known = [
        f"{prose(finding['title'][t.language])} ({prose(_change(finding['evidence']))})"
        for finding in said["findings"]
        if finding["id"].startswith("version_")
    ]
    differences = "; ".join(known) or t("method.no_version_differences")
    return [
        t(
            "method.versions",
            versions=pairs,
            source="; ".join(source),
            differences=differences,
        )
    ]


def _source_line(sources: Sources, side: str, told: Sequence[VersionSaid]) -> str:
    t = sources.messages
    if not told:
        return t("method.source_side_unknown", side=t(f"side.{side}"))
    pairs = [f"{one['library']} {code(one['number'])}" for one in told]
    return t("method.source_side", side=t(f"side.{side}"), versions=t.listing(pairs))


def _change(evidence: Mapping[str, object]) -> str:
    """Where it was changed, with the number of the change."""
    changes = evidence.get("changes")
    return str(evidence.get("change") or "; ".join(changes if isinstance(changes, list) else ()))


def values_of(runs: pd.DataFrame, column: str) -> list[str]:
    """The values of a column of metrics.csv, each once."""
    return sorted({str(value) for value in runs[column].dropna()}) if column in runs else []
