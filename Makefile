# Two commands do everything: `make reproduce` and `make test`. The first one run makes .venv and installs into it, once.
PYTHON ?= python3
VENV ?= .venv
# Test processes. Each takes half the tests in their order and, when done, half of what the other has left: what a file prepares
# for its tests is mostly prepared once.
JOBS ?= 2
PARALLEL := -n $(JOBS) --dist worksteal
# What `make check` runs: the tests of one function or one rule each, none of which trains.
FAST := tests/unit tests/planning tests/logs tests/docs/test_rules.py tests/docs/test_public_api.py
# What to install as torch. Empty: the CPU build named below, or, where nvidia-smi sees a GPU, whatever pyproject.toml allows.
TORCH ?=
TORCH_CPU := torch==2.13.0
TORCH_GPU := torch>=2.4,<3
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip
PYTEST := $(BIN)/python -m pytest
SPECTRAL_JEPA := $(BIN)/spectral-jepa
TWO_ROOM := results/pixels/two_room-small/sigreg-0

.DEFAULT_GOAL := help
.PHONY: help install venv reproduce paper trained pixels figures classroom-page classroom-wasm docs test-browser test-browser-quick check test tests test-slow mutate nightly processors lint types bench clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'Another Python: make clean, then make PYTHON=python3.12 TARGET. Another torch: make TORCH="torch==2.8.0" TARGET.'

install: $(STAMP)  ## Make .venv and install everything into it (the other targets do this by themselves)

venv: install

# torch first, on its own: every later install finds it there and leaves it alone. See constraints-cpu.txt.
$(STAMP): pyproject.toml constraints-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
	@set -e; limit='--constraint constraints-cpu.txt'; \
	if $(PIP) show --quiet torch 2>/dev/null; then \
		limit=; echo "torch is there already: keeping it"; \
	elif nvidia-smi -L >/dev/null 2>&1; then \
		limit=; echo "NVIDIA GPU found: installing torch with CUDA (gigabytes)"; \
		$(PIP) install --quiet '$(or $(TORCH),$(TORCH_GPU))'; \
	else \
		echo "No NVIDIA GPU: installing torch without CUDA"; \
		$(PIP) install --quiet '$(or $(TORCH),$(TORCH_CPU))' $$limit >$(VENV)/torch.log 2>&1 || { \
			echo "The package index has no such build for this Python: asking $(TORCH_CPU_INDEX)"; \
			$(PIP) install --quiet --timeout 20 --retries 2 '$(or $(TORCH),$(TORCH_CPU))' $$limit --index-url $(TORCH_CPU_INDEX); \
		} || { \
			cat $(VENV)/torch.log; \
			echo "No torch without CUDA found: both attempts are above. Install one of your choice into $(VENV)," \
				"'$(PIP) install torch', and run make again."; \
			exit 1; \
		}; \
	fi; \
	echo "Installing spectral-jepa and its tools"; \
	$(PIP) install --quiet --editable '.[dev]' $$limit
	@touch $@

reproduce: $(STAMP)  ## The paper's headline curve and the spectra of all worlds: tables, figures (about a minute)
	$(SPECTRAL_JEPA) sweep spectra
	$(SPECTRAL_JEPA) sweep bound_vs_dim
	@echo
	@echo 'Every number:   results/bound_vs_dim/quick/table.csv    results/spectra/quick/table.csv'
	@echo 'The table above: results/bound_vs_dim/quick/summary.csv'
	@echo 'The picture:    results/bound_vs_dim/quick/figures/bound_vs_dim_low_rank_8.png'
	@echo 'The others:     results/bound_vs_dim/quick/figures/     results/spectra/quick/figures/'
	@echo 'Claim by claim, with verdicts: paper_repro.md'

paper: $(STAMP)  ## The same and the solvers at full size (under an hour; stop it at any time, it resumes)
	for experiment in spectra solvers bound_vs_dim; do $(SPECTRAL_JEPA) sweep $$experiment --preset paper || exit 1; done

