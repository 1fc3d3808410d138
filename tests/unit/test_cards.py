"""What a card is taken to compute a second: by its name, as nvidia-smi writes it."""

from __future__ import annotations

import pytest

from ablation.study.cards import UNKNOWN_GPU, assumed_speed, peak_of


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA RTX A6000", 155e12),
        ("NVIDIA A1000 Laptop GPU", None),
        (None, None),
    ],
)
def test_a_card_is_known_by_a_whole_word_of_its_name(card, peak):
    assert peak_of(card) == peak


def test_a_known_card_is_faster_by_its_peak_and_an_unknown_one_is_a_small_one():
    assert assumed_speed("gpu", "NVIDIA H200") / assumed_speed("gpu", "NVIDIA L4") == 989 / 121
    assert assumed_speed("gpu", "Graphics Device") == assumed_speed("gpu") == UNKNOWN_GPU
    assert assumed_speed("cpu", None) < UNKNOWN_GPU
