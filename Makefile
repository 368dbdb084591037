# Two commands do everything on a fresh machine with Python 3.11: make export, make test. The environment is made on first use.
MODEL ?= edsr
TARGET ?= android
ARGS ?=
CUDA_PYTHON ?= python3
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready

.PHONY: export test setup lint fixtures toolchains arm64 phone bench fuzz readme models-page variants-page gates-page rewrites-page tradeoff matrix reach crops cuda constraints clean
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

# The golden vectors that Python, Kotlin and Swift share: tests/fixtures/README.md.
fixtures: $(READY)
	PYTHONPATH=tests/fixtures $(VENV)/bin/python -m write tests/fixtures

# What executes ARM64 code here (qemu-user, a cross-compiled runner, aarch64 wheels), and a phone's adbd for the tests: fetched by package name into build/,
# on Debian for x86-64. Nothing is installed on the machine.
arm64: $(READY)
	$(VENV)/bin/python -m edgekit_targets.devices.make_arm64 build/arm64

phone: $(READY)
	$(VENV)/bin/python tests/targets/phone.py build/phone

# All of it, and what the demo apps are built and tested with here: Kotlin, Android's API, Swift. 3.5 GB below build/.
toolchains: $(READY)
	$(VENV)/bin/python tests/toolchains/fetch.py $(ARGS)

# Side-by-side timings against the peers, in one run. The peers are installed into a folder of their own.
bench: $(READY)
	$(VENV)/bin/python tests/benchmarks/peers.py $(ARGS)

# 10 000 hostile inputs to the readers, 200 killed exports.
fuzz: $(READY)
	$(VENV)/bin/python tests/fuzz/run.py --inputs 10000 --kills 200 $(ARGS)

# The README's table, measured anew on this machine.
readme: $(READY)
	$(VENV)/bin/python toolkit/docs/regenerate.py $(ARGS)

# The page of the built-in models, from their cards; quality against latency, measured (long, resumable).
models-page: $(READY)
	$(VENV)/bin/python toolkit/docs/models_page.py $(ARGS)

# The page of bundles with variants: what routing saves and costs, measured.
variants-page: $(READY)
	$(VENV)/bin/python toolkit/docs/variants_page.py $(ARGS)

# The page of the gates: planted faults, measured anew.
gates-page: $(READY)
	PYTHONPATH=tests/toolkit $(VENV)/bin/python toolkit/docs/gates_page.py

# What each rewrite does to a small network in each backend, measured (resumable).
rewrites-page: $(READY)
	$(VENV)/bin/python toolkit/docs/rewrites_page.py $(ARGS)

tradeoff: $(READY) build/crops.zip
	$(VENV)/bin/python toolkit/docs/tradeoff.py $(ARGS)

# Every architecture of spandrel through every backend (hours, resumable), and its page.
matrix: $(READY)
	PYTHONPATH=tests/networks:toolkit/docs $(VENV)/bin/python toolkit/docs/matrix.py $(ARGS)

# Every network that edgekit builds, with its small trained weights, in every precision of every backend (an hour, resumable), and its page.
reach: $(READY)
	PYTHONPATH=toolkit/docs $(VENV)/bin/python toolkit/docs/reach.py $(ARGS)

build/crops.zip:
	$(MAKE) crops

# Training crops in one file, from photographs fetched by package name: what a machine without network trains from.
crops: $(READY)
	$(VENV)/bin/python -m edgekit_calibration.crops build/photographs build/crops.zip

# All trainings and captures on a CUDA machine that has python3 with torch, numpy, pillow, safetensors, typer and rich, and build/crops.zip; no environment is
# made. Each step takes less than ten minutes and leaves what is done already alone; `make cuda-denoise` does one model.
CUDA_MODELS := edsr edsr-x4 edsr-mobile denoise lowlight
CUDA_MINUTES ?= 3.5
CUDA_OUT ?= build/cuda
CUDA_EDGEKIT := PYTHONPATH=toolkit:targets:calibration $(CUDA_PYTHON) -m edgekit
cuda: $(addprefix cuda-,$(CUDA_MODELS))
cuda-edsr-x4: cuda-edsr
cuda-%:
	test -f $(CUDA_OUT)/$*.safetensors || $(CUDA_EDGEKIT) train $* --data build/crops.zip --device cuda --max-minutes $(CUDA_MINUTES) --batch 64 --out $(CUDA_OUT) \
	  $(if $(filter edsr-x4,$*),--init $(CUDA_OUT)/edsr.safetensors)
	test -f $(CUDA_OUT)/$*/record.json || $(CUDA_EDGEKIT) reference --model $* --weights $(CUDA_OUT)/$*.safetensors --device cuda --out $(CUDA_OUT)/$*

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
