# Experiment trackers, where config.yaml names some: after all runs, and in nobody's way.


rule track_study:
    input:
        metrics="results/{study}/metrics.csv",
        effects="results/{study}/effects.json",
        confirmation=get_confirmation,
        reports=collect("results/{{study}}/{report}.md", report=LANGUAGES),
        page="results/{study}/report.html",
        recommended=rules.write_patch.output,
    output:
        "results/{study}/tracked/{tracker}.json",
    log:
        "results/{study}/logs/track_study/{tracker}.log",
    benchmark:
        "results/{study}/benchmarks/track_study/{tracker}.tsv"
    wildcard_constraints:
        tracker="|".join(TRACKERS),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        script=SCRIPTS / "track_study.py",
        seconds=300,
    message:
        "telling {wildcards.tracker} of the study"
    shell:
        "python {params.script:q}"
        " --results results/{wildcards.study}"
        " --tracker {wildcards.tracker}"
        " --seconds {params.seconds}"
        " 2> >(tee {log:q} >&2)"
