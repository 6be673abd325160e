"""Draw a flat ECG page straight into an array: grid, text, calibration, separators, traces."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageFont

from ecgutils.signals.record import Record
from ecgutils.synth.layout import Plan, Strip, plan_page
from ecgutils.synth.rendered import Projection, Rendered
from ecgutils.synth.style import RGB, SCAN_SOURCES, PageStyle, draw_style

_SHIFT = 4  # OpenCV draws at 1/16 px
_THINNEST = 1.24  # px, width of OpenCV's anti-aliased line of thickness 1 (measured: area / length)
# Font files that come with matplotlib (a dependency), read without importing it: the same letters everywhere.
_FONT_FILES = {
    "sans": "DejaVuSans.ttf",
    "sans-bold": "DejaVuSans-Bold.ttf",
    "serif": "STIXGeneral.ttf",
    "serif-bold": "STIXGeneralBol.ttf",
    "mono": "DejaVuSansMono.ttf",
}


def render_page(
    record: Record, rng: np.random.Generator, style: PageStyle | None = None, px_per_mm: float = 4.0
) -> Rendered:
    """Draw the flat page of a record.

    Parameters
    ----------
    record : drawn from its first sample on, at most ten seconds; NaN leaves a gap.
    rng : draws the invented header text, the grid's phase, and the style when `style` is None.
    style : what to draw; None draws the page of a scan-like source.
    px_per_mm : 0.3 to 40 px per mm, else ValueError.
    """
    if not 0.3 <= px_per_mm <= 40:
        raise ValueError(f"render_page: px_per_mm must be between 0.3 and 40, got {px_per_mm}.")
    if style is None:
        style = draw_style(rng, SCAN_SOURCES[int(rng.integers(len(SCAN_SOURCES)))])
    size = (round(style.width_mm * px_per_mm), round(style.height_mm * px_per_mm))
    plan = plan_page(style, record.signal_mv.shape[1] / record.fs)
    phase = rng.uniform(0, 5, 2)

    image = _paper(style, size, px_per_mm, phase)
    print_mask = np.zeros(size[::-1], np.uint8)
    _print_text(print_mask, style, plan, rng, px_per_mm)
    _print_marks(print_mask, style, plan, px_per_mm)
    _ink(image, print_mask, style.trace_rgb, opacity=0.9)

    trace_mask = np.zeros(size[::-1], np.uint8)
    boxes = {strip.name: _draw_strip(trace_mask, record, strip, style, px_per_mm) for strip in plan.strips}
    # a line thinner than OpenCV draws is drawn paler instead
    _ink(image, trace_mask, style.trace_rgb, opacity=float(np.clip(style.trace_mm * px_per_mm / _THINNEST, 0.6, 1.0)))
    return Rendered(
        image=image,
        px_per_mm=float(px_per_mm),
        page_size=size,
        projection=Projection(np.eye(3)),
        trace_mask=trace_mask,
        lead_boxes=boxes,
        style={**asdict(style), "grid_phase_mm": [float(p) for p in phase], "rotation": 0},
    )


def _paper(style: PageStyle, size: tuple[int, int], ppm: float, phase: np.ndarray) -> np.ndarray:
    """Paper with its grid, uint8 (H, W, 3); lines keep their true width by area coverage."""
    w, h = size
    image = np.empty((h, w, 3), np.uint8)
    image[:] = style.paper_rgb
    if style.grid == "none":
        return image
    edge = round(style.border_mm * ppm)
    area = image[edge + (round(style.header_mm * ppm) if edge else 0) : h - edge, edge : w - edge]
    columns, rows = np.arange(edge, w - edge), np.arange(h - edge - area.shape[0], h - edge)
    axes = ((columns, phase[0]), (rows, phase[1]))
    minor = [_coverage(px, ppm, 1.0, style.minor_mm, origin) for px, origin in axes]
    major = [_coverage(px, ppm, 5.0, style.major_mm, origin) for px, origin in axes]
    dots = None
    if style.grid == "dots":
        dots = np.clip(510 * minor[1][:, None] * minor[0], 0, 255).astype(np.uint8)
    for c in range(3):
        paper, fine, bold = (float(rgb[c]) for rgb in (style.paper_rgb, style.minor_rgb, style.major_rgb))
        x, y = ((paper - (paper - bold) * line).astype(np.uint8) for line in major)
        if style.grid == "lines":
            x, y = (
                np.minimum(v, paper - (paper - fine) * line).astype(np.uint8)
                for v, line in zip((x, y), minor, strict=True)
            )
        channel = np.minimum(y[:, None], x)
        if dots is not None:  # dots are printed in the strong colour
            channel = np.minimum(
                channel, cv2.LUT(dots, (paper - (paper - bold) * np.arange(256) / 255).astype(np.uint8))
            )
        area[..., c] = channel
    return image


def _coverage(px: np.ndarray, ppm: float, pitch_mm: float, width_mm: float, origin_mm: float) -> np.ndarray:
    """Share 0..1 of each pixel [i - 0.5, i + 0.5] covered by lines of `width_mm` every `pitch_mm`."""

    def covered_before(x: np.ndarray) -> np.ndarray:  # mm of line left of x
        x = x - origin_mm + width_mm / 2
        return np.floor(x / pitch_mm) * width_mm + np.minimum(np.mod(x, pitch_mm), width_mm)

    return (covered_before((px + 0.5) / ppm) - covered_before((px - 0.5) / ppm)) * ppm


def _ink(image: np.ndarray, mask: np.ndarray, rgb: RGB, opacity: float) -> None:
    """Print colour `rgb` on `image` in place where `mask` (uint8 coverage) says so."""
    at = np.flatnonzero(mask)
    flat = image.reshape(-1, 3)
    alpha = mask.ravel()[at, None] * np.float32(opacity / 255)
    flat[at] = flat[at] * (1 - alpha) + np.array(rgb, np.float32) * alpha


def _polyline(mask: np.ndarray, points_xy: np.ndarray, width: float) -> None:
    """Draw a line of any width (px) into a coverage mask.

    OpenCV's thicker lines are 2 px too wide when their segments are short, so a thin line is drawn at several offsets:
    two for a width below 2.6 px, else rings. The widths that result (area / length) are right to 0.2 px.
    """
    offsets = [(0.0, 0.0)]
    if _THINNEST < width < 2.6:
        d = (width - _THINNEST) / 2
        offsets = [(d, d), (-d, -d)]
    radius = (width - 2.2) / 1.5 if width >= 2.6 else 0.0
    while radius > 0:
        angles = np.arange(8) * np.pi / 4
        offsets += [(float(x), float(y)) for x, y in zip(np.cos(angles) * radius, np.sin(angles) * radius, strict=True)]
        radius -= 1.0
    for offset in offsets:
        points = np.round((points_xy + offset) * 2**_SHIFT).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, 1, cv2.LINE_AA, _SHIFT)


def _draw_strip(mask: np.ndarray, record: Record, strip: Strip, style: PageStyle, ppm: float) -> np.ndarray:
    """Draw one strip into `mask`; returns its box x0, y0, x1, y1 in page px, float32."""
    first, last = round(strip.start_s * record.fs), round(strip.stop_s * record.fs)
    mv = record.signal_mv[strip.lead, first:last].astype(np.float64)
    x = (strip.left_mm + np.arange(len(mv)) / record.fs * style.speed) * ppm
    y = (strip.zero_mm - mv * style.gain) * ppm
    width = style.trace_mm * ppm
    good = np.flatnonzero(np.isfinite(y))
    for run in np.split(good, np.flatnonzero(np.diff(good) > 1) + 1):
        if len(run):
            _polyline(mask, np.stack([x[run], np.clip(y[run], -1e4, 1e5)], axis=-1), width)
    if not len(good):
        return np.array([x[0], strip.zero_mm * ppm, x[-1], strip.zero_mm * ppm] if len(x) else [0] * 4, np.float32)
    pad = width / 2 + 0.5 * ppm
    box = np.array([x[0] - pad, y[good].min() - pad, x[-1] + pad, y[good].max() + pad])
    return np.clip(box, 0, np.array([mask.shape[1] - 1, mask.shape[0] - 1] * 2)).astype(np.float32)


def _print_marks(mask: np.ndarray, style: PageStyle, plan: Plan, ppm: float) -> None:
    """Calibration pulses and column separators."""

    def polyline(points_mm: list[tuple[float, float]]) -> None:
        _polyline(mask, np.array(points_mm) * ppm, 0.8 * style.trace_mm * ppm)

    for zero, pulse in plan.rows_mm:
        if pulse is not None:
            top, end = zero - style.gain, pulse + 6.5
            polyline([(pulse, zero), (pulse + 1, zero), (pulse + 1, top), (end - 1, top), (end - 1, zero), (end, zero)])
    if style.separator == "none":
        return
    n_rows = sum(strip.left_mm == plan.columns_mm[0] and "_" not in strip.name for strip in plan.strips)
    for x in plan.columns_mm[1:]:
        if style.separator == "ticks":
            for zero, _ in plan.rows_mm[:n_rows]:
                for near, far in ((2, 4.5), (-2, -4.5)):
                    polyline([(x, zero + near), (x, zero + far)])
            continue
        top, bottom = plan.rows_mm[0][0] - 2, plan.rows_mm[n_rows - 1][0] + 0.6 * plan.row_pitch_mm
        if style.separator == "line":
            polyline([(x, top), (x, bottom)])
        else:
            for y in np.arange(top, bottom, 1.0):
                polyline([(x, y), (x, y + 0.3)])


@lru_cache(maxsize=64)
def _font(name: str, px: int) -> ImageFont.FreeTypeFont:
    package = importlib.util.find_spec("matplotlib")
    folder = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"  # type: ignore[union-attr, arg-type]
    return ImageFont.truetype(str(folder / _FONT_FILES[name]), px)


def _text(mask: np.ndarray, text: str, x: float, y: float, font: str, px: float) -> None:
    """Write `text` with its baseline's left end at (x, y) px and capitals `px` high."""
    face = _font(font, max(5, round(px / 0.68)))  # capitals of these fonts are about 0.68 em
    glyphs, offset = face.getmask2(text, mode="L", anchor="ls")
    w, h = glyphs.size
    x0, y0 = round(x) + offset[0], round(y) + offset[1]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + w, mask.shape[1]), min(y0 + h, mask.shape[0])
    if right > left and bottom > top:
        drawn = np.frombuffer(bytes(glyphs), np.uint8).reshape(h, w)[top - y0 : bottom - y0, left - x0 : right - x0]
        np.maximum(mask[top:bottom, left:right], drawn, out=mask[top:bottom, left:right])


