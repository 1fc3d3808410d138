"""How often a run should save within a long epoch: what saves cost against what failures lose."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Before a study has seen any failure it is taken to see one in a day of one run: often for a
# machine of one's own, and about right where jobs are preempted. It costs a save more now and then.
SECONDS_BEFORE_FAILURE = 24 * 3600.0
FIRST_INTERVAL = 600.0  # seconds until the first save, as long as nobody knows what one costs


@dataclass(frozen=True, kw_only=True)
class Pace:
    """When a run saves within an epoch; at the end of each epoch it does so anyway.

    Attributes:
        minutes: Between two checkpoints, as the study states it; None where it doesn't.
        between_failures: Mean seconds until an attempt at a run of the study fails.
    """

    minutes: float | None = None
    between_failures: float = SECONDS_BEFORE_FAILURE

    def interval(self, save: float | None) -> float:
        """Seconds between two checkpoints.

        Args:
            save: Seconds that one takes; None where none was written yet.
        """
        if self.minutes is not None:
            return 60 * self.minutes
        return FIRST_INTERVAL if save is None else best_interval(save, self.between_failures)


def seconds_between_failures(seconds: float, failures: int) -> float:
    """Mean seconds until an attempt at a run fails, of the study's own attempts and one day more.

    Args:
        seconds: What all attempts at runs of the study took.
        failures: How many of them failed.
    """
    return (seconds + SECONDS_BEFORE_FAILURE) / (failures + 1)


def best_interval(save: float, between_failures: float) -> float:
    """Seconds of training between two checkpoints with which a run is done soonest.

    The higher-order estimate of Daly (2006, Future Generation Computer Systems 22(3):303-312,
    equation 37), whose first term is that of Young (1974, Communications of the ACM 17(9):530-531).

    Args:
        save: Seconds that a checkpoint takes.
        between_failures: Mean seconds between two failures.
    """
    if save >= 2 * between_failures:
        return between_failures
    ratio = save / (2 * between_failures)
    first = math.sqrt(2 * save * between_failures)
    return first * (1 + math.sqrt(ratio) / 3 + ratio / 9) - save
