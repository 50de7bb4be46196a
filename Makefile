# make demo: install, train ProMP on HalfCheetahDir for a few minutes, evaluate on held-out tasks, draw
# make test: install, check, test: everything, what CI runs
# make quick: install, check, the quick tests: under a minute once installed
# make mutants: changes the numerics in a thousand places and asks whether a test notices: hours; see CONTRIBUTING.md
# make lint: ruff                       make install: what the others need          make clean: remove what they all made
# make docs: the documentation site, in docs/_build/html; make linkcheck: whether the links to other sites lead somewhere
# make robots: metarl check on hundreds of robots from public packages (hours, and the network; not in CI)
# make gpu-bench: measures MuJoCo Warp on an NVIDIA GPU, in some twenty minutes, into $(GPU_BENCH); see docs/guides/gpu.md
# make rendering, make browser: what the tests of MP4 replays and of pages need (as root on Debian; else said and left out)
#
# Everything is installed in $(VENV), once; make PYTHON=python3.12 takes another Python than python3.

PYTHON ?= python3
VENV ?= .venv
GPU_BENCH ?= gpu-bench.json
RUN ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
GL := libegl1 libegl-mesa0 libgl1-mesa-dri

.DELETE_ON_ERROR:
.PHONY: demo test quick lint docs linkcheck mutants robots gpu-bench rendering browser install clean

demo: RUN := $(RUN)
demo: install
	$(BIN)/metarl train configs/demo.yaml --run $(RUN)
	$(BIN)/metarl visualise $(RUN)
	@echo "Everything is in $(RUN)"

test: lint rendering browser
	$(BIN)/python -m pytest -n 2 -q

quick: lint
	$(BIN)/python -m pytest -n 2 -q -m "not (slow or gl or metaworld or sb3 or browser or whole)"

lint: install
	$(BIN)/ruff check
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

docs: install
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

linkcheck: install
	$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/linkcheck

mutants: install
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt 'cosmic-ray>=8.7,<9'
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants/run.py $(MUTANTS)

robots: install
	$(BIN)/python tests/other_robots/check.py

# $(call debian,CONDITION,PACKAGES,WHAT IS LEFT OUT WITHOUT): installs Debian packages unless the condition holds
define debian
	@if $(1); then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing $(2)"; \
		{ apt-get -q update && apt-get -q install -y --no-install-recommends $(2); } >>$(VENV)/apt.log 2>&1 \
			|| echo "could not install $(2): see $(VENV)/apt.log; left out: $(3)"; \
	else echo "left out: $(3); on Debian, $(2) would bring it"; fi
endef

gpu-bench: install
	$(BIN)/python -m metarl.bench.gpu --json $(GPU_BENCH) $(ARGS)
	@echo "written to $(GPU_BENCH)"

rendering: install
	$(call debian,$(BIN)/python -c "from metarl.doctor import rendering; raise SystemExit(rendering().status != 'ok')",$(GL),MP4 replays)

browser: install
	$(call debian,{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null,chromium,the tests of pages in a browser)

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "metarl needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c "import venv, ensurepip" 2>/dev/null \
		|| { echo "$(PYTHON) has no venv: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		--config-settings editable_mode=compat -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .pytest_cache .ruff_cache .hypothesis
