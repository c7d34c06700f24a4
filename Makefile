# Two commands: `make demo` and `make test`. Both create the environment when it is missing.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
DEMO := runs/demo
export PYTHONPATH := .
export OMP_NUM_THREADS ?= 2

.PHONY: demo test test-all test-portable lint types bench clean

# Small models gain nothing from a second thread, and lose much where a core is busy.
demo: export OMP_NUM_THREADS = 1
demo: $(VENV)/demo
	rm -rf $(DEMO)
	$(RUN)/python examples/demo.py $(DEMO)

test test-all: export OMP_NUM_THREADS = 1
# Tests are kept as compiled, which is half of their collection.
test test-all: export PYTHONDONTWRITEBYTECODE =
test: lint types
	$(RUN)/pytest -m "not slow" -n 2 --dist loadfile

test-all: lint types
	$(RUN)/pytest -n 2 --dist loadfile

# As on older CPUs, with other threads, locales and time zones: of all tests, or of TESTS.
test-portable: $(VENV)/ready
	$(RUN)/python -m tests.portable -- $(TESTS)

lint: $(VENV)/ready
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .

types: $(VENV)/ready
	$(RUN)/mypy

bench: $(VENV)/ready
	$(RUN)/python -m benchmarks.step
	$(RUN)/python -m benchmarks.regularised_step
	$(RUN)/python -m benchmarks.text_step
	$(RUN)/python -m benchmarks.attach_step
	$(RUN)/python -m benchmarks.dna_loader
	$(RUN)/python -m benchmarks.dna_variants
	$(RUN)/python -m benchmarks.cells_loader
	$(RUN)/python -m benchmarks.imputer
	$(RUN)/python -m benchmarks.dry_look
	$(RUN)/python -m benchmarks.theory
	$(RUN)/python -m benchmarks.likelihood_speed
	$(RUN)/python -m benchmarks.likelihood_variance

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(RUN)/python:
	$(PYTHON) -m venv $(VENV)

# What the package needs, and for developers what its tests need too.
$(VENV)/demo: pyproject.toml constraints.txt | $(RUN)/python
	$(RUN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

# Libraries that tests meet, and what they need: apart, since torchvision's wheels are for CUDA builds
# of torch, and beside another none of what finds them can be imported (see tests/peers.py).
PEERS := timm lightly pytorch-lightning torchmetrics torchvision hydra-core omegaconf \
	antlr4-python3-runtime

$(VENV)/ready: pyproject.toml constraints.txt | $(RUN)/python
	$(RUN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	rm -rf $(VENV)/peers
	$(RUN)/python -m pip install --quiet --constraint constraints.txt --no-deps \
		--target $(VENV)/peers $(PEERS)
	touch $@ $(VENV)/demo
