"""How many comparisons can be without effect together, counted by hand."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest

from ablation.evidence.inference import closed, holm
from ablation.evidence.together import ways_of

TRIANGLE = [("a", "b"), ("b", "c"), ("a", "c")]
PATH = [("0", "1"), ("1", "2"), ("2", "3"), ("0", "3")]


def told(comparisons) -> set[tuple[int, ...]]:
    """The comparisons that are without effect, by way."""
    return {tuple(np.flatnonzero(way).tolist()) for way in ways_of(comparisons).equal}


def test_of_three_arms_all_are_equal_or_two_or_none():
    assert told(TRIANGLE) == {(0, 1, 2), (0,), (1,), (2,), ()}


def test_steps_and_their_gap_cannot_differ_in_one_place_alone():
    together = told(PATH)
    assert max(len(way) for way in together if 3 not in way) == 2
    assert max(len(way) for way in together if 1 not in way) == 2


def test_a_comparison_shares_its_arms_with_those_that_are_without_effect_beside_it():
    ways = ways_of(PATH)
    sharing = {
        tuple(np.flatnonzero(e)): s[e].tolist()
        for e, s in zip(ways.equal, ways.sharing, strict=True)
    }
    assert sharing[0, 1, 2, 3] == [2, 2, 2, 2]
    assert sharing[0, 2] == [1, 1]
    assert sharing[0, 1] == [2, 2]


def test_what_is_no_pair_of_arms_can_always_be_without_effect():
    ways = ways_of([*TRIANGLE, None, None])
    assert (ways.linked, ways.free) == ([0, 1, 2], [3, 4])
    assert ways_of([None, None]).free == [0, 1]


def test_arms_beyond_the_first_eight_are_counted_one_by_one():
    far = ways_of([(str(i), str(i + 1)) for i in range(12)])
    assert (far.linked, far.free) == ([*range(7)], [*range(7, 12)])


def by_hand(values: np.ndarray, comparisons) -> list[float]:
    """The closed test over every set that can be without effect, one by one."""
    ways, found = ways_of(comparisons), [0.0] * len(comparisons)
    for equal, sharing in zip(ways.equal, ways.sharing, strict=True):
        for others in chain.from_iterable(combinations(ways.free, r) for r in range(9)):
            shares = dict(zip(np.array(ways.linked)[equal], sharing[equal], strict=True))
            shares = {place: share + len(others) for place, share in shares.items()}
            most = max(sharing, default=0) + len(others)
            shares |= dict.fromkeys(others, most)
            if shares:
                shown = min(values[len(shares) - 1, d - 1, place] for place, d in shares.items())
                for place in shares:
                    found[place] = max(found[place], shown)
    return found


@pytest.mark.parametrize("comparisons", [TRIANGLE, PATH, [*TRIANGLE, None, None], [None] * 4])
def test_the_closed_test_is_that_of_every_set_by_hand(comparisons):
    size = len(comparisons)
    for seed in range(20):
        first, second = np.random.default_rng(seed).random((2, size)) ** 2
        counts = np.arange(1, size + 1)[:, None]
        values = np.maximum((counts * first)[:, None], (counts**0.45 * second)[None])
        assert closed(values, comparisons).tolist() == pytest.approx(by_hand(values, comparisons))


def test_holm_counts_what_can_hold_together():
    p = [0.01, 0.02, 0.04]
    assert holm(p) == pytest.approx([0.03, 0.04, 0.04])
    assert holm(p, TRIANGLE) == pytest.approx([0.03, 0.03, 0.04])
    assert holm(p, [None] * 3) == holm(p)
