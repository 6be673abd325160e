"""The grid's waves: how many millimetres one is, and their phase, block by block.

The phase tells where every part of the paper is to a fraction of a millimetre: first it corrects the homography; what
it says beyond that is bent paper, which `measure_bend` turns into a smooth map.
"""

from dataclasses import dataclass, fields, replace
from itertools import product

import cv2
import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import map_coordinates, median_filter
from scipy.spatial import cKDTree

from ecgutils.geometry import affine, apply_homography, frame_corners

STIFF = 0.1  # weight of the bending's own smoothness against that of one difference
LEAST_GAIN = 1.02  # in straightness of the grid, for which bending is corrected
FOCAL = 1.0  # longer sides of the frame: .75 is a phone's, more when it zooms or the photo is cropped
STEP, BLOCK = 0.25, 40  # mm per sample, samples per block of the squared image
OVERTONE = 0.2  # how much less likely, in log odds, it is that an overtone was tracked than that lines themselves were
SURE_SCALE = 0.3  # of scale_confidence; 6 of 500 rendered photos are below, and above none has a wrong scale
NO_LINES = -4.0  # of `_comb_score`: hardly a peak is where it should be; without any peak it is -5.8
USUAL_WIDTH_MM = 240.0  # ten seconds at 25 mm/s, or A4/Letter landscape; breaks the tie between 1, 5 and 25 mm lines
WIDE_MM = 120.0  # around what is seen already, the grid is looked for
SHARP_MM = 0.3  # a smaller change of the homography leaves the blocks' profiles as they are
FINE_SEEN = 0.06  # of the waves' strength, on both axes, from which 1 mm lines or overtones are seen; noise has 0.02
MIN_LINED = 6  # blocks
INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def unit_ratio(image_from_plane: np.ndarray, shape: tuple[int, ...]) -> float:
    """Length of a unit of x by that of y on a plane that a camera of usual focal length sees in an image of `shape`.

    How fast lines converge tells how far the plane is tilted, and so how much of what looks short is foreshortened: the
    first columns of the homography are K r1 and K r2 times these lengths (Zhang 2000).
    """
    focal = FOCAL * max(shape[:2])
    rays = affine(1 / focal, -(np.array(shape[1::-1]) - 1) / 2 / focal)
    along_x, along_y = np.linalg.norm(rays @ image_from_plane, axis=0)[:2]
    return float(along_x / along_y)


def local_px_per_unit(unit_from_image: np.ndarray, point_xy: np.ndarray) -> float:
    """Image pixels per unit of the mapped plane near `point_xy`: square root of the ratio of areas."""
    corners = apply_homography(unit_from_image, point_xy + np.array([[0, 0], [1, 0], [0, 1]]))
    (ax, ay), (bx, by) = corners[1] - corners[0], corners[2] - corners[0]
    return float(1 / np.sqrt(max(abs(ax * by - ay * bx), 1e-12)))


@dataclass(frozen=True)
class Blocks:
    """The image with square millimetres, cut into 10 mm blocks: what the grid's lines leave of each.

    down, along : float32 (rows, cols, BLOCK), means of a block down its columns and along its rows.
    strength : float32 (rows, cols), mean absolute contrast.
    mm, xy : float64 (rows, cols, 2), centres on the homography's plane and in image px.
    """

    down: np.ndarray
    along: np.ndarray
    strength: np.ndarray
    mm: np.ndarray
    xy: np.ndarray

    def around(self, chosen: np.ndarray) -> "Blocks":
        """The rectangle of blocks with those where `chosen` bool (rows, cols), and one more on either side."""
        rows, cols = (np.flatnonzero(chosen.any(axis)) for axis in (1, 0))
        part = slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, cols[0] - 1), cols[-1] + 2)
        return Blocks(*(getattr(self, f.name)[part] for f in fields(self)))


def _square_blocks(contrast: np.ndarray, mm_from_image: np.ndarray, seen_xy: np.ndarray, margin_mm: float) -> Blocks:
    """The blocks of the image around `seen_xy` (N, 2), within `margin_mm`."""
    seen_mm, frame_mm = (apply_homography(mm_from_image, xy) for xy in (seen_xy, frame_corners(contrast.shape[::-1])))
    low = np.maximum(frame_mm.min(0), seen_mm.min(0) - margin_mm)
    high = np.minimum(frame_mm.max(0), seen_mm.max(0) + margin_mm)
    cols, rows = (int(n) for n in np.clip(np.ceil((high - low) / (STEP * BLOCK) - 0.3), 1, 60))  # 3 mm may be lost
    image_from_mm = np.linalg.inv(mm_from_image)
    size = cols * BLOCK, rows * BLOCK
    square = cv2.warpPerspective(contrast, image_from_mm @ affine(STEP, low), size, flags=INVERSE)
    each_block = rows, BLOCK, -1
    mean = np.full(BLOCK, 1 / BLOCK, np.float32)
    x, y = (low[i] + (np.arange(n) + 0.5) * BLOCK * STEP for i, n in ((0, cols), (1, rows)))
    mm = np.stack(np.meshgrid(x, y), axis=-1)
    return Blocks(
        down=square.reshape(each_block).mean(1).reshape(rows, cols, BLOCK),
        along=(square.reshape(-1, BLOCK) @ mean).reshape(rows, BLOCK, cols).transpose(0, 2, 1),
        strength=np.abs(square, out=square).reshape(each_block).mean(1).reshape(rows, cols, BLOCK) @ mean,
        mm=mm,
        xy=apply_homography(image_from_mm, mm),
    )


