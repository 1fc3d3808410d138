"""What a trainer refuses of several keys together, as tables of rules.

A rule fires where each of its terms holds. Terms, then a colon and the trainer's words: `key` is
set, `!key` is not, `key?` is there, `key=a|b` is one of these, `key!=a|b` none, `key~a|b` holds
one, `key>1` is more; of a list, one item of which a term holds is enough. `one/other` makes a rule
of each, named in the place of `{}`. The first term's key is the one that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import product

from ablation.dialects.reader import Reader
from ablation.documents.entries import Entry
from ablation.documents.scalars import is_number

Rule = tuple[list[str], str]
Settled = Callable[[Entry, str], object]
_TERM = re.compile(r"(?P<not>!?)(?P<key>[\w.]+)(?P<op>\?|!=|<=|<|=|~|>|)(?P<values>.*)")


def _compile(term: str) -> tuple[str, Callable[[object], bool]]:
    """A term's key, and whether a value of it is what the term says."""
    parts = _TERM.fullmatch(term)
    assert parts is not None, term
    values = parts["values"].split("|")
    tests: dict[str, Callable[[object], bool]] = {
        "": bool,
        "?": lambda value: value is not None,
        "=": lambda value: any(word in values for word in _words(value)),
        "!=": lambda value: any(word not in values for word in _words(value)),
        "~": lambda value: any(text in _word(value).lower() for text in values),
        ">": lambda value: is_number(value) and value > float(values[0]),
        "<": lambda value: is_number(value) and value < float(values[0]),
        "<=": lambda value: is_number(value) and value <= float(values[0]),
    }
    test = tests[parts["op"]]
    return parts["key"], (lambda value: not test(value)) if parts["not"] else test


def _word(value: object) -> str:
    return str(value) if isinstance(value, str) else str(value).lower()


def _words(value: object) -> list[str]:
    """The words of a value: each item of a list."""
    return [_word(item) for item in (value if isinstance(value, list) else [value])]


def read_rules(table: str) -> list[Rule]:
    """Each rule's terms and its reason."""
    found = []
    for row in filter(None, table.replace("\\\n", "").split("\n")):
        terms, _, reason = row.partition(": ")
        for chosen in product(*(term.split("/") for term in terms.split())):
            several = [one for one, term in zip(chosen, terms.split(), strict=True) if "/" in term]
            named = several[0].strip("!?") if several else ""
            found.append((list(chosen), reason.replace("{}", named)))
    return found


def written_or(unwritten: Mapping[str, object]) -> Settled:
    """A key's plain value; where it is absent, the trainer's own of some, None of others."""

    def settled(root: Entry, key: str) -> object:
        entry = root.at(key)
        return unwritten.get(key) if entry is None else entry.plain()

    return settled


def refuse_broken(reader: Reader, library: str, rules: list[Rule], settled: Settled) -> None:
    """Note each rule that a file breaks.

    Args:
        reader: The file.
        library: Who refuses it.
        rules: Its rules.
        settled: A key's value as the trainer has it when it asks.
    """
    for terms, reason in rules:
        tests = [_compile(term) for term in terms]
        if all(test(settled(reader.root, key)) for key, test in tests):
            reader.refuse(tests[0][0], None, library, reason)
