"""`kernels: [padding_free]`: texts one after another in place of rows padded to the longest.

Attention is told where each text begins. On a GPU with half weights it is PyTorch's own kernel for
texts of any length (torch 2.11 or later), elsewhere one call for each text; the numbers are those
of padded rows, up to the order of sums.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from transformers.modeling_outputs import SequenceClassifierOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ablation.settings.catalogue import PADDING_FREE

try:
    from torch.nn.attention.varlen import varlen_attn

    ACCEPTED = set(inspect.signature(varlen_attn).parameters)
except ImportError:  # a torch that has none
    ACCEPTED = set()
ATTENTION = f"ablation_{PADDING_FREE}"  # its name among transformers' implementations
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Texts one after another.

    Attributes:
        kept: (text, width), which places of the padded rows hold tokens.
        bounds: (texts + 1), where each text begins, and where the last one ends.
        positions: (1, token), each token's place in its text.
        longest: Tokens of the longest text.
    """

    kept: torch.Tensor
    bounds: torch.Tensor
    positions: torch.Tensor
    longest: int

    @property
    def starts(self) -> torch.Tensor:
        """(text), where each text's first token lies."""
        return self.bounds[:-1].long()

    @property
    def ends(self) -> torch.Tensor:
        """(text), where each text's last token lies."""
        return self.bounds[1:].long() - 1

    def flat(self, rows: torch.Tensor) -> torch.Tensor:
        """(1, token, ...) of padded rows (text, width, ...)."""
        return rows[self.kept].unsqueeze(0)

    def padded(self, flat: torch.Tensor) -> torch.Tensor:
        """The rows (text, width, ...) again, with zeros for padding."""
        rows = flat.new_zeros((*self.kept.shape, *flat.shape[2:]))
        rows[self.kept] = flat[0]
        return rows

    def arguments(self) -> dict[str, Any]:
        """What a transformers decoder is called with beside the texts, named as it names them."""
        return {
            "position_ids": self.positions,
            "cu_seq_lens_q": self.bounds,
            "cu_seq_lens_k": self.bounds,
            "max_length_q": self.longest,
            "max_length_k": self.longest,
        }


def pack(mask: torch.Tensor) -> Packed:
    """How rows lie one after another whose tokens a mask (text, width) marks, padded on the right.

    Every text has a token at least.
    """
    lengths = mask.sum(1, dtype=torch.int32)
    bounds = F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    places = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    kept = mask.bool()
    positions = places[kept].unsqueeze(0)
    return Packed(kept=kept, bounds=bounds, positions=positions, longest=int(lengths.max()))


def use_padding_free(network: Any) -> None:
    """Let a decoder's layers attend to texts that lie one after another."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attend)
    network.set_attn_implementation(ATTENTION)


def is_padding_free(network: Any) -> bool:
    """Whether `use_padding_free` was called for this network."""
    return network.config._attn_implementation == ATTENTION


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each text, as transformers calls an implementation of it.

    Args:
        module: The attention layer.
        query: (1, head, token, width) of all texts.
        key: The same, of fewer heads where they are shared.
        value: As the keys.
        attention_mask: None: the bounds say all.
        kwargs: `cu_seq_lens_q`, `max_length_q`, `scaling`, and `sliding_window` where there is one.

    Returns:
        (1, token, head, width), and no weights.
    """
    how = {"scale": kwargs.get("scaling"), "window": kwargs.get("sliding_window")}
    bounds, longest = kwargs["cu_seq_lens_q"], kwargs["max_length_q"]
    if query.is_cuda and query.dtype in HALF and {"window_size", "scale"} <= ACCEPTED:
        return attend_kernel(query, key, value, bounds=bounds, longest=longest, **how), None
    parts = []
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        texts = (states[:, :, start:end] for states in (query, key, value))
        parts.append(attend_text(*texts, **how))
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def attend_text(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scale: float | None,
    window: int | None,
) -> torch.Tensor:
    """Causal attention (1, head, token, width) of one text."""
    length, mask = query.shape[2], None
    if window is not None and window < length:
        place = torch.arange(length, device=query.device)
        distance = place[:, None] - place[None, :]
        mask = (distance >= 0) & (distance < window)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def attend_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    bounds: torch.Tensor,
    longest: int,
    scale: float | None,
    window: int | None,
) -> torch.Tensor:
    """The same for all texts in one call of PyTorch's kernel: (1, token, head, width)."""
    queries, keys, values = (states[0].transpose(0, 1) for states in (query, key, value))
    options: dict[str, Any] = {}
    if (shared := queries.shape[1] // keys.shape[1]) > 1:
        if "enable_gqa" in ACCEPTED:
            options["enable_gqa"] = True
        else:
            keys, values = (states.repeat_interleave(shared, 1) for states in (keys, values))
    left = -1 if window is None else window - 1
    return varlen_attn(
        queries.contiguous(),
        keys.contiguous(),
        values.contiguous(),
        cu_seq_q=bounds,
        cu_seq_k=bounds,
        max_q=longest,
        max_k=longest,
        scale=scale,
        window_size=(left, 0),
        **options,
    ).unsqueeze(0)


def classify_padding_free(base: Any) -> None:
    """Let a whole classifier read padded rows, and compute their tokens alone."""
    use_padding_free(base)
    base.forward = MethodType(forward_whole, base)


def forward_whole(
    self: Any,
    input_ids: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
    labels: torch.Tensor | None = None,
    **kwargs: Any,
) -> SequenceClassifierOutputWithPast:
    """Logits at each row's last token; padding is on the right. The loss is the caller's."""
    packed = pack(attention_mask)
    found = self.model(input_ids=packed.flat(input_ids), use_cache=False, **packed.arguments())
    return SequenceClassifierOutputWithPast(
        logits=self.score(found.last_hidden_state[0, packed.ends])
    )
