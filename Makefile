# Each target makes .venv when it is missing or older than what it is made from.
#   PYTHON    the interpreter to make it with: 3.11, 3.12 or 3.13
#   PIP_ARGS  options for pip, such as the index of torch's CPU builds (see README)
PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
UV := build/lock/bin/uv

.PHONY: demo kernels test coverage check lock clean

demo: .venv/.made
	$(BIN)/hdnet-harmonize --input examples/catalog/manifest.csv --output build/demo --run-id demo

# Optional: compiled passes, with which hdnet-lite and SSIM are faster (docs/engine.md). It needs a C compiler,
# and GCC 12 or Clang 18 to serve every x86-64 processor well.
kernels: .venv/.made
	$(BIN)/python -m pip install --no-deps --no-build-isolation ./kernels

test: .venv/.made
	$(BIN)/python -m pytest

# The tests, and then the share of lines that they reached in their own process; worker processes do not count.
coverage: .venv/.made
	$(BIN)/python -m slipcover --omit "tests/*" --skip-covered --missing-width 60 \
		-m pytest -W "ignore:Module already imported so cannot be rewritten; slipcover"

check: .venv/.made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

# Keeps the versions that still fit; `make lock UV_ARGS=--upgrade` takes the newest.
lock: $(UV)
	$(UV) pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --no-annotate \
		--custom-compile-command "make lock" --output-file requirements.lock $(UV_ARGS)

clean:
	rm -rf .venv build dist *.egg-info kernels/build kernels/*.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made: requirements.lock pyproject.toml
	@$(call supported_python)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_ARGS) -r requirements.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@touch $@

$(UV):
	@$(call supported_python)
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet uv

define supported_python
$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); Python 3.11, 3.12 or 3.13 is needed:" \
		"make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
endef
