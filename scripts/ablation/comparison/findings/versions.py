"""Findings on the libraries' versions: what the release a side ran with does otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ablation.comparison.findings.finding import (
    INFO,
    SIDES,
    WARNING,
    Finding,
    Pair,
    Place,
    Texts,
)
from ablation.comparison.versions import ASSUMED, Version, release
from ablation.dialects.defaults import EARLIER
from ablation.dialects.reader import DEFAULT

_ZERO = "deepspeed.zero_optimization"
_HALF = ("bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """Something that releases of a library do otherwise than those that run here.

    Attributes:
        id: Names its texts.
        library: The library.
        since: The first release that does it; None where that is not known.
        before: The first release that no longer does it.
        change: Where it was changed.
        settings: The settings that it is about.
        concerns: Whether it reaches a side with these values.
    """

    id: str
    library: str
    since: str | None
    before: str
    change: str
    settings: tuple[str, ...]
    concerns: Callable[[Pair, str], bool]

    def holds(self, version: Version) -> bool:
        """Whether the release does it."""
        first = release(self.since) if self.since else ()
        return first <= version.order < release(self.before)


def _accumulates(pair: Pair, side: str) -> bool:
    return (pair.value(side, "gradient_accumulation_steps") or 1) > 1


def _loses_micro_batches(pair: Pair, side: str) -> bool:
    offloaded = pair.value(side, f"{_ZERO}.offload_optimizer.device") not in (None, "none")
    return _accumulates(pair, side) and offloaded and pair.value(side, f"{_ZERO}.stage") in (1, 2)


def _half_adapters(pair: Pair, side: str) -> bool:
    adapts = pair.value(side, "lora.r") is not None
    return adapts and pair.value(side, "model.dtype") in _HALF


_OFFLOAD = f"{_ZERO}.offload_optimizer.device"
_ACCUMULATION = "gradient_accumulation_steps"
BEHAVIORS = (
    Behavior(
        id="version_lost_micro_batches",
        library="deepspeed",
        since="0.15.2",
        before="0.19.0",
        change="DeepSpeed #7981",
        settings=(_ACCUMULATION, _OFFLOAD, f"{_ZERO}.stage"),
        concerns=_loses_micro_batches,
    ),
    Behavior(
        id="version_loss_by_micro_batch",
        library="transformers",
        since=None,
        before="4.46.0",
        change="transformers #34191",
        settings=(_ACCUMULATION,),
        concerns=_accumulates,
    ),
    Behavior(
        id="version_tokens_of_each_device",
        library="transformers",
        since="4.46.0",
        before="4.57.0",
        change="transformers: default of average_tokens_across_devices",
        settings=("world_size",),
        concerns=lambda pair, side: (pair.value(side, "world_size") or 1) > 1,
    ),
    Behavior(
        id="version_half_adapters",
        library="peft",
        since=None,
        before="0.12.0",
        change="PEFT #1706",
        settings=("model.dtype",),
        concerns=_half_adapters,
    ),
)


def known_behaviors(pair: Pair) -> Iterator[Finding]:
    """What the releases that a side says it ran with do otherwise."""
    for side in SIDES:
        versions = pair.sides[side].versions
        for one in BEHAVIORS:
            version = versions.get(one.library)
            if version is not None and one.holds(version) and one.concerns(pair, side):
                evidence = {"version": version.number, "before": one.before, "change": one.change}
                places = [_place(side, version), *pair.places(*one.settings, side=side)]
                yield pair.find(one.id, WARNING, evidence, one.settings, side, places)


def earlier_defaults(pair: Pair) -> Iterator[Finding]:
    """Defaults that the side's releases had, and the releases here have no more."""
    for side in SIDES:
        configuration = pair.sides[side]
        for one in EARLIER:
            version, value = (
                configuration.versions.get(one.library),
                pair.setting(side, one.setting),
            )
            told = version is not None and version.order < release(one.before)
            if not told or value is None or value.origin != DEFAULT or value.value != one.value:
                continue
            evidence = {
                "setting": one.setting,
                "value": one.value,
                "library": one.library,
                "version": version.number,
                "before": one.before,
                "change": one.change,
            }
            places = [_place(side, version), *pair.places(one.setting, side=side)]
            yield pair.find("version_default", WARNING, evidence, [one.setting], side, places)


