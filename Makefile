# make setup   the environment in .venv, with the command `ablation` and DeepSpeed's operators compiled
# make demo    the default study, end to end, without a GPU
# make test    the whole test suite
# make gpu-check   what a GPU does with this product, in one table; DRY=1 tries the program without
# make search  examples that the suite has not tried yet, for what is said of any file or number
# make soak-settings   every setting on a tiny model: it trains as it says, or the plan refuses it
# make soak    every plug pulled: operations that fail, kills, leases, bad inputs; half a day
# make slurm-check   the tiny study on a SLURM that is set up for it on this machine (Debian, root)
# make bench   what the cached path saves, measured against plain Trainer + DeepSpeed

PYTHON ?= python3
VENV := .venv
# Rules call `python`; it must be the one of the environment.
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: slurm-plugin slurm-check setup demo test search soak soak-settings bench gpu-check

setup: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(RUN) python scripts/compile_operators.py
	touch $@

demo: setup
	$(VENV)/bin/ablation demo

# Files of tests side by side, one on each core.
test: setup
	$(RUN) python -m pytest -n auto --dist loadfile

search: setup
	$(RUN) python -m pytest --hypothesis-profile=search -n auto \
	  tests/unit/test_patch.py tests/unit/test_resolve_properties.py tests/unit/test_data.py

# Each can be run by itself, and the longest in slices: docs/reliability.md.
soak: setup
	$(RUN) python tests/soak/leases.py
	$(RUN) python tests/soak/operations.py study --together 24
	$(RUN) python tests/soak/operations.py run --together 24
	$(RUN) python tests/soak/operations.py ranks --together 24
	$(RUN) python tests/soak/kills.py 1000
	$(RUN) python tests/soak/invariance.py
	$(RUN) python tests/soak/inputs.py

soak-settings: setup
	$(RUN) python tests/soak/settings_matrix.py

bench: setup
	$(RUN) snakemake --cores all results/debian_sections/model/model.json --config study=debian_sections
	$(RUN) python benchmarks/bench.py

gpu-check: setup
	$(RUN) python tests/gpu/check.py $(if $(DRY),--dry)

# Beside the environment: each Snakemake would import it, and with it pandas, in 0.4 s.
slurm-plugin: setup
	$(VENV)/bin/python -m pip install --quiet --upgrade --no-deps --target $(VENV)/slurm-plugin \
	  snakemake-executor-plugin-slurm==2.8.0 snakemake-executor-plugin-slurm-jobstep==0.6.1

slurm-check: slurm-plugin
	eval "$$(LOCAL_SLURM_NODES=2 tests/slurm/start-local-slurm)" && \
	$(RUN) SLURM_CONF="$$SLURM_CONF" python -m pytest tests/slurm; \
	status=$$?; tests/slurm/stop-local-slurm --clean; exit $$status
