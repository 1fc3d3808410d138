"""A study: what it asks, with its configurations as they were resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ablation.comparison.resolve import (
    Configuration,
    Difference,
)
from ablation.designs import Designs, read_designs, settle
from ablation.designs.design import REMAINDER, Factor, Space
from ablation.designs.greedy_path import GREEDY_PATH
from ablation.dialects.reader import Value
from ablation.errors import UserError
from ablation.settings.catalogue import KERNELS, SETTINGS, in_arm
from ablation.study.options import (
    ByLanguage,
    DataOptions,
    ModelOptions,
    SplitOptions,
    StudyOptions,
    TextOptions,
)
from ablation.study.paths import locate

SEED = "seed"  # of data.split_per: each seed draws a split of its own


@dataclass(frozen=True)
class Stage:
    """A named set of settings that are taken over from the backup together."""

    name: str
    title: ByLanguage
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
    options: StudyOptions
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

    @property
    def looks(self) -> Sequence[int]:
        """After how many seeds results are looked at; empty where all seeds are run at once."""
        sequential = self.options.get("sequential")
        return sequential["looks"] if sequential else ()

    @property
    def fresh_seeds(self) -> Sequence[int]:
        """The seeds that confirm what is recommended; empty where the study asks for none."""
        confirm = self.options["confirm"]
        return confirm["seeds"] if confirm else ()

    @property
    def designs(self) -> Designs:
        """The designs that it asks for, with their options."""
        return read_designs(self.options["designs"])

    @property
    def sides(self) -> dict[str, Configuration]:
        """Both configurations by side."""
        return {"current": self.current, "backup": self.backup}

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
        if self.looks:
            missing = self.looks[-1] - len(seeds)
            seeds += range(max(seeds) + 1, max(seeds) + 1 + missing)
        return seeds

    def first_seeds(self) -> list[int]:
        """The seeds that are run before any result is looked at."""
        return self.all_seeds()[: self.looks[0]] if self.looks else self.all_seeds()

    @property
    def adaptive(self) -> bool:
        """Whether results decide which runs there are: more seeds, or steps of a greedy path."""
        return bool(self.looks) or GREEDY_PATH in self.designs

    def unstaged(self) -> list[str]:
        """The trained differences that no stage names: together they are the remainder."""
        return [d.setting for d in self.differences if d.trained and not self.stage_of(d.setting)]

    def differences_json(self) -> dict[str, object]:
        """The differences as they are written to resolved/differences.json."""
        return {
            "differences": [d.as_json(self.stage_of(d.setting)) for d in self.differences],
            "silent": [d.as_json(None) for d in self.silent],
            "unstaged": self.unstaged(),
        }

    @property
    def splits_per_seed(self) -> bool:
        """Whether each seed draws training, validation and test rows of its own."""
        return self.options["data"].get("split_per") == SEED

    def planned_rows(self, rows: int | None = None) -> int | None:
        """Rows of the data for planning before it is there; None where nobody says.

        Args:
            rows: Rows of the whole data set; `data.rows` where None. `data.max_rows` limits them.
        """
        data = self.options["data"]
        known = (data["rows"] if rows is None else rows), data["max_rows"]
        return min((number for number in known if number is not None), default=None)

    def data_options(self) -> DataOptions:
        """How rows are read, split and made into text: study.yaml over the current configuration.

        Held equal in all arms: contrasts between arms that were evaluated on other rows, or saw
        other text, would mean nothing.
        """
        options = self.options["data"]
        said = {name: self._said(name) for name, s in SETTINGS.items() if s.held}
        held = {name: value for name, value in said.items() if value is not None}
        split, text = (
            {name: held[f"{block}.{name}"] for name in own if f"{block}.{name}" in held}
            for block, own in (("split", _SPLIT), ("serialization", _TEXT))
        )
        return {
            **options,
            "path": self._path("data", options["path"]),
            "label_column": options["label_column"] or held.get("data.label_column"),
            "serialization": {**_TEXT, **cast(TextOptions, text), **options["serialization"]},
            "split": {**_SPLIT, **cast(SplitOptions, split), **options["split"]},
            "file": str(self.file),
            "lines": {key: line for key, line in self.lines.items() if key.startswith("data")},
        }

    def space(self) -> Space:
        """The settings of both sides, and the factors between them.

        A difference without effect is none: every arm has the current value.
        """
        # Named only where there are any: what runs are called depends on their settings.
        kernels = self.options.get(KERNELS)
        same = {KERNELS: list(kernels)} if kernels else {}
        here, there = (
            {name: value.value for name, value in side.settings.items() if in_arm(name)} | same
            for side in (self.current, self.backup)
        )
        names = sorted({*here, *there})
        current = {name: here.get(name) for name in names}
        idle = {difference.setting for difference in self.differences if difference.no_effect}
        backup = {name: current[name] if name in idle else there.get(name) for name in names}
        stages = tuple(Factor(stage.name, stage.settings) for stage in self.stages)
        taken = {name for stage in stages for name in stage.settings}
        rest = tuple(n for n in names if current[n] != backup[n] and n not in taken)
        found = Space(current, backup, stages, Factor(REMAINDER, rest) if rest else None)
        return settle(self.designs, found)

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
        found = self.told_by(name)
        return None if found is None else found.value

    def told_by(self, name: str) -> Value | None:
        """What the current configuration says of a held setting, else the backup.

        A trainer that holds no rows out where its file does not ask for it says nothing.
        """
        for side in (self.current, self.backup):
            found = side.settings.get(name)
            if found is None or found.value is None:
                continue
            if not (name in SIZES and found.line is None and not found.value):
                return found
        return None

    def model_options(self) -> ModelOptions:
        """study.yaml's model block, with the path made relative to the working folder."""
        options = self.options["model"].copy()
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
        local = locate(self.folder, path)
        looks_local = path.startswith((".", "/", "~")) or Path(path).suffix != ""
        return str(local) if local.exists() or (block == "data" and looks_local) else path


SIZES = ("split.test_size", "split.val_size")
_SPLIT: SplitOptions = {
    "seed": 42,
    "test_size": 0.2,
    "val_size": 0.1,
    "extract_seed": 42,
    "stratify_extract": True,
}
_TEXT: TextOptions = {
    "text_columns": [],
    "separator": " ",
    "key_value_separator": ":",
    "include_column_names": True,
}
