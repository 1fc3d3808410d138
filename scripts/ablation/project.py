"""Where the project's own files are: those of the checkout, or those that the wheel carries."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_CARRIED = PACKAGE / "_project"
PROJECT = _CARRIED if _CARRIED.is_dir() else PACKAGE.parents[1]
SNAKEFILE = PROJECT / "Snakefile"
SCHEMAS = PROJECT / "workflow" / "schemas"
REPORT = PROJECT / "workflow" / "report"
LOCK = PROJECT / "requirements.lock"  # a wheel has none
STUDIES = PROJECT / "config" / "studies"
