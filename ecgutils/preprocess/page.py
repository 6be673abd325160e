"""Find the sheet of paper in a scene, or say that it fills the frame.

Most real photos are close-ups without a paper edge, and a false outline cuts traces away for good. So with a grid,
edges are looked for on the flattened plane, where paper edges are level or upright lines, only outside the part in
which the grid is seen, and side by side: a side without an edge is where the photo ends. Without a grid the sheet is
segmented by brightness and colour, and believed only when it is a convex quadrilateral with a real step around it.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ecgutils.geometry import affine, apply_homography, frame_corners, order_corners, thumbnail
from ecgutils.preprocess.grid import Grid
from ecgutils.preprocess.phase import INVERSE

SMALL = 480  # px of the longer side for segmentation
MIN_AREA = 0.12  # of the frame: smaller papers have too few pixels to be read
SMALL_AREA = 0.015  # of the frame: from so large a sheet on, it is worth a closer look
MIN_STEP = 9.0  # difference across an edge, in 8-bit Lab units; light on one paper changes less over a centimetre


@dataclass(frozen=True)
class Page:
    """`quad_xy` float64 (4, 2): corners TL, TR, BR, BL as seen, in px, may lie outside the image;
    `edges` (4,) bool: whether the top, right, bottom, left side is a paper edge (else the frame ends there);
    `light` (4,) bool: whether it is lighter beyond, as where the grid ends and the sheet goes on."""

    quad_xy: np.ndarray
    edges: np.ndarray
    light: np.ndarray


def find_page(rgb: np.ndarray, grid: Grid | None) -> Page | None:
    """Find the paper in a uint8 (H, W, 3) image; None when no edge is believed: the visible area is the page."""
    page = _segment(rgb) if grid is None else _edges_around_grid(rgb, grid)
    seen = page is not None and page.edges.any()
    return replace(page, quad_xy=_refined(rgb, page.quad_xy, page.edges)) if seen else None


def part_to_look_at(rgb: np.ndarray, grid: Grid | None) -> np.ndarray | None:
    """Corners (4, 2), TL, TR, BR, BL as seen, some way around a page that is small in an image or shows no grid. None
    when no page is seen, or its grid fills the image. Only a place to look closer at: it may be wrong."""
    if grid is None:
        if (page := _segment(rgb, whole=False)) is None:
            return None
        around = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
        image_from_page = cv2.getPerspectiveTransform(around, page.quad_xy.astype(np.float32))
        return apply_homography(image_from_page, np.where(around > 0, 1.06, -0.06))
    frame = np.array(rgb.shape[1::-1]) - 1
    low, high = np.percentile(grid.support_xy[grid.support], [2, 98], axis=0)
    margin = 0.15 * (high - low).max()
    (x0, y0), (x1, y1) = np.maximum(low - margin, 0), np.minimum(high + margin, frame)
    if max(x1 - x0, y1 - y0) > 0.7 * frame.max():
        return None
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def visible_box(shape: tuple[int, int], mm_from_image: np.ndarray, grid: Grid) -> np.ndarray:
    """x0, y0, x1, y1 in mm of what an image of `shape` shows of the plane, at most 80 mm beyond the seen grid."""
    shown_xy = frame_corners(shape[::-1]), grid.support_xy[grid.support]
    frame, seen = (apply_homography(mm_from_image, xy) for xy in shown_xy)
    return np.concatenate([np.maximum(frame.min(0), seen.min(0) - 80), np.minimum(frame.max(0), seen.max(0) + 80)])


def _edges_around_grid(rgb: np.ndarray, grid: Grid) -> Page:
    step = 0.75  # mm per sample
    mm_from_image = grid.flattening.mm_from_image
    box = visible_box(rgb.shape[:2], mm_from_image, grid)
    size = np.maximum(16, (box[2:] - box[:2]) / step).astype(int)
    image_from_sample = np.linalg.inv(mm_from_image) @ affine(step, box)
    soft = cv2.blur(rgb, (max(1, round(step * grid.px_per_mm)),) * 2)
    plane = cv2.warpPerspective(soft, image_from_sample, size.tolist(), flags=INVERSE, borderMode=cv2.BORDER_REPLICATE)
    all_seen = np.full(rgb.shape[:2], 255, np.uint8)
    shown = cv2.warpPerspective(all_seen, image_from_sample, size.tolist(), flags=INVERSE) > 250
    # traces and letters run along the paper's edges and must not count as steps: close dark lines up to 5 mm
    plane = cv2.morphologyEx(plane, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    lab = cv2.cvtColor(plane, cv2.COLOR_RGB2LAB).astype(np.float32)
    all_blocks = (apply_homography(mm_from_image, grid.support_xy) - box[:2]) / step
    low, high = _extent(all_blocks[grid.support], 10 / step)

    limits, edges, light = [0.0, 0.0, size[0] - 1.0, size[1] - 1.0], [False] * 4, [False] * 4
    for axis in (0, 1):  # 0: left and right sides, 1: top and bottom
        layers = (lab, shown) if axis == 0 else (lab.transpose(1, 0, 2), shown.T)
        across = slice(max(0, int(low[1 - axis])), int(high[1 - axis]) + 1)
        strength = _step_profile(layers[0][across], layers[1][across], round(5 / step))
        inner = round(14 / step)  # a block is 10 mm wide, and one beyond the paper may seem to have a grid
        last = max(0, int(high[axis]) - inner)
        for side, (start, stop) in enumerate(((0, int(low[axis]) + inner), (last, len(strength)))):
            part = strength[start:stop]
            if len(part) == 0 or part.max() <= MIN_STEP:
                continue
            at = start + int(part.argmax()) - 0.5
            beyond = (all_blocks[:, axis] - at) * (2 * side - 1) > 9 / step
            if not beyond.any() or grid.support[beyond].mean() < 0.5:  # no paper edge where the grid goes on
                limits[axis + 2 * side], edges[axis + 2 * side] = at, True
                stripe = layers[0][across, max(0, round(at) - inner) : round(at) + inner, 0].mean(0)
                halves = stripe[:inner].mean(), stripe[-inner:].mean()
                light[axis + 2 * side] = bool(halves[1 - side] < halves[side])
    quad = apply_homography(image_from_sample, np.array(limits)[[[0, 1], [2, 1], [2, 3], [0, 3]]])
    return Page(quad, np.roll(edges, -1), np.roll(light, -1))  # from left, top, right, bottom


def _extent(seen: np.ndarray, block: float) -> tuple[np.ndarray, np.ndarray]:
    """How far blocks reach in x and y: the median over rows (columns) of their first and last; false ones are few."""
    reach = []
    for along, row in zip(seen.T, np.rint(seen.T[::-1] / block), strict=True):
        lines = [along[row == r] for r in np.unique(row)]
        reach.append(np.median([(line.min(), line.max()) for line in lines], axis=0))
    return tuple(np.transpose(reach))


def _step_profile(lab: np.ndarray, shown: np.ndarray, width: int) -> np.ndarray:
    """How clearly the colour changes at each column x, between the `width` samples before it and those from it on. In a
    `width` of a grid box the grid cancels. Of eight bands the weaker count: unlike shadows, an edge crosses all."""
    height, length = shown.shape
    if height < 8:
        return np.zeros(length)
    starts = np.linspace(0, height, 9).astype(int)[:-1]
    weight = shown.astype(np.float32)[..., None]
    total, count = (
        np.pad(np.add.reduceat(values, starts, axis=0).cumsum(1, dtype=float), ((0, 0), (1, 0), (0, 0)))
        for values in (lab * weight, weight)
    )
    x = np.arange(length)
    first, last = np.maximum(x - width, 0), np.minimum(x + width, length)
    left, right = count[:, x] - count[:, first], count[:, last] - count[:, x]
    before = (total[:, x] - total[:, first]) / np.maximum(left, 1)
    after = (total[:, last] - total[:, x]) / np.maximum(right, 1)
    enough = 0.5 * width * height / 8  # half a box must be seen on either side
    steps = np.where(np.minimum(left, right) > enough, after - before, np.nan)  # (bands, x, 3)
    usable = np.isfinite(steps[..., 0]).sum(0)
    mean = np.nansum(steps, axis=0) / np.maximum(usable, 1)[:, None]
    direction = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-6)
    along = np.where(np.isfinite(steps[..., 0]), (np.nan_to_num(steps) * direction).sum(-1), np.inf)
    weakest_but_two = np.sort(along, axis=0)[2]
    return np.where((usable >= 4) & np.isfinite(weakest_but_two), weakest_but_two, 0.0)


def _segment(rgb: np.ndarray, whole: bool = True) -> Page | None:
    """The best quadrilateral among masks by brightness, by colour distance to the middle and by saturation: one that
    fills the middle of the image; with `whole` off the largest one anywhere, however small."""
    small, scale = thumbnail(rgb, SMALL)
    lab = cv2.cvtColor(cv2.medianBlur(cv2.dilate(small, np.ones((3, 3), np.uint8)), 7), cv2.COLOR_RGB2LAB)
    height, width = lab.shape[:2]
    middle = np.zeros((height, width), bool)
    middle[height // 3 : 2 * height // 3 + 1, width // 3 : 2 * width // 3 + 1] = True
    difference = lab.astype(np.float32) - np.median(lab[middle].astype(np.float32), axis=0)
    chroma = np.hypot(difference[..., 1], difference[..., 2])
    distance = np.hypot(0.7 * difference[..., 0], 1.4 * chroma)
    best, best_score, disc = None, 0.0, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    for layer in (lab[..., 0], 255 - np.clip(distance * 2, 0, 255), 255 - np.clip(chroma * 5, 0, 255)):
        _, binary = cv2.threshold(layer.astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        binary = cv2.morphologyEx(binary, cv2.MORPH_CLOSE, disc)  # a square would cut the corners of a turned page
        binary = cv2.morphologyEx(binary, cv2.MORPH_OPEN, disc)
        count, labels = cv2.connectedComponents(binary)
        votes = np.bincount(labels[middle] if whole else labels.ravel(), minlength=count)[1:]
        if count < 2 or votes.max() == 0:
            continue
        quad, score = _judge(labels == 1 + votes.argmax(), lab, middle if whole else None)
        if score > best_score:
            best, best_score = quad, score
    return None if best is None else Page((best + 0.5) / scale - 0.5, np.ones(4, bool), np.zeros(4, bool))


def _judge(mask: np.ndarray, lab: np.ndarray, middle: np.ndarray | None) -> tuple[np.ndarray | None, float]:
    """Corners of a mask and a score; (None, 0) when it does not look like a sheet."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    hull = cv2.convexHull(contour)
    area = cv2.contourArea(hull)
    quad = _quad(hull)
    least = (SMALL_AREA if middle is None else MIN_AREA) * mask.size
    if quad is None or area < least or cv2.contourArea(contour) < 0.85 * area:
        return None, 0.0
    if middle is None:  # nothing refines these corners later
        quad = _along_sides(quad, contour[:, 0].astype(np.float32))
    drawn, filled = np.zeros(mask.shape, np.uint8), np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.rint(quad).astype(np.int32), 1)
    cv2.fillConvexPoly(filled, hull, 1)
    overlap = (drawn & filled).sum() / max((drawn | filled).sum(), 1)
    inside = filled - cv2.erode(filled, np.ones((9, 9), np.uint8))
    outside = cv2.dilate(filled, np.ones((11, 11), np.uint8)) - cv2.dilate(filled, np.ones((3, 3), np.uint8))
    central = middle is None or filled[middle].mean() > 0.8
    if overlap < 0.94 or not central or filled.mean() > 0.985 or outside.sum() < 20:
        return None, 0.0
    step = np.linalg.norm(np.median(lab[inside > 0], axis=0) - np.median(lab[outside > 0], axis=0))
    return (quad, float(overlap * min(1.0, step / 40))) if step > 1.5 * MIN_STEP else (None, 0.0)


