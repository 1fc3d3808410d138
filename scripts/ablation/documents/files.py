"""A configuration and the files that it includes, as one tree of keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ablation.documents.edit import Document
from ablation.documents.entries import Entry
from ablation.documents.operations import Operation, Set
from ablation.documents.tree import Node


class Files:
    """Texts that are changed by operations on the keys of the whole.

    Args:
        texts: The text of each file by path.
        root: The values of the configuration, included files in the places that name them.
        read: The dotted keys that its dialect reads.
        order: As `Document`.
    """

    def __init__(
        self,
        texts: Mapping[Path, str],
        root: Entry,
        read: Collection[str] = (),
        order: Sequence[str] = (),
    ) -> None:
        self.documents: dict[str, Document] = {}
        self.paths: dict[str, Path] = {}
        mounts = {Path(file): mount for mount, file in _mounts(root, root.file).items()}
        for path, text in texts.items():
            mount = mounts.get(path, "")
            below = f"{mount}." if mount else ""
            own = [key.removeprefix(below) for key in read if key.startswith(below)]
            self.documents[mount] = Document(text, str(path), own, order)
            self.paths[mount] = path

    @property
    def texts(self) -> dict[Path, str]:
        """The texts as they are now."""
        return {self.paths[mount]: document.text for mount, document in self.documents.items()}

    def get(self, path: str) -> Node | None:
        """The value at a dotted path, or None."""
        document, below = self._at(path)
        return document.get(below)

    def plain(self, path: str) -> object:
        """The plain value at a dotted path; None where there is none."""
        document, below = self._at(path)
        return document.plain(below)

    def apply(self, operation: Operation) -> None:
        """Change the file that holds the operation's path.

        Raises:
            UserError: the text cannot be changed so.
        """
        document, below = self._at(operation.path)
        here = replace(operation, path=below)
        if isinstance(here, Set):
            places = [self._at(other) for other in here.same]
            here = replace(here, same=frozenset(key for file, key in places if file is document))
        here.apply(document)

    def _at(self, path: str) -> tuple[Document, str]:
        for mount, document in self.documents.items():
            if mount and path.startswith(f"{mount}."):
                return document, path.removeprefix(f"{mount}.")
        return self.documents[""], path


def _mounts(root: Entry, file: str, prefix: str = "") -> dict[str, str]:
    """The dotted keys at which other files are included, and those files."""
    found: dict[str, str] = {}
    for name, entry in root.value.items() if isinstance(root.value, dict) else ():
        key = f"{prefix}{name}"
        if entry.file != file:
            found[key] = entry.file
        elif isinstance(entry.value, dict):
            found |= _mounts(entry, file, f"{key}.")
    return found
