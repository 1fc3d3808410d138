"""What Snakemake runs for a study: files, parameters, and what each run asks of the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablation.errors import UserError
from ablation.workflow.library import code_hashes
from ablation.workflow.plan import Caller, Plan, make_plan

ROOT = Path(__file__).resolve().parents[2]
LOCAL = Caller(cores=2, remote=False, dry=False, options=None)


@pytest.fixture(autouse=True)
def without_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def plan_of(account_tax: Path, caller: Caller = LOCAL, **options: object) -> Plan:
    config = {"study": account_tax.name, "studies": str(account_tax.parent), **options}
    return make_plan(config, Path("config/studies"), caller)


def test_a_finished_study_has_its_reports_its_patch_and_every_run(account_tax):
    plan = plan_of(account_tax, devices_per_run=1)
    files = plan.final_files()
    assert "results/account_tax/report.ko.md" in files
    assert "results/account_tax/report.html" in files
    assert "results/account_tax/recommended/training.patch" in files
    assert [path for path in files if path.endswith("metrics.json")] == plan.metrics()
    assert len(plan.metrics()) == 5 * 3
    assert plan.grid_of_run() == plan.grid_file() == "results/account_tax/grid.json"


def test_a_tracker_that_is_asked_for_is_told_last_and_none_is_by_itself(account_tax):
    assert not [f for f in plan_of(account_tax, devices_per_run=1).final_files() if "tracked" in f]
    asked = plan_of(account_tax, devices_per_run=1, trackers=["mlflow"])
    assert "results/account_tax/tracked/mlflow.json" in asked.final_files()
    with pytest.raises(UserError, match="trackers"):
        plan_of(account_tax, devices_per_run=1, trackers=["aim"])


def test_runs_that_are_alike_ask_by_a_value_and_others_by_a_function(account_tax):
    plan = plan_of(account_tax, devices_per_run=2)
    assert plan.per_run(lambda devices: 3 * devices) == 6
    first, second = (arm.variant for arm in plan.grid.arms[:2])
    plan.devices[first] = 7  # as where the source trains one side on more devices
    asked = plan.per_run(lambda devices: devices)
    assert asked(SimpleNamespace(variant=first)) == 7
    assert asked(SimpleNamespace(variant=second)) == 2


def test_the_longest_runs_start_first_and_runs_as_long_as_each_other_in_any_order(account_tax):
    plan = plan_of(account_tax, devices_per_run=1)
    first = plan.priority()
    by_arm = {a.name: first(SimpleNamespace(variant=a.variant)) for a in plan.grid.arms}
    assert by_arm["backup"] == max(by_arm.values())
    assert by_arm["stage2-epochs"] > by_arm["current"]
    plan.lengths.update(dict.fromkeys(plan.lengths, 1.0))
    assert plan.priority() == 0


def test_results_that_add_arms_have_a_grid_of_their_own(account_tax):
    text = (account_tax / "study.yaml").read_text()
    (account_tax / "study.yaml").write_text(text + "\nconfirm: {seeds: [101, 102]}\n")
    plan = plan_of(account_tax, devices_per_run=1)
    assert "results/account_tax/confirmation/verdict.json" in plan.final_files()
    grid_of = plan.grid_of_run()
    planned = {arm.variant for arm in plan.grid.arms}
    added = next(a.variant for a in plan.candidates.arms if a.variant not in planned)
    assert grid_of(SimpleNamespace(variant=next(iter(planned)))).endswith("/grid.json")
    assert grid_of(SimpleNamespace(variant=added)).endswith("/candidates.json")


def test_the_looks_end_with_the_one_that_stops(account_tax, tmp_path):
    plan = plan_of(account_tax, devices_per_run=1)
    asked = []

    def wait(look: int) -> str:
        asked.append(look)
        path = tmp_path / f"look-{look}.json"
        path.write_text(json.dumps({"stop": look == 2}))
        return str(path)

    assert [Path(path).stem for path in plan.looks(5, wait)] == ["look-1", "look-2"]
    assert asked == [1, 2]


def test_a_cluster_is_told_by_no_cores_and_shares_no_machine(account_tax):
    there = Caller(cores=None, remote=False, dry=True, options=None)
    plan = plan_of(account_tax, there, devices_per_run="source")
    assert plan.cluster and plan.on_gpus and plan.packing is None
    assert plan.per_run(lambda devices: devices) == 4


def test_what_cannot_start_is_told(account_tax, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"data\.path is not set"):
        plan_of(account_tax, devices_per_run=1).check_start()
    with pytest.raises(UserError, match="no such study"):
        plan_of(account_tax.with_name("acount_tax"), devices_per_run=1)


def test_a_change_of_a_room_changes_its_hash_and_those_above_only(tmp_path):
    for room in ("words", "study", "report"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "a.py").write_text(room)
    before = code_hashes(tmp_path)
    (tmp_path / "study/a.py").write_text("other")
    after = code_hashes(tmp_path)
    assert before["words"] == after["words"] and before["settings"] == after["settings"]
    assert before["study"] != after["study"] and before["report"] != after["report"]


def test_the_workflow_is_planned_without_pandas_and_scipy():
    rules = (ROOT / "workflow/rules").glob("*.smk")
    lines = [line for file in rules for line in file.read_text().splitlines()]
    imports = "\n".join(line for line in lines if line.startswith("from ablation."))
    assert "make_plan" in imports
    heavy = "assert not {'pandas', 'scipy'} & set(sys.modules)"
    code = f"import sys\nsys.path.insert(0, 'scripts')\n{imports}\n{heavy}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
