"""The resolved study on disk: what every later step reads in place of the user's files."""

from __future__ import annotations

from dataclasses import dataclass

from ablation.errors import UserError
from ablation.files import load_record, save_record
from ablation.records import from_plain, to_plain
from ablation.results import Results
from ablation.study.study import Study

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A study as it was resolved; every step after resolve_study reads this."""

    schema_version: int
    study: Study


def save_resolved(study: Study, results: Results) -> None:
    """Write the study as it was resolved, and for people both sides and their differences."""
    for side, configuration in study.sides.items():
        save_record(configuration.as_json(), results.side(side))
    save_record(study.differences_json(), results.differences)
    save_record(to_plain(Resolved(schema_version=SCHEMA_VERSION, study=study)), results.study)


def load_resolved(results: Results) -> Study:
    """The study that `save_resolved` wrote.

    Raises:
        UserError: the file cannot be read, or is of another version.
    """
    plain = load_record(results.study)
    try:
        found: Resolved = from_plain(Resolved, plain)
        if found.schema_version != SCHEMA_VERSION:
            raise UserError(
                "another version", found=found.schema_version, allowed=str(SCHEMA_VERSION)
            )
    except UserError as error:
        raise UserError(
            f"the resolved study is of another version, or was changed: {error.problem}",
            file=results.study,
            found=error.found,
            write="snakemake --cores all   # writes it anew, and trains nothing again",
        ) from None
    return found.study
