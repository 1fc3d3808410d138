"""Where each file of a study's results lies: the one place that names them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Results:
    """The files of results/<study>/.

    Attributes:
        folder: results/<study>.
        part: Where what is made of the runs lies: the folder itself, or the partial report's.
    """

    folder: Path
    part: str = ""

    def partial(self) -> Results:
        """The same results with the files of a report of the runs that are there.

        None of them is the output of a rule: Snakemake would take it for made.
        """
        return replace(self, part="partial")

    @property
    def resolved(self) -> Path:
        """What the two configurations do: the folder of current.json, backup.json, …"""
        return self.folder / "resolved"

    @property
    def profile(self) -> Path:
        """Counts of the prepared rows."""
        return self.folder / "data/profile.json"

    @property
    def planned_grid(self) -> Path:
        """The arms and runs that are planned before any result."""
        return self.folder / "grid.json"

    @property
    def partial_grid(self) -> Path:
        """The grid of the partial report: what is planned, as far as results have decided."""
        return self.partial().analysis / "grid.json"

    @property
    def candidates(self) -> Path:
        """The arms that results may add, where they may."""
        return self.folder / "candidates.json"

    @property
    def decided_grid(self) -> Path:
        """The grid once results have decided on it, where they do."""
        return self.folder / "decided/grid.json"

    def look(self, number: int) -> Path:
        """Whether more seeds were needed after a look, from 1."""
        return self.folder / f"decided/look-{number}.json"

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.folder / "runs"

    def run(self, variant: str, seed: int) -> Path:
        """The folder of one run."""
        return self.runs / variant / f"seed-{seed}"

    def run_metrics(self, variant: str, seed: int) -> Path:
        """What one run measured: it is written last, so a run that has it has finished."""
        return self.run(variant, seed) / "metrics.json"

    def run_log(self, variant: str, seed: int) -> Path:
        """What one run printed when it was last started."""
        return self.folder / "logs/train_run" / variant / f"seed-{seed}.log"

    @property
    def confirmation_grid(self) -> Path:
        """The runs that confirm what is recommended, where the study asks for them."""
        return self.folder / "confirmation/grid.json"

    @property
    def verdict(self) -> Path:
        """Whether fresh seeds confirm what is recommended, where the study asks for them."""
        return self.folder / "confirmation/verdict.json"

    @property
    def analysis(self) -> Path:
        """The folder of what is made of the runs."""
        return self.folder / self.part

    @property
    def metrics(self) -> Path:
        """One row for each run."""
        return self.analysis / "metrics.csv"

    @property
    def effects(self) -> Path:
        """The estimated effects and the verdicts on claims."""
        return self.analysis / "effects.json"

    @property
    def health(self) -> Path:
        """The warnings about finished runs."""
        return self.analysis / "health.json"

    @property
    def figures(self) -> Path:
        """The folder of the figures."""
        return self.analysis / "figures"

    def report(self, language: str) -> Path:
        """The report in a language."""
        return self.analysis / ("report.md" if language == "en" else f"report.{language}.md")


def remove_partial(results: Results) -> None:
    """Remove the partial report: the real one is there, or a newer one will be."""
    shutil.rmtree(results.partial().analysis, ignore_errors=True)
