# One place for the commands people and CI run. `make app` and `make test` do all the set-up themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# idle threads of torch sleep instead of spinning: on a shared machine that is the difference between 15 ms and a second
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: app test check format lint types env clean

app: $(VENV)/.app      ## start the app on the bundled generator
	$(BIN)/python app.py

test: $(VENV)/.dev $(VENV)/.comfyui     ## run the tests
	$(BIN)/python -m pytest -n auto

check: $(VENV)/.dev $(VENV)/.comfyui    ## what CI runs: format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

env: $(VENV)/.dev

# torch first and by its exact version, so that nothing later pulls another build of it
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	touch $@

$(VENV)/.app: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[app]"
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.app

# a real ComfyUI for the tests of plugin/: its core, and of its requirements what the core needs to start
$(VENV)/.comfyui: $(VENV)/.dev tests/plugin/requirements.txt tests/plugin/core.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -r tests/plugin/requirements.txt
	$(BIN)/python tests/plugin/core.py
	touch $@

clean:
	rm -rf $(VENV) .comfyui .pytest_cache .mypy_cache .ruff_cache .hypothesis
