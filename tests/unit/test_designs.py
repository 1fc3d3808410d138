"""Designs share runs where arms are equal, name arms by content, and leave out what cannot run."""

from __future__ import annotations

import random
from itertools import pairwise

import pandas as pd
import pytest

from ablation.designs.compute_matched import match_compute
from ablation.designs.contrast import Contrast
from ablation.designs.feasibility import Reason, cannot_run
from ablation.designs.fractions import design_of, resolution
from ablation.designs.staged import staged_plan
from ablation.errors import UserError
from ablation.evidence.contrast import planned_contrasts, values_of
from ablation.evidence.decisions import decide_seeds
from ablation.evidence.estimate import estimate_effects
from ablation.evidence.metrics import collect
from ablation.evidence.spread import spread_of
from ablation.files import save_json
from ablation.study import power
from ablation.study.adaptive import candidates, seeds_grid, step_arms, steps_of_path
from ablation.study.forecast_text import load_texts
from ablation.study.grid import expand, load_grid
from ablation.study.load import load_study
from ablation.study.outline import outline


@pytest.fixture
def study(account_tax):
    """A function that adds keys to the copied study and loads it."""
    file = account_tax / "study.yaml"
    original = file.read_text()

    def load(keys: str = "", **changes: str):
        text = original
        for old, new in changes.items():
            assert f"{old}: " in text
            line = next(line for line in text.splitlines() if line.startswith(f"{old}: "))
            text = text.replace(line, f"{old}: {new}")
        file.write_text(f"{text}\n{keys}\n")
        return load_study(file)

    return load


def message(study, keys: str, **changes: str) -> str:
    with pytest.raises(UserError) as caught:
        expand(study(keys, **changes))
    return str(caught.value)


def arms_of(grid, design: str) -> list[str]:
    return next(d for d in grid.designs if d["design"] == design)["arms"]


STAGES = ["lora_learning_rate", "epochs", "decay_length_scheduler"]


# --- Designs -----------------------------------------------------------------------------------


def test_without_designs_there_are_the_five_arms_of_the_staged_path(study):
    grid = expand(study())
    assert [arm.variant for arm in grid.arms] == [
        "r128-lr2e-05-ep3-729d633d",
        "r256-lr1e-05-ep3-21c2defa",
        "r256-lr1e-05-ep10-a66a1d4a",
        "r256-lr1e-05-ep10-d18bd7b3",
        "r256-lr1e-05-ep10-267d832d",
    ]
    assert [arm.kind for arm in grid.arms] == ["endpoint", "stage", "stage", "stage", "endpoint"]
    assert grid.arms[-1].stages == (*STAGES, "remainder")
    assert grid.arms[2].stages == ("lora_learning_rate", "epochs")


def test_no_design_renames_or_reorders_the_runs_of_the_staged_path(study):
    plain = [arm.variant for arm in expand(study()).arms]
    every = "designs: [factorial: {remainder: true}, one_at_a_time, leave_one_out, a_a]"
    assert [arm.variant for arm in expand(study(every)).arms][:5] == plain


def test_only_one_stage_is_the_first_stage_arm_and_shares_it(study):
    grid = expand(study("designs: [one_at_a_time]"))
    assert arms_of(grid, "one_at_a_time") == [
        "current",
        "stage1-lora_learning_rate",
        "only-epochs",
        "only-decay_length_scheduler",
        "only-remainder",
    ]
    first = next(arm for arm in grid.arms if arm.name == "stage1-lora_learning_rate")
    assert first.designs == ("staged", "one_at_a_time") and first.kind == "stage"


def test_all_but_the_remainder_is_the_last_stage_arm(study):
    grid = expand(study("designs: [leave_one_out]"))
    assert arms_of(grid, "leave_one_out") == [
        "backup",
        "without-lora_learning_rate",
        "without-epochs",
        "without-decay_length_scheduler",
        "stage3-decay_length_scheduler",
    ]
    without = next(arm for arm in grid.arms if arm.name == "without-epochs")
    assert without.settings["num_train_epochs"] == 3.0 and without.settings["lora.r"] == 256


def test_only_the_stages_that_are_named_are_left_out(study):
    grid = expand(study("designs: [leave_one_out: {stages: [epochs]}]"))
    assert arms_of(grid, "leave_one_out") == ["backup", "without-epochs"]
    facts = next(d for d in grid.designs if d["design"] == "leave_one_out")
    assert not facts["whole"]  # another stage may still be left out: that is a question


