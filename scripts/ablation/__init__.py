"""The library of staged-ablation: which hyperparameter difference is responsible for the gap.

Each room rests on those before it:

    words       what people read, in each language
    documents   a configuration file as a tree whose values know their place
    settings    the canonical settings and what they amount to
    dialects    how each framework writes its settings, and what it fills in
    designs     which arms a design asks for
    comparison  what two configurations do, where they differ, what follows without training
    study       what a study asks, which runs answer it, what they will cost
    data        the prepared model and the prepared rows
    machine     one run seen from outside: GPUs, leases, launcher, warm worker
    frozen      states of frozen layers, computed once
    training    one run from inside: the only room, with frozen, that imports torch
    evidence    from metrics to evidence, verdicts and decisions
    report      from evidence to the report, its figures and the patch
    trackers    a finished study told to MLflow, TensorBoard, Weights & Biases
    workflow    what Snakemake runs for a study
    command     the console command `ablation`
"""
