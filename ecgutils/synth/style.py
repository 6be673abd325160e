"""What a printed page can look like, how each named source draws from that, and where on it each lead goes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgutils.findings import LEADS
from ecgutils.synth.ink import FONT_FILES, RGB
from ecgutils.synth.sources import PHOTO, SCANS, Source

PRINTED_S = 10.0  # a standard printout shows ten seconds
_CALIBRATION_MM = 8.0  # room for the calibration pulse, whose top is at most 5 mm wide
_COLUMNS_OF_3 = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
_COLUMNS_OF_6 = (LEADS[:6], LEADS[6:])
# name -> (columns of leads, full-width rhythm strips below them)
LAYOUTS: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {
    "3x4": (_COLUMNS_OF_3, ()),
    "3x4+1": (_COLUMNS_OF_3, ("II",)),
    "3x4+2": (_COLUMNS_OF_3, ("V1", "II")),
    "3x4+3": (_COLUMNS_OF_3, ("V1", "II", "V5")),
    "6x2": (_COLUMNS_OF_6, ()),
    "6x2+1": (_COLUMNS_OF_6, ("II",)),
    "12x1": ((LEADS,), ()),
    # Cabrera's order, which turns aVR round
    "3x4 Cabrera": ((("aVL", "I", "-aVR"), ("II", "aVF", "III"), *_COLUMNS_OF_3[2:]), ()),
    "6x2 Cabrera": ((("aVL", "I", "-aVR", "II", "aVF", "III"), LEADS[6:]), ()),
}
# paper, 1 mm line, 5 mm line
PALETTES: dict[str, tuple[RGB, RGB, RGB]] = {
    "red": ((255, 253, 252), (253, 205, 200), (240, 132, 125)),
    "pink": ((255, 238, 240), (250, 196, 206), (232, 128, 150)),
    "orange": ((255, 250, 242), (250, 208, 172), (232, 150, 98)),
    "green": ((240, 252, 244), (186, 228, 200), (110, 182, 140)),
    "blue": ((249, 251, 255), (202, 214, 238), (138, 165, 212)),
    "grey": ((252, 252, 252), (216, 216, 218), (158, 158, 162)),
    "brick": ((246, 242, 238), (222, 186, 178), (186, 112, 104)),
    "faint": ((252, 250, 249), (243, 233, 231), (228, 208, 206)),
    "cart": ((250, 249, 245), (84, 70, 66), (186, 106, 102)),  # grey-brown dots in boxes of pale red lines
    "crimson": ((250, 238, 232), (216, 128, 138), (206, 42, 74)),
    # what plotting scripts draw: saturated thin lines on pure white
    "plot-red": ((255, 255, 255), (254, 204, 204), (255, 60, 60)),
    "plot-pink": ((255, 255, 255), (254, 237, 248), (255, 203, 221)),
    "plot-brown": ((255, 255, 255), (196, 172, 166), (130, 74, 70)),
    "plot-blue": ((255, 255, 255), (150, 150, 214), (40, 40, 130)),
    "plot-green": ((255, 255, 255), (150, 226, 172), (40, 110, 48)),
}
_PLOT = {"plot-red": 4, "plot-pink": 4, "plot-brown": 2, "plot-blue": 1, "plot-green": 1}
_CHOICES = {
    "layout": tuple(LAYOUTS),
    "calibration": ("left", "right", "stepped", "none"),
    "separator": ("none", "ticks", "cross", "line", "dotted"),
    "names": ("above", "on", "below"),
    "font": tuple(FONT_FILES),
    "grid": ("lines", "dots", "stipple", "coarse", "millimetre", "none"),
}
_POSITIVE = ("speed", "gain", "chest_gain", "pulse_mm", "pitch_mm", "name_mm", "minor_mm", "major_mm", "trace_mm")


@dataclass(frozen=True)
class PageStyle:
    """One page as it leaves the printer; lengths in mm, speed in mm/s, gain in mm/mV, colours 0..255 RGB.

    Raises ValueError for an unknown choice, a size below 60 x 40 mm, or a speed, gain or line width that is not
    positive. `side_mm` and `top_mm` are the empty borders (left and right, top and bottom); `border_mm` is how far the
    grid stays away from the paper's edge; `header_mm` and `footer_mm` are the heights reserved for text (0 = none).
    `chest_gain` and `chest_rgb` are gain and colour of V1..V6 (None: as the others); `frame` draws a box around the
    traces; `gap_mm` is left free at the end of each column; `notes` is the number of pen marks.
    """

    source: str = "vector"
    layout: str = "3x4+1"
    width_mm: float = 279.4
    height_mm: float = 215.9
    speed: float = 25.0
    gain: float = 10.0
    chest_gain: float | None = None
    sequential: bool = True
    calibration: str = "left"
    pulse_mm: float = 5.0
    separator: str = "none"
    gap_mm: float = 0.0
    names: str = "above"
    font: str = "sans"
    name_mm: float = 2.6
    header_mm: float = 0.0
    footer_mm: float = 0.0
    side_mm: float = 4.0
    pitch_mm: float = 34.0  # largest distance of two rows: carts don't spread three rows over a whole letter page
    top_mm: float = 4.0
    border_mm: float = 0.0
    grid: str = "lines"
    paper_rgb: RGB = PALETTES["red"][0]
    minor_rgb: RGB = PALETTES["red"][1]
    major_rgb: RGB = PALETTES["red"][2]
    minor_mm: float = 0.12
    major_mm: float = 0.22
    trace_rgb: RGB = (15, 15, 20)
    trace_mm: float = 0.3
    chest_rgb: RGB | None = None
    frame: bool = False
    notes: int = 0
    pen_rgb: RGB = (30, 40, 120)

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"PageStyle: {name} is {getattr(self, name)!r}; choose one of {', '.join(known)}.")
        for name in _POSITIVE:
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"PageStyle: {name} must be positive, got {getattr(self, name)}.")
        body_mm = self.height_mm - 2 * self.top_mm - self.header_mm - self.footer_mm
        if not (self.width_mm >= 60 and self.height_mm >= 40 and body_mm >= 20):
            size = f"a page of {self.width_mm:g} x {self.height_mm:g} mm"
            raise ValueError(f"PageStyle: {size} leaves {body_mm:g} mm for traces; use 60 x 40 mm and 20 mm or more.")


_PAPERS_MM = {"letter": (279.4, 215.9), "a4": (297.0, 210.0)}
_PENS: tuple[RGB, ...] = ((28, 44, 130), (24, 24, 30), (168, 30, 36), (30, 44, 96))


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    p = np.array(list(weights.values()), dtype=np.float64)
    return list(weights)[int(rng.choice(len(p), p=p / p.sum()))]


def _jitter(rng: np.random.Generator, rgb: RGB, spread: int) -> RGB:
    return tuple(np.clip(np.array(rgb) + rng.integers(-spread, spread + 1, 3), 0, 255).tolist())


def draw_style(rng: np.random.Generator, source: str, aspect: float = 1.3) -> PageStyle:
    """Draw a page style of one source.

    source : name of a source; anything else raises ValueError.
    aspect : W / H of the picture to be made: a cropped strip takes this shape as far as the traces allow.
    """
    known = {**SCANS, PHOTO.name: PHOTO}
    if source not in known:
        raise ValueError(f"Unknown image source {source!r}; choose from {', '.join(known)}.")
    prints = known[source]
    drawn, plotted = _draw_print(rng, prints)
    columns, rhythm = LAYOUTS[drawn["layout"]]
    n_rows = len(columns[0]) + len(rhythm)
    # each draw takes its numbers from `rng` in turn: their order is part of what a seed means
    kind, palette = drawn.pop("paper"), drawn.pop("palette")
    paper = _draw_paper(rng, kind, aspect, n_rows, plotted)
    calibration = _pick(rng, {"left": 6, "right": 2, "stepped": 0.3, "none": 1.5})
    if paper["chest_gain"] and calibration != "none":
        calibration = "stepped"
    colours = [_jitter(rng, rgb, 2 if plotted else 7) for rgb in PALETTES[palette]]
    dots, fine = drawn["grid"] == "dots", 0.6 if plotted else 1.0
    return PageStyle(
        source=source,
        **drawn,
        **paper,
        speed=50.0 if rng.random() < 0.03 else 25.0,
        sequential=bool(rng.random() < 0.85),
        calibration=calibration,
        pulse_mm=float(rng.choice([5.0, 5.0, 3.0])),
        gap_mm=float(rng.uniform(0.3, 2)) if rng.random() < 0.4 else 0.0,
        names=_pick(rng, {"above": 2, "on": 1, "below": 1}),
        name_mm=float(rng.uniform(2.0, 3.6)),
        side_mm=float(rng.uniform(2, 4)),
        pitch_mm=float(rng.uniform(26, 38)),
        top_mm=float(rng.uniform(2, 5)),
        border_mm=float(rng.choice([0, 0, 3, 5])) if kind != "strip" and not plotted else 0.0,
        **dict(zip(("paper_rgb", "minor_rgb", "major_rgb"), colours, strict=True)),
        minor_mm=float(rng.uniform(0.3, 0.44) if dots else fine * rng.uniform(0.1, 0.18)),
        major_mm=float(rng.uniform(0.26, 0.4) if dots else fine * rng.uniform(0.16, 0.3)),
        trace_rgb=_jitter(rng, (8, 8, 10) if plotted else prints.trace_rgb, 8 if plotted else 18),
        trace_mm=float(np.clip(prints.trace_mm * rng.lognormal(-0.05, 0.25), 0.12, 0.7)),
        notes=int(rng.integers(1, 6)) if rng.random() < prints.noted else 0,
        pen_rgb=_jitter(rng, _PENS[int(rng.integers(len(_PENS)))], 12),
    )


def _draw_print(rng: np.random.Generator, prints: Source) -> tuple[dict[str, str], bool]:
    """Layout, palette, grid, separator, font and paper, and whether the page looks as a plotting script's."""
    choices = ("layout", "palette", "grid", "separator", "font", "paper")
    drawn = {name: _pick(rng, getattr(prints, name)) for name in choices}
    if plotted := bool(rng.random() < prints.plotted):
        drawn["layout"] = _pick(rng, {"3x4+1": 8, "3x4": 2, "6x2": 0.5})
        drawn |= {"palette": _pick(rng, _PLOT), "grid": "lines", "paper": _pick(rng, {"letter": 3, "strip": 2})}
        drawn |= {"font": _pick(rng, {"sans": 6, "roman": 1, "serif": 1, "sans-oblique": 1})}
        drawn |= {"separator": _pick(rng, {"cross": 5, "none": 4})}
    elif drawn["palette"] == "cart":  # one make of printer, whose pages look alike
        drawn["grid"] = "dots"
        drawn |= {"separator": _pick(rng, {"dotted": 9, "none": 1}), "font": _pick(rng, {"serif": 9, "serif-bold": 1})}
    return drawn, plotted


