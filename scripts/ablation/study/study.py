"""A study: its file checked, its configurations resolved, its stages found to change something."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from ablation.comparison.resolve import (
    Configuration,
    Difference,
    find_differences,
    find_silent,
    require_runnable,
    resolve_pair,
)
from ablation.designs import extend_schema, read_designs
from ablation.designs.design import REMAINDER, Factor, Space
from ablation.designs.greedy_path import GREEDY_PATH
from ablation.dialects import DIALECTS
from ablation.documents.entries import Entry, load_entries
from ablation.errors import UserError, raise_all
from ablation.project import SCHEMAS
from ablation.settings.catalogue import MOVES_TOGETHER, SETTINGS, in_arm
from ablation.study.checks import LOWER_IS_BETTER, find_problems
from ablation.study.claim import CONTRASTS

# JSON Schema counts 1.0 as an integer, but a seed of 1.0 names another folder than one of 1.
_VALIDATOR = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
# Claims and grids mean something else by these.
_RESERVED = ("current", "backup", *CONTRASTS)


@dataclass(frozen=True)
class Stage:
    """A named set of settings that are taken over from the backup together."""

    name: str
    title: dict[str, str]
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """A study whose files were read and found to make sense.

    Attributes:
        name: The name of its folder.
        file: study.yaml.
        options: study.yaml as plain values, defaults filled in.
        lines: The line of each dotted key of study.yaml.
        current: The configuration in use.
        backup: The configuration that did better.
        differences: Where their effective values differ.
        silent: Held settings that only one of them mentions.
        stages: The stages to run, in order.
    """

    name: str
    file: Path
    options: dict[str, Any]
    lines: dict[str, int]
    current: Configuration
    backup: Configuration
    differences: list[Difference]
    silent: list[Difference]
    stages: list[Stage]

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.file.parent

    def stage_of(self, setting: str) -> str | None:
        """The name of the stage that changes the setting, or None."""
        return next((stage.name for stage in self.stages if setting in stage.settings), None)

    def stage_line(self, name: str) -> int | None:
        """The line of study.yaml that names the stage."""
        names = [option["name"] for option in self.options["stages"]]
        return self.lines.get(f"stages.{names.index(name)}.name") if name in names else None

    def all_seeds(self) -> list[int]:
        """Every seed the study may run: with `sequential`, as many as its last look needs.

        Beyond those that are listed, the next whole numbers: fixed before any result.
        """
        seeds = list(self.options["seeds"])
        if self.options["sequential"]:
            missing = self.options["sequential"]["looks"][-1] - len(seeds)
            seeds += range(max(seeds) + 1, max(seeds) + 1 + missing)
        return seeds

    def first_seeds(self) -> list[int]:
        """The seeds that are run before any result is looked at."""
        sequential = self.options["sequential"]
        return self.all_seeds()[: sequential["looks"][0]] if sequential else self.all_seeds()

    @property
    def adaptive(self) -> bool:
        """Whether results decide which runs there are: more seeds, or steps of a greedy path."""
        return bool(self.options["sequential"]) or GREEDY_PATH in read_designs(self.options)

    def unstaged(self) -> list[str]:
        """The trained differences that no stage names: together they are the remainder."""
        return [d.setting for d in self.differences if d.trained and not self.stage_of(d.setting)]

    def differences_json(self) -> dict[str, Any]:
        """The differences as they are written to resolved/differences.json."""
        return {
            "differences": [d.as_json(self.stage_of(d.setting)) for d in self.differences],
            "silent": [d.as_json(None) for d in self.silent],
            "unstaged": self.unstaged(),
        }

    def text(self, key: str, language: str) -> str:
        """A text of study.yaml in a language, in English where that is missing."""
        texts = self.options.get(key) or {"en": ""}
        return texts.get(language, texts["en"])

    def planned_rows(self, rows: int | None = None) -> int | None:
        """Rows of the data for planning before it is there; None where nobody says.

        Args:
            rows: Rows of the whole data set; `data.rows` where None. `data.max_rows` limits them.
        """
        data = self.options["data"]
        known = (data["rows"] if rows is None else rows), data["max_rows"]
        return min((number for number in known if number is not None), default=None)

    def data_options(self) -> dict[str, Any]:
        """How rows are read, split and made into text: study.yaml over the current configuration.

        Held equal in all arms: contrasts between arms that were evaluated on other rows, or saw
        other text, would mean nothing.
        """
        options = self.options["data"]
        said = {name: self._said(name) for name, s in SETTINGS.items() if s.held}
        held = {name: value for name, value in said.items() if value is not None}
        split = {name: held[f"split.{name}"] for name in _SPLIT if f"split.{name}" in held}
        text = {
            name: held[f"serialization.{name}"] for name in _TEXT if f"serialization.{name}" in held
        }
        return {
            **options,
            "path": self._path("data", options["path"]),
            "label_column": options["label_column"] or held.get("data.label_column"),
            "serialization": {**_TEXT, **text, **options["serialization"]},
            "split": {**_SPLIT, **split, **options["split"]},
            "file": str(self.file),
            "lines": {key: line for key, line in self.lines.items() if key.startswith("data")},
        }

    def space(self) -> Space:
        """The settings of both sides, and the factors between them.

        A difference without effect is none: every arm has the current value.
        """
        here, there = (
            {name: value.value for name, value in side.settings.items() if in_arm(name)}
            for side in (self.current, self.backup)
        )
        names = sorted({*here, *there})
        current = {name: here.get(name) for name in names}
        idle = {difference.setting for difference in self.differences if difference.no_effect}
        backup = {name: current[name] if name in idle else there.get(name) for name in names}
        stages = tuple(Factor(stage.name, stage.settings) for stage in self.stages)
        taken = {name for stage in stages for name in stage.settings}
        rest = tuple(n for n in names if current[n] != backup[n] and n not in taken)
        return Space(current, backup, stages, Factor(REMAINDER, rest) if rest else None)

    def require_data(self) -> None:
        """Raise what the user must set before anything can be trained.

        Raises:
            UserError: `data.path` is not set, or names a file that does not exist.
        """
        path = self.data_options()["path"]
        line = self.lines.get("data.path", self.lines["data"])
        if path is None:
            raise UserError(
                "data.path is not set: there are no rows to train on",
                file=self.file,
                line=line,
                found="path: null",
                allowed="a CSV, JSON lines or Parquet file or a save_to_disk folder, relative to "
                f"{self.folder}; or a hub name with format: hub",
                write="  path: rows.csv",
            )
        if self.options["data"]["format"] == "hub":
            return
        if not Path(path).exists():
            raise UserError(
                "data.path names something that does not exist",
                file=self.file,
                line=line,
                found=path,
                allowed=f"a file or folder, relative to {self.folder}; or format: hub",
            )
        if not (Path(path).is_file() or Path(path).is_dir()):
            raise UserError(
                "data.path is neither a file nor a folder, but a pipe, a socket or a device",
                file=self.file,
                line=line,
                found=path,
                allowed=f"a file or folder, relative to {self.folder}; or format: hub",
            )

    def _said(self, name: str) -> Any:
        """What the current configuration says of a held setting, else the backup."""
        for side in (self.current, self.backup):
            if name in side.settings and side.settings[name].value is not None:
                return side.settings[name].value
        return None

    def model_options(self) -> dict[str, Any]:
        """study.yaml's model block, with the path made relative to the working folder."""
        options = dict(self.options["model"])
        if "package" not in options:
            options["path"] = self._path("model", options.get("path")) or self._said(
                "model.name_or_path"
            )
        options["file"] = str(self.file)
        options["lines"] = {k: n for k, n in self.lines.items() if k.startswith("model")}
        return options

    def _path(self, block: str, path: str | None) -> str | None:
        """A path of study.yaml: relative to its folder where that exists, else as it stands."""
        if path is None:
            return None
        local = self.folder / path
        looks_local = path.startswith((".", "/")) or Path(path).suffix != ""
        return str(local) if local.exists() or (block == "data" and looks_local) else path


