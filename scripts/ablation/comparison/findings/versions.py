"""Findings on the libraries' versions: what the release a side ran with does otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from ablation.comparison.findings.finding import (
    INFO,
    SIDES,
    WARNING,
    Finding,
    Pair,
    Place,
    Texts,
)
from ablation.comparison.versions import ASSUMED, Version, contradictions_of, is_default_of
from ablation.dialects.defaults import EARLIER

_ZERO = "deepspeed.zero_optimization"
_HALF = ("bfloat16", "float16")


ValueOf = Callable[[str], Any]  # from a setting's name to its value; None where it has none


@dataclass(frozen=True, kw_only=True)
class Change:
    """What releases of a library do otherwise than those that run here.

    Attributes:
        library: The library.
        since: The first release that does it; None where that is not known.
        before: The first release that no longer does it.
        change: Where it was changed.
        settings: The settings that it is about.
    """

    library: str
    since: str | None
    before: str
    change: str
    settings: tuple[str, ...]

    def holds(self, version: Version) -> bool | None:
        """Whether the release does it; None where that depends on which of several it was."""
        return version.within(self.since, self.before)


@dataclass(frozen=True, kw_only=True)
class Behavior(Change):
    """A change that reaches some configurations.

    Attributes:
        id: Names its texts.
        concerns: Whether it reaches a side, or an arm, with these values.
    """

    id: str
    concerns: Callable[[ValueOf], bool]


def _accumulates(value: ValueOf) -> bool:
    return (value("gradient_accumulation_steps") or 1) > 1


def _loses_micro_batches(value: ValueOf) -> bool:
    offloaded = value(f"{_ZERO}.offload_optimizer.device") not in (None, "none")
    return _accumulates(value) and offloaded and value(f"{_ZERO}.stage") in (1, 2)


def _half_adapters(value: ValueOf) -> bool:
    return value("lora.r") is not None and value("model.dtype") in _HALF


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
        concerns=lambda value: (value("world_size") or 1) > 1,
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
            if version and one.holds(version) and one.concerns(partial(pair.value, side)):
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
            if version is None or not version.within(None, one.before):
                continue
            if value is None or not is_default_of(value, one) or value.value != one.value:
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


def ranges(pair: Pair) -> Iterator[Finding]:
    """Versions that may be releases from before or after a change that matters to the side."""
    for side in SIDES:
        for version in pair.sides[side].versions.values():
            open_changes = [
                one
                for one in _changes(pair, side)
                if one.library == version.library and one.holds(version) is None
            ]
            if not open_changes:
                continue
            settings = list(dict.fromkeys(name for one in open_changes for name in one.settings))
            evidence = {
                "library": version.library,
                "version": version.number,
                "changes": [_told(one) for one in open_changes],
                "settings": settings,
            }
            places = [_place(side, version), *pair.places(*settings, side=side)]
            yield pair.find("version_depends", WARNING, evidence, settings, side, places)


def _changes(pair: Pair, side: str) -> Iterator[Change]:
    """The behaviors and the defaults that would be others with earlier releases."""
    yield from (one for one in BEHAVIORS if one.concerns(partial(pair.value, side)))
    for default in EARLIER:
        value = pair.setting(side, default.setting)
        if value is not None and is_default_of(value, default):
            yield Change(
                library=default.library,
                since=None,
                before=default.before,
                change=default.change,
                settings=(default.setting,),
            )


def _told(one: Change) -> str:
    return f"{one.library} < {one.before} ({one.change})"


def assumed(pair: Pair) -> Iterator[Finding]:
    """Libraries of which nothing tells the release, where that matters to what is said here."""
    for side in SIDES:
        versions = pair.sides[side].versions
        matters = [one for one in _changes(pair, side) if one.library not in versions]
        if matters:
            libraries = sorted({one.library for one in matters})
            evidence = {
                "assumed": [f"{library} {ASSUMED[library]}" for library in libraries],
                "changes": list(map(_told, matters)),
            }
            yield pair.find("versions_assumed", INFO, evidence, [], side, [])


def contradictions(pair: Pair) -> Iterator[Finding]:
    """Files beside a configuration that tell different releases of one library."""
    for side in SIDES:
        configuration = pair.sides[side]
        for version, others in contradictions_of(configuration.file, configuration.versions):
            evidence = {
                "library": version.library,
                "version": version.number,
                "others": [f"{one.number} ({PurePath(one.file).name})" for one in others],
            }
            places = [_place(side, one) for one in (version, *others)]
            yield pair.find("versions_disagree", WARNING, evidence, [], side, places)


def _place(side: str, version: Version) -> Place:
    return Place(side, None, version.file, version.line, version.library)


CHECKS = (known_behaviors, earlier_defaults, ranges, contradictions, assumed)

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
            "마지막 마이크로배치의 그래디언트만 남았다. DeepSpeed 파일에 "
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
            "{side:side} 쪽의 {library} {version} 기본값이 다르다: {setting}{:은|는} {value:value}",
            "{before}부터 기본값이 바뀌었다 ({change}). 표에는 해당 릴리스의 기본값이 쓰인다.",
        ),
    },
    "version_depends": {
        "en": (
            "{side:side}: {library} {version} may be a release from before or after a change",
            "Releases on both sides of these changes are allowed: {changes:lines}. They concern "
            "{settings:names}. Which release was installed is not known, so neither is which "
            "behavior held; the table has that of later releases. Write the exact release in "
            "study.yaml (`versions:`).",
        ),
        "ko": (
            "{side:side}: {library} {version}에는 변경 전 릴리스도, 변경 후 릴리스도 들어간다",
            "다음 변경의 앞뒤 릴리스가 모두 허용된다: {changes:lines}. 관련 설정은 "
            "{settings:names}이다. 실제로 설치된 릴리스를 알 수 없어 어느 동작이었는지도 알 수 "
            "없으며, 표에는 나중 릴리스의 동작이 쓰인다. study.yaml의 `versions:`에 정확한 "
            "릴리스를 적으면 된다.",
        ),
    },
    "versions_disagree": {
        "en": (
            "{side:side}: files disagree about the version of {library}; {version} is used",
            "Others tell {others:lines}. Write the one that trained in study.yaml (`versions:`).",
        ),
        "ko": (
            "{side:side}: {library} 버전이 파일마다 다르며, {version}{:을|를} 쓴다",
            "다른 파일의 버전: {others:lines}. 학습에 쓴 버전을 study.yaml의 `versions:`에 적으면 "
            "된다.",
        ),
    },
    "versions_assumed": {
        "en": (
            "{side:side}: no file tells all versions that matter; assumed: {assumed:names}",
            "Earlier releases would do otherwise with this file: {changes:lines}. Tell them in "
            "study.yaml (`versions:`), or by a requirements.txt or lock file beside it.",
        ),
        "ko": (
            "{side:side}: 버전을 알 수 없는 라이브러리는 {assumed:names} 기준으로 본다",
            "이전 릴리스라면 이 파일로 다르게 학습한다: {changes:lines}. study.yaml의 "
            "`versions:`나 옆에 둔 requirements.txt, lock 파일로 알릴 수 있다.",
        ),
    },
}
