"""Printed names of leads, and the known layouts fitted to them."""

from dataclasses import dataclass
from functools import cache
from itertools import permutations

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from ecgutils.findings import LEADS

_CABRERA = ("aVL", "I", "aVR", "II", "aVF", "III", *LEADS[6:])
# (rows, columns, prior log odds, index of the lead (columns, rows)) of each family of layouts
_FAMILIES = [
    (rows, 12 // rows, prior, index[:, ::turn])
    for rows in (3, 6, 12)
    for order, prior in ((LEADS, 0.0), (_CABRERA, -2.0))
    for index in [np.array([LEADS.index(lead) for lead in order]).reshape(-1, rows)]
    for turn, prior in ((1, prior), (-1, prior - 4.0))
]
_STRIPS = ((), (1,), (6, 1), (6, 1, 10))  # usual rhythm strips: II; V1, II; V1, II, V5
_USUAL, _OTHER = -1.8, -3.5  # log prior of a rhythm strip of another one of II, V1, V5, and of another lead
_PRIORS = [np.full((len(usual), 12), _OTHER) for usual in _STRIPS]
for _prior, _usual in zip(_PRIORS, _STRIPS, strict=True):
    _prior[:, _STRIPS[3]] = _USUAL
    _prior[range(len(_usual)), _usual] = 0
_STROKE = 0.4  # of the log odds of an I
_MISSED, _STRAY = -0.7, -1.2  # log odds of a name that is not found, of a word where none is expected
_BELOW = -1.1  # log prior of names below their rows: what tells where a cut page has them half way between rows


@dataclass(frozen=True)
class Words:
    """Printed names: left end and middle in mm, float (n,), and log odds against chance of each lead, (n, 12)."""

    x: np.ndarray
    y: np.ndarray
    odds: np.ndarray


@dataclass(frozen=True)
class Fit:
    """A layout laid on rows and columns: cells (row, column, lead, whether it spans all), odds of `_match`."""

    score: float
    columns: np.ndarray
    cells: list[tuple[int, int, int, bool]]
    layout: str
    odds: np.ndarray


def find_words(marks: np.ndarray) -> Words:
    """Connected printed names; each has one place and the share of each class."""
    names = np.ascontiguousarray(marks[:12])
    peak = np.minimum(names.max(0), 255).astype(np.uint8)
    seen = cv2.threshold(peak, 50, 1, cv2.THRESH_BINARY)[1]
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate(seen, np.ones((1, 3), np.uint8)))
    y, x = np.nonzero(seen)
    word = labels[y, x]
    sums = np.stack([np.bincount(word, plane[y, x], count) for plane in names.astype(np.float32) / 255], -1)
    total = np.maximum(sums.sum(1), 1e-6)
    sure = np.bincount(word, peak[y, x], count) / 255 / np.maximum(np.bincount(word, minlength=count), 1)
    keep = (np.arange(count) > 0) & (total > 1.0)
    sure = np.minimum(1, 1.3 * sure[keep, None]) * 0.9
    odds = np.log(12 * (sure * sums[keep] / total[keep, None] + (1 - sure) / 12))
    odds[odds.argmax(1) == 0] *= _STROKE  # any upright stroke may look like an I
    return Words(boxes[keep, 0] + 1.0, boxes[keep, 1] + boxes[keep, 3] / 2, odds)


