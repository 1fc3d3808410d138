"""`ablation init`: a complete study.yaml out of two configurations, rows and a model."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablation.command.draft import Draft, write_draft
from ablation.command.found import Rows, data_files, likely_label, model_facts, read_rows
from ablation.command.studies import OWN
from ablation.command.words import Parser
from ablation.comparison.resolve import Configuration, find_differences, resolve_pair
from ablation.errors import UserError
from ablation.files import save_text
from ablation.settings.catalogue import OTHER
from ablation.study.grid import expand
from ablation.study.load import load_study
from ablation.study.names import NAME
from ablation.study.paths import leads_outside
from ablation.study.proposal import propose_stages
from ablation.words.catalogue import Messages

_ID = re.compile(
    r"(^|[_ .-])(id|idx|index|uuid|no|nr|url|date|time)$|^(번호|순번|아이디|날짜|일자|일시)$", re.I
)


def add_arguments(parser: Parser) -> None:
    """The arguments of `ablation init`."""
    parser.option("current", metavar="CURRENT")
    parser.option("backup", metavar="BACKUP")
    parser.option("--data", metavar="FILE")
    parser.option("--label", metavar="COLUMN")
    parser.option("--model", metavar="PATH")
    parser.option("--name")
    parser.option("--dialect", type=parser.sides, default={})
    parser.option("--force", action="store_true")
    parser.option("--json", action="store_true")


def main(args: argparse.Namespace, t: Messages) -> int:
    """Write the study and say what comes next; 2 where what was written cannot be planned."""
    given = {name for name in ("data", "label", "model") if getattr(args, name)}
    args.data = args.data or _only_data_file(args)
    folder = OWN / study_name(args, t)
    file = folder / "study.yaml"
    draft = make_draft(args, folder, t)
    if file.exists() and not args.force:
        raise UserError(t("init.exists"), file=file, allowed=t("init.exists_allowed"))
    save_text(write_draft(draft, t), file)
    if not draft.missing:
        expand(load_study(file))  # what cannot be planned is told now, with its line
    if args.json:
        print(json.dumps(_as_json(draft, file), indent=1, ensure_ascii=False))
    else:
        print("\n".join(_tell(draft, file, args, given, t)))
    return 0


def study_name(args: argparse.Namespace, t: Messages) -> str:
    """The study's name: what is asked for, else that of the rows' file, else "study"."""
    stem = Path(args.data).name.partition(".")[0] if args.data else ""
    name = args.name or re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-") or "study"
    if not NAME.fullmatch(name):
        allowed = t("init.name_allowed")
        raise UserError(t("init.bad_name"), found=name, allowed=allowed, write="--name news")
    return name


def make_draft(args: argparse.Namespace, folder: Path, t: Messages) -> Draft:
    """What the study says, from what was given and what is found.

    Raises:
        UserError: a file cannot be read, a column is not there, or the two do the same.
    """
    for side in (args.current, args.backup):
        if not Path(side).is_file():
            raise UserError(t("init.no_file"), found=side)
    named: dict[str, str] = args.dialect
    dialects = named.get("current"), named.get("backup")
    bare = resolve_pair(args.current, args.backup, {}, dialects)
    model = args.model = args.model or _value(bare, "model.name_or_path")
    facts = model_facts(model)
    sides = resolve_pair(args.current, args.backup, facts, dialects)
    stages = propose_stages(*sides)
    if not stages:
        raise _nothing_to_train(sides, args, t)
    rows = read_rows(Path(args.data), t) if args.data else None
    label = _label(args, sides, rows, t)
    said = _value(sides, "serialization.text_columns")
    columns = () if said else _text_columns(rows, label)
    is_folder = bool(model) and Path(model).expanduser().is_dir()
    silent = all(side.settings["world_size"].line is None for side in sides)
    return Draft(
        name=folder.name,
        current=_from(folder, args.current),
        backup=_from(folder, args.backup),
        dialects=(sides[0].dialect, sides[1].dialect),
        named=named,
        devices=int(str(sides[0].settings["world_size"].value)) if silent else None,
        model=_from(folder, Path(model).expanduser()) if is_folder else model,
        facts=facts,
        data=_from(folder, args.data) if args.data else None,
        label=label,
        rows=rows,
        tokens_per_row=rows.tokens_per_row(columns or said or ()) if rows else None,
        text_columns=columns,
        split=_split(sides),
        stages=stages,
    )


def _nothing_to_train(
    sides: Sequence[Configuration], args: argparse.Namespace, t: Messages
) -> UserError:
    """That no difference reaches training, with those that there are."""
    names = [d.setting.removeprefix(OTHER) for d in find_differences(*sides)]
    if not names:
        return UserError(t("init.no_differences"), found=f"{args.current}, {args.backup}")
    explain = f"ablation explain {args.current} {args.backup}"
    return UserError(t("init.nothing_to_train"), found=", ".join(names), write=explain)


def _split(sides: Sequence[Configuration]) -> dict[str, float]:
    """Shares of the rows to hold out, where a configuration holds out none, or nearly all."""
    own = {"test_size": 0.2, "val_size": 0.1}
    shares = dict(own)
    for name in own:
        for side in reversed(sides):
            told = side.settings.get(f"split.{name}")
            if told and told.line and isinstance(told.value, (int, float)):
                shares[name] = float(told.value)
    fits = all(0 < share < 1 for share in shares.values()) and sum(shares.values()) < 1
    return {} if fits else own


def _from(folder: Path, path: str | Path) -> str:
    """A path as a study in the folder names it: relative, but absolute where that leads outside."""
    relative = Path(os.path.relpath(path, folder)).as_posix()
    whole = Path(os.path.abspath(path)).as_posix()  # noqa: PTH100 -- without the dots
    return whole if leads_outside(folder, relative) else relative


def _value(sides: Sequence[Configuration], name: str) -> Any:
    found = [side.settings[name].value for side in sides if name in side.settings]
    return next((value for value in found if value), None)


def _only_data_file(args: argparse.Namespace) -> str | None:
    """The only file beside the configurations, or here, that could hold the rows."""
    found = data_files([Path(args.current).parent, Path(args.backup).parent, Path()])
    return str(found[0]) if len(found) == 1 else None


def _label(
    args: argparse.Namespace, sides: Sequence[Configuration], rows: Rows | None, t: Messages
) -> str | None:
    if args.label is None:
        said = _value(sides, "data.label_column")
        return likely_label(rows, said) if rows and rows.columns else said
    if rows and rows.columns and args.label not in rows.columns:
        near = difflib.get_close_matches(args.label, rows.columns, n=1)
        write = f"--label {near[0]}" if near else None
        raise UserError(t("init.no_column"), found=args.label, allowed=rows.columns, write=write)
    return args.label


def _text_columns(rows: Rows | None, label: str | None) -> tuple[str, ...]:
    """The columns that are text: all but the label and ids."""
    if rows is None or label is None:
        return ()
    return tuple(
        name
        for name in rows.columns
        if name != label and name not in rows.numbered and not _ID.search(name)
    )


def _as_json(draft: Draft, file: Path) -> dict[str, Any]:
    return {
        "study": draft.name,
        "file": str(file),
        "data": draft.data,
        "label_column": draft.label,
        "model": draft.model,
        "stages": {stage.name: list(stage.settings) for stage in draft.stages},
        "missing": draft.missing,
    }


def _tell(
    draft: Draft, file: Path, args: argparse.Namespace, given: set[str], t: Messages
) -> list[str]:
    lines = [t("init.written", file=file), ""]
    for number, stage in enumerate(draft.stages, 1):
        lines.append(f"  {number}. {t(f'init.stage.{stage.name}')}")
        lines.append(f"     {', '.join(stage.settings)}")
    found = {"data": args.data, "label": draft.label, "model": args.model}
    guessed = [t(f"init.found_{k}", value=v) for k, v in found.items() if v and k not in given]
    missing = [t(f"init.missing_{option.lstrip('-')}") for option in draft.missing]
    if guessed or missing:
        lines += ["", *guessed, *missing]
    if missing:
        return [*lines, "", t("init.again"), f"  {_again(args, draft)}"]
    lines += ["", t("init.next")]
    for step in ("explain", "plan", "run"):
        command = f"ablation {step} {draft.name}"
        lines.append(f"  {command:<32} # {t(f'init.step_{step}')}")
    return lines


def _again(args: argparse.Namespace, draft: Draft) -> str:
    """The same command with what is missing, to be filled in."""
    words = ["ablation", "init", args.current, args.backup]
    given = {"data": args.data, "label": args.label, "model": args.model, "name": draft.name}
    blanks = {"--data": "FILE", "--label": "COLUMN", "--model": "FOLDER"}
    for name, value in given.items():
        option = f"--{name}"
        if value or option in draft.missing:
            words += [option, blanks[option] if option in draft.missing else value]
    if draft.named:
        words += ["--dialect", ",".join(f"{side}={name}" for side, name in draft.named.items())]
    return shlex.join([*words, "--force"])
