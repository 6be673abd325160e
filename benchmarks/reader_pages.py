"""Pages the reader learns from, with the truth about each pixel, carried through the maps of our own rectification.

Pages of every source, layout and severity, and pictures of other things (negatives.py); page i comes from
default_rng([SEED, i]). `reader_weights.py` draws them, and `reader.py` takes its hard pages from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from conditions import photograph
from negatives import KINDS, draw_negative
from PIL import Image, ImageDraw, ImageFont

from ecgutils.findings import LEADS
from ecgutils.geometry import apply_homography, smooth_map
from ecgutils.hearts import simulate
from ecgutils.preprocess import PreprocessSettings
from ecgutils.preprocess.pipeline import rectify
from ecgutils.reader.leads import MARKS
from ecgutils.signals import Record
from ecgutils.synth import SCAN_SOURCES, PageStyle, Rendered, draw_style, render_page, render_photo, render_scan
from ecgutils.synth.style import LAYOUTS

SEED = 20264
MISLED = 0.15  # of the pages: their beats are those of a page that is upside down, their letters are not
UNKNOWN = 255  # in a map of marks: no label
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
FONTS = ("DejaVu*.ttf", "STIXGeneral*.ttf", "cmr10.ttf", "cmss10.ttf", "cmtt10.ttf", "cmb10.ttf")
LEGEND = re.compile(r"(?<![\d.,/])(25|50|5|10|20)(?:[.,]0+)? ?(mm ?/ ?s|mm ?/ ?mV)", re.IGNORECASE)
WORDS = (
    *LEADS, "-aVR", "25 mm/s", "25mm/sec", "Speed: 25mm/s", "50 mm/s", "50mm/s", "12.5 mm/s", "10 mm/mV", "10mm/mV",
    "Limb: 10 mm/mV", "Chest: 10 mm/mV", "Gain 5 mm/mV", "20mm/mV", "5mm/mV", "150 Hz", "Vent. rate 67 BPM", "V4R",
    "AVR", "AVL", "AVF", "PR interval 188 ms", "QT/QTc 386/407", "Normal ECG", "Sinus rhythm", "Unconfirmed", "Female",
    "Age 54", "Referred by", "Loc: 3", "Lead", "P-R-T axes 54 12 33", "ID: 4711", "12:31:05", "Technician",
    "V", "VI", "IV",
)  # fmt: skip
LEGENDS = (
    ("{} mm/s", "{}mm/s", "{} mm/sec", "{}mm/sec", "{}.0 mm/s", "Speed: {} mm/s", "SPEED {}mm/s", "{} MM/S",
     "{} mm / s"),
    ("{} mm/mV", "{}mm/mV", "{}.0 mm/mV", "{},0 mm/mV", "Gain {} mm/mV", "Limb: {} mm/mV", "Chest: {} mm/mV",
     "{} mm/mv", "{} MM/MV", "C: {} mm/mV"),
)  # fmt: skip


def odd_style(rng: np.random.Generator, style: PageStyle, layout: str | None = None) -> PageStyle:
    """A page style further out than any source draws: dark dense grids, coloured traces, frames, other scales."""
    new: dict = {"layout": layout or str(rng.choice(list(LAYOUTS)))}
    if rng.random() < 0.45:  # printed in black and white: the grid may be as dark as the trace
        grey = np.clip(rng.uniform(15, 150) + rng.normal(0, 3, 3), 0, 255).astype(int)
        new |= {
            "minor_rgb": tuple((grey + rng.integers(0, 60)).clip(0, 255).tolist()),
            "major_rgb": tuple(grey.tolist()),
        }
        new |= {"minor_mm": rng.uniform(0.06, 0.16), "major_mm": rng.uniform(0.1, 0.28), "paper_rgb": (250, 250, 248)}
        new |= {"grid": str(rng.choice(["lines", "lines", "dots", "coarse", "millimetre", "none"]))}
    if rng.random() < 0.35:
        hues = (
            (20, 60, 170),
            (160, 20, 30),
            (20, 110, 50),
            (110, 30, 130),
            (90, 90, 95),
            (30, 30, 200),
            (200, 40, 120),
        )
        new["trace_rgb"] = hues[int(rng.integers(len(hues)))]
    if rng.random() < 0.15:
        new["chest_rgb"] = [(15, 15, 20), (170, 20, 30), (20, 40, 160), (90, 90, 90)][int(rng.integers(4))]
    if rng.random() < 0.3:
        new |= {"speed": float(rng.choice([50, 25])), "gain": float(rng.choice([5, 10, 20]))}
    new |= {"frame": bool(rng.random() < 0.25), "name_mm": float(rng.uniform(1.7, 4.8))}
    if rng.random() < 0.5:
        new["separator"] = str(rng.choice(["line", "line", "dotted", "cross", "ticks"]))
    new |= {"trace_mm": float(rng.uniform(0.15, 0.75)), "pitch_mm": float(rng.uniform(18, 40))}
    if rng.random() < 0.3:
        new["border_mm"] = float(rng.uniform(2, 15))
    return replace(style, **new)


def fonts(more: Path | None) -> list[Path]:
    """All font files that may be used."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = [path for pattern in FONTS for path in folder.glob(pattern) if "Display" not in path.name]
    return sorted(found) + (sorted(more.rglob("*.[to]tf")) if more else [])


