#!/usr/bin/env python3
"""Make packages.csv from Debian's package metadata.

    apt-cache dumpavail | python3 make_data.py > packages.csv

Columns: name, summary (the first line of the description), section. The same stanzas give the same
bytes in whatever order they come: packages are drawn by a hash of their name, never by chance.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

ROWS = 3000  # about: a section gets its share of the archive, rounded, and at least LEAST
LEAST = 3  # rows of the rarest section, so that each part of the split can have one
FIELD = re.compile(r"^(Package|Source|Section|Description):[ \t]*(.*?)[ \t]*$", re.MULTILINE)

Package = dict[str, str]


def read_packages(text: str) -> list[Package]:
    """The packages with a section, one a name, in the order of the hashes of their names."""
    stanzas = [dict(FIELD.findall(stanza)) for stanza in text.split("\n\n")]
    named = {p["Package"]: p for p in sorted(stanzas, key=str) if "Section" in p}
    return sorted(named.values(), key=lambda p: hashlib.sha256(p["Package"].encode()).hexdigest())


def queue(packages: Iterable[Package]) -> list[Package]:
    """One section's packages as they are drawn: one of each source, then a second of each, ...

    Forty siblings of one source so weigh as much as a package that stands alone, and a section
    made by a single source still fills its share. Of equal summaries only the first is kept.
    """
    distinct = {p.get("Description", "").casefold(): p for p in reversed(list(packages))}
    taken: Counter[str] = Counter()
    turns = []
    for position, package in enumerate(reversed(distinct.values())):
        source = package.get("Source", package["Package"]).split()[0]
        turns.append((taken[source], position, package))
        taken[source] += 1
    return [package for _, _, package in sorted(turns, key=lambda turn: turn[:2])]


def main() -> None:
    packages = read_packages(sys.stdin.read())
    sections = defaultdict(list)
    for package in packages:
        sections[package["Section"]].append(package)
    drawn = []
    for members in sections.values():
        share = round(ROWS * len(members) / len(packages))
        drawn += queue(members)[: max(share, LEAST)]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["name", "summary", "section"])
    for package in sorted(drawn, key=lambda p: p["Package"]):
        writer.writerow([package["Package"], package.get("Description", ""), package["Section"]])


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8")
    sys.stdout.reconfigure(encoding="utf-8")
    main()
