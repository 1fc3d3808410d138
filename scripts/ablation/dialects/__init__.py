"""The dialects a configuration may be written in, and how one is recognized.

A dialect is a module with `NAME`, `DEFAULTS` (what an absent key means there, by the library that
decides), `read`, which takes what it knows and leaves the rest, and `KEYS`: the way back into a
user's file, made of the tables that `read` goes through. It may have `NO_EFFECT` (keys that change
nothing that is trained, by reason), `MARKS` (keys of which every file of its has one),
`is_its` (whether a file has what no other trainer's files have, whatever else is in it),
`REFUSES_STRANGERS` (whether its trainer stops at a key that it does not know),
`PASSES_OVER_STRANGERS` (whether it does nothing with such a key) and `REFUSES_REPEATED` (the parser
that stops at a key that stands twice, and its words).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from types import ModuleType

from ablation.dialects import (
    axolotl,
    deepspeed_json,
    deepspeed_native,
    hf_trainer,
    kedro,
    llama_factory,
    nested,
    peft_adapter,
    trl,
    vocabulary,
)
from ablation.dialects.others import name_of
from ablation.dialects.own_names import MODELS, OWN_NAMES
from ablation.dialects.reader import Reader, Refusal, Stranger
from ablation.dialects.spelling import Spelled, respell
from ablation.documents.entries import Entry
from ablation.errors import UserError
from ablation.settings.catalogue import OTHER, UNTRAINED

# Of dialects that account for the same keys the first is meant: a key of its own would say more.
DIALECTS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (
        hf_trainer,
        kedro,
        deepspeed_native,
        deepspeed_json,
        trl,
        llama_factory,
        axolotl,
        peft_adapter,
        nested,
    )
}


@dataclass(frozen=True, kw_only=True)
class Recognized:
    """A file as its dialect reads it.

    Attributes:
        module: The dialect.
        reader: The file, read.
        accounted: The keys that the dialect accounts for.
        own: How many of its top-level keys its trainer's own classes have.
        speaks_for: Those of them that the next best dialect does not have.
    """

    module: ModuleType
    reader: Reader
    accounted: frozenset[str]
    own: int = 0
    speaks_for: tuple[str, ...] = ()

    @property
    def vocabulary(self) -> Set[str]:
        """The top-level keys that its trainer knows."""
        return vocabulary.keys_of(self.module.NAME)

    @property
    def strangers(self) -> tuple[Stranger, ...]:
        """The top-level keys that its trainer does not know, where its keys are known."""
        return tuple(self._strangers()) if self.vocabulary else ()

    def _strangers(self) -> Iterator[Stranger]:
        name = self.module.NAME
        dump = vocabulary.is_dump(self.reader.root.value)
        refuses = getattr(self.module, "REFUSES_STRANGERS", False) and not dump
        passes = getattr(self.module, "PASSES_OVER_STRANGERS", False)
        plugins = self.reader.root.at("plugins") is not None  # they bring keys of their own
        told = {refusal.key for refusal in self.reader.refusals}
        for found, (value, *_) in self.reader.settings.items():
            key = found.removeprefix(OTHER)
            if found == key and (key not in UNTRAINED or value.key != key or key in told):
                continue  # a setting under a name of the trainer's own
            if found == key and not (refuses or passes):
                continue  # scripts have keys of their own
            if key.split(".")[0] in (*self.vocabulary, *self.module.KEYS.adapter):
                continue
            others = any(key in vocabulary.keys_of(other) for other in DIALECTS if other != name)
            yield Stranger(
                key=key,
                file=value.file or self.reader.file,
                line=value.line or 1,
                value=value.value,
                nearest=vocabulary.nearest(key, name),
                trains=vocabulary.trains(key) and (others or not plugins),
                refused=refuses,
                passed_over=passes and others,
            )


# Scripts read these files: they may spell keys as they like.
_OF_SCRIPTS = frozenset(
    module.NAME for module in (hf_trainer, kedro, deepspeed_native, deepspeed_json, nested)
)


def choose(root: Entry, file: str, dialect: str | None = None) -> Entry:
    """Of several documents of a file the one that is a training configuration.

    Args:
        root: The file.
        file: Its name.
        dialect: As for `recognize`.

    Raises:
        UserError: several are.
    """
    if not root.others:
        return root
    told = [(_told(one, file, dialect), one) for one in (root, *root.others)]
    best = max(count for count, _ in told)
    chosen = [one for count, one in told if 2 * count >= best]
    if len(chosen) > 1 and best:
        lines = ", ".join(str(one.line) for one in chosen)
        raise UserError(
            "several configurations stand in one file",
            file=file,
            line=chosen[1].line,
            found=f"they begin in lines {lines}",
            allowed="one of them a file, as trainers take no more",
        )
    note = f"; the part that begins in line {chosen[0].line} is read here"
    odd = tuple(replace(one, reason=one.reason + note) if one.several else one for one in root.odd)
    return replace(chosen[0], odd=odd, repeated=root.repeated, others=())


def _told(root: Entry, file: str, dialect: str | None) -> int:
    """How many of a document's keys its dialect accounts for."""
    try:
        return len(recognize(root, file, dialect).accounted)
    except UserError:
        return 0


