from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from ablation.evidence import sequential
from ablation.evidence.sequential import LookPlan, decide
from ablation.evidence.spread import Background, Spread
from ablation.evidence.twoway import Squares
from ablation.study.looks import boundaries, spent
from ablation.study.power import OBRIEN_FLEMING, POCOCK, SPENDINGS

# statistics.md, simulated there with 4e5 paths: the standard error of a boundary is 1 to 3 %.
TABLE = [
    ((3, 5, 8), OBRIEN_FLEMING, (0.0005, 0.0089, 0.0447)),
    ((3, 5, 8), POCOCK, (0.0244, 0.0150, 0.0185)),
    ((3, 4, 5, 6, 8), OBRIEN_FLEMING, (0.0005, 0.0027, 0.0070, 0.0142, 0.0394)),
    ((3, 4, 5, 6, 8), POCOCK, (0.0246, 0.0126, 0.0110, 0.0110, 0.0142)),
    ((3, 5, 8, 12), OBRIEN_FLEMING, (0.00001, 0.0010, 0.0114, 0.0440)),
    ((3, 5, 8, 12), POCOCK, (0.0177, 0.0118, 0.0148, 0.0180)),
]


@pytest.mark.parametrize(("at", "spending", "nominal"), TABLE)
def test_boundaries_agree_with_the_simulated_table(at, spending, nominal):
    found = boundaries(at, 0.05, spending)
    assert found == pytest.approx(nominal, rel=0.05, abs=0.00006)


@pytest.mark.parametrize("spending", [OBRIEN_FLEMING, POCOCK])
@pytest.mark.parametrize("at", [(3, 5, 8), (2, 4, 6)])
def test_null_paths_cross_as_often_as_is_spent(at, spending):
    paths = 400_000
    values = np.random.default_rng(11).standard_normal((at[-1], paths), dtype=np.float32)
    open_, crossed = np.ones(paths, bool), 0.0
    for n, nominal in zip(at, boundaries(at, 0.05, spending), strict=True):
        t = values[:n].mean(0) / (values[:n].std(0, ddof=1) / np.sqrt(n))
        hit = open_ & (np.abs(t) >= -special.stdtrit(n - 1, nominal / 2))
        open_ &= ~hit
        crossed += hit.mean()
        share = spent(n / at[-1], 0.05, spending)
        assert crossed == pytest.approx(share, abs=4 * np.sqrt(share / paths))


def test_everything_is_spent_at_the_last_look():
    for spending in SPENDINGS:
        assert spent(1.0, 0.05, spending) == pytest.approx(0.05)


def test_one_look_is_the_plain_test():
    assert boundaries((5,), 0.05) == pytest.approx((0.05,))


def test_a_smaller_error_has_smaller_boundaries_down_to_the_tails():
    plain, corrected = boundaries((3, 5, 8)), boundaries((3, 5, 8), 0.05 / 21)
    assert all(0 < c < p for c, p in zip(corrected, plain, strict=True))


@pytest.mark.parametrize(("cells", "share"), [(800, 0.003), (100, 0.05)])
def test_other_cells_change_nothing_that_matters(cells, share):
    found = boundaries((3, 5, 8, 12), cells=cells)
    assert found == pytest.approx(boundaries((3, 5, 8, 12)), rel=share)


def steps(mean: float, n: int, spread: float = 1.0) -> list[float]:
    """Values with this mean and a sample standard deviation near `spread`, at every length."""
    return [mean + spread * (1 if i % 2 else -1) for i in range(n)]


PLAN = LookPlan((3, 5, 8), delta=0.5)


def test_before_the_first_look_it_goes_on():
    found = decide([0.1, 0.2], PLAN)
    assert (found.status, found.reason, found.next_n) == ("continue", "before_first_look", 3)
    assert sequential.latest_look([0.1, 0.2], PLAN) is None


def test_a_large_effect_stops_as_superior_and_its_mirror_as_inferior():
    up = decide(steps(20, 8), PLAN)
    down = decide(steps(-20, 8), PLAN)
    assert (up.status, up.reason, up.next_n) == ("superior", "beyond_boundary", None)
    assert (down.status, down.n) == ("inferior", up.n)
    assert up.n < 8


def test_the_first_look_that_decides_counts_whatever_comes_later():
    early = decide(steps(20, 5), PLAN)
    assert decide([*steps(20, 5), -900.0, -900.0, -900.0], PLAN) == early


def test_no_effect_that_matters_stops_as_equivalent():
    found = decide(steps(0.01, 8, 0.05), PLAN)
    assert (found.status, found.reason) == ("equivalent", "inside_delta")
    assert found.n < 8


