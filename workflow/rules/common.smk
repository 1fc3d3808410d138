# The plan of the study, and the functions through which rules ask it for their files.

from ablation.results import report_name
from ablation.trackers import TRACKERS
from ablation.words import catalogue as words
from ablation.workflow.interrupt import stop_at_any_moment, tell_of_interrupts
from ablation.workflow.library import code_hashes
from ablation.workflow.plan import Caller, make_plan

PLAN = checked(
    make_plan,
    config,
    BASE / "config/studies",
    Caller(
        cores=workflow.resource_settings.cores,
        remote=workflow.remote_exec,
        dry=workflow.dryrun,
        options=OPTIONS,
    ),
)
STUDY = PLAN.study
LIBRARY = code_hashes()
LANGUAGES = {report_name(language): language for language in words.LANGUAGES}
# Of a command: a warm worker's socket is for one machine.
WARM = f" --warm {PLAN.results.folder}/.warm" * (
    config["warm_worker"] == "auto" and not PLAN.cluster
)

# Snakemake counts the GPUs, and each run takes a lease of its own (ablation.machine.leases).
if PLAN.gpus and not PLAN.cluster and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", PLAN.gpus)


wildcard_constraints:
    study="|".join([STUDY.name]),
    # Not the names themselves: Snakemake searches a constraint for each file of each job.
    variant="[^/]+",
    seed=r"\d+",


def show_plan():
    """Say what will be run, once for all processes of a call."""
    if workflow.is_main_process:
        print(checked(PLAN.describe, words.asked_language()), file=sys.stderr)
        if not workflow.dryrun:
            tell_of_interrupts(words.asked_language())
            stop_at_any_moment(sys.modules["snakemake.workflow"].JobScheduler)


def get_final_output():
    """The files that a finished study has; what results decide waits for them."""
    return [
        *PLAN.final_files(),
        *[get_decided_metrics] * STUDY.adaptive,
        *[get_confirmation_metrics] * bool(STUDY.fresh_seeds),
    ]


def get_metrics():
    """The metrics of every run: those planned, or those that results have decided on."""
    return get_decided_metrics if STUDY.adaptive else PLAN.metrics()


def get_decided_metrics(wildcards):
    return PLAN.metrics_of(checkpoints.decide_grid.get(study=STUDY.name).output.json)


def get_confirmation_metrics(wildcards):
    chosen = checkpoints.choose_confirmation.get(study=STUDY.name)
    return PLAN.metrics_of(chosen.output.grid)


def wait_for_look(**which):
    return checkpoints.decide_seeds.get(study=STUDY.name, **which).output[0]


def wait_for_step(**which):
    return checkpoints.choose_step.get(study=STUDY.name, **which).output[0]


def get_earlier_looks(wildcards):
    return PLAN.looks(int(wildcards.look) - 1, wait_for_look)


def get_look_metrics(wildcards):
    return PLAN.look_metrics(get_earlier_looks(wildcards))


def get_earlier_steps(wildcards):
    return PLAN.steps(wildcards.direction, int(wildcards.step) - 1, wait_for_step)


def get_step_metrics(wildcards):
    return PLAN.step_metrics(wildcards.direction, get_earlier_steps(wildcards))


def get_decisions(wildcards):
    return PLAN.decisions(wait_for_look, wait_for_step)


def get_confirmation(wildcards):
    return [str(PLAN.results.verdict)] * bool(STUDY.fresh_seeds)
