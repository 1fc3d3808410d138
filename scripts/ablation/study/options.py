"""study.yaml as plain values, defaults filled in: study.schema.json says what each key means.

What has no default, or came later than studies that are read on, may be absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from ablation.designs.design import Options
from ablation.settings.architecture import Facts

ByLanguage = Mapping[str, str]
Lines = Mapping[str, int]  # of study.yaml, by dotted key


class MetricOptions(TypedDict):
    """The figure that decides which arm is better."""

    name: str
    delta: float
    higher_is_better: NotRequired[bool]
    impact_multiples: NotRequired[Mapping[str, float]]


class LooksOptions(TypedDict):
    """`sequential`: seeds added until it is decided."""

    looks: NotRequired[Sequence[int]]
    spending: NotRequired[str]
    alpha: NotRequired[float]


class ConfirmOptions(TypedDict):
    """The fresh seeds of a confirmation."""

    seeds: Sequence[int]


class ImpactOptions(TypedDict):
    """A claimed level of impact."""

    setting: str
    impact: str


class StatementOptions(TypedDict):
    """A claim in numbers."""

    id: str
    text: ByLanguage
    quantity: str
    unit: str
    source: NotRequired[str]
    decided_by: NotRequired[str]
    arm: NotRequired[str]
    contrast: NotRequired[str]
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    beyond: NotRequired[str]


class ClaimsOptions(TypedDict):
    """What the source report promised."""

    impact: NotRequired[Sequence[ImpactOptions]]
    statements: NotRequired[Sequence[StatementOptions]]


class MeasuredOptions(TypedDict):
    """What of a study is asked of its runs."""

    metric: MetricOptions
    sequential: NotRequired[LooksOptions | None]
    claims: NotRequired[ClaimsOptions]


class StageOptions(TypedDict):
    """A stage."""

    name: str
    settings: Sequence[str]
    title: NotRequired[ByLanguage]
    optional: NotRequired[bool]


class PackageOptions(TypedDict):
    """A wheel that carries a model."""

    requirement: str
    sha256: str
    file: str


class ModelSource(TypedDict):
    """Where a pretrained model comes from."""

    path: NotRequired[str | None]
    revision: NotRequired[str | None]
    package: NotRequired[PackageOptions]


class ModelOptions(ModelSource):
    """The pretrained model, and where study.yaml says so (`Study.model_options`)."""

    architecture: Facts
    allow_remote_code: NotRequired[bool]
    allow_outside: NotRequired[bool]
    allow_pickle: NotRequired[bool]
    file: NotRequired[str]
    lines: NotRequired[Lines]


class SplitOptions(TypedDict):
    """How rows are held out."""

    seed: NotRequired[int]
    test_size: NotRequired[float]
    val_size: NotRequired[float]
    extract_seed: NotRequired[int]
    stratify_extract: NotRequired[bool]


class TextOptions(TypedDict):
    """How a row becomes text."""

    text_columns: NotRequired[Sequence[str]]
    separator: NotRequired[str]
    key_value_separator: NotRequired[str]
    include_column_names: NotRequired[bool]


class DataOptions(TypedDict):
    """The rows, and where study.yaml says so (`Study.data_options`)."""

    path: str | None
    label_column: str | None
    rows: NotRequired[int | None]
    max_rows: NotRequired[int | None]
    format: NotRequired[str]
    tokens_per_row: NotRequired[float | None]
    name: NotRequired[str | None]
    split_name: NotRequired[str | None]
    encoding: NotRequired[str]
    allow_pickle: NotRequired[bool]
    allow_outside: NotRequired[bool]
    merge_labels: NotRequired[bool]
    split_per: NotRequired[str]
    split: SplitOptions
    serialization: TextOptions
    file: NotRequired[str]
    lines: NotRequired[Lines]


class StudyOptions(MeasuredOptions):
    """The whole of study.yaml."""

    title: ByLanguage
    purpose: NotRequired[ByLanguage]
    current: str
    backup: str
    dialects: NotRequired[Mapping[str, str]]
    versions: NotRequired[Mapping[str, Mapping[str, str]]]
    allow_outside: NotRequired[bool]
    world_size: NotRequired[int]
    seeds: Sequence[int]
    designs: Sequence[str | Mapping[str, Options]]
    confirm: ConfirmOptions | None
    checkpoint_minutes: NotRequired[float | None]
    kernels: NotRequired[Sequence[str]]
    model: ModelOptions
    data: DataOptions
    stages: Sequence[StageOptions]
    include_optional: NotRequired[bool]
