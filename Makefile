PYTHON ?= python3
TORCH  ?= torch==2.13.0
CORE   ?= 3.12 3.13
BENCH  ?= # options of the benchmarks: --only W1 W3, --json FILE, --svg FILE
EDITS  ?= 100000
EXECUTIONS ?= 1000000
SEED   ?= # by chance

READY := .venv/.ready

# The newest pyenv build of Python $(1), or python$(1) on PATH: the first that runs.
find = $(shell for p in $$(ls -d "$$(pyenv root)"/versions/$(1).*[0-9]/bin/python \
	| sort -rV) python$(1); do "$$p" -c 'import ensurepip' && echo "$$p" && break; \
	done 2>/dev/null)

help:  ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

test: lint  ## lint, every test with torch, and the core on other Pythons beside it
	@trap 'rm -f .core.log' EXIT; \
	$(MAKE) --no-print-directory -j2 test-torch test-core; code=$$?; \
	cat .core.log; exit $$code

test-torch: $(READY)
	.venv/bin/python -m pytest
	.venv/bin/python tests/fuzz/run.py --executions 100000 --seed 1

test-core:
	@$(MAKE) --no-print-directory core >.core.log 2>&1

lint: $(READY)  ## ruff, mypy and the import contract
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

core: $(CORE:%=core-%)  ## the tests that need no torch, on 3.12 and 3.13 where found

core-%:
	@if [ -z "$(call find,$*)" ]; \
	then echo "core: skipped on $*, for no Python $* was found (pyenv, PATH)"; \
	else $(MAKE) --no-print-directory .venv-$*/.ready && \
		.venv-$*/bin/python -m pytest -m "not torch"; fi

fuzz: $(READY)  ## a million hostile inputs; EXECUTIONS=N, SEED=N
	.venv/bin/python tests/fuzz/run.py --executions $(EXECUTIONS) \
		$(if $(SEED),--seed $(SEED))

fuzz-checker: $(READY)  ## hold the checker of schemas against 100,000 random edits
	.venv/bin/python tests/contract/fuzz.py --edits $(EDITS)

demo: $(READY)  ## run examples/warm_start.py
	.venv/bin/python examples/warm_start.py

bench: $(READY)  ## measure W1 to W8 beside their peers; fails below a floor
	.venv/bin/python -m benchmarks $(BENCH)

attacks: $(READY)  ## time and memory of each attack; fails beyond the promise
	.venv/bin/python -m tests.attacks --measure

tamper: $(READY)  ## alter each released file every way; the tests must name each
	.venv/bin/python tests/tampering.py

clean:  ## remove what make has made
	rm -rf .venv .venv-* build dist *.egg-info .coverage htmlcov .hypothesis \
		.import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"Python >= 3.11 is needed, got: $$($(PYTHON) --version 2>&1);" \
		"try make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install "$(TORCH)" numpy
	.venv/bin/python -m pip install -e ".[torch,cli,dev]"
	@touch $@

.venv-%/.ready: pyproject.toml setup.py
	"$(call find,$*)" -m venv .venv-$*
	.venv-$*/bin/python -m pip install -e ".[cli,dev]"
	@touch $@

.PHONY: help test test-torch test-core lint core demo bench fuzz fuzz-checker attacks tamper clean
.PRECIOUS: .venv-%/.ready
