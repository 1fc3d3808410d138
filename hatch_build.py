"""Puts the workflow into the wheel, inside the package: `ablation run` then needs no checkout."""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = (
    "Snakefile",
    "environment.yml",
    "scripts/*.py",
    "workflow/**/*",
    "profiles/**/*",
    "config/**/*",
)


class CarryWorkflow(BuildHookInterface):
    """Adds the project's files below ablation/_project/, where ablation/project.py looks."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Name the files for a wheel; an editable one finds them in the checkout."""
        if version == "editable":
            return
        root = Path(self.root)
        for pattern in FILES:
            for path in root.glob(pattern):
                if path.is_file() and "__pycache__" not in path.parts:
                    name = path.relative_to(root).as_posix()
                    build_data["force_include"][str(path)] = f"ablation/_project/{name}"
