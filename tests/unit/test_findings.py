"""Facts that need no training: those of the source study, and what they say of the libraries."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ablation.comparison.findings import TOPICS
from ablation.comparison.findings.texts import load_texts
from ablation.study import explain
from ablation.study.load import load_study
from ablation.words.catalogue import LANGUAGES

Explained = dict[str, dict]


@pytest.fixture
def found(account_tax: Path) -> Callable[..., Explained]:
    """A function that gives the findings of the copied study by id (and side)."""

    def explained(**options) -> Explained:
        said = explain.explain_study(load_study(account_tax / "study.yaml"), **options)
        return {finding["id"]: finding for finding in said["findings"]}

    return explained


def lines(finding: dict, side: str) -> list[int]:
    """The lines of one side that a finding rests on."""
    return sorted(
        {p["line"] for p in finding["places"] if p["side"] == side and p["line"] is not None}
    )


def test_the_worst_omission_of_the_source_report_comes_first(account_tax):
    said = explain.explain_study(load_study(account_tax / "study.yaml"))
    first = said["findings"][0]
    assert (first["id"], first["severity"]) == ("data_amount", "problem")
    assert first["evidence"]["passes_factor"] == pytest.approx(100 / 3)
    assert first["evidence"]["epochs_factor"] == pytest.approx(10 / 3)
    assert (lines(first, "current"), lines(first, "backup")) == ([13, 62], [118, 132])


EXPECTED = {
    "lora_scale_same": {"current_scale": 2.0, "backup_scale": 2.0},
    "trainable_parameters": {"current_total": 21_688_320, "backup_total": 32_174_080},
    "layers_backup_inside": {"only_current": [28, 29]},
    "effective_batch_equal": {"current_batch": 128.0, "backup_batch": 128.0},
    "scheduler_absent": {"side": "current", "type": "linear"},
    "learning_rate_sum": {"sum_factor": pytest.approx(17.2, abs=0.05)},
    "weight_decay_ratio": {"coefficient_factor": pytest.approx(0.2)},
    "class_filter": {"current_limit": 280, "backup_limit": None},
    "selection_on_one_side": {"side": "current", "metric": "accuracy"},
    "deepspeed_checkpointing_idle": {"side": "backup", "instead": False},
    "checkpointing_through_frozen": {"factor": pytest.approx(2.25, abs=0.01), "frozen": 28},
    "negative_layers": {"side": "backup", "layers": [30, 31, 32, 33, 34, 35]},
    "padding_to_limit": {"side": "backup", "limit": 320},
    "compute_from": {"low": pytest.approx(17.65, abs=0.1), "high": None},
    "schedules_differ": {"backup_last": pytest.approx(2.5e-7, rel=1e-4)},
    "split_unknown_held": {"side": "backup"},
    "pickle_as_data": {"path": "data/final_data.pkl"},
    "bias_idle": {"value": "lora_only"},
    "offload_moves_little": {"device": "cpu", "moved": 96_522_240.0},
    "written_twice": {"side": "current"},
    "keys_unread": {"side": "backup", "count": 11},
}


def test_the_source_study_is_seen_through(found):
    seen = found()
    for name, evidence in EXPECTED.items():
        assert name in seen
        assert {key: seen[name]["evidence"][key] for key in evidence} == evidence, name


def test_findings_name_the_lines_they_rest_on(found):
    seen = found()
    assert lines(seen["trainable_parameters"], "current") == [40, 44]
    assert lines(seen["trainable_parameters"], "backup") == [13, 17]
    assert lines(seen["deepspeed_checkpointing_idle"], "backup") == [43, 44, 45, 46]
    assert lines(seen["checkpointing_through_frozen"], "current") == [44, 58, 78]
    assert lines(seen["pickle_as_data"], "backup") == [128]


def test_decay_is_too_small_to_matter_once_the_rows_are_known(found):
    evidence = found(rows=3_000_000)["weight_decay_too_small"]["evidence"]
    assert evidence["current_shrinkage"] == pytest.approx(4.9e-4, rel=0.01)
    assert evidence["backup_shrinkage"] == pytest.approx(1.7e-3, rel=0.01)


def test_a_configuration_against_itself_differs_in_nothing(account_tax):
    file = account_tax / "training.yml"
    said = explain.explain_files(file, file, {})
    assert said["differences"] == []
    assert {f["id"] for f in said["findings"]} == {
        "first_step_idle_in_rows",
        "numbers_as_text",
        "remote_code",
        "scheduler_absent",
        "versions_assumed",
        "written_twice",
    }


def test_a_scale_that_differs_is_told_from_one_that_does_not(found, edit):
    edit("deepspeed.yml", "lora_alpha: 512", "lora_alpha: 256")
    seen = found()
    assert "lora_scale_same" not in seen
    assert seen["lora_scale_differs"]["evidence"]["factor"] == 0.5


def test_a_length_beyond_the_models_positions_is_told_by_how_they_are_made(found, edit):
    edit("study.yaml", "max_position_embeddings: 40960", "max_position_embeddings: 128")
    warned = found()["length_beyond_rotations"]
    assert (warned["severity"], warned["evidence"]["places"]) == ("warning", 128)
    edit("study.yaml", "model_type: qwen3", "model_type: opt")
    seen = found()
    assert seen["length_beyond_positions"]["severity"] == "problem"
    assert "length_beyond_rotations" not in seen


def test_max_steps_makes_epochs_mean_nothing(found, edit):
    edit("training.yml", "num_train_epochs: 3\n", "num_train_epochs: 3\n    max_steps: 100\n")
    assert found()["epochs_idle"]["evidence"]["steps"] == 100


def test_what_runs_do_not_do_is_told_once(account_tax, edit):
    edit("training.yml", "num_train_epochs: 3\n", "num_train_epochs: 3\n    load_in_4bit: true\n")
    said = explain.explain_study(load_study(account_tax / "study.yaml"))
    telling = [
        finding["id"]
        for finding in said["findings"]
        if any("load_in_4bit" in str(place) for place in finding["places"])
    ]
    assert telling == ["not_run_here"]


def test_evaluating_and_saving_apart_is_refused_by_trainer(account_tax, edit):
    edit("training.yml", "save_steps: 1000", "save_steps: 750")
    file = account_tax / "training.yml"
    found = {f["id"]: f for f in explain.explain_files(file, file, {})["findings"]}
    assert "multiple of the evaluation steps" in found["refused_by_library"]["text"]["en"]


@pytest.mark.parametrize("rows", [None, 3000])
def test_decay_on_one_side_has_no_ratio(tmp_path, rows):
    for name, decay in (("current", 0.0), ("backup", 0.01)):
        text = f"learning_rate: 1.0e-3\nweight_decay: {decay}\nnum_train_epochs: 2\n"
        (tmp_path / f"{name}.yml").write_text(text)
    sides = tmp_path / "current.yml", tmp_path / "backup.yml"
    said = explain.explain_files(*sides, {}, rows=rows)
    told = {f["id"]: f for f in said["findings"] if f["id"].startswith("weight_decay")}
    assert list(told) == ["weight_decay_on_one_side" + ("" if rows else "_in_rows")]
    assert not any("–" in text for f in told.values() for text in f["text"].values())


def test_weights_that_grow_as_the_rank_does_are_no_finding(tmp_path):
    for name, rank in (("current", 4), ("backup", 8)):
        text = f"learning_rate: 1.0e-3\nlora_r: {rank}\nlora_alpha: 8\n"
        (tmp_path / f"{name}.yml").write_text(f"{text}lora_target_modules: [q_proj]\n")
    sides = tmp_path / "current.yml", tmp_path / "backup.yml"
    facts = {"model_type": "llama", "num_hidden_layers": 4, "hidden_size": 16}
    facts |= {"intermediate_size": 32, "num_attention_heads": 4, "vocab_size": 63}
    seen = {finding["id"] for finding in explain.explain_files(*sides, facts)["findings"]}
    assert "lora_scale_differs" in seen
    assert not seen & {"lora_parameters", "trainable_parameters"}


def test_warmups_of_other_shapes_are_told(found, edit):
    edit("deepspeed.yml", '      warmup_type: "linear"\n\nsched_onecycle', "\nsched_onecycle")
    evidence = found()["warmup_types"]["evidence"]
    assert (evidence["current_kind"], evidence["backup_kind"]) == ("linear", "log")


def test_without_the_model_nothing_is_said_that_needs_it(account_tax):
    sides = account_tax / "training.yml", account_tax / "deepspeed.yml"
    said = explain.explain_files(*sides, {})
    seen = {finding["id"] for finding in said["findings"]}
    assert said["architecture"]["missing"]
    assert not seen & {"trainable_parameters", "checkpointing_through_frozen", "memory_estimate"}
    assert {"data_amount", "lora_scale_same", "negative_layers_uncounted"} <= seen
    counted = explain.explain_files(*sides, {"num_hidden_layers": 36})
    assert "layers_backup_inside" in {finding["id"] for finding in counted["findings"]}


# --- Texts -------------------------------------------------------------------------------------


def test_every_text_belongs_to_a_finding_and_every_finding_has_one():
    for topic in TOPICS:
        source = Path(topic.__file__).read_text()
        checks = source[: source.index("TEXTS")]
        assert {name for name in topic.TEXTS if f'"{name}"' not in checks} == set()
        assert set(re.findall(r'pair\.find\(\s*"([a-z_0-9]+)"', checks)) <= set(topic.TEXTS)


def test_every_quantity_that_is_shown_has_a_label():
    for language in LANGUAGES:
        texts = load_texts(language)
        assert all(texts.has(f"quantity.{name}.label") for name in explain.UNITS)


# --- What findings say of the libraries --------------------------------------------------------


def test_no_hugging_face_code_calls_deepspeeds_checkpointing():
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    accelerate = pytest.importorskip("accelerate")
    folder = Path(transformers.__file__).parent
    files = [folder / f"{name}.py" for name in ("trainer", "modeling_utils", "modeling_layers")]
    files += [folder / "integrations/deepspeed.py", folder / "models/qwen3/modeling_qwen3.py"]
    files += [Path(peft.__file__).parent / "peft_model.py"]
    files += (Path(accelerate.__file__).parent / "utils").glob("*.py")
    pattern = re.compile(r"deepspeed\.checkpointing|deepspeed\.runtime\.activation_checkpointing")
    assert [file for file in files if pattern.search(file.read_text(errors="ignore"))] == []


def test_deepspeed_does_not_configure_its_checkpointing_by_itself():
    pytest.importorskip("deepspeed")
    import deepspeed

    engine = Path(deepspeed.__file__).parent / "runtime" / "engine.py"
    assert not re.search(r"checkpointing\.configure\(", engine.read_text())
    assert not deepspeed.checkpointing.is_configured()


@pytest.fixture(scope="module")
def adapt():
    """A function that puts adapters on a tiny model."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")

    def build(**lora):
        config = transformers.Qwen3Config(
            num_hidden_layers=4,
            hidden_size=32,
            intermediate_size=48,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            vocab_size=64,
            num_labels=3,
        )
        with torch.device("meta"):
            model = transformers.AutoModelForSequenceClassification.from_config(config)
            return peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **lora))

    return build