def test_a_stage_that_is_left_out_is_one_of_the_studys(study):
    with pytest.raises(UserError) as caught:
        study("designs: [leave_one_out: {stages: [epoch]}]")
    assert "no stage has this name" in str(caught.value) and "- epochs" in str(caught.value)


def test_a_factorial_has_every_set_of_stages_once(study):
    grid = expand(study("designs: [factorial]"))
    members = [arm for arm in grid.arms if "factorial" in arm.designs]
    assert len({frozenset(arm.stages) for arm in members}) == len(members) == 8
    assert len(grid.arms) == 5 + 8 - 4  # current and the stage arms are cells of it
    assert len({arm.variant for arm in members}) == 8


def test_with_the_remainder_the_factorial_ends_at_the_backup(study):
    grid = expand(study("designs: [factorial: {remainder: true}]"))
    names = arms_of(grid, "factorial")
    assert len(names) == 16 and names[0] == "current" and names[-1] == "backup"


def test_a_fraction_has_resolution_four_and_both_ends(study):
    grid = expand(study("designs: [fractional: {remainder: true}]"))
    facts = next(d for d in grid.designs if d["design"] == "fractional")
    cells = [frozenset(arm.stages) for arm in grid.arms if "fractional" in arm.designs]
    assert facts["generators"] == ["D=ABC"] and len(cells) == 8
    assert resolution(design_of(cells, facts["factors"])) == 4
    assert {"current", "backup"} <= set(facts["arms"])


def test_factors_can_be_lists_of_settings(study):
    keys = (
        "designs: [factorial: {factors: {rank: [lora.r, lora.lora_alpha], rate: [learning_rate]}}]"
    )
    grid = expand(study(keys))
    names = arms_of(grid, "factorial")
    assert names == ["current", "only-rank", "only-rate", "cell-rank+rate"]
    both = grid.arms[-1]
    # What both do together is what the first stage does: one run.
    assert both.variant == grid.arms[1].variant and both.stages == ("rank", "rate")
    rank = next(arm for arm in grid.arms if arm.name == "only-rank")
    assert rank.settings["lora.r"] == 256 and rank.settings["learning_rate"] == 2e-5


def test_a_factor_moves_what_belongs_to_its_settings(study):
    keys = (
        "designs: [factorial: {factors: {best: [load_best_model_at_end], "
        "scheduler: [lr_scheduler_type]}}]"
    )
    facts = next(d for d in expand(study(keys)).designs if d["design"] == "factorial")
    assert "metric_for_best_model" in facts["settings"]["best"]
    assert "lr_scheduler_kwargs" in facts["settings"]["scheduler"]


def test_a_grid_has_every_combination_on_top_of_its_base(study):
    keys = "designs: [grid: {base: epochs, values: {learning_rate: [1e-4, 2e-4], lora.r: [8, 16]}}]"
    grid = expand(study(keys))
    cells = [arm for arm in grid.arms if arm.kind == "grid"]
    assert [(a.settings["learning_rate"], a.settings["lora.r"]) for a in cells] == [
        (1e-4, 8),
        (1e-4, 16),
        (2e-4, 8),
        (2e-4, 16),
    ]
    assert all(arm.settings["num_train_epochs"] == 10.0 for arm in cells)
    assert cells[0].name == "grid-learning_rate=0.0001,lora.r=8"


def test_the_plan_tells_an_arm_of_a_grid_by_what_it_changes_in_its_base(study):
    loaded = study("designs: [grid: {base: epochs, values: {learning_rate: [1e-4], lora.r: [8]}}]")
    told = outline(loaded, expand(loaded), 1, False, load_texts("en"))
    line = "  grid-learning_rate=0.0001,lora.r=8: stage2-epochs with learning_rate 1e-4, lora.r 8"
    assert line in told.splitlines()


def test_a_value_of_a_grid_has_the_type_of_its_setting_and_shares_an_equal_run(study):
    grid = expand(study("designs: [grid: {values: {num_train_epochs: [3, 5]}}]"))
    same, other = (arm for arm in grid.arms if arm.kind == "grid")
    assert same.variant == grid.arms[0].variant != other.variant
    assert len(grid.runs()) == 6 * 3


