# Everything that is Python: the study, its grid, and what a run asks of the machine.

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

# Relative, so that a moved checkout finds its finished runs unchanged.
BASE = Path(os.path.relpath(workflow.basedir))
SCRIPTS = BASE / "scripts"
sys.path.insert(0, str(SCRIPTS.resolve()))

from ablation.study import adaptive
from ablation.designs.greedy_path import GREEDY_PATH
from ablation.designs import read_designs
from ablation.errors import UserError
from ablation.project import PACKAGE
from ablation.settings.quantities import cut_of
from ablation.study.grid import describe
from ablation.study.grid import expand as expand_arms
from ablation.study.grid import load_grid, refuse_without_gpu
from ablation.study.packing import CPU, GPU, Machine
from ablation.study.forecast import pack
from ablation.study.forecast_text import load_texts, packing_lines
from ablation.machine.gpus import AUTO, SOURCE, cpu_cores, devices_in_use
from ablation.machine.gpus import refuse_too_many, told_devices, visible_gpus
from ablation.frozen.which import describe_prefix, wanted_values
from ablation.report.figures import figures_of
from ablation.study.names import study_file
from ablation.study.study import check_options, load_study

LAYERS = [
    "",
    "words",
    "documents",
    "settings",
    "dialects",
    "designs",
    "comparison",
    "study",
    "data",
    "machine",
    "evidence",
    "report",
]
# A hash of the library up to each layer: a change of it runs the cheap jobs of that layer again. Not
# files as inputs: those would be most of the plan.
LIBRARY = {}
code = hashlib.sha256()
for layer in LAYERS:
    for file in sorted((PACKAGE / layer).glob("**/*" if layer else "*")):
        if file.suffix in (".py", ".yaml"):
            code.update(file.read_bytes())
    LIBRARY[layer] = code.hexdigest()[:16]

# However it is written: a study of another path is prepared again, and trained again.
STUDIES = os.path.relpath(config.get("studies") or BASE / "config" / "studies")
try:
    check_options(config)
    STUDY = load_study(study_file(config["study"], STUDIES))
    TOLD = told_devices(config["devices_per_run"])
    GRID = expand_arms(STUDY, TOLD)
    CANDIDATES = adaptive.candidates(STUDY, TOLD)
    GPUS = visible_gpus()
    # A cluster's jobs run elsewhere: what this machine has says nothing of them. Which executor it
    # will be isn't known yet, but only a cluster's goes without --cores.
    CORES = workflow.resource_settings.cores
    CLUSTER = CORES is None or workflow.remote_exec
    if not CLUSTER:
        refuse_too_many(TOLD, GPUS)
    ON_GPUS = bool(GPUS) or CLUSTER or config["devices_per_run"] == SOURCE
    if not ON_GPUS:
        refuse_without_gpu(STUDY, GRID)
except UserError as error:
    sys.exit(f"error: {error}")

