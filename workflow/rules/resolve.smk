# From two configurations to arms and runs: seconds, no model, no data.


rule resolve_study:
    input:
        get_study_files,
        code=get_library,
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
        code=get_library,
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
        study=STUDY.file,
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --json {output.json:q}"
        " --csv {output.csv:q}"
        " > {log:q} 2>&1"