def test_a_a_is_current_with_other_seeds_beside_its_own(study):
    grid = expand(study("designs: [a_a]"))
    arm = grid.arms[-1]
    assert (arm.name, arm.kind, arm.seeds) == ("a_a", "control", (1001, 1002, 1003))
    assert arm.variant == grid.arms[0].variant
    runs = [run for run in grid.as_json()["runs"] if run["arm"] == "a_a"]
    assert [(run["seed"], run["paired_seed"]) for run in runs] == [(1001, 1), (1002, 2), (1003, 3)]
    assert len(grid.runs()) == 6 * 3


def test_seeds_of_the_a_a_control_can_be_named(study):
    assert expand(study("designs: [a_a: {seeds: [7, 8, 9]}]")).arms[-1].seeds == (7, 8, 9)


def test_a_grid_of_all_designs_survives_its_file(study, tmp_path):
    keys = "designs: [leave_one_out, a_a, compute_matched, fractional: {remainder: true}]"
    grid = expand(study(keys))
    save_json(grid.as_json(), tmp_path / "grid.json")
    assert load_grid(tmp_path / "grid.json") == grid


def test_the_plan_tells_what_other_designs_add(study):
    loaded = study("designs: [leave_one_out, a_a, compute_matched]\nsequential: {looks: [3, 5, 8]}")
    told = outline(loaded, expand(loaded), 1, False, load_texts("en"))
    assert "without-epochs: lora_learning_rate + decay_length_scheduler + remainder" in told
    assert "a_a: current with seeds 1001, 1002, 1003" in told
    assert "left out: matched-decay_length_scheduler: rows are padded to the longest" in told
    assert "looks at 3, 5, 8 seeds" in told


# --- Equal compute -----------------------------------------------------------------------------


def settings(**changes) -> dict:
    base = {
        "per_device_train_batch_size": 32,
        "gradient_accumulation_steps": 1,
        "world_size": 4,
        "num_train_epochs": 3.0,
        "max_steps": -1,
        "max_length": 256,
        "padding": "max_length",
        "data.extract_ratio": 0.1,
        "data.max_classes": None,
        "deepspeed.zero_optimization.stage": 2,
        "optim": "adamw",
        "optim_implementation": "torch",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "linear",
    }
    return base | changes


def test_a_stage_that_only_trains_longer_is_its_own_control(study):
    grid = expand(study("designs: [compute_matched]"))
    arms = {arm.name: arm for arm in grid.arms}
    assert arms["matched-epochs"].variant == arms["stage2-epochs"].variant


def test_half_the_batch_is_matched_in_steps_by_twice_the_epochs():
    arm = settings(per_device_train_batch_size=16)
    assert match_compute(settings(), arm, "steps") == {"num_train_epochs": 6.0}
    assert match_compute(settings(), arm, "tokens") == {}


def test_longer_rows_and_more_of_them_are_matched_in_tokens_by_epochs():
    arm = settings(max_length=512, **{"data.extract_ratio": 0.2})
    assert match_compute(settings(), arm, "tokens") == {"num_train_epochs": 12.0}


def test_limits_of_steps_are_matched_by_limits_of_steps():
    before, arm = settings(max_steps=100), settings(max_steps=300, per_device_train_batch_size=16)
    assert match_compute(before, arm, "steps") == {"max_steps": 300}
    assert match_compute(before, arm, "tokens") == {"max_steps": 150}


def test_what_depends_on_rows_or_texts_is_left_out_with_the_reason():
    assert match_compute(settings(), settings(max_steps=9), "steps") == Reason("rows_not_known")
    longest = settings(padding="longest"), settings(padding="longest", max_length=512)
    assert match_compute(*longest, "tokens").id == "tokens_depend_on_texts"
    assert match_compute(*longest, "steps") == {}


# --- What cannot run ---------------------------------------------------------------------------

