# Two commands: `make demo` and `make test`. Both create the environment when it is missing.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
DEMO := runs/demo
export PYTHONPATH := .
export OMP_NUM_THREADS ?= 2

.PHONY: demo test test-all test-portable lint types bench clean

demo: $(VENV)/ready
	rm -rf $(DEMO)
	$(RUN)/maskwise pretrain digits --law uniform:0.4,0.9 --out $(DEMO)

test: export OMP_NUM_THREADS = 1
test: lint types
	$(RUN)/pytest -m "not slow" -n 2 --dist loadfile

test-all: export OMP_NUM_THREADS = 1
test-all: lint types
	$(RUN)/pytest -n 2 --dist loadfile

# The suite as processors without AVX-512, and without AVX2, compute it; with one thread and with
# two, in another time zone, and where text is ASCII unless a program says otherwise.
test-portable: $(VENV)/ready
	ATEN_CPU_CAPABILITY=avx2 NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR" \
	  OPENBLAS_CORETYPE=Haswell ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
	  OMP_NUM_THREADS=1 TZ=Asia/Kathmandu LC_ALL=C.UTF-8 \
	  $(RUN)/pytest -m "not slow" -n 2 --dist loadfile
	ATEN_CPU_CAPABILITY=default NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR" \
	  OPENBLAS_CORETYPE=Nehalem ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 \
	  OMP_NUM_THREADS=2 TZ=America/St_Johns LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 \
	  $(RUN)/pytest -m "not slow" -n 2 --dist loadfile

lint: $(VENV)/ready
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .

types: $(VENV)/ready
	$(RUN)/mypy

bench: $(VENV)/ready
	$(RUN)/python -m benchmarks.step
	$(RUN)/python -m benchmarks.regularised_step
	$(RUN)/python -m benchmarks.text_step
	$(RUN)/python -m benchmarks.dna_loader
	$(RUN)/python -m benchmarks.dna_variants
	$(RUN)/python -m benchmarks.cells_loader
	$(RUN)/python -m benchmarks.imputer
	$(RUN)/python -m benchmarks.theory
	$(RUN)/python -m benchmarks.likelihood_speed
	$(RUN)/python -m benchmarks.likelihood_variance

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
