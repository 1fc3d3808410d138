"""`ablation run`: lines that a person can read, an exit code, and the report where it ends."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from faked import FakedStudy

from ablation.command.main import DONE, FAILED, MISTAKE, main

pytestmark = pytest.mark.dag
PLANTED = {"noise": 0.001, "epochs": 0.2}


@pytest.fixture
def at_desk(faked: FakedStudy, monkeypatch):
    """A function that calls `ablation` in the study's folder; these runs fail."""

    def call(*words: str, failing: tuple[str, ...] = ()) -> int:
        monkeypatch.chdir(faked.folder)
        monkeypatch.setattr(sys, "executable", str(faked.shims / "python"))
        for name, value in faked.environment(PLANTED, failing).items():
            monkeypatch.setenv(name, value)
        return main(words)

    return call


def test_each_run_has_its_line_and_the_report_comes_last(at_desk, faked, capsys):
    faked.write(seeds="[1, 2]")
    assert at_desk("run", "account_tax", "--cores", "2") == DONE
    lines = capsys.readouterr().out.splitlines()
    done = [line for line in lines if "  done      " in line]
    assert len(done) == len(faked.trained()) == 10
    (told,) = [line for line in done if "stage2-epochs, seed 1:" in line]
    assert re.search(r"eval_accuracy (69|70)\.\d%", told)
    assert any("preparing the data" in line for line in lines)
    assert any("10 of 10 runs done" in line for line in lines)
    assert lines[-1].endswith("the report: results/account_tax/report.md")
    assert "rule train_run" in (faked.results / "logs/snakemake.log").read_text()
    assert at_desk("status", "account_tax", "--json") == DONE
    assert json.loads(capsys.readouterr().out)["counts"]["done"] == 10
    assert at_desk("report", "account_tax", "--lang", "ko") == DONE
    assert capsys.readouterr().out.strip() == "results/account_tax/report.ko.md"


def test_a_failed_run_is_told_with_its_log_and_the_others_have_a_report(at_desk, faked, capsys):
    faked.write(seeds="[1]")
    assert at_desk("run", "account_tax", "--lang", "ko", failing=("backup/1",)) == FAILED
    told = capsys.readouterr().out
    assert "실패  backup, 시드 1" in told
    assert "실행 1개 실패" in told and "partial/report.ko.md" in told
    assert at_desk("report", "account_tax") == DONE
    assert capsys.readouterr().out.strip() == "results/account_tax/partial/report.md"


def test_a_study_without_rows_is_refused_before_anything_runs(at_desk, faked, capsys):
    faked.original = faked.original.replace("path: rows.csv", "path: null")
    faked.write()
    assert at_desk("run", "account_tax") == MISTAKE
    assert "data.path is not set" in capsys.readouterr().err
    assert not faked.results.exists()


def test_what_a_call_on_another_machine_works_at_is_left_to_it(at_desk, faked, capsys):
    faked.write(seeds="[1]")
    locks = faked.folder / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/account_tax/report.md")
    # What holds the lock is no Snakemake of this machine that `ps` could tell.
    lock = (faked.folder / ".snakemake/ablation.lock").open("w+")
    lock.write("process 7 on login-1")
    lock.flush()
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert at_desk("run", "account_tax") == MISTAKE
    told = capsys.readouterr().err
    assert "Snakemake is already at work in this folder" in told and "process 7 on login-1" in told
    assert list(locks.iterdir()) and not faked.results.exists()
    lock.close()


@pytest.mark.parametrize("what", ["a file", "a link to nothing", "links in a ring", "a folder"])
def test_what_stands_where_the_lock_would_be_is_told(at_desk, faked, capsys, what):
    place = faked.folder / ".snakemake"
    if what == "a file":
        place.write_text("")
    elif what == "a folder":
        (place / "ablation.lock").mkdir(parents=True)
    else:
        place.symlink_to(place if what == "links in a ring" else "nowhere")
    assert at_desk("run", "account_tax") == MISTAKE
    assert ".snakemake" in capsys.readouterr().err


def test_the_lock_of_a_call_is_not_written_through_a_link(at_desk, faked, capsys):
    kept = faked.folder / "kept"
    kept.write_text("mine")
    (faked.folder / ".snakemake").mkdir()
    (faked.folder / ".snakemake/ablation.lock").symlink_to(kept)
    assert at_desk("run", "account_tax") == MISTAKE
    assert ".snakemake/ablation.lock" in capsys.readouterr().err
    assert kept.read_text() == "mine"


def test_a_dry_run_shows_the_plan_and_writes_nothing(at_desk, faked, capfd):
    faked.write(seeds="[1]")
    assert at_desk("run", "account_tax", "--dry-run", "--lang", "ko") == DONE
    told = capfd.readouterr()
    assert "train_run" in told.out
    assert "실행 5개, 실행마다" in told.err and "어느 쪽이든 각 구성의 유효" in told.err
    assert not faked.results.exists()


def test_the_wheel_runs_its_workflow_without_a_checkout(tmp_path, root):
    build = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run([sys.executable, *build], cwd=root, check=True, capture_output=True)
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    packages = next((environment / "lib").glob("python*/site-packages"))
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(packages)
    # All that `[train]` brings is the environment of the tests.
    (packages / "train.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    (tmp_path / "here").mkdir()
    code = "import sys; from ablation.command.main import main; sys.exit(main())"
    done = subprocess.run(
        [environment / "bin/python", "-c", code, "demo", "--dry-run"],
        cwd=tmp_path / "here",
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^train_run +[0-9]+$", done.stdout, re.MULTILINE)


def test_what_init_writes_is_planned_by_snakemake_at_once(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for name, rate, rank in (("current", 5e-4, 4), ("backup", 1e-3, 16)):
        text = f"output_dir: out\nlearning_rate: {rate}\nlora_r: {rank}\nlora_alpha: {2 * rank}\n"
        (tmp_path / f"{name}.yml").write_text(f"{text}lora_target_modules: [q_proj, v_proj]\n")
    (tmp_path / "news.csv").write_text('headline,topic\n"Bank sinks, again",money\nGoal,sport\n')
    model = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 1000}
    model |= {"intermediate_size": 128, "num_attention_heads": 4}
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/config.json").write_text(json.dumps(model))
    assert main(["init", "current.yml", "backup.yml", "--model", "tiny"]) == DONE
    assert main(["run", "news", "--dry-run"]) == DONE
    told = capfd.readouterr()
    assert re.search(r"^train_run +12$", told.out, re.MULTILINE)  # 3 arms, 4 seeds
    assert "study news: 4 arms x 4 seeds" in told.err
