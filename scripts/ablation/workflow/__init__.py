"""What Snakemake runs for a study: its files, and what each run asks of the machine."""
