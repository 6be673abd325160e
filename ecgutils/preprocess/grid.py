"""Measure the printed grid: which homography makes it square and axis-parallel, and how many pixels a millimetre has.

A grid is periodic, traces and text are not. So the image is cut into tiles, and in each tile's spectrum the grid shows
as two sharp peaks: the local wave vectors of the upright and of the level lines. Under perspective these vectors change
smoothly over the image in a way that fixes the homography up to a shift. Nothing needs page edges, single lines or
colour, and curved paper shows as a residual. (Open-ECG-Digitizer uses Hough lines with varying angle to the same end.)
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import median

from ecgutils.geometry import affine
from ecgutils.preprocess.phase import Flattening, fit_blocks, local_px_per_unit, measure_bend, pitch_in_mm, sharpened

LONGEST_PERIOD = 40.0  # px; longer ones are lighting and layout
SHORTEST_PERIOD = 2.4  # px; close to the sampling limit of 2
PROMINENT = 3.4  # peak over the tile's median magnitude; noise exceeds this about once in 3,000 bins
MIN_SUPPORT = 0.12  # share of the blocks around; lines of text reach 0.07


@dataclass(frozen=True)
class Grid:
    """Where the grid is and what it tells.

    flattening : image px <-> mm.
    support_xy, support : block centres (B, 2) in px, and whether (B,) both line families are seen there.
    px_per_mm : in the middle of the supported part.
    scale_confidence : 0..1, that 1 and 5 mm lines are told apart.
    """

    flattening: Flattening
    px_per_mm: float
    scale_confidence: float
    support_xy: np.ndarray
    support: np.ndarray


def line_contrast(rgb: np.ndarray) -> np.ndarray:
    """Local contrast of dark or coloured thin lines: float32 (H, W), -1.6..1.6, evened over light and shadow."""
    red, green, blue = cv2.split(rgb)
    dark = cv2.min(cv2.min(red, green), blue).astype(np.float32)
    soft = cv2.blur(dark, (31, 31))
    detail = np.subtract(dark, soft, out=soft)  # in place: to ask for memory takes longer than to compute
    # traces and letters must not set the scale, nor stand out by more than a grid line does
    size = np.abs(detail, out=dark)
    np.minimum(size, 3 * float(np.median(size[::8, ::5])) + 2, out=size)
    height, width = (n // 4 for n in size.shape)
    small = cv2.resize(size[: 4 * height, : 4 * width], (width, height), interpolation=cv2.INTER_AREA)
    detail /= cv2.resize(cv2.blur(small, (15, 15)) * 1.5 + 1.0, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(detail, -1.6, 1.6, out=detail)


def measure_grid(rgb: np.ndarray, unbend: bool = True) -> Grid | None:
    """Find the grid of a uint8 (H, W, 3) image with its longer side at most about 1600 px; None when there is none.
    `unbend` also follows bent paper, see `measure_bend`."""
    # 1. which wave the tiles of the image follow, in two directions
    contrast = line_contrast(rgb)
    if (tracked := _track(contrast)) is None:
        return None
    # 2. how many mm a wave is: lines must be sharp over the whole page before their overtones can be told
    cycles_from_image, seen_xy = sharpened(contrast, *tracked), tracked[1]
    pitch_mm, confidence = pitch_in_mm(contrast, cycles_from_image, seen_xy)
    # 3. where the grid is, and the homography from its phase there
    mm_from_image = np.diag([*pitch_mm, 1.0]) @ cycles_from_image
    blocks, lined, mm_from_image, wave_mm = fit_blocks(contrast, mm_from_image, pitch_mm, confidence, seen_xy)
    inside = ((blocks.xy >= 0) & (blocks.xy <= np.array(contrast.shape[::-1]) - 1)).all(-1)
    support_xy, support = blocks.xy[inside], lined[inside]
    if support.sum() < 6 or support.mean() < MIN_SUPPORT:
        return None
    # 4. bent paper
    flattening = Flattening(mm_from_image)
    if unbend:
        flattening = measure_bend(blocks.around(lined & inside), mm_from_image, 1 / wave_mm)
    px_per_mm = local_px_per_unit(mm_from_image, np.median(support_xy[support], axis=0))
    return Grid(flattening, px_per_mm, confidence, support_xy, support)


def _track(contrast: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The strongest wave that many tiles follow, if any: (3, 3), image px -> cycles of the two line families, and
    (N, 2), image px where both are seen."""
    height, width = contrast.shape
    tile = 128 if min(height, width) >= 360 else 64
    if min(height, width) < tile:
        return None
    centres_xy, spectra, level = _tile_spectra(contrast, tile)
    middle_xy = np.array([(width - 1) / 2, (height - 1) / 2])
    scale = max(width, height) / 2
    places = (centres_xy - middle_xy) / scale
    # the strongest waves of the whole image need not be the grid's: the first start that many tiles follow is taken
    fits = []
    for start in _strongest_pairs(spectra.mean(0), level):
        fits.append(_fit_tiles(spectra, places, start))
        if fits[-1][1].mean() > 0.4:
            break
    most = max((both.sum() for _, both in fits), default=0)
    params, both = next(((p, b) for p, b in fits if b.sum() >= 0.6 * most), (None, np.zeros(1)))
    if both.sum() < 3:
        return None
    # cycles = numerator / denominator in centred, scaled coordinates; a wave vector is in cycles per tile
    per_px = scale / tile
    cycles_from_image = np.array([[*params[:2] * per_px, 0], [*params[2:4] * per_px, 0], [*params[4:], 1]])
    return cycles_from_image @ affine(1 / scale, -middle_xy / scale), centres_xy[both]


