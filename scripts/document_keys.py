"""Write the tables of keys in config/README.md anew, from the schemas.

python scripts/document_keys.py
"""

from __future__ import annotations

import argparse
import json

from ablation.cli import run
from ablation.files import save_text
from ablation.project import PROJECT, SCHEMAS
from ablation.study.keys import key_table, put_table
from ablation.study.load import study_schema

README = PROJECT / "config" / "README.md"


def parse_args() -> argparse.Namespace:
    return argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()


def tables() -> dict[str, str]:
    """The table of each file of configuration."""
    config = json.loads((SCHEMAS / "config.schema.json").read_text(encoding="utf-8"))
    return {"study.yaml": key_table(study_schema()), "config.yaml": key_table(config)}


def main(args: argparse.Namespace) -> None:
    text = README.read_text(encoding="utf-8")
    for name, table in tables().items():
        text = put_table(text, name, table)
    save_text(text, README)


if __name__ == "__main__":
    run(main, parse_args)
