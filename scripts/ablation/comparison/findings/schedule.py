"""Findings on the learning rate over the run and on weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ablation.comparison.findings.finding import (
    INFO,
    SIDES,
    WARNING,
    Finding,
    Pair,
    Texts,
    pairwise_evidence,
)
from ablation.dialects.reader import DEFAULT
from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS, Settings
from ablation.settings.schedules import learning_rates

TYPE, KWARGS, WARMUP = "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"
SMALL_SHRINKAGE = 0.01
# Schedules of DeepSpeed whose lengths are numbers of steps, whatever the run's length.
IN_STEPS = ("OneCycle", "LRRangeTest")
DEEPSPEED_WARMUPS = ("WarmupLR", "WarmupDecayLR", "WarmupCosineLR")
TWIN_STEPS = 5_000


def absent_scheduler(pair: Pair) -> Iterator[Finding]:
    """No scheduler in the file is not a constant rate where Trainer runs it."""
    for side in SIDES:
        found = pair.setting(side, TYPE)
        if found is None or found.origin != DEFAULT:
            continue
        names = [TYPE, WARMUP]
        rates = pair.quantities[side].planned[-1]
        evidence = {"type": found.value, "library": found.key}
        if found.value == "constant":
            yield pair.find("scheduler_absent_constant", INFO, evidence, names, side)
            continue
        peak, warmup, steps = (rates[n] for n in ("learning_rate.peak", "warmup", "steps"))
        if peak is None or warmup is None or steps is None or warmup > steps:
            continue
        evidence |= {
            "peak": peak,
            "end": rates["learning_rate.last_over_peak"],
            "warmup": warmup / steps,
        }
        yield pair.find("scheduler_absent", WARNING, evidence, names, side)


def shapes(pair: Pair) -> Iterator[Finding]:
    """Start, peak and end of both curves."""
    if not pair.differs(TYPE, KWARGS) or None in pair.amounts("learning_rate.peak"):
        return
    evidence: dict[str, Any] = pairwise_evidence("type", pair.both(TYPE))
    for side in SIDES:
        rates = pair.quantities[side].planned[-1]
        peak, mean = rates["learning_rate.peak"], rates["learning_rate.mean"]
        evidence |= {
            f"{side}_peak": pair.quantities[side].get("learning_rate.peak"),
            f"{side}_last": pair.quantities[side].get("learning_rate.last"),
            f"{side}_end": rates["learning_rate.last_over_peak"],
            f"{side}_mean": mean / peak if peak and mean is not None else None,
        }
    yield pair.find("schedules_differ", INFO, evidence, [TYPE, KWARGS, "learning_rate"])


def idle_first_step(pair: Pair) -> Iterator[Finding]:
    """A warmup that starts at zero spends the first step on nothing."""
    idle = [side for side in SIDES if pair.quantities[side].get("learning_rate.first") == 0]
    rates = {side: pair.quantities[side].get("learning_rate.first_above_zero") for side in idle}
    if idle:
        known = [side for side in idle if rates[side] is not None]
        evidence: dict[str, Any] = {"sides": idle}
        evidence |= {"last_side": known[-1], "second": rates[known[-1]]} if known else {}
        name = "first_step_idle" if known else "first_step_idle_in_rows"
        places = [p for side in idle for p in pair.places(TYPE, WARMUP, side=side)]
        yield pair.find(name, INFO, evidence, [TYPE, WARMUP], places=places)


def peak_out_of_reach(pair: Pair) -> Iterator[Finding]:
    """A warmup that is longer than the run: the rate that is written is never reached."""
    for side in SIDES:
        warmup, steps = (pair.quantities[side].get(name) for name in ("warmup", "steps"))
        if warmup is None or steps is None or warmup < steps or warmup == 0:
            continue
        evidence = {
            "warmup": warmup,
            "steps": steps,
            "written": pair.value(side, "learning_rate"),
            "reached": pair.quantities[side].get("learning_rate.peak"),
        }
        yield pair.find("warmup_longer_than_run", WARNING, evidence, [WARMUP, "max_steps"], side)


def summed_rate(pair: Pair) -> Iterator[Finding]:
    """The distance weights can travel is the sum of the rate over the run, not its peak."""
    total = pair.factor("learning_rate.sum")
    if total is None or (not pair.differs("learning_rate") and abs(total - 1) < 0.01):
        return
    evidence = {
        **pairwise_evidence("peak", pair.amounts("learning_rate.peak")),
        **pairwise_evidence("sum", pair.amounts("learning_rate.sum")),
        "peak_factor": pair.factor("learning_rate.peak"),
        "mean_factor": pair.factor("learning_rate.mean"),
        "steps_factor": pair.factor("steps"),
        "sum_factor": total,
    }
    names = ["learning_rate", TYPE, "num_train_epochs", "data.extract_ratio"]
    yield pair.find("learning_rate_sum", WARNING, evidence, names)


def summed_decay(pair: Pair) -> Iterator[Finding]:
    """What decay does over a run is the product over its steps, and often nothing."""
    if not pair.differs("weight_decay"):
        return
    coefficients = pair.both("weight_decay")
    shrinkages = pair.amounts("weight_decay.shrinkage")
    evidence = {
        **pairwise_evidence("coefficient", coefficients),
        **pairwise_evidence("shrinkage", shrinkages),
        **pairwise_evidence("sum", pair.amounts("weight_decay.sum")),
        "coefficient_factor": coefficients[1] / coefficients[0] if coefficients[0] else None,
        "sum_factor": pair.factor("weight_decay.sum"),
        "small": SMALL_SHRINKAGE,
    }
    names = ["weight_decay", "learning_rate", "num_train_epochs", "data.extract_ratio"]
    decaying = [place for place, value in enumerate(coefficients) if value]
    if len(decaying) == 1:
        one = decaying[0]
        evidence |= {"side": SIDES[one], "share": shrinkages[one], "decay": coefficients[one]}
        if shrinkages[one] is None:
            yield pair.find("weight_decay_on_one_side_in_rows", WARNING, evidence, names)
        else:
            yield pair.find("weight_decay_on_one_side", WARNING, evidence, names)
        return
    told = [value for value in shrinkages if value is not None]
    if len(told) < len(SIDES):
        yield pair.find("weight_decay_ratio", WARNING, evidence, names)
    elif max(told) < SMALL_SHRINKAGE:
        yield pair.find("weight_decay_too_small", WARNING, evidence, names)
    else:
        yield pair.find("weight_decay_total", WARNING, evidence, names)


def decayed_weights(pair: Pair) -> Iterator[Finding]:
    """Trainer spares biases and norms from decay; an optimizer that DeepSpeed makes does not."""
    name = "optim_implementation"
    if not pair.differs(name) or "deepspeed" not in pair.both(name):
        return
    saved = {m for side in SIDES for m in pair.value(side, "lora.modules_to_save") or ()}
    model = pair.architecture
    biased = model is None or not model.known or bool(model.biased)
    trains_bias = biased and any(pair.value(side, "lora.bias") != "none" for side in SIDES)
    apart = trains_bias or any("norm" in module for module in saved)
    evidence = pairwise_evidence("implementation", pair.both(name))
    if apart:
        yield pair.find("decay_covers_biases", WARNING, evidence, [name, "lora.bias"])
    else:
        yield pair.find("decay_covers_the_same", INFO, evidence, [name, "lora.bias"])


def warmup_in_steps(pair: Pair) -> Iterator[Finding]:
    """The same share of a longer run is a longer warmup."""
    shares, steps = pair.both(WARMUP), pair.amounts("warmup")
    factor = pair.factor("warmup")
    if None in shares or factor is None:
        return
    evidence = {
        **pairwise_evidence("warmup", shares),
        **pairwise_evidence("steps", steps),
        "factor": factor,
    }
    units = {value < 1 for value in shares if value}
    if len(units) == 2:
        yield pair.find("warmup_units", WARNING, evidence, [WARMUP])
    elif shares[0] == shares[1] and 0 < shares[0] < 1 and abs(factor - 1) > 0.05:
        yield pair.find("warmup_share_same", INFO, evidence, [WARMUP])


def warmup_types(pair: Pair) -> Iterator[Finding]:
    """DeepSpeed warms up by the logarithm unless told otherwise; transformers linearly."""
    kinds: list[str | None] = []
    for side in SIDES:
        kind = "linear"
        if pair.value(side, TYPE) in DEEPSPEED_WARMUPS:
            kind = (pair.value(side, KWARGS) or {}).get("warmup_type", "log")
        kinds.append(kind if pair.value(side, WARMUP) else None)
    if None not in kinds and kinds[0] != kinds[1]:
        evidence = pairwise_evidence("kind", tuple(kinds))
        yield pair.find("warmup_types", WARNING, evidence, [TYPE, KWARGS])


def fixed_length(pair: Pair) -> Iterator[Finding]:
    """A schedule whose length is a number of steps does not stretch with the run."""
    for side in SIDES:
        if pair.value(side, TYPE) in IN_STEPS:
            evidence = {"type": pair.value(side, TYPE), "steps": pair.quantities[side].get("steps")}
            yield pair.find("schedule_in_steps", WARNING, evidence, [TYPE, KWARGS], side)


def twin(pair: Pair) -> Iterator[Finding]:
    """How Trainer's arguments would say what a DeepSpeed schedule does, and how close that is."""
    for side in SIDES:
        settings = pair.quantities[side].settings
        found = twin_of(settings)
        if found is None or not pair.differs(TYPE):
            continue
        steps = min(TWIN_STEPS, int(pair.quantities[side].planned[-1]["steps"] or TWIN_STEPS))
        curves = [learning_rates(s, steps) for s in (settings, {**settings, **found})]
        away = float(np.max(np.abs(curves[0] - curves[1]))) / float(curves[0].max() or 1.0)
        evidence = {
            "type": settings[TYPE],
            "twin": found[TYPE],
            "kwargs": found[KWARGS],
            "deviation": away,
            "steps": steps,
        }
        yield pair.find("scheduler_twin", INFO, evidence, [TYPE, KWARGS], side)