def test_peft_matches_no_layer_with_a_negative_index(adapt):
    from peft.utils.error import NoMatchingPeftModuleError

    with pytest.raises(NoMatchingPeftModuleError):
        adapt(target_modules=["q_proj"], layers_to_transform=[-2, -1])
    mixed = adapt(target_modules=["q_proj"], layers_to_transform=[-1, 0])
    names = [name for name, weight in mixed.named_parameters() if "lora_A" in name]
    assert len(names) == 1
    assert "layers.0." in names[0]


def test_trainer_spares_biases_and_norms_from_decay():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict(
        {
            "score": torch.nn.Linear(2, 3),
            "norm": torch.nn.LayerNorm(2),
            "lora_A": torch.nn.Linear(2, 1),
        }
    )
    spared = transformers.Trainer.get_decay_parameter_names(None, model)
    assert set(spared) == {"score.weight", "lora_A.weight"}


def test_deepspeeds_optimizer_gets_all_trained_weights_as_one_group():
    pytest.importorskip("transformers")
    from transformers.integrations import deepspeed

    source = inspect.getsource(deepspeed)
    assert "DummyOptim(params=model_parameters)" in source
    assert "filter(lambda p: p.requires_grad, model.parameters())" in source


def test_trainers_own_scheduler_is_linear():
    transformers = pytest.importorskip("transformers")
    field = transformers.TrainingArguments.__dataclass_fields__["lr_scheduler_type"]
    assert str(getattr(field.default, "value", field.default)) == "linear"


def test_zero_reserves_the_whole_reduce_bucket():
    pytest.importorskip("deepspeed")
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    source = inspect.getsource(DeepSpeedZeroOptimizer.setup_buckets)
    assert "torch.empty(int(self.reduce_bucket_size)" in source
    config = DeepSpeedZeroConfig(stage=2)
    assert (config.contiguous_gradients, config.overlap_comm) == (True, False)
