# The runs, and what their results decide to run next.


# One DeepSpeed job for each run. It resumes from its own checkpoints, and metrics.json comes last.
rule train_run:
    input:
        # Made from the model, which is no input of its own: each edge is one for every run.
        data="results/{study}/data/profile.json",
        # A run's arm is in its name: a new grid must not train it again.
        grid=ancient(PLAN.grid_of_run()),
        # A cache for more arms changes no number.
        prefix=ancient("results/{study}/prefix/prefix.json"),
    output:
        # Only what comes last: Snakemake deletes the output of a job that it starts again, and an
        # interrupted run goes on from the history and the checkpoint beside it.
        "results/{study}/runs/{variant}/seed-{seed}/metrics.json",
    log:
        "results/{study}/logs/train_run/{variant}/seed-{seed}.log",
    benchmark:
        "results/{study}/benchmarks/train_run/{variant}/seed-{seed}.tsv"
    priority: PLAN.priority()
    conda:
        "../../environment.yml"
    threads: PLAN.per_run(lambda devices: devices * config["threads_per_device"])
    resources:
        gpu=PLAN.per_run(lambda devices: devices * PLAN.on_gpus),
        mem_mb=2000,
        # Not a parameter: the same run on another machine is the same run.
        devices=PLAN.per_run(lambda devices: devices),
    params:
        script=SCRIPTS / "train_run.py",
    shell:
        # Snakemake fills in each field thrice for each run: what is the same for all is not one.
        "python {params.script:q}"
        f" --results {PLAN.results.folder}{WARM}"
        " --variant {wildcards.variant}"
        " --seed {wildcards.seed}"
        " --world-size {resources.devices}"
        " --threads {threads}"
        " > {log:q} 2>&1"


# Whether more seeds are needed, after each look of `sequential`.
checkpoint decide_seeds:
    input:
        get_look_metrics,
        previous=get_earlier_looks,
        study=ancient("results/{study}/resolved/study.json"),
    output:
        "results/{study}/decided/look-{look}.json",
    log:
        "results/{study}/logs/decide_seeds/look-{look}.log",
    benchmark:
        "results/{study}/benchmarks/decide_seeds/look-{look}.tsv"
    wildcard_constraints:
        look=r"\d+",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "decide_seeds.py",
        devices=PLAN.told or 0,
        rule=PLAN.decision_rule,
    message:
        "look {wildcards.look}: are more seeds needed?"
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --look {wildcards.look}"
        " --devices {params.devices}"
        " > {log:q} 2>&1"


# The next step of a greedy path.
checkpoint choose_step:
    input:
        get_step_metrics,
        previous=get_earlier_steps,
        study=ancient("results/{study}/resolved/study.json"),
    output:
        "results/{study}/decided/{direction}-{step}.json",
    log:
        "results/{study}/logs/choose_step/{direction}-{step}.log",
    benchmark:
        "results/{study}/benchmarks/choose_step/{direction}-{step}.tsv"
    wildcard_constraints:
        direction="forward|backward",
        step=r"\d+",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "choose_step.py",
        devices=PLAN.told or 0,
        rule=PLAN.decision_rule,
    message:
        "greedy path, {wildcards.direction}, step {wildcards.step}"
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --direction {wildcards.direction}"
        " --step {wildcards.step}"
        " --devices {params.devices}"
        " > {log:q} 2>&1"


# The grid of a study whose results decide what is run, once all of it is decided.
checkpoint decide_grid:
    input:
        study="results/{study}/resolved/study.json",
        decisions=get_decisions,
    output:
        json="results/{study}/decided/grid.json",
        csv="results/{study}/decided/grid.csv",
    log:
        "results/{study}/logs/decide_grid.log",
    benchmark:
        "results/{study}/benchmarks/decide_grid.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "decide_grid.py",
        devices=PLAN.told or 0,
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --devices {params.devices}"
        " > {log:q} 2>&1"


# What is recommended, on fresh seeds against current and backup.
checkpoint choose_confirmation:
    input:
        study=ancient("results/{study}/resolved/study.json"),
        grid=PLAN.grid_file(),
        effects="results/{study}/effects.json",
    output:
        decision="results/{study}/confirmation/decision.json",
        grid="results/{study}/confirmation/grid.json",
    log:
        "results/{study}/logs/choose_confirmation.log",
    benchmark:
        "results/{study}/benchmarks/choose_confirmation.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "choose_confirmation.py",
        devices=PLAN.told or 0,
        rule=PLAN.decision_rule,
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --devices {params.devices}"
        " > {log:q} 2>&1"


rule collect_confirmation:
    input:
        get_confirmation_metrics,
        grid="results/{study}/confirmation/grid.json",
    output:
        "results/{study}/confirmation/metrics.csv",
    log:
        "results/{study}/logs/collect_confirmation.log",
    benchmark:
        "results/{study}/benchmarks/collect_confirmation.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "collect_metrics.py",
        code=LIBRARY["machine"],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --confirmation"
        " > {log:q} 2>&1"


rule estimate_confirmation:
    input:
        study=ancient("results/{study}/resolved/study.json"),
        grid="results/{study}/confirmation/grid.json",
        metrics="results/{study}/confirmation/metrics.csv",
    output:
        "results/{study}/confirmation/verdict.json",
    log:
        "results/{study}/logs/estimate_confirmation.log",
    benchmark:
        "results/{study}/benchmarks/estimate_confirmation.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "estimate_confirmation.py",
        code=LIBRARY["evidence"],
        metric=STUDY.options["metric"],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " > {log:q} 2>&1"
