"""What `TrainingArguments` stops at: words that it does not know, arguments that contradict."""

from __future__ import annotations

from ablation.dialects.reader import Reader, Value
from ablation.documents.scalars import is_number
from ablation.settings.catalogue import HF_SCHEDULERS, words

TRANSFORMERS = "transformers"
SCHEDULES = (
    *HF_SCHEDULERS,
    *words("reduce_lr_on_plateau cosine_warmup_with_min_lr greedy"),
)
_INTERVALS = words("no steps epoch")
# Arguments that take one of some words: what transformers calls those, and which there are.
_WORDS = {
    "eval_strategy": ("IntervalStrategy", _INTERVALS),
    "logging_strategy": ("IntervalStrategy", _INTERVALS),
    "save_strategy": ("SaveStrategy", (*_INTERVALS, "best")),
    "hub_strategy": ("HubStrategy", words("end every_save checkpoint all_checkpoints")),
    "lr_scheduler_type": ("SchedulerType", SCHEDULES),
}
_BEST = "load_best_model_at_end"


def check_arguments(reader: Reader) -> None:
    """Note what `TrainingArguments` refuses of what has been read."""
    _check_words(reader)
    _check_steps(reader)
    _check_evaluation(reader)
    _check_best_model(reader)


def _check_words(reader: Reader) -> None:
    """YAML 1.1 reads `eval_strategy: no` as false, which is no word of theirs."""
    for name, (kind, allowed) in _WORDS.items():
        found = reader.first(name)
        if found is None or found.unreadable or found.value in allowed or _is_filled(found):
            continue
        reason = f"{found.value} is not a valid {kind}"
        key = str(found.key)
        write = f'{key.rsplit(".", 1)[-1]}: "no"' if found.value is False else None
        reader.refuse(key, name, TRANSFORMERS, reason, allowed, write)


def _is_filled(found: Value) -> bool:
    """Whether a value is put in when the file is used, or where DeepSpeed's block wins."""
    return found.wins or (isinstance(found.value, str) and "$" in found.value)


def _check_steps(reader: Reader) -> None:
    """Steps between two events: whole ones, or a share of the run below 1, and not 0."""
    for what, default in (("logging", "steps"), ("eval", "no"), ("save", "steps")):
        found = reader.first(f"{what}_steps")
        if found is None or _word(reader, f"{what}_strategy", default) != "steps":
            continue
        key, name, steps = str(found.key), f"{what}_steps", found.value
        if what == "logging" and steps == 0 and steps is not False:
            reason = "logging strategy steps requires non-zero --logging_steps"
            reader.refuse(key, name, TRANSFORMERS, reason)
        if is_number(steps) and steps > 1 and steps != int(steps):
            reason = f"--{name} must be an integer if bigger than 1: {steps}"
            reader.refuse(key, name, TRANSFORMERS, reason)
    ahead, workers = (reader.first(f"dataloader_{n}") for n in ("prefetch_factor", "num_workers"))
    if ahead and ahead.value is not None and (workers is None or workers.value == 0):
        reason = (
            "--dataloader_prefetch_factor can only be set when data is loaded in a different "
            "process, i.e. when --dataloader_num_workers > 0."
        )
        reader.refuse(str(ahead.key), "dataloader_prefetch_factor", TRANSFORMERS, reason)


def _check_evaluation(reader: Reader) -> None:
    """Schedules that follow what is evaluated need something to follow."""
    found = reader.first("lr_scheduler_type")
    follows = found is not None and found.value in ("reduce_lr_on_plateau", "greedy")
    if found and follows and _word(reader, "eval_strategy", "no") == "no":
        reason = f"lr_scheduler_type {found.value} requires an eval strategy"
        reader.refuse(str(found.key), "lr_scheduler_type", TRANSFORMERS, reason)


def _word(reader: Reader, name: str, default: str) -> str:
    found = reader.first(name)
    return str(found.value) if found else default


def _check_best_model(reader: Reader) -> None:
    """`load_best_model_at_end` wants weights saved when they are evaluated: else it is refused."""
    best = reader.first(_BEST)
    if best is None or best.value is not True:
        return
    evaluated, saved = _word(reader, "eval_strategy", "no"), _word(reader, "save_strategy", "steps")
    if saved == "best":
        return
    key = str(best.key)
    if evaluated != saved:
        reason = (
            "--load_best_model_at_end requires the save and eval strategy to match, but found - "
            f"Evaluation strategy: {evaluated} - Save strategy: {saved}"
        )
        write = f"eval_strategy: {saved}" if evaluated == "no" else f"save_strategy: {evaluated}"
        reader.refuse(key, _BEST, TRANSFORMERS, reason, write=write)
    elif saved == "steps":
        _check_best_steps(reader, key)


def _check_best_steps(reader: Reader, key: str) -> None:
    """The saving steps must be a multiple of the evaluation's, which are those of logging."""
    logged = reader.first("logging_steps")
    found = reader.first("eval_steps") or logged
    every = found.value if found is not None and found.value else 500
    last = reader.first("save_steps")
    save = last.value if last is not None else 500
    if not (is_number(every) and is_number(save) and every > 0 and save > 0):
        return
    if (every < 1) != (save < 1):
        but = (
            "which cannot get guaranteed when mixing ratio and absolute steps for save_steps "
            f"{save} and eval_steps {every}."
        )
    elif (save * 1e6) % (every * 1e6) if every < 1 else save % every:
        but = f"but found {save}, which is not a multiple of {every}."
    else:
        return
    wants = "--load_best_model_at_end requires the saving steps to be a multiple of the evaluation"
    reader.refuse(key, _BEST, TRANSFORMERS, f"{wants} steps, {but}")
