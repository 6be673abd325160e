"""What is written beside weights: who made them, with what."""

from __future__ import annotations

import math
import platform
import subprocess
from pathlib import Path
from typing import Any

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


def jsonable(value: Any) -> Any:
    """`value` with numpy scalars, tuples and paths made plain, and NaN or infinity made None (JSON has neither)."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
