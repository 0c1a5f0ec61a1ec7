# Everything runs in .venv, which is made on first use; `make` alone lists the targets.
#
# PYTHON=...    the interpreter to make .venv with, if not the first on PATH that is new enough
# ARGS=...      more arguments for pytest: make test ARGS="-k sse -x"; for compare.py in make bench
# GGUF=...      a model file of yours for make demo, for instance one that writes Chinese
# JOBS=4        tests that run at a time: many wait, so more than there are cores
# COVERAGE=1    make test measures branch coverage
# CHECK=1       make format only says what it would change
# SECONDS=600   how long make fuzz runs each target; TARGET=stream runs one
# SAVE=1        make notebooks writes the outputs into the notebooks

VENV := .venv
PY := $(VENV)/bin/python
# Nothing is compiled on installation: most modules are never imported.
CONSTRAINTS := --constraint constraints.txt --build-constraint constraints.txt
PIP := $(PY) -m pip install -qq --no-compile $(CONSTRAINTS)
UV := $(PY) -m uv pip install --quiet --python $(PY)
PIP_DOES_IT := echo "uv failed; pip does it, and takes longer ..."
BUILD := $(PY) -m build --installer uv --outdir dist --dependency-constraints-txt constraints.txt
JOBS ?= 4
SECONDS ?= 600
# Only the files that say so: to collect all others takes longer than some of the tests.
RAY_TESTS = -m ray $$(grep -rl --include='*.py' 'mark\.ray' tests)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Else each of the many processes of the tests would compile all modules anew.
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test ray clients browser lowest newest format lint types notebooks docs workflows wheel \
	bench bench-batch fuzz record constraints clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1@/p' Makefile | awk -F@ '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## a LangChain chain and a LlamaIndex query engine, over a local gateway
	@$(PY) examples/demo.py $(if $(GGUF),--gguf '$(GGUF)')

# No test downloads anything: the file of the embedded model must be there before. pyproject.toml
# (patch) makes coverage follow the workers and the processes that measured tests start.
test: $(VENV)/.dev ## every test but those of Ray, which COVERAGE=1 runs too
	@$(VENV)/bin/dashscope-oss fetch >/dev/null
ifdef COVERAGE
	@JOBS=$(JOBS) .ci/coverage $(ARGS)
else
	@$(PY) -m pytest -n $(JOBS) --dist worksteal -m "not ray" $(ARGS)
endif

ray: $(VENV)/.dev ## batches on a Ray cluster of two small machines, both on this one
	@$(PY) -m pytest $(RAY_TESTS) $(ARGS)

# Each client, with what it pins, is in a folder that comes before .venv on the path.
clients: $(VENV)/.dev ## other clients of the service, unmodified, against the gateway
	@set -e; while read -r name packages; do \
	  set -- --no-deps --upgrade --target $(VENV)/clients/$$name $$packages; \
	  $(UV) "$$@" || { $(PIP_DOES_IT); $(PY) -m pip install -qq --no-compile "$$@"; }; \
	done < tests/clients/versions.txt
	@$(PY) -m pytest -q tests/clients/unmodified.py $(ARGS)

# Debian's Chromium, where apt-get can fetch it; elsewhere CHROMIUM names a browser.
browser: $(VENV)/.dev docs ## the gateway's status page and the documentation in a real browser
	@command -v "$${CHROMIUM:-chromium}" >/dev/null || \
	  { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; }
	@$(PY) -m pytest -q tests/browser $(ARGS)

# All tests of the adapters, not only those marked `versions`: make lowest ARGS='-m ""'
lowest: $(VENV)/.dev ## the adapters and the gateway on the lowest versions that pyproject.toml allows
	@JOBS=$(JOBS) .ci/versions lowest $(ARGS)

newest: $(VENV)/.dev ## the adapters and the gateway on the newest versions that pyproject.toml allows
	@JOBS=$(JOBS) .ci/versions newest $(ARGS)

format: $(VENV)/.dev ## write the code in its one form
	@$(PY) -m ruff format $(if $(CHECK),--diff,--quiet) .

lint: $(VENV)/.dev ## ruff's rules
	@$(PY) -m ruff check .

types: $(VENV)/.dev ## mypy --strict
	@$(PY) -m mypy

# As for the tests, the file of the embedded model must be there before.
notebooks: $(VENV)/.dev ## run every notebook from its first cell; SAVE=1 keeps the outputs
	@$(VENV)/bin/dashscope-oss fetch >/dev/null
	@$(PY) notebooks/execute.py --jobs $(if $(SAVE),1,2) $(if $(SAVE),--save)

docs: $(VENV)/.dev ## build the documentation site into .cache/site/html, and check its links
	@$(PY) -m website.build

