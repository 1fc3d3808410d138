"""The failure of a run that needs no traceback: its message says all."""

from __future__ import annotations


class RunError(Exception):
    """A run cannot give a result that could be trusted."""