def _draw_paper(rng: np.random.Generator, paper: str, aspect: float, n_rows: int, plotted: bool) -> dict[str, Any]:
    """Size of the paper, what header and footer take of it, in mm; gains, halved where rows are low."""
    if paper == "strip":
        width = float(rng.uniform(264, 292))
        height = float(np.clip(width / aspect, max(95, 15 * n_rows), 240))
    else:
        width, height = _PAPERS_MM[paper]
    header = float(rng.uniform(20, 32)) if height > 190 or rng.random() < 0.1 else 0.0
    footer = float(rng.uniform(6, 10)) if rng.random() < 0.65 else 0.0
    if plotted and rng.random() < 0.6:
        header = footer = 0.0
    gain = 5.0 if (height - header - footer - 8) / n_rows < 16 and rng.random() < 0.75 else 10.0
    if rng.random() < 0.05:
        gain = 5.0 if gain == 10 and rng.random() < 0.7 else 20.0
    chest_gain = gain / 2 if rng.random() < 0.06 and not plotted else None
    size = {"width_mm": width, "height_mm": height, "header_mm": header, "footer_mm": footer}
    return {**size, "gain": gain, "chest_gain": chest_gain}


@dataclass(frozen=True)
class Strip:
    """Seconds `start_s`..`stop_s` of `lead` (a row of LEADS) times `sign`, from x `left_mm`, zero at y `zero_mm`."""

    name: str
    lead: int
    start_s: float
    stop_s: float
    left_mm: float
    zero_mm: float
    sign: int = 1


