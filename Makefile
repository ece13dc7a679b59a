# Everything a contributor types.  A fresh clone needs only python3 (3.11 or newer) with pip and venv.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SITE_STAMP := .venv/.site-installed
DEMO := .demo

DATA ?= $(RCIG_REAL_DATA)
OUT ?= .bench-accuracy

.PHONY: install demo test lint type pytest test-slow test-realdata bench bench-accuracy bench-growth bench-subset lock docs site clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

# Distil ten digits, evaluate them beside ten random ones, and draw them.
demo: $(STAMP)
	@rm -rf $(DEMO)
	@$(BIN)/rcig prepare digits --store $(DEMO)
	@$(BIN)/rcig distill digits --ipc 1 --store $(DEMO)
	@$(BIN)/rcig evaluate run_1 --store $(DEMO) --json > $(DEMO)/evaluation.json
	@$(BIN)/rcig visualize run_1 --grid --store $(DEMO) --quiet --json > $(DEMO)/picture.json
	@$(BIN)/python benchmarks/demo_summary.py $(DEMO)

test: $(STAMP) lint type pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)
	$(BIN)/mypy

# The fast tests: all but those in tests/slow and those marked slow.
pytest: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --ignore tests/slow -m "not slow"

# The slow tests, in tests/slow and those marked slow: crashes and disk errors at every write, runs stopped at random, random input, processes killed,
# benchmarks, a step of every preset.  RCIG_CRASH_SAMPLE=40 tests every 40th point of the crash matrix only.
test-slow: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/slow
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --ignore tests/slow -m slow

# On real data: RCIG_REAL_DATA names a folder with mnist.npz, fashion_mnist.npz and cifar10.npz.
test-realdata: $(STAMP)
	$(BIN)/python -m pytest -m realdata -s

bench: $(STAMP)
	$(BIN)/python benchmarks/speed.py

# Seconds of distillation to 30, 35, 40 and 45 % on CIFAR-10 and to 70, 80 and 90 % on MNIST, on this machine.  DATA (or
# RCIG_REAL_DATA) names a folder with cifar10.npz and mnist.npz, or a store; the results go to OUT.  An interrupted
# benchmark continues.
bench-accuracy: $(STAMP)
	$(BIN)/python benchmarks/accuracy.py --data "$(DATA)" --out "$(OUT)"

# A step's time against the number of images, the batch and the width; memory and time against --backward-subset.
bench-growth: $(STAMP)
	$(BIN)/python benchmarks/growth.py

bench-subset: $(STAMP)
	$(BIN)/python benchmarks/subset.py

# Needs uv: resolves the newest versions for every Python this project runs on.
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links
lock:
	$(COMPILE) --extra dev --output-file requirements.lock
	$(COMPILE) --extra site --constraint requirements.lock --output-file docs/requirements.lock

docs: $(STAMP)
	$(BIN)/python docs/make_commands.py

# The documentation as a site in site/; open site/index.html.  Executes the notebook; broken links and anchors are errors.
site: docs $(SITE_STAMP)
	$(BIN)/jupyter nbconvert --log-level WARN --execute --to markdown docs/notebook.ipynb
	$(BIN)/zensical build --clean --strict

$(SITE_STAMP): docs/requirements.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement docs/requirements.lock
	@touch $(SITE_STAMP)

clean:
	rm -rf .venv site docs/notebook.md docs/notebook_files $(DEMO) .pytest_cache .mypy_cache .ruff_cache
