"""Settings written into a user's file: the way back from an arm to a dialect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from ablation.dialects.defaults import DEEPSPEED
from ablation.dialects.keys import Key, Keys, Warmup
from ablation.dialects.reader import DEFAULT, EXPLICIT, Value
from ablation.documents.files import Files
from ablation.documents.operations import Operation, Remove, Rename, Set
from ablation.documents.scalars import is_number
from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS, SETTINGS

_SCHEDULER = ("lr_scheduler_type", "lr_scheduler_kwargs")
_OPTIMIZER = ("optim", "optim_implementation")
_BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps", "world_size")
_OPTIMIZER_TYPES = {"adamw": "AdamW", "adam": "Adam"}
# What transformers fills in where a DeepSpeed scheduler says `auto`.
_AUTO_STEPS = {
    "WarmupLR": ("warmup_num_steps", "warmup_max_lr"),
    "WarmupDecayLR": ("total_num_steps", "warmup_num_steps", "warmup_max_lr"),
    "WarmupCosineLR": ("total_num_steps", "warmup_num_steps"),
}
# Written beside an arm's settings so that the libraries do what the arm says.
BESIDE = (
    "deepspeed.train_batch_size",
    "deepspeed.zero_force_ds_cpu_optimizer",
    "lora.task_type",
    "training.method",
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One operation and the setting that it is for.

    Attributes:
        setting: The setting; for what goes along with it, the first of `BESIDE`.
        operation: What is done to the files.
    """

    setting: str
    operation: Operation


