"""Findings on keys that are not what they seem: refused, unreadable, strangers, unknown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ablation.comparison.findings.finding import (
    INFO,
    PROBLEM,
    SIDES,
    WARNING,
    Finding,
    Pair,
    Place,
    Texts,
)
from ablation.dialects import hf_trainer, trl
from ablation.dialects.defaults import TRL_DEFAULTS
from ablation.dialects.reader import EXPLICIT, Refusal
from ablation.dialects.vocabulary import keys_of, library_of, nearest, trains
from ablation.errors import shorten
from ablation.settings.catalogue import OTHER

_KINDS = {
    "value": ("value_refused", PROBLEM),
    "template": ("value_filled_elsewhere", WARNING),
    "missing_file": ("file_missing", WARNING),
    "file": ("file_not_read_by_trainer", PROBLEM),
    "encoding": ("file_encoding", WARNING),
    "here": ("cannot_run_here", INFO),
}


def refused(pair: Pair) -> Iterator[Finding]:
    """What a library stops at, and values that cannot be read: the run never was, or is unknown."""
    for side in SIDES:
        for refusal in pair.sides[side].refusals:
            name, severity = _KINDS.get(refusal.kind, ("refused_by_library", PROBLEM))
            if refusal.kind == "library" and refusal.library is None:
                name = "file_contradicts_itself"
            evidence = {
                "library": refusal.library,
                "key": refusal.key,
                "found": refusal.found,
                "reason": refusal.reason,
                "allowed": refusal.allowed or "–",
            }
            settings = [refusal.setting] if refusal.setting else []
            places = [_place(side, refusal)]
            yield pair.find(name, severity, evidence, settings, side, places)


def _place(side: str, refusal: Refusal) -> Place:
    return Place(side, refusal.setting, refusal.file, refusal.line, refusal.key)


def of_another_trainer(pair: Pair) -> Iterator[Finding]:
    """Keys that the trainer does not have: not obeyed, whatever they say."""
    for side in SIDES:
        strangers = pair.sides[side].strangers
        library = library_of(pair.sides[side].dialect)
        evidence: dict[str, Any]
        for one in (s for s in strangers if s.trains):
            evidence = {"key": one.key, "library": library, "nearest": one.nearest or "–"}
            name = "key_refused_by_trainer" if one.refused else "key_not_of_trainer"
            places = [Place(side, None, one.file, one.line, one.key)]
            yield pair.find(name, PROBLEM, evidence, [], side, places)
        rest = [s for s in strangers if not s.trains]
        if rest:
            evidence = {"keys": [s.key for s in rest], "library": library}
            places = [Place(side, None, s.file, s.line, s.key) for s in rest]
            yield pair.find("keys_not_of_trainer", INFO, evidence, [], side, places)


def idle_keys(pair: Pair) -> Iterator[Finding]:
    """Keys that differ in the text of one trainer's two files, and of which no training knows."""
    current, backup = (pair.sides[side].without_effect for side in SIDES)
    alike = pair.sides[SIDES[0]].dialect == pair.sides[SIDES[1]].dialect
    names = [*dict.fromkeys([*current, *backup])] if alike else []
    pairs = [(name, current.get(name), backup.get(name)) for name in names]
    rows = [(n, a, b) for n, a, b in pairs if (a and a.value) != (b and b.value)]
    if rows:
        lines = [
            f"{name}: {' / '.join(shorten(one.value) if one else '–' for one in both)} "
            f"({next(one.note for one in both if one)})"
            for name, *both in rows
        ]
        places = [
            Place(side, None, one.file, one.line, one.key)
            for _, *both in rows
            for side, one in zip(SIDES, both, strict=True)
            if one
        ]
        yield pair.find("keys_idle", INFO, {"lines": lines}, [], places=places)


