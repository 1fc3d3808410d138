"""YAML and JSON files as values that know their line, with numbers read as people mean them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ablation.errors import UserError, shorten

MAX_BYTES = 512 * 1024
MAX_VALUES = 50_000
MAX_DEPTH = 64
MERGE_TAG = "tag:yaml.org,2002:merge"
_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_TEXT_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "value")}
_COLLECTION_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq")}
# YAML 1.1 reads `1e-5` and `5e8` as text, since it wants a dot and a sign; people mean numbers.
_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?\d[\d_]*")
_DIGITS = 100  # a number with more characters is none that a setting could have
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Entry:
    """One value of a file and where it stands.

    Attributes:
        value: A scalar, a list of entries, or a dict of key to entry.
        file: The file as the user named it.
        line: The line (from 1) where the value is written: that of the anchor's definition for
            an alias or a merged key.
        end_line: The last line of the value.
        key_line: The line of its key.
        text: A scalar as it is spelled.
        column: The column (from 0) at which a scalar or flow collection begins.
        end_column: The column behind its last character.
        read_as_number: The value is a number that YAML 1.1 reads as text (`1e-5`).
    """

    value: object
    file: str
    line: int
    end_line: int
    key_line: int
    text: str | None = None
    column: int = 0
    end_column: int = 0
    read_as_number: bool = False

    def plain(self) -> object:
        """The value without its places: scalars, lists and dicts."""
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [entry.plain() for entry in self.value]
        return self.value

    def at(self, path: str) -> Entry | None:
        """The entry at a dotted path below this one, or None."""
        entry: Entry | None = self
        for key in path.split("."):
            if entry is None or not isinstance(entry.value, dict):
                return None
            entry = entry.value.get(key)
        return entry

    def leaves(self, prefix: str | None = None) -> Iterator[tuple[str, Entry]]:
        """Dotted key and entry of each scalar, list and empty mapping below this one."""
        if isinstance(self.value, dict) and self.value:
            for key, entry in self.value.items():
                yield from entry.leaves(key if prefix is None else f"{prefix}.{key}")
        elif prefix is not None:
            yield prefix, self


@dataclass
class _Reader:
    """Turns one file's node graph into entries, within a budget of values."""

    file: str
    budget: int = MAX_VALUES
    open_nodes: set[int] = field(default_factory=set)

    def fail(self, problem: str, node: yaml.Node, **facts: object) -> UserError:
        return UserError(problem, file=self.file, line=node.start_mark.line + 1, **facts)

    def entry(self, node: yaml.Node, key_line: int | None = None) -> Entry:
        self.budget -= 1
        if self.budget < 0:
            raise self.fail(
                f"the file expands to more than {MAX_VALUES:,} values through its aliases",
                node,
                allowed="a configuration of a few hundred keys",
            )
        if id(node) in self.open_nodes:
            raise self.fail("an alias stands inside the value that it repeats", node)
        self.open_nodes.add(id(node))
        try:
            return self._located(node, key_line)
        finally:
            self.open_nodes.discard(id(node))

    def _located(self, node: yaml.Node, key_line: int | None) -> Entry:
        start, end = node.start_mark, node.end_mark
        line = start.line + 1
        block = not isinstance(node, yaml.ScalarNode) and not node.flow_style
        if block and key_line is not None and key_line <= line:
            line = key_line  # a block begins at its key
        place = {
            "file": self.file,
            "line": line,
            "end_line": end.line + (1 if end.column or not block else 0),
            "key_line": key_line or line,
            "column": start.column,
            "end_column": end.column,
        }
        if isinstance(node, yaml.ScalarNode):
            value, read_as_number = self._scalar(node)
            return Entry(value, text=node.value, read_as_number=read_as_number, **place)
        if node.tag not in _COLLECTION_TAGS:
            raise self._unsafe(node)
        if isinstance(node, yaml.SequenceNode):
            return Entry([self.entry(child) for child in node.value], **place)
        return Entry(self._mapping(node), **place)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Entry]:
        merged: dict[str, Entry] = {}
        own: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE_TAG:
                for source in self._merge_sources(value_node):
                    merged.update(self.entry(source).value)
                continue
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise self.fail("a key is a list or a mapping", key_node, allowed="a name")
            if key in own:
                raise self.fail(
                    f"the key '{key}' stands twice, first in line {own[key].key_line}",
                    key_node,
                    allowed="each key once: only one of the two values would be used",
                )
            own[key] = self.entry(value_node, key_node.start_mark.line + 1)
        return {**merged, **own}

    def _merge_sources(self, node: yaml.Node) -> list[yaml.Node]:
        """The mappings of one `<<`, the weakest first.

        YAML says that an earlier mapping of a list wins. A second `<<` is not in its rules: the
        later one wins, as in PyYAML up to 6.0.3 (6.0.4 decides by how Python stores the key).
        """
        sources = node.value[::-1] if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise self.fail("'<<' merges something that is not a mapping", node)
        return sources

    def _scalar(self, node: yaml.ScalarNode) -> tuple[object, bool]:
        if node.tag not in _CORE_TAGS:
            if node.tag in _TEXT_TAGS:
                return node.value, False
            raise self._unsafe(node)
        kind = node.tag.rsplit(":", 1)[1]
        text = node.value
        if kind == "str":
            plain = not node.style  # libyaml says "", PyYAML None
            if plain and len(text) <= _DIGITS and _NUMBER.fullmatch(text):
                return self._finite(_number(text), node), True
            return text, False
        if kind == "null":
            return None, False
        if kind == "bool":
            return text.lower() in ("yes", "true", "on"), False
        if len(text) > _DIGITS:
            raise self.fail("not a number", node, found=shorten(text))
        read = _SCALARS.construct_yaml_int if kind == "int" else _SCALARS.construct_yaml_float
        try:
            return self._finite(read(node), node), False
        except (ValueError, OverflowError):
            raise self.fail("not a number", node, found=shorten(text)) from None

    def _finite(self, number: int | float, node: yaml.ScalarNode) -> int | float:
        if isinstance(number, float) and not math.isfinite(number):
            raise self.fail(
                "a number that is not finite", node, found=node.value, allowed="a finite number"
            )
        return number

    def _unsafe(self, node: yaml.Node) -> UserError:
        return self.fail(
            "a tag would build an object out of the file",
            node,
            found=node.tag,
            allowed="plain YAML: text, numbers, lists and mappings",
        )


