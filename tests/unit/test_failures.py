"""Which runs failed, and what their logs say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.evidence.failures import find_failed, find_reason
from ablation.results import Results


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["Traceback:", "ValueError: no rows", "exits with 1"], "ValueError: no rows"),
        (["[rank0]: torch.OutOfMemoryError: CUDA."], "torch.OutOfMemoryError: CUDA."),
        (["error: rows.csv:3: no label", "  found: ''"], "error: rows.csv:3: no label"),
        (
            [
                "error: the training job ended without metrics.json; its last lines:",
                "  KeyError: 3",
            ],
            "KeyError: 3",
        ),
        (["step 3, loss 0.1", "an error of 0.3 is small"], None),
        ([], None),
    ],
)
def test_the_reason_is_the_last_line_that_tells_of_an_error(tmp_path, lines, reason):
    log = tmp_path / "seed-1.log"
    log.write_text("\n".join(lines))
    assert find_reason(log) == reason


def test_a_run_failed_where_it_has_a_log_and_no_metrics(tmp_path):
    results = Results(tmp_path)
    grid = {
        "runs": [
            {"arm": arm, "variant": variant, "seed": 1}
            for arm, variant in (("a", "one"), ("same", "one"), ("b", "two"), ("c", "three"))
        ]
    }
    for variant in ("one", "two"):
        log = results.run_log(variant, 1)
        log.parent.mkdir(parents=True)
        log.write_bytes(b"\xff\nOSError: full\n" * 9000)
    metrics = results.run_metrics("two", 1)
    metrics.parent.mkdir(parents=True)
    metrics.write_text("{}")
    failed = find_failed([grid, grid], results)
    assert [(run.arm, run.reason, run.log) for run in failed] == [
        ("a", "OSError: full", Path(results.run_log("one", 1)))
    ]
