"""Fractional factorial designs of resolution IV whose cells include both endpoints.

A design of k factors is an array (cells, k) of -1 (as in current) and +1 (as in backup). The
generators are data; everything else, the aliases too, is computed from the cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

# Each generator has three letters, so that all factors off and all factors on are both cells
# (a product of three signs is their common sign).
GENERATORS: dict[int, dict[str, str]] = {
    4: {"D": "ABC"},
    5: {"E": "ABC"},
    6: {"E": "ABC", "F": "BCD"},
    7: {"E": "ABC", "F": "BCD", "G": "ACD"},
    8: {"E": "BCD", "F": "ACD", "G": "ABC", "H": "ABD"},
}
LETTERS = "ABCDEFGH"
Word = tuple[int, ...]


def design_matrix(k: int) -> np.ndarray:
    """The cells of the fraction for k factors (4 to 8), rows in standard order."""
    generators = GENERATORS[k]
    basic = k - len(generators)
    codes = np.arange(2**basic)[:, None] >> np.arange(basic)[None, :]
    columns = list((2 * (codes & 1) - 1).T)
    for letter in LETTERS[basic:k]:
        sources = [columns[LETTERS.index(name)] for name in generators[letter]]
        columns.append(np.prod(sources, axis=0))
    return np.array(columns).T


def fraction_cells(factors: Sequence[str]) -> list[frozenset[str]]:
    """The sets of factors that are switched on in each cell of the fraction."""
    design = design_matrix(len(factors))
    return [
        frozenset(name for name, level in zip(factors, row, strict=True) if level > 0)
        for row in design
    ]


def design_of(cells: Iterable[frozenset[str]], factors: Sequence[str]) -> np.ndarray:
    """The array of -1 and +1 of sets of factors that are switched on."""
    return np.array([[1 if name in cell else -1 for name in factors] for cell in cells])


def column(design: np.ndarray, word: Word) -> np.ndarray:
    """The signs of an effect: the product of its factors' columns."""
    return np.prod(design[:, list(word)], axis=1)


def defining_words(design: np.ndarray) -> list[Word]:
    """The products of factors that are constant over the cells, shortest first."""
    k = design.shape[1]
    words = [word for size in range(1, k + 1) for word in combinations(range(k), size)]
    return [word for word in words if abs(int(column(design, word).sum())) == len(design)]


def resolution(design: np.ndarray) -> int | None:
    """Letters of the shortest defining word: at IV no two-factor interaction blurs a main effect.

    None for a full factorial.
    """
    words = defining_words(design)
    return len(words[0]) if words else None


def alias_chains(design: np.ndarray, order: int = 2) -> list[list[tuple[int, Word]]]:
    """Effects of up to `order` factors, in groups that the cells cannot tell apart.

    Each member is a sign (against the first of its chain) and a word.
    """
    k = design.shape[1]
    words = [word for size in range(1, order + 1) for word in combinations(range(k), size)]
    chains: dict[bytes, list[tuple[int, Word]]] = {}
    for word in words:
        signs = column(design, word).astype(np.int8)
        if abs(int(signs.sum())) == len(design):
            continue  # constant: it cannot be told from the mean
        plus, minus = signs.tobytes(), (-signs).tobytes()
        if minus in chains:
            chains[minus].append((-1, word))
        else:
            chains.setdefault(plus, []).append((1, word))
    return list(chains.values())


def chain_name(chain: Sequence[tuple[int, Word]], factors: Sequence[str]) -> str:
    """A chain as it is printed: "epochs×lr + decay×length"."""
    name = ""
    for sign, word in chain:
        if name:
            name += " + " if sign > 0 else " - "
        name += "×".join(factors[i] for i in word)
    return name


def interaction_chains(matrix: np.ndarray) -> list[list[tuple[int, Word]]]:
    """The alias chains of two-factor interactions of a fraction's cells, coded -1 and +1."""
    return [chain for chain in alias_chains(matrix) if len(chain[0][1]) == 2]
