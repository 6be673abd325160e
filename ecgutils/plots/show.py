"""Saving a figure and showing it in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ecgutils.files import atomic_path

if TYPE_CHECKING:
    from IPython.display import Image


def show(figure: Figure, path: str | Path, dpi: int = 80) -> Image:
    """Write `figure` to `path` (PNG or JPEG by its suffix) and return it as a notebook's picture.

    The picture in the notebook is the file on disk, so the two can't differ.
    """
    from IPython.display import Image

    path = Path(path)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, facecolor="white")
    return Image(data=path.read_bytes(), format={".jpg": "jpeg"}.get(path.suffix, path.suffix[1:]))
