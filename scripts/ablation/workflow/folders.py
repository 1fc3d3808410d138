"""Whether a study's results can be written: told before anything is, and nothing half written."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ablation.errors import UserError
from ablation.results import Results

LEAST_BYTES = 32 * 2**20  # logs, tables, figures and reports of a small study, without any weights
LEAST_FILES = 500
_INNER = (
    ".warm",
    "benchmarks",
    "confirmation",
    "data",
    "data/test",
    "data/train",
    "data/validation",
    "decided",
    "figures",
    "logs",
    "model",
    "partial",
    "prefix",
    "recommended",
    "resolved",
    "runs",
)


def check_places(results: Results) -> None:
    """Refuse results of which a folder is a file, or anything leads out of them.

    The folder of all results and that of a study may be links, to a larger disk for instance. What
    is in them is written, and removed, by rules: a link there would lead them to other files.

    Raises:
        UserError: the first such place.
    """
    for path in (results.folder.parent, results.folder):
        check_folder(path)
    for name in _INNER:
        check_inner(results.folder / name)
    check_links(results.folder, results)


def check_run(folder: Path, results: Results) -> None:
    """Refuse a run's folder that is a link, or of which anything leads out of the results.

    Raises:
        UserError: it is one, or the first such link.
    """
    check_inner(folder.parent)
    check_inner(folder)
    check_links(folder, results)


def check_links(folder: Path, results: Results) -> None:
    """Refuse links at any depth of a folder that lead out of the results.

    Raises:
        UserError: the first one.
    """
    for link in links_out(folder, results.folder.resolve()):
        raise UserError(
            "a link in the results leads out of them: another file would be overwritten",
            file=link,
            found=f"a link to {link.readlink()}",
            allowed="files of the study's own, and links among them",
            write=f"rm {link}",
        )


def links_out(folder: Path, whole: Path) -> Iterator[Path]:
    """The links at any depth of a folder that lead to what is not in the whole."""
    left = [os.fspath(folder)]
    while left:
        try:
            entries = list(os.scandir(left.pop()))
        except OSError:  # told by whoever reads or writes it
            continue
        for entry in entries:
            if entry.is_symlink():
                if not Path(os.path.realpath(entry.path)).is_relative_to(whole):
                    yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                left.append(entry.path)


def check_inner(path: Path) -> None:
    """Refuse a place within the results that is a link or a file.

    Raises:
        UserError: it is one.
    """
    if path.is_symlink():
        raise UserError(
            "a link stands where the workflow keeps a folder of its own",
            file=path,
            found=f"a link to {path.readlink()}",
            allowed="a folder, or nothing: what is in it is written and removed. The folder of all "
            "results may be a link, to keep them elsewhere",
            write=f"rm {path}",
        )
    check_folder(path)


def check_folder(path: Path) -> None:
    """Refuse a place that is neither a folder, nor a link to one, nor nothing.

    Raises:
        UserError: it is something else.
    """
    try:
        path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise UserError(
                "a link that leads nowhere stands where a folder would be",
                file=path,
                found=f"a link to {path.readlink()}",
                allowed="a folder, a link to one, or nothing",
            ) from None
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(
                "links that lead to each other stand where a folder would be",
                file=path,
                allowed="a folder, a link to one, or nothing",
            ) from None
        raise cannot_write(path, error) from None
    if not path.is_dir():
        raise UserError(
            "a file stands where a folder would be",
            file=path,
            allowed="a folder, or nothing",
            write=f"mv {path} {path}.old",
        )


def check_space(results: Results) -> None:
    """Refuse to start where results cannot be written, or hardly anything fits.

    Raises:
        UserError: the folder cannot be made or written, or lacks room.
    """
    folder = results.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = os.statvfs(folder)
        files = room.f_favail if room.f_files else LEAST_FILES  # some systems do not count them
        if room.f_bavail * room.f_frsize < LEAST_BYTES or files < LEAST_FILES:
            raise UserError(
                "there is no room for the results",
                file=folder,
                found=f"{room.f_bavail * room.f_frsize / 2**20:.1f} MB and {files} files are free",
                allowed=f"at least {LEAST_BYTES // 2**20} MB and {LEAST_FILES} files; "
                "adapters and checkpoints come on top",
                write="ln -s /a/larger/disk results",
            )
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise cannot_write(folder, error) from None


def cannot_write(path: Path, error: OSError) -> UserError:
    """That a file or folder cannot be written, with the system's reason."""
    return UserError(
        f"it cannot be written: {error.strerror}",
        file=path,
        allowed="a folder that you may write, on a disk with room",
    )
