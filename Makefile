PROFILE ?= demo
PYTHON ?= python3.11
BIN := .venv/bin

run: .venv/.runtime  ## run the five notebooks: make run [PROFILE=smoke] [SIGNALS=ptbxl DATA=folder] [BHF=folder]
	$(BIN)/python -m ecgutils run --profile $(PROFILE) $(if $(SIGNALS),--signals $(SIGNALS)) \
		$(if $(DATA),--data "$(DATA)") $(if $(BHF),--bhf "$(BHF)") $(if $(ONLY),--only $(ONLY)) $(if $(RESUME),--resume)

test: .venv/.dev  ## unit tests, then the notebooks end to end
	$(BIN)/python -m pytest ecgutils tests

test-slow: .venv/.dev  ## the long property and stress tests
	$(BIN)/python -m pytest -m slow ecgutils tests

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: .venv/.runtime  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

env: .venv/.dev

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.runtime: .venv/bin/python requirements.txt pyproject.toml
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

.PHONY: run test test-slow lint lab env help
