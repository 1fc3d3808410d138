"""Snakemake followed while it works: a line a run, the grid's own, and what failed.

Its own output goes to a log. On a terminal running runs stay in place (rich); elsewhere each line
is printed once. Everything is read from files, so it is the same on a cluster.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ablation.command.status import (
    failed_lines,
    grid_line,
    run_cells,
)
from ablation.command.workflow import environment
from ablation.evidence.look import Metric, read_metric, value_of
from ablation.machine.process import POLL_SECONDS
from ablation.machine.progress import (
    DIVERGED,
    DONE,
    FAILED,
    RUNNING,
    Progress,
    Run,
    read_progress,
)
from ablation.machine.watch import ask_all_to_save, end_all_at_once, stop_signals
from ablation.results import Results
from ablation.words.catalogue import Messages

LEAST_SECONDS = 2.0  # between two looks
SHARE = 0.02  # of a core that looking may take
TELL_SECONDS = 30.0  # between two lines of a run, where lines stay
TAIL_LINES = 25
_RULE = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):$", re.MULTILINE)


def follow(command: Sequence[str], study: Path, t: Messages, output: TextIO, lock: int) -> int:
    """Run Snakemake and tell what happens; its exit code.

    Args:
        command: Snakemake's command line.
        study: study.yaml.
        t: The command's texts.
        output: Where to tell it.
        lock: A descriptor that Snakemake inherits.
    """
    results = Results(Path("results") / study.absolute().parent.name)
    log = results.folder / "logs" / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    teller = Teller(results, study, t, Console(file=output, highlight=False))
    with stop_signals(ending_signals()) as stop:
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                command,
                env=environment(t.language),
                stdout=stream,
                stderr=subprocess.STDOUT,
                pass_fds=[lock],
            )
        with teller.telling():
            code = _wait(process, log, teller, stop.asked)
    if stop.asked[:1] == [signal.SIGINT]:
        raise KeyboardInterrupt
    teller.end(code, log, asked=stop.is_set())
    return code


def ending_signals() -> list[int]:
    """The signals that ask for the end; one that was ignored still is.

    They are noted: an exception in the middle of a look would leave Snakemake and its runs behind.
    """
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in asking if signal.getsignal(number) is not signal.SIG_IGN]


def _wait(process: subprocess.Popen[bytes], log: Path, teller: Teller, asked: Sequence[int]) -> int:
    """The exit code of Snakemake; it and its runs are ended where signals have asked for it."""
    look, heeded = 0.0, 0
    while True:
        if len(asked) > heeded:
            if heeded == 0:
                # A terminal that is gone can be told nothing.
                teller.console.quiet = asked[0] == signal.SIGHUP
                process.terminate()  # else it begins more of them
                ask_all_to_save()
                teller.say(teller.t("run.saving"))
            elif heeded == 1:
                end_all_at_once()
            heeded += 1
        if time.monotonic() > look:
            started = time.process_time()
            teller.look(log)
            spent = time.process_time() - started
            look = time.monotonic() + max(LEAST_SECONDS, spent / SHARE)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL_SECONDS)


class Teller:
    """Tells what is new since it last looked."""

    def __init__(self, results: Results, study: Path, t: Messages, console: Console) -> None:
        self.results, self.t, self.console = results, t, console
        self.metric: Metric = read_metric(study)
        self.live: Live | None = None
        # What was there before we began is counted, not told; without a grid there was nothing.
        begun = results.planned_grid.is_file()
        self.states: dict[tuple[str, int], str] | None = None if begun else {}
        self.told: dict[tuple[str, int], float] = {}
        self.rules: list[str] = []
        self.progress: Progress | None = None

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Hold the lines of running runs in place, where the output is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self.live:
            yield
        self.live = None

    def say(self, line: str) -> None:
        """Print a line that stays, with the time."""
        self.console.print(f"{time.strftime('%H:%M:%S')}  {line}", markup=False, soft_wrap=True)

    def look(self, log: Path) -> None:
        """Tell what has begun, ended or failed, and how far the rest is."""
        self._look_at_rules(log)
        if not self.results.planned_grid.is_file():
            return
        first = self.progress is None
        self.progress = read_progress(self.results)
        states = {(run.variant, run.seed): run.state for run in self.progress.runs}
        before = self.states
        self.states = states
        if first:
            self.say(grid_line(self.results.folder.name, self.progress, self.t))
        for run in self.progress.runs:
            if before is not None and before.get((run.variant, run.seed)) != run.state:
                self._tell_change(run)
        if self.live:
            self.live.update(self._picture(self.progress), refresh=True)
        else:
            self._tell_running(self.progress)

    def _look_at_rules(self, log: Path) -> None:
        found = _RULE.findall(log.read_text("utf-8", "replace"))
        for name in dict.fromkeys(found[len(self.rules) :]):
            if self.t.has(f"run.rule.{name}"):
                self.say(self.t(f"run.rule.{name}"))
        self.rules = found

    def _tell_change(self, run: Run) -> None:
        if run.state in (DONE, DIVERGED) and run.measured is not None:
            value = self.t.score(value_of(run.measured, self.metric), self.metric.name)
            facts = {
                "metric": self.metric.name,
                "value": value,
                "time": self.t.seconds(run.seconds),
            }
            self.say(self.t(f"run.{run.state}", arm=run.arms[0], seed=run.seed, **facts))
            if self.progress:
                self.say(grid_line(self.results.folder.name, self.progress, self.t))
        elif run.state == RUNNING:
            self.told[run.variant, run.seed] = time.monotonic()
            self.say(self.t("run.begun", arm=run.arms[0], seed=run.seed))
        elif run.state == FAILED:
            reason, log = failed_lines(run, self.t)
            self.say(self.t("run.failed", line=reason.strip()))
            self.say(log)

    def _tell_running(self, progress: Progress) -> None:
        now = time.monotonic()
        for run in progress.runs:
            key = run.variant, run.seed
            if run.state == RUNNING and now - self.told.get(key, 0.0) > TELL_SECONDS:
                self.told[key] = now
                self.say("  ".join(run_cells(run, self.t)))

    def _picture(self, progress: Progress) -> Group:
        table = Table.grid(padding=(0, 2))
        for run in [run for run in progress.runs if run.state == RUNNING]:
            table.add_row(*map(Text, run_cells(run, self.t)))
        bar = ProgressBar(total=len(progress.runs), completed=progress.count(DONE, DIVERGED))
        return Group(table, bar, Text(grid_line(self.results.folder.name, progress, self.t)))

    def end(self, code: int, log: Path, asked: bool) -> None:
        """Tell how it ended, asked to or not: where the report is, or what failed."""
        self.look(log)
        if code == 0:
            self.say(self.t("run.report", file=self.results.report(self.t.language)))
            return
        report = self.results.partial().report(self.t.language)
        runs = self.progress.runs if self.progress else ()
        failed = sum(run.state == FAILED for run in runs)
        left = sum(run.state not in (DONE, DIVERGED, FAILED) for run in runs)
        if not failed and not asked:
            lines = log.read_text("utf-8", "replace").splitlines()
            for line in lines[-TAIL_LINES:]:
                self.console.print(f"  {line}", markup=False, soft_wrap=True)
        self.say(self.t("run.not_done", failed=failed, left=left, log=log))
        if failed and report.is_file():
            self.say(self.t("run.partial", file=report))
