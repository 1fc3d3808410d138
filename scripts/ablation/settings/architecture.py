"""What a decoder with adapters holds and costs, from the facts of its config.json (no torch).

Weights are counted exactly for dense Llama-shaped decoders with a classification head; the tests
compare with peft on a meta-device model. Compute and memory are estimates with their formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablation.settings.catalogue import Settings, words

Facts = Mapping[str, Any]  # of a model: its config.json, as it was read

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
LINEAR = (*ATTENTION, *MLP)
ALL_LINEAR = "all-linear"
NEEDED = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
# Families whose weights are counted exactly: which linear layers have a bias whatever config.json
# says, and how many normed heads (query and key) a layer has.
_ALWAYS_BIASED = {"qwen2": ("q_proj", "k_proj", "v_proj")}
_NEVER_BIASED = ("mistral", "qwen2")
_NORMED_HEADS = {"qwen3": 2}
KNOWN_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
# Families whose positions are rotations, so that longer texts are computed; what comes beyond the
# places that they were trained on is extrapolated. Others are taken to have an embedding for each.
ROTARY = words(
    "llama llama4_text mistral mistral3 ministral mixtral qwen2 qwen2_moe qwen3 qwen3_moe "
    "qwen3_next gemma gemma2 gemma3_text gemma3 phi phi3 phimoe falcon gpt_neox gptj stablelm "
    "olmo olmo2 olmo3 cohere cohere2 granite granitemoe smollm3 exaone4 deepseek_v2 "
    "deepseek_v3 starcoder2 nemotron glm glm4 modernbert helium ernie4_5 hunyuan_v1_dense "
    "arcee seed_oss gpt_oss"
)
_PLACES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
_ROTATIONS = ("rope_theta", "rope_scaling", "rope_parameters", "rotary_pct", "rotary_dim")
# Modules that peft saves for a sequence classifier beside the adapter (`PeftModelForSequence-
# Classification`), and names that no classifier has.
HEADS = ("score",)
ABSENT = frozenset({"classifier", "lm_head"})

# The tensor that each linear layer reads, where it is not saved for another reason.
_READS = dict.fromkeys(("q_proj", "k_proj", "v_proj"), "attention")
_READS |= {"gate_proj": "mlp", "up_proj": "mlp", "down_proj": "gated"}

GPU = "gpu"
HOST = "host"


@dataclass(frozen=True)
class Architecture:
    """A dense decoder.

    Attributes:
        family: `model_type` of config.json.
        layers: Number of decoder layers.
        shapes: (inputs, outputs) of each linear layer of a decoder layer.
        biased: The linear layers that have a bias.
        norm_parameters: Weights of the norms of one decoder layer.
        vocab: Rows of the embedding; None where it is not known.
    """

    family: str
    layers: int
    shapes: Mapping[str, tuple[int, int]]
    biased: tuple[str, ...]
    norm_parameters: int
    vocab: int | None

    @property
    def hidden(self) -> int:
        """Width of the hidden state."""
        return self.shapes["q_proj"][0]

    @property
    def known(self) -> bool:
        """Whether weights of this family are counted exactly; else Llama's shapes are assumed."""
        return self.family in KNOWN_FAMILIES

    @property
    def layer_parameters(self) -> int:
        """P: weights of the linear layers of one decoder layer, without biases and norms."""
        return sum(inputs * outputs for inputs, outputs in self.shapes.values())

    @property
    def recomputed_share(self) -> float:
        """rho: share of a layer that checkpointing computes again.

        Non-reentrant checkpointing stops early: the down-projection saves nothing, so it is not
        run a second time.
        """
        inputs, outputs = self.shapes["down_proj"]
        return 1.0 - inputs * outputs / self.layer_parameters

    @property
    def base_parameters(self) -> int | None:
        """All weights of the decoder without a head; None where the vocabulary is not known."""
        if self.vocab is None:
            return None
        biases = sum(self.shapes[name][1] for name in self.biased)
        layer = self.layer_parameters + biases + self.norm_parameters
        return self.vocab * self.hidden + self.layers * layer + self.hidden


def places_of(facts: Facts) -> int | None:
    """The longest text that the model was made for, in tokens; None where nothing tells.

    A rotation that is scaled by a factor reaches that many times further.
    """
    found = next((facts[name] for name in _PLACES if facts.get(name)), None)
    if not isinstance(found, int) or isinstance(found, bool):
        return None
    scaling = facts.get("rope_scaling") or facts.get("rope_parameters")
    if not isinstance(scaling, Mapping) or not isinstance(scaling.get("factor"), (int, float)):
        return found
    start = scaling.get("original_max_position_embeddings") or found
    return max(found, int(float(scaling["factor"]) * int(start)))