def unknown_differences(pair: Pair) -> Iterator[Finding]:
    """Keys that differ and of which nobody here knows what they do."""
    names = [d.setting for d in pair.differences() if d.setting.startswith(OTHER)]
    strangers = {OTHER + s.key for side in SIDES for s in pair.sides[side].strangers if s.trains}
    missing = {r.setting for s in SIDES for r in pair.sides[s].refusals if r.kind == "missing_file"}
    names = [name for name in names if name not in strangers | missing]
    dialect = pair.sides[SIDES[0]].dialect
    alarming = [name for name in names if trains(name)]
    for name in alarming:
        key = name.removeprefix(OTHER)
        near = nearest(key, dialect) or nearest(key, "hf_trainer") or "–"
        yield pair.find("unknown_key_differs", PROBLEM, {"key": key, "nearest": near}, [name])
    rest = [name for name in names if name not in alarming]
    if rest:
        evidence = {"keys": [name.removeprefix(OTHER) for name in rest]}
        yield pair.find("unknown_keys_differ", WARNING, evidence, rest)


def written_again(pair: Pair) -> Iterator[Finding]:
    """A key that stands twice: trainers take the last one without a word."""
    for side in SIDES:
        configuration = pair.sides[side]
        refused = {(r.key, r.line) for r in configuration.refusals}
        for one in configuration.repeated:
            if (one.key, one.last) in refused:
                continue
            evidence = {"key": one.key, "first": one.first, "last": one.last}
            lines = (one.first, one.last)
            places = [Place(side, None, one.file, line, one.key) for line in lines]
            severity = PROBLEM if one.differs else WARNING
            yield pair.find("key_twice", severity, evidence, [], side, places)


def script_of_its_own(pair: Pair) -> Iterator[Finding]:
    """A script of people's own reads the file: defaults and names are its, not the libraries'."""
    for side in SIDES:
        script = pair.sides[side].script
        if script is None:
            continue
        if script.block is not None:
            evidence: dict[str, object] = {"block": script.block}
            yield pair.find("arguments_of_a_script", INFO, evidence, [], side)
        if script.names:
            yield pair.find("names_of_a_script", WARNING, {"keys": list(script.names)}, [], side)
        if script.joined:
            yield pair.find("joined_files", WARNING, {"keys": list(script.joined)}, [], side)


def may_be_trls(pair: Pair) -> Iterator[Finding]:
    """Files with keys of TRL's that Trainer's arguments lack, and that neither accounts for."""
    trainers, own = keys_of("hf_trainer"), keys_of(trl.NAME)
    for side in SIDES:
        configuration = pair.sides[side]
        if configuration.dialect != hf_trainer.NAME:
            continue
        written = {v.key for v in configuration.settings.values() if v.origin == EXPLICIT}
        telling = {str(key) for key in written if key in own} - {*trainers, *hf_trainer.FLAT_LORA}
        otherwise = {**TRL_DEFAULTS, "bf16": True}
        lines = [
            f"{name}: {json.dumps(value)}"
            for name, value in otherwise.items()
            if (found := configuration.settings.get(name)) is None or found.line is None
        ]
        if telling and lines:
            evidence = {"keys": sorted(telling), "lines": ", ".join(lines), "name": side}
            yield pair.find("may_be_trls", INFO, evidence, [], side)


CHECKS = (
    script_of_its_own,
    may_be_trls,
    refused,
    of_another_trainer,
    idle_keys,
    unknown_differences,
    written_again,
)

