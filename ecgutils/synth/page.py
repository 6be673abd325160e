"""Draw a flat ECG page into an array (grid, text, calibration, separators, traces), and scan it."""

from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from ecgutils.signals.record import Record
from ecgutils.synth.ink import ink, paleness, stroke
from ecgutils.synth.lettering import Word, pen_marks, print_text
from ecgutils.synth.rendered import Boxes, Projection, Rendered, Size, check_size
from ecgutils.synth.sources import DEFAULT_SCAN_SIZE, SCAN_SOURCES, SCANS
from ecgutils.synth.style import LAYOUTS, PageStyle, Plan, Strip, draw_style, plan_page


def render_page(record: Record, rng: Generator, style: PageStyle | None = None, px_per_mm: float = 4.0) -> Rendered:
    """Draw the flat page of a record.

    record : drawn from its first sample on, at most ten seconds; NaN leaves a gap.
    rng : draws the invented header text, the grid's phase, and the style when `style` is None.
    style : what to draw; None draws the page of a scan-like source.
    px_per_mm : 0.3 to 40 px per mm, else ValueError.
    """
    if style is None:
        style = draw_style(rng, SCAN_SOURCES[int(rng.integers(len(SCAN_SOURCES)))])
    layers, boxes, drawn = draw_layers(record, rng, style, px_per_mm)
    return split_layers(layers, layers.shape[1::-1], px_per_mm, Projection(np.eye(3)), boxes, drawn)


