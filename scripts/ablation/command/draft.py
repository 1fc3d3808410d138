"""The text of a new study.yaml, with a comment on each knob that trades something."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ablation.command.found import Rows
from ablation.command.words import load_words
from ablation.settings.architecture import Facts
from ablation.study.proposal import ProposedStage
from ablation.words.catalogue import LANGUAGES, Messages

_PLAIN = re.compile(r"[A-Za-z0-9_./-]*[A-Za-z_/][A-Za-z0-9_./-]*")
# Rows below which a new study draws a split for each seed. A fifth of 10,000 rows to test on leaves
# an error of half a point that seeds on one split do not show, half of a usual delta.
SPLIT_PER_SEED_BELOW = 10_000
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "none")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What goes into a new study.yaml.

    Attributes:
        name: The study's name.
        current: The current configuration, relative to the study's folder.
        backup: The backup, likewise.
        dialects: The dialects they were read as: current, backup.
        named: Dialects that had to be named, by side.
        devices: Devices that the source trains on, where neither file says; else None.
        model: A folder relative to the study's, or a hub name; None where nobody says.
        facts: Of the model's config.json; empty where it is not here.
        data: The rows' file, relative to the study's folder; None where there is none.
        label: The column to predict; None where nobody says.
        rows: What the file holds.
        tokens_per_row: Tokens of a row's text, about; None where not known.
        text_columns: The columns that become text; empty where the configurations say.
        split: Shares to hold out, where those of the configurations cannot be; else empty.
        stages: The stages.
    """

    name: str
    current: str
    backup: str
    dialects: tuple[str, str]
    named: Mapping[str, str]
    devices: int | None
    model: str | None
    facts: Facts
    data: str | None
    label: str | None
    rows: Rows | None
    tokens_per_row: int | None
    text_columns: Sequence[str]
    split: Mapping[str, float]
    stages: Sequence[ProposedStage]

    @property
    def missing(self) -> list[str]:
        """The options of `init` that somebody still has to say."""
        absent = {
            "--data": self.data is None,
            "--label": self.label is None,
            "--model": self.model is None or not self.facts,
        }
        return [option for option, is_absent in absent.items() if is_absent]


