"""What every script shares: logging, and messages instead of tracebacks for a user's mistake."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from ablation.errors import UserError

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


def run(main: Callable[[Asked], None], parse_args: Callable[[], Asked]) -> None:
    """Run a script's `main`; a `UserError` becomes its message on stderr and exit code 2."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        main(parse_args())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror}: nothing was written", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