def render_scan(record: Record, rng: Generator, source: str | None = None, size: Size | None = None) -> Rendered:
    """Draw a record as one of SCAN_SOURCES (None: drawn at random), in `size` (W, H), default 1100 x 850 px. The page
    is drawn at its final scale and fills the image as far as its shape allows."""
    size = check_size(DEFAULT_SCAN_SIZE if size is None else size)
    source = SCAN_SOURCES[int(rng.integers(len(SCAN_SOURCES)))] if source is None else source
    if source not in SCANS:
        raise ValueError(f"Unknown scan source {source!r}; choose from {', '.join(SCANS)}.")
    how = SCANS[source]
    style = draw_style(rng, source, size[0] / size[1])
    ppm = min(size[0] / style.width_mm, size[1] / style.height_mm)
    layers, boxes, drawn = draw_layers(record, rng, style, ppm)
    page_size = layers.shape[1::-1]
    if how.wear:
        how.wear(layers, rng, ppm)

    lid = (70, 70, 72) if how.on_glass and rng.random() >= 0.7 else (255, 255, 255)
    skew = 0.0 if not how.on_glass else float(np.radians(np.clip(rng.normal(0, 0.7), -2.5, 2.5)))
    # the page in the middle (whole px), turned about its centre
    cx, cy, dx, dy = *((side - 1) / 2 for side in page_size), *((size[i] - page_size[i]) // 2 for i in (0, 1))
    c, s = np.cos(skew), np.sin(skew)
    homography = np.array([[c, -s, cx - c * cx + s * cy + dx], [s, c, cy - s * cx - c * cy + dy], [0, 0, 1]])
    layers = cv2.warpAffine(layers, homography[:2], size, flags=cv2.INTER_LINEAR, borderValue=(*lid, 0))
    scan = split_layers(layers, page_size, ppm, Projection(homography), boxes, drawn)
    image, more = how.scan(scan.image, rng) if how.scan else (scan.image, {})
    return replace(scan, image=image, style={**drawn, "skew_degrees": float(np.degrees(skew)), **more})


def draw_layers(record: Record, rng: Generator, style: PageStyle, ppm: float) -> tuple[np.ndarray, Boxes, dict]:
    """The page as uint8 (H, W, 4), RGB and trace coverage, the lead boxes, and `Rendered.style`."""
    if not 0.3 <= ppm <= 40:
        raise ValueError(f"render_page: px_per_mm must be between 0.3 and 40, got {ppm}.")
    size = (round(style.width_mm * ppm), round(style.height_mm * ppm))
    plan = plan_page(style, record.signal_mv.shape[1] / record.fs)
    phase = rng.uniform(0, 5, 2)
    layers = _paper(style, size, ppm, phase)

    mask = np.zeros(size[::-1], np.uint8)
    header, words = print_text(mask, style, plan, record, rng, ppm)
    words += _print_marks(mask, style, plan, ppm)
    ink(layers, mask, style.trace_rgb, opacity=0.9)

    mask, boxes = np.zeros(size[::-1], np.uint8), {}
    limb = [strip for strip in plan.strips if style.chest_rgb is None or strip.lead < 6]
    chest = [strip for strip in plan.strips if strip not in limb]
    for strips, rgb in ((limb, style.trace_rgb), (chest, style.chest_rgb)):
        if strips:
            part = np.zeros_like(mask)
            boxes |= {strip.name: _draw_strip(part, record, strip, style, ppm) for strip in strips}
            ink(layers, part, rgb, opacity=paleness(style.trace_mm * ppm))
            cv2.max(mask, part, dst=mask)
    cv2.insertChannel(mask, layers, 3)
    if style.notes:
        mask[:] = 0
        pen_marks(mask, rng, style, ppm)
        ink(layers, mask, style.pen_rgb, opacity=0.85)
    drawn = {"grid_phase_mm": [float(p) for p in phase], "header": header, "words": words, "rotation": 0}
    return layers, boxes, {**asdict(style), **drawn}


def split_layers(
    layers: np.ndarray, page_size: Size, ppm: float, projection: Projection, boxes: Boxes, style: dict[str, Any]
) -> Rendered:
    """Rendered from its layers, uint8 (H, W, 4) RGB and trace coverage."""
    image, mask = cv2.cvtColor(layers, cv2.COLOR_RGBA2RGB), cv2.extractChannel(layers, 3)
    return Rendered(image, float(ppm), page_size, projection, mask, boxes, style)


def _paper(style: PageStyle, size: Size, ppm: float, phase: np.ndarray) -> np.ndarray:
    """Paper with its grid, uint8 (H, W, 4), last channel 0; lines keep their true width by area coverage. Coverage
    across the lines is rounded to 1/32, so only some dozens of different rows exist: each is worked out once."""
    paper, fine, bold = (np.array([*rgb, 0], np.float32) for rgb in (style.paper_rgb, style.minor_rgb, style.major_rgb))
    blank = paper.astype(np.uint8)
    edge = round(style.border_mm * ppm)
    top = edge + (round(style.header_mm * ppm) if edge else 0)
    columns, rows = np.arange(edge, size[0] - edge), np.arange(top, size[1] - edge)

    def cover(pitch_mm: float, width_mm: float) -> list[np.ndarray]:  # by lines across the columns and the rows
        return [_coverage(px, ppm, pitch_mm, width_mm, o) for px, o in zip((columns, rows), phase, strict=True)]

    (minor_x, minor_y), (major_x, major_y) = cover(1.0, style.minor_mm), cover(5.0, style.major_mm)
    dotted_x, dotted_y = cover(0.5, 0.3)
    if style.grid == "dots":  # carts' paper has its dots inside the boxes, none on the bold lines
        bold_x, bold_y = cover(5.0, style.minor_mm)
        minor_x, minor_y = np.maximum(0, minor_x - bold_x), np.maximum(0, minor_y - bold_y)

    def inked(coverage: np.ndarray | float, colour: np.ndarray) -> np.ndarray:  # (n,) -> (n, 4)
        return (paper - (paper - colour) * np.asarray(coverage)[..., None]).astype(np.uint8)

    plain = inked(major_x, bold)
    across = (minor_y, major_y, dotted_y) if style.grid in ("stipple", "dots") else (minor_y, major_y)
    kinds, which = np.unique(np.round(32 * np.stack(across, -1)).astype(np.float32), axis=0, return_inverse=True)
    table = np.empty((len(kinds), len(columns), 4), np.uint8)
    for row, kind in zip(table, kinds / 32, strict=True):
        if style.grid == "dots":  # bold lines made of dots
            row[:] = np.minimum(inked(major_x * kind[2], bold), inked(dotted_x * kind[1], bold))
            row[:] = np.minimum(row, inked(minor_x * kind[0], fine))
            continue
        row[:] = blank if style.grid in ("millimetre", "none") else np.minimum(plain, inked(kind[1], bold))
        if style.grid in ("lines", "millimetre"):
            row[:] = np.minimum(row, inked(minor_x + kind[0] - minor_x * kind[0], fine))
        elif style.grid == "stipple":  # fine lines made of dots
            row[:] = np.minimum(row, inked(np.maximum(minor_x * kind[2], dotted_x * kind[0]), fine))
    sides = {"top": top, "bottom": edge, "left": edge, "right": edge}
    return cv2.copyMakeBorder(table[which.ravel()], **sides, borderType=cv2.BORDER_CONSTANT, value=blank.tolist())


def _coverage(px: np.ndarray, ppm: float, pitch_mm: float, width_mm: float, origin_mm: float) -> np.ndarray:
    """Share 0..1 of each pixel [i - 0.5, i + 0.5] covered by lines of `width_mm` every `pitch_mm`."""

    def covered_before(x: np.ndarray) -> np.ndarray:  # mm of line left of x
        x = x - origin_mm + width_mm / 2
        return np.floor(x / pitch_mm) * width_mm + np.minimum(np.mod(x, pitch_mm), width_mm)

    # rounded, so that a pixel without a line has exactly none
    covered = np.round((covered_before((px + 0.5) / ppm) - covered_before((px - 0.5) / ppm)) * ppm, 6)
    return np.maximum(0, covered).astype(np.float32)


def _draw_strip(mask: np.ndarray, record: Record, strip: Strip, style: PageStyle, ppm: float) -> np.ndarray:
    """Draw one strip into `mask`; returns its box x0, y0, x1, y1 in page px, float32."""
    first, last = round(strip.start_s * record.fs), round(strip.stop_s * record.fs)
    mv = strip.sign * record.signal_mv[strip.lead, first:last].astype(np.float64)
    x = (strip.left_mm + np.arange(len(mv)) / record.fs * style.speed) * ppm
    gain = style.gain if style.chest_gain is None or strip.lead < 6 else style.chest_gain
    y = (strip.zero_mm - mv * gain) * ppm
    width = style.trace_mm * ppm
    if not len(good := np.flatnonzero(np.isfinite(y))):
        return np.array([x[0], strip.zero_mm * ppm, x[-1], strip.zero_mm * ppm] if len(x) else [0] * 4, np.float32)
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    stroke(mask, [np.stack([x[run], np.clip(y[run], -1e4, 1e5)], axis=-1) for run in runs], width)
    pad = width / 2 + 0.5 * ppm
    box = np.array([x[0] - pad, y[good].min() - pad, x[-1] + pad, y[good].max() + pad])
    return np.clip(box, 0, np.array([mask.shape[1] - 1, mask.shape[0] - 1] * 2)).astype(np.float32)


def _print_marks(mask: np.ndarray, style: PageStyle, plan: Plan, ppm: float) -> list[Word]:
    """Calibration pulses, column separators and a frame; returns the pulses' boxes. A pulse is 1 mV; a stepped one goes
    on at the chest leads' gain, or at half the gain where they have no other."""
    lines: list[list[tuple[float, float]]] = []
    pulses: list[Word] = []
    levels = [style.gain]
    if style.calibration == "stepped":
        levels.append(style.gain / 2 if style.chest_gain is None else style.chest_gain)
    for zero in plan.zeros_mm if plan.pulse_left_mm is not None else ():
        up, end = plan.pulse_left_mm + 1, plan.pulse_left_mm + 1 + style.pulse_mm
        shape = [(plan.pulse_left_mm, zero), (up, zero)]
        for level, (left, right) in zip(levels, pairwise(np.linspace(up, end, len(levels) + 1)), strict=True):
            shape += [(left, zero - level), (right, zero - level)]
        lines.append([*shape, (end, zero), (end + 0.5, zero)])
        corners = (plan.pulse_left_mm, zero - max(levels), end + 0.5, zero)
        pulses.append(("pulse", *(round(mm * ppm) for mm in corners)))
    zeros = plan.zeros_mm[: len(LAYOUTS[style.layout][0][0])]  # without the rhythm strips
    top, bottom = max(0.0, zeros[0] - 0.55 * plan.row_pitch_mm), zeros[-1] + 0.6 * plan.row_pitch_mm
    if style.frame:
        x0, x1 = 0.4 * style.side_mm, style.width_mm - 0.4 * style.side_mm
        y0, y1 = 0.5 * style.top_mm + style.header_mm, style.height_mm - style.footer_mm - 0.5 * style.top_mm
        lines.append([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    dots: list[list[tuple[float, float]]] = []
    for x in plan.columns_mm[1:]:
        if style.separator == "ticks":
            lines += [[(x, zero + s * 2), (x, zero + s * 4.5)] for zero in zeros for s in (1, -1)]
        elif style.separator == "cross":
            lines += [[(x, zero - 3), (x, zero + 3)] for zero in zeros]
        elif style.separator == "line":
            lines.append([(x, top), (x, bottom)])
        elif style.separator == "dotted":
            dots += [[(x, y), (x, y + 0.25)] for y in np.arange(top, bottom, 1.0)]
    for drawn, width_mm in ((lines, 0.8 * style.trace_mm), (dots, max(0.3, 0.8 * style.trace_mm))):
        if drawn:
            stroke(mask, [np.array(line) * ppm for line in drawn], width_mm * ppm)
    return pulses