_OFFLOAD = "deepspeed.zero_optimization.offload_"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fp16": True, "bf16": True}, "fp16_and_bf16"),
        (
            {"load_best_model_at_end": True, "metric_for_best_model": None},
            "best_without_metric",
        ),
        ({"lora.enable": True, "lora.r": None}, "adapter_without_shape"),
        ({"lora.layers_to_transform": [35, 36]}, "layers_beyond_model"),
        ({"lora.target_modules": ["q_prj", "v_proj"]}, "modules_not_in_model"),
        ({"lora.target_modules": "q_proj,v_proj"}, "modules_not_in_model"),
        ({"lora.target_modules": "*q_proj"}, "modules_not_in_model"),
        ({"lora.target_modules": r".*layers\.3[45]\..*\.(q|v)_proj"}, None),
        ({"lora.target_modules": "all-linear"}, None),
        ({"lora.target_modules": ["self_attn.q_proj", "lm_head"]}, None),
        (
            {f"{_OFFLOAD}optimizer.device": "cpu", "deepspeed.zero_optimization.stage": 0},
            "offload_below_stage",
        ),
        ({f"{_OFFLOAD}param.device": "cpu"}, "offload_below_stage"),
        (
            {f"{_OFFLOAD}param.device": "nvme", "deepspeed.zero_optimization.stage": 3},
            "nvme_without_path",
        ),
        ({"per_device_train_batch_size": 5, "world_size": 1}, "batch_not_divisible"),
        ({f"{_OFFLOAD}optimizer.device": "cpu"}, None),
    ],
)
def test_a_forbidden_combination_has_a_reason_in_both_languages(changes, reason):
    model = {"num_hidden_layers": 36, "model_type": "qwen3"}
    found = cannot_run(settings(**changes), model, devices=2)
    assert (found.id if found else None) == reason
    if found:
        assert found.text("en") and found.text("ko") and found.text("en") != found.text("ko")


def test_an_arm_that_cannot_run_is_left_out_with_its_reason(study):
    keys = "designs: [grid: {values: {lora.layers_to_transform: [[34, 35], [36]]}}]"
    grid = expand(study(keys))
    assert [arm.name for arm in grid.arms if arm.kind == "grid"] == [
        "grid-lora.layers_to_transform=34-35"
    ]
    lost = grid.as_json()["left_out"]
    assert lost[0]["reason"] == "layers_beyond_model"
    assert "36 layers" not in lost[0]["text"]["en"] and "has 36" in lost[0]["text"]["en"]


def test_an_arm_of_the_staged_path_that_cannot_run_is_the_users_mistake(study):
    with pytest.raises(UserError, match="cannot be split over 3 devices") as caught:
        expand(study(), devices=3)
    assert "write:   devices_per_run: auto" in str(caught.value)


# --- Mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ("designs: [one_at_time]", ["cannot be so", "write:   - one_at_a_time"]),
        ("designs: [grids: {}]", ["unknown key 'grids'", "write:   grid: …"]),
        ("designs: [a_a, a_a: {seeds: [9, 8, 7]}]", ["a design stands twice"]),
        (
            "designs: [fractional]",
            ["4 to 8 factors", "found:   3:", "write:   - fractional: {remainder: true}"],
        ),
        (
            "designs: [factorial: {factors: {a: [lora.rr], b: [learning_rate]}}]",
            ["differs nowhere", "write:   - lora.r"],
        ),
        (
            "designs: [factorial: {factors: {a: [lora.r], b: [lora.r]}}]",
            ["stands in two factors", "already in 'a'"],
        ),
        (
            "designs: [factorial: {factors: {epochs: [lora.r], b: [learning_rate]}}]",
            ["a stage's name and other settings"],
        ),
        (
            "designs: [factorial: {factors: {remainder: [lora.r], b: [learning_rate]}}]",
            ["cannot have this name"],
        ),
        (
            "designs: [grid: {base: epoch, values: {lora.r: [8]}}]",
            ["arm that is not there", "write:   base: epochs"],
        ),
        (
            "designs: [grid: {values: {lora_r: [8]}}]",
            ["names what no arm has", "write:   lora.r: …"],
        ),
        ("designs: [grid: {values: {lora.r: [0]}}]", ["lora.r has a value", "found:   0"]),
        (
            "designs: [greedy_path]\nsequential: {looks: [3, 5]}",
            ["needs all seeds", "write:   sequential: null"],
        ),
        (
            "designs: [a_a: {seeds: [1, 8, 9]}]",
            ["compared with itself", "found:   [1]", "write:   seeds: [4, 5, 6]"],
        ),
        ("designs: [a_a: {seeds: [8, 9]}]", ["one other seed for each"]),
        ("sequential: {looks: [5, 3]}", ["looks must ascend", "write:   looks: [3, 5]"]),
        ("sequential: {looks: [2]}", ["more seeds than the last look"]),
        ("sequential: {looks: [3], spending: obrien}", ["cannot be so", "write:   spending: obf"]),
        (
            "confirm: {seeds: [3, 9]}",
            ["needs fresh seeds", "found:   [3]", "write:   confirm: {seeds: [4, 5]}"],
        ),
        ("confirm: {seed: [9, 10]}", ["unknown key 'seed' in confirm", "write:   seeds: …"]),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_to_write(study, keys, parts):
    text = message(study, keys)
    assert "study.yaml:" in text and "None" not in text.split("\n")[0]
    for part in parts:
        assert part in text


