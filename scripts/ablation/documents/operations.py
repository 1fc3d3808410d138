"""What may be done to a configuration: a change is a list of these, shown and applied alike."""

from __future__ import annotations

from dataclasses import dataclass

from ablation.documents.edit import Document


@dataclass(frozen=True, kw_only=True)
class Set:
    """Write a value at a dotted path, the key and its blocks with it where they are missing.

    Attributes:
        path: The dotted path.
        value: A scalar, a list, or a dict where no mapping stands yet.
        same: The paths that may change along with it, where an anchor shares the value.
    """

    path: str
    value: object
    same: frozenset[str] = frozenset()

    def apply(self, document: Document) -> None:
        """Change a document."""
        document.set(self.path, self.value, self.same)


@dataclass(frozen=True, kw_only=True)
class Remove:
    """Take a key out, and the blocks that it leaves empty."""

    path: str

    def apply(self, document: Document) -> None:
        """Change a document."""
        document.remove(self.path)


@dataclass(frozen=True, kw_only=True)
class Rename:
    """Give the key at a dotted path another name."""

    path: str
    key: str

    def apply(self, document: Document) -> None:
        """Change a document."""
        document.rename(self.path, self.key)


Operation = Set | Remove | Rename