trained: $(STAMP)  ## Trained tabular JEPAs: against the closed form, collapse, SIGReg, Sub-JEPA (about 10 minutes)
	for experiment in jepa_vs_svd collapse sigreg_whitening sigreg_phase subspaces; do $(SPECTRAL_JEPA) sweep $$experiment || exit 1; done

pixels: $(STAMP)  ## A small world model from pixels on Two-Room: data, training, planning, probing, report
	@ldconfig -p 2>/dev/null | grep -q libEGL.so.1 || echo 'Pictures of Reacher and Cube need: apt-get install libegl1 libgl1-mesa-dri'
	$(SPECTRAL_JEPA) pixels collect
	$(SPECTRAL_JEPA) pixels train
	$(SPECTRAL_JEPA) pixels evaluate $(TWO_ROOM) --simulator
	$(SPECTRAL_JEPA) pixels probe $(TWO_ROOM)
	$(SPECTRAL_JEPA) pixels surprise $(TWO_ROOM)
	$(SPECTRAL_JEPA) pixels report $(TWO_ROOM)

figures: $(STAMP)  ## Draw the figures of `make reproduce` again from its tables
	$(SPECTRAL_JEPA) figures spectra
	$(SPECTRAL_JEPA) figures bound_vs_dim

classroom-page: $(STAMP)  ## The classroom's offline page, classroom/offline.html, from tables computed now (about a minute)
	$(BIN)/python classroom/make_data.py page

docs: $(STAMP)  ## The site, strictly, from docs/, the claims, the code and the examples: build/site/index.html (about a minute)
	$(BIN)/python docs/site/build.py build/site

classroom-wasm: $(STAMP)  ## Lessons 1, 2, 4 and 5 as web pages in site/; they need a network when opened (pip install uv)
	$(BIN)/python classroom/to_browser.py site

# One BLAS thread a test process: more would fight for the same cores (`make processors` sets its own numbers).
check tests test-browser test-browser-quick test-slow nightly: export OMP_NUM_THREADS = 1
check tests test-browser test-browser-quick test-slow nightly: export OPENBLAS_NUM_THREADS = 1
check tests test-browser test-browser-quick test-slow nightly: export MPLBACKEND = Agg

check: lint types  ## Under a minute: lint, types, the rules of the house, and the fast tests
	$(PYTEST) $(PARALLEL) $(FAST)

test: lint types tests  ## Lint, types, then all tests but the slow ones (what CI runs)

tests: $(STAMP)
	$(PYTEST) $(PARALLEL)

test-slow: nightly mutate  ## Everything that takes over a minute: marked tests, many seeds, mutants
	$(PYTEST) -m slow || [ $$? -eq 5 ] # 5: no test carries the marker

test-browser: $(STAMP)  ## The classroom's page and apps in headless Chromium (apt-get install chromium chromium-driver)
	$(PYTEST) -m browser -rs tests/browser

# One server, one lesson more than needed to see that they share it.
test-browser-quick: $(STAMP)  ## The essential ones of them: the pages without a network, two of the apps (under two minutes)
	$(PYTEST) -m browser -rs tests/browser -k 'offline or study or (1280px and (the_u or break_the_theorem))'

mutate: $(STAMP)  ## Wrong versions of the theory code, each of which a test must kill, as a table (about 12 minutes)
	$(BIN)/python tests/mutation/run.py --jobs $(JOBS)

nightly: $(STAMP)  ## The theory and property tests with seeds 0 to 19 (about 4 minutes)
	$(PYTEST) $(PARALLEL) tests/theory tests/property --seeds 20

processors: $(STAMP)  ## The numeric tests as other processors and other numbers of threads compute them (about 15 minutes)
	$(BIN)/python tests/processors/run_settings.py --jobs $(JOBS)

lint: $(STAMP)  ## Style and layout (ruff), and who may import whom (import-linter)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

types: $(STAMP)  ## mypy
	$(BIN)/mypy

bench: $(STAMP)  ## Time the solvers against SciPy, scikit-learn and QuantEcon
	for name in jepa pixels solvers values; do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:  ## Remove .venv, caches and builds; keep results/
	rm -rf $(VENV) build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