def _quad(hull: np.ndarray) -> np.ndarray | None:
    """The hull simplified to four corners, TL, TR, BR, BL as seen; None when it has another number."""
    length = cv2.arcLength(hull, True)
    for share in (0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08):
        if len(corners := cv2.approxPolyDP(hull, share * length, True)[:, 0].astype(float)) <= 4:
            return order_corners(corners) if len(corners) == 4 else None
    return None


def _along_sides(quad: np.ndarray, contour_xy: np.ndarray) -> np.ndarray:
    """Corners where lines along the sides meet: a mask's own corners are rounded, the more the sharper they are."""
    lines = []
    for start, end in zip(quad, np.roll(quad, -1, axis=0), strict=True):
        length = max(np.linalg.norm(end - start), 1e-6)
        along = (end - start) / length
        share, off = (contour_xy - start) @ along / length, (contour_xy - start) @ [-along[1], along[0]]
        if len(near := contour_xy[(share > 0.15) & (share < 0.85) & (np.abs(off) < 0.03 * length)]) > 10:
            fit = cv2.fitLine(near, cv2.DIST_HUBER, 0, 0.01, 0.01).ravel().astype(float)
            start, along = fit[2:], fit[:2]
        lines.append((start, along))
    return _where_sides_meet(lines, quad, 0.1 * np.linalg.norm(quad[0] - quad[2]))


