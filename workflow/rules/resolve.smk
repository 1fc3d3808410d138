# From two configurations to arms and runs: seconds, no model, no data.


rule resolve_study:
    input:
        get_study_files,
    output:
        current="results/{study}/resolved/current.json",
        backup="results/{study}/resolved/backup.json",
        differences="results/{study}/resolved/differences.json",
    log:
        "results/{study}/logs/resolve_study.log",
    benchmark:
        "results/{study}/benchmarks/resolve_study.tsv"
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "resolve_study.py",
        code=LIBRARY["study"],
        study=STUDY.file,
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --current {output.current:q}"
        " --backup {output.backup:q}"
        " --differences {output.differences:q}"
        " > {log:q} 2>&1"


rule expand_grid:
    input:
        get_study_files,
    output:
        json="results/{study}/grid.json",
        csv="results/{study}/grid.csv",
    log:
        "results/{study}/logs/expand_grid.log",
    benchmark:
        "results/{study}/benchmarks/expand_grid.tsv"
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "expand_grid.py",
        code=LIBRARY["study"],
        study=STUDY.file,
        devices=TOLD or 0,
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --devices {params.devices}"
        " --json {output.json:q}"
        " --csv {output.csv:q}"
        " > {log:q} 2>&1"


# Every arm that results may add, for the studies that let them.
rule list_candidates:
    input:
        get_study_files,
    output:
        "results/{study}/candidates.json",
    log:
        "results/{study}/logs/list_candidates.log",
    benchmark:
        "results/{study}/benchmarks/list_candidates.tsv"
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "list_candidates.py",
        code=LIBRARY["study"],
        study=STUDY.file,
        devices=TOLD or 0,
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --devices {params.devices}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule explain:
    input:
        get_study_files,
        profile="results/{study}/data/profile.json",
    output:
        "results/{study}/resolved/findings.json",
    log:
        "results/{study}/logs/explain.log",
    benchmark:
        "results/{study}/benchmarks/explain.tsv"
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
