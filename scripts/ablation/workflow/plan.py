"""What Snakemake runs for a study, worked out before it starts: plain values and paths."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ablation.designs.greedy_path import GREEDY_PATH
from ablation.files import load_record
from ablation.frozen.which import describe_prefix, wanted_values
from ablation.machine.gpus import (
    AUTO,
    SOURCE,
    cpu_cores,
    devices_in_use,
    refuse_too_many,
    same_card,
    smallest_memory,
    told_devices,
    visible_gpus,
)
from ablation.machine.process import sweep_shared_memory
from ablation.machine.told import check_environment
from ablation.report.figures import figures_of
from ablation.results import Results, caption_file, figure_file
from ablation.settings.profile import load_profile
from ablation.settings.quantities import cut_of
from ablation.study import adaptive
from ablation.study.forecast import pack, read_data, tokens_of_run
from ablation.study.forecast_text import load_texts, packing_lines
from ablation.study.grid import Arm, Grid, expand, load_grid, refuse_without_gpu
from ablation.study.load import load_study
from ablation.study.names import study_file
from ablation.study.outline import outline
from ablation.study.packing import CPU, GPU, Machine, Packing
from ablation.study.study import Study
from ablation.words.catalogue import LANGUAGES
from ablation.words.errors import translate
from ablation.workflow.folders import check_places, check_space
from ablation.workflow.options import Config, check_config

MOST_TOKENS = 2**17  # of a text that nothing cuts, where the model does not say how many it takes
Wait = Callable[..., str]  # the path of a checkpoint's output, once it is there


@dataclass(frozen=True, kw_only=True)
class Caller:
    """How Snakemake was called.

    Attributes:
        cores: Its --cores; None where it goes without, as only a cluster's does.
        remote: Whether it is a job of a cluster itself.
        dry: Whether nothing will run.
        options: The options file; None where another workflow gives the options.
    """

    cores: int | None
    remote: bool
    dry: bool
    options: Path | None

    @property
    def cluster(self) -> bool:
        """Whether jobs run elsewhere: what this machine has says nothing of them then."""
        return self.cores is None or self.remote


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study as Snakemake runs it.

    Attributes:
        study: The study.
        config: The workflow's own options, with their defaults.
        told: How many devices each run is told to use; None: as is best, or as the source has it.
        grid: The arms and runs that are planned.
        candidates: The arms that results may add; None where they add none.
        gpus: How many GPUs this machine shows.
        cluster: Whether the runs are trained elsewhere.
        packing: How runs share this machine's devices; None where that is told.
    """

    study: Study
    config: Config
    told: int | None
    grid: Grid
    candidates: Grid | None
    gpus: int
    cluster: bool
    packing: Packing | None

    @property
    def results(self) -> Results:
        """The study's results, relative to the working folder."""
        return Results(Path("results") / self.study.name)

    @cached_property
    def devices(self) -> dict[str, int]:
        """The devices of each run by its variant: GPUs, or processes on a machine without."""
        told = self.packing.chosen if self.packing else self.told
        arms = [*self.grid.arms, *(self.candidates.arms if self.candidates else [])]
        return {arm.variant: told or int(arm.settings["world_size"]) for arm in arms}

    @property
    def on_gpus(self) -> bool:
        """Whether runs are trained on GPUs."""
        return bool(self.gpus) or self.cluster or self.config["devices_per_run"] == SOURCE

    def per_run(self, count: Callable[[int], int]) -> int | Callable[[Any], int]:
        """What a run asks for, by its number of devices.

        A plain value where all runs are alike: Snakemake calls a function for each run, and that
        takes longer than all else that it does to plan one.
        """
        alike = set(self.devices.values())
        if len(alike) == 1:
            return count(alike.pop())
        return lambda wildcards: count(self.devices[wildcards.variant])

    @cached_property
    def lengths(self) -> dict[str, float]:
        """The tokens that a run of each planned arm trains on, by its variant."""
        data = read_data(self.study, None, None)
        return {arm.variant: tokens_of_run(arm.settings, data) for arm in self.grid.arms}

    def priority(self) -> float | Callable[[Any], float]:
        """Which runs start first: the longest, so that at the end no device waits for one of them.

        A plain value where all are as long, as in `per_run`.
        """
        if len(set(self.lengths.values())) == 1:
            return 0
        return lambda wildcards: self.lengths.get(wildcards.variant, 0)

    # Files.

    def metrics(self, grid: Grid | None = None) -> list[str]:
        """The metrics of each run of a grid: of the planned one where None."""
        runs = (self.grid if grid is None else grid).runs()
        return [str(self.results.run_metrics(run.variant, run.seed)) for run in runs]

    def metrics_of(self, path: str) -> list[str]:
        """The metrics of each run of a grid that is in a file."""
        return self.metrics(load_grid(path))

    def final_files(self) -> list[str]:
        """The files that a finished study has, but for those that wait for results."""
        results = self.results
        reports = [results.report(language) for language in LANGUAGES]
        grid = results.planned_grid.with_suffix(".csv")
        patch = [results.recommended / name for name in self.recommended]
        verdict = [results.verdict] if self.study.fresh_seeds else []
        told = [results.tracked / f"{name}.json" for name in self.config["trackers"]]
        # Each run by itself: Snakemake makes a missing file only for somebody who asks for it, and
        # a report that is there asks no more.
        made = [*reports, results.page, grid, *patch, *verdict, *told]
        return [*map(str, made), *self.metrics()]

    @property
    def recommended(self) -> list[str]:
        """The names of the recommended configuration and of its patch."""
        current = Path(self.study.current.file)
        return [current.name, f"{current.stem}.patch"]

    @property
    def figures(self) -> list[tuple[str, str, Path]]:
        """The report's figures in each language: name, language, file in their folder."""
        names = figures_of(self.study.designs)
        pairs = [(name, language) for language in LANGUAGES for name in names]
        return [(name, language, Path(figure_file(name, language))) for name, language in pairs]

    @property
    def captions(self) -> list[Path]:
        """Their captions, in the same order."""
        return [caption_file(file) for _, _, file in self.figures]

    @property
    def study_files(self) -> list[str]:
        """What the user wrote: study.yaml, both configurations and the files that they include."""
        study = self.study
        return list(dict.fromkeys([str(study.file), *study.current.files, *study.backup.files]))

    @property
    def data_file(self) -> list[str]:
        """The study's data, where it is a file that can be watched for changes."""
        path = self.study.data_options()["path"]
        return [path] if path and Path(path).is_file() else []

    def grid_file(self) -> str:
        """The grid that the analysis reads: as planned, or as results have decided."""
        return str(self.results.grid(self.study.adaptive))

    def grid_of_run(self) -> str | Callable[[Any], str]:
        """The grid that holds a run's arm: the plan, or what results may add to it."""
        planned, added = str(self.results.planned_grid), str(self.results.candidates)
        if not self.candidates:
            return planned
        variants = {arm.variant for arm in self.grid.arms}
        return lambda wildcards: planned if wildcards.variant in variants else added

    # Parameters: what of the study changes a job's output.

    @property
    def data_identity(self) -> Mapping[str, object]:
        """What changes the prepared rows, besides the data itself: their split and their text."""
        options: Mapping[str, object] = self.study.data_options()
        planning = ("file", "lines", "rows", "tokens_per_row")
        return {k: options[k] for k in sorted(options) if k not in planning}

    @property
    def wanted_caches(self) -> str:
        """Which states of frozen layers the arms want kept, and for which rows, as JSON."""
        return json.dumps(wanted_values(arm.settings for arm in self.grid.arms))

    @property
    def max_lengths(self) -> list[int]:
        """Most tokens that each arm reads of a text: all that the model takes, if uncut."""
        model = self.study.options["model"]["architecture"] or {}
        places = model.get("max_position_embeddings") or MOST_TOKENS
        return sorted({cut_of(arm.settings) or places for arm in self.grid.arms})

    @property
    def decision_rule(self) -> Mapping[str, object]:
        """What of study.yaml a decision follows, besides results."""
        names = ("metric", "sequential", "seeds", "confirm", "designs")
        options: Mapping[str, object] = self.study.options
        return {name: options[name] for name in names}

    # What results decide. `wait` gives a checkpoint's file once it is there.

    def looks(self, count: int, wait: Wait) -> list[str]:
        """The decisions on seeds of the first looks, up to the one that stops."""
        found: list[str] = []
        for look in range(1, count + 1):
            found.append(wait(look=look))
            if load_record(found[-1])["stop"]:
                break
        return found

    def look_metrics(self, earlier: Sequence[str]) -> list[str]:
        """The metrics of the runs that the look after these is at."""
        decisions = [load_record(path) for path in earlier]
        return self.metrics(adaptive.seeds_grid(self.study, decisions, self.told))

    def steps(self, direction: str, count: int, wait: Wait) -> list[str]:
        """The first steps of the greedy path in a direction."""
        return [wait(direction=direction, step=number) for number in range(1, count + 1)]

    def step_metrics(self, direction: str, earlier: Sequence[str]) -> list[str]:
        """The metrics of the arms that the step after these chooses from, and where it starts."""
        assert self.candidates is not None, "a greedy path has candidates"
        decisions = [load_record(path) for path in earlier]
        base, found = adaptive.step_arms(self.study, self.candidates, direction, decisions)
        arms: list[Arm] = [base, *found.values()]
        return self.metrics(Grid(self.study.name, arms, self.grid.seeds))

    def decisions(self, look: Wait, step: Wait) -> list[str]:
        """Every decision that the study's grid rests on."""
        if self.study.looks:
            return self.looks(len(self.study.looks), look)
        ways: Iterable[str] = self.study.designs[GREEDY_PATH]["directions"]
        count = adaptive.steps_of_path(self.study)
        return [path for way in ways for path in self.steps(way, count, step)]

    def check_start(self) -> None:
        """Refuse to start where there is nothing to train on, or nowhere to write.

        What killed runs have left in memory is removed.

        Raises:
            UserError: what is missing.
        """
        self.study.require_data()
        check_space(self.results)
        sweep_shared_memory()

    def describe(self, language: str) -> str:
        """The plan in words."""
        t = load_texts(language)
        lines = [outline(self.study, self.grid, max(self.devices.values()), self.on_gpus, t)]
        if self.packing:
            lines += packing_lines(self.packing, t)
        profile = self.results.profile
        cached = describe_prefix(
            [(arm.name, arm.settings) for arm in self.grid.arms],
            self.study.options["model"]["architecture"] or {},
            self.config["prefix_cache_gb"],
            load_profile(profile) if profile.exists() else None,
        )
        lines += [f"  {translate(line.strip(), language)}" for line in cached]
        return "\n".join(lines)


