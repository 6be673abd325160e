"""What is written beside weights: who made them, with what."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import numpy as np
import timm
import torch

import ecgutils


def versions() -> dict[str, str]:
    """Versions of everything that can change a result."""
    return {
        "ecgutils": ecgutils.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "numpy": np.__version__,
    }


def device_name() -> str:
    """The GPU that trainings run on by default, "cpu" where there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def git_describe() -> str | None:
    """`git describe` of the checkout this package runs from, None when it is not a git checkout."""
    root = Path(ecgutils.__file__).resolve().parents[1]
    if not (root / ".git").exists():  # installed elsewhere: a surrounding repository would be the wrong one
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
