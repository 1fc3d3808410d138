"""Which runs can read the frozen layers' states from disk, and what those take: no torch here.

Layers below the lowest trained one give the same states in every epoch of every run, so they are
computed once and kept: `cache_prefix` writes them, training reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NotRequired, TypedDict, cast

from ablation.settings.architecture import ABSENT, LINEAR, Facts, is_full
from ablation.settings.catalogue import Settings
from ablation.settings.profile import Profile, RowCounts
from ablation.settings.quantities import cut_of, engine_dtype, extract_of, kernels_of

# Decoders whose layers depend on nothing but the states and the positions of earlier tokens.
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
GIGABYTE = 10**9
MOST_NAMED = 3  # arms in a sentence


def boundary_of(settings: Settings) -> int:
    """Number of frozen layers below the lowest that an arm trains."""
    layers = settings.get("lora.layers_to_transform")
    return min(layers) if layers else 0


def why_plain(settings: Settings, architecture: Facts) -> str | None:
    """Why an arm has to compute its frozen layers itself; None where it can read them.

    Args:
        settings: The arm's settings.
        architecture: Facts of config.json; what it doesn't tell is taken to be harmless.
    """
    return why_plain_model(architecture) or why_plain_arm(settings)


def why_plain_model(architecture: Facts) -> str | None:
    """The same for all arms of a model."""
    family = architecture.get("model_type")
    if family not in FAMILIES:
        return f"the architecture {family} is not one of {', '.join(FAMILIES)}"
    return "the base model has dropout" if architecture.get("attention_dropout") else None


def why_plain_arm(settings: Settings) -> str | None:
    """The same for an arm, whatever its model."""
    if is_full(settings):
        return "all weights are trained"
    saved, targets = settings["lora.modules_to_save"] or [], settings["lora.target_modules"]
    if boundary_of(settings) == 0:
        return "LoRA is in the first layer"
    if targets != "all-linear" and not (
        isinstance(targets, list) and set(targets) - ABSENT <= {*LINEAR}
    ):
        return f"lora.target_modules {targets} may reach below the first adapted layer"
    if set(saved) - {"score"} - ABSENT:
        return f"lora.modules_to_save {saved} trains more than the head"
    if settings["lora.bias"] == "all":
        return "lora.bias: all trains biases of every layer"
    if settings["model.dtype"] not in ("float32", engine_dtype(settings)):
        return f"weights are rounded to {settings['model.dtype']} and then again"
    if settings.get("neftune_noise_alpha"):
        return "noise is added to the embeddings"
    if settings.get("deepspeed.zero_optimization.stage") == 3:
        return "ZeRO-3 shares out the layers itself"
    return None


def why_cut(cut: int | None, cached: int | None, tail: Sequence[int]) -> str | None:
    """Why a cache of texts cut to `cached` tokens doesn't hold those of an arm that cuts to `cut`.

    A shorter cut is the beginning of a longer one, but not where the text's last special tokens
    stay at its end.

    Args:
        cut: Most tokens of a text that the arm reads, None for all.
        cached: Most tokens of a text in the cache, None for all.
        tail: `special_tail` of the data's profile.json.
    """
    if cached is not None and (cut is None or cut > cached):
        return f"the cache was cut to {cached} tokens"
    if tail and cut != cached:
        whole = "whole" if cached is None else f"cut to {cached} tokens"
        return f"its texts are cut before their last special token, those of the cache are {whole}"
    return None


@dataclass
class Wanted:
    """What the cache of one dtype is to hold, as plain values.

    Attributes:
        boundaries: Numbers of layers, ascending.
        max_length: The longest text in tokens; None: whole texts.
        extracts: What tells the training rows of the arms, each once: see `extract_of`.
        kernels: The study's `kernels`.
    """

    boundaries: list[int] = field(default_factory=list)
    max_length: int | None = 0
    extracts: list[tuple[Any, ...]] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)


class WantedValues(TypedDict):
    """`Wanted` as plain values, for a command line; without `kernels` where there are none."""

    boundaries: list[int]
    max_length: int | None
    extracts: list[tuple[Any, ...]]
    kernels: NotRequired[list[str]]


def wanted_caches(arms: Iterable[Settings]) -> dict[str, Wanted]:
    """What the arms want cached, by the dtype that they train in.

    Args:
        arms: The settings of each arm.
    """
    caches: dict[str, Wanted] = {}
    for settings in arms:
        if why_plain_arm(settings):
            continue
        cache = caches.setdefault(engine_dtype(settings), Wanted(kernels=kernels_of(settings)))
        extract = extract_of(settings)
        if extract not in cache.extracts:
            cache.extracts.append(extract)
        cache.boundaries = sorted({*cache.boundaries, boundary_of(settings)})
        cut = cut_of(settings)
        cache.max_length = (
            None if cut is None or cache.max_length is None else max(cut, cache.max_length)
        )
    return caches


def wanted_values(arms: Iterable[Settings]) -> dict[str, WantedValues]:
    """The same as plain values, for a command line."""
    caches = {}
    for dtype, wanted in wanted_caches(arms).items():
        caches[dtype] = values = cast(WantedValues, asdict(wanted))
        if not wanted.kernels:  # what is asked for decides whether a cache is made again
            del values["kernels"]
    return caches


def state_bytes(hidden_size: int, dtype: str) -> int:
    """Bytes of one token's state at one boundary."""
    return hidden_size * BYTES[dtype]


