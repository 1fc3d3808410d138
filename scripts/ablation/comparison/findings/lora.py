"""Findings on the adapters: their scale, their size, and the layers they sit in."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.comparison.findings.finding import (
    INFO,
    PROBLEM,
    SIDES,
    WARNING,
    Finding,
    Pair,
    Texts,
    pairwise_evidence,
)
from ablation.settings.architecture import adapted_layers, count_trainable, is_full

SIZE = ("lora.r", "lora.layers_to_transform", "lora.target_modules", "lora.use_dora", "lora.bias")


def frozen_head(pair: Pair) -> Iterator[Finding]:
    """peft trains a new head only where the task type or `modules_to_save` names it."""
    name = "lora.trains_head"
    for side in SIDES:
        if pair.value(side, name) is False:
            yield pair.find("head_frozen", PROBLEM, {}, [name], side)


def scale(pair: Pair) -> Iterator[Finding]:
    """alpha / r is what counts: when it is equal, a larger alpha is no cause of its own."""
    names = ("lora.r", "lora.lora_alpha", "lora.use_rslora")
    if not pair.differs(*names) or None in pair.both("lora.r"):
        return
    scales = pair.amounts("lora.scale")
    evidence = {
        **pairwise_evidence("scale", scales),
        **pairwise_evidence("r", pair.both("lora.r")),
        **pairwise_evidence("alpha", pair.both("lora.lora_alpha")),
    }
    if scales[0] == scales[1]:
        yield pair.find("lora_scale_same", WARNING, evidence, names[:2])
    else:
        evidence["factor"] = pair.factor("lora.scale")
        yield pair.find("lora_scale_differs", WARNING, evidence, names[:2])


def parameters(pair: Pair) -> Iterator[Finding]:
    """Trained weights grow by the real factor, not by that of the rank."""
    if pair.architecture is None or not pair.differs(*SIZE) or None in pair.both("lora.r"):
        return
    counts = [
        count_trainable(pair.architecture, pair.quantities[side].settings, pair.plan.num_labels)
        for side in SIDES
    ]
    ranks = pair.both("lora.r")
    evidence = {
        **pairwise_evidence("lora", tuple(count.lora for count in counts)),
        **pairwise_evidence("layers", pair.amounts("layers_adapted")),
        **pairwise_evidence("r", ranks),
        "rank_factor": ranks[1] / ranks[0],
        "lora_factor": pair.factor("lora_parameters"),
    }
    settings = [name for name in SIZE if pair.differs(name)]
    if pair.factor("lora_parameters") == evidence["rank_factor"]:
        return  # as anybody expects
    if pair.plan.num_labels is None:
        yield pair.find("lora_parameters", WARNING, evidence, settings)
        return
    evidence |= {
        **pairwise_evidence("total", tuple(count.total for count in counts)),
        "factor": pair.factor("trainable_parameters"),
        "head": counts[0].saved,
        "labels": pair.plan.num_labels,
    }
    yield pair.find("trainable_parameters", WARNING, evidence, settings)


def layers(pair: Pair) -> Iterator[Finding]:
    """How the two sets of layers lie to each other."""
    name = "lora.layers_to_transform"
    current, backup = (_layers_of(pair, side) for side in SIDES)
    if not pair.differs(name) or current is None or backup is None:
        return
    evidence = {
        **pairwise_evidence("layers", (current, backup)),
        **pairwise_evidence("count", (len(current), len(backup))),
        "only_current": sorted(set(current) - set(backup)),
        "only_backup": sorted(set(backup) - set(current)),
    }
    if set(backup) <= set(current):
        yield pair.find("layers_backup_inside", INFO, evidence, [name])
    elif set(current) <= set(backup):
        yield pair.find("layers_current_inside", INFO, evidence, [name])
    else:
        yield pair.find("layers_apart", INFO, evidence, [name])


def _layers_of(pair: Pair, side: str) -> list[int] | None:
    """The layers with adapters; None where that takes the model's number of layers to know."""
    if is_full(pair.quantities[side].settings):
        return None
    if pair.architecture is not None:
        return adapted_layers(pair.architecture, pair.quantities[side].settings)
    named = pair.value(side, "lora.layers_to_transform")
    return named if named and min(named) >= 0 else None


def negative_layers(pair: Pair) -> Iterator[Finding]:
    """peft compares indices with layer names: a negative one matches no layer."""
    name = "lora.layers_to_transform"
    for side in SIDES:
        found = pair.setting(side, name)
        if found is None or found.value is None:
            continue
        if (found.note or "").startswith("counted from the end"):
            yield pair.find("negative_layers", WARNING, {"layers": found.value}, [name], side)
        elif min(found.value) < 0:
            yield pair.find("negative_layers_uncounted", WARNING, {}, [name], side)


def idle_bias(pair: Pair) -> Iterator[Finding]:
    """`lora.bias` trains biases that the model may not have."""
    if pair.architecture is None or not pair.architecture.known or pair.architecture.biased:
        return
    sides = [side for side in SIDES if pair.value(side, "lora.bias") not in (None, "none")]
    if sides:
        places = [p for side in sides for p in pair.places("lora.bias", side=side)]
        evidence = {"value": pair.value(sides[0], "lora.bias"), "family": pair.architecture.family}
        yield pair.find("bias_idle", INFO, evidence, ["lora.bias"], places=places)


