"""What effects.json and verdict.json hold is written down once, as types."""

from __future__ import annotations

import json
from dataclasses import dataclass

import jsonschema
import pytest

from ablation.errors import UserError
from ablation.evidence.confirmation import Confirmation
from ablation.evidence.effects import Effects
from ablation.project import SCHEMAS
from ablation.records import from_plain, schema_of, to_plain
from ablation.study.resolved import Resolved

FILES = {
    "effects": (Effects, "effects.json: what the runs of a study say"),
    "resolved": (Resolved, "resolved/study.json: a study as it was resolved"),
    "confirmation": (Confirmation, "verdict.json: what fresh seeds say of the recommendation"),
}


@dataclass(frozen=True)
class Inner:
    """A part."""

    values: dict[int, float]


@dataclass(frozen=True)
class Outer:
    """A whole."""

    name: str
    parts: tuple[Inner, ...]
    size: float | None = None


WHOLE = Outer("a", (Inner({1: 0.5, 2: 1.0}),))


def test_a_record_comes_back_from_json_as_it_was():
    assert from_plain(Outer, json.loads(json.dumps(to_plain(WHOLE)))) == WHOLE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 3}, ".name is of another kind"),
        ({"more": 1}, "of another version"),
        ({"parts": [{"values": {"1": "x"}}]}, r".parts\[0\].values.1 is of another kind"),
        ({"parts": [[]]}, r".parts\[0\] must hold an object"),
    ],
)
def test_what_is_no_such_record_is_told_with_its_place(change, said):
    with pytest.raises(UserError, match=said):
        from_plain(Outer, {**to_plain(WHOLE), **change})


@pytest.mark.parametrize("name", FILES)
def test_the_schema_is_that_of_the_types(name, request):
    kind, title = FILES[name]
    path = SCHEMAS / f"{name}.schema.json"
    text = json.dumps(schema_of(kind, title), indent=2, ensure_ascii=False) + "\n"
    if request.config.getoption("rewrite_golden"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, (
        "pytest tests/unit/test_records.py --rewrite-golden"
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("every_design/effects.json", "effects"),
        ("confirmed/effects.json", "effects"),
        ("confirmed/confirmation.json", "confirmation"),
    ],
)
def test_what_is_written_keeps_to_the_schema_and_reads_back(root, file, name):
    content = json.loads((root / "tests/golden" / file).read_text(encoding="utf-8"))
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(content)
    assert to_plain(from_plain(FILES[name][0], content)) == content
