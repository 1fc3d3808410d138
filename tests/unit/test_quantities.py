"""Steps, rates, decay, tokens and their ratios, worked out from settings."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from ablation.errors import UserError
from ablation.settings.quantities import (
    NOMINAL,
    PROFILE,
    STATED,
    DataFacts,
    compute,
    lora_scale,
    padded_tokens,
    rate_curve,
    ratio,
    read_plan,
    real_tokens,
)


def arm(**changes: Any) -> dict[str, Any]:
    return {
        "lora.r": 8,
        "lora.lora_alpha": 16.0,
        "learning_rate": 2e-5,
        "weight_decay": 0.01,
        "num_train_epochs": 3.0,
        "max_steps": -1,
        "per_device_train_batch_size": 32,
        "gradient_accumulation_steps": 1,
        "world_size": 4,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "linear",
        "lr_scheduler_kwargs": {},
        "data.extract_ratio": 0.1,
        "data.max_classes": None,
        "max_length": 256,
        "padding": "longest",
        **changes,
    }


BACKUP = {
    "num_train_epochs": 10.0,
    "data.extract_ratio": 1.0,
    "learning_rate": 1e-5,
    "weight_decay": 0.002,
    "per_device_train_batch_size": 16,
    "gradient_accumulation_steps": 2,
    "lr_scheduler_type": "WarmupCosineLR",
    "lr_scheduler_kwargs": {
        "cos_min_ratio": 0.025,
        "warmup_min_ratio": 0.1,
        "warmup_type": "linear",
    },
    "max_length": 320,
    "padding": "max_length",
}
THREE_MILLION = DataFacts(STATED, 2_100_000, (300_000, 600_000))


def both(plan: DataFacts) -> tuple:
    return compute(arm(), plan, None), compute(arm(**BACKUP), plan, None)


def test_ten_epochs_of_all_rows_are_33_times_three_epochs_of_a_tenth():
    current, backup = both(THREE_MILLION)
    assert current.values["steps"] == math.ceil(210_000 / 128) * 3
    assert current.values["sample_passes"] == 630_000
    assert backup.values["sample_passes"] == 21_000_000
    assert ratio(current, backup, "sample_passes")[0] == pytest.approx(100 / 3)
    assert ratio(current, backup, "num_train_epochs")[0] == pytest.approx(10 / 3)


def test_the_backup_ends_at_a_fortieth_of_its_peak():
    _, backup = both(THREE_MILLION)
    assert backup.values["learning_rate.last"] == pytest.approx(2.5e-7, rel=1e-6)
    assert backup.values["learning_rate.first"] == 0
    assert backup.values["learning_rate.first_above_zero"] == pytest.approx(1e-6)


def test_shrinkage_is_the_product_over_all_steps():
    settings = arm(weight_decay=10.0, learning_rate=1e-3)
    found = compute(settings, DataFacts(STATED, 12_800), None)
    product = 1.0
    for rate in rate_curve(settings, int(found.values["steps"]))[0]:
        product *= 1 - rate * 10.0
    assert found.values["weight_decay.shrinkage"] == pytest.approx(1 - product, rel=1e-9)


def test_a_smaller_coefficient_can_decay_more_over_a_longer_run():
    current, backup = both(THREE_MILLION)
    assert ratio(current, backup, "weight_decay")[0] == pytest.approx(0.2)
    assert ratio(current, backup, "weight_decay.sum")[0] == pytest.approx(3.44, abs=0.01)


def test_without_a_number_of_rows_only_what_does_not_depend_on_it_is_shown():
    current, backup = both(read_plan(None, None, (0.1, 0.2), []))
    assert current.values["steps"] is None
    assert current.values["learning_rate.sum"] is None
    assert current.values["learning_rate.peak"] == pytest.approx(2e-5)
    assert backup.values["learning_rate.last"] == pytest.approx(2.5e-7, rel=1e-4)
    assert ratio(current, backup, "learning_rate.sum")[0] == pytest.approx(17.2, abs=0.05)


def test_a_ratio_that_depends_on_the_number_of_rows_cannot_be_told():
    nominal = read_plan(None, None, (0.1, 0.2), [])
    fixed = compute(arm(max_steps=500), nominal, None)
    assert ratio(compute(arm(), nominal, None), fixed, "steps") == (None, None)
    assert fixed.values["steps"] == 500


def test_stated_rows_lose_what_is_held_out():
    plan = read_plan(None, 3_000_000, (0.1, 0.2), [280])
    assert (plan.origin, plan.pool, plan.num_labels) == (STATED, 2_100_000, 280)
    assert plan.evaluated == (300_000, 600_000)
    assert read_plan("/no/such/profile.json", None, (0.1, 0.2), []).origin == NOMINAL


@pytest.fixture
def profile(tmp_path):
    """A profile of 1000 training rows in three classes; 60 % of 100 tokens, 40 % of 300."""
    path = tmp_path / "profile.json"
    edges = [0, 100, 101, 300, 301]
    histogram = {"edges": edges, "counts": [0, 600, 0, 400]}
    content = {
        "rows": {"train": 1000, "validation": 100, "test": 200},
        "num_labels": 3,
        "label_counts": [700, 299, 1],
        "tokens": {"mean": 180.0, **dict.fromkeys(("median", "p95", "p99"), 200.0)}
        | {"max": 300, "histogram": histogram},
        "truncated_share": {"256": 0.4, "320": 0.0},
    }
    path.write_text(json.dumps(content))
    return read_plan(path, None, 0.0, [])


def test_prepared_data_gives_rows_labels_and_lengths(profile):
    assert (profile.origin, profile.num_labels, profile.longest) == (PROFILE, 3, 300)
    assert profile.train_rows(arm()) == 70 + 30 + 1
    assert profile.train_rows(arm(**{"data.max_classes": 2})) == 70 + 30
    assert profile.truncated == {256: 0.4, 320: 0.0}


def test_a_file_that_tells_of_no_rows_is_no_profile(tmp_path):
    path = tmp_path / "other.json"
    path.write_text('{"name": "x"}')
    with pytest.raises(UserError, match=r"other\.json: the file tells of no training rows"):
        read_plan(path, None, (0.1, 0.2), [])


def test_real_tokens_are_cut_at_the_limit(profile):
    assert real_tokens(arm(), profile) == pytest.approx(0.6 * 100 + 0.4 * 256)
    assert real_tokens(arm(max_length=320), profile) == pytest.approx(180)


def test_padding_to_the_longest_of_many_rows_is_nearly_the_longest_there_is(profile):
    one = arm(per_device_train_batch_size=1, max_length=320)
    assert padded_tokens(one, profile) == (pytest.approx(180), False)
    two = arm(per_device_train_batch_size=2, max_length=320)
    assert padded_tokens(two, profile)[0] == pytest.approx(0.36 * 100 + 0.64 * 300)
    assert padded_tokens(arm(), profile)[0] == pytest.approx(256, abs=0.1)
    assert padded_tokens(arm(padding="max_length", max_length=320), profile) == (320, False)


@pytest.mark.parametrize(
    ("here", "there", "bounds"),
    [
        (("longest", 256), ("longest", 320), (1.0, 1.25)),
        (("longest", 256), ("max_length", 320), (1.25, None)),
        (("max_length", 256), ("longest", 320), (None, 1.25)),
        (("max_length", 256), ("max_length", 320), (1.25, 1.25)),
        (("longest", 320), ("longest", 256), (0.8, 1.0)),
    ],
)
def test_tokens_are_known_within_bounds_before_the_data_is(here, there, bounds):
    sides = [compute(arm(padding=p, max_length=n), THREE_MILLION, None) for p, n in (here, there)]
    assert ratio(*sides, "tokens_per_row") == bounds


def test_rs_lora_scales_by_the_root_of_the_rank():
    assert lora_scale(arm()) == 2
    assert lora_scale(arm(**{"lora.use_rslora": True})) == pytest.approx(16 / math.sqrt(8))


def test_a_very_long_run_is_thinned_and_its_sums_stay():
    settings = arm(warmup_steps=1000.0)
    curve, stride = rate_curve(settings, 2_000_000)
    assert stride == 10
    assert len(curve) == 200_000
    exact = 2e-5 * (1000 + 1_999_000) / 2
    assert float(np.sum(curve)) * stride == pytest.approx(exact, rel=1e-3)


def test_the_first_and_last_rate_of_a_very_long_run_are_those_of_its_own_steps():
    long_run = arm(
        num_train_epochs=50.0,
        per_device_train_batch_size=1,
        world_size=1,
        warmup_steps=10.0,
        lr_scheduler_type="cosine",
        **{"data.extract_ratio": 1.0},
    )
    values = compute(long_run, DataFacts(STATED, 20_000), None).values
    assert values["steps"] == 1_000_000
    assert values["learning_rate.first_above_zero"] == pytest.approx(2e-6)
    end = 2e-5 * 0.5 * (1 + math.cos(math.pi * (1_000_000 - 1 - 10) / (1_000_000 - 10)))
    assert values["learning_rate.last"] == pytest.approx(end, rel=1e-6)
    nominal = compute(long_run, read_plan(None, None, (0.1, 0.2), []), None)
    assert nominal.values["learning_rate.last"] is None
    assert nominal.values["learning_rate.first_above_zero"] == pytest.approx(2e-6)


def test_without_weight_decay_nothing_shrinks():
    shrinkage = compute(arm(weight_decay=0.0), THREE_MILLION, None).values["weight_decay.shrinkage"]
    assert shrinkage == 0 and math.copysign(1, shrinkage) == 1
