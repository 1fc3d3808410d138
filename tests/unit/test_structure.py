"""The shape of the library: short functions, few positional arguments, no import cycle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ablation.project import PACKAGE

OF_ANYTHING = re.compile(r"(dict|Mapping)\[str, Any\]")
# What is a document by nature has one name: whoever takes it says so.
DOCUMENTS = {
    "ablation.records Schema",  # a JSON Schema
    "ablation.settings.architecture Facts",  # of a model: its config.json
    "ablation.settings.catalogue Settings",  # of an arm: `SETTINGS` has the type of each
    "ablation.designs.design Options",  # of a design: its own schema checks them
}
LONGEST, USUAL, MOST_POSITIONAL, LONGEST_SNAKEFILE = 50, 30, 6, 45


@lru_cache
def modules(root: Path) -> list[tuple[Path, ast.Module]]:
    """Each module of the library and each program, by its path below scripts/."""
    scripts = root / "scripts"
    return [
        (file.relative_to(scripts), ast.parse(file.read_text(encoding="utf-8")))
        for file in sorted([*scripts.glob("*.py"), *scripts.glob("ablation/**/*.py")])
    ]


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


def test_the_snakefile_is_seen_at_a_glance(root):
    assert len((root / "workflow/Snakefile").read_text().splitlines()) <= LONGEST_SNAKEFILE


def imports(tree: ast.Module, names: set[str]) -> set[str]:
    """The modules of the library that a module imports, deferred imports included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"a relative import, which is not followed: {ast.unparse(node)}")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ablation"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in names else str(node.module))
    return found & names


def named_modules(root: Path) -> dict[str, ast.Module]:
    """Each module of the library by its dotted name."""
    return {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): tree
        for path, tree in modules(root)
        if path.parts[0] == "ablation"
    }


def test_no_module_is_imported_by_what_it_imports(root):
    trees = named_modules(root)
    graph = {name: imports(tree, set(trees)) - {name} for name, tree in trees.items()}
    free: set[str] = set()
    while ready := {name for name, needs in graph.items() if name not in free and needs <= free}:
        free |= ready
    assert set(graph) - free == set()


def test_each_room_rests_on_those_before_it(root):
    library, trees = root / "scripts/ablation", named_modules(root)
    layers = re.findall(r"^    (\w+) ", (library / "__init__.py").read_text(), re.MULTILINE)
    assert {path.parent.name for path in library.glob("*/__init__.py")} == set(layers)
    told = re.findall(r"^\| `(\w+)` \|", (root / "docs/architecture.md").read_text(), re.MULTILINE)
    assert told == layers
    order = {name: number for number, name in enumerate(["", *layers])}
    upward = {
        (name, needed)
        for name, tree in trees.items()
        for needed in imports(tree, set(trees))
        if order[room(needed)] > order[room(name)]
    }
    assert upward == set()


def in_other_rooms(trees: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """What modules take from modules of other rooms: the module that has it, and its name."""
    found = set()
    for name, tree in trees.items():
        whole = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ablation"):
                for alias in node.names:
                    if f"{node.module}.{alias.name}" in trees:
                        whole[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                    else:
                        found.add((name, str(node.module), alias.name))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.add((name, whole.get(node.value.id, ""), node.attr))
    return {(module, what) for name, module, what in found if room(name) != room(module)}


def room(module: str) -> str:
    """The room of a module by its dotted name; those at the top have none."""
    parts = module.split(".")
    inside = len(parts) > 2 or (PACKAGE / module.removeprefix("ablation.")).is_dir()
    return parts[1] if inside and len(parts) > 1 else ""


def annotations(node: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """What a function or a class says of the types that pass through it, by name."""
    if isinstance(node, ast.FunctionDef):
        given = node.args
        for one in (*given.posonlyargs, *given.args, *given.kwonlyargs):
            yield f"{node.name}({one.arg})", one.annotation
        yield node.name, node.returns
    elif isinstance(node, ast.ClassDef):
        for one in node.body:
            if isinstance(one, ast.AnnAssign):
                yield f"{node.name}.{ast.unparse(one.target)}", one.annotation
            elif isinstance(one, ast.FunctionDef) and one.name.strip("_") in (one.name, "init"):
                yield from ((f"{node.name}.{name}", type_) for name, type_ in annotations(one))


def test_nothing_passes_between_rooms_as_a_dict_of_anything(root):
    trees = named_modules(root)
    programs = {f"ablation.programs.{file.stem}": file for file in (root / "scripts").glob("*.py")}
    readers = trees | {name: ast.parse(file.read_text()) for name, file in programs.items()}
    found = {
        f"{module} {name}"
        for module, what in in_other_rooms(readers)
        for node in trees.get(module, ast.Module([], [])).body
        if getattr(node, "name", None) == what
        for name, annotation in annotations(node)
        if annotation is not None and OF_ANYTHING.search(ast.unparse(annotation))
    }
    assert found == set()


def test_only_documents_have_a_name_for_a_dict_of_anything(root):
    found = {
        f"{module} {ast.unparse(node.targets[0])}"
        for module, tree in named_modules(root).items()
        for node in tree.body
        if isinstance(node, ast.Assign) and OF_ANYTHING.search(ast.unparse(node.value))
    }
    assert found == DOCUMENTS
