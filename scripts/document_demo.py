"""Put a finished study's pictures and the head of its report into README.md and docs/.

python scripts/document_demo.py results/debian_sections
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from ablation.cli import run
from ablation.errors import UserError
from ablation.files import save_text
from ablation.project import PROJECT
from ablation.results import Results

START, END = "<!-- demo -->\n", "<!-- end of demo -->"
PICTURE = Path("docs") / "waterfall.svg"
PICTURES = ("waterfall", "quality_cost", "attribution")  # of docs/report.md


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the folder of a finished study")
    return parser.parse_args()


def excerpt(report: str) -> list[str]:
    """The answer of a report: all between its title and its first figure."""
    answer = report.partition("\n![")[0]
    return answer.strip().splitlines()[2:]


def main(args: argparse.Namespace) -> None:
    results = Results(args.results)
    report = results.report("en")
    pictures = [results.figures / f"{name}.svg" for name in PICTURES]
    for file in (*pictures, report):
        if not file.is_file():
            raise UserError("the study is not finished", found=str(file), write="ablation demo")
    for picture in pictures:
        shutil.copyfile(picture, PROJECT / PICTURE.with_name(picture.name))
    told = [f"> {line}".rstrip() for line in excerpt(report.read_text(encoding="utf-8"))]
    block = [
        f"![What each stage adds, from current to backup]({PICTURE})",
        "",
        f"From the report of `{results.folder.name}`, as it was written:",
        "",
        *told,
    ]
    readme = PROJECT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    save_text(f"{before}{START}{chr(10).join(block)}\n{END}{after}", readme)


if __name__ == "__main__":
    run(main, parse_args)
