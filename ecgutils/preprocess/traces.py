"""Tell traces from letters, frames and noise on the flattened ink map: where they are, which way they run and are up.

Which way up a very small network says: every patch of about 1 cm votes, by letters, calibration pulses and beats, and
the votes are summed, so the layout, the number of leads and what is cut off do not matter. Its convolutions run in
numpy; weights and what they were trained on are in ecgutils/weights/upright (made by benchmarks/upright_weights.py).
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import cv2
import numpy as np
from safetensors.numpy import load_file
from scipy.ndimage import gaussian_filter1d

WORD_MM = 30.0  # longer strokes are traces or rulings, not printed words
BROKEN_ROW_MM = 150.0  # of strokes side by side, each longer than LETTER_MM; lines of text reach about 100
ROW_SHARE = 0.4  # of the longest row's strokes side by side; a printed header or a shadow's edge has less
RULING_MM = 2.5  # a ruling or paper edge reaches less far to its sides, a trace further
STRAIGHT = 0.97  # of a ruling's length lies on one row of pixels, whatever letters hang on it
BAND, BANDED = 5, 0.9  # or this share of its ink within so many rows: it may lie a little aslant
WAVE_MM = 20.0  # from which a stroke that waves is counted
LETTER_MM = 8.0  # printed letters and most short words are smaller; a single beat with its baseline is longer
RULED_MM = 40.0  # a beat interrupts the straightest baseline sooner, at 38 a minute and 25 mm/s
BOLD = 0.3  # of the traces' darkness, from which ink is surely there
TIP_MM, TIP = 4.0, 0.45  # a steep stroke so tall and so dark (mean, of the traces' darkness) is the tip of a beat
GAP_MM = 8.0  # within this of its row; two tips of 26 real photos' most faded one are 6 mm away
SOFT_MM, FULL_ROW = 9.0, 0.3  # a row has this share of the fullest one's ink, smoothed over as much
THICK_MM = 4.0  # no line on an ECG is that thick: shadows, fingers, the table
PX_PER_MM = 3  # of the network's input: the smallest letters are 5 px high
STRIDES = (2, 2, 2, 1, 1)  # of the layers; all but the last are followed by a ReLU
CLEAR = 7.0  # log odds from which nothing more is asked; of 400 renders a third told up to 4.8 for the wrong way


@dataclass(frozen=True)
class Traces:
    """What is a trace on an ink map.

    keep : bool (h, w), ink that is not noise (traces, letters, pulses).
    rows : bool (h, w), ink of strokes too long, or too many side by side, to be a word.
    box : x0, y0, x1, y1 in px of the ink map; None when no trace was found.
    middle_xy : (x, y) in px, in the middle of most rows; one faint stroke moves it little, unlike the box.
    length_mm : summed along the traces' direction.
    sideways : they run along y.
    down : how much stronger strokes along y are than along x, over what makes a page sideways; 1 = in doubt.
    thickness_mm : median ink of a trace across its direction.
    inked : share of the map with ink.
    unbroken : 0..1, how much of its length each row is there.
    ruled : 0..1, the share of the ink that is straight lines crossed by others, as in a table.
    wave_mm : extent of the longest stroke that waves, as no letter, word or ruling does.
    waving : 0..1, the share of `length_mm` in strokes that wave.
    """

    keep: np.ndarray
    rows: np.ndarray
    box: tuple[float, float, float, float] | None = None
    middle_xy: tuple[float, float] | None = None
    length_mm: float = 0.0
    sideways: bool = False
    down: float = 0.0
    thickness_mm: float = 0.0
    inked: float = 0.0
    unbroken: float = 0.0
    ruled: float = 0.0
    wave_mm: float = 0.0
    waving: float = 0.0


def find_traces(ink: np.ndarray, px_per_mm: float, rim: np.ndarray, sideways: bool | None = None) -> Traces:
    """Classify the connected strokes of a uint8 (h, w) ink map, 255 = as dark as traces, with square millimetres.

    `rim` bool (h, w) is where the paper's edge is: strokes that stay within are its shadow. `sideways`: whether traces
    run along y, where that is known.
    """
    low, bold = (cv2.threshold(ink, share * 255, 1, cv2.THRESH_BINARY)[1] for share in (0.22, BOLD))
    inked = cv2.countNonZero(bold) / bold.size
    thick = cv2.morphologyEx(np.ascontiguousarray(low[::2, ::2]), cv2.MORPH_OPEN, _disc(THICK_MM * px_per_mm / 2))
    if thick.any():
        thick = cv2.dilate(thick, _disc(px_per_mm))
        low &= 1 - cv2.resize(thick, low.shape[::-1], interpolation=cv2.INTER_NEAREST)
    joined = cv2.morphologyEx(low, cv2.MORPH_CLOSE, _disc(0.8 * px_per_mm))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    if count < 2:
        nothing = np.zeros(ink.shape, bool)
        return Traces(keep=nothing, rows=nothing, inked=inked)
    x, y = cv2.findNonZero(joined).reshape(-1, 2).T.astype(np.intp)  # a few percent of the pixels
    at = y * ink.shape[1] + x  # an eighth of the time of [y, x]
    stroke, darkness = labels.take(at), ink.take(at) / 255
    left, top, width, height, area = boxes.T
    right, bottom = left + width - 1, top + height - 1
    width, height = width / px_per_mm, height / px_per_mm
    peak, mean = _largest(darkness, stroke, count), np.bincount(stroke, darkness, count) / np.maximum(area, 1)
    small = np.maximum(width, height) < LETTER_MM
    # letters are as dark as traces; a rest of grid is fainter
    real = (peak > np.where(small, 0.8, 0.6)) & (np.maximum(width, height) > 1.2) & (~small | (mean > 0.38))
    real &= np.bincount(stroke, rim.take(at), count) < 0.7 * area
    real[0] = False
    # a letter box or page frame is straight; a trace is not, or is accompanied by ink across its line
    straight = (np.minimum(width, height) < 1.2) & (np.maximum(width, height) > 15)
    long_x = real & (width > LETTER_MM) & (height < 200) & ~(straight & (height > width))
    long_y = real & (height > LETTER_MM) & (width < 200) & ~(straight & (width > height))
    long_ink = (long_x | long_y).take(stroke) & (low.take(at) > 0)
    down = _run_down(x[long_ink], y[long_ink], width[long_x].sum(), height[long_y].sum())
    sideways = down > 1 if sideways is None else sideways
    is_trace = long_y if sideways else long_x
    is_trace &= area / px_per_mm**2 / (width + height) < 20  # mm of ink per mm of extent; six joined rows have 8
    # a thin stroke away from every trace is a rest of the grid or the paper's edge; near one, the tip of a beat
    thin = real & ~is_trace & (np.minimum(width, height) < 1.2)
    on_trace = is_trace.take(stroke)
    halved = np.zeros([n // 2 + 1 for n in ink.shape], np.uint8)
    at_half = (y >> 1) * halved.shape[1] + (x >> 1)
    halved.reshape(-1)[at_half[on_trace]] = 1
    near = _largest(cv2.dilate(halved, _disc(2.5 * px_per_mm)).take(at_half), stroke, count) > 0
    # a steep line that is too thin for print or photo fades between its row and its tip, which is as dark as any trace
    along, across = (height, width) if sideways else (width, height)
    tip = thin & (across > TIP_MM) & (mean > TIP)
    turn = -1 if sideways else 1
    if tip.any():
        column = np.ones((round(GAP_MM * px_per_mm) | 1, px_per_mm + 1)[::turn], np.uint8)  # of the halved map
        near |= tip & (_largest(cv2.dilate(halved, column).take(at_half), stroke, count) > 0)
    real &= ~thin | near
    mask = np.zeros(ink.shape, np.uint8)
    pixels = mask.reshape(-1)
    pixels[at] = (real & tip).take(stroke)
    column = np.ones((2 * round(GAP_MM * px_per_mm) + 1, 2 * px_per_mm + 1)[::turn], np.uint8)
    keep = cv2.dilate(mask, column)
    pixels[at] = real.take(stroke)
    keep = (keep | cv2.dilate(mask, _disc(1.0 * px_per_mm))).view(bool)
    pixels[at] = on_trace
    mask &= bold
    surely = on_trace & (bold.take(at) > 0)
    bold_px = [values[surely] for values in ((y, x) if sideways else (x, y))]
    fullest, baseline, banded = _fullest_rows(bold_px[1], stroke[surely], count)
    curved = (across > RULING_MM) & (fullest / px_per_mm < STRAIGHT * along)
    waves = along[is_trace & curved & (banded < BANDED)]
    length_mm = float(along[is_trace].sum())
    thickness = _median_run(*bold_px) / px_per_mm
    pieces = np.flatnonzero(is_trace & curved)
    away_mm = np.abs(baseline[pieces, None] - baseline[pieces]) / px_per_mm
    together = (away_mm < 4) @ along[pieces]  # mm; a row may be broken, a line of text is short
    full = together > ROW_SHARE * together.max(initial=0)
    rows = np.zeros(count, bool)
    rows[pieces] = full & ((along[pieces] > WORD_MM) | (together > BROKEN_ROW_MM))
    # a tall beat may hang on its row by ink too faint to join it
    tips = real & near & ~is_trace & (across < WORD_MM)
    spans = [(left, right, x[on_trace]), (top, bottom, y[on_trace])]
    box = _box(*spans[::turn], is_trace, rows, tips)
    if box is not None and sideways:
        box = box[1], box[0], box[3], box[2]
    in_rows = np.zeros_like(mask)
    in_rows.reshape(-1)[at] = rows.take(stroke)
    in_rows &= bold
    unbroken = 0.0 if box is None else _unbroken(cv2.dilate(mask, np.ones((3, 3), np.uint8)), box, sideways)
    pixels[at] &= (is_trace & curved).take(stroke)
    middle_xy = None if box is None else _middle(mask, box, sideways, px_per_mm)
    ruled = _ruled(cv2.dilate(bold, np.ones((3, 3), np.uint8)), round(RULED_MM * px_per_mm))
    return Traces(
        keep=keep,
        rows=in_rows.view(bool),
        box=box,
        middle_xy=middle_xy,
        length_mm=length_mm,
        sideways=sideways,
        down=down,
        thickness_mm=thickness,
        inked=inked,
        unbroken=unbroken,
        ruled=ruled,
        wave_mm=float(waves.max(initial=0)),
        waving=float(waves[waves > WAVE_MM].sum()) / max(length_mm, 1.0),
    )


def _unbroken(bold: np.ndarray, box: tuple[float, float, float, float], sideways: bool) -> float:
    """Mean over the traces' length of how many rows are there, of those that usually are."""
    x0, y0, x1, y1 = (round(v) for v in box)
    part = bold[y0 : y1 + 1, x0 : x1 + 1]
    lines = part.T if sideways else part
    starts = (lines[1:] > lines[:-1]).view(np.uint8)
    rows = lines[0] + cv2.reduce(starts, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0]
    usual = max(1.0, float(np.median(rows)))
    return float(np.minimum(rows / usual, 1).mean())