def recognize(root: Entry, file: str, dialect: str | None = None) -> Recognized:
    """The file as the dialect reads it that accounts for the most of its keys.

    Args:
        root: The file.
        file: Its name.
        dialect: The dialect that the user names; recognized where None.

    Raises:
        UserError: no dialect accounts for its keys, or two do so equally well.
    """
    if dialect is not None:
        if dialect not in DIALECTS:
            raise UserError("there is no such dialect", found=dialect, allowed=list(DIALECTS))
        return _read(DIALECTS[dialect], root, file, respell(root))
    spelled = respell(root)
    found = sorted((_read(module, root, file, spelled) for module in _may_be(root)), key=_rank)
    best, *others = found
    places = {(entry.line, entry.column) for _, entry in root.leaves()}
    known = {*best.accounted, *best.reader.own_names}
    read = {(entry.line, entry.column) for key, entry in root.leaves() if key in known}
    tops = {key.split(".")[0] for key in known}
    if best.vocabulary:  # what it takes for another's is none of its own
        tops &= {*best.vocabulary, *best.reader.own_names}
    few = 2 * len(read) < len(places) or 4 * len(tops) < len(root.value)
    if foreign := name_of(root, few=few):
        raise UserError(
            f"{foreign}: it cannot be explained",
            file=file,
            line=1,
            found=_top(root),
            allowed=f"a training configuration of {', '.join(DIALECTS)}",
        )
    if not best.accounted and not best.reader.own_names:
        raise UserError(
            "no dialect recognizes this configuration",
            file=file,
            line=1,
            found=_top(root),
            allowed=f"keys of {', '.join(DIALECTS)}",
        )
    near = [best, *(other for other in others if _near(best, other))]
    best, *near = [one for one in near if not _stops(one)] or near
    if rival := next((one for one in near if _near(best, one)), None):
        raise _tie(best, rival, root, file)
    speaks = best.accounted - next((one.accounted for one in found if one is not best), set())
    own = tuple(key for key, _ in root.leaves() if key in speaks)
    return Recognized(
        module=best.module, reader=best.reader, accounted=best.accounted, speaks_for=own
    )


def _may_be(root: Entry) -> list[ModuleType]:
    """The dialects that a file may be of: of one alone where it has what only that one's have."""
    if nested.arguments_of(root) is None:
        for module in (axolotl, llama_factory):
            own = {*OWN_NAMES, *MODELS} - vocabulary.keys_of(module.NAME)  # a script's
            if module.is_its(root) and not own & root.value.keys():
                return [module]
    plain = {key for key, entry in root.value.items() if not isinstance(entry.value, dict)}
    marks = {module: getattr(module, "MARKS", None) for module in DIALECTS.values()}
    return [module for module, keys in marks.items() if keys is None or plain.intersection(keys)]