_SPLIT = {
    "seed": 42,
    "test_size": 0.2,
    "val_size": 0.1,
    "extract_seed": 42,
    "stratify_extract": True,
}
_TEXT = {
    "text_columns": [],
    "separator": " ",
    "key_value_separator": ":",
    "include_column_names": True,
}


def load_study(path: str | Path, *, to_run: bool = True) -> Study:
    """The study in a study.yaml, with both configurations resolved.

    Args:
        path: The file.
        to_run: Whether runs are to be made of it: a configuration with which none can start is
            then an error, and otherwise explained as far as it can be read.

    Raises:
        UserError: everything that is wrong with the file, its stages or its configurations.
    """
    path = Path(path)
    root = load_entries(path)
    options = _checked(root, path)
    folder = path.parent
    dialects = options.get("dialects", {})
    for side, name in dialects.items():
        if name not in DIALECTS:
            entry = root.at(f"dialects.{side}")
            raise UserError(
                "there is no such dialect",
                file=path,
                line=entry.line,
                found=name,
                allowed=list(DIALECTS),
            )
    for side in ("current", "backup"):
        if not (folder / options[side]).is_file():
            raise UserError(
                f"the {side} configuration does not exist",
                file=path,
                line=root.at(side).line,
                found=options[side],
                allowed=_yaml_files(folder),
            )
    current, backup = resolve_pair(
        folder / options["current"],
        folder / options["backup"],
        options["model"]["architecture"],
        (dialects.get("current"), dialects.get("backup")),
        options.get("world_size"),
    )
    if to_run:
        require_runnable(current, backup)
    differences = find_differences(current, backup)
    stages = _stages(root, path, options, differences)
    lines = {key: entry.key_line for key, entry in _walk(root)}
    silent = find_silent(current, backup)
    study = Study(folder.name, path, options, lines, current, backup, differences, silent, stages)
    raise_all(find_problems(study))
    return study


