# From finished runs to the report: seconds, no training.


rule collect_metrics:
    input:
        get_metrics(),
        grid=get_grid,
        # Not read. All that is behind ancient() of a file to be made again is forgotten, missing or
        # not (github.com/snakemake/snakemake/issues/4166), but for what another edge asks for.
        prefix="results/{study}/prefix/prefix.json",
    output:
        "results/{study}/metrics.csv",
    log:
        "results/{study}/logs/collect_metrics.log",
    benchmark:
        "results/{study}/benchmarks/collect_metrics.tsv"
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "collect_metrics.py",
        code=LIBRARY["machine"],
        runs="results/{study}/runs",
    shell:
        "python {params.script:q}"
        " --grid {input.grid:q}"
        " --runs {params.runs:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule estimate_effects:
    input:
        get_study_files,
        grid=get_grid,
        metrics="results/{study}/metrics.csv",
    output:
        "results/{study}/effects.json",
    log:
        "results/{study}/logs/estimate_effects.log",
    benchmark:
        "results/{study}/benchmarks/estimate_effects.tsv"
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "estimate_effects.py",
        code=LIBRARY["evidence"],
        study=STUDY.file,
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --grid {input.grid:q}"
        " --metrics {input.metrics:q}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule draw_figures:
    input:
        grid=get_grid,
        metrics="results/{study}/metrics.csv",
        effects="results/{study}/effects.json",
        profile="results/{study}/data/profile.json",
    output:
        expand("results/{{study}}/figures/{figure}.svg", figure=FIGURES),
    log:
        "results/{study}/logs/draw_figures.log",
    benchmark:
        "results/{study}/benchmarks/draw_figures.tsv"
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "draw_figures.py",
        code=LIBRARY["report"],
        runs="results/{study}/runs",
        folder=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python {params.script:q}"
        " --grid {input.grid:q}"
        " --metrics {input.metrics:q}"
        " --effects {input.effects:q}"
        " --runs {params.runs:q}"
        " --profile {input.profile:q}"
        " --output-dir {params.folder:q}"
        " > {log:q} 2>&1"


rule check_health:
    input:
        grid=get_grid,
        metrics="results/{study}/metrics.csv",
        profile="results/{study}/data/profile.json",
    output:
        "results/{study}/health.json",
    log:
        "results/{study}/logs/check_health.log",
    benchmark:
        "results/{study}/benchmarks/check_health.tsv"
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "check_health.py",
        code=LIBRARY["evidence"],
        runs="results/{study}/runs",
    shell:
        "python {params.script:q}"
        " --grid {input.grid:q}"
        " --runs {params.runs:q}"
        " --profile {input.profile:q}"
        " --output {output:q}"
        " 2> >(tee {log:q} >&2)"


rule render_report:
    input:
        get_study_files,
        figures=rules.draw_figures.output,
        findings="results/{study}/resolved/findings.json",
        health="results/{study}/health.json",
        confirmation=get_confirmation(),
        resolved=rules.resolve_study.output.differences,
        grid=get_grid,
        metrics="results/{study}/metrics.csv",
        effects="results/{study}/effects.json",
        profile="results/{study}/data/profile.json",
        template=BASE / "workflow/report/report.md.j2",
    output:
        report(
            "results/{study}/{report}.md",
            caption="../report/report.rst",
            category="Report",
        ),
    log:
        "results/{study}/logs/render_{report}.log",
    benchmark:
        "results/{study}/benchmarks/render_{report}.tsv"
    wildcard_constraints:
        report="|".join(LANGUAGES),
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "render_report.py",
        code=LIBRARY["report"],
        study=STUDY.file,
        figures=lambda wildcards, input: Path(input.figures[0]).parent,
        confirmation=lambda wildcards, input: [
            word for path in input.confirmation for word in ("--confirmation", path)
        ],
        language=lambda wildcards: LANGUAGES[wildcards.report],
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --resolved $(dirname {input.resolved:q})"
        " --grid {input.grid:q}"
        " --metrics {input.metrics:q}"
        " --effects {input.effects:q}"
        " --profile {input.profile:q}"
        " --health {input.health:q}"
        " --figures {params.figures:q}"
        " {params.confirmation:q}"
        " --language {params.language}"
        " --output {output:q}"
        " > {log:q} 2>&1"


rule write_patch:
    input:
        get_study_files,
        confirmation=get_confirmation(),
        effects="results/{study}/effects.json",
    output:
        config=f"results/{{study}}/recommended/{RECOMMENDED[0]}",
        patch=f"results/{{study}}/recommended/{RECOMMENDED[1]}",
    log:
        "results/{study}/logs/write_patch.log",
    benchmark:
        "results/{study}/benchmarks/write_patch.tsv"
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "write_patch.py",
        code=LIBRARY["report"],
        study=STUDY.file,
        confirmation=lambda wildcards, input: [
            word for path in input.confirmation for word in ("--confirmation", path)
        ],
    shell:
        "python {params.script:q}"
        " --study {params.study:q}"
        " --effects {input.effects:q}"
        " {params.confirmation:q}"
        " --output-config {output.config:q}"
        " --output-patch {output.patch:q}"
        " > {log:q} 2>&1"