def scalar(value: object) -> str:
    """A value as YAML, quoted where it must be."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def write_draft(draft: Draft, t: Messages) -> str:
    """study.yaml."""
    blocks = [
        _head(draft, t),
        _sides(draft, t),
        _seeds(t),
        _model(draft, t),
        _data(draft, t),
        _stages(draft, t),
        _rest(draft, t),
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _comment(text: str, indent: str = "") -> list[str]:
    return [f"{indent}# {line}".rstrip() for line in text.splitlines()]


def _both(key: str, indent: str, **facts: str) -> list[str]:
    """A text in every language, as a mapping."""
    return [
        f"{indent}{language}: {json.dumps(load_words(language)(key, **facts), ensure_ascii=False)}"
        for language in LANGUAGES
    ]


def _head(draft: Draft, t: Messages) -> list[str]:
    lines = [*_comment(t("init.yaml.head", name=draft.name)), ""]
    lines += ["title:", *_both("init.yaml.title", "  ", name=draft.name)]
    sides = {"current": draft.current, "backup": draft.backup}
    names = {side: PurePath(file).name for side, file in sides.items()}
    return [*lines, "purpose:", *_both("init.yaml.purpose", "  ", **names)]


def _sides(draft: Draft, t: Messages) -> list[str]:
    lines = _comment(t("init.yaml.sides", current=draft.dialects[0], backup=draft.dialects[1]))
    lines += [f"current: {scalar(draft.current)}", f"backup: {scalar(draft.backup)}"]
    if draft.named:
        pairs = ", ".join(f"{side}: {scalar(name)}" for side, name in draft.named.items())
        lines += [f"dialects: {{{pairs}}}"]
    if draft.devices is not None:
        lines += ["", *_comment(t("init.yaml.devices")), f"world_size: {draft.devices}"]
    return lines


def _seeds(t: Messages) -> list[str]:
    lines = [*_comment(t("init.yaml.seeds")), "seeds: [1, 2, 3, 4]", "", "metric:"]
    lines += ["  name: eval_accuracy"]
    return [*lines, *_comment(t("init.yaml.delta"), "  "), "  delta: 0.01"]


def _model(draft: Draft, t: Messages) -> list[str]:
    lines = ["model:"]
    if draft.model is None:
        lines += _comment(t("init.yaml.no_model"), "  ")
    lines += [f"  path: {scalar(draft.model)}"]
    lines += _comment(t("init.yaml.facts" if draft.facts else "init.yaml.no_facts"), "  ")
    if not draft.facts:
        return [*lines, "  architecture: {}"]
    return [*lines, "  architecture:", *(f"    {k}: {scalar(v)}" for k, v in draft.facts.items())]


def _data(draft: Draft, t: Messages) -> list[str]:
    lines = ["data:"]
    if draft.data is None:
        lines += _comment(t("init.yaml.no_data"), "  ")
    lines += [f"  path: {scalar(draft.data)}"]
    if draft.rows and draft.rows.encoding != "utf-8":
        lines += [f"  encoding: {draft.rows.encoding}"]
    if draft.label is None:
        lines += _comment(t("init.yaml.no_label"), "  ")
    classes = draft.rows.classes.get(draft.label or "") if draft.rows else None
    told = f"  # {t('init.yaml.classes', count=classes)}" if classes else ""
    lines += [f"  label_column: {scalar(draft.label)}{told}"]
    if draft.rows and draft.rows.rows:
        lines += [f"  rows: {draft.rows.rows}"]
    if draft.tokens_per_row:
        lines += [f"  tokens_per_row: {draft.tokens_per_row}  # {t('init.yaml.tokens')}"]
    if draft.text_columns:
        columns = ", ".join(map(scalar, draft.text_columns))
        lines += [*_comment(t("init.yaml.text"), "  "), "  serialization:"]
        lines += [f"    text_columns: [{columns}]"]
    if draft.rows and draft.rows.rows and draft.rows.rows < SPLIT_PER_SEED_BELOW:
        lines += [*_comment(t("init.yaml.split_per"), "  "), "  split_per: seed"]
    if draft.split:
        shares = ", ".join(f"{name}: {share:g}" for name, share in draft.split.items())
        lines += [*_comment(t("init.yaml.no_split"), "  "), f"  split: {{{shares}}}"]
    return [*lines, *_comment(t("init.yaml.split"), "  "), "  # max_rows: 10000"]


def _stages(draft: Draft, t: Messages) -> list[str]:
    lines = [*_comment(t("init.yaml.stages")), "stages:"]
    for stage in draft.stages:
        titles = [text.strip() for text in _both(f"init.stage.{stage.name}", "")]
        lines += [f"  - name: {stage.name}", f"    title: {{{', '.join(titles)}}}"]
        one = f"    settings: [{', '.join(map(scalar, stage.settings))}]"
        if len(one) <= 100:
            lines.append(one)
        else:
            lines += ["    settings:", *(f"      - {scalar(name)}" for name in stage.settings)]
    return lines


def _rest(draft: Draft, t: Messages) -> list[str]:
    lines = [*_comment(t("init.yaml.designs")), "designs: [staged]", ""]
    lines += ["claims: {}", *_comment(t("init.yaml.claims"))]
    setting = draft.stages[0].settings[0]
    example = [
        "claims:",
        "  impact:",
        f"    - {{setting: {setting}, impact: HIGH}}",
        "  statements:",
        "    - id: accuracy",
        f"      text: {{en: {json.dumps(load_words('en')('init.yaml.claim'))}}}",
        "      quantity: eval_accuracy",
        "      contrast: all_stages",
        "      unit: absolute",
        "      low: 0.05",
        "      high: 0.15",
    ]
    return [*lines, *(f"# {line}" for line in example)]