def read_options(path: str | Path) -> dict[str, Any]:
    """study.yaml as plain values with all defaults, its configurations left aside.

    Raises:
        UserError: everything in it that the schema refuses.
    """
    return _checked(load_entries(path), Path(path))


def _walk(entry: Entry, prefix: str = "") -> list[tuple[str, Entry]]:
    """Every dotted key of the file with its entry, blocks and items of lists included."""
    found = []
    children = entry.value.items() if isinstance(entry.value, dict) else ()
    if isinstance(entry.value, list):
        children = enumerate(entry.value)
    for key, child in children:
        path = f"{prefix}.{key}" if prefix else str(key)
        found += [(path, child), *_walk(child, path)]
    return found


def _yaml_files(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".yml", ".yaml", ".json"))
    return ", ".join(name for name in names if name != "study.yaml") or "a file of this folder"


def check_options(config: dict[str, Any], file: str = "config/config.yaml") -> None:
    """Check the workflow's own options and fill in their defaults, in place.

    Raises:
        UserError: a key is unknown or has a value it cannot have.
    """
    schema = json.loads((SCHEMAS / "config.schema.json").read_text())
    for error in jsonschema.Draft202012Validator(schema).iter_errors(config):
        key = ".".join(map(str, error.absolute_path))
        raise UserError(
            f"'{key}' cannot be so" if key else "unknown key",
            file=file,
            found=error.message,
            allowed=list(schema["properties"]) if not key else error.schema.get("description"),
        )
    config.update(_filled(config, schema))


def _checked(root: Entry, path: Path) -> dict[str, Any]:
    """study.yaml as plain values with the schema's defaults, or all that is wrong with it."""
    for key, first, last in root.repeated:
        raise UserError(
            f"the key '{key}' stands twice, first in line {first}",
            file=path,
            line=last,
            allowed="each key once: only one of the two values would be used",
        )
    schema = study_schema()
    options = root.plain()
    errors = sorted(
        _VALIDATOR(schema).iter_errors(options), key=lambda error: list(map(str, error.path))
    )
    # The schema complains once for each missing key, and each of our messages names them all.
    found = {str(problem): problem for problem in (_explain(e, root, path) for e in errors)}
    raise_all(found.values())
    filled = _filled(options, schema)
    metric = filled["metric"]
    metric.setdefault("higher_is_better", metric["name"] not in LOWER_IS_BETTER)
    return filled


def study_schema() -> dict[str, Any]:
    """The JSON Schema of study.yaml, with the designs that there are."""
    schema = json.loads((SCHEMAS / "study.schema.json").read_text())
    extend_schema(schema)
    return schema


def _filled(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value with the defaults of its schema where keys are absent."""
    if isinstance(value, dict) and "properties" in schema:
        value = dict(value)
        for key, child in schema["properties"].items():
            if key not in value and "default" in child:
                value[key] = child["default"]
            if key in value:
                value[key] = _filled(value[key], child)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        value = [_filled(item, schema["items"]) for item in value]
    return value


def _explain(error: jsonschema.ValidationError, root: Entry, path: Path) -> UserError:
    """The schema's complaint as a message with the line it is about."""
    entry = root
    for step in error.absolute_path:
        entry = entry.value[step]
    where = ".".join(str(step) for step in error.absolute_path) or "study.yaml"
    if error.validator == "additionalProperties":
        allowed = list(error.schema["properties"])
        unknown = next(key for key in entry.value if key not in allowed)
        line = entry.value[unknown].key_line
        near = difflib.get_close_matches(unknown, allowed, n=1)
        return UserError(
            f"unknown key '{unknown}'" + (f" in {where}" if where != "study.yaml" else ""),
            file=path,
            line=line,
            found=unknown,
            allowed=allowed,
            write=f"{near[0]}: …" if near else None,
        )
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in entry.value]
        return UserError(
            f"{where} lacks a key",
            file=path,
            line=entry.key_line,
            found=list(entry.value),
            allowed=f"{', '.join(missing)} must be there",
            write=f"{missing[0]}: …",
        )
    allowed = error.validator_value
    if error.validator == "enum":
        allowed = [str(item) for item in allowed]
    description = error.schema.get("description", "")
    return UserError(
        f"'{where}' cannot be so: {error.message}",
        file=path,
        line=entry.line,
        found=entry.plain(),
        allowed=f"{error.validator}: {allowed}" + (f" ({description})" if description else ""),
        write=_instead(error),
    )