TEXTS: Texts = {
    "arguments_of_a_script": {
        "en": (
            "{side:side}: Trainer's arguments are taken to stand below `{block}`",
            "A script of its own reads this file. What is not written there is taken for "
            "Trainer's default, which the script may set otherwise.",
        ),
        "ko": (
            "{side:side}: `{block}` 아래를 Trainer 인자로 읽는다",
            "이 파일은 자체 스크립트가 읽는다. 적혀 있지 않은 값은 Trainer의 기본값으로 보지만 "
            "스크립트가 다르게 정할 수 있다.",
        ),
    },
    "may_be_trls": {
        "en": (
            "{side:side} may be TRL's: {keys:names} {keys:stands|stand} there",
            "It is read as a script's, with Trainer's defaults, as its keys do not tell. Where TRL "
            "reads it, what is not written is another value ({lines}). To say so: "
            "--dialect {name}=trl.",
        ),
        "ko": (
            "{side:side} 파일은 TRL 설정일 수 있다: {keys:names}",
            "키만으로는 알 수 없어 Trainer의 기본값을 쓰는 스크립트의 파일로 읽었다. TRL에서 읽는 "
            "파일이면 적혀 있지 않은 값이 다르다 ({lines}). 그렇다면 --dialect {name}=trl로 알려 "
            "준다.",
        ),
    },
    "names_of_a_script": {
        "en": (
            "{side:side}: the script's own names are read as settings: {keys:names}",
            "No library has these keys. They are taken for what they are called, and the script "
            "may mean something else by them.",
        ),
        "ko": (
            "{side:side}: 스크립트가 직접 정한 이름을 설정으로 읽는다: {keys:names}",
            "라이브러리에는 없는 키다. 이름 그대로의 뜻으로 읽었지만 스크립트에서는 다른 뜻일 수 "
            "있다.",
        ),
    },
    "joined_files": {
        "en": (
            "{side:side}: other files are put together with this one ({keys:names})",
            "What they say is not read. Compare the files that come out, where a value may "
            "stand in one of them.",
        ),
        "ko": (
            "{side:side}: 다른 파일과 합쳐서 쓰는 파일이다 ({keys:names})",
            "그 파일들의 값은 읽지 않는다. 값이 다른 파일에 있을 수 있으면 합쳐진 결과를 비교해야 "
            "한다.",
        ),
    },
    "refused_by_library": {
        "en": (
            "{library} refuses {side:side}: {key}",
            "{reason} (found: {found}). No run can have been made with this file and this release "
            "as it stands.",
        ),
        "ko": (
            "{library}: {side:side} 파일을 거부한다 ({key})",
            "{reason} (값: {found}). 이 릴리스에서는 이 파일을 그대로 실행할 수 없다.",
        ),
    },
    "file_contradicts_itself": {
        "en": (
            "{side:side} says two things: {reason}",
            "{found}. Trainers stop at such a file; allowed: {allowed}.",
        ),
        "ko": (
            "{side:side} 파일의 두 곳이 서로 다르다: {reason}",
            "{found}. 학습 도구는 이런 파일에서 멈춘다. 허용: {allowed}.",
        ),
    },
    "value_refused": {
        "en": (
            "{side:side}: {key} has a value that it cannot have",
            "Found: {found}; allowed: {allowed}. The table shows it as it is written, and nothing "
            "that rests on it is stated.",
        ),
        "ko": (
            "{side:side}: {key}에 쓸 수 없는 값이 있다",
            "값: {found}, 허용: {allowed}. 표에는 적힌 그대로 보이며, 이 값에 달린 것은 단정하지 "
            "않는다.",
        ),
    },
    "value_filled_elsewhere": {
        "en": (
            "{side:side}: {key} is filled in from elsewhere",
            "{found} is replaced when the file is used; what by is not known here. It is compared "
            "as it is written, and nothing that rests on it is stated.",
        ),
        "ko": (
            "{side:side}: {key} 값은 다른 곳에서 채워진다",
            "{found}: 파일을 쓸 때 다른 값으로 바뀌며, 무엇으로 바뀌는지는 여기서 알 수 없다. 적힌 "
            "그대로 비교하고, 이 값에 달린 것은 단정하지 않는다.",
        ),
    },
    "file_missing": {
        "en": (
            "{side:side}: {key} names a file that is not here",
            "{found}: what it says is missing from the table. Looked for as {allowed}.",
        ),
        "ko": (
            "{side:side}: {key} 키가 가리키는 파일이 없다",
            "{found}. 그 파일의 내용은 표에 없다. 찾은 곳: {allowed}.",
        ),
    },
    "file_not_read_by_trainer": {
        "en": (
            "{side:side}: {library} cannot read this file",
            "{reason} (found: {found}). No trainer that reads it so can have used it as it stands; "
            "here it is read all the same.",
        ),
        "ko": (
            "{side:side}: {library}에서 읽을 수 없는 파일이다",
            "{reason} (값: {found}). 이렇게 읽는 학습 도구는 이 파일을 그대로 쓸 수 없다. 여기서는 "
            "읽을 수 있는 대로 읽었다.",
        ),
    },
    "file_encoding": {
        "en": (
            "{side:side} is not in UTF-8: it was decoded as {found}",
            "Trainers open text in the system's encoding, which is UTF-8 on Linux, and stop there. "
            "Save it as UTF-8 before a study.",
        ),
        "ko": (
            "{side:side} 파일은 UTF-8이 아니어서 {found}{:으로|로} 읽었다",
            "학습 도구는 시스템 인코딩(Linux에서는 UTF-8)으로 파일을 열기 때문에 여기서 멈춘다. "
            "실험 전에 UTF-8로 저장해야 한다.",
        ),
    },
    "cannot_run_here": {
        "en": ("{side:side}: {key} cannot be run here", "{reason} (found: {found})."),
        "ko": ("{side:side}: {key} 설정은 여기서 실행할 수 없다", "{reason} (값: {found})."),
    },
    "key_not_of_trainer": {
        "en": (
            "{side:side}: {library} has no key {key}",
            "It is passed over, and the trainer's own default counts. The nearest key that it has: "
            "{nearest}.",
        ),
        "ko": (
            "{side:side}: {library}에는 {key} 키가 없다",
            "무시되고 학습 도구의 기본값이 쓰인다. 가장 가까운 키: {nearest}.",
        ),
    },
    "key_refused_by_trainer": {
        "en": (
            "{side:side}: {library} has no key {key}, and stops at it",
            "What it says is not obeyed. The nearest key that it has: {nearest}.",
        ),
        "ko": (
            "{side:side}: {library}에는 {key} 키가 없어 실행이 멈춘다",
            "그 값은 쓰이지 않는다. 가장 가까운 키: {nearest}.",
        ),
    },
    "keys_not_of_trainer": {
        "en": (
            "{side:side}: {library} does not know {keys:names}",
            "They are compared as they stand; the script around the trainer may read them.",
        ),
        "ko": (
            "{side:side}: {library}에 없는 키: {keys:names}",
            "적힌 그대로 비교한다. 학습 도구를 감싼 스크립트가 읽을 수는 있다.",
        ),
    },
    "keys_idle": {
        "en": (
            "Keys that are written otherwise, and change nothing that is trained",
            "{lines:lines}",
        ),
        "ko": (
            "다르게 적혀 있지만 학습을 바꾸지 않는 키가 있다",
            "{lines:lines}",
        ),
    },
    "unknown_key_differs": {
        "en": (
            "{key} differs, and what it does is not known",
            "Its name is one of training, so it may be a cause of the gap that no run here can "
            "try. The nearest known key: {nearest}.",
        ),
        "ko": (
            "{key} 값이 다른데, 무엇을 하는지 알 수 없다",
            "학습과 관련된 이름이므로 차이의 원인일 수 있지만 여기서는 실행해 볼 수 없다. 가장 "
            "가까운 키: {nearest}.",
        ),
    },
    "unknown_keys_differ": {
        "en": (
            "{keys:names} {keys:differs|differ}, and what {keys:it does|they do} is not known",
            "No run here can act upon {keys:it|them}.",
        ),
        "ko": (
            "값이 다른데 무엇을 하는지 알 수 없는 키: {keys:names}",
            "여기서는 이 키들을 실행에 반영할 수 없다.",
        ),
    },
    "key_twice": {
        "en": (
            "{side:side}: {key} stands twice, in lines {first} and {last}",
            "Trainers take the last one without a word; so is it read here.",
        ),
        "ko": (
            "{side:side}: {key} 키가 {first}행과 {last}행에 두 번 있다",
            "학습 도구는 말없이 마지막 값을 쓰며, 여기서도 그렇게 읽는다.",
        ),
    },
}
