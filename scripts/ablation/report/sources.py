"""Everything the report is made from, loaded once, with the look-ups its parts share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from ablation.comparison.findings.finding import SIDES, Side
from ablation.comparison.resolve import Difference
from ablation.designs.contrast import A_A, ONLY, REMAINDER, STAGE, WITHOUT
from ablation.errors import UserError
from ablation.evidence.confirmation import Confirmation, load_confirmation
from ablation.evidence.effects import ArmSummary, Effect, Effects, load_effects
from ablation.evidence.health import HealthWarning, load_health
from ablation.evidence.metrics import load_table
from ablation.evidence.recommendation import Recommendation
from ablation.files import load_record
from ablation.machine.progress import Run
from ablation.records import load_typed
from ablation.results import Results
from ablation.settings.catalogue import NO_OP, SETTINGS, Settings, group_of
from ablation.settings.profile import Profile, load_profile
from ablation.study.explanation import Explanation
from ablation.study.grid_file import ArmEntry, GridFile
from ablation.study.resolved import load_resolved
from ablation.study.run_metrics import COMPLETED
from ablation.study.study import Study
from ablation.words.catalogue import (
    LANGUAGES,
    Messages,
    capital,
    code,
    load_catalogue,
    localized,
    prose,
)

SHORTENED = 3  # stages in a row that are told as "stages 1 to 3"

# The order of the source report; what it had no section for comes after.
GROUPS = (
    "lora",
    "learning_rate",
    "batch",
    "weight_decay",
    "epochs",
    "scheduler",
    "max_length",
    "deepspeed",
    "data",
    "optimizer",
    "loss",
    "selection",
    "precision",
    "loader",
)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The inputs of one report, in one language.

    Attributes:
        study: The study as it was resolved.
        grid: The arms and runs.
        runs: metrics.csv.
        effects: effects.json.
        profile: data/profile.json, None before the data is prepared.
        findings: findings.json: what needed no training; None where it was not made.
        health: The warnings about the runs; none where they were not looked at.
        messages: The catalogue.
        confirmation: What fresh seeds say; None where none were run.
        fresh: The runs on fresh seeds, as metrics.csv has others; None where there are none.
        partial: Whether it is the report of the runs that are there, while others are missing.
        failed: The runs that were started and have not finished.
    """

    study: Study
    grid: GridFile
    runs: pd.DataFrame
    effects: Effects
    profile: Profile | None
    findings: Explanation | None
    health: Sequence[HealthWarning]
    messages: Messages
    confirmation: Confirmation | None = None
    fresh: pd.DataFrame | None = None
    partial: bool = False
    failed: Sequence[Run] = ()

    @property
    def metric(self) -> str:
        """The name of the study's metric."""
        return self.effects.metric.name

    @cached_property
    def recommendation(self) -> Recommendation:
        """What is recommended, with what fresh seeds say of it."""
        return self.effects.recommendation.seen(self.confirmation)

    @cached_property
    def arms(self) -> dict[str, ArmSummary]:
        """The arms of effects.json by name, in the order of the path."""
        return {arm.arm: arm for arm in self.effects.arms}

    @cached_property
    def contrasts(self) -> dict[str, Effect]:
        """The contrasts of effects.json by id."""
        return self.effects.by_id

    @property
    def stages_reach_backup(self) -> bool:
        """Whether the last stage is the backup already, so that there is no remainder."""
        return self.contrasts["remainder"].one_run

    @cached_property
    def path(self) -> list[Effect]:
        """The contrasts that lead from current to backup: stages and remainder, in order."""
        return self.effects.path

    @cached_property
    def trained(self) -> list[Difference]:
        """The differences that reach training, so that they can be part of the gap.

        In the order of the report's sections, and within one in that of the settings' table.
        """
        known = list(SETTINGS)

        def place(difference: Difference) -> tuple[int, int, str]:
            name = difference.setting
            at = known.index(name) if name in known else len(known)
            return GROUPS.index(group_of(name)), at, name

        return sorted((d for d in self.study.differences if d.trained), key=place)

    def settings(self, arm: str) -> Settings:
        """The effective settings of an arm."""
        return self._arm(arm)["settings"]

    def moved(self, step: Effect) -> list[str]:
        """The settings that a step changes and that reach training."""
        idle = {d.setting for d in self.study.differences if d.acts_on == NO_OP}
        return [name for name in step.settings if name not in idle]

    def owner(self, setting: str) -> Effect | None:
        """The step of the path that changes a setting."""
        return next((step for step in self.path if setting in step.settings), None)

    def stage_number(self, stage: str) -> int:
        """The place of a stage in the path, from 1."""
        stages = [step.factor for step in self.path if step.role == STAGE]
        return stages.index(stage) + 1

    def step_name(self, step: Effect) -> str:
        """A step of the path in words: "stage 1", "remainder"."""
        if step.role == STAGE and step.factor is not None:
            return self.messages("path.stage", number=self.stage_number(step.factor))
        return self.messages(f"path.{step.role}")

    def step_title(self, step: Effect) -> str:
        """A step of the path with the study's title for it: "Stage 1 (more epochs)"."""
        title = self.stage_title(step.factor) if step.role == STAGE else None
        if title is None:
            return capital(self.step_name(step))
        return capital(self.messages("path.titled", step=self.step_name(step), title=title))

    def stage_title(self, name: str | None) -> str | None:
        """The study's title of a stage; None where there is no such stage."""
        for stage in self.study.options["stages"]:
            if stage["name"] == name:
                return prose(localized(stage.get("title") or name, self.messages.language))
        return None

    def factor_title(self, name: str) -> str:
        """A factor in words: a stage by its number and title, the remainder, else its name."""
        title = self.stage_title(name) if name in self._staged else None
        if title is None:
            return self.factor_name(name)
        return self.messages("path.titled", step=self.factor_name(name), title=title)

    def factor_name(self, name: str) -> str:
        """A factor in as few words as there are: "stage 1", "remainder", else its name."""
        if name == REMAINDER:
            return self.messages("path.remainder")
        if name not in self._staged:
            return code(name)
        return self.messages("path.stage", number=self.stage_number(name))

    @property
    def _staged(self) -> list[str | None]:
        return [step.factor for step in self.path if step.role == STAGE]

    def factors_text(self, names: Sequence[str]) -> str:
        """Factors in few words, stages that follow each other as one: "stages 1 to 3"."""
        return " + ".join(self._factor_words(names))

    def _factor_words(self, names: Sequence[str]) -> list[str]:
        words: list[str] = []
        for run in self._in_a_row(names):
            numbers = [self.stage_number(name) for name in run if name in self._staged]
            if len(numbers) < SHORTENED:
                words += map(self.factor_name, run)
            else:
                words.append(self.messages("path.stages", first=numbers[0], last=numbers[-1]))
        return words

    def arms_text(self, arms: Sequence[str]) -> str:
        """Arms in few words: "Current, stages 1 to 6; The backup without stage 1"."""
        steps = {step.pair.arm: str(step.factor) for step in self.path if step.pair}
        stages = [steps[arm] for arm in arms if steps.get(arm) in self._staged]
        others = [arm for arm in arms if arm not in SIDES and steps.get(arm) not in self._staged]
        words = [self.messages("side.current")] if "current" in arms else []
        words += self._factor_words(stages)
        words += [self.messages("side.backup")] if "backup" in arms else []
        return capital("; ".join([self.messages.listing(words), *map(self.arm_title, others)]))

    def _in_a_row(self, names: Sequence[str]) -> list[list[str]]:
        """The names, those of stages that follow each other together."""
        runs: list[list[str]] = []
        staged = self._staged
        for name in names:
            before = runs[-1][-1] if runs else None
            follows = name in staged and before in staged
            if follows and staged.index(name) == staged.index(before) + 1:
                runs[-1].append(name)
            else:
                runs.append([name])
        return runs

    def made_of(self, arm: str) -> str | None:
        """An arm as what one factor makes of current or the backup; None for others.

        Arms that a study adds while it runs are not in the grid before it has ended.
        """
        kind = next((one["kind"] for one in self.grid["arms"] if one["arm"] == arm), None)
        if kind not in (ONLY, WITHOUT):
            return None
        factor = self.factor_title(arm.removeprefix(f"{kind}-"))
        return self.messages(f"path.{kind}", factor=factor)

    def _arm(self, name: str) -> ArmEntry:
        return next(arm for arm in self.grid["arms"] if arm["arm"] == name)

    def factors_of(self, arm: str) -> str:
        """The factors of an arm: "stages 1 to 3", "the backup without stage 1 (Epochs)"."""
        found = self._arm(arm)
        made = self.made_of(arm) if found["kind"] == WITHOUT else None
        return made or self.factors_text(found["stages"])

    def arm_title(self, arm: str) -> str:
        """An arm in words; one that no path and no factor names as it is called."""
        if arm in SIDES:
            return self.messages(f"side.{arm}")
        step = next((s for s in self.path if s.pair and s.pair.arm == arm), None)
        if step:
            return self.step_title(step)
        made = self.made_of(arm)
        return capital(made) if made else arm

    @cached_property
    def path_arms(self) -> dict[str, str]:
        """The path's arms with their titles; a last stage that is the backup is one with it."""
        titles = {name: self.arm_title(name) for name in self.arms}
        if not self.stages_reach_backup:
            return titles
        *_, last, backup = self.arms
        titles[last] = f"{titles[last]} = {titles.pop(backup)}"
        return titles

    def file_name(self, side: Side) -> str:
        """The name of a side's file, as study.yaml has it."""
        return self.study.options[side]

    def path_of(self, side: Side, file: str) -> Path:
        """Where a side's file, or one that it includes, is now."""
        main = Path(self.study.sides[side].file)
        beside = Path(os.path.relpath(file, main.parent))
        own = self.study.folder / self.file_name(side)
        for path in (own if Path(file) == main else own.parent / beside, Path(file)):
            if path.is_file():
                return path
        raise UserError(f"the {side} configuration is not there", file=file)

    def mean_of(self, arm: str, column: str) -> float | None:
        """The mean of a column of metrics.csv over an arm's completed runs."""
        rows = self.runs[(self.runs["arm"] == arm) & (self.runs["status"] == COMPLETED)]
        if column not in rows or rows[column].dropna().empty:
            return None
        return float(pd.to_numeric(rows[column]).mean())

    @cached_property
    def every_run(self) -> pd.DataFrame:
        """A row for each run, once, those on fresh seeds last.

        `title` names the arms that it is a run of, `confirms` says whether its seed is a fresh one.
        """
        run = ["variant", "seed"]
        titles = self.runs["arm"].map({arm: self.arm_title(arm) for arm in self._known})
        title = titles.groupby([self.runs[one] for one in run]).transform(" = ".join)
        runs = self.runs.assign(title=title, confirms=False).drop_duplicates(run)
        if self.fresh is None or not len(self.fresh):
            return runs
        made: dict[str, list[str]] = {}
        for arm, variant in self._known.items():
            made.setdefault(variant, []).extend([self.arm_title(arm)] * (arm != A_A))
        title = self.fresh["variant"].map({v: " = ".join(names) for v, names in made.items()})
        fresh = self.fresh.assign(title=title.fillna(self.fresh["arm"]), confirms=True)
        return pd.concat([runs, fresh.drop_duplicates(run)], ignore_index=True)

    @property
    def _known(self) -> dict[str, str]:
        """The variant of each arm of the grid."""
        return {arm["arm"]: arm["variant"] for arm in self.grid["arms"]}

    @cached_property
    def measured_at(self) -> str | None:
        """The date of the newest measurement, None before the first."""
        times = self.every_run["measured_at"].dropna()
        return str(times.max())[:10] if len(times) else None


def load_sources(results: Results, language: str) -> Sources:
    """The inputs of a report, in a language.

    Raises:
        UserError: one of them is missing or cannot be read.
    """
    study = load_resolved(results)
    confirmed = study.fresh_seeds and results.verdict.is_file()
    fresh = results.confirmation_metrics
    return Sources(
        study=study,
        grid=load_record(results.grid(study.adaptive)),
        runs=load_table(results.metrics),
        effects=load_effects(results.effects),
        profile=load_profile(results.profile) if results.profile.is_file() else None,
        findings=load_typed(Explanation, results.findings) if results.findings.is_file() else None,
        health=load_health(results.health) if results.health.is_file() else (),
        messages=Messages(language, load_catalogue("report", language)),
        confirmation=load_confirmation(results.verdict) if confirmed else None,
        fresh=load_table(fresh) if confirmed and fresh.is_file() else None,
    )


def load_languages(results: Results) -> list[Sources]:
    """The inputs of a report, once in each language.

    Raises:
        UserError: one of them is missing or cannot be read.
    """
    first, *others = LANGUAGES
    found = load_sources(results, first)
    words = [Messages(one, load_catalogue("report", one)) for one in others]
    return [found, *(replace(found, messages=messages) for messages in words)]
