"""What a printed page can look like, and how each named source draws from that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgutils.synth.layout import LAYOUTS

RGB = tuple[int, int, int]

SCAN_SOURCES = ("vector", "office", "fax", "thermal")
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
}
_CHOICES = {
    "layout": tuple(LAYOUTS),
    "calibration": ("left", "right", "none"),
    "separator": ("none", "ticks", "line", "dotted"),
    "names": ("above", "below"),
    "font": ("sans", "serif", "mono", "sans-bold", "serif-bold"),
    "grid": ("lines", "dots", "coarse", "none"),
}


@dataclass(frozen=True)
class PageStyle:
    """One page as it leaves the printer; lengths in mm, speed in mm/s, gain in mm/mV, colours 0..255 RGB.

    Raises ValueError for an unknown choice, a size below 60 x 40 mm, or a speed, gain or line width that is not
    positive. `side_mm` and `top_mm` are the empty borders (left and right, top and bottom); `border_mm` is how far the
    grid stays away from the paper's edge; `header_mm` and `footer_mm` are the heights reserved for text (0 = none).
    """

    source: str = "vector"
    layout: str = "3x4+1"
    width_mm: float = 279.4
    height_mm: float = 215.9
    speed: float = 25.0
    gain: float = 10.0
    sequential: bool = True
    calibration: str = "left"
    separator: str = "none"
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

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"PageStyle: {name} is {getattr(self, name)!r}; choose one of {', '.join(known)}.")
        for name in ("speed", "gain", "pitch_mm", "name_mm", "minor_mm", "major_mm", "trace_mm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"PageStyle: {name} must be positive, got {getattr(self, name)}.")
        body_mm = self.height_mm - 2 * self.top_mm - self.header_mm - self.footer_mm
        if not (self.width_mm >= 60 and self.height_mm >= 40 and body_mm >= 20):
            raise ValueError(
                f"PageStyle: a page of {self.width_mm:g} x {self.height_mm:g} mm leaves {body_mm:g} mm for the traces; "
                "use at least 60 x 40 mm with 20 mm left between header and footer."
            )


# Weights of each choice; a source is what it prints here plus what happens to the paper in scan.py or photo.py.
_DRAWS: dict[str, dict[str, dict[str, float]]] = {
    # export of a viewing program: crisp, saturated grid, everything machine-set
    "vector": {
        "layout": {"3x4+1": 10, "3x4": 4, "3x4+3": 3, "6x2": 1, "12x1": 1},
        "palette": {"red": 4, "pink": 3, "blue": 2, "grey": 1, "green": 1, "orange": 1},
        "grid": {"lines": 8, "coarse": 2},
        "separator": {"none": 4, "ticks": 3, "line": 1},
        "font": {"sans": 4, "serif": 3, "sans-bold": 2},
        "paper": {"letter": 2, "a4": 2, "strip": 5},
    },
    # cart printout put on a flatbed scanner
    "office": {
        "layout": {"3x4+1": 10, "3x4": 4, "3x4+3": 3, "6x2": 1, "6x2+1": 1},
        "palette": {"red": 4, "pink": 4, "orange": 3, "brick": 2, "green": 1},
        "grid": {"lines": 7, "dots": 3},
        "separator": {"none": 2, "ticks": 3, "dotted": 2},
        "font": {"sans": 2, "serif": 3, "mono": 3, "serif-bold": 1},
        "paper": {"letter": 4, "a4": 4, "strip": 1},
    },
    # black-and-white photocopy or fax
    "fax": {
        "layout": {"3x4+1": 10, "3x4": 5, "6x2": 2, "12x1": 1},
        "palette": {"grey": 5, "brick": 3, "faint": 2},
        "grid": {"lines": 5, "coarse": 3, "dots": 2},
        "separator": {"none": 3, "ticks": 3, "line": 2},
        "font": {"mono": 4, "serif-bold": 2, "sans-bold": 2},
        "paper": {"letter": 4, "a4": 4, "strip": 1},
    },
    # narrow thermal roll, faded
    "thermal": {
        "layout": {"3x4+1": 8, "3x4": 6, "6x2": 3, "12x1": 1, "6x2+1": 1},
        "palette": {"orange": 3, "green": 2, "faint": 3, "brick": 3},
        "grid": {"lines": 5, "dots": 3, "coarse": 2},
        "separator": {"none": 2, "dotted": 3, "line": 2},
        "font": {"mono": 5, "sans": 2},
        "paper": {"strip": 1},
    },
    # whatever lies under a phone camera; the photographs we know are mostly cart printouts on dotted or faint grids
    "photo": {
        "layout": {"3x4+1": 12, "3x4": 4, "3x4+3": 2, "6x2": 1},
        "palette": {"brick": 4, "faint": 3, "red": 3, "pink": 2, "grey": 2, "green": 1, "orange": 1},
        "grid": {"lines": 5, "dots": 5},
        "separator": {"dotted": 5, "none": 3, "ticks": 2, "line": 1},
        "font": {"serif-bold": 3, "serif": 4, "sans": 2, "mono": 1},
        "paper": {"strip": 5, "letter": 1, "a4": 2},
    },
}
_PAPERS_MM = {"letter": (279.4, 215.9), "a4": (297.0, 210.0)}


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
    columns, rhythm = LAYOUTS[drawn["layout"]]
    n_rows = len(columns[0]) + len(rhythm)
    if drawn["paper"] == "strip":
        width = float(rng.uniform(264, 292))
        height = float(np.clip(width / aspect, max(95, 15 * n_rows), 240))
    else:
        width, height = _PAPERS_MM[drawn["paper"]]
    header = float(rng.uniform(20, 32)) if height > 190 or rng.random() < 0.1 else 0.0
    footer = float(rng.uniform(6, 10)) if rng.random() < 0.65 else 0.0
    row_mm = (height - header - footer - 8) / n_rows
    gain = 5.0 if row_mm < 16 and rng.random() < 0.75 else 10.0
    if rng.random() < 0.05:
        gain = 5.0 if gain == 10 and rng.random() < 0.7 else 20.0
    paper, minor, major = (_jitter(rng, rgb, 7) for rgb in PALETTES[drawn["palette"]])
    thick = {"vector": 0.26, "office": 0.3, "fax": 0.42, "thermal": 0.36, "photo": 0.3}[source]
    ink = (62, 54, 84) if source == "thermal" else (22, 22, 28)
    return PageStyle(
        source=source,
        layout=drawn["layout"],
        width_mm=width,
        height_mm=height,
        speed=50.0 if rng.random() < 0.03 else 25.0,
        gain=gain,
        sequential=bool(rng.random() < 0.85),
        calibration=_pick(rng, {"left": 6, "right": 2, "none": 1.5}),
        separator=drawn["separator"],
        names=_pick(rng, {"above": 2, "below": 1}),
        font=drawn["font"],
        name_mm=float(rng.uniform(2.2, 3.2)),
        header_mm=header,
        footer_mm=footer,
        side_mm=float(rng.uniform(2, 4)),
        pitch_mm=float(rng.uniform(26, 38)),
        top_mm=float(rng.uniform(2, 5)),
        border_mm=float(rng.choice([0, 0, 3, 5])) if drawn["paper"] != "strip" else 0.0,
        grid=drawn["grid"],
        paper_rgb=paper,
        minor_rgb=minor,
        major_rgb=major,
        minor_mm=float(rng.uniform(0.1, 0.18)),
        major_mm=float(rng.uniform(0.16, 0.3)),
        trace_rgb=_jitter(rng, ink, 18),
        trace_mm=float(thick * rng.uniform(0.8, 1.3)),
    )