def test_equal_runs_stop_at_once_but_prove_nothing():
    """Ties have no interval; two arms that diverge on every seed are equal, too."""
    found = decide([0.0, 0.0, 0.0], PLAN)
    assert (found.status, found.reason, found.n) == ("undecided", "all_equal", 3)


def test_hopeless_noise_stops_early_as_undecided():
    found = decide(steps(0.0, 8, 30.0), PLAN)
    assert (found.status, found.reason) == ("undecided", "conditional_power")
    assert found.n < 8


def background(rows: float) -> Background:
    """Three seeds that differ by 1 on 100 test rows, of which a share of the error is left."""
    of_seeds = 100.0
    squares = Squares(seeds=of_seeds, rows=rows, error=1.0, n=3, size=100)
    return Background(squares=2.0, pools={}, rows={n: replace(squares, n=n) for n in (3, 5, 8)})


def with_rows(values: list[float], found: Background):
    return decide(values, PLAN, lambda n, times=1.0: found.spread(values[:n], n))


def test_an_error_that_more_seeds_leave_gives_no_hope():
    """Seen: with the error over seeds alone it went on to the next look, and to the last."""
    values = [0.7, 1.7, -0.3, 0.7, 1.7, -0.3, 0.7, 1.7]
    assert decide(values[:3], PLAN).reason == "between_boundaries"
    assert with_rows(values[:3], background(rows=1.0)).reason == "between_boundaries"
    found = with_rows(values, background(rows=1000.0))
    assert (found.status, found.reason, found.n) == ("undecided", "conditional_power", 3)


def test_the_chances_of_the_seeds_to_come_are_as_before_where_rows_leave_nothing():
    look = sequential.latest_look([0.4, 1.4, -0.6], PLAN)
    assert look is not None
    plain = sequential.conditional_powers(look, PLAN, Spread(error=3**-0.5, df=2))
    # the mean of eight beyond what is needed, given three of mean 0.4 and five of mean 0.5
    needed = stats.t.isf(PLAN.effect_limits[-1] / 2, 7) / 8**0.5
    ahead, moves = (3 * 0.4 + 5 * 0.5) / 8, 5**0.5 / 8
    beyond = stats.norm.sf(needed, ahead, moves) + stats.norm.cdf(-needed, ahead, moves)
    assert plain[0] == pytest.approx(beyond)
    halved = sequential.conditional_powers(
        look, PLAN, Spread(error=(2 / 3) ** 0.5, df=4, rows=1 / 3)
    )
    assert halved[0] < plain[0]


def test_seeds_that_do_not_differ_beside_arms_that_do_are_judged_by_the_common_noise():
    """Seen: equal counts at a look with a common noise divided by zero."""
    found = decide([0.0] * 3, PLAN, lambda n, times=1.0: Spread(error=0.3, df=4))
    assert found.reason == "between_boundaries"


def test_without_delta_only_the_boundary_or_the_maximum_stops():
    found = decide(steps(0.0, 8, 30.0), LookPlan((3, 5, 8)))
    assert (found.status, found.reason, found.n) == ("undecided", "maximum_reached", 8)


def test_between_looks_more_seeds_are_asked_for():
    found = decide(steps(1.2, 4), PLAN)
    assert (found.status, found.reason, found.next_n) == ("continue", "between_boundaries", 5)
    assert sequential.seeds_needed([found, decide([0.1], PLAN)]) == 3
    assert sequential.seeds_needed([decide(steps(20, 8), PLAN)]) is None


def test_seeds_are_taken_in_the_order_they_were_planned():
    values = {9: 5.0, 1: 5.2, 4: 4.9, 2: 5.1, 3: 5.0}
    assert decide(values, PLAN) == decide(list(values.values()), PLAN)


def test_more_contrasts_make_it_harder():
    values = steps(1.5, 8)
    assert decide(values, LookPlan((3, 5, 8), delta=0.1)).status == "superior"
    assert decide(values, LookPlan((3, 5, 8), delta=0.1, families=50)).status != "superior"


def test_the_repeated_interval_excludes_zero_exactly_beyond_the_boundary():
    rng = np.random.default_rng(5)
    for _ in range(100):
        look = sequential.latest_look(rng.normal(1.0, 1, 5), PLAN)
        assert (look.p <= look.boundary) == (look.low > 0 or look.high < 0)


def test_the_confidence_of_a_repeated_interval_follows_the_looks():
    confidences = sequential.confidences_at(LookPlan((3, 5, 8), families=4))
    limits, equal = boundaries((3, 5, 8)), boundaries((3, 5, 8), 0.10)
    assert confidences(3) == confidences(4) == (1 - limits[0], 1 - equal[0])
    assert confidences(8) == (1 - limits[2], 1 - equal[2])
    assert confidences(2) == confidences(3)