def _middle(
    bold: np.ndarray, box: tuple[float, float, float, float], sideways: bool, px_per_mm: float
) -> tuple[float, float]:
    """The middle (x, y), to a fraction of a px, of where half of the rows run, and of the first and last row."""
    x0, y0, x1, y1 = (round(v) for v in box)
    part = bold[y0 : y1 + 1, x0 : x1 + 1]
    lines = np.pad(part.T if sideways else part, round(SOFT_MM * px_per_mm))
    if not lines.any():
        return (x0 + x1) / 2, (y0 + y1) / 2
    rows, filled = (lines[1:] > lines[:-1]).sum(0), lines.sum(1)
    middle = []
    for profile, level in ((rows, 0.5 * rows[rows > 0].mean()), (filled, None)):
        smooth = gaussian_filter1d(profile.astype(float), SOFT_MM / 3 * px_per_mm)
        over = smooth / min(level or FULL_ROW * smooth.max(), 0.9 * smooth.max()) - 1
        first, last = np.flatnonzero(over >= 0)[[0, -1]]
        ends = first - over[first] / (over[first] - over[first - 1]), last + over[last] / (over[last] - over[last + 1])
        middle.append(sum(ends) / 2 - round(SOFT_MM * px_per_mm))
    x, y = middle[::-1] if sideways else middle
    return x0 + x, y0 + y


