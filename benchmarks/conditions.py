"""Does pre-processing hold where the renderer never went? python benchmarks/conditions.py [--n 8]

Pages and photos here are drawn by a few lines of OpenCV that share nothing with the renderer: another hand's layouts,
grids, inks and scales, and photos from afar, askew, steep, coarse, dark, of screens. One condition at a time, simulated
hearts. A page is right when it is readable and upright, its scale is within 3 % where it claims one, its shape within
1 mm, .2 % of the traces at most lost and 93 % of them drawn where they belong. Writes benchmarks/conditions.json.
"""

from __future__ import annotations

import sys
import zlib

import cv2
import numpy as np
import pandas as pd
from common import options, write

from ecgutils import LEADS
from ecgutils.hearts import simulate
from ecgutils.parallel import for_each
from ecgutils.preprocess import FlatECG, Preprocessor, PreprocessSettings
from ecgutils.signals import Record

PX = 12  # px/mm of the drawn page
CANVAS = PreprocessSettings(size=(768, 384), px_per_mm=2.8, arrange=False)
GRIDS = {  # colours of the 5 mm and of the 1 mm lines
    "red": ((255, 150, 150), (255, 205, 205)),
    "green": ((150, 205, 160), (205, 235, 210)),
    "blue": ((140, 170, 225), (200, 215, 240)),
    "grey": ((150, 150, 150), (205, 205, 205)),
    "dark": ((110, 110, 110), (150, 150, 150)),
}
LAYOUTS = {  # rows and columns of leads, rhythm strips below
    "3x4": (3, 4, 0),
    "3x4+1": (3, 4, 1),
    "3x4+3": (3, 4, 3),
    "6x2": (6, 2, 0),
    "6x2+1": (6, 2, 1),
    "12x1": (12, 1, 0),
}
HEADER = ("Ward 4   12.04.   08:31", "HR 72/min  PR 164 ms  QRS 96 ms", "25 mm/s  10 mm/mV")
PITCH = {3: 38, 4: 32, 6: 24, 7: 21, 12: 14.5}  # mm between rows, by their number
SCAN = {"steep": 0.0, "cover": 1.0, "even": True, "blur": 0.0, "noise": 1, "size": (2480, 1450)}
SCREEN = {"steep": 0.02, "cover": 0.9, "invert": True}
CONDITIONS: dict[str, tuple[dict, dict]] = {
    "plain": ({}, {}),
    **{f"layout {name}": ({"layout": name}, {}) for name in LAYOUTS},
    **{f"{name} grid": ({"grid": name}, {}) for name in GRIDS},
    "5 mm lines only": ({"finest": 5}, {}),
    "dotted grid": ({"dots": True}, {}),
    "no grid": ({"grid": None}, {}),
    "yellowed paper": ({"paper": (245, 232, 210)}, {}),
    "no header, no names": ({"words": False}, {}),
    **{f"{gain} mm/mV": ({"gain": gain}, {}) for gain in (5, 20)},
    "12.5 mm/s": ({"speed": 12.5}, {}),
    **{f"lines of {width} mm": ({"width": width}, {}) for width in (0.15, 0.6)},
    "blue ink": ({"ink": (20, 60, 150)}, {}),
    **{f"turned by {angle} degrees": ({}, {"angle": angle}) for angle in (3, 12, 30, 44, 90, 180, -80)},
    "upside down without words": ({"words": False}, {"angle": 180}),
    **{f"steep, {steep}": ({}, {"steep": steep, "cover": 0.75}) for steep in (0.1, 0.15)},
    **{f"tilted by {t} degrees": ({}, {"tilt": t, "steep": 0, "size": (1730, 1300)}) for t in (25, 40, 55)},
    **{f"{cover:.0%} of the frame": ({}, {"cover": cover}) for cover in (0.5, 0.35)},
    "35% of 12 Mpx": ({}, {"cover": 0.35, "size": (4000, 3000)}),
    **{f"{width} px wide": ({}, {"size": (width, round(0.65 * width))}) for width in (640, 800, 1000, 4000)},
    "JPEG 10": ({}, {"jpeg": 10}),
    "noise": ({}, {"noise": 15}),
    "blur": ({}, {"blur": 2.0}),
    "dark": ({}, {"gamma": 2.2, "light": 0.3}),
    "shadow": ({}, {"light": 0.2}),
    "white desk": ({}, {"table": (230, 228, 225), "texture": 2}),
    "black desk": ({}, {"table": (12, 12, 12), "texture": 2}),
    "close-up": ({}, {"cover": 1.3}),
    "half out of the frame": ({}, {"shift": -0.2}),
    "scan": ({}, SCAN),
    "scan, two levels": ({}, {**SCAN, "levels": True}),
    "portrait scan": ({"portrait": True}, {**SCAN, "size": (1654, 2339)}),
    "screen, no grid": ({"grid": None, "ink": (200, 30, 200)}, SCREEN),
    "screen, white on grey grid": ({"grid": "dark"}, SCREEN),
    "screen, green on green grid": ({"grid": "green", "ink": (200, 30, 200)}, SCREEN),
    "screen, yellow on blue": ({"grid": "blue", "paper": (255, 255, 200), "ink": (20, 40, 255)}, SCREEN),
}