def fit_budget(boundaries: list[int], bytes_each: int, budget_gb: float) -> tuple[list[int], float]:
    """What the disk budget has room for: boundaries, and the share of the texts' tokens.

    The lowest, which serves all runs, comes first. Where it doesn't fit, it is kept for a part of
    the texts, and runs compute the others.

    Args:
        boundaries: All that runs want, ascending.
        bytes_each: What one of them takes for all texts.
        budget_gb: Most gigabytes (10^9).
    """
    room = budget_gb * GIGABYTE / max(1, bytes_each)
    kept = boundaries[: max(1, int(room))]
    return kept, min(1.0, room / len(kept))


def describe_prefix(
    arms: Iterable[tuple[str, Settings]],
    architecture: Facts,
    budget_gb: float,
    profile: Profile | None,
) -> list[str]:
    """The plan of the caches in words: what they take, and who can't use them.

    Args:
        arms: Name and settings of each arm.
        architecture: Facts of config.json.
        budget_gb: `prefix_cache_gb` of config.yaml.
        profile: What is known of the prepared data; None before it is there.
    """
    if budget_gb <= 0:
        return ["  prefix_cache_gb is 0: every run computes its frozen layers itself"]
    arms = list(arms)
    lines = []
    supported = why_plain_model(architecture) is None
    caches = wanted_caches([s for _, s in arms]) if supported else {}
    for dtype, wanted in caches.items():
        each = state_bytes(architecture.get("hidden_size") or 0, dtype)
        layers = ", ".join(map(str, wanted.boundaries))
        told, share = f"{each} bytes for each token" if each else "an unknown size", 1.0
        if profile and profile.tokens and each:
            size = each * stored_tokens(wanted, profile.rows, profile.tokens.mean)
            kept, share = fit_budget(wanted.boundaries, size, budget_gb)
            layers = ", ".join(map(str, kept))
            told = f"about {size * len(kept) * share / GIGABYTE:.3g} GB"
        lines.append(
            f"  states of the {layers} frozen layers are computed once ({dtype}): {told}"
            f" of prefix_cache_gb {budget_gb:g}"
        )
        if share < 1:
            lines.append(
                f"  that holds {share:.2g} of the tokens: runs compute the others, in each epoch;"
                f" all of them take {size / GIGABYTE:.3g} GB"
            )
    plain: dict[str, list[str]] = {}
    for name, settings in arms:
        reason = why_plain(settings, architecture)
        if reason is None and profile:
            longest = caches[engine_dtype(settings)].max_length
            # Rows of an earlier version tell no tail; they are prepared again.
            reason = why_cut(cut_of(settings), longest, profile.special_tail or ())
        if reason:
            plain.setdefault(reason, []).append(name)
    return lines + [f"  {_who(names)}: {reason}" for reason, names in plain.items()]


def _who(names: Sequence[str]) -> str:
    """The arms that compute their frozen layers themselves; the first ones stand for many."""
    if len(names) == 1:
        return f"{names[0]} computes its frozen layers itself"
    shown = ", ".join([*names[:MOST_NAMED], *["…"] * (len(names) > MOST_NAMED)])
    return f"{len(names)} arms compute their frozen layers themselves ({shown})"


def _share(extract: Sequence[Any], rows: int) -> float:
    """The share of the training rows that an extract takes."""
    ratio, _, *pool = extract
    return ratio * min(1.0, pool[0] / max(1, rows)) if pool else ratio


def stored_tokens(wanted: Wanted, rows: RowCounts, mean: float) -> int:
    """Tokens that a cache will hold, about: the arms' training rows and all other rows."""
    ratio = max(_share(extract, rows.train) for extract in wanted.extracts)
    texts = min(1.0, ratio) * rows.train + rows.validation + rows.test
    return int(texts * (mean if wanted.max_length is None else min(mean, wanted.max_length)))
