"""Where each file of a study's results lies: the one place that names them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

ENGLISH = "en"  # the first of LANGUAGES: its files have plain names


def run_folder(runs: str | Path, variant: str, seed: int) -> Path:
    """The folder of one run in that of all."""
    return Path(runs) / variant / f"seed-{seed}"


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
    def study(self) -> Path:
        """The study as it was resolved: what later steps read in place of the user's files."""
        return self.folder / "resolved/study.json"

    def side(self, side: str) -> Path:
        """The effective settings of a side, "current" or "backup", with their places."""
        return self.folder / f"resolved/{side}.json"

    @property
    def differences(self) -> Path:
        """Where the two sides differ."""
        return self.folder / "resolved/differences.json"

    @property
    def findings(self) -> Path:
        """What is known without training."""
        return self.folder / "resolved/findings.json"

    @property
    def model(self) -> Path:
        """The prepared model's record."""
        return self.folder / "model/model.json"

    @property
    def data(self) -> Path:
        """The folder of the prepared rows."""
        return self.folder / "data"

    @property
    def profile(self) -> Path:
        """Counts of the prepared rows."""
        return self.data / "profile.json"

    @property
    def frozen(self) -> Path:
        """Which states of frozen layers are kept, and where."""
        return self.folder / "prefix/prefix.json"

    @property
    def planned_grid(self) -> Path:
        """The arms and runs that are planned before any result."""
        return self.folder / "grid.json"

    @property
    def candidates(self) -> Path:
        """The arms that results may add, where they may."""
        return self.folder / "candidates.json"

    @property
    def decided_grid(self) -> Path:
        """The grid once results have decided on it, where they do."""
        return self.folder / "decided/grid.json"

    def grid(self, adaptive: bool) -> Path:
        """The grid that the analysis is of.

        Args:
            adaptive: Whether results decide which runs there are.
        """
        if self.part:
            return self.analysis / "grid.json"
        return self.decided_grid if adaptive else self.planned_grid

    def look(self, number: int) -> Path:
        """Whether more seeds were needed after a look, from 1."""
        return self.folder / f"decided/look-{number}.json"

    def step(self, direction: str, number: int) -> Path:
        """What a step of a greedy path chose, from 1."""
        return self.folder / f"decided/{direction}-{number}.json"

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.folder / "runs"

    def run(self, variant: str, seed: int) -> Path:
        """The folder of one run."""
        return run_folder(self.runs, variant, seed)

    def run_metrics(self, variant: str, seed: int) -> Path:
        """What one run measured: it is written last, so a run that has it has finished."""
        return self.run(variant, seed) / "metrics.json"

    def run_log(self, variant: str, seed: int) -> Path:
        """What one run printed when it was last started."""
        return self.folder / "logs/train_run" / variant / f"seed-{seed}.log"

    @property
    def confirmed(self) -> Path:
        """What is confirmed on fresh seeds, where the study asks for it."""
        return self.folder / "confirmation/decision.json"

    @property
    def confirmation_grid(self) -> Path:
        """The runs that confirm it."""
        return self.folder / "confirmation/grid.json"

    @property
    def confirmation_metrics(self) -> Path:
        """One row for each of them."""
        return self.folder / "confirmation/metrics.csv"

    @property
    def verdict(self) -> Path:
        """Whether fresh seeds confirm it."""
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
    def reports(self) -> Path:
        """The reports that the study has had: no output of a rule, so that it is never remade."""
        return self.folder / "reports.json"

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

    @property
    def recommended(self) -> Path:
        """The folder of the recommended configuration and its patch."""
        return self.folder / "recommended"

    @property
    def tracked(self) -> Path:
        """What experiment trackers were told, and the files that they keep here."""
        return self.folder / "tracked"

    @property
    def page(self) -> Path:
        """The report as one page of HTML, in all languages."""
        return self.analysis / "report.html"

    def report(self, language: str) -> Path:
        """The report in a language."""
        return self.analysis / f"{report_name(language)}.md"


def caption_file(figure: Path) -> Path:
    """Where a figure's caption lies, for `snakemake --report`."""
    return figure.parent / "captions" / f"{figure.stem}.rst"


def figure_file(name: str, language: str) -> str:
    """The name of a figure's file in a language."""
    return f"{name}.svg" if language == ENGLISH else f"{name}.{language}.svg"


def report_name(language: str) -> str:
    """The name of the report in a language, without its ending."""
    return "report" if language == ENGLISH else f"report.{language}"


def remove_partial(results: Results) -> None:
    """Remove the partial report: the real one is there, or a newer one will be."""
    shutil.rmtree(results.partial().analysis, ignore_errors=True)
