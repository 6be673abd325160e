"""What the figures share: their look, saving, and showing in a notebook."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgutils.files import atomic_path

if TYPE_CHECKING:
    from IPython.display import Image

COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


def series_styles() -> Iterator[dict[str, str]]:
    """Colour and marker of one series after the other, without end; the first 36 differ."""
    return ({"color": color, "marker": marker} for marker in cycle("osD^vP") for color in COLORS)


def panels(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of that size in inches and a row of axes without the upper and right frame."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def around(rows: pd.DataFrame) -> np.ndarray:
    """Lengths of the error bars, float (2, N), from the columns value, low and high."""
    return np.abs(rows[["low", "high"]].to_numpy(float).T - rows["value"].to_numpy(float))


def show(figure: Figure, path: str | Path, dpi: int = 80) -> "Image":
    """Write `figure` to `path` (PNG or JPEG by its suffix) and return that file as a notebook's picture."""
    from IPython.display import Image

    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, facecolor="white")
    return Image(filename=str(path))
