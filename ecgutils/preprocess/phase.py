"""The phase of the grid, block by block: it tells where every part of the paper is to a fraction of a millimetre.

First it corrects the homography; what it says beyond that is bent paper, which `measure_bend` turns into a smooth map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import sparse
from scipy.ndimage import map_coordinates
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

STIFF = 0.1  # weight of the bending's own smoothness against that of one difference
LEAST_GAIN = 1.02  # in straightness of the grid, for which bending is corrected
STEP, BLOCK = 0.25, 40  # mm per sample, samples per block of the squared image


def transform(homography: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
    """Apply a (3, 3) homography to (N, 2) points; float64 (N, 2)."""
    mapped = np.column_stack([points_xy, np.ones(len(points_xy))]) @ homography.T
    return mapped[:, :2] / mapped[:, 2:]


def local_px_per_unit(unit_from_image: np.ndarray, point_xy: np.ndarray) -> float:
    """Image pixels per unit of the mapped plane near `point_xy`: square root of the ratio of areas."""
    corners = transform(unit_from_image, point_xy + np.array([[0, 0], [1, 0], [0, 1]]))
    (ax, ay), (bx, by) = corners[1] - corners[0], corners[2] - corners[0]
    return float(1 / np.sqrt(max(abs(ax * by - ay * bx), 1e-12)))


def square_blocks(
    contrast: np.ndarray, mm_from_image: np.ndarray, seen_xy: np.ndarray, margin_mm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The image around `seen_xy`, within `margin_mm`, with square millimetres, cut into 10 mm blocks.

    Returns the samples (rows * BLOCK, cols * BLOCK), block centres in mm (rows, cols, 2) and in image px.
    """
    height, width = contrast.shape
    frame = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    seen_mm, frame_mm = transform(mm_from_image, seen_xy), transform(mm_from_image, frame)
    low = np.maximum(frame_mm.min(0), seen_mm.min(0) - margin_mm)
    high = np.minimum(frame_mm.max(0), seen_mm.max(0) + margin_mm)
    cols, rows = (int(n) for n in np.clip(np.ceil((high - low) / (STEP * BLOCK) - 0.3), 1, 60))  # 3 mm may be lost
    image_from_sample = np.linalg.inv(mm_from_image) @ np.array([[STEP, 0, low[0]], [0, STEP, low[1]], [0, 0, 1]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    square = cv2.warpPerspective(contrast, image_from_sample, (cols * BLOCK, rows * BLOCK), flags=flags)
    x, y = (low[i] + (np.arange(n) + 0.5) * BLOCK * STEP for i, n in ((0, cols), (1, rows)))
    centres = np.stack(np.meshgrid(x, y), axis=-1)
    centres_px = transform(np.linalg.inv(mm_from_image), centres.reshape(-1, 2)).reshape(centres.shape)
    return square, centres, centres_px


def profiles(square: np.ndarray, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of each block down its columns and along its rows: two arrays (rows, cols, BLOCK)."""
    down = cv2.resize(square, (cols * BLOCK, rows), interpolation=cv2.INTER_AREA).reshape(rows, cols, BLOCK)
    along = cv2.resize(square, (cols, rows * BLOCK), interpolation=cv2.INTER_AREA).reshape(rows, BLOCK, cols)
    return down, along.transpose(0, 2, 1)


@dataclass(frozen=True)
class Flattening:
    """Flat page <-> image: a homography, and for bent paper how far each point of its plane really is from there.

    mm_from_image : float64 (3, 3).
    shift_mm : float64 (2, rows, cols), x and y, at nodes 10 mm apart of which the first is at `origin_mm` (2,) of the
        homography's plane; None for flat paper.
    """

    mm_from_image: np.ndarray
    shift_mm: np.ndarray | None = None
    origin_mm: np.ndarray | None = None

    def to_mm(self, image_xy: np.ndarray) -> np.ndarray:
        """Image px (N, 2) -> mm on the flat page (N, 2)."""
        at = transform(self.mm_from_image, image_xy)
        return at if self.shift_mm is None else at + self._shift(at)

    def to_image(self, mm: np.ndarray) -> np.ndarray:
        """Inverse of `to_mm`."""
        at = mm
        if self.shift_mm is not None:
            for _ in range(3):  # neighbouring nodes differ by less than 2 mm in 10
                at = mm - self._shift(at)
        return transform(np.linalg.inv(self.mm_from_image), at)

    def _shift(self, at: np.ndarray) -> np.ndarray:
        node = ((at - self.origin_mm) / (STEP * BLOCK)).T[::-1]
        return np.stack([map_coordinates(shift, node, order=1, mode="nearest") for shift in self.shift_mm], axis=-1)


def measure_bend(
    contrast: np.ndarray, mm_from_image: np.ndarray, seen_xy: np.ndarray, frequency: np.ndarray
) -> Flattening:
    """What the homography leaves: bent or creased paper, when correcting it makes the grid's lines straighter.

    Neighbouring blocks differ by less than half a cycle, so the differences add up to the bending, whole cycles too;
    what then remains is smoothed over neighbouring blocks.
    """
    square, centres, _ = square_blocks(contrast, mm_from_image, seen_xy, 10.0)
    rows, cols = centres.shape[:2]
    if rows < 4 or cols < 4:
        return Flattening(mm_from_image)
    waves = _block_waves(square, centres, frequency)
    shift, before, after = [], 0.0, 0.0
    for axis, wave in enumerate(waves):
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
    return Flattening(mm_from_image, field, centres[0, 0])


def _sum_differences(wave: np.ndarray) -> np.ndarray:
    """Cycles (rows, cols), smooth, whose differences match the phase steps of `wave`: weighted least squares."""
    design, curvature = _operators(*wave.shape)
    steps = [wave[:, 1:] * wave[:, :-1].conj(), wave[1:] * wave[:-1].conj()]
    value = np.concatenate([np.angle(step).ravel() for step in steps]) / (2 * np.pi)
    weight = np.concatenate([np.abs(step).ravel() for step in steps])
    weight = np.where(weight > 0.02, weight, 0)
    smooth = STIFF * weight.mean() * curvature + 1e-6 * sparse.eye_array(wave.size)
    robust = weight
    for _ in range(2):
        cycles = spsolve((design.T @ sparse.diags_array(robust) @ design + smooth).tocsc(), design.T @ (robust * value))
        robust = weight / (1 + ((design @ cycles - value) / 0.05) ** 2)
    return cycles.reshape(wave.shape)


@lru_cache(maxsize=8)
def _operators(rows: int, cols: int) -> tuple[sparse.sparray, sparse.sparray]:
    """Differences of neighbours on a grid, and the quadratic form of its second differences."""
    along, down = (sparse.csr_array(np.diff(np.eye(n), axis=0)) for n in (cols, rows))
    along2, down2 = (sparse.csr_array(np.diff(np.eye(n), 2, axis=0)) for n in (cols, rows))
    each_row, each_col = sparse.eye_array(rows), sparse.eye_array(cols)
    first = [sparse.kron(each_row, along), sparse.kron(down, each_col)]
    second = [sparse.kron(each_row, along2), sparse.kron(down2, each_col), sparse.kron(down, along)]
    bending = sparse.vstack(second, format="csc")
    return sparse.vstack(first, format="csc"), bending.T @ bending


def _agreement(wave: np.ndarray, window: np.ndarray) -> float:
    return float(np.hypot(*(cv2.filter2D(part, -1, window) for part in (wave.real, wave.imag))).sum())


def _block_waves(square: np.ndarray, centres: np.ndarray, frequency: np.ndarray) -> list[np.ndarray]:
    """Complex amplitude (rows, cols) of each line family in each block, against an ideal wave; about 0..1 in size."""
    rows, cols = centres.shape[:2]
    strength = cv2.resize(np.abs(square), (cols, rows), interpolation=cv2.INTER_AREA) + 0.05
    offsets = (np.arange(BLOCK) - (BLOCK - 1) / 2) * STEP
    waves = []
    for axis, profile in enumerate(profiles(square, rows, cols)):
        angle = -2j * np.pi * frequency[axis] * (centres[..., axis, None] + offsets)
        waves.append((profile * np.exp(angle)).mean(-1) / strength)
    return waves


def _terms(centres: np.ndarray) -> np.ndarray:
    """Cubic polynomial terms (rows, cols, 9) at block centres, without the constant."""
    x, y = (np.moveaxis(centres, -1, 0) - centres.mean((0, 1))[:, None, None]) / np.ptp(centres[..., 0])
    return np.stack([x, y, x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3], axis=-1)


def refine_by_phase(
    contrast: np.ndarray, mm_from_image: np.ndarray, seen_xy: np.ndarray, frequency: np.ndarray
) -> np.ndarray:
    """Correct the homography by the phase of the grid, which drifts slowly where a line family is not quite straight.

    Each block's phase against an ideal wave of `frequency` (2,) per mm is its displacement, up to whole cycles; so a
    smooth polynomial is fitted to the differences between neighbouring blocks, and the homography to the blocks moved.
    """
    square, centres, centres_px = square_blocks(contrast, mm_from_image, seen_xy, 10.0)
    rows, cols = centres.shape[:2]
    if rows < 3 or cols < 3:
        return mm_from_image
    terms = _terms(centres)
    moved = np.zeros_like(centres)
    for axis, wave in enumerate(_block_waves(square, centres, frequency)):
        moved[..., axis] = terms @ _fit_differences(terms, wave) / frequency[axis]
    away, _ = cKDTree(seen_xy).query(centres_px.reshape(-1, 2), p=np.inf)
    seen = away < np.ptp(centres_px[..., 0]) / cols
    # tiles place a 1 mm wave to 6 mm over a page, and a 5 mm wave, of which they hold few cycles, less well
    if np.abs(moved).max() > max(6, 4 / frequency.min()) or seen.sum() < 8:
        return mm_from_image  # further off: the phase was lost
    refined, _ = cv2.findHomography(centres_px.reshape(-1, 2)[seen], (centres + moved).reshape(-1, 2)[seen])
    return mm_from_image if refined is None else refined


def _fit_differences(terms: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Coefficients of `terms` (rows, cols, K) whose differences match the phase steps, in cycles, of `wave`."""
    steps = [wave[:, 1:] * wave[:, :-1].conj(), wave[1:] * wave[:-1].conj()]
    changes = [terms[:, 1:] - terms[:, :-1], terms[1:] - terms[:-1]]
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
