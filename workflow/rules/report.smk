# From finished runs to the report: seconds, no training.


rule collect_metrics:
    input:
        get_metrics(),
        study="results/{study}/resolved/study.json",
        grid=PLAN.grid_file(),
        # Not read. All that is behind ancient() of a file to be made again is forgotten, missing or
        # not (github.com/snakemake/snakemake/issues/4166), but for what another edge asks for.
        prefix="results/{study}/prefix/prefix.json",
    output:
        report(
            "results/{study}/metrics.csv",
            caption="../report/metrics.rst",
            category="Measurements",
            labels={"table": "all runs"},
        ),
    log:
        "results/{study}/logs/collect_metrics.log",
    benchmark:
        "results/{study}/benchmarks/collect_metrics.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "collect_metrics.py",
        code=LIBRARY["machine"],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " > {log:q} 2>&1"


rule estimate_effects:
    input:
        study="results/{study}/resolved/study.json",
        grid=PLAN.grid_file(),
        metrics="results/{study}/metrics.csv",
    output:
        "results/{study}/effects.json",
    log:
        "results/{study}/logs/estimate_effects.log",
    benchmark:
        "results/{study}/benchmarks/estimate_effects.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "estimate_effects.py",
        code=LIBRARY["evidence"],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " > {log:q} 2>&1"


rule draw_figures:
    input:
        study="results/{study}/resolved/study.json",
        grid=PLAN.grid_file(),
        metrics="results/{study}/metrics.csv",
        effects="results/{study}/effects.json",
        profile="results/{study}/data/profile.json",
    output:
        [
            report(
                f"results/{{study}}/figures/{file}",
                # Made with the figure: where it is not whole, a path begins at this file.
                caption=str((PLAN.results.figures / caption).absolute()),
                category="Figures",
                labels={"figure": name.replace("_", " "), "language": language},
            )
            for (name, language, file), caption in zip(PLAN.figures, PLAN.captions)
        ],
        captions=[f"results/{{study}}/figures/{file}" for file in PLAN.captions],
    log:
        "results/{study}/logs/draw_figures.log",
    benchmark:
        "results/{study}/benchmarks/draw_figures.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "draw_figures.py",
        code=LIBRARY["report"],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " > {log:q} 2>&1"


rule check_health:
    input:
        study="results/{study}/resolved/study.json",
        grid=PLAN.grid_file(),
        metrics="results/{study}/metrics.csv",
        profile="results/{study}/data/profile.json",
    output:
        "results/{study}/health.json",
    log:
        "results/{study}/logs/check_health.log",
    benchmark:
        "results/{study}/benchmarks/check_health.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "check_health.py",
        code=LIBRARY["evidence"],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " 2> >(tee {log:q} >&2)"


rule render_report:
    input:
        study="results/{study}/resolved/study.json",
        confirmation=get_confirmation,
        figures=rules.draw_figures.output,
        findings="results/{study}/resolved/findings.json",
        health="results/{study}/health.json",
        grid=PLAN.grid_file(),
        metrics="results/{study}/metrics.csv",
        effects="results/{study}/effects.json",
        profile="results/{study}/data/profile.json",
        template=BASE / "workflow/report/report.md.j2",
    output:
        report(
            "results/{study}/{report}.md",
            caption="../report/report.rst",
            category="Report",
            labels={"report": "{report}"},
        ),
    log:
        "results/{study}/logs/render_{report}.log",
    benchmark:
        "results/{study}/benchmarks/render_{report}.tsv"
    wildcard_constraints:
        report="|".join(LANGUAGES),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "render_report.py",
        code=LIBRARY["report"],
        language=lambda wildcards: LANGUAGES[wildcards.report],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --language {params.language}"
        " > {log:q} 2>&1"


rule render_page:
    input:
        study="results/{study}/resolved/study.json",
        confirmation=get_confirmation,
        figures=rules.draw_figures.output,
        findings="results/{study}/resolved/findings.json",
        health="results/{study}/health.json",
        grid=PLAN.grid_file(),
        metrics="results/{study}/metrics.csv",
        effects="results/{study}/effects.json",
        profile="results/{study}/data/profile.json",
        templates=[
            BASE / f"workflow/report/report.{kind}"
            for kind in ("md.j2", "html.j2", "css", "js")
        ],
    output:
        report(
            "results/{study}/report.html",
            caption="../report/page.rst",
            category="Report",
            labels={"report": "one page, all languages"},
        ),
    log:
        "results/{study}/logs/render_page.log",
    benchmark:
        "results/{study}/benchmarks/render_page.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "render_page.py",
        code=LIBRARY["report"],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " > {log:q} 2>&1"


rule write_patch:
    input:
        study="results/{study}/resolved/study.json",
        confirmation=get_confirmation,
        effects="results/{study}/effects.json",
    output:
        *[f"results/{{study}}/recommended/{name}" for name in PLAN.recommended],
    log:
        "results/{study}/logs/write_patch.log",
    benchmark:
        "results/{study}/benchmarks/write_patch.tsv"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "write_patch.py",
        code=LIBRARY["report"],
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " > {log:q} 2>&1"
