# Corral's tasks.  `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALL := $(UV) pip install --quiet --constraint constraints.txt --build-constraint constraints.txt
STARTER := $(VENV)/.starter

.DEFAULT_GOAL := help
.PHONY: help run serve test check fix bench constraints clean

help: ## List the tasks
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.run ## Chat with the starter model; PROMPT="..." answers that and ends
	@$(BIN)/corral run smollm2 $(if $(PROMPT),"$$PROMPT")
run: export PROMPT := $(PROMPT)

serve: $(VENV)/.run ## Run the daemon in the foreground
	@$(BIN)/corral serve

test: $(VENV)/.test ## Check and test everything, cheapest first
	@$(BIN)/python tests/run.py

check: $(VENV)/.test ## Format, lint, house rules and types only
	@$(BIN)/python tests/run.py --checks

fix: $(VENV)/.test ## Let the formatter and the linter mend what they can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.test ## Compare with llama-server (bench/README.md)
	@$(BIN)/python bench/serve.py

constraints: $(UV) ## Pin newer versions of everything
	@rm -f constraints.txt && $(MAKE) --no-print-directory constraints.txt

clean: ## Remove the environment and all that tools left behind
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(UV): constraints.txt
	@echo "corral: creating $(VENV)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python packaging/pinned.py uv > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@touch $@

$(VENV)/.run: $(UV) pyproject.toml constraints.txt
	@echo "corral: installing; the first time llama.cpp is compiled, about 4 minutes on 2 cores" >&2
	@packaging/with-clock "corral: compiling and installing" $(INSTALL) --editable .
	@$(INSTALL) --no-deps --group starter
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo "corral: installing what the tests need" >&2
	@$(INSTALL) --group test --group check
	@touch $@
