# staged-ablation: which hyperparameter difference is responsible for how much of the gap.
#
#   snakemake --cores all                              the study of config/config.yaml
#   snakemake -n --config study=account_tax            the plan of another one
#   snakemake --cores all --workflow-profile profiles/slurm

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


# Everything in it has a default, so that another --directory needs none.
if Path("config/config.yaml").exists():

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/resolve.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/report.smk"


# Seconds each: a cluster's queue would only make them wait.
localrules:
    resolve_study,
    expand_grid,
    list_candidates,
    explain,
    decide_seeds,
    choose_step,
    decide_grid,
    choose_confirmation,
    collect_metrics,
    collect_confirmation,
    estimate_effects,
    estimate_confirmation,
    draw_figures,
    check_health,
    render_report,
    write_patch,


rule all:
    default_target: True
    input:
        get_final_output(),


onstart:
    require_data()


onerror:
    # A failed run never blocks the report: it is rendered from the runs that are there.
    render_partial()