def _tile_spectra(contrast: np.ndarray, tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (T, 2) of tiles, their spectra (T, tile, tile), zero in the middle, divided by the usual, and that."""
    ys, xs = (np.linspace(0, n - tile, max(2, round(n / tile))).astype(int) for n in contrast.shape)
    alternating = (-1.0) ** np.arange(tile)  # moves frequency y = 0 to the middle
    window = np.outer(np.hanning(tile) * alternating, np.hanning(tile)).astype(np.float32)
    corners = [(x, y) for y in ys for x in xs]
    middle = tile // 2
    spectra = np.zeros((len(corners), tile, tile), np.float32)
    # OpenCV packs real and imaginary parts of frequencies x > 0 into columns, those of x = 0 into the rows of the first
    for spectrum, (x, y) in zip(spectra, corners, strict=True):
        power = cv2.dft(contrast[y : y + tile, x : x + tile] * window) ** 2
        np.sqrt(power[:, 1:-1:2] + power[:, 2:-1:2], out=spectrum[:, middle + 1 :])
        np.sqrt(power[1:-1:2, 0] + power[2:-1:2, 0], out=spectrum[1:middle, middle])
    spectra[:, middle + 1 :, middle] = spectra[:, middle - 1 : 0 : -1, middle]
    spectra[:, 1:, 1:middle] = spectra[:, :0:-1, :middle:-1]  # the other half is a point mirror
    # detail fades with frequency: peaks are measured against what is usual at theirs, and in their tile
    radius = np.hypot(*(np.mgrid[:tile, :tile] - middle)).astype(int)
    level = np.array(median(spectra.mean(0), radius, np.arange(radius.max() + 1)), np.float32)[radius]
    spectra /= level + 1e-6
    spectra /= np.median(spectra[:, ::3, ::3].reshape(len(spectra), -1), axis=1)[:, None, None] + 0.1
    return np.array(corners) + (tile - 1) / 2, spectra, level


def _strongest_pairs(mean_spectrum: np.ndarray, level: np.ndarray) -> list[np.ndarray]:
    """Up to four pairs (2, 2) of about perpendicular, about equal peaks, in cycles per tile, the strongest first."""
    tile = len(mean_spectrum)
    middle = tile // 2
    fy, fx = np.mgrid[:tile, :tile] - middle
    radius = np.hypot(fx, fy)
    allowed = (radius >= max(3, tile / LONGEST_PERIOD)) & (radius <= tile / SHORTEST_PERIOD) & (fx >= 0)
    highest_near = cv2.dilate(mean_spectrum, np.ones((3, 3), np.uint8))
    rows, cols = np.nonzero((highest_near == mean_spectrum) & allowed & (mean_spectrum > 1.3))
    # how far a peak stands out, and how strong it is (`level` undoes the whitening)
    strength = (np.minimum(mean_spectrum, 10) * np.sqrt(mean_spectrum * level))[rows, cols]
    keep = np.argsort(-strength)[:40]
    vectors, strength = (np.column_stack([cols, rows])[keep] - middle).astype(float), strength[keep]
    is_level = np.abs(vectors[:, 0]) >= np.abs(vectors[:, 1])  # waves along x: the upright lines
    i, j = (index.ravel() for index in np.meshgrid(*(np.flatnonzero(f) for f in (is_level, ~is_level)), indexing="ij"))
    a, b = vectors[i], vectors[j]
    la, lb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    alike = np.exp(-0.5 * (np.log(la / lb) / 0.2) ** 2)  # 4/5 is also the ratio of two overtones
    score = alike * (np.minimum(strength[i], strength[j]) + 0.3 * np.maximum(strength[i], strength[j]))
    score[(np.abs((a * b).sum(1)) >= 0.35 * la * lb) | (la / lb <= 0.7) | (la / lb >= 1.4)] = 0
    pairs = np.stack([a * np.sign(a[:, :1]), b * np.sign(b[:, 1:])], axis=1)
    chosen: list[np.ndarray] = []
    for pair in pairs[np.argsort(-score, kind="stable")[: np.count_nonzero(score)]]:
        if all(np.linalg.norm(pair - other, axis=1).max() > 0.15 * np.linalg.norm(pair[0]) for other in chosen):
            chosen.append(pair)
        if len(chosen) == 4:
            break
    return chosen


def _fit_tiles(spectra: np.ndarray, places: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of `_wave_vectors` fitted from a pair of wave vectors, and which tiles (T,) follow them in both."""
    params = np.array([*start[0], *start[1], 0.0, 0.0])
    for reach, rounds in ((0.16, 2), (0.07, 2), (0.04, 1)):
        for _ in range(rounds):
            found, prominence = _peaks_near(spectra, _wave_vectors(params, places), reach)
            if (seen := prominence > PROMINENT).sum(0).min() < 3:
                return params, np.zeros(len(places), bool)
            params = _fit(params, places, found, np.where(seen, np.minimum(prominence, 12), 0))
    expected = _wave_vectors(params, places)
    found, prominence = _peaks_near(spectra, expected, 0.04)
    error = np.linalg.norm(found - expected, axis=2) / np.linalg.norm(expected, axis=2)
    return params, ((prominence > PROMINENT) & (error < 0.03)).all(1)


def _wave_vectors(params: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Gradients (T, 2 families, 2) of u = (a.p)/(1 + c.p) and v = (b.p)/(1 + c.p) at places p (T, 2)."""
    a, c = params[:4].reshape(2, 2), params[4:]
    share = 1 / (1 + places @ c)[:, None]
    return (a - (places @ a.T * share)[..., None] * c) * share[..., None]


def _peaks_near(spectra: np.ndarray, expected: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Strongest peak within `reach` (a share of the expected length, at least 1.5 bins) of each expected wave vector:
    vectors (T, 2, 2), refined to a fraction of a bin by a parabola, and prominence (T, 2)."""
    wanted, middle, last = expected.reshape(-1, 2), spectra.shape[1] // 2, spectra.shape[1] - 2
    tiles, each = np.repeat(np.arange(len(spectra)), 2), np.arange(len(wanted))
    radius = np.maximum(1.5, reach * np.linalg.norm(wanted, axis=1))[:, None]
    steps = int(np.ceil(radius.max()))
    dy, dx = (offset.ravel() for offset in np.mgrid[-steps : steps + 1, -steps : steps + 1])
    x, y = np.rint(wanted).astype(int).T[..., None] + middle
    x, y = np.clip(x + dx, 1, last), np.clip(y + dy, 1, last)
    distance = np.hypot(x - middle - wanted[:, :1], y - middle - wanted[:, 1:])
    top = np.where(distance <= radius, spectra[tiles[:, None], y, x], 0).argmax(1)
    x, y = x[each, top], y[each, top]
    height = spectra[tiles, y, x]
    left, centre, right = (np.log(spectra[tiles, y, x + i] + 1e-6) for i in (-1, 0, 1))
    above, below = (np.log(spectra[tiles, y + i, x] + 1e-6) for i in (-1, 1))
    found = np.column_stack([x - middle + _vertex(left, centre, right), y - middle + _vertex(above, centre, below)])
    return found.reshape(expected.shape), height.astype(float).reshape(expected.shape[:2])


def _vertex(left: np.ndarray, centre: np.ndarray, right: np.ndarray) -> np.ndarray:
    curve = left - 2 * centre + right
    return np.where(curve < -1e-6, np.clip(0.5 * (left - right) / np.minimum(curve, -1e-6), -0.6, 0.6), 0.0)


def _fit(start: np.ndarray, places: np.ndarray, found: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Robust (soft L1) least squares for the six parameters of `_wave_vectors`, by Gauss-Newton steps."""
    strength = (weight / weight.max())[..., None]
    horizon = np.array([np.inf] * 4 + [0.45] * 2)  # stays outside the image
    params = np.clip(start, -horizon, horizon)
    for _ in range(10):
        slopes = _wave_slopes(params, places).reshape(-1, 6)
        rest = found - _wave_vectors(params, places)
        robust = (strength / np.sqrt(1 + strength * (rest / 0.3) ** 2)).reshape(-1, 1)
        normal = slopes.T @ (robust * slopes)
        step = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(6), slopes.T @ (robust * rest.reshape(-1, 1)))
        before, params = params, np.clip(params + step[:, 0], -horizon, horizon)
        if np.abs(params - before).max() < 1e-3:
            break
    return params


def _wave_slopes(params: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Derivatives (T, 2 families, 2, 6) of `_wave_vectors` by the parameters."""
    a, c = params[:4].reshape(2, 2), params[4:]
    share = 1 / (1 + places @ c)
    at = places * share[:, None]
    cycles, share = at @ a.T, share[:, None, None]
    by_a = (np.eye(2) - c[:, None] * at[:, None]) * share  # of either family, by its own a or b
    by_c = (2 * cycles[..., None] * c - a)[..., None] * (at[:, None, None] * share[..., None])
    by_c -= cycles[..., None, None] * share[..., None] * np.eye(2)
    slopes = np.zeros((len(places), 2, 2, 6))
    slopes[:, 0, :, :2], slopes[:, 1, :, 2:4], slopes[..., 4:] = by_a, by_a, by_c
    return slopes
