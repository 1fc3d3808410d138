"""The reports that a study has had: each one after the first is a look at the same question again.

With declared looks the error is held over all of them. Without, the first report has spent all of
it, whatever it showed. A later one, of more seeds, other looks or another metric, is judged at a
twentieth of the error, the next at half of that, and so on: with the first they make at most a
tenth more than was asked for, 5.5 % in place of 5 %, over all reports that anybody reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.errors import UserError
from ablation.evidence.contrast import planned_contrasts
from ablation.files import load_record, save_record
from ablation.records import from_plain, to_plain
from ablation.study.grid import Grid
from ablation.study.options import MeasuredOptions
from ablation.study.power import ALPHA, LOOKS

SCHEMA_VERSION = 1
LATER = 0.05  # of the error, for the second report; half of it for each one after


@dataclass(frozen=True, kw_only=True)
class Level:
    """What a family with a fixed number of seeds is judged at.

    Attributes:
        alpha: Two-sided family-wise error.
        following: That of the report that comes next, should seeds be added.
        dropped: Comparisons that an earlier report made and that are no longer asked for.
    """

    alpha: float = ALPHA
    following: float = ALPHA * LATER
    dropped: int = 0


FIRST = Level()


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report was about.

    Attributes:
        metric: The metric.
        seeds: The planned seeds, in their order.
        looks: The declared looks; empty where there are none.
        members: The planned contrasts.
    """

    metric: str
    seeds: tuple[int, ...]
    looks: tuple[int, ...]
    members: tuple[str, ...]

    def same_plan(self, other: Report) -> bool:
        """Whether both ask for the same seeds and looks: contrasts are corrected over all of both.

        With looks, how many seeds there are was left to them.
        """
        if self.metric != other.metric or self.looks != other.looks:
            return False
        return bool(self.looks) or self.seeds == other.seeds


@dataclass(frozen=True, kw_only=True)
class Reports:
    """The reports of a study, in the order in which they were made."""

    schema_version: int = SCHEMA_VERSION
    reports: tuple[Report, ...] = ()

    def before(self, now: Report) -> tuple[Report, ...]:
        """Those that came before this one, which may have been made before, too."""
        found: list[Report] = []
        for one in self.reports:
            if one.same_plan(now):
                break
            found.append(one)
        return tuple(found)

    def dropped(self, now: Report) -> tuple[str, ...]:
        """Contrasts of the same seeds that were reported and are no longer asked for."""
        told = {name: None for one in self.reports if one.same_plan(now) for name in one.members}
        return tuple(name for name in told if name not in now.members)

    def adding(self, now: Report) -> Reports:
        """The same with this one, unless it is there."""
        return self if now in self.reports else Reports(reports=(*self.reports, now))


def share_of(number: int) -> float:
    """The share of the error that a report is judged at, the first being 1."""
    return 1.0 if number <= 1 else LATER * 0.5 ** (number - 2)


def plans_of(earlier: Sequence[Report]) -> list[Report]:
    """One report of each plan, the first."""
    found: list[Report] = []
    for one in earlier:
        if not any(one.same_plan(other) for other in found):
            found.append(one)
    return found


NO_REPORTS = Reports()


@dataclass(frozen=True, kw_only=True)
class History:
    """The reports that a study had before this one.

    Attributes:
        number: Which report this is, from 1: those of the same seeds and looks are one.
        prefixes: Of the earlier ones without looks, of the first of these seeds: which it is, its
            members, and how many seeds it had.
        dropped: Contrasts that were reported of the same seeds and are no longer asked for.
    """

    number: int = 1
    prefixes: tuple[tuple[int, Report], ...] = ()
    dropped: tuple[str, ...] = ()

    def level(self, number: int | None = None) -> Level:
        """What a report of this study is judged at, this one where no other is named."""
        which = self.number if number is None else number
        return Level(
            alpha=ALPHA * share_of(which),
            following=ALPHA * share_of(which + 1),
            dropped=len(self.dropped),
        )


FIRST_REPORT = History()


def report_of(grid: Grid, study: MeasuredOptions) -> Report:
    """What the report of a grid is about."""
    options = study.get("sequential")
    planned = () if options is None else tuple(map(int, options.get("looks", LOOKS)))
    return Report(
        metric=str(study["metric"]["name"]),
        seeds=tuple(int(seed) for seed in grid.seeds),
        looks=planned,
        members=tuple(one.id for one in planned_contrasts(grid)),
    )


def history_of(grid: Grid, study: MeasuredOptions, reports: Reports) -> History:
    """The reports before that of this grid."""
    now = report_of(grid, study)
    plans = plans_of(reports.before(now))
    return History(
        number=1 + len(plans),
        prefixes=tuple(
            (place, one)
            for place, one in enumerate(plans, start=1)
            if not one.looks
            and one.metric == now.metric
            and not now.looks
            and one.seeds == now.seeds[: len(one.seeds)]
        ),
        dropped=reports.dropped(now),
    )


def load_reports(path: Path) -> Reports:
    """The reports that a study has had; none where nothing was written.

    Raises:
        UserError: the file was changed.
    """
    if not path.is_file():
        return Reports()
    try:
        found: Reports = from_plain(Reports, load_record(path))
        if found.schema_version != SCHEMA_VERSION:
            raise UserError("it is of another version", found=found.schema_version)
    except UserError as error:
        raise UserError(
            f"the list of the study's reports cannot be read: {error.problem}",
            file=path,
            found=error.found,
            write=f"rm {path}   # then every report counts as the first",
        ) from None
    return found


def save_reports(reports: Reports, path: Path) -> None:
    """Write the list."""
    save_record(to_plain(reports), path)
