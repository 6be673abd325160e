"""What a printed page can look like, and how each named source draws from that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgutils.synth.layout import LAYOUTS

RGB = tuple[int, int, int]

SCAN_SOURCES = ("vector", "office", "fax", "thermal", "archive")
PHOTO_SOURCE = "photo"
SOURCES = (*SCAN_SOURCES, PHOTO_SOURCE)

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
    "font": ("sans", "serif", "roman", "mono", "sans-bold", "serif-bold", "mono-bold", "sans-oblique"),
    "grid": ("lines", "dots", "stipple", "coarse", "millimetre", "none"),
}


@dataclass(frozen=True)
class PageStyle:
    """One page as it leaves the printer; lengths in mm, speed in mm/s, gain in mm/mV, colours 0..255 RGB.

    Raises ValueError for an unknown choice, a size below 60 x 40 mm, or a speed, gain or line width that is not
    positive. `side_mm` and `top_mm` are the empty borders (left and right, top and bottom); `border_mm` is how far the
    grid stays away from the paper's edge; `header_mm` and `footer_mm` are the heights reserved for text (0 = none).
    `chest_gain` is the gain of V1..V6 (None: as the others); `gap_mm` is left free at the end of each column; `notes`
    is the number of pen marks.
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
    notes: int = 0
    pen_rgb: RGB = (30, 40, 120)

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"PageStyle: {name} is {getattr(self, name)!r}; choose one of {', '.join(known)}.")
        for name in (
            "speed",
            "gain",
            "chest_gain",
            "pulse_mm",
            "pitch_mm",
            "name_mm",
            "minor_mm",
            "major_mm",
            "trace_mm",
        ):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"PageStyle: {name} must be positive, got {getattr(self, name)}.")
        body_mm = self.height_mm - 2 * self.top_mm - self.header_mm - self.footer_mm
        if not (self.width_mm >= 60 and self.height_mm >= 40 and body_mm >= 20):
            raise ValueError(
                f"PageStyle: a page of {self.width_mm:g} x {self.height_mm:g} mm leaves {body_mm:g} mm for the traces; "
                "use at least 60 x 40 mm with 20 mm left between header and footer."
            )

    def gain_of(self, lead: int) -> float:
        """mm/mV of lead number `lead` in LEADS order."""
        return self.gain if self.chest_gain is None or lead < 6 else self.chest_gain


