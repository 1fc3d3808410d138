"""The shape of the library: short functions, few positional arguments, no import cycle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

LONGEST, USUAL, MOST_POSITIONAL = 50, 30, 6


def modules(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Each module of the library, by its path below it."""
    library = root / "scripts/ablation"
    for file in sorted(library.rglob("*.py")):
        yield file.relative_to(library), ast.parse(file.read_text(encoding="utf-8"))


def lengths(root: Path) -> dict[str, int]:
    """Lines of every function."""
    return {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in modules(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_no_function_is_long_and_nearly_all_fit_on_a_screen(root):
    found = lengths(root)
    assert {name: lines for name, lines in found.items() if lines > LONGEST} == {}
    assert sum(lines < USUAL for lines in found.values()) / len(found) >= 0.95


def test_no_call_has_more_positional_arguments_than_a_reader_can_tell_apart(root):
    found = [
        f"{path}:{node.lineno}"
        for path, tree in modules(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and len(node.args) > MOST_POSITIONAL
        and not all(isinstance(arg, ast.Constant) for arg in node.args)  # a list of names
    ]
    assert found == []


def imports(tree: ast.Module, names: set[str]) -> set[str]:
    """The modules of the library that a module imports, deferred imports included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ablation"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in names else str(node.module))
    return found & names


def test_no_module_is_imported_by_what_it_imports(root):
    trees = {
        ".".join(("ablation", *path.with_suffix("").parts)).removesuffix(".__init__"): tree
        for path, tree in modules(root)
    }
    graph = {name: imports(tree, set(trees)) - {name} for name, tree in trees.items()}
    free: set[str] = set()
    while ready := {name for name, needs in graph.items() if name not in free and needs <= free}:
        free |= ready
    assert set(graph) - free == set()