class Writer:
    """One pass over a configuration: what differs is written where the dialect wants it.

    Args:
        files: The configuration's files, changed as it goes along.
        dialect: The module of its dialect.
        settings: What it does now.
        wanted: What it shall do: setting to value. Others stay as they are.
    """

    def __init__(
        self,
        files: Files,
        dialect: ModuleType,
        settings: Mapping[str, Value],
        wanted: Mapping[str, object],
    ) -> None:
        self.files = files
        self.keys: Keys = dialect.KEYS
        self.settings = settings
        self.wanted = {n: v.value for n, v in settings.items()} | dict(wanted)
        self.defaults: dict[str, object] = {}
        for _, defaults in dialect.DEFAULTS:
            self.defaults = {**defaults, **self.defaults}
        self.setting = BESIDE[0]
        self.changes: list[Change] = []

    def write(self, names: Sequence[str]) -> list[Change]:
        """The changes, done, that give the named settings the values that are wanted.

        Raises:
            UserError: a value cannot be written.
        """
        self._open_deepspeed(names)
        if any(name in _SCHEDULER for name in names):
            self.setting = "lr_scheduler_type"
            self._scheduler()
        if any(name in _OPTIMIZER for name in names):
            self.setting = "optim_implementation"
            self._optimizer()
        for name in self._in_order(names):
            self.setting = name
            if name == "warmup_steps" and self.keys.warmup is not None:
                self._warmup(self.keys.warmup, self._number(name))
            elif name == "lora.enable":
                self._adapter()
            elif name == "lora.trains_head":
                self._head()
            elif name not in (*_SCHEDULER, *_OPTIMIZER):
                self._setting(name)
        self.setting = BESIDE[0]
        self._beside(names)
        return self.changes

    def _do(self, operation: Operation) -> None:
        """Do and note one operation, unless it changes nothing."""
        before = self.files.texts
        self.files.apply(operation)
        if self.files.texts != before:
            self.changes.append(Change(setting=self.setting, operation=operation))

    def _set(self, path: str, value: object, same: frozenset[str] = frozenset()) -> None:
        self._do(Set(path=path, value=value, same=same))

    def _now(self, name: str) -> object:
        value = self.settings.get(name)
        return value.value if value is not None else None

    def _number(self, name: str) -> float:
        """What is wanted for a setting that is a number."""
        value = self.wanted[name]
        assert is_number(value), f"{name} is a number"
        return value

    def _remove(self, path: str) -> None:
        self._do(Remove(path=path))

    def _in_order(self, names: Sequence[str]) -> list[str]:
        known = list(self.keys.settings)
        return sorted(names, key=lambda n: (known.index(n) if n in known else len(known), n))

    def _setting(self, name: str) -> None:
        """Write one setting in all places that say it, or in the first one it may have."""
        places = (*self.keys.of(name), *self._other_names(name))
        there = [p for p in places if self.files.get(p.key) is not None]
        value = self.wanted[name]
        if value is None and not (name in SETTINGS and SETTINGS[name].optional):
            for place in there:
                self._remove(place.key)
            return
        if self._is_deepspeeds_own(name):
            for place in (p for p in places if p.follows):
                self._set(place.key, "auto")
        said = [p for p in there if self.files.plain(p.key) != "auto"]
        chosen = said or [p for p in there if not p.follows][:1] or self._new_place(places)
        contradicts = any(p.follows for p in said) and self.defaults.get(name) != value
        if contradicts and places[0] not in chosen:
            chosen.insert(0, places[0])
        optimizer = self._block("optimizer")
        if optimizer and chosen and chosen[0].key.startswith(f"{optimizer}."):
            kind = _OPTIMIZER_TYPES.get(str(self.wanted["optim"]))
            if kind and self.files.get(optimizer) is None:  # without a type nothing reads it
                self._optimizer_block(optimizer, kind)
                return
        same = frozenset(place.key for place in places)
        for place in chosen:
            self._write(place, value, same)

    def _adapter(self) -> None:
        """The key that switches LoRA; where the file has none, its blocks come and go."""
        switched = any(self.files.get(p.key) is not None for p in self.keys.of("lora.enable"))
        if switched or not self.keys.adapter:
            self._setting("lora.enable")
        elif self.wanted["lora.enable"] is False:
            for block in self.keys.adapter:
                self._remove(block)

    def _head(self) -> None:
        """The task type with which peft trains a classifier's head, in the block of LoRA's keys."""
        if self.wanted.get("lora.enable") is not False:
            for place in self._new_place(self.keys.of("lora.trains_head")):
                self._write(place, self.wanted["lora.trains_head"], frozenset())

    def _is_deepspeeds_own(self, name: str) -> bool:
        """Whether DeepSpeed has its own value because its configuration lacks the key.

        It looks at no argument then: the key must be there, and may be `auto`.
        """
        value = self.settings.get(name)
        own = value is not None and value.origin == DEFAULT and value.key == DEEPSPEED
        return own and self.keys.deepspeed is not None

    def _new_place(self, places: Sequence[Key]) -> list[Key]:
        """Where to add a setting: where the file has most of the keys that stand together."""
        leading = [place for place in places if not place.follows] or list(places)
        known = [place for group in self.keys.settings.values() for place in group]
        groups = Counter(_group(p.key) for p in known if self.files.get(p.key) is not None)
        return sorted(leading, key=lambda place: -groups[_group(place.key)])[:1]

    def _other_names(self, name: str) -> list[Key]:
        """Keys that say the setting in this file and that the dialect's table does not have.

        One that says it in another form (`cpu_offload: true`) is taken out instead.
        """
        value = self.settings.get(name)
        if value is None or value.origin != EXPLICIT:
            return []
        known = {place.key for place in self.keys.of(name)}
        written = (*([value.key] if value.key else []), *(key for key, _, _ in value.also))
        others = [key for key in written if key not in known]
        found = [key for key in others if self.files.get(key) is not None]
        for key in list(found):
            plain = self.files.plain(key)
            if plain != value.value and not (isinstance(plain, list) and plain):
                self._remove(key)
                found.remove(key)
        return [Key(key, name) for key in found]

    def _write(self, place: Key, value: object, same: frozenset[str]) -> None:
        written = place.write(value, self.wanted)
        if isinstance(written, dict):
            self._mapping(place.key, written)
        else:
            self._set(place.key, written, same)

    def _mapping(self, key: str, value: Mapping[str, object]) -> None:
        """Make a mapping's keys those of `value`; without any, take it out."""
        node = self.files.get(key)
        if not value:
            self._remove(key)
        elif node is None or not node.children:
            self._set(key, dict(value))
        else:
            for name in [n for n in _mapping(self.files.plain(key)) if n not in value]:
                self._remove(f"{key}.{name}")
            for name, item in value.items():
                self._set(f"{key}.{name}", item)

    # Blocks of DeepSpeed that take over what TrainingArguments say

    def _block(self, name: str) -> str | None:
        """The key of a block in the DeepSpeed configuration; None where there can be none."""
        whole = self.keys.deepspeed
        if whole is None or (
            any(self.files.get(key) is not None for key in self.keys.elsewhere)
            and self.files.get(whole) is None
        ):
            return None
        return f"{whole}.{name}".lstrip(".")

    def _open_deepspeed(self, names: Sequence[str]) -> None:
        """Begin a DeepSpeed configuration in a file without one, filled in by transformers."""
        needed = any(name.startswith("deepspeed.") for name in names)
        needed |= self.wanted["lr_scheduler_type"] in DEEPSPEED_SCHEDULERS
        needed |= self.wanted["optim_implementation"] == "deepspeed"
        whole = self.keys.deepspeed
        if not needed or not whole or self._block("") is None or not self.keys.of("optim"):
            return
        if self.files.plain(whole) is None:
            filled = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
            block = dict.fromkeys((*filled, "gradient_clipping"), "auto")
            self._set(whole, block | {"bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"}})

    def _scheduler(self) -> None:
        kind = str(self.wanted["lr_scheduler_type"])
        kwargs = _mapping(self.wanted["lr_scheduler_kwargs"])
        block = self._block("scheduler")
        if kind in DEEPSPEED_SCHEDULERS:
            if block is not None:
                self._take_out(*_SCHEDULER)
                self._scheduler_block(block, kind, kwargs)
        elif block is not None and self.files.get(block) is not None:
            self._remove(block)
        else:
            for name in _SCHEDULER:
                if self.keys.of(name) and self._now(name) != self.wanted[name]:
                    self._setting(name)

    def _take_out(self, *names: str) -> None:
        for place in (place for name in names for place in self.keys.of(name)):
            self._remove(place.key)

    def _scheduler_block(self, block: str, kind: str, kwargs: Mapping[str, object]) -> None:
        steps = dict.fromkeys(_AUTO_STEPS.get(kind, ()), "auto")
        params = {**steps, **{name: value for name, value in kwargs.items() if value is not None}}
        node = self.files.get(block)
        if node is None or not node.children:
            self._set(block, {"type": kind, "params": params} if params else {"type": kind})
            return
        if self.files.plain(f"{block}.type") == kind:
            now = _mapping(self._now("lr_scheduler_kwargs"))
            for name in [n for n in now if n not in kwargs]:
                if name in steps:
                    self._set(f"{block}.params.{name}", "auto")
                else:
                    self._remove(f"{block}.params.{name}")
            for name in [n for n in kwargs if now.get(n) != kwargs[n]]:
                self._set(f"{block}.params.{name}", kwargs[name])
            return
        self._set(f"{block}.type", kind)
        self._mapping(f"{block}.params", params)

    def _optimizer(self) -> None:
        block = self._block("optimizer")
        kind = _OPTIMIZER_TYPES.get(str(self.wanted["optim"]))
        if self.wanted["optim_implementation"] == "deepspeed":
            if block is not None and kind is not None:
                self._take_out("optim")
                self._optimizer_block(block, kind)
        elif not self.keys.of("optim"):
            if block and kind and self.wanted["optim_implementation"] == "torch":
                self._optimizer_block(block, kind)
                self._set(f"{block}.params.torch_adam", True)
        elif block is not None and self.files.get(block) is not None:
            self._remove(block)
        elif self.keys.of("optim")[0].write(None, self.wanted) is not None:
            self._setting("optim")

    def _optimizer_block(self, block: str, kind: str) -> None:
        node = self.files.get(block)
        if node is not None and node.children:
            self._set(f"{block}.type", kind)
            self._remove(f"{block}.params.torch_adam")
            if kind == "AdamW":
                self._remove(f"{block}.params.adam_w_mode")
            else:
                self._set(f"{block}.params.adam_w_mode", False)
            return
        params: dict[str, object] = {}
        params |= dict.fromkeys(("lr", "betas", "eps", "weight_decay"), "auto")
        if not self.keys.of("optim"):  # nothing would fill them in
            params = {
                "lr": self.wanted["learning_rate"],
                "betas": [self.wanted["adam_beta1"], self.wanted["adam_beta2"]],
                "eps": self.wanted["adam_epsilon"],
                "weight_decay": self.wanted["weight_decay"],
            }
        if kind == "Adam":
            params["adam_w_mode"] = False
        self._set(block, {"type": kind, "params": params})

    def _warmup(self, keys: Warmup, value: float) -> None:
        """A share of all steps below 1, else steps; the two have keys of their own."""
        params = f"{self._block('scheduler')}.params"
        if self._is_deepspeeds_own("warmup_steps") and self.files.get(params) is not None:
            self._set(f"{params}.warmup_num_steps", "auto")
        if keys.enabled and self.files.plain(keys.enabled) is False and value:
            self._set(keys.enabled, True)
        steps = self.files.plain(keys.steps)
        has_ratio = self.files.get(keys.ratio) is not None
        if value >= 1:
            number = int(value) if value == int(value) else value
            if has_ratio and self.files.get(keys.steps) is None:
                self._do(Rename(path=keys.ratio, key=keys.steps.rpartition(".")[2]))
            self._set(keys.steps, number)
        elif steps in (None, 0, "auto"):
            self._set(keys.ratio, value)
        elif has_ratio:
            self._set(keys.steps, "auto" if keys.enabled else 0)
            self._set(keys.ratio, value)
        else:  # transformers 5 takes a share under this name, too
            self._set(keys.steps, value)

    def _beside(self, names: Sequence[str]) -> None:
        """What the libraries want changed along with the settings."""
        total = self._block("train_batch_size")
        if total and any(n in names for n in _BATCH) and isinstance(self.files.plain(total), int):
            micro, accumulation, devices = (int(self._number(name)) for name in _BATCH)
            self._set(total, micro * accumulation * devices)
        offload = "deepspeed.zero_optimization.offload_optimizer.device"
        moved = offload in names or "optim_implementation" in names
        own = self.wanted["optim_implementation"] != "deepspeed" and self.keys.of("optim")
        if moved and own and self.wanted.get(offload) not in (None, "none"):
            # Else accelerate takes DeepSpeedCPUAdam instead of the optimizer that was measured.
            forced = self._block("zero_force_ds_cpu_optimizer")
            if forced is not None:
                self._set(forced, False)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _group(key: str) -> str:
    """What a key stands together with: its block, or the LoRA keys of the top level."""
    parent = key.rpartition(".")[0]
    return parent or ("lora_" if key.startswith("lora_") else "")