# Weights of each choice; a source is what it prints here plus what happens to the paper in scan.py or photo.py.
_DRAWS: dict[str, dict[str, dict[str, float]]] = {
    # export of a viewing program: crisp, saturated grid, everything machine-set
    "vector": {
        "layout": {"3x4+1": 10, "3x4": 4, "3x4+2": 1, "3x4+3": 3, "6x2": 1, "12x1": 1},
        "palette": {"red": 4, "pink": 3, "blue": 2, "grey": 1, "green": 1, "orange": 1},
        "grid": {"lines": 8, "stipple": 2, "coarse": 2, "millimetre": 0.5},
        "separator": {"none": 4, "ticks": 3, "cross": 1, "line": 1},
        "font": {"sans": 4, "serif": 4, "sans-bold": 2, "roman": 1},
        "paper": {"letter": 2, "a4": 2, "strip": 5},
    },
    # cart printout put on a flatbed scanner
    "office": {
        "layout": {"3x4+1": 10, "3x4": 4, "3x4+3": 3, "6x2": 1, "6x2+1": 1},
        "palette": {"red": 4, "pink": 4, "orange": 3, "brick": 2, "green": 1, "crimson": 1},
        "grid": {"lines": 6, "stipple": 3, "dots": 2, "millimetre": 0.5},
        "separator": {"none": 2, "ticks": 3, "cross": 1, "dotted": 2},
        "font": {"sans": 2, "serif": 3, "mono": 3, "serif-bold": 1, "sans-oblique": 1},
        "paper": {"letter": 4, "a4": 4, "strip": 1},
    },
    # black-and-white photocopy or fax
    "fax": {
        "layout": {"3x4+1": 10, "3x4": 5, "6x2": 2, "12x1": 1},
        "palette": {"grey": 5, "brick": 3, "faint": 2},
        "grid": {"lines": 5, "coarse": 3, "dots": 2},
        "separator": {"none": 3, "ticks": 3, "cross": 2, "line": 2},
        "font": {"mono": 4, "serif-bold": 2, "sans-bold": 2, "mono-bold": 2},
        "paper": {"letter": 4, "a4": 4, "strip": 1},
    },
    # narrow thermal roll, faded
    "thermal": {
        "layout": {"3x4+1": 8, "3x4": 6, "6x2": 3, "12x1": 1, "6x2+1": 1},
        "palette": {"orange": 3, "green": 2, "faint": 3, "brick": 3},
        "grid": {"lines": 5, "dots": 3, "coarse": 2, "none": 1},
        "separator": {"none": 2, "dotted": 3, "line": 2},
        "font": {"mono": 5, "sans": 2},
        "paper": {"strip": 1},
    },
    # years in a folder: typed, stamped, punched and written on
    "archive": {
        "layout": {"3x4+1": 6, "3x4": 6, "6x2": 4, "6x2+1": 2, "12x1": 1},
        "palette": {"brick": 4, "orange": 3, "green": 3, "blue": 1, "faint": 1, "crimson": 1},
        "grid": {"lines": 7, "coarse": 1, "dots": 1},
        "separator": {"none": 3, "cross": 3, "line": 2},
        "font": {"mono": 3, "mono-bold": 2, "roman": 2, "serif": 1},
        "paper": {"letter": 2, "a4": 4},
    },
    # whatever lies under a phone camera; the photographs we know are mostly cart printouts on dotted or faint grids
    "photo": {
        "layout": {"3x4+1": 12, "3x4": 4, "3x4+2": 1, "3x4+3": 3, "6x2": 1, "6x2+1": 1, "12x1": 1},
        "palette": {"cart": 10, "brick": 3, "faint": 2, "red": 3, "crimson": 2, "pink": 2, "grey": 2, "green": 1,
                    "orange": 1, "blue": 1},
        "grid": {"lines": 12, "stipple": 3, "coarse": 1, "millimetre": 0.5, "none": 0.5},
        "separator": {"dotted": 5, "none": 3, "ticks": 2, "cross": 1, "line": 1},
        "font": {"serif-bold": 3, "serif": 4, "sans": 2, "sans-bold": 2, "mono": 1, "mono-bold": 1, "roman": 1},
        "paper": {"strip": 5, "letter": 1, "a4": 2},
    },
}  # fmt: skip
_PAPERS_MM = {"letter": (279.4, 215.9), "a4": (297.0, 210.0)}
# share of pages that look as a plotting script's: the look of most ECG images that are made by programs
_PLOTTED = {"vector": 0.35, "photo": 0.3}
_NOTED = {"office": 0.25, "thermal": 0.25, "archive": 0.8, "photo": 0.15}  # share with a pen's marks
_INKS: dict[str, RGB] = {"thermal": (62, 54, 84), "archive": (44, 40, 52)}
_PENS: tuple[RGB, ...] = ((28, 44, 130), (24, 24, 30), (168, 30, 36), (30, 44, 96))


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    p = np.array(list(weights.values()), dtype=np.float64)
    return list(weights)[int(rng.choice(len(p), p=p / p.sum()))]


def _jitter(rng: np.random.Generator, rgb: RGB, spread: int) -> RGB:
    red, green, blue = (
        int(np.clip(c + d, 0, 255)) for c, d in zip(rgb, rng.integers(-spread, spread + 1, 3), strict=True)
    )
    return red, green, blue