def _ruled(bold: np.ndarray, length: int) -> float:
    """Share of a uint8 mask on level lines of at least `length` px, if there are upright ones too, as in a table."""
    shares = []
    for lines in (bold[::2], bold.T[::2]):
        pairs = np.ascontiguousarray(lines[:, :-1:2] & lines[:, 1::2])  # halved, so that every gap stays one
        long = cv2.morphologyEx(pairs, cv2.MORPH_OPEN, np.ones((1, length // 2), np.uint8))
        shares.append(cv2.countNonZero(long) / max(cv2.countNonZero(pairs), 1))
    return float(min(shares[0], 3 * shares[1]))


def _run_down(x: np.ndarray, y: np.ndarray, along_x: float, along_y: float) -> float:
    """How much stronger strokes along y are; x, y (N,) are their pixels, `along_x`, `along_y` their summed extents."""
    if not len(x):
        return 0.0
    # rows that tall beats join to one stroke are told by where ink gathers: at their baselines
    over_x, over_y = np.bincount(x), np.bincount(y)
    peaked_x, peaked_y = ((p**2).mean() / max(p.mean() ** 2, 1e-9) for p in (over_x[over_x > 0], over_y[over_y > 0]))
    return float((along_y + 1) / (along_x + 1) * np.sqrt(peaked_x / peaked_y) / 1.35)  # most photos are level


def _largest(values: np.ndarray, stroke: np.ndarray, count: int) -> np.ndarray:
    """Largest of `values` (N,), at least 0, in each of `count` strokes; `stroke` (N,) says whose a value is."""
    largest = np.zeros(count, values.dtype)
    np.maximum.at(largest, stroke, values)
    return largest


def _fullest_rows(across: np.ndarray, stroke: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Most px that each of `count` strokes has in one row along the traces, which row that is, and the share of all its
    px in BAND rows; across, stroke (N,) tell each px's row and whose it is."""
    fullest, row, banded = np.zeros((3, count))
    area = np.bincount(stroke, minlength=count)
    there = area > 0
    place = (np.cumsum(there) - 1)[stroke]
    size = int(across.max(initial=0)) + BAND
    rows = np.bincount(place * size + across, minlength=there.sum() * size).reshape(-1, size)
    summed = np.pad(np.cumsum(rows, axis=1), ((0, 0), (1, 0)))
    fullest[there], row[there] = rows.max(1), rows.argmax(1)
    banded[there] = (summed[:, BAND:] - summed[:, :-BAND]).max(1) / area[there]
    return fullest, row, banded


def _median_run(along: np.ndarray, across: np.ndarray) -> float:
    """Median length of the runs of px (N,) across the traces' direction; beats are steep, most of a trace is not."""
    if not len(along):
        return 0.0
    place = np.sort(along * (across.max() + 2) + across)
    ends = np.flatnonzero(np.diff(place, append=-1) != 1)
    return float(np.median(np.diff(ends, prepend=-1)))


def _disc(diameter: float) -> np.ndarray:
    size = max(1, round(diameter)) | 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _box(
    along: tuple[np.ndarray, np.ndarray, np.ndarray],
    across: tuple[np.ndarray, np.ndarray, np.ndarray],
    is_trace: np.ndarray,
    rows: np.ndarray,
    tips: np.ndarray,
) -> tuple[float, float, float, float] | None:
    """First along, first across, last along and last across of all traces, in px.

    `along` and `across`: first and last px of each stroke, and the traces' pixels. `rows`, too long to be words, which
    a header may not push aside, count to their very ends, as do the `tips` between them; shorter ones unless far out.
    """
    if not is_trace.any():
        return None
    rows = rows if rows.any() else is_trace
    low, high = across[0][rows].min(), across[1][rows].max()
    tips = tips & (across[1] >= low) & (across[0] <= high)
    low, high = min([low, *across[0][tips]]), max([high, *across[1][tips]])
    total = np.cumsum(np.bincount(along[2][(across[2] >= low) & (across[2] <= high)]))
    start, stop = np.searchsorted(total, (0.003 * total[-1], 0.997 * total[-1]))
    start, stop = min(start, along[0][rows].min()), max(stop, along[1][rows].max())
    return float(start), float(low), float(stop), float(high)


def upright_input(ink: np.ndarray, px_per_mm: float) -> np.ndarray:
    """A uint8 (h, w) ink map as the network takes it: uint8 at PX_PER_MM."""
    return cv2.resize(ink, None, fx=PX_PER_MM / px_per_mm, fy=PX_PER_MM / px_per_mm, interpolation=cv2.INTER_AREA)


def upside_down(page: np.ndarray) -> bool:
    """Whether a page with level rows, from `upright_input`, is upside down; its thirds are asked until it is clear."""
    inked, odds = _inked(page), 0.0
    for sign, view in ((1, inked), (-1, inked[::-1, ::-1])):
        for third in np.array_split(view, 3, axis=1):
            odds += sign * log_odds(third)
            if abs(odds) > CLEAR:
                return odds < 0
    return odds < 0


def runs_down(page: np.ndarray, assumed: bool) -> bool:
    """Whether the rows of a page, uint8 from `upright_input`, run down it: only level letters and beats have a way up.

    For pages whose strokes leave it open, 9 of 300 renders; `assumed` is what they say, unless the letters are CLEAR.
    """
    inked = _inked(page)
    level, down = (abs(log_odds(view) - log_odds(view[::-1, ::-1])) for view in (inked, np.rot90(inked)))
    return bool(down > level) if abs(down - level) > CLEAR else assumed


def _inked(page: np.ndarray) -> np.ndarray:
    """The part with ink, float32 in 0..1: blank paper has no vote."""
    x, y, width, height = cv2.boundingRect(page)
    return (page[y : y + height, x : x + width] if width else page).astype(np.float32) / 255


def log_odds(page: np.ndarray) -> float:
    """Log odds that a float32 (h, w) page in 0..1 is the right way up against upside down."""
    values = page[..., None]
    for (weight, bias), stride in zip(_layers(), STRIDES, strict=True):
        sums = _convolve(values, weight, stride) + bias
        values = np.maximum(sums, 0)
    return float(sums.sum())


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
