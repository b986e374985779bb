#!/usr/bin/env bash
# What `make lint`, `make test` and the pre-commit hooks check: form, imports, types, shell.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/shellcheck scripts/*.sh .ci/run
