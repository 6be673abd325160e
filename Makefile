PROFILE ?= demo
# the first of these that runs (a shim may be there and fail), is 3.11 to 3.13, and can make an environment
FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	if $$p -c '$(FITS)' >/dev/null 2>&1; then echo $$p; break; fi; done)
BIN := .venv/bin

run: .venv/.runtime  ## run the five notebooks: make run [PROFILE=smoke] [SIGNALS=ptbxl DATA=folder] [PHOTOS=table]
	$(BIN)/python -m ecgutils run --profile $(PROFILE) $(if $(SIGNALS),--signals $(SIGNALS)) \
		$(if $(DATA),--data "$(DATA)") $(if $(PHOTOS)$(BHF),--photos "$(or $(PHOTOS),$(BHF))") \
		$(if $(PHOTOS_TEST),--photos-test "$(PHOTOS_TEST)") $(if $(ONLY),--only $(ONLY)) $(if $(HOURS),--hours $(HOURS)) \
		$(if $(RESUME),--resume)

test: .venv/.dev  ## unit tests, then the notebooks end to end
	$(BIN)/python -m pytest ecgutils tests

test-slow: .venv/.dev  ## the long property and stress tests
	$(BIN)/python -m pytest -m slow ecgutils tests

lint: .venv/.dev  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

kaggle: .venv/.runtime  ## kaggle-dataset/, to run without internet there: make kaggle USER=name [COMPETITION=slug]
	$(BIN)/python kaggle/build.py $(if $(findstring command,$(origin USER)),--user $(USER)) --profile $(PROFILE) \
		$(if $(COMPETITION),--competition $(COMPETITION))

lab: .venv/.runtime  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

docs: .venv/.docs  ## the documentation site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

app: .venv/.app  ## a page to read photos on, in a browser
	$(BIN)/python -m ecgutils app

audit: .venv/.audit  ## known vulnerabilities of what is pinned
	$(BIN)/python .ci/supply.py audit

sbom: .venv/.audit  ## sbom.json: run-time packages with their licences; prints those under a GPL
	$(BIN)/python .ci/supply.py sbom

env: .venv/.dev  ## the environment alone, with what tests need

.venv/bin/python:
	@$(if $(PYTHON),echo "Making .venv with $(PYTHON)",echo "No Python 3.11, 3.12 or 3.13 that can make an environment\
 was found: install one, or name it: make PYTHON=path/to/python" >&2; exit 1)
	$(PYTHON) -m venv .venv

.venv/.runtime: .venv/bin/python requirements.txt pyproject.toml
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

.venv/.app: .venv/.runtime requirements-app.txt
	$(BIN)/python -m pip install --quiet -r requirements-app.txt
	touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt requirements-app.txt requirements-audit.txt requirements-cluster.txt \
		requirements-docs.txt requirements-onnx.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

.venv/.audit: .venv/.runtime requirements-app.txt requirements-onnx.txt requirements-audit.txt
	$(BIN)/python -m pip install --quiet -r requirements-app.txt -r requirements-onnx.txt -r requirements-audit.txt
	touch $@

.venv/.docs: .venv/.runtime requirements-docs.txt
	$(BIN)/python -m pip install --quiet -r requirements-docs.txt
	touch $@

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

.PHONY: run test test-slow lint kaggle lab app docs audit sbom env help
