"""study.yaml read and checked: its schema, its configurations, its stages."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jsonschema

from ablation.comparison.findings.finding import SIDES
from ablation.comparison.resolve import (
    Difference,
    find_differences,
    find_silent,
    require_runnable,
    resolve_pair,
)
from ablation.comparison.versions import Versions, find_versions
from ablation.designs import extend_schema
from ablation.designs.design import REMAINDER
from ablation.dialects import DIALECTS
from ablation.documents.entries import Entry, load_plainly
from ablation.errors import UserError, raise_all
from ablation.project import SCHEMAS
from ablation.records import Schema
from ablation.settings.catalogue import MOVES_TOGETHER, SETTINGS, in_arm
from ablation.study.checks import find_problems
from ablation.study.claim import CONTRASTS
from ablation.study.names import LOWER_IS_BETTER
from ablation.study.options import StudyOptions
from ablation.study.paths import OUTSIDE_ALLOWED, leads_outside, locate, outside_problem

# JSON Schema counts 1.0 as an integer, but a seed of 1.0 names another folder than one of 1.
from ablation.study.study import Stage, Study

_VALIDATOR = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
_RESERVED = ("current", "backup", *CONTRASTS)


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
    root = load_plainly(path)
    options = _checked(root, path)
    folder = path.parent
    dialects = options.get("dialects", {})
    _check_sides(root, path, options)
    current, backup = resolve_pair(
        locate(folder, options["current"]),
        locate(folder, options["backup"]),
        options["model"]["architecture"],
        (dialects.get("current"), dialects.get("backup")),
        options.get("world_size"),
        _versions(root, path, options),
    )
    if to_run:
        require_runnable(current, backup)
    differences = find_differences(current, backup)
    stages = _stages(root, path, options, differences)
    lines = {key: entry.key_line for key, entry in _walk(root)}
    silent = find_silent(current, backup)
    study = Study(
        name=folder.name,
        file=path,
        options=options,
        lines=lines,
        current=current,
        backup=backup,
        differences=differences,
        silent=silent,
        stages=stages,
    )
    raise_all(find_problems(study))
    return study


def _check_sides(root: Entry, path: Path, options: StudyOptions) -> None:
    """Refuse a dialect that there is not, and a configuration that is not there."""
    for side, name in options.get("dialects", {}).items():
        if name not in DIALECTS:
            entry = root.known(f"dialects.{side}")
            raise UserError(
                "there is no such dialect",
                file=path,
                line=entry.line,
                found=name,
                allowed=list(DIALECTS),
            )
    for side in SIDES:
        if not options.get("allow_outside") and leads_outside(path.parent, options[side]):
            raise UserError(
                outside_problem(side),
                file=path,
                line=root.known(side).line,
                found=options[side],
                allowed=OUTSIDE_ALLOWED,
                write="allow_outside: true",
            )
        if not locate(path.parent, options[side]).is_file():
            raise UserError(
                f"the {side} configuration does not exist",
                file=path,
                line=root.known(side).line,
                found=options[side],
                allowed=_yaml_files(path.parent),
            )


def _versions(
    root: Entry, path: Path, options: StudyOptions
) -> tuple[Versions | None, Versions | None]:
    """The releases that study.yaml says a side ran with, beside those that files tell."""
    told = options.get("versions", {})
    found: list[Versions | None] = []
    for side in SIDES:
        entry = root.at(f"versions.{side}")
        line = entry.line if entry else 1
        file = locate(path.parent, options[side])
        found.append(find_versions(file, told.get(side), str(path), line))
    return found[0], found[1]


def read_options(path: str | Path) -> StudyOptions:
    """study.yaml as plain values with all defaults, its configurations left aside.

    Raises:
        UserError: everything in it that the schema refuses.
    """
    return _checked(load_plainly(path), Path(path))


def _walk(entry: Entry, prefix: str = "") -> list[tuple[str, Entry]]:
    """Every dotted key of the file with its entry, blocks and items of lists included."""
    found = []
    children: Iterable[tuple[Any, Entry]] = ()
    if isinstance(entry.value, dict):
        children = entry.value.items()
    elif isinstance(entry.value, list):
        children = enumerate(entry.value)
    for key, child in children:
        path = f"{prefix}.{key}" if prefix else str(key)
        found += [(path, child), *_walk(child, path)]
    return found


def _yaml_files(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".yml", ".yaml", ".json"))
    return ", ".join(name for name in names if name != "study.yaml") or "a file of this folder"


def check_options(
    config: dict[str, object], places: Mapping[str, tuple[str, int | None]] | None = None
) -> None:
    """Check the workflow's own options and fill in their defaults, in place.

    Args:
        config: The options.
        places: The file and the line of each key.

    Raises:
        UserError: a key is unknown or has a value it cannot have.
    """
    schema = json.loads((SCHEMAS / "config.schema.json").read_text())
    known = list(schema["properties"])
    # No bound keeps out what is not a number.
    told = {k: str(v) if isinstance(v, float) and v != v else v for k, v in config.items()}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(told):
        unknown = next((key for key in config if key not in known), None)
        key = str(error.absolute_path[0]) if error.absolute_path else unknown
        file, line = (places or {}).get(str(key), ("config/config.yaml", None))
        if key == unknown:
            near = difflib.get_close_matches(str(key), known, n=1)
            write = f"{near[0]}: …" if near else None
            raise UserError(
                f"unknown key '{key}'", file=file, line=line, allowed=known, write=write
            )
        default = schema["properties"][key].get("default")
        raise UserError(
            f"'{key}' has a value it cannot have",
            file=file,
            line=line,
            found=config[str(key)],
            allowed=error.schema.get("description"),
            write=None if default is None else f"{key}: {json.dumps(default)}",
        )
    config.update(_filled(config, schema))


def _checked(root: Entry, path: Path) -> StudyOptions:
    """study.yaml as plain values with the schema's defaults, or all that is wrong with it."""
    for one in root.repeated:
        raise UserError(
            f"the key '{one.key}' stands twice, first in line {one.first}",
            file=path,
            line=one.last,
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


def study_schema() -> Schema:
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
    entry, schema = root, cast(Mapping[str, Any], error.schema)
    wanted: Any = error.validator_value
    for step in error.absolute_path:
        entry = entry.value[step]
    where = ".".join(str(step) for step in error.absolute_path) or "study.yaml"
    if error.validator == "additionalProperties":
        allowed = list(schema["properties"])
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
        missing = [key for key in wanted if key not in entry.value]
        return UserError(
            f"{where} lacks a key",
            file=path,
            line=entry.key_line,
            found=list(entry.value),
            allowed=f"{', '.join(missing)} must be there",
            write=f"{missing[0]}: …",
        )
    possible = [str(item) for item in wanted] if error.validator == "enum" else wanted
    description = schema.get("description", "")
    return UserError(
        f"'{where}' cannot be so: {error.message}",
        file=path,
        line=entry.line,
        found=entry.plain(),
        allowed=f"{error.validator}: {possible}" + (f" ({description})" if description else ""),
        write=_instead(error),
    )


def _instead(error: jsonschema.ValidationError) -> str | None:
    """A line that could stand there: the nearest of the allowed words, else the default."""
    key = error.absolute_path[-1] if error.absolute_path else ""
    start = f"{key}: " if isinstance(key, str) else "- "
    schema, wanted = cast(Mapping[str, Any], error.schema), cast(list[Any], error.validator_value)
    if error.validator == "enum":
        words = [str(item) for item in wanted]
        near = difflib.get_close_matches(str(error.instance), words, n=1, cutoff=0.5)
        return start + (near or words)[0]
    if "default" in schema:
        return start + json.dumps(schema["default"])
    return None


def _stages(
    root: Entry, path: Path, options: StudyOptions, differences: list[Difference]
) -> list[Stage]:
    """The stages to run; what is wrong with any of them is said at once."""
    differing = {d.setting: d for d in differences}
    if not any(d.trained for d in differences):
        raise UserError(
            "both configurations train alike: there is nothing to compare",
            file=path,
            line=root.known("backup").line,
            found=f"{options['current']} and {options['backup']}",
            allowed="two files that differ in a setting that reaches training",
        )
    entries = root.known("stages").value
    problems: list[UserError] = []
    stages: list[Stage] = []
    taken: dict[str, str] = {}
    for option, entry in zip(options["stages"], entries, strict=True):
        names = list(option["settings"])
        lines = [item.line for item in entry.known("settings").value]
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
