# The workflow is in workflow/; this file is what `snakemake` finds here, with profiles/ beside it.


include: "workflow/Snakefile"


# An included file's default target does not count.
workflow.default_target = "all"