def add_words(rendered: Rendered, rng: np.random.Generator, faces: list[Path]) -> Rendered:
    """Words, rulings and boxes all over a flat page; `style["words"]` tells where the words are."""
    page, words, ppm = Image.fromarray(rendered.image), list(rendered.style["words"]), rendered.px_per_mm
    drawing = ImageDraw.Draw(page)
    ink = tuple(int(v) for v in rng.integers(0, 110) + rng.integers(-10, 40, 3).clip(0))
    for _ in range(int(rng.integers(0, 4))):  # a header line, a frame, a table's rule
        (x0, y0), (x1, y1) = np.sort(rng.uniform(0, 1, (2, 2)) * page.size, axis=0).astype(int).tolist()
        thick = max(1, round(rng.uniform(0.15, 0.5) * ppm))
        shape = int(rng.integers(4))
        if shape == 0:
            drawing.rectangle([x0, y0, x1, y1], outline=ink, width=thick)
        else:
            drawing.line([(x0, y0), (x1, y0) if shape < 3 else (x0, y1)], fill=ink, width=thick)
    face = ImageFont.truetype(str(faces[int(rng.integers(len(faces)))]), round(rng.uniform(1.9, 6.5) * ppm))
    plotter = int(rng.choice(HERSHEY)) if rng.random() < 0.25 else None
    scale, thick = rng.uniform(1.6, 4) * ppm / 21, max(1, round(rng.uniform(0.15, 0.45) * ppm))
    boxes: list[list[float]] = [list(word[1:]) for word in words]
    lines: list[tuple[str, tuple[int, int]]] = []
    for _ in range(int(rng.integers(4, 50))):
        text, at = str(rng.choice(WORDS)), tuple(rng.uniform(0, 0.97, 2) * page.size)
        if rng.random() < 0.2:
            which = int(rng.integers(2))
            text = str(rng.choice(LEGENDS[which])).format(rng.choice([(25, 50), (5, 10, 20)][which]))
        box = drawing.textbbox(at, text, font=face)
        if plotter is not None:
            (wide, high), _ = cv2.getTextSize(text, plotter, scale, thick)
            box = (at[0], at[1], at[0] + wide, at[1] + high)
        if not any(box[0] < b[2] and box[2] > b[0] and box[1] < b[3] and box[3] > b[1] for b in boxes):
            if plotter is None:
                drawing.text(at, text, fill=ink, font=face)
            else:
                lines.append((text, (round(box[0]), round(box[3]))))
            words.append((text, *box))
            boxes.append(list(box))
    image = np.array(page)
    for text, at in lines:
        cv2.putText(image, text, at, plotter, scale, ink, thick, cv2.LINE_AA)
    return replace(rendered, image=image, style={**rendered.style, "words": words})


def crease(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Folds: a soft bright and dark line pair across the picture, straight or nearly."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    gain = np.ones((height, width), np.float32)
    for _ in range(int(rng.integers(1, 6))):
        angle, at = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1), rng.uniform(0.1, 0.9, 2) * (width, height)
        off = (x - at[0]) * np.cos(angle) + (y - at[1]) * np.sin(angle) + 4 * np.sin(x * 0.01 + y * 0.013)
        wide = rng.uniform(0.002, 0.012) * width
        gain += rng.uniform(-0.3, 0.15) * np.exp(-((off / wide) ** 2)) + rng.uniform(-0.15, 0.2) * np.tanh(
            off / wide
        ) * np.exp(-np.abs(off) / (8 * wide))
    return np.clip(image * gain[..., None], 0, 255).astype(np.uint8)


def shaken(record: Record, rng: np.random.Generator) -> Record:
    """A trembling arm: waves of 3 to 12 Hz, in the leads of that arm or of all limbs."""
    n, fs = record.signal_mv.shape[1], record.fs
    phase = (
        2 * np.pi * np.cumsum(rng.uniform(3, 12) * (1 + 0.15 * cv2.resize(rng.normal(0, 1, (1, 40)), (n, 1))[0])) / fs
    )
    size = rng.uniform(0.05, 0.7) * (0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * np.arange(n) / fs))
    wave = size * (np.sin(phase) + rng.uniform(0, 0.5) * np.sin(2 * phase + 1) + rng.normal(0, 0.15, n))
    arms = [(1, 0, -1, -0.5, 1, -0.5), (1, 1, 0, -1, 0.5, 0.5), (0, 1, 1, -0.5, -0.5, 1)][int(rng.integers(3))]
    return replace(record, signal_mv=record.signal_mv + np.outer([*arms, *[0.1] * 6], wave).astype(np.float32))


