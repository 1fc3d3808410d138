"""The tables of docs/reliability.md, each written by the campaign that measured it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def code() -> str:
    """The commit of the code that is tried."""
    command = ["git", "-C", str(PAGE.parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def keep(
    name: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    codes: Sequence[str] = (),
) -> None:
    """Show a campaign's table, and put it where the page has its marks.

    Args:
        name: The campaign: its table stands between `<!-- name -->` and `<!-- /name -->`.
        header: The names of the columns.
        rows: The table.
        codes: The commits of what was tried; by default this one.
    """
    found = table(header, rows)
    print(found, flush=True)
    text = PAGE.read_text(encoding="utf-8")
    when = f"Last run: {datetime.now(UTC):%Y-%m-%d}, of {', '.join(sorted(codes) or [code()])}."
    told = f"<!-- {name} -->\n{when}\n\n{found}\n<!-- /{name} -->"
    pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
    if not re.search(pattern, text, re.DOTALL):
        raise ValueError(f"docs/reliability.md has no place for {name}")
    PAGE.write_text(re.sub(pattern, lambda _: told, text, flags=re.DOTALL), encoding="utf-8")