def test_all_mistakes_are_said_at_once(study):
    text = message(study, "designs: [fractional]\nconfirm: {seeds: [3, 9]}")
    assert text.startswith("2 problems")


def test_a_stage_cannot_be_called_remainder(study, edit, account_tax):
    edit("study.yaml", "name: epochs", "name: remainder")
    with pytest.raises(UserError, match="what no stage names"):
        load_study(account_tax / "study.yaml")


# --- What results decide -----------------------------------------------------------------------


def test_seeds_go_on_where_the_study_lists_fewer_than_the_last_look(study):
    loaded = study("sequential: {looks: [3, 5, 8]}", seeds="[4, 2]")
    assert loaded.all_seeds() == [4, 2, 5, 6, 7, 8, 9, 10]
    assert expand(loaded).seeds == [4, 2, 5]


def test_only_arms_that_are_still_open_get_more_seeds(study):
    loaded = study("sequential: {looks: [2, 3, 5]}\ndesigns: [a_a]")
    going = [
        {"stop": False, "arms": ["current", "backup", "a_a"]},
        {"stop": False, "arms": ["current", "backup", "a_a"]},
    ]
    grid = seeds_grid(loaded, going)
    counts = {arm.name: 0 for arm in grid.arms}
    for arm, _, _ in grid.arm_runs():
        counts[arm.name] += 1
    assert counts["current"] == counts["backup"] == counts["a_a"] == 5
    assert counts["stage2-epochs"] == 2
    final = seeds_grid(loaded, [going[0], {"stop": True, "arms": []}])
    assert final.seeds == [1, 2, 3]


def test_looks_that_are_not_given_are_those_of_the_analysis(study):
    assert study("sequential: {}").options["sequential"]["looks"] == list(power.LOOKS)


def test_planned_contrasts_name_each_pair_of_arms_once_and_no_arm_against_itself(study):
    grid = expand(study("designs: [one_at_a_time, leave_one_out, factorial, a_a]"))
    ids = [planned.id for planned in planned_contrasts(grid)]
    assert ids == [
        *(f"stage:{name}" for name in STAGES),
        "remainder",
        "gap",
        *(f"total:stage{number}-{name}" for number, name in enumerate(STAGES[1:], start=2)),
        *(f"only:{name}" for name in [*STAGES[1:], "remainder"]),
        *(f"without:{name}" for name in STAGES),
        *(f"shapley:{name}" for name in STAGES),
        *(f"total:without-{name}" for name in STAGES),
        "total:cell-lora_learning_rate+decay_length_scheduler",
        "total:cell-epochs+decay_length_scheduler",
    ]
    for planned in planned_contrasts(grid):
        assert sum(planned.weights.values()) == pytest.approx(0)


def test_without_one_of_its_cells_a_design_has_no_contrasts(study):
    loaded = study("designs: [fractional: {remainder: true}, factorial]")
    grid = expand(loaded)
    gone = next(arm for arm in grid.arms if set(arm.stages) == {"epochs"})
    grid.arms.remove(gone)
    assert not [p for p in planned_contrasts(grid) if p.id.startswith("shapley:")]


def fake_run(folder, accuracy: float, status: str = "completed") -> None:
    block = {"eval_accuracy": accuracy, "eval_loss": 1 - accuracy}
    quality = {"selected": "final", "final": block if status == "completed" else None}
    metrics = {"schema_version": 1, "status": status, "quality": quality}
    save_json(metrics | {"environment": {}, "data": {}, "optimisation": {}, "cost": {}}, folder)


