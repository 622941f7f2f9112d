# make reproduce   every figure, table and number of a profile, and the results page (PROFILE=quick; smoke, paper)
# make test        the tests, and the notebooks against their stored outputs
# make help        the other targets
#
# Both build .venv themselves. Variables: PYTHON (python3), VENV (.venv), PIP_ARGS (for pip install, for instance the
# index of CPU wheels), PROFILE (quick), JOBS (2 notebooks side by side), RUN (one run's name).

PYTHON  ?= python3
VENV    ?= .venv
PIP_ARGS ?=
PROFILE ?= quick
JOBS    ?= 2

PY := $(VENV)/bin/python
OK := $(VENV)/.ok
TORCH ?= $(shell sed -n 's/^torch==\([^ ;]*\).*/\1/p' constraints.txt)

# One thread a run: on small tensors a second one gains nothing, and two runs side by side would fight for the cores.
OMP_NUM_THREADS ?= 1
MKL_NUM_THREADS ?= $(OMP_NUM_THREADS)
OPENBLAS_NUM_THREADS ?= $(OMP_NUM_THREADS)
export OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS

# Left alone, glibc gives every large tensor back to the system and faults it in anew; training takes a seventh longer.
MALLOC_MMAP_THRESHOLD_ ?= 33554432
MALLOC_TRIM_THRESHOLD_ ?= 2147483647
export MALLOC_MMAP_THRESHOLD_ MALLOC_TRIM_THRESHOLD_

# Notebooks run in the kernel of this environment, whatever kernels the user has elsewhere.
unexport JUPYTER_PATH
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

OUT   := results/$(PROFILE)
RUNS  := $(sort $(basename $(notdir $(wildcard notebooks/params/$(PROFILE)/*.yml))))
# Begun in this order. One whose prerequisites still run when its turn comes has its next turn after all the others: so
# those that follow 01 and 02 stand behind two that do not. Short ones come last, that none runs long alone.
FIRST := 01-% 02-% 07-% 08-%
LAST  := 03-% 04-% 05-%
ORDER := $(filter $(FIRST),$(RUNS)) $(filter-out $(FIRST) $(LAST),$(RUNS)) $(filter $(LAST),$(RUNS))
NB    := $(ORDER:%=$(OUT)/nb/%.ipynb)
MAP   := $(filter $(OUT)/nb/00-%,$(NB))
PAGES := $(wildcard lib/pushforward/report/*.html) $(addprefix lib/pushforward/report/,page.py benchmarks.py sections.py summary.py publish.py readme.py)
LIB   := $(filter-out $(PAGES) lib/pushforward/run.py,$(shell find lib/pushforward -name '*.py'))
BOOKS := $(wildcard notebooks/*.ipynb)

.PHONY: reproduce notebooks test lab data run runs-list refresh publish bench lint lock clean help profile
.DELETE_ON_ERROR:
.SECONDEXPANSION:
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,6p'
	@echo
	@echo "make run RUN=NAME  one run          make runs-list  names of the profile's runs"
	@echo "make data          fetch real data  make lab        JupyterLab on the notebooks"
	@echo "                   (one set: SETS=mnist)"
	@echo "make bench         benchmarks       make lint       ruff"
	@echo "make refresh       re-execute the source notebooks in place (the only way to change their outputs)"
	@echo "make publish       copy a clean run's light part to data/results and the README"
	@echo "make lock          renew constraints.txt      make clean  remove results (kept: artifacts, data/cache, .venv)"

# --- environment ------------------------------------------------------------------------------------------------------

$(OK): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: $(PYTHON) is older than 3.10: name a newer one with PYTHON="; exit 1; }
	@test -x $(PY) && $(PY) -m pip --version > /dev/null 2>&1 || { \
	  echo "==> making the environment $(VENV)"; rm -rf $(VENV); \
	  $(PYTHON) -m venv $(VENV) || { echo "error: no venv module; on Debian: apt-get install python3-venv"; exit 1; }; }
	@echo "==> installing torch $(TORCH) (about half a minute; a CUDA build is several GB: see PIP_ARGS)"
	@$(PY) -m pip install -q --disable-pip-version-check $(PIP_ARGS) torch==$(TORCH)
	@echo "==> installing pushforward and what its notebooks and tests need (about a minute)"
	@$(PY) -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[notebooks,test]'
	@touch $@

$(VENV)/.ok-%: $(OK)
	@echo "==> installing the extra '$*'"
	@$(PY) -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[$*]'
	@touch $@

# --- results ----------------------------------------------------------------------------------------------------------

profile:
	@test -n "$(RUNS)" || { echo "error: no runs in notebooks/params/$(PROFILE); profiles with runs:" \
	  $(sort $(patsubst notebooks/params/%/,%,$(dir $(wildcard notebooks/params/*/*.yml)))); exit 1; }

