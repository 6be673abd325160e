"""What is written beside results: which code, which libraries, which device."""

import importlib.metadata
import platform
import subprocess
from contextlib import suppress
from pathlib import Path

import pandas as pd

import ecgutils
from ecgutils.manifest import clusters


def versions() -> dict[str, str]:
    """Versions of everything that can change a result; nothing is imported to learn them."""
    found = {"ecgutils": ecgutils.__version__, "python": platform.python_version()}
    for name in ("torch", "timm", "numpy"):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_describe() -> str | None:
    """`git describe` of the checkout this package runs from, None when it is not a git checkout."""
    root = Path(ecgutils.__file__).resolve().parents[1]
    if not (root / ".git").exists():  # installed elsewhere: a surrounding repository would be the wrong one
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=10).strip() or None
    return None


def in_words(*stages: pd.DataFrame) -> str:
    """Images of each training stage's manifest in words: "rendered scans of 300 PTB-XL hearts, then 2 BHF photos"."""
    return ", then ".join(map(_images, stages))


def _images(table: pd.DataFrame) -> str:
    if not table["signal_source"].ne("").all():  # not rendered
        return f"{len(table):,} {'BHF photos' if table['image_source'].eq('bhf').all() else 'images'}"
    kinds = sorted({"photos" if source == "photo" else "scans" for source in table["image_source"]}, reverse=True)
    hearts = table.assign(heart=clusters(table)).groupby("signal_source")["heart"].nunique()
    counts = [f"{n:,} {'PTB-XL' if source == 'ptbxl' else source}" for source, n in hearts.items()]
    return f"rendered {' and '.join(kinds)} of {' and '.join(counts)} hearts"