@dataclass(frozen=True)
class Flattening:
    """Flat page <-> image: a homography, and for bent paper how far each point of its plane really is from there.

    mm_from_image : float64 (3, 3).
    shift_mm : float64 (2, rows, cols), x and y, at nodes 10 mm apart, the first at `origin_mm` (2,); None: flat paper.
    """

    mm_from_image: np.ndarray
    shift_mm: np.ndarray | None = None
    origin_mm: np.ndarray | None = None

    def to_mm(self, image_xy: np.ndarray) -> np.ndarray:
        """Image px (N, 2) -> mm on the flat page (N, 2)."""
        at = apply_homography(self.mm_from_image, image_xy)
        return at if self.shift_mm is None else at + self._shift(at)

    def to_image(self, mm: np.ndarray) -> np.ndarray:
        """Inverse of `to_mm`."""
        at = mm
        if self.shift_mm is not None:
            for _ in range(3):  # neighbouring nodes differ by less than 2 mm in 10
                at = mm - self._shift(at)
        return apply_homography(np.linalg.inv(self.mm_from_image), at)

    def _shift(self, at: np.ndarray) -> np.ndarray:
        node = ((at - self.origin_mm) / (STEP * BLOCK)).T[::-1]
        return np.stack([map_coordinates(shift, node, order=1, mode="nearest") for shift in self.shift_mm], axis=-1)


def measure_bend(blocks: Blocks, mm_from_image: np.ndarray, frequency: np.ndarray) -> Flattening:
    """What the homography leaves: bent or creased paper, when correcting it makes the grid's lines straighter."""
    # neighbours differ by less than half a cycle, so the differences add up to the bending; the rest is smoothed
    if min(blocks.strength.shape) < 4:
        return Flattening(mm_from_image)
    shift, before, after = [], 0.0, 0.0
    for axis, wave in enumerate(_block_waves(blocks, frequency)):
        slow = _sum_differences(wave)
        rest = wave * np.exp(-2j * np.pi * slow)
        rest *= np.exp(-1j * np.angle(rest.sum()))
        rest = np.where(np.abs(rest) > 0.02, rest / np.sqrt(np.abs(rest) + 0.02), 0)
        smooth = cv2.GaussianBlur(rest.real, (0, 0), 1.0) + 1j * cv2.GaussianBlur(rest.imag, (0, 0), 1.0)
        sure = np.abs(smooth) / (np.abs(smooth) + 0.1)
        cycles = slow + sure * np.angle(smooth) / (2 * np.pi)
        shift.append((cycles - np.median(cycles)) / frequency[axis])
        # the lines of a family are straight when its blocks agree along them, 5 blocks (50 mm) at a time
        along = np.ones((5, 1)) if axis == 0 else np.ones((1, 5))
        before += _agreement(wave, along)
        after += _agreement(wave * np.exp(-2j * np.pi * cycles), along)
    field = np.stack(shift)
    steps = max(np.abs(np.diff(field, axis=i)).max() for i in (1, 2))
    if after < LEAST_GAIN * before or steps > 2 or np.abs(field).max() > 10:
        return Flattening(mm_from_image)
    return Flattening(mm_from_image, field, blocks.mm[0, 0])


def _sum_differences(wave: np.ndarray) -> np.ndarray:
    """Cycles (rows, cols), smooth, whose differences match the phase steps of `wave`: weighted least squares."""
    neighbours = (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])
    steps = [wave[after] * wave[before].conj() for before, after in neighbours]
    value = [np.angle(step) / (2 * np.pi) for step in steps]
    weight = [np.where(np.abs(step) > 0.02, np.abs(step), 0) for step in steps]
    stiff = STIFF * sum(w.sum() for w in weight) / sum(w.size for w in weight)
    smooth = np.zeros((2 * wave.shape[1] + 1, wave.size))
    smooth[0] = 1e-6
    _add_squares(smooth, wave.shape, {(0, 0): 1, (0, 1): -2, (0, 2): 1}, stiff)
    _add_squares(smooth, wave.shape, {(0, 0): 1, (1, 0): -2, (2, 0): 1}, stiff)
    _add_squares(smooth, wave.shape, {(0, 0): 1, (0, 1): -1, (1, 0): -1, (1, 1): 1}, stiff)
    robust = weight
    for _ in range(2):
        band, right = smooth.copy(), np.zeros(wave.shape)
        _add_squares(band, wave.shape, {(0, 0): -1, (0, 1): 1}, robust[0])
        _add_squares(band, wave.shape, {(0, 0): -1, (1, 0): 1}, robust[1])
        for (before, after), w, v in zip(neighbours, robust, value, strict=True):
            right[after] += w * v
            right[before] -= w * v
        cycles = solveh_banded(band, right.ravel(), lower=True, check_finite=False).reshape(wave.shape)
        off = [np.diff(cycles, axis=1 - i) - v for i, v in enumerate(value)]
        robust = [w / (1 + (d / 0.05) ** 2) for w, d in zip(weight, off, strict=True)]
    return cycles


def _add_squares(
    band: np.ndarray, shape: tuple[int, int], stencil: dict[tuple[int, int], float], weight: np.ndarray | float
) -> None:
    """Add weight * (the stencil's sum)^2, at every place it fits on a grid, to the lower band of a quadratic form."""
    rows, cols = (n - max(place[axis] for place in stencil) for axis, n in enumerate(shape))
    for (r, c), a in stencil.items():
        for (s, d), b in stencil.items():
            offset = (s - r) * shape[1] + d - c
            if offset >= 0:
                band[offset].reshape(shape)[r : r + rows, c : c + cols] += a * b * weight


def _agreement(wave: np.ndarray, window: np.ndarray) -> float:
    return float(np.hypot(*(cv2.filter2D(part, -1, window) for part in (wave.real, wave.imag))).sum())


def _block_waves(blocks: Blocks, frequency: np.ndarray) -> list[np.ndarray]:
    """Complex amplitude (rows, cols) of each line family in each block, against an ideal wave; about 0..1 in size."""
    offsets = (np.arange(BLOCK) - (BLOCK - 1) / 2) * STEP
    waves = []
    for axis, profile in enumerate((blocks.down, blocks.along)):
        turn = -2j * np.pi * frequency[axis]
        wave = (profile @ np.exp(turn * offsets)) * np.exp(turn * blocks.mm[..., axis])
        waves.append(wave / (BLOCK * (blocks.strength + 0.05)))
    return waves


def sharpened(contrast: np.ndarray, cycles_from_image: np.ndarray, seen_xy: np.ndarray) -> np.ndarray:
    """The homography (3, 3) corrected by the wave's phase."""
    px_per_cycle = local_px_per_unit(cycles_from_image, np.median(seen_xy, axis=0))
    per_block = np.clip(45 / px_per_cycle, 4, 10)  # cycles; finer blocks than these would only take longer
    scaled = np.diag([10 / per_block, 10 / per_block, 1.0])
    blocks = _square_blocks(contrast, scaled @ cycles_from_image, seen_xy, 10.0)
    return np.linalg.inv(scaled) @ _refined(blocks, scaled @ cycles_from_image, seen_xy, np.full(2, per_block / 10))


def fit_blocks(
    contrast: np.ndarray, mm_from_image: np.ndarray, wave_mm: np.ndarray, confidence: float, seen_xy: np.ndarray
) -> tuple[Blocks, np.ndarray, np.ndarray, np.ndarray]:
    """Blocks, which of them are lined, mm_from_image (3, 3) and the mm of the wave (2,) that told.

    The better it fits, the further out the grid is seen. Which wave was tracked hangs on a trifle: where 1 mm lines, or
    overtones as fine, are seen, they place the page best, with `confidence` in its scale.
    """
    blocks = _square_blocks(contrast, mm_from_image, seen_xy, WIDE_MM)
    lined = _lined(blocks)
    for attempt in range(3):
        if lined.sum() < MIN_LINED:
            break
        if attempt and confidence >= SURE_SCALE:
            fine = [np.abs(wave[lined]).mean() for wave in _block_waves(blocks, np.ones(2))]
            wave_mm = np.ones(2) if min(fine) > FINE_SEEN else wave_mm
        seen_xy = blocks.xy[lined]
        refined = _refined(blocks.around(lined), mm_from_image, seen_xy, 1 / wave_mm)
        moved_mm = apply_homography(refined, blocks.xy)
        change, mm_from_image = np.abs(moved_mm - blocks.mm)[lined].max(), refined
        if change < SHARP_MM:
            blocks = replace(blocks, mm=moved_mm)
            if (wave_mm == 1).all():
                break
        else:
            blocks = _square_blocks(contrast, mm_from_image, seen_xy, WIDE_MM)
            lined = _lined(blocks)
    return blocks, lined, mm_from_image, wave_mm