# The notebooks keep going when one of them fails, and the page then shows what is there; make still ends with an error.
# An outer -j is passed on as it is; without one JOBS notebooks run side by side.
reproduce: profile $(OK)
	@$(MAKE) --no-print-directory --keep-going $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS)) $(OUT)/index.html || \
	  { echo "==> not everything succeeded; making the page of what is there"; \
	    $(PY) -m pushforward.report.page $(PROFILE) && cat $(OUT)/verdict.txt; exit 1; }
	@echo "results page: $(OUT)/index.html"
	@cat $(OUT)/verdict.txt
	@grep -q '^PASS' $(OUT)/verdict.txt

notebooks: $(NB)

$(OUT)/nb/%.ipynb: notebooks/params/$(PROFILE)/%.yml notebooks/$$(firstword $$(subst --, ,$$*)).ipynb $(LIB) $(OK) \
    $$(wildcard data/manifest.toml data/cache/.fetched)
	@$(PY) -m pushforward.run notebooks/$(firstword $(subst --, ,$*)).ipynb $@ -f $<

# 00, the map, reads what the others trained.
$(MAP): $(filter-out $(MAP),$(NB))

# Some compare with flows and rows that 01 and 02 leave; beside them, they would train their own or find none.
$(filter $(foreach n,06 12 13,$(OUT)/nb/$(n)-%),$(NB)): | $(filter $(OUT)/nb/01-% $(OUT)/nb/02-%,$(NB))

$(OUT)/index.html: $(NB) $(PAGES) $(wildcard data/published/*.csv results/bench/*.csv data/results/bench/*.csv)
	@$(PY) -m pushforward.report.page $(PROFILE)

run: profile $(OK)
	@test -n "$(filter $(RUN),$(RUNS))" || { echo "error: RUN='$(RUN)', expected one of: $(RUNS)"; exit 1; }
	@$(MAKE) --no-print-directory $(OUT)/nb/$(RUN).ipynb

runs-list: profile
	@printf '%s\n' $(RUNS)

publish: $(OK)
	@$(PY) -m pushforward.report.publish $(PROFILE)

# --- tests and tools --------------------------------------------------------------------------------------------------

# Tests and stored outputs train afresh in build/, so that no cached flow can hide a broken trainer.
AFRESH = rm -rf build/$@; PUSHFORWARD_ARTIFACTS="$(CURDIR)/build/$@/artifacts" PUSHFORWARD_RESULTS="$(CURDIR)/build/$@/results"

test: $(OK)
	@echo "==> tests, and every notebook against its stored outputs"
	@$(AFRESH) $(PY) -m pytest tests notebooks --nbval --nbval-current-env --nbval-cell-timeout 120 \
	  --nbval-kernel-startup-timeout 120 --nbval-sanitize-with tests/nbval-sanitize.cfg

lab: $(OK)
	@$(PY) -m jupyterlab notebooks

# The stamp moves only when a file is new: an unchanged cache reruns no notebook.
data: $(OK)
	@echo "==> fetching and checking the real data (data/cache)"
	@$(PY) -m pushforward.datasets $(SETS)
	@mkdir -p data/cache
	@test -e data/cache/.fetched && test -z "$$(find data/cache -type f -newer data/cache/.fetched)" || touch data/cache/.fetched

refresh: $(OK)
	@echo "==> executing the source notebooks in place (smoke profile)"
	@$(AFRESH) $(PY) -m nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
	  --KernelManager.transport_encryption=auto $(BOOKS)

bench: $(VENV)/.ok-bench
	@echo "==> benchmarks"
	@$(PY) -m benchmarks

lint: $(VENV)/.ok-lint
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

lock: pyproject.toml
	@echo "==> resolving for every platform and Python >= 3.10, with torch $(TORCH) (another: make lock TORCH=X.Y.Z)"
	@test -x build/uv/bin/uv || { $(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install -q $(PIP_ARGS) uv==0.13.9; }
	@echo "torch==$(TORCH)" > build/torch.txt
	@build/uv/bin/uv pip compile -q --universal --python-version 3.10 --all-extras --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links -c build/torch.txt pyproject.toml -o build/constraints.txt
	@{ echo '# Versions seen working together; made by `make lock`. Used with pip -c: pins what is installed, pulls nothing extra.'; \
	  cat build/constraints.txt; } > constraints.txt
	@echo "wrote constraints.txt ($$(grep -c == constraints.txt) pins)"

clean:
	rm -rf results build .pytest_cache .ruff_cache
	find lib tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	@echo "kept: artifacts (trained flows), data/cache, $(VENV)"
