"""Rows of the check: what was expected, what was seen, and a table of them."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OK, MISSED, FAILED, LEFT_OUT = "ok", "not met", "failed", "left out"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that was looked at.

    Attributes:
        topic: "packages", "correctness", "resources", "leases", "speed" or "kernels".
        name: What was looked at.
        expected: What must be seen.
        seen: What was seen.
        state: One of the four states above.
        seconds: What it took.
        numbers: What was measured, for the JSON file.
    """

    topic: str
    name: str
    expected: str
    seen: str
    state: str
    seconds: float = 0.0
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A function that gives rows.

    Attributes:
        topic: The topic of its rows.
        name: Its own name, for the row that says that it failed or was left out.
        expected: What it must show.
        run: Yields (name, expected, seen, whether that is so, numbers).
        seconds: What it takes at most, for a GPU of 2022: it is left out when less is left.
        cuda: Whether it says something on a GPU only.
        needs: Packages that it cannot do without.
    """

    topic: str
    name: str
    expected: str
    run: Callable[[Any], Iterator[tuple[str, str, str, bool, dict[str, Any]]]]
    seconds: float
    cuda: bool = False
    needs: tuple[str, ...] = ("torch", "transformers", "peft", "deepspeed", "datasets")


@dataclass
class Runner:
    """Runs checks one after the other until the time is over; a failure stops none of the rest.

    Attributes:
        context: What checks get.
        deadline: `time.monotonic()` after which nothing is begun.
        cuda: Whether there is a GPU.
        missing: Packages that are not installed, or cannot do what is needed, and why.
        rows: What was seen so far.
    """

    context: Any
    deadline: float
    cuda: bool
    missing: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    def run(self, check: Check) -> None:
        """Run one check, or say why not."""
        begun = time.monotonic()
        reason = self._reason(check, self.deadline - begun)
        if reason:
            self._add(check, check.name, check.expected, reason, LEFT_OUT, begun, {})
            return
        try:
            for name, expected, seen, good, numbers in check.run(self.context):
                self._add(check, name, expected, seen, OK if good else MISSED, begun, numbers)
        except Exception as error:  # the next check must run
            (self.context.folder / f"{check.name.replace(' ', '-')}.error").write_text(
                traceback.format_exc()
            )
            seen = f"{type(error).__name__}: {str(error).strip()[-400:]}"
            self._add(check, check.name, check.expected, seen, FAILED, begun, {})

    def _reason(self, check: Check, left: float) -> str | None:
        absent = [f"{name}: {self.missing[name]}" for name in check.needs if name in self.missing]
        if absent:
            return "; ".join(absent)
        if check.cuda and not self.cuda:
            return "needs CUDA"
        if left < check.seconds:
            return f"{max(0, left):.0f} s are left and it may take {check.seconds:.0f} s"
        return None

    def _add(
        self,
        check: Check,
        name: str,
        expected: str,
        seen: str,
        state: str,
        begun: float,
        numbers: dict[str, Any],
    ) -> None:
        spent = time.monotonic() - begun
        row = Row(
            topic=check.topic,
            name=name,
            expected=expected,
            seen=seen,
            state=state,
            seconds=round(spent, 1),
            numbers=numbers,
        )
        self.rows.append(row)
        print(f"[{state}] {row.topic}: {name}: {seen}", flush=True)


def save(rows: list[Row], facts: dict[str, Any], folder: Path) -> None:
    """Write check.json and check.md."""
    found = {"facts": facts, "rows": [asdict(row) for row in rows]}
    (folder / "check.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    (folder / "check.md").write_text(table(rows, facts))


def table(rows: list[Row], facts: dict[str, Any]) -> str:
    """The rows as Markdown."""
    counts = ", ".join(
        f"{sum(row.state == state for row in rows)} {state}"
        for state in (OK, MISSED, FAILED, LEFT_OUT)
    )
    lines = [f"{len(rows)} rows: {counts}.", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "| topic | what | expected | seen | state | s |", "|---|---|---|---|---|---:|"]
    for row in rows:
        cells = (row.topic, row.name, row.expected, row.seen, row.state, f"{row.seconds:.0f}")
        lines.append(
            "| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in cells) + " |"
        )
    return "\n".join(lines) + "\n"
