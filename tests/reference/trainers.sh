#!/bin/sh
# Makes an environment in which axolotl, LLaMA-Factory and TRL can read a configuration: their own
# schemas and parsers, without what only training needs. Usage: tests/reference/trainers.sh FOLDER
# Its interpreter sees the packages of the project's environment, so nothing is installed twice.
set -eu
here=$(python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
python -m venv "$1"
site=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
echo "$here" > "$site/project.pth"
"$1/bin/pip" install --quiet --no-deps axolotl==0.19.0 llamafactory==0.9.5 trl==1.16.0 \
    omegaconf antlr4-python3-runtime==4.9.3 addict colorama art fire pillow
