# Everything a newcomer needs: `make demo` runs the main job, `make test` all tests. Both set up .venv first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(shell find lib op lmp -name '*.cc' -o -name '*.cpp' -o -name '*.h' -o -name '*.hpp' -o -name '*.cu' -o -name '*.cmake' -o -name 'CMakeLists.txt' 2>/dev/null) CMakeLists.txt
# Two processes (JOBS), whole files each, so that a file's fixtures are made once.
JOBS ?= 2
PYTEST := TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

HOROVOD := $(VENV)/.horovod

.PHONY: demo test test-quick bench bench-kernels lint clean install horovod check-tools

install: $(STAMP)

check-tools:
	@command -v $(PYTHON) >/dev/null || { echo "make: needs python3 (3.10 or newer): apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: needs Python 3.10 or newer; set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: needs the venv module: apt-get install python3-venv"; exit 1; }
	@command -v g++ >/dev/null || { echo "make: needs a C++17 compiler: apt-get install g++"; exit 1; }

$(VENV)/.requirements: requirements.txt | check-tools
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -r requirements.txt
	touch $@

# The editable install compiles the libraries into dptf/lib; later builds only recompile what changed.
$(STAMP): $(VENV)/.requirements setup.py setup.cfg pyproject.toml $(NATIVE)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install -q --no-build-isolation --no-deps -e .
	touch $@

# Horovod is compiled from its source archive with two edits (minutes, once).
$(HOROVOD): $(VENV)/.requirements dptf/parallel/install.py | $(STAMP)
	$(BIN)/python -m dptf.parallel.install
	touch $@

horovod: $(HOROVOD)

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP) $(HOROVOD)
	$(PYTEST) tests

test-quick: $(STAMP)
	$(PYTEST) -m "not slow" tests

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

bench-kernels: $(STAMP)
	$(CXX) -std=c++17 -O2 -Ilib/include benchmarks/kernels.cc -Ldptf/lib -ldeepmd -Wl,-rpath,$(CURDIR)/dptf/lib -o build/bench-kernels
	build/bench-kernels

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf build dptf/lib demo-run bench-run