def draw_page(
    record: Record, layout: str = "3x4+1", grid: str | None = "red", finest: int = 1, dots: bool = False,
    paper: tuple = (255, 255, 255), ink: tuple = (20, 20, 20), width: float = 0.3, gain: float = 10, speed: float = 25,
    words: bool = True, portrait: bool = False,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """A page, uint8 (H, W, 3) at PX px/mm, and the points of its traces (N, 2) in px."""
    lead_rows, cols, rhythms = LAYOUTS[layout]
    rows, margin, top = lead_rows + rhythms, 12, 22 if words else 3
    seconds = record.signal_mv.shape[1] / record.fs
    size = np.ceil(np.array([speed * seconds + 2 * margin, rows * PITCH[rows] + 2 * margin + top]) / 5) * 5
    if portrait:
        size[1] = max(size[1], 1.414 * size[0])
    image = np.full((int(size[1] * PX), int(size[0] * PX), 3), paper, np.uint8)
    low, high = np.array([5, top]), np.array([int(size[0]) - 5, top + int((rows * PITCH[rows] + margin) // 5 * 5)])
    for axis in (0, 1) if grid else ():
        for k in range(0, int(high[axis] - low[axis]) + 1, finest):
            ends = np.array([low, high]) * PX
            ends[:, axis] = (low[axis] + k) * PX
            if dots and k % 5:
                for at in range(ends[0, 1 - axis], ends[1, 1 - axis], PX):
                    cv2.circle(image, (ends[0, 0], at) if axis == 0 else (at, ends[0, 1]), 2, GRIDS[grid][1], -1)
            else:
                cv2.line(image, ends[0].tolist(), ends[1].tolist(), GRIDS[grid][k % 5 > 0], 2 if k % 5 else 3)
    count = int(record.signal_mv.shape[1] / cols)
    places = [(lead, lead % lead_rows, lead // lead_rows, count) for lead in range(12)]
    places += [(lead, lead_rows + k, 0, count * cols) for k, lead in enumerate((1, 6, 10)[:rhythms])]
    points = []
    for lead, row, col, samples in places:
        x, y = margin + col * speed * seconds / cols, top + margin / 2 + (row + 0.5) * PITCH[rows]
        part = record.signal_mv[lead, col * count : col * count + samples]
        xy = np.column_stack([x + np.arange(samples) / record.fs * speed, y - part * gain]) * PX
        cv2.polylines(image, [np.rint(xy * 16).astype(np.int32)], False, ink, max(1, round(width * PX)), cv2.LINE_AA, 4)
        points.append(xy)
        if words:
            at = (int((x + 1) * PX), int((y - 8) * PX))
            cv2.putText(image, LEADS[lead], at, cv2.FONT_HERSHEY_DUPLEX, 1.1, ink, 2, cv2.LINE_AA)
    for k, text in enumerate(HEADER if words else ()):
        at = (int((8 + 90 * (k % 2)) * PX), int((7 + 7 * (k // 2)) * PX))
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, 1.2, ink, 2, cv2.LINE_AA)
    return image, np.concatenate(points)


def photograph(
    page: np.ndarray, rng: np.random.Generator, size: tuple[int, int] = (1730, 1100), angle: float = 0,
    steep: float = 0.03, cover: float = 0.85, shift: float = 0, table: tuple = (55, 70, 90), texture: float = 12,
    even: bool = False, light: float = 0.6, gamma: float = 1, blur: float = 0.7, noise: float = 3, jpeg: int = 80,
    invert: bool = False, levels: bool = False, tilt: float = 0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """A photo, uint8 RGB, and the homography (3, 3) from the page; corners are `steep` of the frame off at most.

    The page may lean `tilt` degrees away, any way, before a camera without other faults."""
    (width, height), size = size, np.array(size)
    if abs(angle) == 90:
        (width, height), size = (height, width), size[::-1]
    own = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (np.array(page.shape[1::-1]) - 1)
    turn = np.radians(angle)
    quad = (own - own.mean(0)) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if tilt:  # the page leans away from a camera one to two of its widths off
        way = rng.uniform(0, 2 * np.pi)
        lean, _ = cv2.Rodrigues(np.radians(tilt) * np.array([np.cos(way), np.sin(way), 0]))
        depth = 1 + quad @ lean[2, :2] / (rng.uniform(1, 2) * page.shape[1])
        quad = quad @ lean[:2, :2].T / depth[:, None]
        quad -= (quad.min(0) + quad.max(0)) / 2
    scale = cover * (size / np.ptp(quad, axis=0)).min()
    quad = quad * scale + size * (0.5 + np.array([shift, 0])) + rng.uniform(-1, 1, (4, 2)) * steep * size.min()
    homography = cv2.getPerspectiveTransform(own.astype(np.float32), quad.astype(np.float32))
    ground = cv2.resize(rng.normal(0, texture, (height // 8, width // 3)).astype(np.float32), (width, height))
    ground = np.clip(ground[..., None] + table, 0, 255).astype(np.uint8)
    page, ground = (255 - page, ground // 3) if invert else (page, ground)
    soft = cv2.GaussianBlur(page, (0, 0), 0.45 / scale) if scale < 1 else page
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT
    photo = cv2.warpPerspective(soft, homography, (width, height), ground, flags, border).astype(np.float32)
    if not even:
        falling = cv2.resize(rng.uniform(light, 1, (2, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        photo *= falling[..., None] * rng.uniform(0.88, 1, 3)
    photo = 255 * (np.clip(photo, 0, 255) / 255) ** gamma
    photo = cv2.GaussianBlur(photo, (0, 0), blur) if blur else photo
    photo = np.clip(photo + rng.normal(0, noise, photo.shape), 0, 255).astype(np.uint8)
    if levels:
        photo = np.repeat((cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) > 190)[..., None] * np.uint8(255), 3, axis=2)
    encoded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, jpeg])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR), homography  # the order of colours stays


def score(flat: FlatECG, photo: np.ndarray, page: np.ndarray, points: np.ndarray, homography: np.ndarray) -> dict:
    """What a flat page is worth; angles in degrees, lengths in mm of the paper."""

    def moved(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
        return cv2.perspectiveTransform(xy[None].astype(np.float64), matrix)[0]

    height, width = flat.image.shape
    rows, cols = np.mgrid[:height:4, :width:4].reshape(2, -1)
    source = flat.image_from_flat[rows, cols]
    mm = moved(np.linalg.inv(homography), source) / PX
    end = np.array(photo.shape[1::-1]) - 1
    seen = ((source > 0) & (source < end)).all(1) & ((mm > 0) & (mm < np.array(page.shape[1::-1]) / PX)).all(1)
    to_complex = np.array([1, 1j])
    design = np.column_stack([mm[seen] @ to_complex, np.ones(seen.sum())])
    target = (cols + 1j * rows)[seen]
    fit, *_ = np.linalg.lstsq(design, target, rcond=None)  # similarity: paper mm -> flat px
    placed = points / PX @ to_complex * fit[0] + fit[1]
    shown = ((moved(homography, points) > 2) & (moved(homography, points) < end - 2)).all(1)
    inside = (placed.real > -1) & (placed.real < width) & (placed.imag > -1) & (placed.imag < height)
    drawn = cv2.erode(flat.image, np.ones((5, 5), np.uint8)) < 150
    x, y = (np.clip(np.rint(v).astype(int), 0, n - 1) for v, n in ((placed.real, width), (placed.imag, height)))
    return {
        "turn_deg": abs(float(np.degrees(np.angle(fit[0])))),
        "scale_error": np.nan if flat.flat_px_per_mm is None else abs(abs(fit[0]) / flat.flat_px_per_mm - 1),
        "shape_mm": float(np.sqrt((np.abs(design @ fit - target) ** 2).mean()) / abs(fit[0])),
        "lost": float((shown & ~inside).sum() / max(shown.sum(), 1)),
        "kept": float(drawn[y, x][shown & inside].mean()),
    }


def measure(condition: str, i: int) -> dict:
    """One photo under one condition."""
    rng = np.random.default_rng([80, zlib.crc32(condition.encode()), i])
    about_page, about_photo = CONDITIONS[condition]
    page, points = draw_page(simulate(rng), **about_page)
    photo, homography = photograph(page, rng, **about_photo)
    flat = Preprocessor(CANVAS)(photo)
    row = {
        "condition": condition,
        "readable": flat.readable,
        "quality": flat.quality,
        "reasons": ";".join(flat.reasons),
    }
    if flat.readable:
        row |= score(flat, photo, page, points, homography)
    wrong = row.get("scale_error", 0) > 0.03 or row.get("shape_mm", 9) > 1 or row.get("turn_deg", 180) > 20
    return row | {"right": not wrong and row["lost"] <= 0.002 and row["kept"] >= 0.93}


def main() -> int:
    """Measure, print, write."""
    parser = options(__doc__, "workers", "out")
    parser.add_argument("--n", type=int, default=8, help="photos of each condition")
    parser.add_argument("--only", help="conditions that contain this; nothing is written then")
    args = parser.parse_args()
    wanted = [name for name in CONDITIONS if (args.only or "") in name]
    table = pd.DataFrame(for_each(measure, [(name, i) for name in wanted for i in range(args.n)], args.workers))
    named = {"readable": ("readable", "mean"), "right": ("right", "mean"), "quality": ("quality", "mean")}
    worst = {"kept": ("kept", "min"), "lost": ("lost", "max"), "shape_mm": ("shape_mm", "max")}
    by = table.groupby("condition", sort=False).agg(**named, **worst).round(4)
    print(by.to_string(), table.loc[~table["right"]].round(3).to_string(), sep="\n\n")
    sure = table["readable"] & (table["reasons"] == "") & ~table["right"]
    print(f"\nright: {table['right'].mean():.3f}; wrong without a reason: {sure.sum()} of {len(table)}")
    if not args.only:
        report = {"photos": len(table), "right": table["right"].mean(), "wrong_without_a_reason": int(sure.sum())}
        write(report | {"conditions": by.reset_index().to_dict("records")}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
