"""Judge a flattened page: reasons against it, and how well it can be read. Thresholds were chosen on real photos,
rendered photos and pictures of other things; the comments beside them say what was measured.
"""

import cv2
import numpy as np

from ecgutils.preprocess.grid import Grid
from ecgutils.preprocess.page import Page
from ecgutils.preprocess.phase import SURE_SCALE
from ecgutils.preprocess.traces import Traces

BLURRED = 0.4  # of `sharpness`: real photos have 1.1 or more, blurred by 0.6 mm (sigma) about 0.45, by 1 mm 0.25
CUT_OFF = 2  # strokes that run into the photo's edge
GLARE = 0.02  # of the area of the traces
BARE = 0.5  # of a row of blocks
RULED = 0.4  # of the ink, straight lines along and across: a table
TOO_DARK = 45  # median grey value of the photo

# What each reason says, and what helps. Those up to "not_an_ecg" refuse the image, the others are warnings.
REASONS = {
    "missing": "there is no such file",
    "no_permission": "this user may not read the file; change its rights",
    "not_a_file": "a folder or a special file, not an image",
    "empty_file": "the file has 0 bytes; copy it again",
    "cannot_decode": "damaged, or not an image; open it in a viewer, or copy it again",
    "pdf": "a PDF; save its page as an image, PNG or JPEG",
    "needs_pillow_heif": "a HEIC photo; pip install pillow-heif, or save it as JPEG",
    "too_large": "more pixels than are read; reduce it",
    "too_small": "under 64 px in width or height",
    "bad_array": "an array that is no image: give uint8 (H, W) or (H, W, 3)",
    "bad_outline": "the four corners given don't run clockwise around a page, from its top left as one reads it",
    "too_narrow": "over 30 times as long as wide; cut the ECG out",
    "not_an_ecg": "no traces of an ECG were found; come closer, hold the camera straight, avoid shadows and folds",
    "no_page": "no edge of the paper was found either; all that the photo shows is taken for the page",
    "grid_not_found": "no printed grid was found, so that millimetres are guessed and voltages may be wrong",
    "scale_unsure": "the grid's lines do not tell how far apart they are; voltages may be wrong",
    "cut_off": "a trace runs into the photo's edge: a part of the ECG may be missing",
    "glare": "a reflection hides a part of the traces; change the light or the angle",
    "blurred": "out of focus or shaken; photograph it again",
    "too_dark": "photograph it again with more light",
}


def sharpness(dark: np.ndarray, traces: np.ndarray, contrast: float) -> float:
    """Steepest darkness changes of the traces per 0.5 mm, as a share of their contrast; see BLURRED."""
    if not traces.any():
        return 0.0
    change = cv2.max(cv2.absdiff(dark[2:, 1:-1], dark[:-2, 1:-1]), cv2.absdiff(dark[1:-1, 2:], dark[1:-1, :-2]))
    return float(np.percentile(change[traces[1:-1, 1:-1]], 90)) / (255 * contrast)


def weigh(work: np.ndarray, grid: Grid | None, page: Page | None, traces: Traces, sharp: float) -> tuple[str, ...]:
    """Reasons against an image. Only "not_an_ecg" refuses it: a wrong refusal loses a patient.

    Measured on 26 real ECGs with the grid hidden: traces 0.25 to 1.25 mm thick, 525 mm or more of them, 2 to 7 % of
    the area inked (mm by ASSUMED_WIDTH_MM; one dark-grid copy reaches 15 %, but its grid is found). Noise, textures,
    text and photos of things miss at least one. A grid alone says little: tables, text and notebooks seem to have one.
    What they lack are long strokes that wave. Of 250 renders and those 26 the longest has 35 mm or more, they have 0.08
    to 1 of the length and are 0.7 or more unbroken; without a grid 41 mm (usually 250), 0.19 and 0.73. Notebooks' lines
    with words on them reach 0.05, text and the cells of tables 24 mm.
    """
    reasons = []
    length, thickness, inked = (200, 2.0, 0.12) if grid is None else (80, 2.5, 0.3)
    lines = traces.length_mm >= length and traces.thickness_mm < thickness and traces.inked < inked
    wave, waving, unbroken = (40, 0.15, 0.7) if grid is None else (30, 0.06, 0.62)
    waves = traces.wave_mm >= wave and traces.waving >= waving and traces.unbroken >= unbroken
    if traces.box is None or not lines or not waves or traces.ruled > RULED:
        reasons.append("not_an_ecg")
    if grid is None:
        reasons.append("grid_not_found")
        if page is None:
            reasons.append("no_page")
    elif grid.scale_confidence < SURE_SCALE:
        reasons.append("scale_unsure")
    if sharp < BLURRED and traces.box is not None:
        reasons.append("blurred")
    if np.median(work[::8, ::8]) < TOO_DARK:
        reasons.append("too_dark")
    return tuple(reasons)


