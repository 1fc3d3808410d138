"""Which comparisons of a study can be without effect together.

Arms that do not differ form groups: where A equals B and B equals C, A equals C. So once one
comparison is known to be an effect, some others cannot all be without one, and the error need be
shared by fewer (Shaffer 1986, J. Am. Stat. Assoc. 81(395):826-831). Of seven comparisons of five
arms at most five can hold when one is known not to, where Holm's procedure counts six.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

import numpy as np

Sides = tuple[str, str]
MOST_ARMS = 8  # 4,140 groupings


def most_true(comparisons: Sequence[Sides | None], effects: Collection[int]) -> int:
    """How many comparisons can be without effect at once, given those that are not.

    Args:
        comparisons: The computations of both sides; None for what is not one arm against another,
            of which any can be without effect. So can those beyond the first eight arms.
        effects: The places of those that are known to be effects.
    """
    arms = list(dict.fromkeys(arm for sides in comparisons if sides for arm in sides))[:MOST_ARMS]
    linked = [i for i, sides in enumerate(comparisons) if sides and set(sides) <= set(arms)]
    free = len(comparisons) - len(linked) - len(set(effects) - set(linked))
    if not linked:
        return free
    ends = [tuple(arms.index(arm) for arm in comparisons[i] or ()) for i in linked]
    equal = _equal(len(arms), tuple(ends))
    known = [place for place, i in enumerate(linked) if i in effects]
    return free + int(equal[~equal[:, known].any(axis=1)].sum(axis=1).max())


@lru_cache(maxsize=64)
def _equal(arms: int, ends: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Whether both sides are in one group, by grouping of the arms (rows) and comparison."""
    groups = np.array(list(groupings(arms)))
    found = np.stack([groups[:, low] == groups[:, high] for low, high in ends], axis=1)
    return np.unique(found, axis=0)


def groupings(arms: int) -> Iterator[tuple[int, ...]]:
    """Every way to put so many arms into groups: the group of each."""
    if not arms:
        yield ()
        return
    for rest in groupings(arms - 1):
        for group in range(max(rest, default=-1) + 2):
            yield *rest, group
