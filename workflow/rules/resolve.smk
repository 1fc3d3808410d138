# From two configurations to arms and runs: seconds, no model, no data.
# What takes seconds is a localrule: a cluster's queue would only make it wait.


rule resolve_study:
    input:
        PLAN.study_files,
    output:
        study="results/{study}/resolved/study.json",
        current="results/{study}/resolved/current.json",
        backup="results/{study}/resolved/backup.json",
        differences="results/{study}/resolved/differences.json",
    log:
        "results/{study}/logs/resolve_study.log",
    benchmark:
        "results/{study}/benchmarks/resolve_study.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "resolve_study.py",
        code=LIBRARY["study"],
        study=STUDY.file,
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --results results/{wildcards.study}"
        " > {log:q} 2>&1"


rule expand_grid:
    input:
        study="results/{study}/resolved/study.json",
    output:
        json="results/{study}/grid.json",
        csv="results/{study}/grid.csv",
    log:
        "results/{study}/logs/expand_grid.log",
    benchmark:
        "results/{study}/benchmarks/expand_grid.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "expand_grid.py",
        code=LIBRARY["study"],
        devices=PLAN.told or 0,
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --devices {params.devices}"
        " > {log:q} 2>&1"


# Every arm that results may add, for the studies that let them.
rule list_candidates:
    input:
        study="results/{study}/resolved/study.json",
    output:
        "results/{study}/candidates.json",
    log:
        "results/{study}/logs/list_candidates.log",
    benchmark:
        "results/{study}/benchmarks/list_candidates.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "list_candidates.py",
        code=LIBRARY["study"],
        devices=PLAN.told or 0,
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --devices {params.devices}"
        " > {log:q} 2>&1"


rule explain:
    input:
        PLAN.study_files,
        profile="results/{study}/data/profile.json",
    output:
        "results/{study}/resolved/findings.json",
    log:
        "results/{study}/logs/explain.log",
    benchmark:
        "results/{study}/benchmarks/explain.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "explain.py",
        code=LIBRARY["study"],
        study=STUDY.file,
    shell:
        "python {params.script:q}"
        " {params.study:q}"
        " --profile {input.profile:q}"
        " --json"
        " --output {output:q}"
        " > {log:q} 2>&1"