def uncounted(pair: Pair) -> Iterator[Finding]:
    """Modules that are trained and not in the count of weights."""
    if pair.architecture is None:
        return
    for side in SIDES:
        settings = pair.quantities[side].settings
        if is_full(settings):
            continue
        names = count_trainable(pair.architecture, settings, pair.plan.num_labels).uncounted
        if names:
            evidence = {"modules": list(names)}
            where = ["lora.modules_to_save", "lora.target_modules"]
            yield pair.find("modules_uncounted", INFO, evidence, where, side)


def assumed_family(pair: Pair) -> Iterator[Finding]:
    """Weights are exact for the families whose layers are known."""
    if pair.architecture is not None and not pair.architecture.known:
        yield pair.find("family_assumed", INFO, {"family": pair.architecture.family}, [])


CHECKS = (
    frozen_head,
    scale,
    parameters,
    layers,
    negative_layers,
    idle_bias,
    uncounted,
    assumed_family,
)

# Title and text of each finding by language; numbers are put in by format specifications, see
# `texts.py`.
TEXTS: Texts = {
    "head_frozen": {
        "en": (
            "{side:side}: a classifier's head stays as it was drawn at random",
            "Its LoRA block has no task_type, and modules_to_save does not name the head: peft "
            "trains the adapters alone. `task_type: SEQ_CLS` trains the head.",
        ),
        "ko": (
            "{side:side}: 분류기 헤드가 무작위 초깃값 그대로 고정된다",
            "LoRA 블록에 task_type이 없고 modules_to_save에도 헤드가 없어 peft는 어댑터만 "
            "학습한다. `task_type: SEQ_CLS`로 쓰면 헤드도 학습한다.",
        ),
    },
    "lora_scale_same": {
        "en": (
            "The LoRA scale is the same: {current_scale:value}",
            "alpha / r is {current_alpha:value} / {current_r} = {current_scale:value} and "
            "{backup_alpha:value} / {backup_r} = {backup_scale:value}. A larger alpha at the "
            "same ratio scales nothing up; it is no cause of its own.",
        ),
        "ko": (
            "LoRA 스케일은 같다: {current_scale:value}",
            "alpha / r은 현재 {current_alpha:value} / {current_r} = {current_scale:value}, "
            "백업 {backup_alpha:value} / {backup_r} = {backup_scale:value}이다. 비율이 같으면 "
            "alpha가 커져도 어댑터의 출력은 커지지 않으므로, alpha는 별도의 원인이 될 수 없다.",
        ),
    },
    "lora_scale_differs": {
        "en": (
            "The LoRA scale differs: {current_scale:value} against {backup_scale:value}",
            "{current_alpha:value} with rank {current_r} against {backup_alpha:value} with rank "
            "{backup_r}: the adapters' output is multiplied by {factor:times}, whatever the rank "
            "does. Rank at the same alpha and rank at the same scale are two questions.",
        ),
        "ko": (
            "LoRA 스케일이 다르다: {current_scale:value} 대 {backup_scale:value}",
            "랭크 {current_r}에 {current_alpha:value}, 랭크 {backup_r}에 {backup_alpha:value}. "
            "랭크의 효과와 별개로 어댑터의 출력이 {factor:times}로 바뀐다. alpha를 고정한 랭크와 "
            "스케일을 고정한 랭크는 서로 다른 질문이다.",
        ),
    },
    "trainable_parameters": {
        "en": (
            "{factor:times} the trained weights, not {rank_factor:times}",
            "{backup_total:number} against {current_total:number}. The rank is "
            "{rank_factor:times}, in {backup_layers:value} {backup_layers:layer|layers} against "
            "{current_layers:value} and in the modules that each side names: {backup_lora:number} "
            "against {current_lora:number} LoRA {current_lora:weight|weights} "
            "({lora_factor:times}), and the head of {head:number} {head:weight|weights} ({labels} "
            "{labels:class|classes}) stays.",
        ),
        "ko": (
            "학습되는 가중치는 {rank_factor:times}가 아니라 {factor:times}이다",
            "백업 {backup_total:number} 대 현재 {current_total:number}. 랭크는 "
            "{rank_factor:times}이지만 어댑터를 적용하는 레이어는 {backup_layers:value}개 대 "
            "{current_layers:value}개이고, 대상 모듈은 각 설정이 정한 대로이다. 따라서 LoRA "
            "가중치는 {backup_lora:number} 대 {current_lora:number} ({lora_factor:times})이며, "
            "헤드의 가중치 {head:number}개 (클래스 {labels}개)는 그대로이다.",
        ),
    },
    "lora_parameters": {
        "en": (
            "{lora_factor:times} the LoRA weights, not {rank_factor:times}",
            "{backup_lora:number} against {current_lora:number}: the rank is {rank_factor:times}, "
            "in {backup_layers:value} {backup_layers:layer|layers} against {current_layers:value} "
            "and in the modules that each side names. The head comes on top; its number of classes "
            "is not known.",
        ),
        "ko": (
            "LoRA 가중치는 {rank_factor:times}가 아니라 {lora_factor:times}이다",
            "백업 {backup_lora:number} 대 현재 {current_lora:number}. 랭크는 "
            "{rank_factor:times}이지만 어댑터를 적용하는 레이어는 {backup_layers:value}개 대 "
            "{current_layers:value}개이고, 대상 모듈은 각 설정이 정한 대로이다. 클래스 수를 몰라 "
            "헤드는 뺐다.",
        ),
    },
    "layers_backup_inside": {
        "en": (
            "The backup's {backup_count} {backup_count:layer|layers} {backup_count:is|are} among "
            "the current {current_count}",
            "{backup_layers:value} lie inside {current_layers:value}. What the current side has "
            "more are adapters in {only_current:value}; in the others both train.",
        ),
        "ko": (
            "백업의 레이어 {backup_count}개는 현재의 {current_count}개 안에 있다",
            "백업 {backup_layers:value}, 현재 {current_layers:value}. 현재 설정에만 어댑터가 "
            "있는 레이어는 {only_current:value}이고, 나머지 레이어는 양쪽 모두 학습한다.",
        ),
    },
    "layers_current_inside": {
        "en": (
            "The current {current_count} {current_count:layer|layers} {current_count:is|are} among "
            "the backup's {backup_count}",
            "{current_layers:value} lie inside {backup_layers:value}. The backup has "
            "{only_backup:value} on top.",
        ),
        "ko": (
            "현재의 레이어 {current_count}개는 백업의 {backup_count}개 안에 있다",
            "현재 {current_layers:value}, 백업 {backup_layers:value}. 백업에만 있는 레이어: "
            "{only_backup:value}.",
        ),
    },
    "layers_apart": {
        "en": (
            "The adapted layers differ on both sides",
            "Only current: {only_current:value}. Only backup: {only_backup:value}.",
        ),
        "ko": (
            "어댑터가 붙는 레이어가 서로 다르다",
            "현재에만: {only_current:value}. 백업에만: {only_backup:value}.",
        ),
    },
    "negative_layers": {
        "en": (
            "{side:side} counts layers from the end; peft does not",
            "peft compares an index with the layer's number: a negative one matches none, and "
            "with negative ones alone it stops with NoMatchingPeftModuleError. The loop of "
            "{file:file} must have counted them itself. In a Trainer configuration write "
            "{layers:value}.",
        ),
        "ko": (
            "{side:side} 설정은 레이어를 뒤에서부터 세지만 peft는 그렇게 세지 않는다",
            "peft는 번호를 레이어 번호와 그대로 비교하므로 음수는 어떤 레이어와도 맞지 않고, "
            "음수만 있으면 NoMatchingPeftModuleError로 멈춘다. {file:file}{:을|를} 쓰는 학습 "
            "코드가 직접 바꿔 셌을 것이다. Trainer 설정에는 {layers:value}라고 적어야 한다.",
        ),
    },
    "negative_layers_uncounted": {
        "en": (
            "{side:side} counts layers from the end; peft does not",
            "peft compares an index with the layer's number: a negative one matches none, and "
            "with negative ones alone it stops with NoMatchingPeftModuleError. With --layers or "
            "--model-config they are counted here.",
        ),
        "ko": (
            "{side:side} 설정은 레이어를 뒤에서부터 세지만 peft는 그렇게 세지 않는다",
            "peft는 번호를 레이어 번호와 그대로 비교하므로 음수는 어떤 레이어와도 맞지 않고, "
            "음수만 있으면 NoMatchingPeftModuleError로 멈춘다. --layers나 --model-config를 주면 "
            "여기서 바꿔 센다.",
        ),
    },
    "bias_idle": {
        "en": (
            "lora.bias: {value} trains nothing",
            "The attention layers of this {family} model have no biases, so there is none to "
            "train.",
        ),
        "ko": (
            "lora.bias: {value} 설정으로 학습되는 것이 없다",
            "이 {family} 모델의 어텐션 레이어에는 편향이 없어 학습할 것이 없다.",
        ),
    },
    "modules_uncounted": {
        "en": (
            "{side:side}: not every trained module is counted",
            "{modules:names} {modules:is|are} trained, too, and missing in the number of trained "
            "weights.",
        ),
        "ko": (
            "{side:side}: 학습되는 모듈 일부는 세지 못했다",
            "다음 모듈도 학습되지만 학습 가중치 수에는 빠져 있다: {modules:names}.",
        ),
    },
    "family_assumed": {
        "en": (
            "Layers of {family} are taken to be like Llama's",
            "The numbers of weights, FLOPs and bytes are exact for llama, mistral, qwen2 and "
            "qwen3 only.",
        ),
        "ko": (
            "{family}의 레이어는 Llama와 같다고 가정했다",
            "가중치, FLOPs, 바이트는 llama, mistral, qwen2, qwen3에서만 정확하다.",
        ),
    },
}