def draw_style(rng: np.random.Generator, source: str, aspect: float = 1.3) -> PageStyle:
    """Draw a page style of one source.

    Parameters
    ----------
    source : one of SOURCES; anything else raises ValueError.
    aspect : W / H of the picture to be made: a cropped strip takes this shape as far as the traces allow.
    """
    if source not in SOURCES:
        raise ValueError(f"Unknown image source {source!r}; choose from {', '.join(SOURCES)}.")
    drawn = {name: _pick(rng, weights) for name, weights in _DRAWS[source].items()}
    plotted = bool(rng.random() < _PLOTTED.get(source, 0.0))
    if plotted:
        drawn["layout"] = _pick(rng, {"3x4+1": 8, "3x4": 2, "6x2": 0.5})
        drawn |= {"palette": _pick(rng, _PLOT), "grid": "lines", "paper": _pick(rng, {"letter": 3, "strip": 2})}
        drawn |= {"font": _pick(rng, {"sans": 6, "roman": 1, "serif": 1, "sans-oblique": 1})}
        drawn |= {"separator": _pick(rng, {"cross": 5, "none": 4})}
    elif drawn["palette"] == "cart":  # one make of printer, whose pages look alike
        drawn["grid"] = "dots"
        drawn |= {"separator": _pick(rng, {"dotted": 9, "none": 1}), "font": _pick(rng, {"serif": 9, "serif-bold": 1})}
    columns, rhythm = LAYOUTS[drawn["layout"]]
    n_rows = len(columns[0]) + len(rhythm)
    if drawn["paper"] == "strip":
        width = float(rng.uniform(264, 292))
        height = float(np.clip(width / aspect, max(95, 15 * n_rows), 240))
    else:
        width, height = _PAPERS_MM[drawn["paper"]]
    header = float(rng.uniform(20, 32)) if height > 190 or rng.random() < 0.1 else 0.0
    footer = float(rng.uniform(6, 10)) if rng.random() < 0.65 else 0.0
    if plotted and rng.random() < 0.6:
        header = footer = 0.0
    row_mm = (height - header - footer - 8) / n_rows
    gain = 5.0 if row_mm < 16 and rng.random() < 0.75 else 10.0
    if rng.random() < 0.05:
        gain = 5.0 if gain == 10 and rng.random() < 0.7 else 20.0
    chest_gain = gain / 2 if rng.random() < 0.06 and not plotted else None
    calibration = _pick(rng, {"left": 6, "right": 2, "stepped": 0.3, "none": 1.5})
    paper, minor, major = (_jitter(rng, rgb, 2 if plotted else 7) for rgb in PALETTES[drawn["palette"]])
    thick = {"vector": 0.26, "office": 0.3, "fax": 0.42, "thermal": 0.36, "archive": 0.4, "photo": 0.28}[source]
    fine = 0.6 if plotted else 1.0
    dots = drawn["grid"] == "dots"
    return PageStyle(
        source=source,
        layout=drawn["layout"],
        width_mm=width,
        height_mm=height,
        speed=50.0 if rng.random() < 0.03 else 25.0,
        gain=gain,
        chest_gain=chest_gain,
        sequential=bool(rng.random() < 0.85),
        calibration="stepped" if chest_gain and calibration != "none" else calibration,
        pulse_mm=float(rng.choice([5.0, 5.0, 3.0])),
        separator=drawn["separator"],
        gap_mm=float(rng.uniform(0.3, 2)) if rng.random() < 0.4 else 0.0,
        names=_pick(rng, {"above": 2, "on": 1, "below": 1}),
        font=drawn["font"],
        name_mm=float(rng.uniform(2.0, 3.6)),
        header_mm=header,
        footer_mm=footer,
        side_mm=float(rng.uniform(2, 4)),
        pitch_mm=float(rng.uniform(26, 38)),
        top_mm=float(rng.uniform(2, 5)),
        border_mm=float(rng.choice([0, 0, 3, 5])) if drawn["paper"] != "strip" and not plotted else 0.0,
        grid=drawn["grid"],
        paper_rgb=paper,
        minor_rgb=minor,
        major_rgb=major,
        minor_mm=float(rng.uniform(0.3, 0.44) if dots else fine * rng.uniform(0.1, 0.18)),
        major_mm=float(rng.uniform(0.26, 0.4) if dots else fine * rng.uniform(0.16, 0.3)),
        trace_rgb=_jitter(rng, (8, 8, 10) if plotted else _INKS.get(source, (22, 22, 28)), 8 if plotted else 18),
        trace_mm=float(np.clip(thick * rng.lognormal(-0.05, 0.25), 0.12, 0.7)),
        notes=int(rng.integers(1, 6)) if rng.random() < _NOTED.get(source, 0.0) else 0,
        pen_rgb=_jitter(rng, _PENS[int(rng.integers(len(_PENS)))], 12),
    )
