# Two commands: `make demo` runs the whole stack and writes out/dossier; `make test` proves the code.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
OUT ?= out

.PHONY: demo test test-fast lint format lock clean help
.DEFAULT_GOAL := help

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: ## Install what is needed, run the stack on this machine, write and verify out/dossier
	@$(PYTHON) scripts/bootstrap.py auto
	@$(BIN)/stackproof demo --out $(OUT)

# Where the environment forbids to keep byte code, every process of the tests would compile this project again.
test test-fast: export PYTHONDONTWRITEBYTECODE =

test: lint ## Lint, type-check and run every test (real engine, gateway, Ray, helm)
	@$(BIN)/pytest -n auto -m "not services" --cov --cov-report=
	@$(BIN)/pytest -n 2 --dist loadfile -m services --cov --cov-append --cov-report=term:skip-covered --cov-fail-under=80

test-fast: ## The tests that start no service, with fewer examples: about a minute
	@$(PYTHON) scripts/bootstrap.py dev
	@$(BIN)/pytest -n auto -m "not slow" --hypothesis-profile=fast

lint: ## ruff, mypy (strict) and the layer order
	@$(PYTHON) scripts/bootstrap.py dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: ## Format the code
	@$(PYTHON) scripts/bootstrap.py dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## Resolve requirements/*.lock again (UPGRADE=1 for newer versions)
	@$(PYTHON) scripts/bootstrap.py dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/lock.py $(if $(UPGRADE),--upgrade)

clean: ## Remove the environment and all output (not the model cache, not the signing key)
	rm -rf .venv .venv.lock $(OUT) build *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
