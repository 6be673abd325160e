"""Measure the printed grid: which homography makes it square and axis-parallel, and how many pixels a millimetre has.

A grid is periodic, traces and text are not. So the image is cut into tiles, and in each tile's spectrum the grid shows
as two sharp peaks: the local wave vectors of the upright and of the level lines. Under perspective these vectors change
smoothly over the image in a way that fixes the homography up to a shift. Nothing needs page edges, single lines or
colour, and curved paper shows as a residual. (Open-ECG-Digitizer uses Hough lines with varying angle to the same end.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import cv2
import numpy as np
from scipy.ndimage import median, median_filter

from ecgutils.geometry import apply_homography
from ecgutils.preprocess.phase import (
    Blocks,
    Flattening,
    local_px_per_unit,
    measure_bend,
    refine_by_phase,
    square_blocks,
    unit_ratio,
    wave_strength,
)

LONGEST_PERIOD = 40.0  # px; longer ones are lighting and layout
SHORTEST_PERIOD = 2.4  # px; close to the sampling limit of 2
PROMINENT = 3.4  # peak over the tile's median magnitude; noise exceeds this about once in 3,000 bins
WIDE_MM = 120.0  # around what is seen already, the grid is looked for
SHARP_MM = 0.3  # a smaller change of the homography leaves the blocks' profiles as they are
OVERTONE = 0.2  # how much less likely, in log odds, it is that an overtone was tracked than that lines themselves were
FINE_SEEN = 0.06  # of `wave_strength`, on both axes, from which 1 mm lines or overtones are seen; noise has 0.02
SURE_SCALE = 0.3  # of scale_confidence; 6 of 500 rendered photos are below, and above none has a wrong scale
NO_LINES = -4.0  # of `_comb_score`: hardly a peak is where it should be; without any peak it is -5.8
MIN_SUPPORT = 0.12  # share of the blocks around; lines of text reach 0.07
USUAL_WIDTH_MM = 240.0  # ten seconds at 25 mm/s, or A4/Letter landscape; breaks the tie between 1, 5 and 25 mm lines


@dataclass(frozen=True)
class Grid:
    """Where the grid is and what it tells.

    flattening : image px <-> mm (origin: image centre); its homography is also `mm_from_image`.
    support_xy, support : block centres (B, 2) in px, and whether (B,) both line families are seen there.
    confidence : 0..1, the share of blocks where they are.
    px_per_mm : in the middle of the supported part.
    scale_confidence : 0..1, that 1 and 5 mm lines are told apart.
    """

    flattening: Flattening
    confidence: float
    px_per_mm: float
    scale_confidence: float
    support_xy: np.ndarray
    support: np.ndarray

    @property
    def mm_from_image(self) -> np.ndarray:
        """The homography alone, (3, 3)."""
        return self.flattening.mm_from_image


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
    spread = cv2.resize(cv2.blur(small, (15, 15)) * 1.5 + 1.0, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    detail /= spread
    return np.clip(detail, -1.6, 1.6, out=detail)


def measure_grid(rgb: np.ndarray, unbend: bool = True) -> Grid | None:
    """Find the grid of a uint8 (H, W, 3) image with its longer side at most about 1600 px; None when there is none.

    `unbend` also follows bent paper, see `measure_bend`.
    """
    contrast = line_contrast(rgb)
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
    a1, a2, b1, b2, c1, c2 = params
    # cycles = numerator / denominator in centred, scaled coordinates; a wave vector is in cycles per tile
    to_centred = np.array([[1 / scale, 0, -middle_xy[0] / scale], [0, 1 / scale, -middle_xy[1] / scale], [0, 0, 1]])
    per_px = scale / tile
    cycles_from_image = np.array([[a1 * per_px, a2 * per_px, 0], [b1 * per_px, b2 * per_px, 0], [c1, c2, 1]])
    cycles_from_image = cycles_from_image @ to_centred
    # lines must be sharp over the whole page before their overtones can be told
    seen_xy = centres_xy[both]
    px_per_cycle = local_px_per_unit(cycles_from_image, np.median(seen_xy, axis=0))
    per_block = np.clip(45 / px_per_cycle, 4, 10)  # cycles; finer blocks than these would only take longer
    scaled = np.diag([10 / per_block, 10 / per_block, 1.0])
    blocks = square_blocks(contrast, scaled @ cycles_from_image, seen_xy)
    refined = refine_by_phase(blocks, scaled @ cycles_from_image, seen_xy, np.full(2, per_block / 10))
    cycles_from_image = np.linalg.inv(scaled) @ refined
    pitch_mm, scale_confidence = _pitch_in_mm(contrast, cycles_from_image, seen_xy)
    mm_from_image = np.diag([*pitch_mm, 1.0]) @ cycles_from_image
    blocks = square_blocks(contrast, mm_from_image, seen_xy, WIDE_MM)
    lined = _lined(blocks)
    wave_mm = pitch_mm
    for attempt in range(3):  # the better it fits, the further out the grid is seen
        if lined.sum() < 6:
            return None
        if attempt and scale_confidence >= SURE_SCALE and wave_strength(blocks, lined, np.ones(2)).min() > FINE_SEEN:
            wave_mm = np.ones(2)  # which wave was strongest hangs on a trifle; what is seen of 1 mm lines places best
        seen_xy = blocks.xy[lined]
        refined = refine_by_phase(blocks.around(lined), mm_from_image, seen_xy, 1 / wave_mm)
        moved_mm = apply_homography(refined, blocks.xy.reshape(-1, 2)).reshape(blocks.mm.shape)
        change, mm_from_image = np.abs(moved_mm - blocks.mm)[lined].max(), refined
        if change < SHARP_MM:
            blocks = replace(blocks, mm=moved_mm)
        else:
            blocks = square_blocks(contrast, mm_from_image, seen_xy, WIDE_MM)
            lined = _lined(blocks)
        if (change < SHARP_MM and (wave_mm == 1).all()) or attempt == 2:
            break
    inside = ((blocks.xy >= 0) & (blocks.xy <= [width - 1, height - 1])).all(-1)
    support_xy, support = blocks.xy[inside], lined[inside]
    if support.sum() < 6 or support.mean() < MIN_SUPPORT:
        return None
    flattening = Flattening(mm_from_image)
    if unbend:
        flattening = measure_bend(blocks.around(lined & inside), mm_from_image, 1 / wave_mm)
    return Grid(
        flattening=flattening,
        confidence=float(support.mean()),
        px_per_mm=local_px_per_unit(mm_from_image, np.median(support_xy[support], axis=0)),
        scale_confidence=scale_confidence,
        support_xy=support_xy,
        support=support,
    )


def _tile_spectra(contrast: np.ndarray, tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (T, 2) of tiles, their spectra (T, tile, tile) divided by the usual level, and that level (tile, tile).

    Zero frequency is in the middle.
    """
    height, width = contrast.shape
    xs = np.linspace(0, width - tile, max(2, round(width / tile))).astype(int)
    ys = np.linspace(0, height - tile, max(2, round(height / tile))).astype(int)
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


