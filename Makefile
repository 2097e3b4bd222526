# One command for each thing that a person wants to do here. Needs git, make and Python 3.11 or later; the rest is set up
# inside .venv, from requirements.lock, and only when that file or pyproject.toml has changed.
#
#   make demo       a real pipeline on a small cluster of four hosts on this machine
#   make test       style, types, layers and all tests that need nothing but Python
#   make test-all   the same, with the Debian packages that some tests need; no test may be skipped for want of one
#   make bench      how fast it is, against bare baselines in the same run: under ten minutes, figures to benchmarks/RESULTS.md
#   make bench-long the same, with what takes minutes: 1,000 agents, 10^6 jobs, ten minutes of drift, Slurm, growth curves
#   make bench-peers  other systems on the same work in turns with ours; each is installed below build/peers (half an hour)
#   make growth     only the growth curves: benchmarks/growth.md and growth.svg (some 10 minutes)
#   make torture-live  the live fault tests whole: 6,000 jobs under kill -9, every crash point, 500 escapers (40 minutes)
#   make fuzz MINUTES=60  rubbish into everything that can be read from outside, for so long; what fails is kept in .hypothesis
#   make soak MINUTES=60  a real cluster with a fault every 10 s, and whether its memory and descriptors stay flat
#   make torture    thousands of simulated worlds, every crash point, every planted bug; counters to docs/reliability.md
#   make lint       only style, types and layers
#   make docs       the generated pages of docs/, and the answers of the commands that pages show
#   make screenshots  the pictures of the page in docs/, from a real Chromium
#   make lock       pins the newest versions that pyproject.toml admits

.PHONY: help demo test check test-all lint bench bench-long bench-peers growth torture-live fuzz soak torture docs screenshots lock packages clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

# Debian packages that tests need beyond Python, by name. A test says so with @pytest.mark.needs.
DEBIAN_PACKAGES := openssh-server slurm-wlm munge openssl iproute2 chromium groff-base systemd

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

demo: .venv/ready
	$(BIN)/laulima demo

# Two at a time, each file by one worker: most tests wait for processes, or use one processor.
TEST_WORKERS ?= 2

test: lint
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile $(PYTEST_ARGUMENTS)

check: test

test-all: export LAULIMA_TEST_ALL := 1
test-all: packages test

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench-long: export LAULIMA_BENCH_LONG := 1
bench-long: bench

bench: .venv/ready
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-quiet $(PYTEST_ARGUMENTS)

bench-peers: export LAULIMA_BENCH_PEERS := 1
bench-peers: .venv/ready
	$(BIN)/python -m pytest benchmarks/peers --benchmark-only --benchmark-quiet $(PYTEST_ARGUMENTS)

growth: export LAULIMA_BENCH_LONG := 1
growth: .venv/ready
	$(BIN)/python -m pytest benchmarks/test_growth.py --benchmark-only --benchmark-quiet $(PYTEST_ARGUMENTS)

torture-live: export LAULIMA_TORTURE_LONG := 1
torture-live: .venv/ready
	$(BIN)/python -m pytest tests/live/torture tests/differential --timeout=600 --durations=0 -s $(PYTEST_ARGUMENTS)

MINUTES ?= 60

fuzz: export LAULIMA_FUZZ_MINUTES := $(MINUTES)
fuzz: .venv/ready
	$(BIN)/python -m pytest tests/fuzz --timeout=0 -s $(PYTEST_ARGUMENTS)

soak: .venv/ready
	$(BIN)/python -m tests.live.torture.soak --minutes $(MINUTES)

# Some 45 minutes on two processors. TORTURE_SEEDS says how many worlds.
TORTURE_SEEDS ?= 5000
TORTURE_JOBS ?= 2

torture: .venv/ready
	$(BIN)/laulima torture --seeds $(TORTURE_SEEDS) --jobs $(TORTURE_JOBS) --write docs/reliability.md
	$(BIN)/laulima torture --crash-points --jobs $(TORTURE_JOBS) --write docs/reliability.md
	$(BIN)/laulima torture --crash-pairs --jobs $(TORTURE_JOBS) --write docs/reliability.md
	$(BIN)/python -m tests.sim.count_seeds docs/reliability.md tests/regress

docs: .venv/ready
	$(BIN)/python -m docs.diagrams
	$(BIN)/python -m docs.language_commands
	$(BIN)/python -m docs.manual
	$(BIN)/python -m docs.reference
	$(BIN)/python -m docs.examples

screenshots: .venv/ready
	$(BIN)/python -m tests.page.screenshots docs

packages:
	@missing=; for name in $(DEBIAN_PACKAGES); do dpkg -s $$name >/dev/null 2>&1 || missing="$$missing $$name"; done; \
	if [ -n "$$missing" ]; then apt-get update && apt-get install --yes --no-install-recommends $$missing; fi

lock:
	$(PYTHON) -m venv --clear .venv/lock
	.venv/lock/bin/pip install --quiet uv
	.venv/lock/bin/uv pip compile pyproject.toml --group dev --generate-hashes --universal --python-version 3.11 \
		--no-emit-index-url --upgrade --quiet --custom-compile-command "make lock" --output-file requirements.lock

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks

# What is installed is exactly the lock, byte for byte; the project itself is a link to this folder.
.venv/ready: .venv/locked pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "laulima needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@