def _where_sides_meet(lines: list[tuple[np.ndarray, np.ndarray]], quad_xy: np.ndarray, limit: float) -> np.ndarray:
    """Corners (4, 2) of sides (point, direction), from the first; those of `quad_xy` where they would move further."""
    met = quad_xy.astype(float).copy()
    for i in range(4):
        (p, d), (q, e) = lines[i - 1], lines[i]
        if abs(np.linalg.det(system := np.column_stack([d, -e]))) > 0.05:
            corner = p + np.linalg.solve(system, q - p)[0] * d
            if np.linalg.norm(corner - quad_xy[i]) < limit:
                met[i] = corner
    return met


def _refined(rgb: np.ndarray, quad_xy: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Move the chosen `sides` (top, right, bottom, left) onto the strongest edge nearby; intersect the sides again."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 1.0)
    limit = np.array(rgb.shape[1::-1]) - 4
    reach = max(4, round(0.008 * np.hypot(*rgb.shape[:2])))
    offsets = np.arange(-reach, reach + 1)
    lines = []
    for side, start, end in zip(sides, quad_xy, np.roll(quad_xy, -1, axis=0), strict=True):
        along = (end - start) / max(np.linalg.norm(end - start), 1e-6)
        lines.append((start, along))
        base = start + np.linspace(0.03, 0.97, 80)[:, None] * (end - start)
        base = base[((base > 3) & (base < limit)).all(1)]
        if not side or len(base) < 25:
            continue
        normal = np.array([along[1], -along[0]])
        samples = (base[:, None] + offsets[None, :, None] * normal).astype(np.float32)
        profile = cv2.remap(soft, samples, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(float)
        change = np.linalg.norm(profile[:, 3:] - profile[:, :-3], axis=2)
        if not change.any():  # one colour all along: no edge to move to
            continue
        position = change.argmax(1) + 1.5 - reach
        points = (base + position[:, None] * normal)[change.max(1) > 0.5 * np.median(change.max(1))]
        fit = cv2.fitLine(points.astype(np.float32), cv2.DIST_WELSCH, 0, 0.01, 0.01).ravel().astype(float)
        if abs(fit[:2] @ along) > 0.997:
            lines[-1] = (fit[2:], fit[:2])
    return _where_sides_meet(lines, quad_xy, 3 * reach)
