# Two commands do all the set-up: `make demo` runs the main job, `make test` the tests.
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/demo
TRAIN := $(BIN)/rmaat train --recipe benchmarks/demo.toml --data-dir $(RUN)/data --curves $(RUN)/curves

.PHONY: demo test quick test-all docs notebooks curves crash fuzz lint lock clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	if [ -f requirements.lock ]; then \
		$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock && \
			$(BIN)/pip install --quiet --no-deps --editable .; \
	else \
		$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"; \
	fi
	touch $@

# Every version with its hash, for this system and processor; .venv is made from it where it is there.
lock:
	$(PYTHON) -m pip install --dry-run --ignore-installed --quiet --constraint constraints.txt \
		--report requirements.json --editable ".[dev]"
	$(PYTHON) .ci/lock.py requirements.json requirements.lock
	rm requirements.json

# What a user would type, step by step; --require-gain makes the demo fail when the model has learned nothing.
# One thread each: the network is so small that a second one costs more than it gives; so the baselines train side by side.
demo: export OMP_NUM_THREADS := 1
demo: .venv/ready
	rm -rf $(RUN)
	$(BIN)/astro-sim curves --out $(RUN)
	$(TRAIN) --run $(RUN)
	$(TRAIN) --model softmax --run $(RUN)/baselines/softmax & softmax=$$!; \
		TQDM_POSITION=1 $(TRAIN) --model linear --run $(RUN)/baselines/linear && wait $$softmax
	$(BIN)/rmaat trace $(RUN)
	$(BIN)/rmaat report $(RUN) --title "From simulated astrocytes to a trained transformer"
	$(BIN)/rmaat eval $(RUN) --require-gain 15

test: .venv/ready
	$(BIN)/pytest -n logical -m "not slow and not notebook and not browser"

# What to run while writing: rules, numbers, equations, curve files, layers and memory, without simulations.
quick: .venv/ready
	$(BIN)/pytest -n logical -m "not slow" tests/test_architecture.py tests/test_bridge.py tests/astro_sim/parameters \
		tests/astro_sim/models tests/astro_sim/curves/test_format.py tests/rmaat/test_config.py tests/rmaat/layers

test-all: .venv/ready
	$(BIN)/pytest -n logical

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebooks: .venv/ready
	$(BIN)/jupytext --to ipynb --update notebooks/*.py
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
		--ExecutePreprocessor.kernel_name=python3 notebooks/*.ipynb
	$(BIN)/python tests/test_notebooks.py

# Simulate the committed curves again; the same versions on the same processor type give the same bytes.
curves: .venv/ready
	$(BIN)/astro-sim curves --out runs/curves
	cp runs/curves/curves/*.toml rmaat/data/

# Kill commands at random moments and compare with runs that nobody killed; KILLS of each kind.
KILLS ?= 3
SEED ?= 0
crash: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/crash.py --kills $(KILLS) --seed $(SEED)

# Mutated input for every reader of foreign files; make test-all runs 4000.
FUZZ ?= 100000
fuzz: .venv/ready
	FUZZ=$(FUZZ) $(BIN)/pytest -n logical tests/test_fuzz.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check astro_sim rmaat tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv runs build site *.egg-info
