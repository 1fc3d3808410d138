"""What a finished run gives away is said with its numbers; a healthy run is quiet."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ablation.evidence.health import (
    check_health,
    guessing_loss,
    health_json,
    health_line,
    health_rows,
    load_health,
    load_texts,
    read_curves,
)
from ablation.files import save_record
from ablation.settings.profile import Profile
from ablation.words.catalogue import load_catalogue

LABELS = 280
SETTINGS = {
    "learning_rate": 2e-4,
    "lr_scheduler_type": "linear",
    "lr_scheduler_kwargs": {},
    "warmup_steps": 0.1,
    "max_grad_norm": 1.0,
    "data.max_classes": None,
    "loss.use_class_weights": False,
    "deepspeed.zero_optimization.stage": 2,
    "lora.lora_dropout": 0.05,
}
PROFILE = Profile(label_counts=(50,) * 280, test_label_counts=(10,) * 280, num_labels=280)
STEPS = 200


def falling(start: float = 5.6, end: float = 1.0, wobble: float = 0.0) -> list[float]:
    return [end + (start - end) * math.exp(-step / 30) + wobble * step for step in range(STEPS)]


def linear(peak: float = 2e-4, warmup: int = 20) -> list[float]:
    rise = [peak * step / warmup for step in range(warmup)]
    return rise + [peak * (STEPS - step) / (STEPS - warmup) for step in range(warmup, STEPS)]


class Runs:
    """A grid and its runs, written as training leaves them behind."""

    def __init__(self, folder) -> None:
        self.folder, self.arms, self.runs = folder, {}, []

    def add(self, arm="current", seed=1, *, loss=None, rates=None, settings=None, **changes):
        own = SETTINGS | (settings or {})
        self.arms[arm] = {"arm": arm, "variant": f"variant-{arm}", "settings": own}
        self.runs.append({"arm": arm, "variant": f"variant-{arm}", "seed": seed})
        loss = falling(wobble=1e-6 * seed) if loss is None else loss
        rates = linear() if rates is None else rates
        metrics = {
            "status": changes.get("status", "completed"),
            "environment": changes.get("environment", {}),
            "optimisation": {
                "initial_loss": loss[0],
                "ln_num_labels": math.log(LABELS),
                "clipped_share": changes.get("clipped", 0.1),
                "grad_norm": {"median": changes.get("median", 0.5), "q95": 2.0},
                "steps": len(loss),
            },
        }
        folder = self.folder / f"variant-{arm}" / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(metrics))
        lines = [
            json.dumps({"step": step, "loss": value, "learning_rate": rate, "grad_norm": 1.0})
            for step, (value, rate) in enumerate(zip(loss, rates, strict=False), start=1)
        ]
        (folder / "history.jsonl").write_text("\n".join(lines) + "\n")
        return self

    def check(self, profile=PROFILE):
        grid = {"study": "s", "arms": list(self.arms.values()), "runs": self.runs}
        return check_health(grid, self.folder, profile)

    def only(self, profile=PROFILE):
        found = self.check(profile)
        assert len(found) == 1, [w.id for w in found]
        return found[0]


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path)


def test_a_healthy_run_has_no_warnings(runs):
    assert runs.add(seed=1).add(seed=2).check() == []


def test_a_first_loss_of_77_against_ln_280_is_a_problem(runs):
    warning = runs.add(loss=falling(77.0)).only()
    assert (warning.id, warning.severity) == ("first_loss", "problem")
    assert warning.numbers["ratio"] == pytest.approx(77 / math.log(280))
    assert warning.numbers["labels"] == 280
    assert "the first loss is 77, 13.7× of the 5.63" in health_line(warning, load_texts("en"))


@pytest.mark.parametrize(("ratio", "expected"), [(1.4, []), (1.6, ["warning"]), (6, ["problem"])])
def test_a_first_loss_counts_from_one_and_a_half_times_guessing(runs, ratio, expected):
    found = runs.add(loss=falling(ratio * math.log(LABELS))).check()
    assert [w.severity for w in found] == expected


def test_gradients_cut_by_99_5_percent_are_said_with_norm_and_threshold(runs):
    found = runs.add(clipped=1.0, median=200.0).check()
    assert [w.id for w in found] == ["gradient_cut", "steps_clipped"]
    assert found[0].numbers["cut"] == pytest.approx(0.995)
    text = health_line(found[0], load_texts("en"))
    assert "99.5% of the gradient's length (200 down to 1)" in text


def test_without_clipping_nothing_is_clipped(runs):
    assert runs.add(clipped=0.0, median=200.0, settings={"max_grad_norm": 0.0}).check() == []


@pytest.mark.parametrize(("share", "count"), [(0.5, 0), (0.51, 1)])
def test_more_than_half_of_the_steps_clipped_is_a_warning(runs, share, count):
    assert len(runs.add(clipped=share, median=0.9).check()) == count


def test_seeds_of_an_arm_are_one_warning_with_the_worst_numbers(runs):
    for seed, start in ((1, 40.0), (2, 80.0), (3, 60.0)):
        runs.add(seed=seed, loss=falling(start))
    warning = runs.only()
    assert warning.seeds == (1, 2, 3) and warning.numbers["loss"] == 80.0


def test_a_setting_that_moves_no_step_is_a_dead_knob(runs):
    for seed in (1, 2):
        runs.add(seed=seed)
        runs.add("stage1-dropout", seed, settings={"lora.lora_dropout": 0.1})
    warning = runs.only()
    assert (warning.id, warning.severity) == ("dead_knobs", "warning")
    assert warning.arm == "stage1-dropout" and warning.seeds == (1, 2)
    assert warning.numbers == {"other": "current", "settings": ["lora.lora_dropout"]}


def test_one_seed_that_differs_makes_a_knob_alive(runs):
    runs.add(seed=1).add("a", 1).add(seed=2)
    runs.add("a", 2, loss=falling(wobble=1e-5))
    assert runs.check() == []


def test_a_systems_setting_that_moves_no_step_is_as_it_should_be(runs):
    device = {"deepspeed.zero_optimization.offload_optimizer.device": "cpu"}
    none = {"deepspeed.zero_optimization.offload_optimizer.device": "none"}
    warning = runs.add(settings=none).add("offload", settings=device).only()
    assert (warning.id, warning.severity) == ("systems_only", "info")


def test_settings_that_choose_among_the_weights_are_not_expected_to_move_the_loss(runs):
    kept = {"load_best_model_at_end": True, "metric_for_best_model": "accuracy"}
    last = {"load_best_model_at_end": False, "metric_for_best_model": None}
    assert runs.add(settings=kept).add("stage1-last", settings=last).check() == []
    runs.add("stage2-dropout", settings=last | {"lora.lora_dropout": 0.1})
    assert runs.only().numbers == {"other": "current", "settings": ["lora.lora_dropout"]}


def test_seeds_with_identical_curves_are_a_problem(runs):
    for seed in (1, 2, 3):
        runs.add(seed=seed, loss=falling(wobble=1e-6 * (seed > 2)))
    warning = runs.only()
    assert (warning.id, warning.severity, warning.seeds) == ("same_seeds", "problem", (1, 2))


def test_a_loss_at_the_level_of_guessing_is_a_problem_although_it_fell(runs):
    found = runs.add(loss=falling(77.0, 5.62)).check()
    assert [w.id for w in found] == ["first_loss", "no_better_than_guessing"]
    assert found[1].numbers["guess"] == pytest.approx(math.log(280))


def test_a_loss_below_guessing_that_does_not_move_is_flat(runs):
    warning = runs.add(loss=[3.0 + 0.01 * math.sin(step) for step in range(STEPS)]).only()
    assert (warning.id, warning.severity) == ("loss_flat", "warning")


def test_a_loss_that_rises_is_a_warning(runs):
    warning = runs.add(loss=[1.0 + step / 100 for step in range(STEPS)]).only()
    assert warning.id == "loss_rises" and warning.numbers["ratio"] > 2


def test_guessing_is_by_frequency_and_by_number_with_class_weights():
    profile = Profile(label_counts=(90, 10, 0))
    expected = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert guessing_loss(SETTINGS, profile) == pytest.approx(expected)
    weighted = SETTINGS | {"loss.use_class_weights": True}
    assert guessing_loss(weighted, profile) == pytest.approx(math.log(2))
    assert guessing_loss(SETTINGS | {"data.max_classes": 1}, profile) == 0.0
    assert guessing_loss(SETTINGS, None) is None


def test_a_diverged_run_is_named_with_its_step_and_its_last_loss(runs):
    loss = [5.6, 7.0, 300.0, None]
    warning = runs.add(loss=loss, status="diverged").only()
    assert (warning.id, warning.severity) == ("diverged", "problem")
    assert warning.numbers == {"step": 4, "first": 5.6, "last": 300.0}


def test_labels_that_an_arm_never_trains_on_limit_its_accuracy(runs):
    runs.add(settings={"data.max_classes": 252})
    warning = runs.only()
    assert warning.id == "unseen_labels"
    assert warning.numbers == {"labels": 28, "rows": 280, "share": 0.1, "best": 0.9}
    assert "cannot exceed 90.0%" in health_line(warning, load_texts("en"))


def test_labels_without_training_rows_count_as_unseen(runs):
    profile = Profile(label_counts=(9, 0), test_label_counts=(6, 2))
    found = [w for w in runs.add(loss=falling(0.5, 0.0)).check(profile) if w.id == "unseen_labels"]
    assert found[0].numbers["rows"] == 2


def test_a_logarithmic_warmup_hardly_warms_up(runs):
    rise = [0.0] + [2e-4 * math.log(step + 1) / math.log(100) for step in range(1, 100)]
    settings = {"lr_scheduler_type": "WarmupLR", "lr_scheduler_kwargs": {"warmup_num_steps": 100}}
    warning = runs.add(rates=rise + [2e-4] * 100, settings=settings).only()
    assert warning.id == "warmup_flat" and warning.numbers["steps"] == 100
    assert warning.numbers["mean"] > 0.75


def test_a_warmup_longer_than_the_run_never_reaches_the_learning_rate(runs):
    rates = [2e-4 * step / 1000 for step in range(STEPS)]
    warning = runs.add(rates=rates, settings={"warmup_steps": 1000.0}).only()
    assert warning.id == "peak_not_reached"
    assert warning.numbers["ratio"] == pytest.approx(0.199)


def test_a_schedule_with_a_rate_of_its_own_exceeds_the_one_that_is_set(runs):
    settings = {"lr_scheduler_type": "WarmupLR", "lr_scheduler_kwargs": {"warmup_max_lr": 1e-3}}
    assert runs.add(rates=linear(1e-3), settings=settings).only().id == "peak_exceeded"


def test_a_schedule_that_ignores_the_learning_rate_is_not_held_against_it(runs):
    assert runs.add(rates=linear(1e-3), settings={"lr_scheduler_type": "OneCycle"}).check() == []


def test_many_steps_at_rate_zero_are_noted_and_a_first_one_is_not(runs):
    rates = [0.0] * 20 + linear()[: STEPS - 20]
    assert [w.id for w in runs.add(rates=rates).check()] == ["idle_steps"]


def test_a_run_that_is_missing_or_broken_is_skipped(runs):
    runs.add(seed=1)
    runs.runs.append({"arm": "current", "variant": "variant-current", "seed": 9})
    (runs.folder / "variant-current" / "seed-2").mkdir()
    (runs.folder / "variant-current" / "seed-2" / "metrics.json").write_text("{")
    runs.runs.append({"arm": "current", "variant": "variant-current", "seed": 2})
    assert runs.check() == []


def test_the_worst_warnings_come_first(runs):
    runs.add("a", loss=falling(77.0)).add("b", clipped=0.9)
    assert [w.severity for w in runs.check()] == ["problem", "warning"]


def test_a_cut_off_history_is_read_to_its_last_whole_line(tmp_path):
    file = tmp_path / "history.jsonl"
    file.write_text(
        '{"step": 1, "loss": 2.0, "learning_rate": 0.1}\n'
        '{"step": 2, "loss": null, "learning_rate": 0.2}\n'
        '{"step": 2, "loss": 3.0, "learning_rate": 0.3}\n{"step": 3, "lo'
    )
    loss, rate = read_curves(tmp_path)
    assert loss.tolist() == [2.0, 3.0] and rate.tolist() == [0.1, 0.3]
    assert np.size(read_curves(tmp_path / "none")[0]) == 0


def every_warning(runs) -> list:
    runs.add("a", loss=falling(77.0), clipped=1.0, median=99.0)
    runs.add("b", loss=[5.6, 9.0, None], status="diverged")
    runs.add("c", loss=[6.0] * STEPS).add("d", loss=[3.0] * STEPS, settings={"warmup_steps": 150.0})
    runs.add("e", loss=[1 + step / 50 for step in range(STEPS)], rates=[2e-4] * STEPS)
    runs.add("f", loss=falling(wobble=3e-6), rates=[0.0] * 20 + linear(1e-5)[: STEPS - 20])
    runs.add("g", loss=falling(wobble=4e-6), rates=linear(1e-3))
    runs.add("h", settings={"data.max_classes": 9}).add("i", settings={"lora.lora_dropout": 0.2})
    stage = {"deepspeed.zero_optimization.reduce_bucket_size": 5}
    runs.add("j", loss=falling(wobble=7e-6)).add("k", loss=falling(wobble=7e-6), settings=stage)
    for arm, seed in (("l", 1), ("m", 3), ("n", 4)):
        runs.add(arm, seed, environment={"data": "sum", "versions": {"deepspeed": "0.19.8"}})
    other = {"data": "other", "versions": {"deepspeed": "0.18.0", "torch": "2.12.0"}}
    offload = "deepspeed.zero_optimization.offload_optimizer.device"
    runs.add("o", 5, environment=other, settings={"gradient_accumulation_steps": 2, offload: "cpu"})
    runs.add("p", 6, environment={"device": "cuda"}).add("q", 7, environment={"device": "cpu"})
    return runs.add("l", 2, loss=falling(wobble=1e-6)).check()


def test_every_warning_has_its_texts_in_both_languages(runs):
    found = every_warning(runs)
    known = {
        key.removesuffix(".text") for key in load_catalogue("health", "en") if key.endswith(".text")
    }
    assert {warning.id for warning in found} == known
    for language in ("en", "ko"):
        for row in health_rows(found, language):
            assert row["title"] and row["text"] and "{" not in row["text"]


def test_warnings_survive_their_file(runs, tmp_path):
    found = every_warning(runs)
    save_record(health_json(found), tmp_path / "health.json")
    again = load_health(tmp_path / "health.json")
    assert [(w.id, w.arm, w.seeds) for w in again] == [(w.id, w.arm, w.seeds) for w in found]
    assert health_rows(again, "ko") == health_rows(found, "ko")
