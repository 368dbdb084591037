# Two commands do everything on a fresh machine with Python 3.11: make export, make test. The environment is made on first use.
MODEL ?= edsr
TARGET ?= android
ARGS ?=
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready

.PHONY: export test setup lint bench fuzz readme constraints clean
.DEFAULT_GOAL := export

export: $(READY)
	$(VENV)/bin/edgekit export --model $(MODEL) --target $(TARGET) --force $(ARGS)

test: $(READY)
	$(VENV)/bin/python -m pytest $(ARGS)

setup: $(READY)

lint: $(READY)
	$(VENV)/bin/ruff format --check toolkit targets calibration tests
	$(VENV)/bin/ruff check toolkit targets calibration tests
	$(VENV)/bin/basedpyright

# Side-by-side timings against the peers, in one run. The peers are installed into a folder of their own.
bench: $(READY)
	$(VENV)/bin/python tests/benchmarks/peers.py $(ARGS)

# 10 000 hostile inputs to the readers, 200 killed exports.
fuzz: $(READY)
	$(VENV)/bin/python tests/fuzz/run.py --inputs 10000 --kills 200 $(ARGS)

# The README's table, measured anew on this machine.
readme: $(READY)
	$(VENV)/bin/python toolkit/docs/regenerate.py $(ARGS)

constraints: $(READY)
	{ sed -n 1p constraints.txt; $(VENV)/bin/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.tmp && mv constraints.tmp constraints.txt

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no python3 found; expected Python 3.11 or newer"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old; expected Python 3.11 or newer: make PYTHON=python3.11"; exit 2; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) || { echo "venv is missing; on Debian: apt-get install python3-venv"; exit 2; }
	$(VENV)/bin/pip install --quiet --constraint constraints.txt torch
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache
