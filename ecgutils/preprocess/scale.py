"""How many millimetres a tracked wave of the grid is: whether it was 1 mm lines, 5 mm lines or an overtone."""

from itertools import product

import cv2
import numpy as np
from scipy.ndimage import median_filter

from ecgutils.geometry import apply_homography
from ecgutils.preprocess.phase import local_px_per_unit, unit_ratio

OVERTONE = 0.2  # how much less likely, in log odds, it is that an overtone was tracked than that lines themselves were
SURE_SCALE = 0.3  # of scale_confidence; 6 of 500 rendered photos are below, and above none has a wrong scale
NO_LINES = -4.0  # of `_comb_score`: hardly a peak is where it should be; without any peak it is -5.8
USUAL_WIDTH_MM = 240.0  # ten seconds at 25 mm/s, or A4/Letter landscape; breaks the tie between 1, 5 and 25 mm lines


def pitch_in_mm(contrast: np.ndarray, cycles_from_image: np.ndarray, seen_xy: np.ndarray) -> tuple[np.ndarray, float]:
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
