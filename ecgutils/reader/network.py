"""What a small network sees on a flattened page: traces, lead names, pulses and other print, which way is up."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np

CELL = 16  # px: sides of what goes in are multiples


@dataclass(frozen=True)
class Reading:
    """What is on a page of PLANE_PX_PER_MM, as it lies.

    trace : uint8 (h, w), 255 = surely a trace. marks : uint8 (len(MARKS), h // 4, w // 4), 255 = surely that word.
    turned : float32 (8,), log odds of each way to lie (`nets.TURNS`), summed over the page; the largest counts.
    """

    trace: np.ndarray
    marks: np.ndarray
    turned: np.ndarray


@cache
def network(name: str, exported: Path | None) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The "reader" or the "legend" network: the shipped one, in PyTorch, or that of a folder of `export`."""
    if exported is not None:
        from ecgutils.onnx import OnnxNetwork

        return OnnxNetwork(exported / f"{name}.onnx", threads=1)
    from ecgutils.reader.nets import run, shipped  # PyTorch takes seconds

    return partial(run, shipped(name))


def read_page(even: np.ndarray, exported: Path | None = None) -> Reading:
    """Read a uint8 (h, w, 3) evenly lit page of PLANE_PX_PER_MM, bare paper about 250; `exported` as in `network`."""
    height, width = even.shape[:2]
    below, right = -height % CELL, -width % CELL
    padded = cv2.copyMakeBorder(even, 0, below, 0, right, cv2.BORDER_REPLICATE)
    (trace,), (marks,), (turned,) = network("reader", exported)(padded[None])
    return Reading(trace[:height, :width], marks[:, : height // 4, : width // 4], turned)
