"""What every script shares: logging, and messages instead of tracebacks for a user's mistake."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from ablation.errors import UserError

Asked = TypeVar("Asked")  # arguments of a command line, or of a request
EXIT_USER_ERROR = 2


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
