"""Which comparisons of a study can be without effect together.

Arms that do not differ form groups: where A equals B and B equals C, A equals C. So once one
comparison is known to be an effect, some others cannot all be without one, and the error need be
shared by fewer (Shaffer 1986, J. Am. Stat. Assoc. 81(395):826-831). Of seven comparisons of five
arms at most five can hold when one is known not to, where Holm's procedure counts six.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Sides = tuple[str, str]
MOST_ARMS = 8  # 4,140 groupings


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The ways in which comparisons of arms can be without effect together.

    Attributes:
        linked: Places of the comparisons of one arm against another.
        free: Places of all else, of which any can be without effect.
        equal: Which of the linked ones are without effect, by way (rows).
        sharing: With how many of them each shares the arm that most have; itself counts in.
    """

    linked: list[int]
    free: list[int]
    equal: np.ndarray
    sharing: np.ndarray


def ways_of(comparisons: Sequence[Sides | None]) -> Ways:
    """The ways in which comparisons can be without effect together.

    Args:
        comparisons: The computations of both sides; None for what is not one arm against another,
            of which any can be without effect. So can those beyond the first eight arms.
    """
    arms = list(dict.fromkeys(arm for sides in comparisons if sides for arm in sides))[:MOST_ARMS]
    linked = [i for i, sides in enumerate(comparisons) if sides and set(sides) <= set(arms)]
    free = [i for i in range(len(comparisons)) if i not in set(linked)]
    ends = tuple(tuple(arms.index(arm) for arm in comparisons[i] or ()) for i in linked)
    equal, sharing = _equal(len(arms), ends)
    return Ways(linked=linked, free=free, equal=equal, sharing=sharing)


@lru_cache(maxsize=64)
def _equal(arms: int, ends: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Whether both sides are in one group, by grouping of the arms (rows), and `sharing`."""
    if not ends:
        return np.zeros((1, 0), bool), np.zeros((1, 0), int)
    groups, pairs = np.array(list(groupings(arms))), np.array(ends)
    equal = np.unique(groups[:, pairs[:, 0]] == groups[:, pairs[:, 1]], axis=0)
    touches = (pairs[:, :, None] == np.arange(arms)).any(axis=1)
    of_arm = equal.astype(int) @ touches
    return equal, np.where(touches, of_arm[:, None, :], 0).max(axis=2)


def groupings(arms: int) -> Iterator[tuple[int, ...]]:
    """Every way to put so many arms into groups: the group of each."""
    if not arms:
        yield ()
        return
    for rest in groupings(arms - 1):
        for group in range(max(rest, default=-1) + 2):
            yield *rest, group
