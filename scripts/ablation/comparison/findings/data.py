"""Findings on the rows: how many, which, how long, and which epoch's weights count."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.comparison.findings.finding import (
    BACKUP,
    CURRENT,
    INFO,
    PROBLEM,
    SIDES,
    WARNING,
    Finding,
    Pair,
    Texts,
    pairwise_evidence,
)
from ablation.dialects.reader import DERIVED
from ablation.settings.architecture import is_rotary, places_of

MICRO, ACCUMULATION, DEVICES = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "world_size",
)


def amount(pair: Pair) -> Iterator[Finding]:
    """Epochs are passes over the rows that an arm has; with other rows they are other amounts."""
    name = "data.extract_ratio"
    if not pair.differs(name):
        return
    shares, epochs = pair.both(name), pair.both("num_train_epochs")
    evidence = {
        **pairwise_evidence("share", shares),
        **pairwise_evidence("epochs", epochs),
        **pairwise_evidence("rows", pair.amounts("train_rows")),
        **pairwise_evidence("passes", pair.amounts("sample_passes")),
        "rows_factor": pair.factor("train_rows"),
        "epochs_factor": epochs[1] / epochs[0],
        "passes_factor": pair.factor("sample_passes"),
        "stage": (pair.stages or {}).get(name),
    }
    yield pair.find("data_amount", PROBLEM, evidence, [name, "num_train_epochs"])


def passes(pair: Pair) -> Iterator[Finding]:
    """Passes and steps where only the epochs differ."""
    factor = pair.factor("sample_passes")
    if pair.differs("data.extract_ratio") or factor is None or abs(factor - 1) < 0.01:
        return
    evidence = {
        **pairwise_evidence("epochs", pair.both("num_train_epochs")),
        "passes_factor": factor,
        "steps_factor": pair.factor("steps"),
    }
    yield pair.find("sample_passes", INFO, evidence, ["num_train_epochs", "max_steps"])


def batch(pair: Pair) -> Iterator[Finding]:
    """Rows per step: micro-batch x accumulation x devices."""
    names = [MICRO, ACCUMULATION, DEVICES]
    if not pair.differs(*names):
        return
    evidence = {
        **pairwise_evidence("micro", pair.both(MICRO)),
        **pairwise_evidence("accumulation", pair.both(ACCUMULATION)),
        **pairwise_evidence("devices", pair.both(DEVICES)),
        **pairwise_evidence("batch", pair.amounts("effective_batch")),
        "factor": pair.factor("effective_batch"),
    }
    if evidence["factor"] == 1:
        of_tokens = any(pair.value(side, "training.objective") for side in SIDES)
        kind = "effective_batch_of_tokens" if of_tokens else "effective_batch_equal"
        yield pair.find(kind, INFO, evidence, names)
    else:
        yield pair.find("effective_batch_differs", WARNING, evidence, names)


def packing(pair: Pair) -> Iterator[Finding]:
    """Packs of rows in place of rows: a step takes in more of them, and there are fewer steps."""
    sides = [side for side in SIDES if pair.value(side, "packing")]
    if not sides:
        return
    places = [place for side in sides for place in pair.places("packing", side=side)]
    names, evidence = ["packing", "max_length"], {"sides": sides}
    kind = "packing_on_one_side" if len(sides) == 1 else "packing_on_both"
    severity = WARNING if len(sides) == 1 else INFO
    yield pair.find(kind, severity, evidence, names, places=places)


def assumed_devices(pair: Pair) -> Iterator[Finding]:
    """A file that does not say on how many devices it trains."""
    for side in SIDES:
        found = pair.setting(side, DEVICES)
        if found is not None and found.origin == DERIVED and found.line is None:
            yield pair.find("devices_assumed", INFO, {"devices": found.value}, [DEVICES], side)


def class_filter(pair: Pair) -> Iterator[Finding]:
    """A side that keeps only frequent classes has an easier task, and other rows."""
    name = "data.max_classes"
    if not pair.differs(name):
        return
    limits = pair.both(name)
    kept = min(limit for limit in limits if limit is not None)
    there = pair.plan.num_labels if pair.plan.label_counts else None
    cut = None if there is None else max(0, there - kept)
    evidence = {
        **pairwise_evidence("limit", limits),
        "classes": there,
        "cut": cut,
    }
    if cut == 0:
        yield pair.find("class_filter_idle", INFO, evidence, [name])
    else:
        yield pair.find("class_filter", WARNING, evidence, [name])


def split(pair: Pair) -> Iterator[Finding]:
    """Accuracies on other test rows cannot be compared."""
    differing = [d.setting for d in pair.differences() if d.held and _of_rows(d.setting)]
    if differing:
        yield pair.find("split_differs", PROBLEM, {"settings": differing}, differing)
    silent = [d.setting for d in pair.silent() if _of_rows(d.setting)]
    if silent:
        side = BACKUP if pair.setting(BACKUP, silent[0]) is None else CURRENT
        evidence = {
            "settings": silent,
            "side": side,
            "file": pair.sides[side].file,
            "held": pair.stages is not None,
        }
        name = "split_unknown_held" if pair.stages is not None else "split_unknown"
        yield pair.find(name, WARNING, evidence, silent)


def _of_rows(name: str) -> bool:
    return name.startswith(("split.", "serialization.", "data."))


def model(pair: Pair) -> Iterator[Finding]:
    """Two models: nothing else that differs can be told apart from that."""
    name = "model.name_or_path"
    values = pair.both(name)
    if None not in values and values[0] != values[1]:
        yield pair.find("model_differs", PROBLEM, pairwise_evidence("model", values), [name])


def selection(pair: Pair) -> Iterator[Finding]:
    """Choosing the best checkpoint on one side alone is a head start for it."""
    name = "load_best_model_at_end"
    if not pair.differs(name):
        return
    side = CURRENT if pair.value(CURRENT, name) else BACKUP
    other = BACKUP if side == CURRENT else CURRENT
    evidence = {
        "side": side,
        "other": other,
        "file": pair.sides[side].file,
        "metric": pair.value(side, "metric_for_best_model") or "loss",
    }
    names = [name, "metric_for_best_model", "greater_is_better"]
    yield pair.find("selection_on_one_side", WARNING, evidence, names)


def max_length(pair: Pair) -> Iterator[Finding]:
    """A longer limit changes only the texts that reach the shorter one."""
    name = "max_length"
    if not pair.differs(name):
        return
    limits = pair.both(name)
    evidence = {
        **pairwise_evidence("limit", limits),
        "factor": limits[1] / limits[0],
        "shorter": min(limits),
        "longest": pair.plan.longest,
    }
    truncated = {length: (pair.plan.truncated or {}).get(length) for length in limits}
    if None in truncated.values() or pair.plan.longest is None:
        yield pair.find("max_length_unknown", INFO, evidence, [name])
        return
    evidence |= {
        **pairwise_evidence("truncated", (truncated[limits[0]], truncated[limits[1]])),
        "tokens_factor": pair.factor("real_tokens_per_row"),
    }
    if pair.plan.longest <= min(limits):
        yield pair.find("max_length_idle", WARNING, evidence, [name])
    else:
        yield pair.find("max_length_truncates", INFO, evidence, [name])


def positions(pair: Pair) -> Iterator[Finding]:
    """A limit beyond the positions that the model was made for."""
    places, longest = places_of(pair.facts), pair.plan.longest
    for side in SIDES:
        limit = pair.value(side, "max_length")
        reached = longest is None or not places or longest > places
        if not places or not isinstance(limit, int) or limit <= places or not reached:
            continue
        evidence = {"limit": limit, "places": places, "factor": limit / places}
        if is_rotary(pair.facts):
            yield pair.find("length_beyond_rotations", WARNING, evidence, ["max_length"], side)
        else:
            yield pair.find("length_beyond_positions", PROBLEM, evidence, ["max_length"], side)


def padding(pair: Pair) -> Iterator[Finding]:
    """Padding every row to the limit computes tokens that no text has."""
    for side in SIDES:
        if pair.value(side, "padding") != "max_length" or not pair.differs("padding"):
            continue
        limit = pair.value(side, "max_length")
        evidence = {"limit": limit, "longest": pair.plan.longest}
        real = pair.quantities[side].get("real_tokens_per_row")
        if real is None:
            yield pair.find("padding_to_limit", INFO, evidence, ["padding", "max_length"], side)
            continue
        evidence |= {"real": real, "real_share": real / limit, "wasted": 1 - real / limit}
        yield pair.find("padding_wasted", WARNING, evidence, ["padding", "max_length"], side)


def unchanged_by_stages(pair: Pair) -> Iterator[Finding]:
    """Differences that reach training and that no stage takes over: the remainder."""
    if pair.stages is None:
        return
    names = [d.setting for d in pair.differences() if d.trained and d.setting not in pair.stages]
    if names:
        evidence = {"settings": names, "count": len(names)}
        yield pair.find("differences_in_no_stage", WARNING, evidence, names)


def pickles(pair: Pair) -> Iterator[Finding]:
    """Data in a pickle: reading it can run any code."""
    for side in SIDES:
        for place, text in pair.texts.get(side, ()):
            if text.lower().endswith((".pkl", ".pickle")):
                evidence = {"path": text, "key": place.key}
                yield pair.find("pickle_as_data", WARNING, evidence, [], side, [place])


CHECKS = (
    amount,
    passes,
    batch,
    packing,
    assumed_devices,
    class_filter,
    split,
    model,
    selection,
    max_length,
    positions,
    padding,
    unchanged_by_stages,
    pickles,
)

# Title and text of each finding by language; numbers are put in by format specifications, see
# `texts.py`.
TEXTS: Texts = {
    "length_beyond_rotations": {
        "en": (
            "{side:side}: max_length {limit} is {factor:times} the {places} "
            "{places:position|positions} that the model was made for",
            "Its positions are rotations, so longer texts are computed all the same, with angles "
            "that it never saw: they are likely to score worse. Texts up to {places} tokens are as "
            "before.",
        ),
        "ko": (
            "{side:side}: max_length {limit}{:은|는} 모델이 학습한 위치 {places}개의 "
            "{factor:times}이다",
            "위치가 회전으로 표현되므로 더 긴 텍스트도 계산은 되지만, 본 적 없는 각도를 쓰게 되어 "
            "점수가 나빠지기 쉽다. {places}토큰까지의 텍스트는 달라지지 않는다.",
        ),
    },
    "length_beyond_positions": {
        "en": (
            "{side:side}: max_length {limit} is beyond the model, which has {places} "
            "{places:position|positions}",
            "It has an embedding for each position: training ends with an error at the first text "
            "of more than {places} {places:token|tokens}.",
        ),
        "ko": (
            "{side:side}: max_length {limit}{:은|는} 위치가 {places}개인 모델의 범위를 벗어난다",
            "위치마다 임베딩이 있으므로 {places}토큰을 넘는 첫 텍스트에서 학습이 오류로 끝난다.",
        ),
    },
    "data_amount": {
        "en": (
            "They train on different amounts of data: extract_ratio {current_share:value} "
            "against {backup_share:value}",
            "An epoch of the backup has {rows_factor:times} the rows of the current one. With "
            "{current_epochs:value} and {backup_epochs:value} epochs the backup makes "
            "{passes_factor:times} the sample passes; by the epochs alone it would be "
            "{epochs_factor:times}. A comparison that leaves this out credits other settings "
            "with what more data does.",
        ),
        "ko": (
            "학습 데이터의 양이 다르다: extract_ratio {current_share:value} 대 "
            "{backup_share:value}",
            "백업의 한 에포크에 들어가는 행 수는 현재의 {rows_factor:times}이다. 에포크가 "
            "{current_epochs:value} 대 {backup_epochs:value}이므로 백업의 누적 샘플 수는 "
            "{passes_factor:times}인데, 에포크만 비교하면 {epochs_factor:times}로 보인다. 이 "
            "차이를 빼고 비교하면 데이터가 늘어서 생긴 효과를 다른 설정의 효과로 잘못 보게 된다.",
        ),
    },
    "sample_passes": {
        "en": (
            "{passes_factor:times} the sample passes",
            "{current_epochs:value} against {backup_epochs:value} epochs over the same share of "
            "the rows: {passes_factor:times} the sample passes in {steps_factor:times} the steps.",
        ),
        "ko": (
            "누적 샘플 수가 {passes_factor:times}이다",
            "같은 비율의 행을 {current_epochs:value} 에포크 대 {backup_epochs:value} 에포크 동안 "
            "본다. 누적 샘플 수는 {passes_factor:times}, 스텝 수는 {steps_factor:times}이다.",
        ),
    },
    "effective_batch_of_tokens": {
        "en": (
            "The effective batch is the same in rows: {current_batch:number}",
            "{current_micro} × {current_accumulation} × {current_devices} = {backup_micro} × "
            "{backup_accumulation} × {backup_devices} = {current_batch:number} "
            "{current_batch:row|rows} a step. The loss of a language model is averaged over "
            "tokens: whether over those of a step or of each micro-batch and device depends on the "
            "trainer and its release, so the two may weigh rows otherwise.",
        ),
        "ko": (
            "유효 배치의 행 수는 같다: {current_batch:number}",
            "{current_micro} × {current_accumulation} × {current_devices} = {backup_micro} × "
            "{backup_accumulation} × {backup_devices} = 스텝당 {current_batch:number}행. 언어 "
            "모델의 손실은 토큰 평균인데, 스텝 전체의 평균인지 마이크로 배치와 장치마다의 평균인지 "
            "여부는 학습 도구와 릴리스에 따라 다르므로 행의 비중이 다를 수 있다.",
        ),
    },
    "packing_on_one_side": {
        "en": (
            "{sides:sides} packs rows: a step is packs, not rows",
            "Several rows fill one sequence, so that there are far fewer steps, each with more "
            "rows. How many is not known before the rows are tokenized: steps, warmup and sums of "
            "that side are left open.",
        ),
        "ko": (
            "{sides:sides} 설정은 행을 묶는다(packing). 한 스텝은 행이 아니라 묶음이다",
            "여러 행이 한 시퀀스를 채우므로 스텝 수는 훨씬 적고 스텝마다 행이 더 많다. 몇 행이 "
            "묶이는지는 토큰화 전에는 알 수 없어, 그쪽의 스텝 수와 워밍업, 합계는 비워 둔다.",
        ),
    },
    "packing_on_both": {
        "en": (
            "Both pack rows: a step is packs, not rows",
            "Several rows fill one sequence of {sides:sides}; how many is not known before the "
            "rows are tokenized, so steps, warmup and sums are left open.",
        ),
        "ko": (
            "두 설정 모두 행을 묶는다(packing). 한 스텝은 행이 아니라 묶음이다",
            "{sides:sides}의 한 시퀀스를 여러 행이 채운다. 몇 행이 묶이는지는 토큰화 전에는 알 수 "
            "없어 스텝 수와 워밍업, 합계는 비워 둔다.",
        ),
    },
    "effective_batch_equal": {
        "en": (
            "The effective batch is the same: {current_batch:number}",
            "{current_micro} × {current_accumulation} × {current_devices} = {backup_micro} × "
            "{backup_accumulation} × {backup_devices} = {current_batch:number} "
            "{current_batch:row|rows} a step. Micro-batch and accumulation change memory and "
            "speed, not what is learned (up to rounding and padding).",
        ),
        "ko": (
            "유효 배치는 같다: {current_batch:number}",
            "{current_micro} × {current_accumulation} × {current_devices} = {backup_micro} × "
            "{backup_accumulation} × {backup_devices} = 스텝당 {current_batch:number}행. "
            "마이크로 배치와 누적은 메모리와 속도를 바꿀 뿐, 반올림과 패딩을 빼면 학습 내용은 "
            "바꾸지 않는다.",
        ),
    },
    "effective_batch_differs": {
        "en": (
            "The effective batch differs: {current_batch:number} against {backup_batch:number}",
            "{current_micro} × {current_accumulation} × {current_devices} = {current_batch:number} "
            "{current_batch:row|rows} a step, against {backup_micro} × {backup_accumulation} × "
            "{backup_devices} = {backup_batch:number}. At the same epochs that is {factor:times} "
            "the rows a step, and that many times fewer steps.",
        ),
        "ko": (
            "유효 배치가 다르다: {current_batch:number} 대 {backup_batch:number}",
            "스텝당 {current_micro} × {current_accumulation} × {current_devices} = "
            "{current_batch:number}행 대 {backup_micro} × {backup_accumulation} × "
            "{backup_devices} = {backup_batch:number}행. 에포크가 같다면 스텝당 행이 "
            "{factor:times}이고 스텝 수는 그만큼 줄어든다.",
        ),
    },
    "devices_assumed": {
        "en": (
            "{side:side}: the number of devices is assumed to be {devices}",
            "The file does not say it; effective batch, steps and memory rest on it.",
        ),
        "ko": (
            "{side:side} 설정의 장치 수는 {devices}개로 가정했다",
            "파일에 적혀 있지 않다. 유효 배치, 스텝 수, 메모리가 이 가정에 달려 있다.",
        ),
    },
    "class_filter": {
        "en": (
            "They learn other classes: max_classes {current_limit:value} against "
            "{backup_limit:value}",
            "The side with a limit drops the rows of all rarer classes, which makes its task "
            "easier. An accuracy over the classes that are left cannot be compared with one over "
            "all of them.",
        ),
        "ko": (
            "학습하는 클래스가 다르다: max_classes {current_limit:value} 대 {backup_limit:value}",
            "제한이 있는 쪽은 드문 클래스의 행을 모두 버리므로 과제가 더 쉬워진다. 남은 "
            "클래스만의 정확도와 전체 클래스의 정확도는 비교할 수 없다.",
        ),
    },
    "class_filter_idle": {
        "en": (
            "max_classes drops nothing: the data has {classes} {classes:class|classes}",
            "{current_limit:value} against {backup_limit:value} makes no difference on this data.",
        ),
        "ko": (
            "max_classes가 버리는 것이 없다: 데이터의 클래스는 {classes}개이다",
            "{current_limit:value} 대 {backup_limit:value}의 차이는 이 데이터에서 아무 영향이 "
            "없다.",
        ),
    },
    "split_differs": {
        "en": (
            "They are evaluated on other rows",
            "{settings:names} {settings:differs|differ}: accuracies of the two cannot be compared. "
            "Here one split serves all arms.",
        ),
        "ko": (
            "서로 다른 행으로 평가한다",
            "다음이 달라 두 정확도를 비교할 수 없다: {settings:names}. 여기서는 모든 구성이 "
            "하나의 분할을 쓴다.",
        ),
    },
    "split_unknown": {
        "en": (
            "{side:side} does not say how it splits its rows",
            "{file:file} has none of {settings:names}. If its test rows are others, the "
            "accuracies of the two cannot be compared, whatever the settings do.",
        ),
        "ko": (
            "{side:side} 설정에는 데이터를 나누는 방법이 적혀 있지 않다",
            "{file:file}에 다음 설정이 없다: {settings:names}. 테스트 행이 다르다면 설정이 "
            "무엇이든 두 정확도는 비교할 수 없다.",
        ),
    },
    "split_unknown_held": {
        "en": (
            "{side:side} does not say how it splits its rows; one split serves all arms here",
            "{file:file} has none of {settings:names}. The gap that was seen may come from other "
            "test rows: it has to be measured again on the same ones before it is explained.",
        ),
        "ko": (
            "{side:side} 설정에는 데이터를 나누는 방법이 적혀 있지 않다. 여기서는 하나의 분할을 "
            "함께 쓴다",
            "{file:file}에 다음 설정이 없다: {settings:names}. 관찰된 격차는 테스트 행이 달라서 "
            "생겼을 수도 있다. 원인을 따지기 전에 같은 행에서 다시 측정해야 한다.",
        ),
    },
    "model_differs": {
        "en": (
            "They start from different models",
            "{current_model} against {backup_model}. No other difference can be told apart from "
            "this one.",
        ),
        "ko": (
            "출발하는 모델이 다르다",
            "{current_model} 대 {backup_model}. 다른 어떤 차이도 이 차이와 구별할 수 없다.",
        ),
    },
    "selection_on_one_side": {
        "en": (
            "Only {side:side} chooses its best checkpoint",
            "{side:side} keeps the checkpoint with the best {metric}, {other:side} its last "
            "weights. The choice favors {side:side}; compare final with final and best with "
            "best.",
        ),
        "ko": (
            "가장 좋은 체크포인트를 고르는 쪽은 {side:side}뿐이다",
            "{side:side} 설정은 {metric} 기준으로 가장 좋은 체크포인트를, {other:side} 설정은 "
            "마지막 가중치를 쓴다. 이 선택은 {side:side} 쪽에 유리하다. 마지막은 마지막끼리, "
            "최고는 최고끼리 비교해야 한다.",
        ),
    },
    "max_length_unknown": {
        "en": (
            "max_length {current_limit} against {backup_limit} matters only for texts over "
            "{shorter} {shorter:token|tokens}",
            "The limit is {factor:times} as long; texts of at most {shorter} "
            "{shorter:token|tokens} are the same under both. How many are longer is known once the "
            "data is prepared.",
        ),
        "ko": (
            "max_length의 차이 ({current_limit} 대 {backup_limit})는 {shorter}토큰을 넘는 "
            "텍스트에서만 의미가 있다",
            "한도는 {factor:times}이지만 {shorter}토큰 이하의 텍스트는 양쪽에서 똑같다. 얼마나 "
            "많은 텍스트가 그보다 긴지는 데이터를 준비하면 알 수 있다.",
        ),
    },
    "max_length_idle": {
        "en": (
            "No text reaches the limit: max_length makes no difference",
            "The longest text has {longest:number} {longest:token|tokens}, so {current_limit} and "
            "{backup_limit} cut nothing. What differs is padding, where rows are padded to the "
            "limit.",
        ),
        "ko": (
            "한도에 닿는 텍스트가 없다: max_length의 차이는 의미가 없다",
            "가장 긴 텍스트가 {longest:number}토큰이므로 {current_limit} 한도든 {backup_limit} "
            "한도든 아무것도 자르지 않는다. 한도까지 패딩하는 쪽에서 패딩만 달라진다.",
        ),
    },
    "max_length_truncates": {
        "en": (
            "max_length cuts {current_truncated:percent} of the rows in current, "
            "{backup_truncated:percent} in backup",
            "The limit is {factor:times} as long, and the texts have {tokens_factor:times} the "
            "tokens: the longest has {longest:number}.",
        ),
        "ko": (
            "max_length로 잘리는 행: 현재 {current_truncated:percent}, 백업 "
            "{backup_truncated:percent}",
            "한도는 {factor:times}이지만 실제 토큰은 {tokens_factor:times}이다. 가장 긴 텍스트는 "
            "{longest:number}토큰이다.",
        ),
    },
    "padding_to_limit": {
        "en": (
            "{side:side} pads every row to {limit} {limit:token|tokens}",
            "Padding costs compute and teaches nothing. How much of it is real text is known "
            "once the data is prepared.",
        ),
        "ko": (
            "{side:side} 설정은 모든 행을 {limit}토큰까지 패딩한다",
            "패딩은 연산량만 늘릴 뿐 학습에는 도움이 되지 않는다. 실제 텍스트의 비율은 데이터를 "
            "준비하면 알 수 있다.",
        ),
    },
    "padding_wasted": {
        "en": (
            "{side:side} pads every row to {limit} {limit:token|tokens}, {wasted:percent} of it "
            "padding",
            "A row has {real:number} real {real:token|tokens} on average: {real_share:percent} of "
            "what is computed. Pad to the longest of the batch instead; results stay the same.",
        ),
        "ko": (
            "{side:side} 설정은 모든 행을 {limit}토큰까지 패딩하며, 그중 패딩이 "
            "{wasted:percent}이다",
            "한 행의 실제 토큰은 평균 {real:number}개로 계산량의 {real_share:percent}이다. "
            "배치에서 가장 긴 텍스트에 맞춰 패딩하면 결과는 그대로이고 연산량만 줄어든다.",
        ),
    },
    "differences_in_no_stage": {
        "en": (
            "{count} {count:difference|differences} {count:is|are} in no stage",
            "No stage takes over {settings:names}. {settings:It is|Together they are} the "
            "remainder between the last stage and the backup; what they do is not told apart.",
        ),
        "ko": (
            "어느 단계에도 없는 차이가 {count}개 있다",
            "어느 단계에도 들어 있지 않은 설정: {settings:names}. 마지막 단계와 백업 사이의 "
            "나머지 차이로 함께 측정되며, 각각의 효과는 구별되지 않는다.",
        ),
    },
    "pickle_as_data": {
        "en": (
            "{side:side} reads its data from a pickle",
            "{path}: reading a pickle can run any code. Here it is refused unless "
            "data.allow_pickle says so; write Parquet instead.",
        ),
        "ko": (
            "{side:side} 설정은 데이터를 피클에서 읽는다",
            "{path}: 피클을 읽으면 어떤 코드든 실행될 수 있다. 여기서는 data.allow_pickle로 "
            "허용하지 않는 한 거부한다. Parquet으로 저장하는 편이 좋다.",
        ),
    },
}