def _instead(error: jsonschema.ValidationError) -> str | None:
    """A line that could stand there: the nearest of the allowed words, else the default."""
    key = error.absolute_path[-1] if error.absolute_path else ""
    start = f"{key}: " if isinstance(key, str) else "- "
    if error.validator == "enum":
        words = [str(item) for item in error.validator_value]
        near = difflib.get_close_matches(str(error.instance), words, n=1, cutoff=0.5)
        return start + (near or words)[0]
    if "default" in error.schema:
        return start + json.dumps(error.schema["default"])
    return None


def _stages(
    root: Entry, path: Path, options: Mapping[str, Any], differences: list[Difference]
) -> list[Stage]:
    """The stages to run; what is wrong with any of them is said at once."""
    differing = {d.setting: d for d in differences}
    if not any(d.trained for d in differences):
        raise UserError(
            "both configurations train alike: there is nothing to compare",
            file=path,
            line=root.at("backup").line,
            found=f"{options['current']} and {options['backup']}",
            allowed="two files that differ in a setting that reaches training",
        )
    entries = root.at("stages").value
    problems: list[UserError] = []
    stages: list[Stage] = []
    taken: dict[str, str] = {}
    for option, entry in zip(options["stages"], entries, strict=True):
        names = list(option["settings"])
        lines = [item.line for item in entry.at("settings").value]
        for name, line in zip(names, lines, strict=True):
            problem = _wrong_setting(name, line, path, differing, taken)
            problems += [problem] if problem else []
            taken.setdefault(name, option["name"])
        moved = [m for name in names for m in MOVES_TOGETHER.get(name, ()) if m in differing]
        names += [name for name in moved if name not in names]
        problems += _wrong_name(option["name"], entry.at("name").line, path, stages)
        changing = [name for name in names if name in differing and differing[name].trained]
        if not changing and not problems:
            problems.append(
                UserError(
                    f"stage '{option['name']}' changes nothing: both sides have the same values, "
                    "or other settings leave them without effect",
                    file=path,
                    line=entry.at("name").line,
                    found=names,
                    allowed=[d.setting for d in differences if d.trained],
                )
            )
        if option["optional"] and not options["include_optional"]:
            continue
        title = option.get("title") or {"en": option["name"].replace("_", " ")}
        stages.append(Stage(option["name"], title, tuple(names)))
    raise_all(problems)
    return stages


def _wrong_name(name: str, line: int, path: Path, stages: Sequence[Stage]) -> Iterator[UserError]:
    """What is wrong with a stage's name, beside the names of the stages before it."""
    if name in _RESERVED:
        text, write = "claims and grids mean something else by it", f"name: {name}_settings"
        if name == REMAINDER:
            text, write = "it means what no stage names", "name: the_rest"
        text = f"a stage cannot have this name: {text}"
        yield UserError(text, file=path, line=line, found=name, write=write)
    if any(stage.name == name for stage in stages):
        yield UserError("two stages have the same name", file=path, line=line, found=name)


def _wrong_setting(
    name: str,
    line: int,
    path: Path,
    differing: Mapping[str, Difference],
    taken: Mapping[str, str],
) -> UserError | None:
    """What is wrong with a setting that a stage names, if anything."""
    allowed = [d.setting for d in differing.values() if d.trained]
    if name in taken:
        return UserError(
            "a setting stands in two stages",
            file=path,
            line=line,
            found=f"{name}, already in stage '{taken[name]}'",
            allowed="each setting in one stage: stages are cumulative",
        )
    known = name in SETTINGS or name in differing
    held = name in SETTINGS and SETTINGS[name].held
    if known and in_arm(name):
        return None
    near = difflib.get_close_matches(name, allowed, n=1)
    problem = (
        "a stage names a setting that is held equal in all arms"
        if held
        else "a stage names a setting that does not reach training"
        if known
        else "a stage names an unknown setting"
    )
    return UserError(
        problem,
        file=path,
        line=line,
        found=name,
        allowed=allowed,
        write=f"- {near[0]}" if near else None,
    )
