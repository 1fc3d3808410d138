"""Whether fresh seeds confirm what is recommended: it must beat current and not fall behind backup.

Effects of stages that were picked because they looked best look better than they are; seeds that no
choice has seen have no such bias. Both conditions have to hold, so that neither needs a correction
(intersection-union test: Berger 1982, Technometrics 24(4):295-300).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablation.evidence.statistics import Estimate
from ablation.files import save_record
from ablation.records import load_typed, to_plain

CONFIRMED = "confirmed"
REFUTED = "refuted"
UNDECIDED = "undecided"
NOTHING_TO_CONFIRM = "nothing_to_confirm"
ENOUGH_SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What fresh seeds say of the recommended arm.

    Attributes:
        status: "confirmed", "refuted", "undecided", or "nothing_to_confirm".
        reason: Text id: what decided, or what is still open.
        few_seeds: Whether there are fewer than the five that are advised.
        stages: The factors that are on in the arm.
        variant: The arm's config id.
        is_backup: Whether the arm is the backup itself.
        seeds: The fresh seeds.
        over_current, over_backup: Its improvements over both (positive is better).
        delta: The smallest effect that matters.
    """

    status: str
    reason: str
    few_seeds: bool = False
    stages: tuple[str, ...] = ()
    variant: str | None = None
    is_backup: bool = False
    seeds: tuple[int, ...] = ()
    over_current: Estimate | None = None
    over_backup: Estimate | None = None
    delta: float | None = None


def confirm(
    over_current: Estimate, over_backup: Estimate, delta: float, is_backup: bool = False
) -> tuple[str, str]:
    """The verdict on a recommendation, from improvements on fresh seeds: status and reason.

    Confirmed: the 95 % interval over current is above zero, and the lower end of the 90 % interval
    over backup is above minus delta (it is not worse by an amount that matters). Refuted: surely
    no better than current, or surely worse than backup by more than delta. The backup itself
    (`is_backup`) has only current to beat.
    """
    if over_current.low is None or over_current.high is None or over_backup.low90 is None:
        return UNDECIDED, "no_interval"
    if over_current.high <= 0:
        return REFUTED, "not_better_than_current"
    if over_backup.high90 is not None and over_backup.high90 < -delta:
        return REFUTED, "worse_than_backup"
    if over_current.low <= 0:
        return UNDECIDED, "better_than_current_open"
    if is_backup:
        return CONFIRMED, "beats_current"
    if over_backup.low90 <= -delta:
        return UNDECIDED, "as_good_as_backup_open"
    return CONFIRMED, "beats_current_and_keeps_up"


def save_confirmation(confirmation: Confirmation, path: str | Path) -> None:
    """Write verdict.json."""
    save_record(to_plain(confirmation), path)


def load_confirmation(path: str | Path) -> Confirmation:
    """The content of a verdict.json.

    Raises:
        UserError: it is not there, or was written by another version.
    """
    return load_typed(Confirmation, path)
