"""Facts about two configurations that need no training: a small function each.

To add one: write a function that takes a `Pair` and yields a `Finding` in the module of its topic,
name it in that module's `CHECKS`, and give it a title and a text in its `TEXTS`, in each language.
"""

from __future__ import annotations

from ablation.comparison.findings import (
    data,
    deepspeed,
    files,
    keys,
    lora,
    schedule,
    systems,
    versions,
)
from ablation.comparison.findings.finding import SEVERITIES, Finding, Pair, Place

TOPICS = (data, lora, schedule, deepspeed, systems, files, keys, versions)
CHECKS = tuple(check for topic in TOPICS for check in topic.CHECKS)

__all__ = ["CHECKS", "TOPICS", "Finding", "Pair", "Place", "find_findings"]


def find_findings(pair: Pair) -> list[Finding]:
    """All findings, the gravest first, in the order of the topics within a severity."""
    unread = {name for side in pair.sides.values() for name in side.assumed}
    found = [
        finding
        for check in CHECKS
        for finding in check(pair)
        if check in keys.CHECKS or unread.isdisjoint(finding.settings)
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