def _copy(entry: Entry) -> Entry:
    """An entry into which files can be included without touching the first."""
    if not isinstance(entry.value, dict):
        return entry
    return replace(entry, value={key: _copy(below) for key, below in entry.value.items()})


def _rank(one: Recognized) -> tuple[int, int, int]:
    names = 0 if one.accounted else len(one.reader.own_names)  # they speak where nothing else does
    return -len(one.accounted), -one.own, -names


def _read(module: ModuleType, root: Entry, file: str, spelled: Spelled) -> Recognized:
    ours = module.NAME in _OF_SCRIPTS
    whole = spelled.root if ours else root
    keys = {key for key, _ in root.leaves()}
    meant = [key for key, _ in whole.leaves() if key not in keys]
    reader = Reader(_copy(whole), file, written_as=spelled.written if ours else {})
    try:
        module.read(reader)
    except UserError as error:  # what a dialect cannot go on without
        reader.stop(error)
    blocks = {name for name, entry in root.value.items() if nested.is_of_scripts(name, entry)}
    idle = getattr(module, "NO_EFFECT", {}).items()
    reader.idle({reason: [key for key in names if key not in blocks] for reason, names in idle})
    reader.doubt_blocks(vocabulary.plain_keys_of(module.NAME))
    reader.own_names += [spelled.written.get(k, k) for k in meant if k in reader.read_keys]
    _refuse_repeated(reader, module)
    known = set(vocabulary.keys_of(module.NAME)) - blocks
    accounted = frozenset(
        key
        for key in keys
        if (key in reader.read_keys or key.split(".")[0] in known) and key not in reader.doubted
    )
    own = sum(1 for key in root.value if key in known and key not in reader.doubted)
    return Recognized(module=module, reader=reader, accounted=accounted, own=own)


def _refuse_repeated(reader: Reader, module: ModuleType) -> None:
    """Note keys that stand twice, where the trainer's own parser stops at them."""
    library, reason = getattr(module, "REFUSES_REPEATED", (None, ""))
    for one in reader.root.repeated if library else ():
        problem = reason.format(key=one.key)
        refusal = Refusal(
            kind="library",
            key=one.key,
            setting=None,
            file=reader.file,
            line=one.last,
            found=f"{one.key} in lines {one.first} and {one.last}",
            library=library,
            reason=problem,
        )
        reader.refusals.append(refusal)


def _stops(one: Recognized) -> bool:
    """Whether the trainer's own parser would stop at the file: people run what it takes."""
    if one.module not in (axolotl, llama_factory):
        return False
    strange = one.module is llama_factory and not one.vocabulary >= one.reader.root.value.keys()
    return strange or any(told.library == one.module.LIBRARY for told in one.reader.refusals)


def _near(best: Recognized, other: Recognized) -> bool:
    """Whether about as many keys speak for another dialect: each has some the other lacks."""
    ahead, behind = best.accounted - other.accounted, other.accounted - best.accounted
    return bool(behind) and len(ahead) < 2 * len(behind)


def _tie(best: Recognized, other: Recognized, root: Entry, file: str) -> UserError:
    pairs: Mapping[str, frozenset[str]] = {
        best.module.NAME: best.accounted - other.accounted,
        other.module.NAME: other.accounted - best.accounted,
    }
    lines = {
        name: sorted(entry.key_line for key, entry in root.leaves() if key in keys)
        for name, keys in pairs.items()
    }
    shown = {name: sorted(keys)[:3] for name, keys in pairs.items()}
    names = " or ".join(pairs)
    return UserError(
        f"this may be {names}: about as many keys speak for each",
        file=file,
        line=min(line for found in lines.values() for line in found),
        found="; ".join(f"{', '.join(keys)} of {name}" for name, keys in shown.items()),
        allowed=f"one of them: --dialect current={best.module.NAME} (or backup=…) for two files, "
        "`dialects:` in study.yaml",
        write=f"dialects: {{current: {best.module.NAME}}}",
    )


def _top(root: Entry) -> str:
    return f"top-level keys {', '.join(list(root.value)[:8]) or 'none'}"
