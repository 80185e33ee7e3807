# make install | demo | check | test | fault | fault-long | bench | clean. Needs Python 3.11 or newer as python3.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# tests run two at a time: more threads would only get in each other's way
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help install demo check test fault fault-long bench clean

help:
	@sed -n '1s/^# //p' Makefile

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt tools/install_torch.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "quintet needs Python 3.11 or newer; name one: make install PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing torch"
	@$(BIN)/python tools/install_torch.py
	@echo "installing quintet and the tools for its development"
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	@$(BIN)/python -m benchmarks.demo --out reports/demo

check: install
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { $(BIN)/ruff format --check .; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache > $(VENV)/.imports || { cat $(VENV)/.imports; exit 1; }
	@$(BIN)/python -m pytest -p no:xdist --no-header -q tests/test_module_size.py > $(VENV)/.size \
		|| { cat $(VENV)/.size; exit 1; }
	@echo "checks passed: style, types, layers, module size"

test: check
	@$(THREADS) $(BIN)/python -m pytest -n 2 --dist worksteal

# what the service survives; servers that are not installed print "not run"
fault: install
	@$(THREADS) $(BIN)/python -m benchmarks.faults

fault-long: install
	@$(THREADS) $(BIN)/python -m benchmarks.faults --long

bench:
	@echo "each prints its options with --help:"
	@for script in benchmarks/[a-z]*.py benchmarks/*/__main__.py; do \
		test -e "$$script" || continue; \
		module=$$(echo "$$script" | sed 's#/__main__##; s#\.py$$##; s#/#.#g'); \
		printf '  $(BIN)/python -m %-24s %s\n' "$$module" "$$(sed -n '1s/"""//gp' "$$script")"; \
	done

clean:
	@rm -rf build dist reports .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find quintet tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
