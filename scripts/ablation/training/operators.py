"""Compile DeepSpeed's operators before the first run, which would wait a minute for them.

`python -m ablation.training.operators` in the environment of a job; see `launcher.make_operators`.
"""

from __future__ import annotations

# What every run on the CPU loads, and what the optimizer is where it is offloaded.
OPERATORS = ("ShareMemCommBuilder", "CPUAdamBuilder")


def compile_operators() -> None:
    """Compile what is not compiled yet; errors are those of the compiler and of its build."""
    from deepspeed.accelerator import get_accelerator

    for name in OPERATORS:
        builder = get_accelerator().create_op_builder(name)
        if builder is not None and builder.is_compatible(verbose=False):
            builder.jit_load(verbose=False)


if __name__ == "__main__":
    compile_operators()