def make_plan(config: dict[str, Any], studies: Path, caller: Caller) -> Plan:
    """The plan of the study that the workflow's options name.

    Args:
        config: The options of config/config.yaml; defaults are filled in.
        studies: The folder of studies where they name none.
        caller: How Snakemake was called.

    Raises:
        UserError: what is wrong with the options, the study, or the devices that it asks for.
    """
    check_config(config, caller.options)
    options = cast(Config, config)
    check_environment()
    # However it is written: a study of another path is prepared again, and trained again.
    folder = os.path.relpath(options.get("studies") or studies)
    study = load_study(study_file(options["study"], folder))
    check_places(Results(Path("results") / study.name))
    told = told_devices(options["devices_per_run"])
    grid, candidates = expand(study, told), adaptive.candidates(study, told)
    gpus = visible_gpus()
    if not caller.cluster:
        refuse_too_many(told, gpus)
    if not (gpus or caller.cluster or options["devices_per_run"] == SOURCE):
        refuse_without_gpu(study, grid)
    packing = None
    if options["devices_per_run"] == AUTO and not caller.cluster:
        results = Results(Path("results") / study.name)
        packing = pack(
            study,
            grid,
            _machine(options, caller),
            further=candidates.arms if candidates else (),
            begun=devices_in_use(results.runs, (arm.variant for arm in grid.arms)),
        )
    return Plan(
        study=study,
        config=options,
        told=told,
        grid=grid,
        candidates=candidates,
        gpus=len(gpus),
        cluster=caller.cluster,
        packing=packing,
    )


def _machine(config: Config, caller: Caller) -> Machine:
    """What the runs of this machine share."""
    gpus = visible_gpus()
    # A dry run without --cores counts one.
    cores = cpu_cores() if caller.dry and caller.cores == 1 else caller.cores or 1
    processes = max(1, cores // config["threads_per_device"])
    if not gpus:
        return Machine(CPU, processes)
    return Machine(GPU, len(gpus), smallest_memory(gpus), same_card(gpus))
