# The library, wherever the workflow is called from, and its mistakes as messages.

import os
import sys
from pathlib import Path

# Relative, so that a moved checkout finds its finished runs unchanged.
BASE = Path(
    os.path.relpath(workflow.current_basedir.get_path_or_uri(secret_free=True))
).parents[1]
SCRIPTS = BASE / "scripts"
sys.path.insert(0, str(SCRIPTS.resolve()))

from ablation.errors import UserError
from ablation.words.catalogue import asked_language
from ablation.words.errors import tell
from ablation.workflow.options import CONFIG, has_options

# Another workflow that uses this one as a module gives the options itself.
OPTIONS = None if workflow.modifier.namespace else Path(CONFIG)


def checked(ask, *arguments):
    """What the library answers; a mistake of the user ends all with its message."""
    try:
        return ask(*arguments)
    except UserError as error:
        sys.exit(f"error: {tell(error, asked_language())}")
