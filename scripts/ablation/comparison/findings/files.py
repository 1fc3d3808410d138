"""Findings on the files themselves: repeated, refused, unread or unsafe keys."""

from __future__ import annotations

from collections.abc import Iterator

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
from ablation.dialects.reader import EXPLICIT
from ablation.settings.catalogue import OTHER, UNTRAINED, in_arm


def written_twice(pair: Pair) -> Iterator[Finding]:
    """A value in two places: a change of one of them alone is refused by transformers."""
    for side in SIDES:
        settings = pair.sides[side].settings
        names = [n for n, value in settings.items() if value.also and in_arm(n)]
        if names:
            evidence = {"settings": names}
            yield pair.find("written_twice", INFO, evidence, names, side)


def two_precisions(pair: Pair) -> Iterator[Finding]:
    """bf16 and fp16 together are refused by transformers and by DeepSpeed."""
    for side in SIDES:
        if pair.value(side, "bf16") and pair.value(side, "fp16"):
            yield pair.find("two_precisions", PROBLEM, {}, ["bf16", "fp16"], side)


def best_without_checkpoint(pair: Pair) -> Iterator[Finding]:
    """Trainer refuses to keep the best model when it does not save where it evaluates."""
    for side in SIDES:
        known = {refusal.setting for refusal in pair.sides[side].refusals}
        if not pair.value(side, "load_best_model_at_end") or "load_best_model_at_end" in known:
            continue
        names = ["load_best_model_at_end", "eval_strategy", "save_strategy"]
        evaluated, saved = (pair.value(side, name) for name in names[1:])
        if None in (evaluated, saved) or saved == "best":
            continue
        if evaluated != saved:
            evidence = {"evaluated": evaluated, "saved": saved}
            yield pair.find("best_needs_same_strategy", PROBLEM, evidence, names, side)
            continue
        names = ["load_best_model_at_end", "eval_steps", "save_steps"]
        steps = [pair.value(side, name) for name in names[1:]]
        whole = all(isinstance(step, int) and step > 0 for step in steps)
        if saved == "steps" and whole and steps[1] % steps[0]:
            evidence = {"evaluated": steps[0], "saved": steps[1]}
            yield pair.find("best_needs_multiple", PROBLEM, evidence, names, side)


def no_steps(pair: Pair) -> Iterator[Finding]:
    """`max_steps` makes the number of epochs mean nothing."""
    for side in SIDES:
        steps = pair.value(side, "max_steps")
        if steps is not None and steps > 0:
            names = ["max_steps", "num_train_epochs"]
            evidence = {"steps": steps, "epochs": pair.value(side, "num_train_epochs")}
            yield pair.find("epochs_idle", WARNING, evidence, names, side)


def idle_differences(pair: Pair) -> Iterator[Finding]:
    """Differences that can do nothing, for what other settings are."""
    idle = [difference.setting for difference in pair.differences() if difference.no_effect]
    names = [name for name in idle if not name.startswith(OTHER)]  # told of each such key
    if names:
        yield pair.find("differences_idle", INFO, {"settings": names}, names)


def numbers_as_text(pair: Pair) -> Iterator[Finding]:
    """`1e-5` is text to YAML 1.1, so to PyYAML: a plain reader hands it on as text."""
    for side in SIDES:
        names = [
            name
            for name, value in pair.sides[side].settings.items()
            if value.origin == EXPLICIT and (value.note or "").startswith("YAML 1.1 reads")
        ]
        if names:
            yield pair.find("numbers_as_text", INFO, {"settings": names}, names, side)


def unread_keys(pair: Pair) -> Iterator[Finding]:
    """Keys of the file that nothing reads, so that nobody takes them for part of the comparison."""
    for side in SIDES:
        # What has a note is told as what runs here do instead.
        told = {one.key for one in pair.sides[side].strangers if one.trains}
        unknown = [k for k in pair.sides[side].unknown if not k.note and k.key not in told]
        if unknown:
            places = [Place(side, None, key.file, key.line, key.key) for key in unknown]
            blocks = sorted({key.key.split(".")[0] for key in unknown})
            evidence = {"blocks": blocks, "count": len(unknown)}
            yield pair.find("keys_unread", INFO, evidence, [], side, places)


def remote_code(pair: Pair) -> Iterator[Finding]:
    """Code that comes with a model runs with all the rights of the user."""
    name = "model.trust_remote_code"
    sides = [side for side in SIDES if pair.value(side, name)]
    if sides:
        evidence = {"sides": sides}
        places = [place for side in sides for place in pair.places(name, side=side)]
        kind = "remote_code" if pair.allow_remote_code in (None, True) else "remote_code_refused"
        yield pair.find(kind, WARNING, evidence, [name], places=places)


def not_run_here(pair: Pair) -> Iterator[Finding]:
    """Settings that are read and compared, and that no run of this project acts upon."""
    for side in SIDES:
        settings = pair.sides[side].settings
        names = [
            name
            for name, found in settings.items()
            if name in UNTRAINED and found.value not in UNTRAINED[name].harmless
        ]
        if names:
            notes = [f"{name}: {UNTRAINED[name].note}" for name in names]
            evidence = {"settings": names, "notes": notes}
            yield pair.find("not_run_here", WARNING, evidence, names, side)