def test_a_decision_names_what_it_is_waiting_for(study, tmp_path):
    loaded = study("sequential: {looks: [3, 5], spending: pocock}")
    grid = seeds_grid(loaded, [])
    steps = [(0.3, 0.302, 0.302), (0.0025, 0.006, 0.0085), (1e-4, -1e-4, 2e-4), (0.3, 0.301, 0.302)]
    values = [(0.1, 0.11, 0.12)]
    for step in steps:
        values.append(tuple(v + s for v, s in zip(values[-1], step, strict=True)))
    for arm, own in zip(grid.arms, values, strict=True):
        for seed, value in zip(grid.seeds, own, strict=True):
            fake_run(tmp_path / arm.variant / f"seed-{seed}" / "metrics.json", value)
    runs = collect(grid, tmp_path)
    decision = decide_seeds(grid, runs, loaded.all_seeds(), loaded.options, 1)
    assert (decision["stop"], decision["reason"]) == (False, "continue")
    assert decision["seeds"] == [4, 5] and decision["family"] == 7
    statuses = {c["id"]: c["status"] for c in decision["contrasts"]}
    assert statuses["stage:lora_learning_rate"] == "superior"
    assert statuses["stage:decay_length_scheduler"] == "equivalent"
    assert statuses["stage:epochs"] == "continue"
    assert {"stage1-lora_learning_rate", "stage2-epochs"} <= set(decision["arms"])
    once = loaded.options | {"sequential": loaded.options["sequential"] | {"looks": [3]}}
    last = decide_seeds(grid, runs, loaded.all_seeds(), once, 1)
    assert (last["stop"], last["reason"], last["seeds"]) == (True, "maximum_reached", [])


def test_the_family_of_a_decision_is_the_one_of_the_effects(study, tmp_path):
    loaded = study(
        "designs: [one_at_a_time, leave_one_out, factorial, fractional: {remainder: true}, a_a]\n"
        "sequential: {looks: [3, 5]}"
    )
    grid = seeds_grid(loaded, [])
    for number, arm in enumerate(grid.arms):
        for place, seed in enumerate(grid.seeds if arm.seeds is None else arm.seeds):
            value = random.Random(10 * number + place).gauss(0.4 + len(arm.stages) / 50, 0.01)
            fake_run(tmp_path / arm.variant / f"seed-{seed}" / "metrics.json", value)
    runs = collect(grid, tmp_path)
    decision = decide_seeds(grid, runs, loaded.all_seeds(), loaded.options, 1)
    effects = estimate_effects(grid, runs, loaded.options | {"claims": {}})
    assert {c["id"] for c in decision["contrasts"]} == set(effects.family.members)
    assert decision["family"] == effects.sequential.families
    here = {c["id"]: (c["status"], c["reason"]) for c in decision["contrasts"]}
    decided = {c.id: c.decision for c in effects.sequential.contrasts}
    there = {name: (one.status, one.reason) for name, one in decided.items()}
    assert here == there


def test_equal_differences_of_counts_have_no_spread():
    counts = {"arm": [501, 507, 511], "reference": [498, 504, 508]}
    table = pd.DataFrame(counts, index=[1, 2, 3]) / 1001
    weights = {"arm": 1.0, "reference": -1.0}
    gap = Contrast(id="gap", role="gap", factor=None, design="staged", weights=weights)
    found = values_of([gap], table)["gap"]
    assert found[1] == pytest.approx(3 / 1001) and spread_of(list(found.values())) is None


def test_a_greedy_path_has_all_sets_of_factors_to_choose_from(study):
    loaded = study("designs: [greedy_path]")
    among = candidates(loaded)
    assert len(among.arms) == 16 and steps_of_path(loaded) == 3
    base, found = step_arms(loaded, among, "forward", [])
    assert base.name == "current" and list(found) == [*STAGES, "remainder"]
    base, found = step_arms(loaded, among, "backward", [{"chosen": "epochs"}])
    assert base.name == "without-epochs" and "epochs" not in found and len(found) == 3


def test_candidates_have_the_variants_of_the_arms_they_are(study):
    loaded = study("designs: [greedy_path]")
    variants = {arm.variant for arm in candidates(loaded).arms}
    assert {arm.variant for arm in expand(loaded).arms} <= variants


def test_a_study_that_decides_nothing_has_no_candidates(study):
    assert candidates(study()) is None


def test_every_cell_of_the_path_contains_the_one_before(study):
    space = study().space()
    cells = staged_plan(space, {}, [1]).cells
    assert all(set(a.stages) <= set(b.stages) for a, b in pairwise(cells))
