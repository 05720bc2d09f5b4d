# make demo    sets up .venv and goes from nothing to an answer
# make test    sets up .venv and runs the tests
# make install sets up .venv alone
# make soak    runs for half an hour: random lives of a library, kills, floods
# make bench   runs the benchmarks and writes benchmarks/results/
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Annoy comes as source and by default compiles for this very processor with -ffast-math: illegal instructions on
# another machine, and with some compilers wrong neighbours.
ifeq ($(shell uname -m),x86_64)
MARCH := ,-march=x86-64-v3
endif
export ANNOY_COMPILER_ARGS := -D_CRT_SECURE_NO_WARNINGS,-DANNOYLIB_MULTITHREADED_BUILD,-std=c++14,-O3$(MARCH)

.PHONY: install demo test soak lint bench clean

install: $(VENV)/.installed
demo: $(VENV)/.installed
	$(BIN)/samplefit demo
test: $(VENV)/.tested
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest
soak: $(VENV)/.tested
	SAMPLEFIT_SOAK=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest tests/index/test_simulator.py tests/faults
lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
bench: $(VENV)/.tested
	$(BIN)/python benchmarks/press.py
clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	|| { echo 'samplefit needs Python 3.11 to 3.13 with venv, its headers and a C++ compiler; on Debian: apt-get install python3-venv python3-dev g++ make' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@command -v $${CXX:-g++} >/dev/null || { echo 'Annoy is compiled on your machine and needs a C++ compiler; on Debian: apt-get install g++ python3-dev' >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[panel]'
	@touch $@

# torch by its exact version: where a CPU build is offered pip then takes it.
$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[panel,announce,train,test]'
	@touch $@