def _lined(blocks: Blocks) -> np.ndarray:
    """Whether both line families are seen in each block, bool (rows, cols)."""
    # overtones of 5 mm lines are the even bins; where a spectrum just falls off, as of wood or cloth, the geometric
    # mean of their neighbours is as large or larger
    score = np.zeros(blocks.strength.shape)
    for profile in (blocks.down, blocks.along):
        power = np.abs(np.fft.rfft(profile, axis=-1)) ** 2
        between = np.sqrt(power[..., 1:10:2] * power[..., 3:12:2])
        score += np.log((power[..., 2:11:2].sum(-1) + 0.02) / (between.sum(-1) + 0.02))
    return cv2.medianBlur((score > 2.0).astype(np.uint8), 3) > 0


def _refined(blocks: Blocks, mm_from_image: np.ndarray, seen_xy: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Correct the homography by the phase of the grid, which drifts slowly where a line family is not quite straight. A
    block's phase against a wave of `frequency` (2,) per mm is its displacement, up to whole cycles; so a polynomial is
    fitted to the differences between neighbours, and the homography to the blocks moved."""
    if min(blocks.strength.shape) < 3:
        return mm_from_image
    x, y = (np.moveaxis(blocks.mm, -1, 0) - blocks.mm.mean((0, 1))[:, None, None]) / np.ptp(blocks.mm[..., 0])
    terms = np.stack([x, y, x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3], axis=-1)
    moved = np.zeros_like(blocks.mm)
    for axis, wave in enumerate(_block_waves(blocks, frequency)):
        moved[..., axis] = terms @ _fit_differences(terms, wave) / frequency[axis]
    away, _ = cKDTree(seen_xy).query(blocks.xy, p=np.inf)
    seen = away < np.ptp(blocks.xy[..., 0]) / blocks.xy.shape[1]
    # tiles place a 1 mm wave to 6 mm over a page, and a 5 mm wave, of which they hold few cycles, less well
    if np.abs(moved).max() > max(6, 4 / frequency.min()) or seen.sum() < 8:
        return mm_from_image  # further off: the phase was lost
    refined, _ = cv2.findHomography(blocks.xy[seen], (blocks.mm + moved)[seen])
    return mm_from_image if refined is None else refined


def _fit_differences(terms: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Coefficients of `terms` (rows, cols, K) whose differences match the phase steps, in cycles, of `wave`."""
    steps = [wave[:, 1:] * wave[:, :-1].conj(), wave[1:] * wave[:-1].conj()]
    changes = [np.diff(terms, axis=1), np.diff(terms, axis=0)]
    value = np.concatenate([np.angle(s).ravel() for s in steps]) / (2 * np.pi)
    design = np.concatenate([c.reshape(-1, terms.shape[-1]) for c in changes])
    weight = np.concatenate([np.abs(s).ravel() for s in steps])
    weight = np.where(weight > 0.02, np.sqrt(weight), 0)
    ridge = 1e-3 * np.eye(terms.shape[-1])
    robust = weight
    for _ in range(4):
        a = design * robust[:, None]
        solution = np.linalg.solve(a.T @ a + ridge, a.T @ (value * robust))
        robust = weight / (1 + (np.abs(design @ solution - value) / 0.03) ** 2)
    return solution


def pitch_in_mm(contrast: np.ndarray, cycles_from_image: np.ndarray, seen_xy: np.ndarray) -> tuple[np.ndarray, float]:
    """How many mm one tracked cycle is on either axis, and how surely.

    What was tracked may be the 1 mm lines, the 5 mm lines or an overtone of either. The image is made square and each
    axis' line spectrum is read: the right answer explains its peaks as multiples of 1/5 per mm, leaves few of the first
    five empty, is equal on both axes and gives the seen part a plausible width.
    """
    px_per_cycle = local_px_per_unit(cycles_from_image, np.median(seen_xy, axis=0))
    # cycles per sample: no finer than the image, and so that overtones up to the fourth are visible where it shows them
    step = 1 / np.clip(px_per_cycle, 4, 8)
    low, high = (f(apply_homography(cycles_from_image, seen_xy), axis=0) for f in (np.min, np.max))
    size = np.clip((high - low) / step, 64, 1600).astype(int)
    px_per_sample = step * px_per_cycle
    image_from_sample = np.linalg.inv(cycles_from_image) @ affine(step, low)
    source = cv2.GaussianBlur(contrast, (0, 0), 0.4 * px_per_sample) if px_per_sample > 1.5 else contrast
    square = cv2.warpPerspective(source, image_from_sample, size.tolist(), flags=INVERSE)
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
    profiles = np.stack([band.mean(0) for band in np.array_split(square, 6, axis=0)]) * np.hanning(square.shape[1])
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
