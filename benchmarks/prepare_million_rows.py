"""Time and peak memory of preparing a million rows; exits with 1 above 2 GB.

    python benchmarks/prepare_million_rows.py --model results/debian_sections/model/model.json

Writes a CSV of Korean bookkeeping entries (8 columns, 260 classes of Zipf frequency, some rows
without a label, some without text), prepares it as the workflow does, in a process of
its own, and prints one line of JSON. Peak memory is the largest resident set of that process, which
counts the pages of memory-mapped files too.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from tiny import as_results

LIMIT_BYTES = 2_000_000_000
ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "prepare_data.py"
STUDY = ROOT / "config" / "studies" / "account_tax"  # its label is acct_code
WORDS = """
사무용품 구입 출장 여비 교통비 식대 접대비 통신비 전기요금 수도요금 임차료 보험료
수선비 차량유지비 광고선전비 지급수수료 세금과공과 복리후생비 교육훈련비 도서인쇄비
소모품비 운반비 외주가공비 급여 상여금 퇴직급여 감가상각비 이자수익 이자비용 외상매출금
미지급금 선급비용 예수금 부가세 환급 정산 계약금 잔금 본사 지점 서울 부산 대구 인천
광주 대전 울산 법인카드 현금 계좌이체 세금계산서 영수증 월정액 분할납부 서버 유지보수
소프트웨어 라이선스 갱신 클라우드 이용료 회의 다과 택배 발송 우편 등기 프린터 토너
교체
""".split()  # noqa: SIM905
COLUMNS = ["적요", "거래처", "부서", "금액", "일자", "증빙", "비고", "프로젝트"]


def write_rows(path: Path, rows: int, classes: int, seed: int = 0) -> None:
    """Write the CSV: `rows` rows of `classes` classes."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, classes + 1)
    label = rng.choice(classes, size=rows, p=frequency / frequency.sum())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "acct_code"])
        for index in range(rows):
            word = rng.integers(0, len(WORDS), size=14)
            text = [WORDS[w] for w in word]
            code = "" if index % 997 == 0 else f"{label[index]:05d}"
            cells = [
                " ".join(text[:7]), f"(주){text[7]}{word[8]}", text[9], int(word[10]) * 12500,
                f"2025-{word[11] % 12 + 1:02d}-{word[12] % 28 + 1:02d}", text[12],
                text[13] if index % 3 else "", f"P-{index % 5000}",
            ]  # fmt: skip
            if index % 1009 == 0:
                cells = [""] * len(cells)
            writer.writerow([*cells, code])


def measure(model: Path, folder: Path, rows: int, classes: int) -> dict:
    """Seconds and peak memory, in bytes, of preparing the rows in `folder`."""
    write_rows(folder / "rows.csv", rows, classes)
    study = Path(shutil.copytree(STUDY, folder / "study")) / "study.yaml"
    text = study.read_text(encoding="utf-8").replace("path: null", "path: ../rows.csv")
    study.write_text(text, encoding="utf-8")
    started = time.monotonic()
    results = as_results(folder / "results", model=model)
    command = [sys.executable, str(SCRIPT), "--study", str(study), "--results", str(results)]
    command += ["--max-lengths", "256", "320"]
    subprocess.run(command, check=True)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    profile = json.loads((folder / "results/data/profile.json").read_text(encoding="utf-8"))
    return {
        "rows": profile["rows"],
        "classes": profile["num_labels"],
        "csv_bytes": (folder / "rows.csv").stat().st_size,
        "mean_tokens": round(profile["tokens"]["mean"], 1),
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "peak_bytes": peak,
        "limit_bytes": LIMIT_BYTES,
    }


def main() -> None:
    """Measure, print, and exit with 1 if the limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="model.json with a tokenizer")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=260)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(args.model, Path(folder), args.rows, args.classes)
    print(json.dumps(result))
    sys.exit(0 if result["peak_bytes"] <= LIMIT_BYTES else 1)


if __name__ == "__main__":
    main()
