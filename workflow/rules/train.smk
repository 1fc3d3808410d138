# One DeepSpeed job for each run. It resumes from its own checkpoints, and metrics.json comes last.


rule train_run:
    input:
        model="results/{study}/model/model.json",
        data="results/{study}/data/profile.json",
        # A run's arm is in its name: a new grid must not train it again.
        grid=ancient("results/{study}/grid.json"),
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
    conda:
        "../../environment.yml"
    threads: train_threads
    resources:
        gpu=train_gpus,
        mem_mb=2000,
        # Not a parameter: the same run on another machine is the same run.
        devices=train_devices,
        warm_worker=config["warm_worker"],
    params:
        script=SCRIPTS / "train_run.py",
    message:
        "training {wildcards.variant} with seed {wildcards.seed} on {resources.devices} device(s)"
    shell:
        "python {params.script:q}"
        " --grid {input.grid:q}"
        " --variant {wildcards.variant}"
        " --seed {wildcards.seed}"
        " --model {input.model:q}"
        " --data $(dirname {input.data:q})"
        " --prefix {input.prefix:q}"
        " $([ {resources.warm_worker} = auto ] && echo --warm results/{wildcards.study}/.warm)"
        " --world-size {resources.devices}"
        " --threads {threads}"
        " --output $(dirname {output:q})"
        " > {log:q} 2>&1"