def strokes(ink: np.ndarray, px_per_mm: int) -> int:
    """Number of strokes in a bool (h, w) mask; specks of less than half a square millimetre do not count."""
    outlines, _ = cv2.findContours(ink.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # Pick's theorem: pixels inside an outline and on it
    return sum(cv2.contourArea(line) + len(line) / 2 + 1 > px_per_mm**2 / 2 for line in outlines)


def glare_share(rgb: np.ndarray, paper: np.ndarray, box: tuple[float, float, float, float], px_per_mm: int) -> float:
    """Share of the area of the traces, `box` x0, y0, x1, y1 in px, where light has washed out all detail: brighter 5 mm
    blocks of little contrast. rgb uint8 (h, w, 3) and paper bool (h, w) on the plane."""
    x0, y0, x1, y1 = (round(v) for v in box)
    red, green, blue = cv2.split(rgb[y0 : y1 + 1, x0 : x1 + 1])
    grey = cv2.min(cv2.min(red, green), blue)
    side = 5 * px_per_mm
    rows, cols = (n // side for n in grey.shape)
    shown = paper[y0 : y1 + 1, x0 : x1 + 1][side // 2 : rows * side : side, side // 2 : cols * side : side]
    if min(rows, cols) < 4 or not shown.any():
        return 0.0
    blocks = grey[: rows * side, : cols * side].reshape(rows, side, cols, side).swapaxes(1, 2).reshape(rows, cols, -1)
    sampled = blocks[..., ::7]  # tells the shares as well
    at = [int(share * sampled.shape[2]) for share in (0.05, 0.75)]
    low, high = np.partition(sampled, at, axis=2)[..., at].transpose(2, 0, 1).astype(float)
    bright = high > 1.02 * np.median(high[shown])
    flat = high - low < 0.35 * np.median((high - low)[shown])
    washed = cv2.medianBlur((bright & flat & shown).astype(np.uint8), 3)
    for axis in (0, 1):  # what is bare all along one side is a margin or a header without a grid, not a reflection
        bare = np.flatnonzero(washed.mean(1 - axis) > BARE)
        third = washed.shape[axis] // 3
        washed = np.delete(washed, bare[(bare < third) | (bare >= washed.shape[axis] - third)], axis)
    return float(washed.sum() / shown.sum())


def quality(grid: Grid | None, traces: Traces, contrast: float, sharp: float) -> float:
    """Product of what was measured, on scales on which clean prints reach 1. Of 26 real photos the worst has 0.67."""
    parts = [
        0.7 if grid is None or grid.scale_confidence < SURE_SCALE else 0.8 + 0.2 * min(1.0, grid.support.mean() / 0.6),
        min(1.0, traces.length_mm / 300) ** 0.3,
        np.clip((traces.unbroken - 0.4) / 0.55, 0.1, 1),
        np.clip(sharp / 1.2, 0.2, 1),
        np.clip(contrast / 0.5, 0.2, 1) ** 0.5,
    ]
    return float(np.prod(parts))
