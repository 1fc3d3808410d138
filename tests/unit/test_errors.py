"""A user's mistake is told in the reader's language, each one of those that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ablation.command.main import MISTAKE, main
from ablation.errors import UserError, raise_all
from ablation.study.load import load_study
from ablation.words.catalogue import LANGUAGES
from ablation.words.errors import tell, translate

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [language for language in LANGUAGES if language != "en"]
# Calls that make an error, and which of their arguments is the problem.
MAKERS = {"UserError": 0, "_problem": 2, "Problem": None, "refuse": None}
SAID = re.compile(r"[a-z]{2,} [a-z]{2,}")  # words, and not only names of settings


def template(node: ast.expr) -> str | None:
    """The sentence that an expression makes, `{}` for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
        return "".join(map(str, parts))
    return None


def expressions(node: ast.AST) -> Iterator[ast.expr]:
    """What a call that makes an error says, or what is put aside for one."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in MAKERS:
            place = MAKERS[name]
            yield from (k.value for k in node.keywords if k.arg in ("problem", "allowed"))
            yield from node.args[place : place + 1] if place is not None else ()
    if isinstance(node, ast.Assign):
        names, values = node.targets[0], node.value
        pairs = [(names, values)]
        if isinstance(names, ast.Tuple) and isinstance(values, ast.Tuple):
            pairs = list(zip(names.elts, values.elts, strict=True))
        yield from (v for n, v in pairs if getattr(n, "id", "") in ("text", "problem", "allowed"))


def sentences(file: Path) -> Iterator[tuple[int, str]]:
    """Line and sentence of each error that a file makes."""
    source = file.read_text()
    if not any(f"{maker}(" in source for maker in MAKERS):
        return
    for node in ast.walk(ast.parse(source)):
        for expression in expressions(node):
            text = template(expression)
            if text and SAID.search(text.replace("{}", "")):
                yield expression.lineno, text


@pytest.mark.parametrize("language", OTHERS)
def test_each_sentence_of_an_error_is_there_in_every_language(language):
    missing = [
        f"{file.name}:{line}: {text}"
        for file in sorted((ROOT / "scripts/ablation").rglob("*.py"))
        if "command" not in file.parts
        for line, text in sentences(file)
        if translate(text.replace("{}", "X"), language) == text.replace("{}", "X")
    ]
    assert missing == [], f"add them to words/errors.{language}.yaml"


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_puts_in_what_the_sentence_does(language):
    table = yaml.safe_load((ROOT / f"scripts/ablation/words/errors.{language}.yaml").read_text())
    for english, other in table.items():
        places = {int(place) for place in re.findall(r"\{(\d)\}", other)}
        assert places == set(range(english.count("{}"))), english


def test_what_is_put_in_is_translated_where_it_is_a_sentence():
    assert translate("'lr' has a value it cannot have", "ko") == "'lr': 쓸 수 없는 값이다"
    assert translate("backup cannot run: the best epoch is to be loaded, and no metric says "
                     "which it is", "ko").startswith("backup 구성은 실행할 수 없다: ")  # fmt: skip
    assert translate("what no table has", "ko") == "what no table has"


def test_several_mistakes_are_all_told():
    with pytest.raises(UserError) as raised:
        raise_all([UserError("the file is empty", file="a.yml", line=1), UserError("not a file")])
    assert str(raised.value).splitlines() == [
        "2 problems:",
        "a.yml:1: the file is empty",
        "not a file",
    ]
    told = tell(raised.value, "ko")
    assert told.splitlines() == ["문제 2개:", "a.yml:1: 파일이 비어 있다", "파일이 아니다"]


def test_the_command_tells_a_mistake_in_a_file_in_korean(account_tax, edit, capsys):
    edit("study.yaml", "seeds: [1, 2, 3]", "seedz: [1, 2, 3]")
    with pytest.raises(UserError, match="unknown key 'seedz'"):
        load_study(account_tax / "study.yaml")
    assert main(["plan", str(account_tax), "--lang", "ko"]) == MISTAKE
    told = capsys.readouterr().err
    assert "오류: " in told and "알 수 없는 키 'seedz'" in told and "고칠 내용: seeds" in told
