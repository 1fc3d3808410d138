"""`kernels: [padding_free]`: the same training without padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny

from ablation.frozen import cache as prefixes
from ablation.frozen.padding_free import pack
from ablation.frozen.top import compute_missing, prune_last_layer
from ablation.settings.catalogue import KERNELS, PADDING_FREE
from ablation.training.network import build_network, trainable_state

LABELS, WIDTH, BELOW = 4, 9, 2
LENGTHS = (9, 1, 5, 3)
FULL, WINDOW = "full_attention", "sliding_attention"


def test_packed_texts_lie_one_after_another_and_come_back():
    mask = (torch.arange(3) < torch.tensor([[3], [1], [2]])).long()
    packed = pack(mask)
    assert packed.bounds.tolist() == [0, 3, 4, 6]
    assert packed.ends.tolist() == [2, 3, 5]
    assert packed.positions.tolist() == [[0, 1, 2, 0, 0, 1]]
    rows = torch.arange(9).view(3, 3) * mask
    assert packed.flat(rows).tolist() == [[0, 1, 2, 3, 6, 7]]
    assert torch.equal(packed.padded(packed.flat(rows)), rows)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("Llama", {}),
        ("Mistral", {"sliding_window": 3}),
        ("Qwen2", {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 3}),
        ("Qwen3", {"sliding_window": None}),
        (
            "Qwen3",
            {
                "use_sliding_window": True,
                "sliding_window": 3,
                "layer_types": [FULL, WINDOW, WINDOW, FULL],
            },
        ),
    ],
)
@pytest.mark.parametrize("way", ["whole", "frozen", "pruned", "missing"])
def test_losses_and_gradients_are_those_of_padded_rows(family, options, way, tmp_path):
    tiny.write_family(tmp_path, family, "ForCausalLM", **options)
    (padded, adapter), (found, moved) = (learned(tmp_path, way, on) for on in (False, True))
    assert torch.allclose(found, padded, atol=2e-6)
    assert set(moved) == set(adapter)
    assert all(torch.allclose(moved[name], adapter[name], atol=2e-6) for name in adapter)
    assert any(not torch.equal(moved[name], torch.zeros_like(moved[name])) for name in moved)


def test_checkpointed_layers_see_the_bounds_too(tmp_path):
    tiny.write_family(tmp_path, "Llama", "ForCausalLM")
    plain, state = learned(tmp_path, "frozen", True)
    logits, recomputed = learned(tmp_path, "frozen", True, checkpointing=True)
    assert torch.equal(plain, logits)
    assert all(torch.equal(state[name], recomputed[name]) for name in state)


def test_the_states_on_disk_are_those_of_padded_rows(tmp_path):
    tiny.write_family(tmp_path, "Llama", "ForCausalLM")
    rows = [np.arange(1, 1 + length) for length in LENGTHS]
    for padded, packed in zip(
        *(below(tmp_path, rows, k) for k in ([], [PADDING_FREE])), strict=True
    ):
        assert torch.allclose(padded[: len(packed)], packed, atol=2e-6)


def below(folder: Path, rows: list[np.ndarray], kernels: list[str]) -> list[torch.Tensor]:
    """States of each row above the first layers."""
    bottom = prefixes.load_bottom(str(folder), {"revision": None}, "float32", BELOW, kernels)
    return list(prefixes.hidden_states(bottom, rows, [BELOW])[BELOW])


def learned(
    folder: Path, way: str, padding_free: bool, checkpointing: bool = False
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits of a batch, and the trained values after a step on it, without dropout."""
    kernels = [PADDING_FREE] if padding_free else []
    settings = tiny.SETTINGS | {"lora.lora_dropout": 0.0} | ({KERNELS: kernels} if kernels else {})
    job = {"model": {"revision": None}, "model_path": str(folder), "seed": 1, "settings": settings}
    mask = (torch.arange(WIDTH) < torch.tensor(LENGTHS)[:, None]).long()
    torch.manual_seed(0)
    ids = torch.randint(1, 70, mask.shape) * mask
    network = build_network(job, LABELS, 0 if way == "whole" else BELOW).train()
    base = network.get_base_model()
    network.config.pad_token_id = base.config.pad_token_id = 0
    if checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    batch = {"attention_mask": mask}
    if way in ("whole", "missing"):
        batch["input_ids"] = ids
    else:
        rows = [row[:length].numpy() for row, length in zip(ids, LENGTHS, strict=True)]
        states = torch.zeros(*mask.shape, base.config.hidden_size)
        for place, state in enumerate(below(folder, rows, kernels)):
            states[place, : LENGTHS[place]] = state[: LENGTHS[place]]
        batch["inputs_embeds"] = states
    if way == "missing":
        bottom = prefixes.load_bottom(str(folder), {"revision": None}, "float32", BELOW, kernels)
        compute_missing(base, bottom)
    if way == "pruned":
        prune_last_layer(base)
    logits = network(**batch).logits
    torch.nn.functional.cross_entropy(logits, torch.arange(len(LENGTHS)) % LABELS).backward()
    params = [p for p in network.parameters() if p.requires_grad]
    torch.optim.SGD(params, lr=0.05).step()
    return logits.detach(), trainable_state(network)
