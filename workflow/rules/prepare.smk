# The pretrained model and the rows, once for all arms.


rule prepare_model:
    output:
        "results/{study}/model/model.json",
    log:
        "results/{study}/logs/prepare_model.log",
    benchmark:
        "results/{study}/benchmarks/prepare_model.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=4000,
    params:
        script=SCRIPTS / "prepare_model.py",
        # Inputs and parameters of what runs are trained on stay as they are: Snakemake would train
        # every finished run again.
        study=STUDY.file,
        model=STUDY.options["model"],
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --results results/{wildcards.study}"
        " 2> >(tee {log:q} >&2)"


rule prepare_data:
    input:
        PLAN.data_file,
        model="results/{study}/model/model.json",
    output:
        train=directory("results/{study}/data/train"),
        validation=directory("results/{study}/data/validation"),
        test=directory("results/{study}/data/test"),
        labels="results/{study}/data/labels.json",
        profile="results/{study}/data/profile.json",
    log:
        "results/{study}/logs/prepare_data.log",
    benchmark:
        "results/{study}/benchmarks/prepare_data.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=2000,
    params:
        script=SCRIPTS / "prepare_data.py",
        study=STUDY.file,
        data=PLAN.data_identity,
        max_lengths=PLAN.max_lengths,
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --max-lengths {params.max_lengths}"
        " --results results/{wildcards.study}"
        " 2> >(tee {log:q} >&2)"


rule cache_prefix:
    input:
        # Not the grid: what of the arms matters here is a parameter. A new text in study.yaml
        # computes nothing, and Snakemake looks at the parameter whatever becomes of the grid.
        model="results/{study}/model/model.json",
        data="results/{study}/data/profile.json",
    output:
        "results/{study}/prefix/prefix.json",
    log:
        "results/{study}/logs/cache_prefix.log",
    benchmark:
        "results/{study}/benchmarks/cache_prefix.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=int(PLAN.on_gpus),
        mem_mb=4000,
    params:
        script=SCRIPTS / "cache_prefix.py",
        budget_gb=config["prefix_cache_gb"],
        wanted=PLAN.wanted_caches,
    shell:
        "python {params.script:q}"
        " --wanted {params.wanted:q}"
        " --budget-gb {params.budget_gb}"
        " --threads {threads}"
        f"{WARM}"
        " --results results/{wildcards.study}"
        " > {log:q} 2>&1"