ARMS = [*GRID.arms, *(CANDIDATES.arms if CANDIDATES else [])]
PACKING = None
if config["devices_per_run"] == AUTO and not CLUSTER:
    # A dry run without --cores counts one.
    cores = cpu_cores() if workflow.dryrun and CORES == 1 else CORES
    PACKING = pack(
        STUDY,
        GRID,
        Machine(
            GPU if GPUS else CPU,
            len(GPUS) or max(1, cores // config["threads_per_device"]),
            min((gpu.memory for gpu in GPUS if gpu.memory), default=None),
        ),
        further=ARMS[len(GRID.arms) :],
        begun=devices_in_use(
            Path("results") / STUDY.name / "runs", (arm.variant for arm in GRID.arms)
        ),
    )
DEVICES = {
    arm.variant: (
        PACKING["chosen"] if PACKING else TOLD or int(arm.settings["world_size"])
    )
    for arm in ARMS
}
PLANNED = {arm.variant for arm in GRID.arms}
LANGUAGES = {"report": "en", "report.ko": "ko"}
RECOMMENDED = [Path(STUDY.current.file).name, f"{Path(STUDY.current.file).stem}.patch"]
FIGURES = figures_of(read_designs(STUDY.options))

# Snakemake counts the GPUs, and each run takes a lease of its own (ablation.machine.leases).
if GPUS and not CLUSTER and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", len(GPUS))
if workflow.is_main_process:
    kind = "GPU" if ON_GPUS else "CPU process"
    print(describe(STUDY, GRID, max(DEVICES.values()), kind), file=sys.stderr)
    if PACKING:
        print("\n".join(packing_lines(PACKING, load_texts("en"))), file=sys.stderr)
    profile = Path("results") / STUDY.name / "data/profile.json"
    plan = describe_prefix(
        [(arm.name, arm.settings) for arm in GRID.arms],
        STUDY.options["model"]["architecture"] or {},
        config["prefix_cache_gb"],
        json.loads(profile.read_text()) if profile.exists() else None,
    )
    print("\n".join(plan), file=sys.stderr)


wildcard_constraints:
    study="|".join([STUDY.name]),
    # Not the names themselves: Snakemake searches a constraint for each file of each job.
    variant="[^/]+",
    seed=r"\d+",


def get_final_output():
    """The files that a finished study has."""
    return [
        *(f"results/{STUDY.name}/{name}.md" for name in LANGUAGES),
        f"results/{STUDY.name}/grid.csv",
        *(f"results/{STUDY.name}/recommended/{name}" for name in RECOMMENDED),
        *get_confirmation(),
        # Each run by itself: Snakemake makes a missing file only for somebody who asks for it, and
        # a report that is there asks no more.
        *metrics_of(GRID),
        # What results decide waits for them.
        *[get_metrics] * STUDY.adaptive,
        *[get_confirmation_metrics] * bool(STUDY.options["confirm"]),
    ]


def get_metrics(wildcards=None):
    """The metrics of every run: those planned, or those that results have decided on.

    Called without wildcards it gives what can be an input: files, or this function itself.
    """
    if not STUDY.adaptive:
        return metrics_of(GRID)
    if wildcards is None:
        return get_metrics
    return metrics_of(
        load_grid(checkpoints.decide_grid.get(study=STUDY.name).output.json)
    )


def metrics_of(grid):
    """The metrics of each run of a grid."""
    return [
        f"results/{STUDY.name}/runs/{run.variant}/seed-{run.seed}/metrics.json"
        for run in grid.runs()
    ]


def get_grid(wildcards):
    """The grid that the analysis reads: as planned, or as results have decided."""
    folder = f"results/{STUDY.name}"
    return f"{folder}/decided/grid.json" if STUDY.adaptive else f"{folder}/grid.json"


def get_grid_of_run(wildcards):
    """The grid that holds the run's arm: the plan, or what results may add to it."""
    name = "grid" if wildcards.variant in PLANNED else "candidates"
    return f"results/{STUDY.name}/{name}.json"


def read_json(path):
    """The content of a small JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def seed_decisions(looks):
    """The decisions on seeds of the first looks, each waited for, up to the one that stops."""
    found = []
    for look in range(1, looks + 1):
        found.append(
            checkpoints.decide_seeds.get(study=STUDY.name, look=look).output[0]
        )
        if read_json(found[-1])["stop"]:
            break
    return found


def get_earlier_looks(wildcards):
    """The decisions before this look."""
    return seed_decisions(int(wildcards.look) - 1)


def get_look_metrics(wildcards):
    """The metrics of the runs that this look is at."""
    decisions = [read_json(path) for path in get_earlier_looks(wildcards)]
    return metrics_of(adaptive.seeds_grid(STUDY, decisions, TOLD))


def step_decisions(direction, steps):
    """The first steps of the greedy path in a direction, each waited for."""
    return [
        checkpoints.choose_step.get(
            study=STUDY.name, direction=direction, step=step
        ).output[0]
        for step in range(1, steps + 1)
    ]


def get_earlier_steps(wildcards):
    """The decisions before this step."""
    return step_decisions(wildcards.direction, int(wildcards.step) - 1)


def get_step_metrics(wildcards):
    """The metrics of the arms that this step chooses from, and of the one it starts at."""
    decisions = [read_json(path) for path in get_earlier_steps(wildcards)]
    base, found = adaptive.step_arms(STUDY, CANDIDATES, wildcards.direction, decisions)
    arms = [base, *found.values()]
    return metrics_of(adaptive.Grid(STUDY.name, arms, GRID.seeds))


def get_decisions(wildcards):
    """Every decision that the study's grid rests on."""
    if STUDY.options["sequential"]:
        return seed_decisions(len(STUDY.options["sequential"]["looks"]))
    directions = read_designs(STUDY.options)[GREEDY_PATH]["directions"]
    steps = adaptive.steps_of_path(STUDY)
    return [path for way in directions for path in step_decisions(way, steps)]


def get_confirmation():
    """What the confirmation leaves, where the study asks for one."""
    if not STUDY.options["confirm"]:
        return []
    return [f"results/{STUDY.name}/confirmation/verdict.json"]


def get_confirmation_metrics(wildcards):
    """The metrics of the runs that confirm what is recommended."""
    chosen = checkpoints.choose_confirmation.get(study=STUDY.name)
    return metrics_of(load_grid(chosen.output.grid))


def decision_rule():
    """What of study.yaml a decision follows, besides results."""
    names = ("metric", "sequential", "seeds", "confirm", "designs")
    return {name: STUDY.options[name] for name in names}


def get_study_files(wildcards):
    """What the user wrote: study.yaml, both configurations and the files that they include."""
    files = [str(STUDY.file), *STUDY.current.files, *STUDY.backup.files]
    return list(dict.fromkeys(files))


def get_data_file(wildcards):
    """The study's data, where it is a file that can be watched for changes."""
    path = STUDY.data_options()["path"]
    return [path] if path and Path(path).is_file() else []


def data_identity():
    """What changes the prepared rows, besides the data itself: their split and their text."""
    options = STUDY.data_options()
    return {
        key: options[key]
        for key in sorted(options)
        if key not in ("file", "lines", "rows")
    }


def get_wanted_caches():
    """Which states of frozen layers the arms want kept, and for which rows, as JSON."""
    return json.dumps(wanted_values(arm.settings for arm in GRID.arms))


def max_lengths():
    """Most tokens that each arm reads of a text: all that the model has places for, if uncut."""
    places = (STUDY.options["model"]["architecture"] or {}).get(
        "max_position_embeddings"
    )
    cuts = {cut_of(arm.settings) for arm in GRID.arms}
    return sorted(cut or places or 2**17 for cut in cuts)


def get_devices(wildcards):
    """The devices of one run: GPUs, or processes on a machine without."""
    return DEVICES[wildcards.variant]


def get_threads(wildcards):
    """One run's CPU threads: those of each device's process."""
    return DEVICES[wildcards.variant] * config["threads_per_device"]


def get_gpus(wildcards):
    """One run's GPUs; 0 on a machine without, where its processes run on the CPU."""
    return DEVICES[wildcards.variant] if ON_GPUS else 0


# Plain values where all runs are alike: Snakemake calls a function for each run, and that takes
# longer than all else that it does to plan one.
if len(set(DEVICES.values())) == 1:
    DEVICES_OF_RUN = max(DEVICES.values())
    THREADS_OF_RUN = DEVICES_OF_RUN * config["threads_per_device"]
    GPUS_OF_RUN = DEVICES_OF_RUN if ON_GPUS else 0
else:
    DEVICES_OF_RUN, THREADS_OF_RUN, GPUS_OF_RUN = get_devices, get_threads, get_gpus
# Of a command: a warm worker's socket is for one machine.
WARM = (
    " --warm results/{wildcards.study}/.warm"
    if config["warm_worker"] == "auto" and not CLUSTER
    else ""
)
GRID_OF_RUN = get_grid_of_run if CANDIDATES else f"results/{STUDY.name}/grid.json"


def require_data():
    """End with a message where the study has nothing to train on."""
    try:
        STUDY.require_data()
    except UserError as error:
        sys.exit(f"error: {error}")


def render_partial():
    """Render the report of the runs that are there, after one has failed."""
    command = [sys.executable, SCRIPTS / "render_partial.py", "--study", STUDY.file]
    command += ["--results", Path("results") / STUDY.name, "--devices", str(TOLD or 0)]
    subprocess.run(command, check=False)
