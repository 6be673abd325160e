"""Killed at random points and resumed, the smoke run ends with the same submission, byte by byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import ROOT

POINTS = int(os.environ.get("ECG_KILLS", "20"))
SEED = 27


def submission(runs: Path) -> bytes:
    return Path((runs / "smoke" / "submission.txt").read_text().strip()).read_bytes()


@pytest.mark.slow
def test_kills_at_random_points_change_no_byte_of_the_submission(command, tmp_path):
    arguments = ("run", "--profile", "smoke")
    started = time.monotonic()
    command(*arguments, runs=tmp_path / "whole", timeout=3600)
    seconds = time.monotonic() - started
    wanted, rng = submission(tmp_path / "whole"), random.Random(SEED)
    killed = 0
    for share in (rng.random() for _ in range(POINTS)):
        runs = tmp_path / f"cut-{share:.3f}"
        environment = {**os.environ, "ECG_RUNS": str(runs)}
        process = subprocess.Popen(
            [sys.executable, "-m", "ecgutils", *arguments], cwd=ROOT, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(share * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            time.sleep(5)  # the orphaned kernel notices within a second or two and exits
        command(*arguments, "--resume", runs=runs, timeout=3600)
        assert submission(runs) == wanted, runs.name
    assert killed
