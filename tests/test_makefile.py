"""`make` finds a Python that fits, and says which targets there are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def make(folder: Path, *arguments: str, **programs: str) -> subprocess.CompletedProcess:
    """`make` in a folder with the Makefile alone, and shell scripts for `programs` as all that there is to run."""
    (folder / "bin").mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    for name, script in programs.items():
        (folder / "bin" / name.replace("_", ".")).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name.replace("_", ".")).chmod(0o755)
    return subprocess.run(
        [MAKE, *arguments], cwd=folder, env={"PATH": str(folder / "bin")}, capture_output=True, text=True
    )


def test_a_python_that_does_not_run_or_fit_is_passed_over(tmp_path):
    python, old = f'exec {sys.executable} "$@"', f"{sys.executable} -c 'import sys; sys.exit(1)'"
    done = make(tmp_path, "-n", ".venv/bin/python", python3_11="exit 127", python3_12=old, python3_13=python)
    assert "Making .venv with python3.13" in done.stdout
    assert "python3.13 -m venv .venv" in done.stdout


def test_without_a_fitting_python_one_sentence_says_so(tmp_path):
    done = make(tmp_path, ".venv/bin/python", python3="exit 127")
    assert done.returncode != 0
    assert done.stderr.startswith("No Python 3.11, 3.12 or 3.13 that can make an environment was found: install one")


def test_a_named_python_is_taken(tmp_path):
    assert "\nmine -m venv .venv" in make(tmp_path, "-n", ".venv/bin/python", "PYTHON=mine").stdout


def test_help_lists_every_target():
    quiet = [MAKE, "--no-print-directory", "help"]  # under `make test` it would tell where it is
    listed = subprocess.run(quiet, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert sorted(line.split(":")[0] for line in listed.splitlines()) == sorted(phony)
