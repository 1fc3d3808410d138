"""The profile of a study's prepared rows: profile.json as a type.

Its parts have defaults where files of earlier versions lack them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ablation.files import save_record
from ablation.records import load_typed, to_plain

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """How many rows there are, and what is odd about them.

    Attributes:
        read: Rows of the source.
        not_drawn: Rows that `max_rows` left out.
        without_label, empty_text: Rows left out for it.
        train, validation, test: Rows of each split.
        single_row_classes, classes_without_test_rows: Classes, not rows.
        test_texts_in_train, validation_texts_in_train: Rows whose text is also in training.
        labels_alike: Groups of labels that look alike.
        conflicting_labels: Rows whose text stands under several labels.
        test_rows_of_unseen_labels: Test rows of classes without a training row.
    """

    read: int = 0
    not_drawn: int = 0
    without_label: int = 0
    empty_text: int = 0
    train: int = 0
    validation: int = 0
    test: int = 0
    single_row_classes: int = 0
    classes_without_test_rows: int = 0
    test_texts_in_train: int = 0
    validation_texts_in_train: int = 0
    labels_alike: int = 0
    conflicting_labels: int = 0
    test_rows_of_unseen_labels: int = 0


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How many texts have so many tokens: counts[i] of edges[i] <= tokens < edges[i + 1]."""

    edges: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TokenLengths:
    """Tokens of the texts: mean, quantiles, the longest, and how many have how many."""

    mean: float
    median: float
    p95: float
    p99: float
    max: int
    histogram: Histogram


@dataclass(frozen=True, kw_only=True)
class Deal:
    """How each seed deals the prepared rows out anew.

    Attributes:
        test_size, val_size: Shares of all rows.
        stratify_extract: Whether an extract keeps the shares of the classes.
    """

    test_size: float
    val_size: float
    stratify_extract: bool


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is known of prepared rows. It names no path.

    Attributes:
        rows: Their numbers.
        num_labels: Classes of the study.
        label_counts, validation_label_counts, test_label_counts: Rows of each class in each split;
            the most frequent class of all rows first.
        label_column, text_columns: The source's columns.
        tokens: How long the texts are.
        truncated_share: Share in [0, 1] of texts longer than a maximum length, by that length.
        longest_max_length: The longest maximum length of the arms.
        special_tail: Special tokens that stay at the end of a text that is cut; None where an
            earlier version did not tell them.
        notes: What a reader should know of the rows, in English.
        fingerprint: Short hash of the rows.
        sums: XXH3 (hex) of each file beside this one; none of an earlier version.
        deal: How each seed deals the rows out anew; None where all runs share one split.
    """

    schema_version: int = SCHEMA_VERSION
    rows: RowCounts = RowCounts()
    num_labels: int = 0
    label_counts: tuple[int, ...] = ()
    validation_label_counts: tuple[int, ...] = ()
    test_label_counts: tuple[int, ...] = ()
    label_column: str = ""
    text_columns: tuple[str, ...] = ()
    tokens: TokenLengths | None = None
    truncated_share: dict[int, float] = field(default_factory=dict)
    longest_max_length: int = 0
    special_tail: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    sums: dict[str, str] = field(default_factory=dict)
    deal: Deal | None = None


def load_profile(path: Path) -> Profile:
    """The profile that `save_profile` wrote, now or in an earlier version.

    Raises:
        UserError: it cannot be read, or is no longer what was written.
    """
    found: Profile = load_typed(Profile, path, known_only=True)
    return found


def save_profile(profile: Profile, path: Path) -> None:
    """Write a profile; one of rows that all runs share says nothing of a deal."""
    plain = to_plain(profile)
    if profile.deal is None:
        del plain["deal"]
    save_record(plain, path)