def split_pages(words: Words, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Regions x0, y0, x1, y1 of separate pages: nearly every name is there twice, on either side of a line."""
    best = np.where(words.odds.max(1) > 1, words.odds.argmax(1), -1)
    pairs = [at for k in range(12) if len(at := np.flatnonzero(best == k)) == 2]
    place = np.stack([words.x, words.y], -1)
    for axis, size in enumerate((width, height) if len(pairs) > 3 else ()):
        ends = np.stack([at[np.argsort(place[at, axis])] for at in pairs])
        shift = place[ends[:, 1]] - place[ends[:, 0]]
        same = (np.abs(shift - np.median(shift, 0)) < 12).all(1)  # rhythm strips' and wrong names' differ
        near, far = place[ends[same], axis].T
        if same.sum() > 3 and same.mean() > 0.6 and near.max() < far.min():
            cut = round(float(near.max() + far.min()) / 2) if axis else round(float(far.min())) - 3
            return (
                [(0, 0, width, cut), (0, cut, width, size)] if axis else [(0, 0, cut, height), (cut, 0, size, height)]
            )
    return [(0, 0, width, height)]


def fit_layout(words: Words, rows: np.ndarray, left: float, right: float) -> Fit:
    """The likeliest layout of rows at y `rows` that reach from x `left` to `right`, all in mm."""
    sets = _column_sets(words, left, right)
    fits = [_fit(words, rows, at, above) for above in _offsets(words, rows) for at in sets]
    return max(fits, key=lambda fit: fit.score)


def _offsets(words: Words, rows: np.ndarray) -> list[int]:
    """mm from rows to their names: the two likeliest, for names may stand half way between two rows."""
    tries = np.arange(-16, 13)
    dy = words.y[:, None, None] - rows[:, None] - tries
    votes = (np.clip(words.odds.max(1), 0, 2)[:, None, None] * np.exp(-0.5 * (dy / 1.5) ** 2)).sum((0, 1))
    votes *= 1 - 0.04 * np.abs(tries)
    first = int(votes.argmax())
    votes[max(0, first - 4) : first + 5] = 0
    return [int(tries[first]), int(tries[votes.argmax()])]


def _column_sets(words: Words, left: float, right: float) -> list[np.ndarray]:
    """x in mm where columns may start: equal parts of the extent, and where names stand above each other."""
    sets = [left + (right - left) / n * np.arange(n) for n in (1, 2, 4)]
    x = np.sort(words.x[words.odds.max(1) > 1])
    groups = [g for g in np.split(x, np.flatnonzero(np.diff(x) > 6) + 1) if len(g) > 1]
    if len(groups) > 1:
        at = np.array([np.median(g) for g in groups])
        step = np.diff(at).min()
        number = np.round((at - at[0]) / step)
        if step > 25 and np.abs(at - at[0] - step * number).max() < 6:
            step, start = np.polyfit(number, at, 1)
            start -= step * np.floor((start - left) / step + 0.5)  # half a column may be cut off
            count = int(np.floor((right - start) / step + 0.4))
            offset = min(8.0, max(-3.0, start - left)) if abs(start - left) < 10 else 1.0
            sets.append(start - offset + step * np.arange(max(1, count)))
    return sets


def _match(words: Words, rows: np.ndarray, columns: np.ndarray, y_off: int) -> tuple[np.ndarray, float]:
    """Log odds (rows, columns, 13) of each lead's name standing in a cell, last: of no name belonging there; and those
    of the words beside all cells, and of the names' place."""
    odds = np.zeros((len(rows), len(columns), 13))
    odds[..., :12] = _MISSED
    dx = words.x[:, None] - columns
    column = np.abs(dx - 1).argmin(1)
    dx = dx[np.arange(len(column)), column]
    near = np.abs(dx) < 10
    x_off = float(np.median(dx[near])) if near.any() else 1.0
    dy = words.y[:, None] - rows
    sure = np.clip(words.odds.max(1), 0, 2.0) / 2
    row = np.abs(dy - y_off).argmin(1)
    dy = dy[np.arange(len(row)), row]
    ok = (np.abs(dx - x_off) < 8) & (np.abs(dy - y_off) < 6)
    far = -0.5 * ((dx - x_off) / 4) ** 2 - 0.5 * ((dy - y_off) / 3) ** 2
    for r in np.unique(row[ok]):
        for c in np.unique(column[ok & (row == r)]):
            here = np.flatnonzero(ok & (row == r) & (column == c))
            stray = _STRAY * sure[here]
            gain = words.odds[here] + far[here, None] - stray[:, None]
            odds[r, c, :12] = np.maximum(gain.max(0) + stray.sum(), _MISSED + stray.sum())
            odds[r, c, 12] = stray.sum()
    return odds, (_STRAY * sure[~ok]).sum() + _BELOW * (y_off > 2)


@cache
def _orders(total: int, seen: int) -> tuple[np.ndarray, np.ndarray]:
    """Ways to place `seen` of `total` columns, and their log odds: cut pages and shuffled columns are rare."""
    orders = np.array(list(permutations(range(total), seen)))
    prior = -3.0 * (np.diff(orders, axis=1) != 1).any(1) - 3.0 * (total - seen)
    return orders, prior - (2.0 * (orders[:, 0] != 0) if seen < total else 0)


def _fit(words: Words, rows: np.ndarray, columns: np.ndarray, y_off: int) -> Fit:
    """The best of the known layouts on these rows and columns, of strips alone, and of the order as it is read."""
    odds, beside = _match(words, rows, columns, y_off)
    n, count = odds.shape[:2]
    strip = odds[:, 0, :12] + odds[:, 1:, 12].sum(1)[:, None]
    best = Fit(-np.inf, columns, [], "", odds)
    for n_rows, n_columns, prior, index in _FAMILIES:
        for first in range(1 - n_rows, n) if count <= n_columns else ():
            seen = np.arange(max(first, 0), min(first + n_rows, n))
            strips = np.arange(seen[-1] + 1, n)
            if len(strips) > (3 if n_rows < 12 else 0):
                continue
            each = odds[seen[:, None, None], np.arange(count)[:, None], index[:, seen - first].T[:, None, :]].sum(0)
            orders, gain = _orders(n_columns, count)
            gain = each[np.arange(count), orders].sum(1) + gain
            kept = strip[strips] + _PRIORS[len(strips)]
            score = prior + gain.max() + kept.max(1).sum() - min(6.0, 2.0 * (n_rows - len(seen)))
            score += odds[: seen[0], :, 12].sum() - 2.5 * seen[0] + beside
            if score > best.score:
                order = orders[np.argmax(gain)]
                cells = [(int(r), c, int(index[order[c], r - first]), False) for c in range(count) for r in seen]
                cells += [(int(r), 0, int(k), True) for r, k in zip(strips, kept.argmax(1), strict=True)]
                plus = f"+{len(strips)}" if len(strips) else ""
                best = Fit(float(score), columns, cells, f"{len(seen)}x{count}{plus}", odds)
    score = strip.max(1).sum() - 1.5 * n + beside
    if count == 1 and score > best.score:
        best = Fit(float(score), columns, _strips(strip), f"{n}x1", odds)
    flat = odds[..., :12].reshape(-1, 12)
    cell, lead = linear_sum_assignment(-flat)
    read = flat[cell, lead] > 0
    score = flat[cell[read], lead[read]].sum() - 8.0 + _MISSED * (n * count - read.sum()) + beside
    if read.any() and score > best.score:
        cells = [(int(c) // count, int(c) % count, int(k), False) for c, k in zip(cell[read], lead[read], strict=True)]
        best = Fit(float(score), columns, cells, f"{n}x{count}", odds)
    return best


def _strips(odds: np.ndarray) -> list[tuple[int, int, int, bool]]:
    """Cells of rows of one lead each, (n, 12) log odds; a row without a name goes on with the lead above."""
    read = np.where(odds.max(1) > 0.5, odds.argmax(1), -1)
    cells, lead = [], int(next((k for k in read if k >= 0), 1))
    for row, k in enumerate(read):
        lead = int(k) if k >= 0 else lead
        cells.append((row, 0, lead, True))
    return cells


def standard(rows: int, grid: int, columns: int, left: float, right: float) -> Fit:
    """The standard order on `rows` rows, the first `grid` of them in columns, the others rhythm strips."""
    at = left + (right - left) / columns * np.arange(columns)
    cells = [(r, c, c * grid + r, False) for c in range(columns) for r in range(grid)]
    cells += [(grid + i, 0, lead, True) for i, lead in enumerate(_STRIPS[rows - grid])]
    plus = f"+{rows - grid}" if rows > grid else ""
    return Fit(0.0, at, cells, f"{grid}x{columns}{plus}", np.zeros((rows, columns, 13)))


def strips_alone(odds: np.ndarray, left: float) -> Fit:
    """Rows of a single lead each, as read by `odds` of `_match`; II where no row has a name."""
    return Fit(0.0, np.array([left]), _strips(odds[:, 0, :12]), f"{len(odds)}x1", odds)
