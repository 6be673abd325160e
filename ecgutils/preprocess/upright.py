"""Which way up: a very small network adds up what letters, calibration pulses and beats say all over the page.

A page of level rows is the right way up or upside down. Every patch of about 1 cm votes, and the votes are summed, so
the layout, the number of leads and what is cut off do not matter. Four convolutions run in numpy; the weights and a
note of what they were trained on are in ecgutils/weights/upright (made by benchmarks/upright_weights.py).
"""

from functools import cache
from importlib.resources import as_file, files

import cv2
import numpy as np
from safetensors.numpy import load_file

PX_PER_MM = 3  # of the network's input: the smallest letters are 5 px high
STRIDES = (2, 2, 2, 1, 1)  # of the layers; all but the last are followed by a ReLU
CLEAR = 7.0  # log odds from which nothing more is asked; of 400 renders a third told up to 4.8 for the wrong way


def upright_input(ink: np.ndarray, px_per_mm: float) -> np.ndarray:
    """A uint8 (h, w) ink map as the network takes it: uint8 at PX_PER_MM."""
    scale = PX_PER_MM / px_per_mm
    return cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def upside_down(page: np.ndarray) -> bool:
    """Whether a page with level rows, uint8 from `upright_input`, is upside down.

    One third of it after the other is asked, and then the other way round, too, until the answer is clear.
    """
    inked, odds = _inked(page), 0.0
    for sign, view in ((1, inked), (-1, inked[::-1, ::-1])):
        for third in np.array_split(view, 3, axis=1):
            odds += sign * log_odds(third)
            if abs(odds) > CLEAR:
                return odds < 0
    return odds < 0


def runs_down(page: np.ndarray, assumed: bool) -> bool:
    """Whether the rows of a page, uint8 from `upright_input`, run down it: only level letters and beats have a way up.

    For pages whose strokes leave it open; `assumed` is what they say, and holds unless the letters are CLEAR. Of 300
    photo-like renders these were 9, and all came out right.
    """
    inked = _inked(page)
    level, down = (abs(log_odds(view) - log_odds(view[::-1, ::-1])) for view in (inked, np.rot90(inked)))
    return bool(down > level) if abs(down - level) > CLEAR else assumed


def _inked(page: np.ndarray) -> np.ndarray:
    """The part with ink, float32 in 0..1: blank paper has no vote."""
    x, y, width, height = cv2.boundingRect(page)
    part = page[y : y + height, x : x + width] if width else page
    return part.astype(np.float32) / 255


def log_odds(page: np.ndarray) -> float:
    """Log odds that a float32 (h, w) page in 0..1 is the right way up against upside down."""
    values = page[..., None]
    layers = _layers()
    for i, ((weight, bias), stride) in enumerate(zip(layers, STRIDES, strict=True)):
        values = _convolve(values, weight, stride)
        values += bias
        if i < len(layers) - 1:
            np.maximum(values, 0, out=values)
    return float(values.sum())


def _convolve(values: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Correlate float32 (h, w, c) with (k, k, c, d), padded with zeros by k // 2."""
    size, _, depth, _ = weight.shape
    half = size // 2
    padded = np.pad(values, ((half, half), (half, half), (0, 0)))
    # the k x c values of a row of a patch lie side by side in memory
    rows = np.lib.stride_tricks.sliding_window_view(padded.reshape(len(padded), -1), (size, size * depth), axis=(0, 1))
    patches = rows[::stride, :: stride * depth]
    flat = np.ascontiguousarray(patches).reshape(-1, size * size * depth)
    return (flat @ weight.reshape(-1, weight.shape[3])).reshape(*patches.shape[:2], -1)


@cache
def _layers() -> list[tuple[np.ndarray, np.ndarray]]:
    with as_file(files("ecgutils") / "weights" / "upright" / "upright.safetensors") as path:
        tensors = load_file(path)
    return [(tensors[f"{i}.weight"], tensors[f"{i}.bias"]) for i in range(len(STRIDES))]