CHECKS = (
    two_precisions,
    best_without_checkpoint,
    no_steps,
    remote_code,
    written_twice,
    numbers_as_text,
    idle_differences,
    unread_keys,
    not_run_here,
)

# Title and text of each finding by language; numbers are put in by format specifications, see
# `texts.py`.
TEXTS: Texts = {
    "two_precisions": {
        "en": (
            "{side:side}: bf16 and fp16 together are refused",
            "transformers and DeepSpeed stop. Keep one.",
        ),
        "ko": (
            "{side:side}: bf16과 fp16은 함께 쓸 수 없다",
            "transformers와 DeepSpeed가 멈춘다. 하나만 남겨야 한다.",
        ),
    },
    "best_needs_same_strategy": {
        "en": (
            "{side:side}: load_best_model_at_end is refused",
            "Trainer wants eval_strategy ({evaluated}) and save_strategy ({saved}) to be the same.",
        ),
        "ko": (
            "{side:side}: load_best_model_at_end가 거부된다",
            "Trainer는 eval_strategy({evaluated})와 save_strategy({saved})가 같기를 요구한다.",
        ),
    },
    "best_needs_multiple": {
        "en": (
            "{side:side}: load_best_model_at_end is refused",
            "save_steps ({saved}) has to be a multiple of eval_steps ({evaluated}).",
        ),
        "ko": (
            "{side:side}: load_best_model_at_end가 거부된다",
            "save_steps({saved})는 eval_steps({evaluated})의 배수여야 한다.",
        ),
    },
    "epochs_idle": {
        "en": (
            "{side:side}: max_steps {steps} makes num_train_epochs mean nothing",
            "{epochs:value} {epochs:epoch is|epochs are} written, {steps} "
            "{steps:step is|steps are} trained.",
        ),
        "ko": (
            "{side:side}: max_steps: {steps} 때문에 num_train_epochs는 의미가 없다",
            "{epochs:value} 에포크라고 적혀 있지만 {steps}스텝을 학습한다.",
        ),
    },
    "remote_code": {
        "en": (
            "trust_remote_code is on",
            "True of {sides:sides}: Python code that comes with the model runs with the user's "
            "rights. Families that transformers knows do not need it.",
        ),
        "ko": (
            "trust_remote_code가 켜져 있다",
            "해당: {sides:sides}. 모델에 딸린 Python 코드가 사용자 권한으로 실행된다. "
            "transformers가 아는 모델에는 필요 없다.",
        ),
    },
    "remote_code_refused": {
        "en": (
            "trust_remote_code is on in the files; here it stays off",
            "True of {sides:sides}. Families that transformers knows do not need it; "
            "model.allow_remote_code in study.yaml would turn it on.",
        ),
        "ko": (
            "파일에는 trust_remote_code가 켜져 있지만 여기서는 끈다",
            "해당: {sides:sides}. transformers가 아는 모델에는 필요 없다. study.yaml의 "
            "model.allow_remote_code로 켤 수 있다.",
        ),
    },
    "written_twice": {
        "en": (
            "{side:side} writes {settings:names} in two places",
            "They agree. A change has to be made in all of them, or transformers refuses the "
            "configuration.",
        ),
        "ko": (
            "{side:side} 설정은 같은 값을 두 곳에 적는다: {settings:names}",
            "지금은 서로 같다. 바꿀 때는 모두 바꾸지 않으면 transformers가 설정을 거부한다.",
        ),
    },
    "numbers_as_text": {
        "en": (
            "{side:side}: YAML 1.1 reads {settings:names} as text",
            "A number such as 1e-5 needs a dot and a sign (1.0e-5) for PyYAML to see a number. "
            "Here it is read as the number it is.",
        ),
        "ko": (
            "{side:side}: YAML 1.1이 문자열로 읽는 숫자가 있다: {settings:names}",
            "PyYAML이 1e-5 같은 값을 숫자로 읽으려면 점과 부호가 필요하다 (1.0e-5). 여기서는 "
            "뜻대로 숫자로 읽는다.",
        ),
    },
    "differences_idle": {
        "en": (
            "Some differences do nothing",
            "{settings:names}: without effect on either side, as other settings stand.",
        ),
        "ko": (
            "효과가 없는 차이가 있다",
            "{settings:names}: 다른 설정의 값 때문에 양쪽 모두에서 효과가 없다.",
        ),
    },
    "keys_unread": {
        "en": (
            "{side:side}: nothing reads {count} {count:key|keys}",
            "In {blocks:names}.",
        ),
        "ko": (
            "{side:side}: 어디에서도 읽지 않는 키가 {count}개 있다",
            "위치: {blocks:names}.",
        ),
    },
    "not_run_here": {
        "en": (
            "{side:side} asks for what runs here do not do",
            "{notes:lines}",
        ),
        "ko": (
            "{side:side} 설정에는 여기서 실행하지 않는 것이 있다",
            "{notes:lines}",
        ),
    },
}
