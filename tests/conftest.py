"""One smoke run of the five notebooks, shared by the end-to-end tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run_command(*arguments: str, runs: Path, expect: int = 0, timeout: float = 1500) -> str:
    """`python -m ecgutils <arguments>` with runs and submissions written below `runs`; returns its output."""
    environment = {**os.environ, "ECG_RUNS": str(runs)}
    done = subprocess.run(
        [sys.executable, "-m", "ecgutils", *arguments],
        cwd=ROOT, env=environment, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == expect, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="session")
def command() -> Callable[..., str]:
    return run_command


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of `make run PROFILE=smoke`."""
    runs = tmp_path_factory.mktemp("runs")
    run_command("run", "--profile", "smoke", runs=runs)
    return runs / "smoke"


def needs_folder(variable: str) -> Path:
    """The folder an environment variable names; skips the test when it isn't set."""
    if not os.environ.get(variable):
        pytest.skip(f"set {variable} to run this on real data")
    return Path(os.environ[variable])
