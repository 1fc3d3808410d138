"""The user's own configuration changed into an arm: values in place, and the patch that does it."""

from __future__ import annotations

import difflib
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ablation.comparison.resolve import Configuration, resolve_file, resolve_pair
from ablation.dialects import DIALECTS
from ablation.dialects.keys import ORDER, Key, Keys
from ablation.dialects.reader import EXPLICIT, Reader
from ablation.documents.edit import Document
from ablation.documents.entries import Entry, load_entries
from ablation.documents.source import read_text
from ablation.documents.tree import Node
from ablation.errors import UserError, raise_all, shorten
from ablation.settings.catalogue import DEEPSPEED_SCHEDULERS, SETTINGS
from ablation.study.adaptive import candidates
from ablation.study.grid import expand
from ablation.study.study import Study

PASSES = 4  # taking out a block may uncover a default, which is then written
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
_NO_NEWLINE = "\n\\ No newline at end of file\n"
# Written beside an arm's settings so that the libraries do what the arm says.
_BESIDE = ("deepspeed.train_batch_size", "deepspeed.zero_force_ds_cpu_optimizer")


@dataclass(frozen=True)
class Target:
    """The file to change and how it is resolved.

    Attributes:
        path: The user's configuration.
        architecture: Facts of the model, as `resolve_file` wants them.
        dialect: The dialect's name; recognised by its keys when None.
        world_size: Devices where no file says.
        other: The other side, which says what this one leaves open.
        other_dialect: Its dialect.
    """

    path: Path
    architecture: Mapping[str, object]
    dialect: str | None = None
    world_size: int | None = None
    other: Path | None = None
    other_dialect: str | None = None

    def resolve(self, texts: Mapping[Path, str] | None = None) -> Configuration:
        """The settings of the file, or of texts in its and its included files' places."""
        if texts is None:
            return self._resolved(self.path)
        with _laid_out(texts) as folder:
            return self._resolved(folder / self.path.name)

    def _resolved(self, path: Path) -> Configuration:
        if self.other is None:
            return resolve_file(path, self.architecture, self.dialect, self.world_size)
        dialects = (self.dialect, self.other_dialect)
        return resolve_pair(path, self.other, self.architecture, dialects, self.world_size)[0]


def recommended_files(study: Study, arm_name: str) -> dict[Path, str]:
    """The study's current configuration changed so that it does what an arm does.

    Returns:
        The text of the file and of those that it includes, by path; the file itself first.

    Raises:
        UserError: there is no such arm, or the file's dialect cannot say one of its settings.
    """
    found = candidates(study)
    arms = {arm.name: arm for arm in [*(found.arms if found else []), *expand(study).arms]}
    if arm_name not in arms:
        near = difflib.get_close_matches(arm_name, arms, n=1)
        raise UserError(
            "the study has no such arm",
            file=study.file,
            found=arm_name,
            allowed=list(arms),
            write=f"--arm {near[0]}" if near else None,
        )
    return patched_files(current_target(study), arms[arm_name].settings)


def current_target(study: Study) -> Target:
    """The study's current configuration as a file to change."""
    return Target(
        study.folder / study.options["current"],
        study.options["model"]["architecture"],
        study.options.get("dialects", {}).get("current"),
        study.options.get("world_size"),
        study.folder / study.options["backup"],
        study.options.get("dialects", {}).get("backup"),
    )


def patched_files(target: Target, wanted: Mapping[str, object]) -> dict[Path, str]:
    """The texts of a configuration with the values changed that differ from the wanted ones.

    What is returned was resolved: each wanted setting has its value, every other one its old.
    A value that is written in several places is changed in all of them.

    Args:
        target: The file.
        wanted: Setting to value; settings that are not named stay as they are.

    Returns:
        The text of the file and of those that it includes, by path; the file itself first.

    Raises:
        UserError: the dialect cannot say one of the settings, or the file is such that a value
            cannot be changed without changing another.
    """
    side = before = target.resolve()
    texts = {path: read_text(path) for path in map(Path, before.files)}
    for _ in range(PASSES):
        wrong = [name for name, value in wanted.items() if _value(side, name) != value]
        if not wrong:
            break
        changed = _Change(target, texts, side, wanted).apply(wrong)
        if changed == texts:
            break
        texts = changed
        side = _resolve_changed(target, texts)
        if side.dialect != before.dialect:
            raise UserError(
                "changed to the arm's values, the file would be taken for another dialect",
                file=target.path,
                found=side.dialect,
                allowed=f"a study.yaml that names the dialect of the file: {before.dialect}",
                write=f"dialects: {{current: {before.dialect}}}",
            )
    _check(target, before, side, wanted)
    return texts


