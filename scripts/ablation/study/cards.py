"""What a device is taken to compute a second, before anything was measured."""

from __future__ import annotations

from ablation.study.packing import CPU

# Dense bf16 FLOP/s with sums in fp32, by a part of the name that nvidia-smi gives: NVIDIA's data
# sheets, whose figures "with sparsity" are halved. The first that fits counts.
PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10": 125e12,
    "A30": 165e12,
    "A40": 150e12,
    "RTX 6000 Ada": 364e12,
    "RTX A6000": 155e12,
    "RTX 5090": 209e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
# The share of its peak that training keeps up: as docs/gpu.md asks of the plain step, and no more.
SHARE = 0.35
# A 24 GB card of the last generation but one, and a core of a laptop in float32.
UNKNOWN_GPU, CORE = 3e13, 6e10


def peak_of(card: str | None) -> float | None:
    """The card's dense bf16 peak in FLOP/s; None where the table does not have it."""
    words = (card or "").replace("-", " ").split()
    for name, peak in PEAKS.items():
        parts = name.split()
        if any(words[at : at + len(parts)] == parts for at in range(len(words))):
            return peak
    return None


def assumed_speed(device: str, card: str | None = None) -> float:
    """FLOP/s that training keeps up on one device.

    Args:
        device: "gpu" or "cpu".
        card: The GPU's name, where it is known.
    """
    if device == CPU:
        return CORE
    peak = peak_of(card)
    return UNKNOWN_GPU if peak is None else SHARE * peak
