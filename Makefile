# Everything a contributor or CI does. Needs GNU Make 4.3 and Python 3.11 or newer; the rest goes into .venv.
#   make PYTHON=python3.13 …   takes another interpreter for a new .venv

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest -n 4 --dist worksteal
LOCKED := requirements/base.txt requirements/build.txt pyproject.toml src/hearth/_version.py

MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup demo test check bench soak format lock clean

help: ## list the targets
	@echo 'HEARTH: run approved plans, keep the flight recorder.'
	@echo
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name what; do printf '%-14s %s\n' "$$name" "$$what"; done

setup: $(VENV)/.dev ## make .venv with everything that tests and checks need
	@echo 'Ready: $(VENV)/bin/hearth --help'

demo: $(VENV)/.base ## preview, approve and run an import of 5,000 users; fail a late step; stop a run that differs
	@$(PY) examples/user-import/demo.py

test: $(VENV)/.dev ## run all tests but the long ones
	@$(PYTEST)

check: $(VENV)/.dev ## all that CI runs: format, lint, types, imports, command, tests, documents
	$(call stage,format,$(call quietly,$(PY) -m ruff format --check .))
	$(call stage,lint,$(call quietly,$(PY) -m ruff check .))
	$(call stage,types,$(call quietly,$(PY) -m mypy))
	$(call stage,imports,$(call quietly,$(VENV)/bin/lint-imports))
	$(call stage,hearth --help,$(call quietly,$(VENV)/bin/hearth --help))
	$(call stage,tests,$(PYTEST) --ignore=tests/e2e/test_docs.py)
	$(call stage,documents,$(PYTEST) tests/e2e/test_docs.py)

bench: $(VENV)/.dev ## measure HEARTH beside its peers
	@$(PY) -m benchmarks

soak: $(VENV)/.dev ## run the long suites
	@$(PYTEST) -o faulthandler_timeout=3600 -m soak
	@$(PYTEST) -o faulthandler_timeout=3600 tests/property --hypothesis-profile=soak

format: $(VENV)/.dev ## format the code, mend what the linter can
	@$(PY) -m ruff check --fix --quiet . ; $(PY) -m ruff format --quiet .

lock: $(VENV)/.lock ## pin the requirements anew (UPGRADE=1 takes the newest releases)
	@set -e; \
	compile() { \
		name=$$1; shift; \
		$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) \
			"$$@" --output-file "requirements/$$name.txt"; \
		echo "requirements/$$name.txt"; \
	}; \
	compile base pyproject.toml; \
	compile dev pyproject.toml requirements/dev.in --all-extras --constraint requirements/base.txt; \
	compile build requirements/build.in --constraint requirements/dev.txt; \
	compile lock requirements/lock.in

clean: ## remove .venv, caches and what builds leave
	@rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find benchmarks examples src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- how -------------------------------------------------------------------------------------------------------------

# $(call stage,NAME,COMMAND): one line with the time; the first failure ends the target.
define stage
	@started=$$(date +%s); \
	if $(2); then echo "✓ $(1) ($$(($$(date +%s) - started)) s)"; \
	else status=$$?; echo "✗ $(1) failed after $$(($$(date +%s) - started)) s" >&2; exit $$status; fi
endef

# $(call quietly,COMMAND): its output only when it fails.
quietly = output=$$($(1) 2>&1) || { status=$$?; printf '%s\n' "$$output"; (exit $$status); }

# $(call install,WHAT,PIP ARGUMENTS): hash-pinned requirements, then this checkout without touching the index again.
define install
	@started=$$(date +%s); \
	echo 'Setting up $(VENV) for $(1); the first time takes half a minute or so …'; \
	$(PY) -m pip install -qq --disable-pip-version-check --require-hashes $(2) && \
	$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable . && \
	echo "✓ set up ($$(($$(date +%s) - started)) s)"
endef

$(VENV)/.base: $(LOCKED) | $(PY)
	$(call install,running,-r requirements/base.txt -r requirements/build.txt)
	@touch $@

# dev.txt holds the pins of base.txt and build.txt too.
$(VENV)/.dev: requirements/dev.txt $(LOCKED) | $(PY)
	$(call install,tests and checks,-r requirements/dev.txt)
	@touch $(VENV)/.base $@

$(VENV)/.lock: requirements/lock.txt | $(PY)
	@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@touch $@

$(PY):
	@command -v $(PYTHON) >/dev/null || { \
		echo 'HEARTH needs Python 3.11 or newer, and there is no $(PYTHON) on PATH. Install it, or name one: make PYTHON=…' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "HEARTH needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) lacks the venv module. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
