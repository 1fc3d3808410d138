"""Findings on DeepSpeed beside Trainer's arguments: which of the two is obeyed."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.comparison.findings.finding import (
    PROBLEM,
    SIDES,
    WARNING,
    Finding,
    Pair,
    Place,
    Texts,
)
from ablation.dialects.settle import planned_steps

KWARGS = "lr_scheduler_kwargs"


def overruled(pair: Pair) -> Iterator[Finding]:
    """Arguments that DeepSpeed does not look at, for its file has no such key."""
    for side in SIDES:
        settings = pair.sides[side].settings
        names = [name for name, value in settings.items() if value.overrules]
        if names:
            file = pair.sides[side].file
            places = [
                Place(side, name, file, line, key)
                for name in names
                for key, line in settings[name].overrules
            ]
            values = [f"{name} {pair.value(side, name)}" for name in names]
            evidence = {"keys": [place.key for place in places], "values": values}
            yield pair.find("argument_overruled", WARNING, evidence, names, side, places)


def steps_told(pair: Pair) -> Iterator[Finding]:
    """Steps in the scheduler's block: transformers stops unless the run has just as many."""
    for side in SIDES:
        for told in pair.sides[side].steps_told:
            total = pair.quantities[side].get("steps")
            evidence = {"name": told.name, "told": told.steps}
            places = [Place(side, KWARGS, told.file, told.line, told.key)]
            if total is None:
                yield pair.find("steps_must_match", WARNING, evidence, [KWARGS], side, places)
                continue
            planned = planned_steps(told, pair.value(side, "warmup_steps"), int(total))
            if planned != told.steps:
                evidence["planned"] = planned
                yield pair.find("steps_do_not_match", PROBLEM, evidence, [KWARGS], side, places)


CHECKS = (overruled, steps_told)

TEXTS: Texts = {
    "argument_overruled": {
        "en": (
            "{side:side}: {keys:names} {keys:is|are} written and not obeyed",
            "Where its file does not have the key, DeepSpeed takes its own default, whatever the "
            "arguments say. What runs: {values:names}.",
        ),
        "ko": (
            "{side:side}: 적혀 있지만 쓰이지 않는 인자가 있다: {keys:names}",
            "DeepSpeed 설정에 해당 키가 없으면 인자와 상관없이 DeepSpeed의 기본값이 쓰인다. "
            "실제 값: {values:names}.",
        ),
    },
    "steps_must_match": {
        "en": (
            "{side:side}: {name} is {told}, and transformers accepts no other length of run",
            "It compares the number with the steps that it calculates from rows, batch and epochs, "
            "and refuses the file where they differ. How many rows there are is not known here.",
        ),
        "ko": (
            "{side:side}: {name}: {told}. 실행 길이가 이와 다르면 transformers가 거부한다",
            "transformers는 이 수를 행 수, 배치, 에포크로 계산한 스텝 수와 비교해 다르면 멈춘다. "
            "행 수는 여기서 알 수 없다.",
        ),
    },
    "steps_do_not_match": {
        "en": (
            "{side:side}: transformers refuses {name} {told}: the run has {planned}",
            "A number in the DeepSpeed file has to be the one that transformers calculates from "
            "rows, batch and epochs. `auto` is filled with it.",
        ),
        "ko": (
            "{side:side}: transformers가 {name}: {told} 값을 거부한다. 실제는 {planned}",
            "DeepSpeed 파일의 수는 transformers가 행 수, 배치, 에포크로 계산한 값과 같아야 한다. "
            "`auto`로 쓰면 그 값이 채워진다.",
        ),
    },
}
