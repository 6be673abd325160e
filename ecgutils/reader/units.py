"""Which paper speed and gain a page was printed with: from legends, calibration pulses and, weakly, the heart itself.

50 mm/s read as 25 mm/s looks like a slow heart, and a real slow heart like 50 mm/s: the heart alone never settles it.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from scipy.signal import find_peaks, peak_widths
from scipy.special import softmax

SPEEDS, GAINS = (25.0, 50.0), (5.0, 10.0, 20.0)
PULSE = 12  # where in the reader's MARKS
PRIOR = np.log((0.97, 0.03)), np.log((0.10, 0.85, 0.05))
PPM, NCC = 2, cv2.TM_CCOEFF_NORMED  # px/mm that all is measured at
LEGEND, SETTLED = 7.5, 4.0  # log odds of a clear legend; from which the heart is not asked
LEGEND_CLEAR = 0.8, 0.95  # probabilities from which a legend counts, and counts fully
LATER, MIXED = 0.4, 0.85  # what a second legend counts (limb leads stand first); the confidence where two disagree
PULSES, PULSE_WEIGHT = 3, 15.0  # so many are measured; half the number of independent px of one
SHIFTS = *((0, y) for y in (-50, -30, 30, 50)), *((x, 0) for x in (-40, -30, -20, 20, 30, 40))  # px: of 5 mm each
BEATS = (8.0, 4.5, 7.0), (0.665, 0.40, 3.39)  # slopes and middles of 50 against 25 mm/s: QRS, R to T / sqrt(RR), RR
BEATS_RANGE, SLOW_MM, IN_DOUBT = (-3.0, 4.5), 33.0, 1.5  # log odds; RR (45/min at 25 mm/s) from which at least so many
HEIGHTS, SPREAD, HEIGHTS_RANGE = (2.0, 2.62, 3.15), 0.45, (-0.3, 2.0)  # log mm of QRS at GAINS; log odds over 10 mm/mV


@dataclass(frozen=True)
class Units:
    """speed_mm_s, gain_mm_mv: the likeliest; speed_confidence, gain_confidence: 0..1, posterior probability."""

    speed_mm_s: float
    gain_mm_mv: float
    speed_confidence: float
    gain_confidence: float


def measure_units(dark: np.ndarray, trace: np.ndarray, marks: np.ndarray, legends: np.ndarray) -> Units:
    """Speed and gain of an upright page. dark, trace: uint8 (h, w) at 4 px/mm; marks: uint8 (19, h/4, w/4) at 1 px/mm,
    in the order of the reader's MARKS; legends: float (n, 6), as `read_legends` gives them."""
    size = tuple(max(1, round(n * PPM / 4)) for n in dark.shape[1::-1])
    dark, trace = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (dark, trace))
    pulses = _pulse_gain(cv2.subtract(dark, cv2.dilate(trace, None)), marks[PULSE])
    printed_numbers, answers = (_legends(legends[:, 1:3]), _legends(legends[:, 3:6])), []
    for prior, (printed, differ), pulse, heart in zip(PRIOR, printed_numbers, (0, pulses), _heart(trace), strict=True):
        p = softmax(prior + printed + pulse + heart * (1 - min(1.0, np.ptp(printed + pulse) / SETTLED)))
        answers.append((int(p.argmax()), min(float(p.max()), MIXED if differ else 1.0)))
    return Units(SPEEDS[answers[0][0]], GAINS[answers[1][0]], answers[0][1], answers[1][1])


def _legends(read: np.ndarray) -> tuple[np.ndarray, bool]:
    """Log odds (n,) of n numbers from what may be legends of them, (k, n) as one reads, and whether two differ."""
    odds, seen = np.zeros(read.shape[1]), set()
    for clear in np.clip((read - LEGEND_CLEAR[0]) / (LEGEND_CLEAR[1] - LEGEND_CLEAR[0]), 0, 1):
        odds += LEGEND * clear * (LATER if seen else 1)
        seen |= {int(clear.argmax())} if clear.max() > 0.3 else set()
    return np.minimum(odds, LEGEND), len(seen) > 1