def _value(side: Configuration, name: str) -> object:
    value = side.settings.get(name)
    return value.value if value is not None else None


def _resolve_changed(target: Target, texts: Mapping[Path, str]) -> Configuration:
    try:
        return target.resolve(texts)
    except UserError as error:
        name = Path(error.file).name if error.file else target.path.name
        raise UserError(
            f"changed to the arm's values, the file would be refused: {error.problem}",
            file=next((path for path in texts if path.name == name), target.path),
            line=error.line,
            found=error.found,
            allowed=error.allowed,
        ) from None


@contextmanager
def _laid_out(texts: Mapping[Path, str]) -> Iterator[Path]:
    """A folder with these files side by side, for as long as they are looked at."""
    with tempfile.TemporaryDirectory(prefix="patch-") as folder:
        for path, text in texts.items():
            (Path(folder) / path.name).write_bytes(text.encode())
        yield Path(folder)


def _check(
    target: Target, before: Configuration, after: Configuration, wanted: Mapping[str, object]
) -> None:
    """Refuse a text that does anything but what is wanted."""
    places = _keys_of(before.dialect)
    silent = [n for n, v in wanted.items() if _value(after, n) != v and not places.of(n)]
    problems = []
    if silent:
        pairs = [f"{n}: {shorten(_value(after, n))} -> {shorten(wanted[n])}" for n in silent]
        problems.append(
            UserError(
                f"a file of the dialect {before.dialect} cannot say what the arm changes:"
                + "".join(f"\n    {pair}" for pair in pairs),
                file=target.path,
                allowed="an arm without these changes, or a configuration of another dialect",
            )
        )
    expected = {name: value.value for name, value in before.settings.items()} | dict(wanted)
    for name in sorted({*expected, *after.settings}):
        value = _value(after, name)
        if name not in silent and name not in _BESIDE and value != expected.get(name):
            problems.append(_mismatch(target, after, name, value, expected.get(name)))
    raise_all(problems)


def _mismatch(
    target: Target, after: Configuration, name: str, value: object, expected: object
) -> UserError:
    place = after.settings.get(name)
    return UserError(
        f"the file cannot be changed so that {name} is {shorten(expected)}",
        file=target.path,
        line=place.line if place else None,
        found=f"{name} stays {shorten(value)}",
    )


def _keys_of(dialect: str) -> Keys:
    return DIALECTS[dialect].KEYS


def _group(key: str) -> str:
    """What a key stands together with: its block, or the LoRA keys of the top level."""
    parent = key.rpartition(".")[0]
    return parent or ("lora_" if key.startswith("lora_") else "")


class _Files:
    """A configuration and the files that it includes, as one tree of keys."""

    def __init__(self, texts: Mapping[Path, str], reader: Reader) -> None:
        self.documents: dict[str, Document] = {}
        self.paths: dict[str, Path] = {}
        places = {"": reader.file, **_mounts(reader.root, reader.file)}
        for path, text in texts.items():
            mount = next(key for key, file in places.items() if Path(file).name == path.name)
            below = f"{mount}." if mount else ""
            read = [key.removeprefix(below) for key in reader.read_keys if key.startswith(below)]
            self.documents[mount] = Document(text, str(path), read, ORDER)
            self.paths[mount] = path

    def texts(self) -> dict[Path, str]:
        """The texts as they are now."""
        return {self.paths[mount]: document.text for mount, document in self.documents.items()}

    def _at(self, path: str) -> tuple[Document, str]:
        for mount, document in self.documents.items():
            if mount and path.startswith(f"{mount}."):
                return document, path.removeprefix(f"{mount}.")
        return self.documents[""], path

    def get(self, path: str) -> Node | None:
        """As `Document.get`."""
        document, below = self._at(path)
        return document.get(below)

    def plain(self, path: str) -> object:
        """As `Document.plain`."""
        document, below = self._at(path)
        return document.plain(below)

    def set(self, path: str, value: object, same: Collection[str] = ()) -> None:
        """As `Document.set`."""
        document, below = self._at(path)
        places = [self._at(other) for other in same]
        document.set(below, value, {key for other, key in places if other is document})

    def remove(self, path: str) -> None:
        """As `Document.remove`."""
        document, below = self._at(path)
        document.remove(below)

    def rename(self, path: str, key: str) -> None:
        """As `Document.rename`."""
        document, below = self._at(path)
        document.rename(below, key)