@dataclass(frozen=True)
class Plan:
    """All strips of a page, the rows' y of zero, x of the calibration pulses or None, and where the columns begin."""

    strips: tuple[Strip, ...]
    zeros_mm: tuple[float, ...]
    pulse_left_mm: float | None
    columns_mm: tuple[float, ...]
    row_pitch_mm: float


def plan_page(style: PageStyle, duration_s: float) -> Plan:
    """Lay `duration_s` seconds (at most ten, less where the paper is too narrow) out on the page of `style`."""
    columns, rhythm = LAYOUTS[style.layout]
    calibration_mm = 0.0 if style.calibration == "none" else _CALIBRATION_MM
    shown_s = min(duration_s, PRINTED_S, (style.width_mm - 2 * style.side_mm - calibration_mm) / style.speed)
    left = (style.width_mm - shown_s * style.speed - calibration_mm) / 2
    left += calibration_mm if style.calibration in ("left", "stepped") else 0.0
    top = style.top_mm + style.header_mm
    n_rows = len(columns[0]) + len(rhythm)
    body_mm = style.height_mm - style.top_mm - style.footer_mm - top
    pitch = min(body_mm / n_rows, style.pitch_mm)
    first = top + 0.4 * (body_mm - n_rows * pitch)  # spare paper: a little more of it below than above
    zeros = [first + (row + 0.55) * pitch for row in range(n_rows)]

    column_s = shown_s / len(columns)
    starts = [left + c * column_s * style.speed for c in range(len(columns))]
    strips = []
    for c, leads in enumerate(columns):
        start = c * column_s if style.sequential else 0.0
        for row, printed in enumerate(leads):
            stop, name = start + max(0.5 * column_s, column_s - style.gap_mm / style.speed), printed.lstrip("-")
            sign = -1 if printed != name else 1
            strips.append(Strip(name, LEADS.index(name), start, stop, starts[c], zeros[row], sign))
    for row, name in enumerate(rhythm, start=len(columns[0])):
        strips.append(Strip(f"{name}_rhythm", LEADS.index(name), 0.0, shown_s, left, zeros[row]))
    before, after = left - style.pulse_mm - 2.5, left + shown_s * style.speed + 1.0
    pulse = {"left": before, "stepped": before, "right": after, "none": None}[style.calibration]
    return Plan(tuple(strips), tuple(zeros), pulse, tuple(starts), pitch)