def _pulse_gain(dark: np.ndarray, pulses: np.ndarray) -> np.ndarray:
    """Log likelihoods (3,) of GAINS; dark: uint8 (h, w) at PPM without traces, pulses: uint8 map of them at 1 px/mm."""
    seen = cv2.GaussianBlur(cv2.morphologyEx(pulses, cv2.MORPH_CLOSE, np.ones((5, 3), np.uint8)), (0, 0), 0.7)
    _, _, boxes, _ = cv2.connectedComponentsWithStats((seen > 70).astype(np.uint8))
    boxes = sorted((box for box in boxes[1:].tolist() if box[4] >= 6), key=lambda box: -box[4])[:PULSES]
    found, around = np.zeros(len(GAINS)), cv2.copyMakeBorder(dark, *[80] * 4, cv2.BORDER_CONSTANT, value=0)
    for x, y, w, h, _ in boxes:  # pulses of several rows may touch: the uppermost is enough
        x, y, w, h = 80 + PPM * (x - 5), 80 + PPM * (y - 12), PPM * (min(w, 20) + 10), PPM * (min(h, 40) + 24)
        here, *near = (around[y + dy : y + dy + h, x + dx : x + dx + w] for dx, dy in ((0, 0), *SHIFTS))
        rest = cv2.subtract(here, np.sort(near, axis=0)[len(near) // 2])  # the grid is what recurs every 5 mm
        rest = cv2.GaussianBlur(rest, (0, 0), 0.6).astype(np.float32)
        if rest.std() > 1:
            match = [max(cv2.matchTemplate(rest, _rise(g, s), NCC).max() for s in (1, 2)) for g in GAINS]
            found -= PULSE_WEIGHT * np.log(1 - np.clip(match, 0, 0.97) ** 2) / len(boxes)
    return found


def _rise(gain: float, steps: int) -> np.ndarray:
    """The left part of a pulse of 1 mV at PPM, float32: some of its base, its steep stroke, some of its top."""
    high = round(gain * PPM)
    image = np.zeros((high + 7, 5 + 4 * steps), np.float32)
    image[3 : high + 4, 4] = image[high + 3, :4] = image[3, 4:8] = 1
    if steps == 2:  # of 1.5 mm, the second half as high
        image[3 : high // 2 + 4, 7] = image[high // 2 + 3, 7:11] = image[high // 2 + 3 : high + 4, 10] = 1
    return cv2.GaussianBlur(image, (0, 0), 0.6)


def _heart(trace: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log odds (2,) of SPEEDS and (3,) of GAINS by what hearts look like; trace: uint8 (h, w) at PPM."""
    mass = cv2.GaussianBlur(cv2.reduce(trace, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F), (0, 0), 2 * PPM).ravel()
    rows, _ = find_peaks(mass, distance=9 * PPM, height=0.25 * mass.max() + 1)
    steep, off, tall = np.zeros(trace.shape[1]), np.zeros(trace.shape[1]), []
    for top, stop in pairwise([0, *(rows[1:] + rows[:-1]) // 2, len(mass)]):
        band, there = trace[top:stop].astype(np.float32) / 255, trace[top:stop] > 127
        sums, inked = band.sum(0), there.any(0)
        if inked.sum() < 20 * PPM:
            continue
        y = np.arange(stop - top, dtype=np.float32) @ band / np.maximum(sums, 0.5)
        steep += np.maximum(sums - 2 * np.median(sums[inked]), 0)
        off += np.where(inked, np.abs(y - np.median(y[inked])), 0)
        high, low = there.argmax(0)[inked], len(there) - there[::-1].argmax(0)[inked]
        tall.append(np.percentile(low, 98) - np.percentile(high, 2))
    heights = -(((np.log(max(np.median(tall or [28]) / PPM, 1)) - HEIGHTS) / SPREAD) ** 2) / 2
    return np.array([0, _beats(steep, off)]), np.clip(heights - heights[1], *HEIGHTS_RANGE)


def _beats(steep: np.ndarray, off: np.ndarray) -> float:
    """Log odds of 50 mm/s; (w,) at PPM: how much steep stroke, and how far from their base lines all traces are."""
    smooth = np.convolve(steep, np.ones(3) / 3, "same")
    least = np.percentile(smooth, 99) / 4
    at, _ = find_peaks(smooth, distance=7 * PPM, height=1.4 * least + 1e-3, prominence=least)
    if len(at) < 3:
        return IN_DOUBT
    rr, wide = np.median(np.diff(at)), np.median(peak_widths(smooth, at)[0])
    first, last = min(max(int(1.5 * wide), 5), int(0.5 * rr)), int(0.62 * rr)  # where the T wave has its peak
    wave = np.convolve(np.mean([off[i : i + last] for i in at if i + last <= len(off)], 0), np.ones(5), "same")
    seen = np.log((wide / PPM, (first + wave[first:].argmax()) / np.sqrt(rr * PPM), rr / PPM))
    odds = 0.8 + np.clip(BEATS[0] * (seen - BEATS[1]), -2.5, 2.5).sum()
    return float(np.clip(odds, IN_DOUBT if rr > SLOW_MM * PPM else BEATS_RANGE[0], BEATS_RANGE[1]))
