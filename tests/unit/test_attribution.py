from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from ablation.designs import fractions
from ablation.designs.shapley import interaction_weights, shapley_weights


def cells(k: int, seeds: int = 3) -> np.ndarray:
    return np.random.default_rng(k).normal(size=(seeds, 2**k))


def shapley(values: np.ndarray) -> np.ndarray:
    return values @ shapley_weights(values.shape[1].bit_length() - 1).T


def interactions(values: np.ndarray) -> np.ndarray:
    return values @ interaction_weights(values.shape[1].bit_length() - 1).T


def orders(values: np.ndarray, k: int) -> np.ndarray:
    """Shapley values by walking every order of the factors."""
    found = np.zeros((len(values), k))
    every = list(permutations(range(k)))
    for order in every:
        mask = 0
        for i in order:
            found[:, i] += values[:, mask | 1 << i] - values[:, mask]
            mask |= 1 << i
    return found / len(every)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_shapley_values_are_the_average_over_all_orders(k):
    values = cells(k)
    assert np.abs(shapley(values) - orders(values, k)).max() < 1e-12


@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_shapley_values_add_up_to_the_gap_of_each_seed(k):
    values = cells(k)
    gap = values[:, -1] - values[:, 0]
    assert np.abs(shapley(values).sum(axis=1) - gap).max() < 1e-12


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_interactions_are_how_one_factor_changes_the_others_value(k):
    """I_ij is the Shapley value of j when i is on minus that when i is off, i left out."""
    values = cells(k)
    found = interactions(values)
    for column, (i, j) in enumerate(combinations(range(k), 2)):
        rest = [f for f in range(k) if f != i]
        masks = [sum(1 << f for p, f in enumerate(rest) if m >> p & 1) for m in range(2 ** (k - 1))]
        on, off = values[:, [m | 1 << i for m in masks]], values[:, masks]
        place = rest.index(j)
        expected = orders(on, k - 1)[:, place] - orders(off, k - 1)[:, place]
        assert np.abs(found[:, column] - expected).max() < 1e-12


def test_factors_that_only_add_have_their_effects_and_no_interaction():
    effects = np.array([0.1, -0.2, 0.3])
    values = np.array([[sum(e for i, e in enumerate(effects) if m >> i & 1) for m in range(8)]])
    assert shapley(values)[0] == pytest.approx(effects)
    assert interactions(values)[0] == pytest.approx([0, 0, 0])


def test_an_effect_that_needs_both_is_shared_and_is_the_interaction():
    values = np.array([[0.0, 0.0, 0.0, 1.0]])
    assert shapley(values)[0] == pytest.approx([0.5, 0.5])
    assert interactions(values)[0] == pytest.approx([1.0])


@pytest.mark.parametrize(("k", "factor"), [(2, 1.00), (3, 0.56), (4, 0.33), (5, 0.21), (6, 0.14)])
def test_the_noise_of_a_shapley_value_falls_with_the_factors(k, factor):
    variance = (shapley_weights(k) ** 2).sum(axis=1)
    assert variance == pytest.approx([factor] * k, abs=0.006)


# --- Fractional factorials ---------------------------------------------------------------------

SIZES = {4: 8, 5: 16, 6: 16, 7: 16, 8: 16}


@pytest.mark.parametrize("k", list(SIZES))
def test_a_fraction_has_both_endpoints_and_resolution_four(k):
    design = fractions.design_matrix(k)
    rows = [tuple(row) for row in design.tolist()]
    assert len(set(rows)) == len(rows) == SIZES[k]
    assert (1,) * k in rows and (-1,) * k in rows
    assert fractions.resolution(design) == 4
    assert np.array_equal(design.T @ design, len(design) * np.eye(k))


def test_the_cells_name_what_is_switched_on():
    names = ["a", "b", "c", "d", "e"]
    found = fractions.fraction_cells(names)
    assert frozenset() in found and frozenset(names) in found
    assert np.array_equal(fractions.design_of(found, names), fractions.design_matrix(5))


def test_the_aliases_of_four_factors_in_eight_cells():
    chains = fractions.alias_chains(fractions.design_matrix(4))
    told = [fractions.chain_name(chain, "ABCD") for chain in chains]
    assert told == ["A", "B", "C", "D", "A×B + C×D", "A×C + B×D", "A×D + B×C"]


@pytest.mark.parametrize("k", list(SIZES))
def test_every_pair_stands_in_one_chain_and_no_main_effect_does(k):
    chains = fractions.alias_chains(fractions.design_matrix(k))
    words = [word for chain in chains for _, word in chain]
    assert sorted(words) == sorted([(i,) for i in range(k)] + list(combinations(range(k), 2)))
    assert all(len(chain) == 1 for chain in chains if len(chain[0][1]) == 1)


def test_the_sign_of_an_alias_is_computed():
    design = np.array([[-1, -1, 1], [1, -1, -1], [-1, 1, -1], [1, 1, 1]])
    flipped = design * [1, 1, -1]
    assert fractions.alias_chains(flipped)[2] == [(1, (2,)), (-1, (0, 1))]
    assert fractions.chain_name([(1, (2,)), (-1, (0, 1))], "ABC") == "C - A×B"


def chain_effects(cells, design, chains):
    signs = np.array([fractions.column(design, chain[0][1]) for chain in chains])
    return 2.0 * cells @ signs.T / len(design)


@pytest.mark.parametrize("k", list(SIZES))
def test_effects_are_those_of_least_squares(k):
    design = fractions.design_matrix(k)
    chains = fractions.alias_chains(design)
    values = np.random.default_rng(k).normal(size=(4, len(design)))
    found = chain_effects(values, design, chains)
    columns = [np.ones(len(design)), *(fractions.column(design, c[0][1]) for c in chains)]
    matrix = np.array(columns, dtype=float).T
    for row, effects in zip(values, found, strict=True):
        solved = np.linalg.lstsq(matrix, row, rcond=None)[0]
        assert np.abs(2 * solved[1:] - effects).max() < 1e-12


def test_a_planted_main_effect_is_found_and_an_interaction_falls_on_its_chain():
    design = fractions.design_matrix(7)
    values = (0.3 * (design[:, 2] > 0) + 0.1 * design[:, 0] * design[:, 1] / 2)[None, :]
    chains = fractions.alias_chains(design)
    found = chain_effects(values, design, chains)[0]
    by_chain = {chain[0][1]: effect for chain, effect in zip(chains, found, strict=True)}
    assert by_chain[(2,)] == pytest.approx(0.3)
    own = next(c for c in chains if (1, (0, 1)) in c)
    assert by_chain[own[0][1]] == pytest.approx(0.1)
    assert sum(abs(e) > 1e-9 for e in found) == 2
