"""Findings on compute and memory: what costs, what saves, and what does nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.comparison.findings.finding import (
    CURRENT,
    INFO,
    SIDES,
    WARNING,
    Finding,
    Pair,
    pairwise_evidence,
)
from ablation.settings.architecture import (
    Architecture,
    Settings,
    backward_layers,
    layer_forwards,
)

CHECKPOINTING = "gradient_checkpointing"
ZERO = "deepspeed.zero_optimization"
OFFLOAD = f"{ZERO}.offload_optimizer.device"
# A buffer this many times larger than what passes through it is worth a word.
LARGE_BUFFER = 4.0


def idle_activation_checkpointing(pair: Pair) -> Iterator[Finding]:
    """DeepSpeed's block configures an API of its own that no Hugging Face model calls."""
    for side in SIDES:
        settings = pair.sides[side].settings
        names = [n for n in settings if n.startswith("deepspeed.activation_checkpointing.")]
        if names:
            evidence = {
                "keys": [name.rsplit(".", 1)[1] for name in names],
                "instead": pair.value(side, CHECKPOINTING),
            }
            yield pair.find("deepspeed_checkpointing_idle", WARNING, evidence, names, side)


def checkpointing_through_frozen_layers(pair: Pair) -> Iterator[Finding]:
    """The hook on the embedding sends the gradient through layers that nothing trains."""
    if pair.architecture is None:
        return
    for side in SIDES:
        settings = pair.quantities[side].settings
        reached = backward_layers(pair.architecture, settings)
        if not settings[CHECKPOINTING] or reached >= pair.architecture.layers:
            continue
        evidence = {
            "layers": pair.architecture.layers,
            "reached": reached,
            "frozen": pair.architecture.layers - reached,
            "rho": pair.architecture.recomputed_share,
            **_costs(pair.architecture, settings),
        }
        names = [CHECKPOINTING, "lora.layers_to_transform"]
        yield pair.find("checkpointing_through_frozen", WARNING, evidence, names, side)


def _costs(architecture: Architecture, settings: Settings) -> dict[str, float]:
    """Layer forwards per token as it is, without checkpointing, and with its hook removed."""
    as_it_is = layer_forwards(architecture, settings)
    off = layer_forwards(architecture, {**settings, CHECKPOINTING: False})
    reached = backward_layers(architecture, settings)
    unhooked = architecture.layers + (1 + architecture.recomputed_share) * reached
    return {
        "on": as_it_is,
        "off": off,
        "unhooked": unhooked,
        "factor": as_it_is / off,
        "unhooked_factor": as_it_is / unhooked,
    }


def cost(pair: Pair) -> Iterator[Finding]:
    """What a run of each side computes: passes x tokens x layers, with the factor of each."""
    low, high = pair.bounds("flops_per_run")
    if (low is None and high is None) or (low == high and abs(low - 1) < 0.01):
        return
    tokens = pair.bounds("tokens_per_row")
    evidence = {
        "low": low,
        "high": high,
        "passes": pair.factor("sample_passes"),
        "tokens_low": tokens[0],
        "tokens_high": tokens[1],
        "layers": pair.factor("layer_forwards_per_token"),
        "epochs": pair.factor("num_train_epochs"),
        **pairwise_evidence("forwards", pair.amounts("layer_forwards_per_token")),
        **pairwise_evidence("limit", pair.both("max_length")),
    }
    names = ["num_train_epochs", "data.extract_ratio", "max_length", "padding", CHECKPOINTING]
    kind = "compute" if low == high else "compute_from" if high is None else "compute_between"
    yield pair.find(kind, WARNING, evidence, names)


def memory(pair: Pair) -> Iterator[Finding]:
    """Where the memory of a GPU goes: weights and activations, not the optimizer."""
    totals = pair.amounts("memory.gpu")
    if None in totals or None in pair.amounts("memory.weights"):
        return
    evidence = {
        **pairwise_evidence("gpu", totals),
        **pairwise_evidence("weights", pair.amounts("memory.weights")),
        **pairwise_evidence("activations", pair.amounts("memory.activations")),
        "activations_factor": pair.factor("memory.activations"),
    }
    names = [CHECKPOINTING, "per_device_train_batch_size", "max_length", "model.dtype"]
    yield pair.find("memory_estimate", INFO, evidence, names)


def offload(pair: Pair) -> Iterator[Finding]:
    """Offloading the optimizer of an adapter moves little, and costs copies in every step."""
    if pair.architecture is None or not pair.differs(OFFLOAD):
        return
    side = next(side for side in SIDES if pair.value(side, OFFLOAD) not in (None, "none"))
    moved = pair.quantities[side].get("memory.optimizer")
    total = pair.quantities[side].get("memory.gpu")
    stay = pair.quantities[CURRENT if side != CURRENT else SIDES[1]].get("memory.optimizer")
    trained = pair.quantities[side].get("trainable_parameters")
    if None in (moved, total, stay, trained):
        return
    evidence = {
        "device": pair.value(side, OFFLOAD),
        "moved": moved,
        "share": moved / (total + moved),
        "other_optimizer": stay,
        "trained": trained,
        "world": pair.value(side, "world_size"),
    }
    yield pair.find("offload_moves_little", INFO, evidence, [OFFLOAD], side)


def buffer(pair: Pair) -> Iterator[Finding]:
    """ZeRO 1 and 2 reserve the whole reduce bucket on each GPU, however little is trained."""
    name = f"{ZERO}.reduce_bucket_size"
    large = {}
    for side in SIDES:
        trained = pair.quantities[side].get("trainable_parameters")
        size = pair.quantities[side].get("memory.buffer")
        if trained and size and pair.value(side, name) > LARGE_BUFFER * trained:
            large[side] = trained, size
    if large:
        trained, size = max(large.values())
        evidence = {"sides": list(large), "bytes": size, "trained": trained}
        places = [place for side in large for place in pair.places(name, side=side)]
        yield pair.find("bucket_too_large", INFO, evidence, [name], places=places)


def idle_param_offload(pair: Pair) -> Iterator[Finding]:
    """Parameters are offloaded by ZeRO 3 alone."""
    name = f"{ZERO}.offload_param.device"
    for side in SIDES:
        stage = pair.value(side, f"{ZERO}.stage")
        if pair.value(side, name) not in (None, "none") and stage != 3:
            evidence = {"device": pair.value(side, name), "stage": stage}
            yield pair.find("param_offload_idle", WARNING, evidence, [name, f"{ZERO}.stage"], side)


def optimizers(pair: Pair) -> Iterator[Finding]:
    """Two implementations of one algorithm."""
    name = "optim_implementation"
    if pair.differs(name) and not pair.differs("optim", "adam_beta1", "adam_beta2", "adam_epsilon"):
        evidence = pairwise_evidence("implementation", pair.both(name))
        evidence["optim"] = pair.value(CURRENT, "optim")
        yield pair.find("optimizer_the_same", INFO, evidence, [name, "optim"])


CHECKS = (
    cost,
    checkpointing_through_frozen_layers,
    idle_activation_checkpointing,
    memory,
    offload,
    buffer,
    idle_param_offload,
    optimizers,
)