_SCALARS = yaml.SafeLoader("")


def _number(text: str) -> int | float:
    text = text.replace("_", "")
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def load_entries(path: str | Path) -> Entry:
    """The whole file as one entry whose value is a mapping.

    Aliases and merge keys are followed; each value keeps the line on which it is defined. The
    file is never executed: tags that build objects are refused.

    Raises:
        UserError: the file is missing, too large, not text, not YAML, or not a mapping; a key
            stands twice in a mapping; aliases recurse or expand without end.
    """
    path = Path(path)
    text = read_text(path)
    if path.suffix == ".json":
        text = "\n".join(_spaces_for_tabs(line) for line in text.split("\n"))
    node = _compose(path, text)
    if node is None:
        raise UserError(
            "the file is empty", file=path, line=1, allowed="a mapping of keys to values"
        )
    if not isinstance(node, yaml.MappingNode):
        raise UserError(
            "not a configuration",
            file=path,
            line=node.start_mark.line + 1,
            found=text.strip().split("\n")[0],
            allowed="a mapping of keys to values, as in `learning_rate: 2.0e-5`",
        )
    return _Reader(str(path)).entry(node)


def _compose(path: Path, text: str) -> yaml.Node | None:
    """The node graph of the text, None if it is empty.

    The events are walked first: a parser without a limit of its own recurses once for each level
    of nesting, until the process dies.
    """
    try:
        _check_size(path, text)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(path, text, error) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise UserError(
            "a character that YAML does not allow",
            file=path,
            line=line,
            found=f"U+{ord(error.character):04X}" if isinstance(error.character, str) else None,
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError("not YAML", file=path, line=1, found=str(error).split("\n")[0]) from None


def _check_size(path: Path, text: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or count > 2 * MAX_VALUES:
            problem = "nested too deeply" if depth > MAX_DEPTH else "more values than it may have"
            raise UserError(
                f"not a configuration: {problem}",
                file=path,
                line=event.start_mark.line + 1,
                allowed=f"at most {MAX_DEPTH} levels and {MAX_VALUES:,} values",
            )


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file of at most `MAX_BYTES` bytes.

    Raises:
        UserError: the file is missing, a folder, unreadable, too large, or not text.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise UserError("the file does not exist", file=path)
        if not path.is_file():
            raise UserError("not a file", file=path)
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"the file cannot be read: {reason}", file=path) from None
    if size > MAX_BYTES:
        raise UserError(
            "too large for a configuration",
            file=path,
            line=1,
            found=f"{size:,} bytes",
            allowed=f"at most {MAX_BYTES:,} bytes",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            "not a UTF-8 text file", file=path, line=line, found=f"byte 0x{data[error.start]:02x}"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError("a binary file, not a configuration", file=path, line=line)
    return text


def _spaces_for_tabs(line: str) -> str:
    body = line.lstrip("\t ")
    return line[: len(line) - len(body)].replace("\t", " ") + body


def _syntax_error(path: Path, text: str, error: yaml.MarkedYAMLError) -> UserError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.split("\n")
    found = lines[line - 1] if line <= len(lines) else ""
    problem = error.problem or "not YAML"
    write = None
    if "\t" in found[: len(found) - len(found.lstrip())] or "'\\t'" in problem:
        problem = "a tab stands in the indentation; YAML allows only spaces"
        write = _spaces_for_tabs(found.replace("\t", "  "))
    elif "undefined alias" in problem:
        name = found.split("*", 1)[-1].split()[0].strip(",]}") if "*" in found else ""
        problem = f"the alias '*{name}' has no anchor '&{name}' above it"
    elif "nesting depth" in problem:
        problem = "not a configuration: nested too deeply"
    else:
        problem = f"not YAML: {problem}"
    return UserError(problem, file=path, line=line, found=found.strip("\n"), write=write)