def assumed(pair: Pair) -> Iterator[Finding]:
    """Libraries of which nothing tells the release, where that matters to what is said here."""
    for side in SIDES:
        versions = pair.sides[side].versions
        matters = [
            (one.library, one.before, one.change)
            for one in BEHAVIORS
            if one.library not in versions and one.concerns(pair, side)
        ]
        for one in EARLIER:
            value = pair.setting(side, one.setting)
            if one.library in versions or value is None or one.library not in ASSUMED:
                continue
            if value.origin == DEFAULT and value.key == one.of:
                matters.append((one.library, one.before, one.change))
        if matters:
            libraries = sorted({library for library, _, _ in matters})
            evidence = {
                "assumed": [f"{library} {ASSUMED[library]}" for library in libraries],
                "changes": [f"{lib} < {before} ({change})" for lib, before, change in matters],
            }
            yield pair.find("versions_assumed", INFO, evidence, [], side, [])


def _place(side: str, version: Version) -> Place:
    return Place(side, None, version.file, version.line, version.library)


CHECKS = (known_behaviors, earlier_defaults, assumed)

TEXTS: Texts = {
    "version_lost_micro_batches": {
        "en": (
            "{side:side} ran with DeepSpeed {version}, which may lose micro-batches",
            "Before {before}, ZeRO 1 and 2 with an offloaded optimizer kept the gradient of the "
            "last "
            "micro-batch alone where the engine was told an accumulation of 1, as accelerate tells "
            "it where the DeepSpeed file has no gradient_accumulation_steps ({change}). Runs here "
            "add all of them up.",
        ),
        "ko": (
            "{side:side} 쪽은 DeepSpeed {version}에서 실행되어 마이크로배치가 빠졌을 수 있다",
            "{before} 이전의 ZeRO 1, 2에서 옵티마이저를 오프로드하고 엔진의 누적 횟수가 1이면 "
            "마지막 마이크로배치의 기울기만 남았다. DeepSpeed 파일에 "
            "gradient_accumulation_steps가 없으면 accelerate가 1을 넘긴다 ({change}). 여기서는 "
            "모두 더해진다.",
        ),
    },
    "version_loss_by_micro_batch": {
        "en": (
            "{side:side} ran with transformers {version}, which averages each micro-batch by "
            "itself",
            "Before {before} the loss of a step was the mean of the means of its micro-batches; "
            "since then tokens (rows, for a classifier) of the whole step weigh the same "
            "({change}). The two differ where micro-batches hold unequal numbers of them.",
        ),
        "ko": (
            "{side:side} 쪽은 transformers {version}에서 실행되어 손실을 마이크로배치별로 평균한다",
            "{before} 이전에는 한 스텝의 손실이 마이크로배치 평균들의 평균이었고, 그 뒤로는 스텝 "
            "전체의 토큰(분류기는 행)이 같은 무게를 갖는다 ({change}). 마이크로배치마다 개수가 "
            "다르면 결과가 다르다.",
        ),
    },
    "version_tokens_of_each_device": {
        "en": (
            "{side:side} ran with transformers {version}: each device averages its own tokens",
            "From {before} on average_tokens_across_devices is on by default ({change}).",
        ),
        "ko": (
            "{side:side} 쪽은 transformers {version}에서 실행되어 장치마다 따로 토큰을 평균한다",
            "{before}부터 average_tokens_across_devices가 기본으로 켜져 있다 ({change}).",
        ),
    },
    "version_half_adapters": {
        "en": (
            "{side:side} ran with PEFT {version}: its adapters have the base model's half "
            "precision",
            "From {before} on adapters of a model in half precision are trained in float32 "
            "({change}), as runs here do.",
        ),
        "ko": (
            "{side:side} 쪽은 PEFT {version}에서 실행되어 어댑터도 모델과 같은 반정밀도이다",
            "{before}부터는 반정밀도 모델의 어댑터를 float32로 학습하며 ({change}), 여기서도 "
            "그렇다.",
        ),
    },
    "version_default": {
        "en": (
            "{side:side} ran with {library} {version}, whose default of {setting} is {value:value}",
            "It is another one from {before} on ({change}). The table has the default of the "
            "release that the side ran with.",
        ),
        "ko": (
            "{side:side} 쪽의 {library} {version} 기본값이 다르다: {setting}은(는) {value:value}",
            "{before}부터 기본값이 바뀌었다 ({change}). 표에는 해당 릴리스의 기본값이 쓰인다.",
        ),
    },
    "versions_assumed": {
        "en": (
            "{side:side}: no file tells the versions; {assumed:names} are assumed",
            "Earlier releases would do otherwise with this file: {changes:lines}. Tell them in "
            "study.yaml (`versions:`), or by a requirements.txt or lock file beside it.",
        ),
        "ko": (
            "{side:side}: 버전을 알려 주는 파일이 없어 {assumed:names} 기준으로 본다",
            "이전 릴리스라면 이 파일로 다르게 학습한다: {changes:lines}. study.yaml의 "
            "`versions:`나 옆에 둔 requirements.txt, lock 파일로 알릴 수 있다.",
        ),
    },
}
