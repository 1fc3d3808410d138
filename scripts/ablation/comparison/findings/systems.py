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
    Texts,
    pairwise_evidence,
)
from ablation.settings.architecture import (
    Architecture,
    backward_layers,
    is_full,
    layer_forwards,
)
from ablation.settings.catalogue import Settings

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
        if is_full(settings):
            continue
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
    if (low is None and high is None) or (low == high and abs((low or 0) - 1) < 0.01):
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
    if moved is None or total is None or stay is None or trained is None:
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
    others = ("optim", "optim_state", "adam_beta1", "adam_beta2", "adam_epsilon")
    if pair.differs(name) and not pair.differs(*others):
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

# Title and text of each finding by language; numbers are put in by format specifications, see
# `texts.py`.
TEXTS: Texts = {
    "compute": {
        "en": (
            "A run of the backup computes {low:times}",
            "{passes:times} the sample passes, times the tokens a row, times {layers:times} the "
            "layer forwards a token ({backup_forwards:number} against "
            "{current_forwards:number}). By epochs alone it would be {epochs:times}.",
        ),
        "ko": (
            "백업의 학습 연산량은 {low:times}이다",
            "누적 샘플 수 {passes:times} × 행당 토큰 × 토큰당 레이어 순전파 {layers:times} "
            "({backup_forwards:number} 대 {current_forwards:number}). 에포크만 보면 "
            "{epochs:times}로 보인다.",
        ),
    },
    "compute_from": {
        "en": (
            "A run of the backup computes at least {low:times}",
            "{passes:times} the sample passes × at least {tokens_low:times} the tokens a row "
            "(limit {backup_limit} against {current_limit}) × {layers:times} the layer forwards "
            "a token ({backup_forwards:number} against {current_forwards:number}). By epochs "
            "alone it would be {epochs:times}.",
        ),
        "ko": (
            "백업의 학습 연산량은 {low:times} 이상이다",
            "누적 샘플 수 {passes:times} × 행당 토큰 {tokens_low:times} 이상 (한도 "
            "{backup_limit} 대 {current_limit}) × 토큰당 레이어 순전파 {layers:times} "
            "({backup_forwards:number} 대 {current_forwards:number}). 에포크만 보면 "
            "{epochs:times}로 보인다.",
        ),
    },
    "compute_between": {
        "en": (
            "A run of the backup computes {low:times} to {high:times}",
            "{passes:times} the sample passes, times the tokens a row, times {layers:times} the "
            "layer forwards a token ({backup_forwards:number} against "
            "{current_forwards:number}). By epochs alone it would be {epochs:times}.",
        ),
        "ko": (
            "백업의 학습 연산량은 {low:times}에서 {high:times} 사이이다",
            "누적 샘플 수 {passes:times} × 행당 토큰 × 토큰당 레이어 순전파 {layers:times} "
            "({backup_forwards:number} 대 {current_forwards:number}). 에포크만 보면 "
            "{epochs:times}로 보인다.",
        ),
    },
    "checkpointing_through_frozen": {
        "en": (
            "{side:side}: gradient_checkpointing trains through {frozen} frozen "
            "{frozen:layer|layers}",
            "To checkpoint, transformers makes the embedding's output require a gradient, so all "
            "{layers} {layers:layer|layers} {layers:is|are} recomputed and back-propagated: (2 + "
            "{rho:number}) × {layers} = {on:number} layer forwards a token. Without checkpointing "
            "it is {layers} + {reached} = {off:number}, so it costs {factor:times}; with the hook "
            "removed {unhooked:number} ({unhooked_factor:times}). Memory is what it buys.",
        ),
        "ko": (
            "{side:side}: gradient_checkpointing 때문에 고정된 레이어 {frozen}개까지 역전파한다",
            "체크포인팅을 켜면 transformers가 임베딩 출력에 그래디언트를 요구하므로 레이어 "
            "{layers}개 전부를 다시 계산하고 역전파한다: 토큰당 레이어 순전파 (2 + {rho:number}) "
            "× {layers} = {on:number}. 끄면 {layers} + {reached} = {off:number}이므로 비용이 "
            "{factor:times}이고, 훅만 없애면 {unhooked:number} ({unhooked_factor:times})이다. 그 "
            "대가로 얻는 것은 메모리이다.",
        ),
    },
    "deepspeed_checkpointing_idle": {
        "en": (
            "{side:side}: DeepSpeed's activation_checkpointing has no effect",
            "{keys:names} {keys:configures|configure} deepspeed.checkpointing, which a model has "
            "to call itself; no Hugging Face model does. What counts is gradient_checkpointing: "
            "{instead:value} here.",
        ),
        "ko": (
            "{side:side}: DeepSpeed의 activation_checkpointing은 효과가 없다",
            "이 키들은 모델이 직접 호출해야 하는 deepspeed.checkpointing을 설정하는데, Hugging "
            "Face 모델은 이를 호출하지 않는다: {keys:names}. 실제로 작동하는 설정은 "
            "gradient_checkpointing이며 여기서는 {instead:value}이다.",
        ),
    },
    "memory_estimate": {
        "en": (
            "Memory of a GPU: about {current_gpu:memory} against {backup_gpu:memory}",
            "Mostly weights ({current_weights:memory}); activations {current_activations:memory} "
            "against {backup_activations:memory} ({activations_factor:times}) with texts as long "
            "as max_length. An estimate, without the CUDA context.",
        ),
        "ko": (
            "GPU 메모리 추정: {current_gpu:memory} 대 {backup_gpu:memory}",
            "대부분은 가중치 ({current_weights:memory})이다. 모든 텍스트가 max_length만큼 길 때 "
            "활성값은 {current_activations:memory} 대 {backup_activations:memory} "
            "({activations_factor:times})이다. CUDA 컨텍스트를 뺀 추정치이다.",
        ),
    },
    "offload_moves_little": {
        "en": (
            "{side:side}: offloading the optimizer frees {moved:memory}",
            "Only {trained:number} {trained:weight|weights} {trained:is|are} trained: 12 bytes "
            "each, shared by {world} {world:device|devices}, {trained:is|are} {moved:memory}, "
            "{share:percent} of a GPU's memory here. The other side keeps {other_optimizer:memory} "
            "on the GPU.",
        ),
        "ko": (
            "{side:side}: 옵티마이저 오프로드가 비우는 메모리는 {moved:memory}뿐이다",
            "학습되는 가중치가 {trained:number}개뿐이다. 가중치당 12바이트를 장치 {world}개가 "
            "나누면 {moved:memory}, GPU 메모리의 {share:percent}이다. 다른 쪽이 GPU에 두는 양은 "
            "{other_optimizer:memory}이다.",
        ),
    },
    "bucket_too_large": {
        "en": (
            "The reduce bucket takes {bytes:memory} of each GPU for {trained:number} "
            "{trained:gradient|gradients}",
            "True of {sides:sides}: ZeRO 1 and 2 reserve reduce_bucket_size elements on each "
            "GPU, however little is trained.",
        ),
        "ko": (
            "그래디언트 {trained:number}개를 위해 GPU마다 reduce 버킷을 {bytes:memory} 잡는다",
            "해당: {sides:sides}. ZeRO 1과 2는 학습되는 양과 상관없이 GPU마다 "
            "reduce_bucket_size만큼의 원소를 잡아 둔다.",
        ),
    },
    "param_offload_idle": {
        "en": (
            "{side:side}: offload_param works with ZeRO 3 only",
            "The stage is {stage}, so device {device} does nothing.",
        ),
        "ko": (
            "{side:side}: offload_param은 ZeRO 3에서만 작동한다",
            "ZeRO 단계가 {stage}이므로 장치 지정({device})은 효과가 없다.",
        ),
    },
    "optimizer_the_same": {
        "en": (
            "The same optimizer in two implementations",
            "{optim} as {current_implementation} and as {backup_implementation}: the same "
            "algorithm, other rounding and speed.",
        ),
        "ko": (
            "같은 옵티마이저의 두 구현이다",
            "{optim}의 {current_implementation} 구현과 {backup_implementation} 구현이다. "
            "알고리즘은 같고 반올림과 속도만 다르다.",
        ),
    },
}