def fade(rendered: Rendered, rng: np.random.Generator) -> Rendered:
    """Steep strokes paler than the rest, as fast pens and coarse scanners leave them."""
    mask, ppm = (rendered.trace_mask > 60).astype(np.uint8), rendered.px_per_mm
    steep = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((round(rng.uniform(1.2, 3) * ppm), 1), np.uint8))
    share = cv2.GaussianBlur(cv2.dilate(steep, np.ones((1, 5), np.uint8)).astype(np.float32), (0, 0), 0.4 * ppm)
    share = (share * rng.uniform(0.3, 0.8))[..., None] * (rendered.trace_mask[..., None] / 255)
    paper = cv2.medianBlur(rendered.image, 2 * round(0.7 * ppm) + 1).astype(np.float32)
    image = rendered.image + (np.maximum(paper, rendered.image) - rendered.image) * share
    return replace(rendered, image=np.clip(image, 0, 255).astype(np.uint8))


def lay_hairs(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Curved hairs and fine wrinkles, which no trace is."""
    side, out = max(image.shape[:2]), image.copy()
    for _ in range(int(rng.integers(1, 4))):
        turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.06, 60) + rng.normal(0, 0.05))
        xy = rng.uniform(0, 1, 2) * image.shape[1::-1] + np.cumsum(
            np.stack([np.cos(turns), np.sin(turns)], -1) * rng.uniform(0.05, 0.3) * side / 60, axis=0
        )
        colour = (np.array([90, 70, 50]) + rng.integers(-40, 60)).tolist()
        cv2.polylines(out, [np.rint(xy * 8).astype(np.int32)], False, colour, 1, cv2.LINE_AA, 3)
    return cv2.addWeighted(image, 1 - (share := rng.uniform(0.3, 0.8)), out, share, 0)


Drawn = tuple[np.ndarray, np.ndarray, Callable | None, list]


def draw(rng: np.random.Generator, faces: list[Path]) -> Drawn:
    """An image, where its traces are (H, W), image px -> page px, and the words of the page; no page: None and none."""
    record = simulate(rng)
    if rng.random() < MISLED:
        record = replace(record, signal_mv=np.ascontiguousarray(-record.signal_mv[:, ::-1]))
    if rng.random() < 0.12:
        record = shaken(record, rng)
    kind = rng.random()
    if kind < 0.2:
        image, trace = draw_negative(str(rng.choice(list(KINDS))), rng)
        return image, np.zeros(image.shape[:2], np.uint8) if trace is None else trace, None, []
    odd = rng.random() < 0.6
    if kind < 0.38:
        size = (1100, 850) if rng.random() < 0.5 else (int(rng.integers(900, 1800)), int(rng.integers(700, 1300)))
        rendered = render_scan(record, rng, str(rng.choice(SCAN_SOURCES)), size)
    elif kind < 0.65:
        width = int(rng.integers(1200, 2600))
        size = (width, round(width * rng.uniform(0.52, 0.75)))
        style = draw_style(rng, "photo", size[0] / size[1])
        rendered = render_photo(record, rng, size=size, style=odd_style(rng, style) if odd else style)
    else:
        return draw_hard(rng, faces, odd, record)
    return rendered.image, rendered.trace_mask, rendered.projection.to_page, rendered.style["words"]


def draw_hard(rng: np.random.Generator, faces: list[Path], odd: bool, record: Record | None = None) -> Drawn:
    """The same of a page with words all over, where there are `faces`, creased, photographed or in two levels."""
    style = draw_style(rng, str(rng.choice([*SCAN_SOURCES, "photo"])), float(rng.uniform(1.2, 1.9)))
    ppm = float(rng.uniform(4, 9))
    page = render_page(record or simulate(rng), rng, odd_style(rng, style) if odd else style, ppm)
    page = add_words(page, rng, faces) if faces and rng.random() < 0.8 else page
    page = fade(page, rng) if rng.random() < 0.35 else page
    image, trace, back = page.image, page.trace_mask, np.eye(3)
    if rng.random() < 0.5:
        image = crease(image, rng)
    if rng.random() < 0.15:
        image = lay_hairs(image, rng)
    if rng.random() < 0.6:
        longer = int(rng.integers(1000, 2600))
        how = {"size": (longer, round(longer * rng.uniform(0.56, 0.78))), "steep": rng.uniform(0, 0.08)}
        how |= {"cover": rng.uniform(0.35, 1.1), "blur": rng.uniform(0, 1.4), "noise": rng.uniform(0, 9)}
        how |= {"angle": float(rng.choice([0, 0, 0, 0, 90, 180, -90]) + rng.normal(0, 3)), "light": rng.uniform(0.3, 1)}
        how |= {"table": tuple(rng.integers(10, 235, 3).tolist()), "texture": rng.uniform(2, 30)}
        image, homography = photograph(np.ascontiguousarray(image), rng, jpeg=int(rng.integers(45, 95)), **how)
        trace = cv2.warpPerspective(blurred(trace, homography), homography, image.shape[1::-1])
        back = np.linalg.inv(homography)
    elif rng.random() < 0.35:  # a coarse scan
        share = rng.uniform(1.7, 3.5) / ppm
        back, trace = np.diag([1 / share, 1 / share, 1]), cv2.GaussianBlur(trace, (0, 0), 0.45 / share)
        image, trace = (
            cv2.resize(part, None, fx=share, fy=share, interpolation=cv2.INTER_AREA) for part in (image, trace)
        )
    elif rng.random() < 0.3:
        level = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > rng.uniform(150, 215)
        image = np.repeat(level[..., None] * np.uint8(255), 3, axis=2)
    return image, trace, lambda xy: apply_homography(back, xy), page.style["words"]


def blurred(trace: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Softened as far as the map makes it smaller."""
    scale = np.sqrt(abs(np.linalg.det(homography[:2, :2])))
    return cv2.GaussianBlur(trace, (0, 0), 0.45 / scale) if scale < 1 else trace


def labels(words: list) -> list[tuple[int, np.ndarray]]:
    """Number of a mark (1 + its place in MARKS) and box (4,) of each word; of a legend, its digits are the mark."""
    found = []
    for text, *box in words:
        name = str(text).lstrip("-")
        name = {"AVR": "aVR", "AVL": "aVL", "AVF": "aVF"}.get(name, name)
        box = np.array(box, float)
        found.append((1 + MARKS.index(name if name in (*LEADS, "pulse") else "print"), box))
        for match in LEGEND.finditer(str(text)):
            start, stop = (box[0] + (box[2] - box[0]) * at / len(text) for at in match.span(1))
            unit = "mm/mV" if match[2].lower().endswith("v") else "mm/s"
            found.append((1 + MARKS.index(f"{match[1]} {unit}"), np.array([start, box[1], stop, box[3]])))
    return sorted(found, key=lambda mark: mark[0] == 1 + len(MARKS) - 1, reverse=True)  # the others over "print"


def make_page(i: int, folder: Path, more_fonts: Path | None) -> int:
    """Draw and rectify page i into FOLDER: even (h, w, 3), trace (h, w), marks (h/4, w/4), the turn to be upright."""
    path = folder / f"{i:05d}.npz"
    if path.exists():
        return i
    rng = np.random.default_rng([SEED, i])
    image, trace, to_page, words = draw(rng, fonts(more_fonts))
    seen = rectify(np.ascontiguousarray(image), PreprocessSettings())
    height, width = (n // 16 * 16 for n in seen.even.shape[:2])
    xy = smooth_map(seen.to_image, (width, height), 8)
    step = np.linalg.norm(np.diff(xy[height // 2, width // 2 - 8 : width // 2 + 8], axis=0), axis=1).mean()
    soft = cv2.GaussianBlur(trace, (0, 0), 0.4 * step) if step > 1.2 else trace
    on_plane = cv2.remap(soft, xy, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    on_plane = np.clip(on_plane * 1.5, 0, 255).astype(np.uint8)
    marks, turn = np.zeros((height // 4, width // 4), np.uint8), -1
    if to_page is None:
        marks[:] = UNKNOWN if (trace > 0).any() else 0
    else:
        cells = xy[2::4, 2::4].astype(float)
        page = to_page(cells.reshape(-1, 2)).reshape(cells.shape)
        middle = np.array(page.shape[:2]) // 2
        right = page[middle[0], middle[1] + 1] - page[middle[0], middle[1]]
        turn = round(np.degrees(np.arctan2(right[1], right[0])) / 90) % 4  # clockwise quarter turns to upright
        pad = 0.15 * np.linalg.norm(right)
        for number, (x0, y0, x1, y1) in labels(words):
            inside = (page[..., 0] > x0 - pad) & (page[..., 0] < x1 + pad) & (page[..., 1] > y0 - pad)
            marks[inside & (page[..., 1] < y1 + pad)] = number
    np.savez(path, even=seen.even[:height, :width], trace=on_plane, marks=marks, turn=turn)
    return i