def is_rotary(facts: Facts) -> bool:
    """Whether positions are rotations, which reach beyond those that the model was made for."""
    return facts.get("model_type") in ROTARY or any(facts.get(name) for name in _ROTATIONS)


def missing_facts(facts: Facts) -> list[str]:
    """What has to be known of a model before its weights can be counted."""
    missing = [name for name in NEEDED if not facts.get(name)]
    experts = [key for key in facts if "expert" in key and facts[key]]
    return missing + (["a dense decoder: this one has experts"] if experts else [])


def read_architecture(facts: Facts) -> Architecture | None:
    """The architecture in the facts of a config.json; None where facts are missing."""
    if missing_facts(facts):
        return None
    hidden, heads = int(facts["hidden_size"]), int(facts["num_attention_heads"])
    width = int(facts.get("head_dim") or hidden // heads)
    queries, keys = heads * width, int(facts.get("num_key_value_heads") or heads) * width
    middle = int(facts["intermediate_size"])
    family = str(facts.get("model_type") or "unknown")
    vocab = facts.get("vocab_size")
    return Architecture(
        family,
        int(facts["num_hidden_layers"]),
        {
            "q_proj": (hidden, queries),
            "k_proj": (hidden, keys),
            "v_proj": (hidden, keys),
            "o_proj": (queries, hidden),
            "gate_proj": (hidden, middle),
            "up_proj": (hidden, middle),
            "down_proj": (middle, hidden),
        },
        _biased(family, facts),
        2 * hidden + _NORMED_HEADS.get(family, 0) * width,
        int(vocab) if vocab else None,
    )


def _biased(family: str, facts: Facts) -> tuple[str, ...]:
    if family in _NEVER_BIASED:
        return _ALWAYS_BIASED.get(family, ())
    attention = ATTENTION if facts.get("attention_bias") else ()
    return (*attention, *(MLP if facts.get("mlp_bias") and family == "llama" else ()))


# --- Weights that are trained ------------------------------------------------------------------


@dataclass(frozen=True)
class Trainable:
    """Numbers of trained weights.

    Attributes:
        lora: Of the matrices A and B, and with DoRA of the magnitudes.
        bias: Of the biases that `lora.bias` makes trainable.
        saved: Of `modules_to_save`, the classification head first; None without `num_labels`.
        uncounted: Modules that are trained and whose weights are not in the count.
    """

    lora: int
    bias: int
    saved: int | None
    uncounted: tuple[str, ...] = ()

    @property
    def total(self) -> int | None:
        """All of them; None while the number of labels is not known."""
        return None if self.saved is None else self.lora + self.bias + self.saved


def is_full(settings: Settings) -> bool:
    """Whether LoRA is off: all weights are trained."""
    return settings.get("lora.enable") is False


def targets(settings: Settings) -> tuple[str, ...]:
    """The linear layers of a decoder layer that get an adapter."""
    if is_full(settings):
        return ()
    asked = settings["lora.target_modules"]
    if isinstance(asked, str):
        return LINEAR if asked.lower() == ALL_LINEAR else ()
    last = {name.rsplit(".", 1)[-1] for name in asked}
    return tuple(name for name in LINEAR if name in last)


def adapted_layers(architecture: Architecture, settings: Settings) -> list[int]:
    """The decoder layers that get adapters, ascending."""
    asked = None if is_full(settings) else settings.get("lora.layers_to_transform")
    every = range(architecture.layers)
    return list(every) if asked is None else [layer for layer in every if layer in asked]


def count_trainable(
    architecture: Architecture, settings: Settings, num_labels: int | None
) -> Trainable:
    """The weights that one arm trains, as peft makes them trainable for a classifier.

    Without LoRA all of them, which count as saved ones: the head and the decoder.
    """
    if is_full(settings):
        base = architecture.base_parameters
        if base is None or num_labels is None:
            return Trainable(0, 0, None)
        return Trainable(0, 0, base + architecture.hidden * num_labels)
    rank, names = int(settings["lora.r"]), targets(settings)
    layers = len(adapted_layers(architecture, settings))
    shapes = [architecture.shapes[name] for name in names]
    lora = layers * sum(rank * (inputs + outputs) for inputs, outputs in shapes)
    if settings.get("lora.use_dora"):
        lora += layers * sum(outputs for _, outputs in shapes)
    saved, uncounted = _saved(architecture, settings, num_labels)
    biases = _trained_biases(architecture, settings)
    return Trainable(lora, biases, saved, (*uncounted, *_other_targets(settings)))


def _other_targets(settings: Settings) -> list[str]:
    """Targets that are no linear layer of a decoder layer."""
    asked = settings["lora.target_modules"]
    if isinstance(asked, str):
        return [] if asked.lower() == ALL_LINEAR else [asked]
    return sorted(name for name in asked if name.rsplit(".", 1)[-1] not in LINEAR)


def _trained_biases(architecture: Architecture, settings: Settings) -> int:
    kind = settings.get("lora.bias", "none")
    outputs = {name: architecture.shapes[name][1] for name in architecture.biased}
    if kind == "all":
        return architecture.layers * sum(outputs.values())
    if kind == "lora_only":
        layers = len(adapted_layers(architecture, settings))
        return layers * sum(outputs.get(name, 0) for name in targets(settings))
    return 0


def _saved(
    architecture: Architecture, settings: Settings, num_labels: int | None
) -> tuple[int | None, tuple[str, ...]]:
    """Weights of the head and of further `modules_to_save`, and the names that are not counted."""
    further = set(settings.get("lora.modules_to_save") or ()) - {*HEADS, *ABSENT}
    count = architecture.hidden * num_labels if num_labels is not None else None
    if "embed_tokens" in further and architecture.vocab is not None and count is not None:
        count += architecture.vocab * architecture.hidden
        further.discard("embed_tokens")
    return count, tuple(sorted(further))


# --- Compute -----------------------------------------------------------------------------------


def backward_layers(architecture: Architecture, settings: Settings) -> int:
    """k: how many layers a gradient has to pass to reach the lowest trained weight."""
    if "embed_tokens" in (settings.get("lora.modules_to_save") or ()):
        return architecture.layers
    if settings.get("lora.bias") == "all" and architecture.biased:
        return architecture.layers
    adapted = adapted_layers(architecture, settings)
    return architecture.layers - min(adapted, default=architecture.layers)


def layer_forwards(architecture: Architecture, settings: Settings) -> float:
    """Cost of training on one token, in forward passes of one decoder layer (2P FLOPs each).

    L + k without checkpointing: weights are frozen, so a layer's backward costs one forward.
    With Hugging Face's checkpointing (2 + rho) L: its hook on the embedding sends the gradient
    through all layers, and each is computed again. Left out, as they are small: the adapters'
    own products, attention scores, embedding and head. Without LoRA the weights' own gradients
    take another forward.
    """
    if is_full(settings):
        return run_forwards(architecture, settings)
    if settings["gradient_checkpointing"]:
        return (2.0 + architecture.recomputed_share) * architecture.layers
    return float(architecture.layers + backward_layers(architecture, settings))


def flops_per_token(architecture: Architecture, settings: Settings) -> float:
    """FLOPs of training on one token: `layer_forwards` of 2P each."""
    return layer_forwards(architecture, settings) * 2.0 * architecture.layer_parameters


def run_forwards(architecture: Architecture, settings: Settings) -> float:
    """`layer_forwards` of a run of this project that computes all layers.

    Its backward pass ends at the lowest trained layer, with checkpointing too: L + (1 + rho) k.
    Without LoRA it goes through all layers and has the weights' own gradients: L + (2 + rho) L.
    """
    again = 1.0 + architecture.recomputed_share if settings["gradient_checkpointing"] else 1.0
    if is_full(settings):
        return architecture.layers * (2.0 + again)
    return architecture.layers + again * backward_layers(architecture, settings)


# --- Memory ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemoryPart:
    """One part of the memory of a device.

    Attributes:
        name: "weights", "gradients", "optimizer", "buffer" or "activations".
        bytes: Its size.
        place: "gpu", or "host" for what is offloaded (host memory for each device).
        facts: The numbers of its formula.
    """

    name: str
    bytes: int
    place: str
    facts: dict[str, float]


def width_of(settings: Settings) -> int:
    """Bytes of a weight, a gradient or an activation."""
    half = settings.get("bf16") or settings.get("fp16")
    return 2 if half or settings.get("model.dtype") in ("bfloat16", "float16") else 4


def saved_bytes(architecture: Architecture, settings: Settings, *, adapted: bool) -> int:
    """Bytes that autograd saves for one token in one decoder layer, checkpointing off.

    Both norms work in float32; the query and key norms of Qwen3 too. Attention saves its inputs
    and its output (kernels that do not write out the scores), SwiGLU three tensors, and each
    adapter its input, the mask of its dropout (one byte) and A's output. Frozen linear layers
    save nothing.
    """
    width, shapes = width_of(settings), architecture.shapes
    hidden, middle = architecture.hidden, shapes["gate_proj"][1]
    queries, keys = shapes["q_proj"][1], shapes["k_proj"][1]
    size = 2 * 4 * hidden + width * (2 * queries + 2 * keys) + width * 3 * middle
    if architecture.norm_parameters > 2 * hidden:
        size += 4 * (queries + keys)
    if is_full(settings):  # each linear layer keeps its input, for its own weights' gradient
        return size + width * 2 * hidden
    if not adapted:
        return size
    rank, names = int(settings["lora.r"]), targets(settings)
    size += width * rank * len(names)
    if settings.get("lora.lora_dropout"):
        return size + sum((width + 1) * shapes[name][0] for name in names)
    # Without dropout, adapters that read the same tensor share it, and o_proj's is saved anyway.
    shared = {_READS[name]: shapes[name][0] for name in names if name in _READS}
    return size + width * sum(shared.values())


def activation_bytes(architecture: Architecture, settings: Settings) -> int:
    """Bytes of activations that one token keeps at the peak of a step.

    Checkpointing: the input of every layer, and one layer computed again. Without: all that is
    saved in the layers that the gradient passes.
    """
    adapted = set(adapted_layers(architecture, settings))
    with_adapter = saved_bytes(architecture, settings, adapted=True)
    frozen = saved_bytes(architecture, settings, adapted=False)
    if settings["gradient_checkpointing"]:
        inputs = architecture.layers * width_of(settings) * architecture.hidden
        return inputs + (with_adapter if adapted else frozen)
    passed = backward_layers(architecture, settings)
    frozen_on_the_way = max(0, passed - len(adapted))
    return len(adapted) * with_adapter + frozen_on_the_way * frozen


def estimate_memory(
    architecture: Architecture, settings: Settings, num_labels: int
) -> list[MemoryPart]:
    """The parts of one device's memory while it trains, texts as long as `max_length`.

    ZeRO 1 shares out optimizer states, 2 also gradients, 3 also weights. Left out: the CUDA
    context, the allocator's slack, kernels' workspaces.
    """
    trained = count_trainable(architecture, settings, num_labels)
    width, stage = width_of(settings), int(settings["deepspeed.zero_optimization.stage"])
    devices = int(settings["world_size"])
    place = _offload(settings, "optimizer")
    total, count = _all_weights(architecture, trained), trained.total or 0
    states = 12 if width == 2 else 8
    parts = []
    if total is not None:
        shares = devices if stage >= 3 else 1
        held = HOST if stage >= 3 and _offload(settings, "param") == HOST else GPU
        parts.append(_part("weights", held, count=total, width=width, shares=shares))
    shares = devices if stage >= 2 else 1
    parts.append(_part("gradients", place, count=count, width=width, shares=shares))
    shares = devices if stage >= 1 else 1
    parts.append(_part("optimizer", place, count=count, width=states, shares=shares))
    if stage in (1, 2):
        bucket = int(settings["deepspeed.zero_optimization.reduce_bucket_size"])
        parts.append(_part("buffer", GPU, count=bucket, width=width, shares=1))
    tokens = int(settings["per_device_train_batch_size"]) * int(settings["max_length"])
    each = activation_bytes(architecture, settings)
    return [*parts, _part("activations", GPU, count=tokens, width=each, shares=1)]


def _part(name: str, place: str, *, count: int, width: int, shares: int) -> MemoryPart:
    facts: dict[str, float] = {"count": count, "width": width, "shares": shares}
    return MemoryPart(name, math.ceil(count * width / shares), place, facts)


def _offload(settings: Settings, what: str) -> str:
    device = settings.get(f"deepspeed.zero_optimization.offload_{what}.device") or "none"
    return GPU if device == "none" else HOST


def _all_weights(architecture: Architecture, trained: Trainable) -> int | None:
    """Weights in memory: the decoder, what is trained, and the originals of what peft copies."""
    base = architecture.base_parameters
    if base is None or trained.saved is None:
        return None
    if trained.saved >= base:  # all of it is trained, and nothing is copied
        return trained.saved
    head = 2 * trained.saved if not trained.uncounted else trained.saved
    return base + trained.lora + head
