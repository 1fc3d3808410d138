"""What every script shares: logging, and messages instead of tracebacks for a user's mistake."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ablation.errors import UserError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Asked = TypeVar("Asked")  # arguments of a command line, or of a request
EXIT_USER_ERROR = 2
EXIT_LATER = 75  # EX_TEMPFAIL of sysexits.h: the same again goes on from a checkpoint
# What a disk or a folder says that the user can mend; any other is a mistake of ours.
DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EIO,
)


class Unread(io.FileIO):
    """Standard output whose reader may leave: what nobody reads is dropped, the work goes on."""

    lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        """As of a file; what a full disk does not take is an error once."""
        if not self.lost:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = True
                if not isinstance(error, BrokenPipeError):  # `ablation status … | head -1`
                    raise
        return memoryview(data).nbytes


def let_readers_leave() -> None:
    """Let every print end well, and the exit code be that of the work, also before `head`."""
    out = sys.stdout
    if out is None:  # closed by `>&-`
        sys.stdout = io.StringIO()
    elif isinstance(out, io.TextIOWrapper) and type(getattr(out.buffer, "raw", 0)) is io.FileIO:
        raw = io.BufferedWriter(Unread(out.fileno(), "w", closefd=False))
        lines, through = out.line_buffering, out.write_through
        sys.stdout = io.TextIOWrapper(
            raw, out.encoding, out.errors, line_buffering=lines, write_through=through
        )


def study_parser(doc: str | None, *, devices: bool = False) -> argparse.ArgumentParser:
    """The command line of a rule's program, with what nearly all of them are told.

    Args:
        doc: The program's docstring; its first line is the help.
        devices: Whether it makes arms, for which the number of devices counts.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--results", required=True, type=Path, help="results/<study>")
    if devices:
        parser.add_argument("--devices", type=int, help="what each run is told to use; 0: any")
    return parser


def run(main: Callable[[Asked], None], parse_args: Callable[[], Asked]) -> None:
    """Run a script's `main`; a `UserError` becomes its message on stderr and exit code 2."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    let_readers_leave()
    try:
        try:
            main(parse_args())
        finally:
            sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror}: nothing was written", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