def twin_of(settings: Settings) -> Settings | None:
    """The nearest Hugging Face schedule of a DeepSpeed one; None where there is none."""
    kwargs = settings.get(KWARGS) or {}
    if settings[TYPE] not in DEEPSPEED_SCHEDULERS or "total_num_steps" in kwargs:
        return None
    if settings[TYPE] == "WarmupCosineLR":
        floor = float(kwargs.get("cos_min_ratio", 0.0001))
        return {TYPE: "cosine_with_min_lr", KWARGS: {"min_lr_rate": floor}}
    names = {"WarmupDecayLR": "linear", "WarmupLR": "constant_with_warmup"}
    name = names.get(settings[TYPE])
    return None if name is None else {TYPE: name, KWARGS: {}}


CHECKS = (
    peak_out_of_reach,
    summed_rate,
    absent_scheduler,
    shapes,
    summed_decay,
    decayed_weights,
    warmup_in_steps,
    warmup_types,
    fixed_length,
    idle_first_step,
    twin,
)

# Title and text of each finding by language; numbers are put in by format specifications, see
# `texts.py`.
TEXTS: Texts = {
    "learning_rate_sum": {
        "en": (
            "Over the whole run the backup's learning rate adds up to {sum_factor:times}",
            "Its peak is {peak_factor:times} and its mean {mean_factor:times} that of the "
            "current one, over {steps_factor:times} the steps: the sum, which bounds how far "
            "weights travel, is {sum_factor:times}. A peak alone does not say which run learns "
            "more, or faster.",
        ),
        "ko": (
            "학습 전체로 보면 백업의 학습률 합은 {sum_factor:times}이다",
            "최댓값은 현재의 {peak_factor:times}, 평균은 {mean_factor:times}이지만 스텝 수가 "
            "{steps_factor:times}이다. 그래서 가중치가 움직일 수 있는 거리의 한계인 학습률의 합은 "
            "{sum_factor:times}가 된다. 최댓값만으로는 어느 쪽이 더 많이 또는 더 빨리 학습하는지 "
            "알 수 없다.",
        ),
    },
    "scheduler_absent": {
        "en": (
            "{side:side} names no scheduler: that is {type} decay to zero, not a constant rate",
            "Without lr_scheduler_type, {library} takes {type}: up to {peak:number} over the "
            "warmup ({warmup:percent} of the steps), then down to 0; the last step runs at "
            "{end:percent} of the peak.",
        ),
        "ko": (
            "{side:side} 설정에는 스케줄러가 적혀 있지 않다: 상수가 아니라 0까지 줄어든다 ({type})",
            "lr_scheduler_type이 없으면 {library}의 기본값은 {type}이다. 학습률은 워밍업(스텝의 "
            "{warmup:percent}) 동안 {peak:number}까지 올랐다가 0을 향해 내려가며, 마지막 "
            "스텝에서는 최댓값의 {end:percent}이다.",
        ),
    },
    "scheduler_absent_constant": {
        "en": (
            "{side:side} names no scheduler: its rate is constant",
            "A loop that drives DeepSpeed has no scheduler of its own.",
        ),
        "ko": (
            "{side:side} 설정에는 스케줄러가 적혀 있지 않다: 학습률은 상수이다",
            "DeepSpeed를 직접 호출하는 학습 코드에는 따로 정해진 스케줄러가 없다.",
        ),
    },
    "schedules_differ": {
        "en": (
            "Schedules: {current_type} against {backup_type}",
            "Peak {current_peak:number} against {backup_peak:number}. The last step runs at "
            "{current_end:percent} of the peak against {backup_end:percent}; the mean is "
            "{current_mean:percent} against {backup_mean:percent} of the peak.",
        ),
        "ko": (
            "스케줄: {current_type} 대 {backup_type}",
            "최댓값은 {current_peak:number} 대 {backup_peak:number}. 마지막 스텝은 최댓값의 "
            "{current_end:percent} 대 {backup_end:percent}, 평균은 최댓값의 "
            "{current_mean:percent} 대 {backup_mean:percent}이다.",
        ),
    },
    "weight_decay_ratio": {
        "en": (
            "Weight decay: {coefficient_factor:times} as a coefficient, {sum_factor:times} over "
            "the run",
            "AdamW shrinks a weight by rate × decay in each step. {current_coefficient:value} "
            "against {backup_coefficient:value} is only the coefficient; summed over all steps "
            "the backup decays {sum_factor:times} as much. How much that is depends on the "
            "number of rows.",
        ),
        "ko": (
            "가중치 감쇠: 계수로는 {coefficient_factor:times}, 학습 전체로는 {sum_factor:times}",
            "AdamW는 스텝마다 가중치를 학습률 × 감쇠 계수만큼 줄인다. {current_coefficient:value} "
            "대 {backup_coefficient:value}라는 비교는 계수일 뿐이고, 모든 스텝을 더하면 백업의 "
            "감쇠가 {sum_factor:times}이다. 실제 크기는 행 수에 달려 있다.",
        ),
    },
    "weight_decay_on_one_side": {
        "en": (
            "Weight decay on one side only: {side:side}, {decay:value}",
            "AdamW shrinks a weight by rate × decay in each step: there by {share:percent} over "
            "the whole run, on the other side not at all. Less than {small:percent} hardly "
            "regularizes.",
        ),
        "ko": (
            "가중치 감쇠는 {side:side} 쪽에만 있다: {decay:value}",
            "AdamW는 스텝마다 가중치를 학습률 × 감쇠 계수만큼 줄인다. 그쪽에서는 학습 전체에 걸쳐 "
            "{share:percent} 줄고, 다른 쪽에서는 줄지 않는다. {small:percent} 미만이면 정규화 "
            "효과가 거의 없다.",
        ),
    },
    "weight_decay_on_one_side_in_rows": {
        "en": (
            "Weight decay on one side only: {side:side}, {decay:value}",
            "AdamW shrinks a weight by rate × decay in each step there, and not at all on the "
            "other side. How much that is over the run depends on the number of rows.",
        ),
        "ko": (
            "가중치 감쇠는 {side:side} 쪽에만 있다: {decay:value}",
            "그쪽에서만 AdamW가 스텝마다 가중치를 학습률 × 감쇠 계수만큼 줄인다. 학습 전체에서 "
            "얼마가 되는지는 행 수에 달려 있다.",
        ),
    },
    "weight_decay_too_small": {
        "en": (
            "Weight decay is too small to matter on either side",
            "Over the whole run it shrinks a weight by {current_shrinkage:percent} (current, "
            "{current_coefficient:value}) and {backup_shrinkage:percent} (backup, "
            "{backup_coefficient:value}). The coefficient is {coefficient_factor:times}, the "
            "total {sum_factor:times}; both are below {small:percent}, so neither regularizes.",
        ),
        "ko": (
            "가중치 감쇠는 양쪽 모두 의미가 없을 만큼 작다",
            "학습 전체에서 가중치가 줄어드는 비율은 현재 {current_shrinkage:percent} (계수 "
            "{current_coefficient:value}), 백업 {backup_shrinkage:percent} (계수 "
            "{backup_coefficient:value})이다. 계수는 {coefficient_factor:times}, 학습 전체의 합은 "
            "{sum_factor:times}이고, 줄어드는 비율이 둘 다 {small:percent} 미만이어서 어느 쪽도 "
            "정규화 효과가 없다.",
        ),
    },
    "weight_decay_total": {
        "en": (
            "Total weight decay: {current_shrinkage:percent} against {backup_shrinkage:percent}",
            "The coefficient is {coefficient_factor:times}, but rate × decay summed over all "
            "steps is {sum_factor:times}.",
        ),
        "ko": (
            "학습 전체의 가중치 감쇠: {current_shrinkage:percent} 대 {backup_shrinkage:percent}",
            "계수는 {coefficient_factor:times}이지만 학습률 × 감쇠 계수를 모든 스텝에 걸쳐 더하면 "
            "{sum_factor:times}이다.",
        ),
    },
    "decay_covers_biases": {
        "en": (
            "Weight decay covers other weights",
            "Trainer's own optimizer spares biases and norms; one that DeepSpeed makes "
            "({current_implementation} against {backup_implementation}) decays every trained "
            "weight, biases included.",
        ),
        "ko": (
            "가중치 감쇠가 적용되는 가중치가 다르다",
            "Trainer의 옵티마이저는 편향과 norm을 빼지만, DeepSpeed가 만드는 옵티마이저는 "
            "({current_implementation} 대 {backup_implementation}) 편향까지 학습되는 모든 "
            "가중치를 줄인다.",
        ),
    },
    "decay_covers_the_same": {
        "en": (
            "Weight decay covers the same weights, whoever makes the optimizer",
            "Trainer spares biases and norms, DeepSpeed's optimizer does not; but neither is "
            "trained here, only adapter matrices and the head.",
        ),
        "ko": (
            "누가 옵티마이저를 만들든 가중치 감쇠가 적용되는 가중치는 같다",
            "Trainer는 편향과 norm을 빼고 DeepSpeed의 옵티마이저는 빼지 않는다. 하지만 여기서는 "
            "어댑터 행렬과 헤드만 학습되므로 차이가 없다.",
        ),
    },
    "warmup_units": {
        "en": (
            "Warmup in other units: {current_warmup:value} against {backup_warmup:value}",
            "Below 1 it is a share of all steps, else a number of steps; a share grows with the "
            "run, a number does not.",
        ),
        "ko": (
            "워밍업의 단위가 다르다: {current_warmup:value} 대 {backup_warmup:value}",
            "1보다 작으면 전체 스텝의 비율, 아니면 스텝 수이다. 비율은 학습이 길어지면 함께 늘고 "
            "스텝 수는 그대로이다.",
        ),
    },
    "warmup_share_same": {
        "en": (
            "The same warmup share is {factor:times} the warmup steps",
            "{current_warmup:percent} of all steps on both sides, but the runs are not equally "
            "long. If epochs or rows change, decide whether the share or the number of steps "
            "stays.",
        ),
        "ko": (
            "워밍업 비율은 같지만 워밍업 스텝은 {factor:times}이다",
            "양쪽 모두 전체 스텝의 {current_warmup:percent}이지만 학습 길이가 다르다. 에포크나 "
            "행 수를 바꿀 때는 비율과 스텝 수 중 무엇을 유지할지 정해야 한다.",
        ),
    },
    "warmup_types": {
        "en": (
            "Warmup rises in other shapes: {current_kind} against {backup_kind}",
            "DeepSpeed's schedulers rise by the logarithm unless warmup_type is linear; "
            "transformers always linearly.",
        ),
        "ko": (
            "워밍업의 모양이 다르다: {current_kind} 대 {backup_kind}",
            "DeepSpeed 스케줄러는 warmup_type이 linear가 아니면 로그 곡선으로 오르고, "
            "transformers는 항상 직선으로 오른다.",
        ),
    },
    "schedule_in_steps": {
        "en": (
            "{side:side}: {type} has its length in steps",
            "Its cycle does not stretch with the run; at other epochs, rows or batch it ends "
            "elsewhere.",
        ),
        "ko": (
            "{side:side}: {type}의 길이는 스텝 수로 정해진다",
            "주기가 학습 길이에 맞춰 늘어나지 않는다. 에포크, 행 수, 배치를 바꾸면 끝나는 곳이 "
            "달라진다.",
        ),
    },
    "warmup_longer_than_run": {
        "en": (
            "{side:side}: the run ends before its warmup does",
            "{warmup:number} {warmup:step|steps} of warmup, {steps:number} {steps:step|steps} in "
            "all: the rate rises to {reached:number}, and the {written:number} that is written is "
            "never reached.",
        ),
        "ko": (
            "{side:side}: 워밍업이 끝나기 전에 학습이 끝난다",
            "워밍업 {warmup:number}스텝, 전체 {steps:number}스텝이다. 학습률은 "
            "{reached:number}까지만 오르고, 파일에 적힌 {written:number}에는 이르지 못한다.",
        ),
    },
    "first_step_idle": {
        "en": (
            "The first step runs at a learning rate of 0",
            "True of {sides:sides}: warmup starts below its first value. In {last_side:side} the "
            "first rate above zero is {second:number}, in the second step.",
        ),
        "ko": (
            "첫 스텝의 학습률은 0이다",
            "해당: {sides:sides}. 워밍업은 첫 값보다 아래에서 시작한다. {last_side:side} "
            "설정에서 0보다 큰 첫 학습률은 두 번째 스텝의 {second:number}이다.",
        ),
    },
    "first_step_idle_in_rows": {
        "en": (
            "The first step runs at a learning rate of 0",
            "True of {sides:sides}: warmup starts below its first value. How fast it rises depends "
            "on the number of steps, which is not known.",
        ),
        "ko": (
            "첫 스텝의 학습률은 0이다",
            "해당: {sides:sides}. 워밍업은 첫 값보다 아래에서 시작한다. 얼마나 빨리 오르는지는 "
            "아직 모르는 전체 스텝 수에 달려 있다.",
        ),
    },
    "scheduler_twin": {
        "en": (
            "Trainer's nearest to {type} is {twin}",
            "lr_scheduler_type: {twin}, lr_scheduler_kwargs: {kwargs:value}. Over {steps:number} "
            "{steps:step|steps} it stays within {deviation:percent} of the peak of {side:side}'s "
            "curve.",
        ),
        "ko": (
            "Trainer에서 가장 가까운 스케줄: {type} ≈ {twin}",
            "lr_scheduler_type: {twin}, lr_scheduler_kwargs: {kwargs:value}. "
            "{steps:number}스텝에서 {side:side} 곡선과의 차이는 최댓값의 {deviation:percent} "
            "이내이다.",
        ),
    },
}
