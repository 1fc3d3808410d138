"""The library of staged-ablation: which hyperparameter difference is responsible for the gap.

Each package rests on those before it:

    configs     files as values with places, and the canonical settings
    dialects    how each framework writes its settings, and what it fills in
    facts       what two configurations do: effective values, differences, what follows from them
    findings    warnings and remarks that need no training
    planning    what a study asks and which runs answer it
    inputs      the prepared model and the prepared data
    runs        one run seen from outside
    training    one run from inside: the only package that imports torch
    analysis    from metrics to evidence, verdicts and decisions
    reporting   from evidence to the report, its figures and the patch
"""
