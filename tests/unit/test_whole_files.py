"""Files of results are whole or not there: nothing is written in place."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What is no result, is added to line by line, or counts only once a file that comes last names it.
OTHERWISE = {
    "scripts/document_demo.py": "the README's picture",
    "scripts/ablation/files.py": "the way itself",
    "scripts/ablation/command/follow.py": "Snakemake's log",
    "scripts/ablation/data/model.py": "a wheel that is fetched, before model.json",
    "scripts/ablation/data/outcomes.py": "under another name first",
    "scripts/ablation/machine/pulse.py": "shared memory",
    "scripts/ablation/machine/warm.py": "a lock, and the worker's log",
    "scripts/ablation/training/job.py": "under another name first, but for what precedes the mark",
    "scripts/ablation/training/trainer.py": "history by lines; a checkpoint's mark comes last",
    "scripts/ablation/report/figures/fonts.py": "fonts in a temporary folder",
    "scripts/ablation/frozen/cache.py": "in a folder that is renamed when it is whole",
}
WRITERS = {"write_text", "write_bytes", "to_csv", "savefig", "copyfile", "save"}


def writes_in_place(tree: ast.AST) -> bool:
    """Whether a module opens a file to write, or calls what does."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
        if node.func.attr == "open" and any(m in ("w", "wb", "a", "ab", "r+b") for m in modes):
            return True
        into_file = node.args and not isinstance(node.args[0], ast.Name)
        if node.func.attr in WRITERS and (node.func.attr != "savefig" or into_file):
            return True
    return False


def test_every_module_that_writes_in_place_has_a_reason():
    found = set()
    for path in (ROOT / "scripts").rglob("*.py"):
        if writes_in_place(ast.parse(path.read_text(encoding="utf-8"))):
            found.add(path.relative_to(ROOT).as_posix())
    assert found - {"scripts/ablation/evidence/metrics.py"} == set(OTHERWISE)  # to_csv of a text