def _print_text(mask: np.ndarray, style: PageStyle, plan: Plan, rng: np.random.Generator, ppm: float) -> None:
    """Lead names, the invented header and the footer. No text depends on the findings: labels must not leak."""
    for strip in plan.strips:
        x, y = strip.left_mm + 1, strip.zero_mm + (3 + style.name_mm if style.names == "below" else -3)
        _text(mask, strip.name.removesuffix("_rhythm"), x * ppm, y * ppm, style.font, style.name_mm * ppm)
    size_mm = 0.85 * style.name_mm
    font = style.font.removesuffix("-bold")
    left = style.side_mm + style.border_mm + 2
    if style.footer_mm:
        footer = [f"{style.speed:g} mm/s", f"{style.gain:g} mm/mV", f"{rng.choice(['0.05', '0.15', '0.67'])}-"]
        footer[2] += f"{rng.choice([40, 100, 150])} Hz"
        footer.append(f"AC {rng.choice([50, 60])} Hz")
        footer.append(f"CART-{rng.integers(2, 90)} v{rng.integers(1, 9)}.{rng.integers(10)}")
        y = style.height_mm - style.top_mm - 1.5
        for text, x in zip(footer, np.linspace(left, 0.8 * style.width_mm, len(footer)), strict=True):
            _text(mask, text, x * ppm, y * ppm, font, size_mm * ppm)
    if style.header_mm:
        sex, age = rng.choice(["F", "M"]), rng.integers(18, 95)
        date = f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.{rng.integers(1998, 2030)}"
        columns = (
            [f"Name: SPECIMEN {chr(65 + rng.integers(26))}.", f"ID: {rng.integers(10**6, 10**8)}", f"{age} y  {sex}"],
            [f"{date}  {rng.integers(24):02d}:{rng.integers(60):02d}", f"Ward {rng.integers(1, 40)}", "Dr. ________"],
            ["Vent. rate    --- bpm", "PR / QRS   --- / --- ms", "QT / QTc   --- / --- ms"],
            ["Unconfirmed", "", f"Page {rng.integers(1, 4)}"],
        )
        line_mm = min(1.8 * size_mm, (style.header_mm - 2) / 3)
        for x, lines in zip(np.linspace(left, 0.8 * style.width_mm, len(columns)), columns, strict=True):
            for i, text in enumerate(lines):
                _text(mask, text, x * ppm, (style.top_mm + (i + 1) * line_mm) * ppm, font, size_mm * ppm)
