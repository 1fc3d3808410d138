"""A user's mistake is told in the reader's language, each one of those that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import yaml

from ablation import dialects
from ablation.command.main import MISTAKE, main
from ablation.dialects import axolotl_rules, llama_factory, trl
from ablation.errors import UserError, raise_all
from ablation.settings.catalogue import UNTRAINED
from ablation.study.explain import explain_files
from ablation.study.load import load_study
from ablation.words.catalogue import LANGUAGES
from ablation.words.errors import tell, translate

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [language for language in LANGUAGES if language != "en"]
# Calls that make an error, and which of their arguments is the problem.
MAKERS = {"UserError": 0, "_problem": 2, "Problem": None, "refuse": 3}
TOLD = ("text", "problem", "allowed", "reason")
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
        yield from (v for n, v in pairs if getattr(n, "id", "") in TOLD)


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
def test_why_a_key_trains_nothing_is_told_in_every_language(language):
    modules = [
        import_module(f"ablation.dialects.{m.name}") for m in iter_modules(dialects.__path__)
    ]
    reasons = {reason for module in modules for reason in getattr(module, "NO_EFFECT", {})}
    reasons |= {setting.note for setting in UNTRAINED.values()}
    assert [one for one in sorted(reasons) if translate(one, language) == one] == []


@pytest.mark.parametrize("language", OTHERS)
def test_what_a_trainer_refuses_of_several_keys_is_told_in_every_language(language):
    reasons = {reason for _, reason in (*axolotl_rules.rules(), *llama_factory.RULES, *trl.RULES)}
    reasons |= {reason for _, _, reason in axolotl_rules.VALUES}
    assert [one for one in sorted(reasons) if translate(one, language) == one] == []


def test_a_refusal_and_what_is_not_run_here_are_in_korean_within_a_finding(tmp_path):
    text = (
        "base_model: x\nadapter: lora\nlora_r: 8\nlora_alpha: 16\nlora_target_modules: [q_proj]\n"
    )
    text += "learning_rate: 1.0e-4\nwarmup_steps: 10\nwarmup_ratio: 0.1\nnum_epochs: two\n"
    (tmp_path / "a.yml").write_text(f"{text}sequence_len: 64\ndatasets: [{{path: a}}]\n")
    said = explain_files(tmp_path / "a.yml", tmp_path / "a.yml", {})
    told = {f["id"]: f["text"] for f in said["findings"]}
    assert "warmup_steps와 warmup_ratio는 함께 쓸 수 없다" in told["refused_by_library"]["ko"]
    assert "mutually exclusive" in told["refused_by_library"]["en"]
    assert "허용: -1 이상" in told["value_refused"]["ko"]
    assert "datasets: 모든 구성이 스터디의 데이터로 학습한다" in told["not_run_here"]["ko"]


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
    valid = "bits: Input should be a valid {}"
    assert translate(valid.format("정수"), "ko") == "bits: 정수여야 한다"
    assert translate(valid.format("목록"), "ko") == "bits: 목록이어야 한다"
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
