# make setup   .venv with everything the program and its tests need (every other target runs it when missing or stale)
# make demo    a sample video as a live camera, one question, its answer; DEMO_EXIT=1 leaves after the answer
# make test    all tests                     make check   ruff, mypy --strict, import-linter
# make bench   the README's figures          make train   the bundle, from the recipes (RECIPE=… for one)
# make format  ruff's formatter              make screenshots  the pictures of the page in docs/images (STATE="wall phone")
# make clean   removes what the others made, data excepted
.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench train screenshots clean

BIN := .venv/bin
READY := .venv/.ready

help:
	@sed -n 's/^# //p' Makefile

setup: $(READY)

$(READY): requirements.txt requirements-dev.txt requirements-eval.txt requirements-mcp.txt requirements-cluster.txt requirements-models.txt constraints.txt pyproject.toml scripts/setup scripts/debian-packages
	@scripts/setup

demo: $(READY)
	@$(BIN)/llama-vid demo

test: $(READY)
	@$(BIN)/python -m pytest -q $(ARGS)

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q . || { echo "make format mends the files above" >&2; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

bench: $(READY)
	@$(BIN)/llama-vid bench all $(ARGS)

screenshots: $(READY)
	@$(BIN)/python -m tests.screenshots $(STATE)

train: $(READY)
	@$(BIN)/llama-vid train $(or $(RECIPE),all) $(ARGS)

clean:
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