def _mounts(root: Entry, file: str, prefix: str = "") -> dict[str, str]:
    """The dotted keys at which other files are included, and those files."""
    found: dict[str, str] = {}
    for name, entry in root.value.items():
        key = f"{prefix}{name}"
        if entry.file != file:
            found[key] = entry.file
        elif isinstance(entry.value, dict):
            found |= _mounts(entry, file, f"{key}.")
    return found


class _Change:
    """One pass over a configuration: what differs is written where the dialect wants it."""

    def __init__(
        self,
        target: Target,
        texts: Mapping[Path, str],
        side: Configuration,
        wanted: Mapping[str, object],
    ) -> None:
        module = DIALECTS[side.dialect]
        self.places = _keys_of(side.dialect)
        self.side = side
        self.wanted = {n: v.value for n, v in side.settings.items()} | dict(wanted)
        self.defaults: dict[str, object] = {}
        for _, defaults in module.DEFAULTS:
            self.defaults = {**defaults, **self.defaults}
        with _laid_out(texts) as folder:
            path = folder / target.path.name
            reader = Reader(load_entries(path), str(path))
            module.read(reader)
        self.doc = _Files(texts, reader)

    def apply(self, names: list[str]) -> dict[Path, str]:
        """The texts with the named settings written."""
        self._open_deepspeed(names)
        if any(name in _SCHEDULER for name in names):
            self._scheduler()
        if any(name in _OPTIMIZER for name in names):
            self._optimizer()
        if "warmup_steps" in names and self.places.warmup is not None:
            self._warmup(float(self.wanted["warmup_steps"]))
        alone = [n for n in self._in_order(names) if n not in (*_SCHEDULER, *_OPTIMIZER)]
        for name in alone:
            if name != "warmup_steps" or self.places.warmup is None:
                self._setting(name)
        self._beside(names)
        return self.doc.texts()

    def _in_order(self, names: list[str]) -> list[str]:
        known = list(self.places.settings)
        return sorted(names, key=lambda n: (known.index(n) if n in known else len(known), n))

    def _setting(self, name: str) -> None:
        """Write one setting in all places that say it, or in the first one it may have."""
        places = (*self.places.of(name), *self._other_names(name))
        there = [p for p in places if self.doc.get(p.key) is not None]
        value = self.wanted[name]
        if value is None and not (name in SETTINGS and SETTINGS[name].optional):
            for place in there:
                self.doc.remove(place.key)
            return
        said = [p for p in there if self.doc.plain(p.key) != "auto"]
        chosen = said or [p for p in there if not p.follows][:1] or self._new_place(places)
        contradicts = any(p.follows for p in said) and self.defaults.get(name) != value
        if contradicts and places[0] not in chosen:
            chosen.insert(0, places[0])
        optimizer = self._block("optimizer")
        if optimizer and chosen and chosen[0].key.startswith(f"{optimizer}."):
            kind = _OPTIMIZER_TYPES.get(str(self.wanted["optim"]))
            if kind and self.doc.get(optimizer) is None:  # without a type nothing reads it
                self._optimizer_block(optimizer, kind)
                return
        same = {place.key for place in places}
        for place in chosen:
            self._write(place, value, same)

    def _new_place(self, places: Sequence[Key]) -> list[Key]:
        """Where to add a setting: where the file has most of the keys that stand together."""
        leading = [place for place in places if not place.follows] or list(places)
        known = [place for group in self.places.settings.values() for place in group]
        groups = Counter(_group(p.key) for p in known if self.doc.get(p.key) is not None)
        return sorted(leading, key=lambda place: -groups[_group(place.key)])[:1]

    def _other_names(self, name: str) -> list[Key]:
        """Keys that say the setting in this file and that the dialect's table does not have.

        One that says it in another form (`cpu_offload: true`) is taken out instead.
        """
        value = self.side.settings.get(name)
        if value is None or value.origin != EXPLICIT:
            return []
        known = {place.key for place in self.places.of(name)}
        others = [k for k in (value.key, *(key for key, _ in value.also)) if k not in known]
        found = [key for key in others if self.doc.get(key) is not None]
        for key in list(found):
            plain = self.doc.plain(key)
            if plain != value.value and not (isinstance(plain, list) and plain):
                self.doc.remove(key)
                found.remove(key)
        return [Key(key, name) for key in found]

    def _write(self, place: Key, value: object, same: set[str]) -> None:
        written = place.write(value, self.wanted)
        if isinstance(written, dict):
            self._mapping(place.key, written)
        else:
            self.doc.set(place.key, written, same)

    def _mapping(self, key: str, value: Mapping[str, object]) -> None:
        """Make a mapping's keys those of `value`; without any, take it out."""
        node = self.doc.get(key)
        if not value:
            self.doc.remove(key)
        elif node is None or not node.children:
            self.doc.set(key, dict(value))
        else:
            for name in [n for n in self.doc.plain(key) if n not in value]:
                self.doc.remove(f"{key}.{name}")
            for name, item in value.items():
                self.doc.set(f"{key}.{name}", item)

    # Blocks of DeepSpeed that take over what TrainingArguments say

    def _block(self, name: str) -> str | None:
        """The key of a block in the DeepSpeed configuration; None where there can be none."""
        whole = self.places.deepspeed
        if whole is None or (
            any(self.doc.get(key) is not None for key in self.places.elsewhere)
            and self.doc.get(whole) is None
        ):
            return None
        return f"{whole}.{name}".lstrip(".")

    def _open_deepspeed(self, names: list[str]) -> None:
        """Begin a DeepSpeed configuration in a file without one, filled in by transformers."""
        needed = any(name.startswith("deepspeed.") for name in names)
        needed |= self.wanted["lr_scheduler_type"] in DEEPSPEED_SCHEDULERS
        needed |= self.wanted["optim_implementation"] == "deepspeed"
        whole = self.places.deepspeed
        if not needed or not whole or self._block("") is None or not self.places.of("optim"):
            return
        if self.doc.plain(whole) is None:
            filled = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
            block = dict.fromkeys((*filled, "gradient_clipping"), "auto")
            self.doc.set(whole, block | {"bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"}})

    def _scheduler(self) -> None:
        kind, kwargs = self.wanted["lr_scheduler_type"], dict(self.wanted["lr_scheduler_kwargs"])
        block = self._block("scheduler")
        if kind in DEEPSPEED_SCHEDULERS:
            if block is not None:
                self._take_out(*_SCHEDULER)
                self._scheduler_block(block, kind, kwargs)
        elif block is not None and self.doc.get(block) is not None:
            self.doc.remove(block)
        else:
            for name in _SCHEDULER:
                if self.places.of(name) and _value(self.side, name) != self.wanted[name]:
                    self._setting(name)

    def _take_out(self, *names: str) -> None:
        for place in (place for name in names for place in self.places.of(name)):
            self.doc.remove(place.key)

    def _scheduler_block(self, block: str, kind: str, kwargs: dict[str, object]) -> None:
        steps = dict.fromkeys(_AUTO_STEPS.get(kind, ()), "auto")
        params = {**steps, **{name: value for name, value in kwargs.items() if value is not None}}
        node = self.doc.get(block)
        if node is None or not node.children:
            self.doc.set(block, {"type": kind, "params": params} if params else {"type": kind})
            return
        if self.doc.plain(f"{block}.type") == kind:
            now = _value(self.side, "lr_scheduler_kwargs") or {}
            for name in [n for n in now if n not in kwargs]:
                self.doc.remove(f"{block}.params.{name}")
            for name in [n for n in kwargs if now.get(n) != kwargs[n]]:
                self.doc.set(f"{block}.params.{name}", kwargs[name])
            return
        self.doc.set(f"{block}.type", kind)
        self._mapping(f"{block}.params", params)

    def _optimizer(self) -> None:
        block = self._block("optimizer")
        kind = _OPTIMIZER_TYPES.get(str(self.wanted["optim"]))
        if self.wanted["optim_implementation"] == "deepspeed":
            if block is not None and kind is not None:
                self._take_out("optim")
                self._optimizer_block(block, kind)
        elif not self.places.of("optim"):
            if block and kind and self.wanted["optim_implementation"] == "torch":
                self._optimizer_block(block, kind)
                self.doc.set(f"{block}.params.torch_adam", True)
        elif block is not None and self.doc.get(block) is not None:
            self.doc.remove(block)
        elif self.places.of("optim")[0].write(None, self.wanted) is not None:
            self._setting("optim")

    def _optimizer_block(self, block: str, kind: str) -> None:
        node = self.doc.get(block)
        if node is not None and node.children:
            self.doc.set(f"{block}.type", kind)
            self.doc.remove(f"{block}.params.torch_adam")
            if kind == "AdamW":
                self.doc.remove(f"{block}.params.adam_w_mode")
            else:
                self.doc.set(f"{block}.params.adam_w_mode", False)
            return
        params = dict.fromkeys(("lr", "betas", "eps", "weight_decay"), "auto")
        if not self.places.of("optim"):  # nothing would fill them in
            params = {
                "lr": self.wanted["learning_rate"],
                "betas": [self.wanted["adam_beta1"], self.wanted["adam_beta2"]],
                "eps": self.wanted["adam_epsilon"],
                "weight_decay": self.wanted["weight_decay"],
            }
        if kind == "Adam":
            params["adam_w_mode"] = False
        self.doc.set(block, {"type": kind, "params": params})

    def _warmup(self, value: float) -> None:
        """A share of all steps below 1, else steps; the two have keys of their own."""
        keys = self.places.warmup
        if keys.enabled and self.doc.plain(keys.enabled) is False and value:
            self.doc.set(keys.enabled, True)
        steps = self.doc.plain(keys.steps)
        has_ratio = self.doc.get(keys.ratio) is not None
        if value >= 1:
            number = int(value) if value == int(value) else value
            if has_ratio and self.doc.get(keys.steps) is None:
                self.doc.rename(keys.ratio, keys.steps.rpartition(".")[2])
            self.doc.set(keys.steps, number)
        elif steps in (None, 0, "auto"):
            self.doc.set(keys.ratio, value)
        elif has_ratio:
            self.doc.set(keys.steps, "auto" if keys.enabled else 0)
            self.doc.set(keys.ratio, value)
        else:  # transformers 5 takes a share under this name, too
            self.doc.set(keys.steps, value)

    def _beside(self, names: list[str]) -> None:
        """What the libraries want changed along with the settings."""
        total = self._block("train_batch_size")
        if total and any(n in names for n in _BATCH) and isinstance(self.doc.plain(total), int):
            micro, accumulation, devices = (int(self.wanted[name]) for name in _BATCH)
            self.doc.set(total, micro * accumulation * devices)
        offload = "deepspeed.zero_optimization.offload_optimizer.device"
        moved = offload in names or "optim_implementation" in names
        own = self.wanted["optim_implementation"] != "deepspeed" and self.places.of("optim")
        if moved and own and self.wanted.get(offload) not in (None, "none"):
            # Else accelerate takes DeepSpeedCPUAdam instead of the optimizer that was measured.
            self.doc.set(self._block("zero_force_ds_cpu_optimizer"), False)


def unified_patch(path: Path, old: str, new: str, fallback: Path | None = None) -> str:
    """The patch from one text of a file to another; empty where they are equal.

    `git apply` takes it anywhere in the repository, from the file's folder up, and `patch -p1` in
    the repository's root. A file outside of any repository is named relative to `fallback`.

    Args:
        path: The file.
        old: Its text.
        new: The text that it shall have.
        fallback: The study's folder.
    """
    if old == new:
        return ""
    name = patch_name(path, fallback)
    stop = "\t" if " " in name else ""  # as git: else `patch` takes what follows for a date
    diff = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}{stop}", f"b/{name}{stop}")
    body = [line if line.endswith("\n") else f"{line}{_NO_NEWLINE}" for line in diff]
    return f"diff --git a/{name} b/{name}\n" + "".join(body)


def _lines(text: str) -> list[str]:
    """The lines of a text as git counts them, each with its line feed."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def patch_name(path: Path, fallback: Path | None = None) -> str:
    """A file's name in a patch: relative to its repository, else to `fallback` or its folder."""
    path = path.resolve()
    for folder in path.parents:
        if (folder / ".git").exists():
            return path.relative_to(folder).as_posix()
    if fallback is not None:
        folder = fallback.resolve()
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.name
