"""Judge a flattened page: reasons against it, and how well it can be read. Thresholds were chosen on real photos,
rendered photos and pictures of other things; the comments beside them say what was measured.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from ecgutils.findings import LEADS
from ecgutils.preprocess.grid import Grid
from ecgutils.preprocess.page import Page
from ecgutils.preprocess.phase import SURE_SCALE
from ecgutils.preprocess.traces import Traces
from ecgutils.reader.leads import Leads
from ecgutils.reader.units import Units

LEAST_MM = 200.0  # of traces
LEAST_LEADS = 6  # with fewer it is no 12-lead ECG, or none whose leads were found
MIRRORED = 20.0  # log odds
SURE_UNITS, SURE_UNUSUAL = 0.8, 0.95  # of the confidence in a normal speed or gain, and in another
NORMAL_SPEED, NORMAL_GAIN = 25.0, 10.0  # mm/s and mm/mV of a flat page
COARSE, UNREADABLE = 2.0, 1.2  # px/mm
BLURRED = 0.4  # of `sharpness`: real photos have 1.1 or more, blurred by 0.6 mm (sigma) about 0.45, by 1 mm 0.25
CUT_OFF = 2  # strokes that run into the photo's edge
GLARE = 0.02  # of the area of the traces
BARE = 0.5  # of a row of blocks
TOO_DARK = 45  # median grey value of the photo

# What each reason says, and what helps. Those up to "mirrored" refuse the image, the last ones are warnings;
# "leads_missing" and "coarse" are either. Some are followed by a space and which leads, how many, or px/mm.
REASONS = {
    "missing": "there is no such file, or no such page in it",
    "no_permission": "this user may not read the file; change its rights",
    "not_a_file": "a folder or a special file, not an image",
    "empty_file": "the file has 0 bytes; copy it again",
    "cannot_decode": "damaged, or not an image; open it in a viewer, or copy it again",
    "password": "a PDF locked with a password; save it without one",
    "needs_pypdfium2": "a PDF; pip install pypdfium2, or save its pages as PNG",
    "needs_pillow_heif": "a HEIC photo; pip install pillow-heif, or save it as JPEG",
    "too_large": "more pixels than are read; reduce it",
    "too_small": "under 64 px in width or height",
    "bad_array": "an array that is no image: give uint8 (H, W) or (H, W, 3)",
    "bad_outline": "the four corners given don't run clockwise around a page, from its top left as one reads it",
    "too_narrow": "over 30 times as long as wide; cut the ECG out",
    "not_an_ecg": "no traces of an ECG were found; come closer, hold the camera straight, avoid shadows and folds",
    "not_12_leads": "traces of so many leads only: a strip or a part of an ECG; show the whole 12-lead page",
    "mirrored": "a mirror image; save the photo without mirroring",
    "leads_missing": "these leads are hidden, cut off or not printed; refused without any limb or any chest lead",
    "coarse": "too few pixels per millimetre to trust, or to read at all; come closer or send the original photo",
    "several_ecgs": "more than one ECG in the photo; the largest one is read: photograph one at a time",
    "leads_assumed": "the leads' names could not be read; the usual order of such pages was assumed",
    "speed_unsure": "paper speed or gain is not printed clearly, or unusual; times or voltages may be wrong",
    "no_page": "no edge of the paper was found either; all that the photo shows is taken for the page",
    "grid_not_found": "no printed grid was found, so that millimetres are guessed and voltages may be wrong",
    "scale_unsure": "the grid's lines do not tell how far apart they are; voltages may be wrong",
    "cut_off": "a trace runs into the photo's edge: a part of the ECG may be missing",
    "glare": "a reflection hides a part of the traces; change the light or the angle",
    "blurred": "out of focus or shaken; photograph it again",
    "too_dark": "photograph it again with more light",
}

# These may go away while the file stays as it is.
PASSING = frozenset({"missing", "no_permission", "not_a_file", "needs_pypdfium2", "needs_pillow_heif"})

NAMES_SHOWN = 5


def explain(
    reasons: Sequence[str], readable: Sequence[bool] | None = None, ids: Sequence[str] | None = None
) -> list[str]:
    """A line for each of REASONS that is among the ";"-joined `reasons` of images: its code, and what it says.

    readable, ids : of the same images, both or neither: with them a second line says how many have the reason, and
        names the first NAMES_SHOWN of those that were refused.
    """
    lines, codes = [], [{reason.split(" ")[0] for reason in own.split(";")} for own in reasons]
    for code, meaning in REASONS.items():
        has = [code in own for own in codes]
        lines += [f"  {code}: {meaning}"] * any(has)
        if any(has) and readable is not None and ids is not None:
            refused = [one for one, own, good in zip(ids, has, readable, strict=True) if own and not good]
            names = ", ".join(refused[:NAMES_SHOWN]) + ", ..." * (len(refused) > NAMES_SHOWN)
            read = sum(has) - len(refused)
            said = [f"{read} read all the same"] * (read > 0) + [f"{len(refused)} refused: {names}"] * bool(refused)
            lines.append(f"    {'; '.join(said)}")
    return lines


def contrast_of(dark: np.ndarray, traces: np.ndarray) -> float:
    """Darkness 0..1 of the traces, bool (h, w), on a uint8 (h, w) map; lines thinner than a px set no scale."""
    return max(float(np.percentile(dark[traces], 80)), 24.0) / 255


def sharpness(dark: np.ndarray, traces: np.ndarray, contrast: float) -> float:
    """Steepest darkness changes of the traces per 0.5 mm, as a share of their contrast; see BLURRED."""
    change = cv2.max(cv2.absdiff(dark[2:, 1:-1], dark[:-2, 1:-1]), cv2.absdiff(dark[1:-1, 2:], dark[1:-1, :-2]))
    seen = change[traces[1:-1, 1:-1]]
    return float(np.percentile(seen, 90)) / (255 * contrast) if len(seen) else 0.0


def weigh(
    traces: Traces, leads: Leads, units: Units, turned: np.ndarray, px_per_mm: float | None
) -> tuple[tuple[str, ...], bool]:
    """Reasons against what is on a page, and whether they refuse it.

    turned : (8,) the reader's log odds of each way to lie. px_per_mm : of the photo, None where its grid was not found.
    """
    present = [lead for lead in LEADS if lead not in leads.missing]
    halves = [set(present) & set(half) for half in (LEADS[:6], LEADS[6:])]
    few = len(present) < LEAST_LEADS
    coarse = px_per_mm is not None and px_per_mm < COARSE
    reasons = {
        "not_an_ecg": traces.length_mm < LEAST_MM and few,
        f"not_12_leads {len(present)}": few,
        "mirrored": turned[4:].max() - turned[:4].max() > MIRRORED,
        f"leads_missing {' '.join(leads.missing)}": not few and len(leads.missing) > 0,
        f"coarse {px_per_mm or 0:.1f}": coarse,
        "several_ecgs": leads.groups > 1,
        "leads_assumed": leads.assumed and not few,
        "speed_unsure": not all(sure for _, sure in _told(units)),
    }
    refused = few or reasons["mirrored"] or not all(halves) or (coarse and px_per_mm < UNREADABLE)
    return tuple(reason for reason, holds in reasons.items() if holds), bool(refused)


def to_normal(units: Units) -> np.ndarray:
    """By which x and y of a page become those of NORMAL_SPEED and NORMAL_GAIN, (2,); 1 where that is not sure."""
    (speed, speed_sure), (gain, gain_sure) = _told(units)
    return np.array([NORMAL_SPEED / speed if speed_sure else 1.0, NORMAL_GAIN / gain if gain_sure else 1.0])


def _told(units: Units) -> list[tuple[float, bool]]:
    """Speed and gain, and whether each is sure."""
    speed = units.speed_mm_s, units.speed_confidence, NORMAL_SPEED
    gain = units.gain_mm_mv, units.gain_confidence, NORMAL_GAIN
    return [(v, sure >= (SURE_UNITS if v == normal else SURE_UNUSUAL)) for v, sure, normal in (speed, gain)]


def weigh_page(grid: Grid | None, page: Page | None, work: np.ndarray, reasons: tuple[str, ...]) -> tuple[str, ...]:
    """`reasons` and those against the photo, uint8 (h, w, 3), its grid and page."""
    more = {
        "grid_not_found": grid is None,
        "no_page": grid is None and page is None,
        "scale_unsure": grid is not None and grid.scale_confidence < SURE_SCALE,
        "too_dark": np.median(work[::8, ::8]) < TOO_DARK,
    }
    return reasons + tuple(reason for reason, holds in more.items() if holds)


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


def quality(grid: Grid | None, traces: Traces, leads: Leads, contrast: float, sharp: float) -> float:
    """Product of what was measured, on scales on which clean prints reach 1."""
    parts = [
        0.7 if grid is None or grid.scale_confidence < SURE_SCALE else 0.8 + 0.2 * min(1.0, grid.support.mean() / 0.6),
        min(1.0, traces.length_mm / 800) ** 0.3,
        1 - len(leads.missing) / 12,
        0.8 if leads.assumed else 1.0,
        np.clip(sharp / 1.2, 0.2, 1),
        np.clip(contrast / 0.5, 0.2, 1) ** 0.5,
    ]
    return float(np.prod(parts))
