"""The resolved study on disk is the study: every later step reads it in place of the files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints, is_typeddict

import jsonschema
import pytest
from synthetic import STUDY, build_study

from ablation.errors import UserError
from ablation.files import save_record
from ablation.project import SCHEMAS, STUDIES
from ablation.records import from_plain, load_typed, to_plain
from ablation.results import Results
from ablation.study.explain import explain_study
from ablation.study.explanation import Explanation
from ablation.study.grid import expand
from ablation.study.load import load_study
from ablation.study.options import StudyOptions
from ablation.study.resolved import load_resolved, save_resolved


@pytest.mark.parametrize("name", ["account_tax", "debian_sections"])
def test_what_is_read_back_is_the_study_and_fits_its_schema(tmp_path, name):
    study = load_study(STUDIES / name / "study.yaml")
    results = Results(tmp_path / "results" / name)
    save_resolved(study, results)
    assert load_resolved(results) == study
    schema = json.loads((SCHEMAS / "resolved.schema.json").read_text())
    jsonschema.validate(json.loads(results.study.read_text()), schema)


def test_arms_of_the_study_that_is_read_back_have_the_same_names(tmp_path):
    designs = ["one_at_a_time", {"grid": {"values": {"learning_rate": [1e-4, 8e-4]}}}, "a_a"]
    made = build_study(tmp_path, study={**STUDY, "designs": designs})
    assert expand(load_resolved(made.results)) == expand(load_study(made.study))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "is not there"),
        ("{", "not JSON"),
        ("[]", "another version"),
        ('{"schema_version": 0, "study": {}}', "another version"),
        ('{"schema_version": 1, "study": {"name": "x"}}', "another version"),
    ],
)
def test_a_resolved_study_that_is_not_one_is_a_message(tmp_path, text, told):
    results = Results(tmp_path)
    if text is not None:
        results.study.parent.mkdir()
        results.study.write_text(text)
    with pytest.raises(UserError, match=told) as error:
        load_resolved(results)
    assert error.value.file == str(results.study)


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema_version": 1, "findings": [{"id": "x"}]}'])
def test_findings_that_are_none_are_a_message(tmp_path, text):
    (tmp_path / "findings.json").write_text(text)
    with pytest.raises(UserError, match=r"another version|must hold an object") as error:
        load_typed(Explanation, tmp_path / "findings.json")
    assert error.value.file == str(tmp_path / "findings.json")


def test_findings_that_are_read_back_are_what_was_said(tmp_path):
    said = explain_study(load_study(STUDIES / "account_tax" / "study.yaml"))
    save_record(said, tmp_path / "findings.json")
    assert load_typed(Explanation, tmp_path / "findings.json") == said


def keys_of(kind: Any) -> dict[str, Any]:
    """The keys of a `TypedDict`, with those of its blocks."""
    hints = get_type_hints(kind)
    parts = {
        name: [one for one in (hint, *get_args(hint)) if is_typeddict(one)]
        for name, hint in hints.items()
    }
    return {name: keys_of(found[0]) if found else {} for name, found in parts.items()}


def properties_of(schema: dict[str, Any]) -> dict[str, Any]:
    schema = schema.get("items", schema)
    return {name: properties_of(one) for name, one in schema.get("properties", {}).items()}


def test_the_types_of_study_yaml_have_the_keys_of_its_schema():
    schema = properties_of(json.loads((SCHEMAS / "study.schema.json").read_text()))
    types = keys_of(StudyOptions)
    for key in ("file", "lines"):  # where study.yaml says so
        del types["model"][key], types["data"][key]
    for free in (schema["dialects"], schema["versions"], schema["metric"]["impact_multiples"]):
        free.clear()
    schema["model"]["architecture"].clear()
    assert types == schema


@dataclass(frozen=True)
class Inner:
    pair: tuple[str, int]
    many: tuple[Path, ...]


@dataclass(frozen=True)
class Outer:
    inner: list[Inner]
    by_name: dict[str, Inner | None]
    anything: Any = None


def test_records_keep_their_types_through_json():
    inner = Inner(("a", 1), (Path("x"), Path("y/z")))
    outer = Outer([inner], {"one": inner, "none": None}, {"free": [1, 2.5, None]})
    assert from_plain(Outer, json.loads(json.dumps(to_plain(outer)))) == outer