workflows: $(VENV)/.dev ## actionlint and zizmor on the workflow files
	@$(UV) $(CONSTRAINTS) --group workflows
	@$(VENV)/bin/actionlint .github/workflows/*.yml
	@$(VENV)/bin/zizmor --quiet --offline .github

# The two thin distributions find the version in this one's folder, so they have no source archive.
wheel: $(VENV)/.dev ## build the wheel from the source archive, and the two thin ones, into dist/
	@rm -rf dist
	@$(BUILD) .
	@$(BUILD) --wheel distributions/langchain
	@$(BUILD) --wheel distributions/llama-index

bench: $(VENV)/bench/.made ## compare with the peers on this machine; ARGS="--quick --rounds 1"
	@$(VENV)/bench/bin/python benchmarks/compare.py $(ARGS)

bench-batch: $(VENV)/.dev ## a million rows through a batch: CPU a row, memory; ARGS=10000 is quicker
	@$(PY) benchmarks/batch.py $(ARGS)

# The peers have an environment of their own: one of them pins an old SDK of the vendor.
$(VENV)/bench/.made: pyproject.toml $(wildcard benchmarks/peers*.txt) | $(VENV)/.made
	@echo "Installing this package and its peers into $(VENV)/bench (some 400 MB; a few minutes) ..."
	@$(PY) -m venv --clear --without-pip $(VENV)/bench
	@$(PY) -m pip --python $(VENV)/bench install -qq --build-constraint constraints.txt \
	  --requirement benchmarks/peers.txt --editable '.[langchain,llama-index,aiohttp]'
	@$(PY) -m pip install -qq --no-deps --target $(VENV)/bench/openai2 \
	  --requirement benchmarks/peers_openai2.txt
	@touch $@

# atheris is installed here only, since it has no wheels for every Python and platform.
fuzz: $(VENV)/.dev ## fuzz decoder, streams, replies and calls; SECONDS=600 for each
	@$(PY) -m pip install -qq 'atheris>=3,<4'
	@for target in $(or $(TARGET),decoder stream reply request completion); do \
	  echo "=== $$target"; \
	  $(PY) -m tests.fuzz $$target -max_total_time=$(SECONDS) -verbosity=0 -print_final_stats=1 \
	    || exit 1; \
	done

# With a key it costs tokens; without one the project's own gateway answers, with vendor samples.
record: $(VENV)/.dev ## record the cassettes anew, with DASHSCOPE_API_KEY from the service
	@$(PY) -m pytest tests/wire --record-mode=rewrite --force-enable-socket $(ARGS)

# uv resolves for all Python versions at once and writes markers where they differ.
constraints: $(VENV)/.dev ## write the newest versions that fit together into constraints.txt
	@{ echo '# Versions for demo and development; `make constraints` writes this file.'; \
	   printf '%s\n' hatchling editables | $(PY) -m uv pip compile --quiet --universal \
	     --python-version 3.11 --all-extras --group dev --group workflows --no-header --no-annotate \
	     --no-emit-index-url pyproject.toml -; } > $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt constraints.txt

clean: ## remove .venv and everything else that can be made again
	@rm -rf $(VENV) dist build *.egg-info .coverage* .hypothesis .benchmarks .*_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an installation is repeated only when a file that it depends on has changed. Demo and
# tests share one environment, because the tests need all that the demo needs.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing what the demo needs into $(VENV) (some 460 MB; a few minutes) ..."
	@$(PIP) --editable '.[all]' --group examples
	@touch $@

# uv needs a quarter of pip's time. It does not read pip's settings: where it cannot reach an index,
# pip does the same.
DEV := --editable '.[all,aiohttp,ray]' --group dev
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing what development needs into $(VENV) (some 700 MB; a few minutes) ..."
	@$(UV) $(CONSTRAINTS) $(DEV) || { $(PIP_DOES_IT); $(PIP) $(DEV); }
	@$(PIP) --no-deps --requirement tests/langchain/no_dependencies.txt
	@touch $@ $(VENV)/.demo

# The pip of many Pythons knows neither dependency groups nor build constraints.
$(VENV)/.made:
	@python=$$($(find_python)) && echo "Making $(VENV) with $$($$python --version)" \
	  && $$python -m venv --clear $(VENV)
	@$(PY) -m pip install -qq --constraint constraints.txt 'pip>=25.3' uv
	@touch $@

define find_python
for python in $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python3.14); do \
  found="$$found $$python ($$($$python --version 2>/dev/null || echo not there))"; \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    && echo $$python && exit 0; \
done; \
echo "Python 3.11 or newer is needed. Tried:$$found." >&2; \
echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1
endef