def _strongest_pairs(mean_spectrum: np.ndarray, level: np.ndarray, count: int = 4) -> list[np.ndarray]:
    """Up to `count` pairs (2, 2) of about perpendicular, about equal peaks, in cycles per tile, the strongest first.

    Strength weighs how far a peak stands out (`mean_spectrum`, whitened) and how strong it is (`level` undoes that).
    """
    tile = len(mean_spectrum)
    middle = tile // 2
    fy, fx = np.mgrid[:tile, :tile] - middle
    radius = np.hypot(fx, fy)
    allowed = (radius >= max(3, tile / LONGEST_PERIOD)) & (radius <= tile / SHORTEST_PERIOD) & (fx >= 0)
    highest_near = cv2.dilate(mean_spectrum, np.ones((3, 3), np.uint8))
    rows, cols = np.nonzero((highest_near == mean_spectrum) & allowed & (mean_spectrum > 1.3))
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
        if len(chosen) == count:
            break
    return chosen


def _fit_tiles(spectra: np.ndarray, places: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of `_wave_vectors` fitted from a pair of wave vectors, and which tiles (T,) follow them in both."""
    params = np.array([*start[0], *start[1], 0.0, 0.0])
    for reach, rounds in ((0.16, 2), (0.07, 2), (0.04, 1)):
        for _ in range(rounds):
            found, prominence = _peaks_near(spectra, _wave_vectors(params, places), reach)
            seen = prominence > PROMINENT
            if seen.sum(0).min() < 3:
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
    """Strongest peak within `reach` (a share of the expected length, at least 1.5 bins) of each expected wave vector.

    Returns vectors (T, 2, 2), refined to a fraction of a bin by a parabola, and prominence (T, 2).
    """
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


def _lined(blocks: Blocks) -> np.ndarray:
    """Whether both line families are seen in each block, bool (rows, cols).

    In the spectrum of a 10 mm profile the overtones of 5 mm lines are the even bins. Against the geometric mean of
    their neighbours, which is as large or larger where a spectrum just falls off, as that of wood or cloth does.
    """
    score = np.zeros(blocks.strength.shape)
    for profile in (blocks.down, blocks.along):
        power = np.abs(np.fft.rfft(profile, axis=-1)) ** 2
        between = np.sqrt(power[..., 1:10:2] * power[..., 3:12:2])
        score += np.log((power[..., 2:11:2].sum(-1) + 0.02) / (between.sum(-1) + 0.02))
    return cv2.medianBlur((score > 2.0).astype(np.uint8), 3) > 0


def _pitch_in_mm(contrast: np.ndarray, cycles_from_image: np.ndarray, seen_xy: np.ndarray) -> tuple[np.ndarray, float]:
    """How many mm one tracked cycle is on either axis, and how surely.

    What was tracked may be the 1 mm lines, the 5 mm lines or an overtone of either. The image is made square and each
    axis' line spectrum is read: the right answer explains its peaks as multiples of 1/5 per mm, leaves few of the first
    five empty, is equal on both axes and gives the seen part a plausible width.
    """
    middle_xy = np.median(seen_xy, axis=0)
    px_per_cycle = local_px_per_unit(cycles_from_image, middle_xy)
    # cycles per sample: no finer than the image, and so that overtones up to the fourth are visible where it shows them
    step = 1 / np.clip(px_per_cycle, 4, 8)
    low, high = (f(apply_homography(cycles_from_image, seen_xy), axis=0) for f in (np.min, np.max))
    size = np.clip((high - low) / step, 64, 1600).astype(int)
    px_per_sample = step * px_per_cycle
    image_from_sample = np.linalg.inv(cycles_from_image) @ np.array([[step, 0, low[0]], [0, step, low[1]], [0, 0, 1]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    source = cv2.GaussianBlur(contrast, (0, 0), 0.4 * px_per_sample) if px_per_sample > 1.5 else contrast
    square = cv2.warpPerspective(source, image_from_sample, (int(size[0]), int(size[1])), flags=flags)
    spectra = [_line_spectrum(square, step), _line_spectrum(square.T, step)]
    highest = min(3.5, 0.45 * px_per_sample / step)  # the image itself holds no finer lines
    ratio = unit_ratio(np.linalg.inv(cycles_from_image), contrast.shape)  # mm_u / mm_v, by the camera
    # 1 mm lines seen as: themselves, their 2nd overtone, the 5 mm lines, or an overtone of the 5 mm lines
    choices = (1.0, 0.5, 5.0, 2.5, 5 / 3, 1.25)
    scores, width = {}, {}
    fits = [{mm: _comb_score(*spectrum, mm, highest) for mm in choices} for spectrum in spectra]
    for mm_u, mm_v in product(choices, choices):
        extent = max((high - low) * (mm_u, mm_v))
        width[mm_u, mm_v] = -0.5 * (np.log(extent / USUAL_WIDTH_MM) / 0.6) ** 2
        square_pixels = -0.5 * (np.log(mm_u / mm_v / ratio) / 0.2) ** 2
        scores[mm_u, mm_v] = fits[0][mm_u] + fits[1][mm_v] + width[mm_u, mm_v] + max(square_pixels, -8.0)
        scores[mm_u, mm_v] -= OVERTONE * sum(mm not in (1, 5) for mm in (mm_u, mm_v))
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    best = ranked[0]
    other = next(s for s in ranked[1:] if abs(np.log(s[0] / best[0])) > 0.1)
    # sure when far likelier than any other, or when every line that should be there is, and no other
    complete = np.exp(2 * min(fits[0][best[0]] + fits[1][best[1]], 0.0))
    confidence = max(1 - np.exp(-(scores[best] - scores[other])), complete)
    dead = min(fits[0][best[0]], fits[1][best[1]]) < NO_LINES
    if dead and abs(np.log(ratio)) > 0.15:  # an axis without lines has the scale of the other if cycles are as long
        confidence = 0.0
    if confidence < SURE_SCALE:  # the lines do not tell: what is left is the usual width
        best = max((s for s in ranked if scores[s] > scores[other] - 0.1), key=width.__getitem__)
    return np.array(best), float(confidence)


def _line_spectrum(square: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (cycles of the tracked wave = 1) and peak strength (0 = no line) of lines across the x axis."""
    bands = np.array_split(square, 6, axis=0)
    profiles = np.stack([band.mean(0) for band in bands]) * np.hanning(square.shape[1])
    count = 8 * 256
    magnitude = np.sqrt((np.abs(np.fft.rfft(profiles, n=count)) ** 2).mean(0))
    frequency = np.fft.rfftfreq(count, step)
    floor = median_filter(magnitude, 2 * round(0.12 / frequency[1]) + 1) + 1e-6
    return frequency, np.clip(np.log(np.maximum(magnitude / floor, 1e-9)) - np.log(2.0), 0, 2.5)


def _comb_score(frequency: np.ndarray, strength: np.ndarray, mm: float, highest: float) -> float:
    """Log of (share of the peaks that lie on multiples of 1/5 per mm) x (share of the first five that are there)."""
    unit = mm / 5  # frequency of 5 mm lines, in tracked cycles
    usable = (frequency > 0.12) & (frequency < highest)
    width = max(0.03, 1.5 * frequency[1])
    offset = np.abs(frequency / unit - np.rint(frequency / unit)) * unit
    on_comb = (offset < width) & (np.rint(frequency / unit) >= 1)
    # a dense comb covers much of the axis by chance: count only what exceeds that
    chance = min(0.9, 2 * width / unit)
    explained = strength[usable & on_comb].sum() / max(strength[usable].sum(), 1e-6)
    explained = (explained - chance) / (1 - chance)
    # an axis without peaks (a strength of 10 and more is usual) has no say, wherever the smallest of them may lie
    explained *= strength[usable].sum() / (strength[usable].sum() + 1)
    teeth = [j * unit for j in range(1, 6) if 0.12 < j * unit < highest]
    present = [False] if not teeth else [strength[np.abs(frequency - tooth) < width].max() > 0.2 for tooth in teeth]
    return float(np.log(max(explained, 0.03)) + np.log(0.1 + np.mean(present)))
