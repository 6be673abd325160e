"""What the reader makes of pages it has never seen: python benchmarks/reader.py [--share 1.0] [--only traces]

Every part draws its own pages (default_rng([SEED, part, i])), at most as many as PARTS says; `--share` draws fewer.
traces   fresh scans and photos of every source: F1 of the ink on the flat page, at 4 px/mm, within 1 px of the truth
foreign  the same for pages that matplotlib and, when installed, pmecg draws
hard     dark dense grids, coloured traces, words all over, creases: mm2 of ink that is neither trace nor print, a page
small    dark grids on a third of the frame, textured tables: refused, or traces lost
readable ordinary renders: refused
leads    every layout, all four turns: leads whose box is right, pages that are upright
units    both speeds and three gains, with and without legend and pulse
coarse   photos reduced to so many px/mm: refused, and by how much the answers of `small` change
negative pictures of other things and of parts of ECGs (negatives.py): read without a refusal or "leads_missing"
Runs with older versions of the package too, which know no leads. Writes benchmarks/reader.json.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
from common import options, write
from conditions import photograph
from negatives import KINDS, draw_negative
from reader_pages import blurred, draw_hard, odd_style
from render import with_matplotlib, with_pmecg
from scipy.special import expit

from ecgutils.findings import LEADS
from ecgutils.geometry import apply_homography
from ecgutils.hearts import simulate
from ecgutils.parallel import for_each
from ecgutils.preprocess import FlatECG, Preprocessor, PreprocessSettings
from ecgutils.preprocess.pipeline import rectify
from ecgutils.synth import SCAN_SOURCES, draw_style, render_page, render_photo, render_scan
from ecgutils.synth.style import LAYOUTS

SEED = 20263
FINE = PreprocessSettings(size=(1240, 920), px_per_mm=4, arrange=False)
PARTS = {"traces": 300, "foreign": 100, "hard": 100, "small": 150, "readable": 500, "leads": 200, "units": 120,
         "negative": 200, "coarse": 60}  # fmt: skip
COARSER = (3.0, 2.5, 2.0, 1.7, 1.4, 1.2, 1.0)  # px/mm


def f1(flat: FlatECG, trace: np.ndarray) -> float:
    """Of dark px of a flat page against the trace uint8 (H, W) of the image, each within 1 px of the other."""
    if not flat.readable:
        return np.nan
    truth, drawn = on_flat(flat, trace) > 100, flat.image < 128
    near, ring = (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for mask in (truth, drawn))
    precision, recall = near[drawn].mean() if drawn.any() else 0.0, ring[truth].mean() if truth.any() else 0.0
    return float(2 * precision * recall / max(precision + recall, 1e-6))


def on_flat(flat: FlatECG, trace: np.ndarray) -> np.ndarray:
    """The trace of the image, uint8 (h, w), on the flat page: as wide as it is drawn there, about 0.5 mm."""
    step = np.linalg.norm(np.diff(flat.image_from_flat[len(flat.image) // 2, 300:940], axis=0), axis=1).mean()
    soft = cv2.GaussianBlur(trace, (0, 0), 0.4 * step) if step > 1.2 else trace
    return cv2.dilate(cv2.remap(soft, flat.image_from_flat, None, cv2.INTER_LINEAR), np.ones((3, 3), np.uint8))


def traces(rng: np.random.Generator, i: int) -> dict:
    """A fresh scan, or photo of a source's usual severity."""
    record = simulate(rng)
    if i % 2:
        rendered = render_photo(record, rng, size=(int(rng.integers(1280, 2600)), int(rng.integers(800, 1300))))
    else:
        rendered = render_scan(record, rng, SCAN_SOURCES[i // 2 % len(SCAN_SOURCES)], (1650, 1275))
    flat = Preprocessor(FINE)(rendered.image)
    return {"f1": f1(flat, rendered.trace_mask), "readable": flat.readable, "why": ";".join(flat.reasons)}


def programs() -> list:
    """Those of other people that draw pages here."""
    return [with_matplotlib()] + ([with_pmecg()] if importlib.util.find_spec("pmecg") else [])


def foreign(rng: np.random.Generator, i: int) -> dict:
    """A page of another program; its traces are where it differs from one without a heart."""
    draw, record = programs()[i % len(programs())], simulate(rng)
    image = draw(record, i)
    empty = draw(replace(record, signal_mv=np.full_like(record.signal_mv, 40.0)), i)
    trace = (cv2.absdiff(image, empty).max(2) > 60).astype(np.uint8) * 255
    flat = Preprocessor(FINE)(image)
    return {"f1": f1(flat, trace), "readable": flat.readable, "program": i % len(programs())}


def hard(rng: np.random.Generator, i: int) -> dict:
    """mm2 on the flat page that is neither near a trace nor in the box of a word or pulse."""
    image, trace, to_page, words = draw_hard(rng, [], odd=True)
    flat = Preprocessor(FINE)(image)
    row = {"readable": flat.readable, "why": ";".join(flat.reasons), "f1": f1(flat, trace)}
    if not flat.readable:
        return row
    ink = (flat.image < 128) & (cv2.dilate(on_flat(flat, trace), np.ones((13, 13), np.uint8)) < 60)
    y, x = np.nonzero(ink)
    page = to_page(flat.image_from_flat[y, x].astype(float))
    boxes = np.array([word[1:] for word in words], float).reshape(-1, 4)
    pad = 0.01 * np.ptp(boxes[:, ::2])
    low, high = page[:, None] > boxes[:, :2] - pad, page[:, None] < boxes[:, 2:] + pad
    stray = ~(low & high).all(2).any(1)
    return row | {"stray_mm2": float(stray.sum() / (flat.flat_px_per_mm or 4.0) ** 2)}


def small(rng: np.random.Generator, i: int) -> dict:
    """A page that fills a third of the frame's width, dark dense grid, textured table, soft shadow."""
    style = replace(draw_style(rng, "photo", 1.4), minor_rgb=(120, 120, 122), major_rgb=(70, 70, 74), grid="lines",
                    minor_mm=0.12, major_mm=0.2)  # fmt: skip
    rendered = render_page(simulate(rng), rng, style, 9.0)
    size = (int(rng.integers(3000, 4000)), 2400)
    photo, homography = photograph(
        rendered.image, rng, size, cover=rng.uniform(0.3, 0.42), texture=rng.uniform(10, 35), angle=rng.normal(0, 4),
        table=tuple(rng.integers(30, 160, 3).tolist()), light=0.5,
    )  # fmt: skip
    trace = cv2.warpPerspective(blurred(rendered.trace_mask, homography), homography, size)
    flat = Preprocessor(FINE)(photo)
    score = f1(flat, trace)
    lost = 1.0
    if flat.readable:
        seen = np.zeros(trace.shape, np.uint8)
        at = np.rint(flat.image_from_flat[::2, ::2].reshape(-1, 2)).astype(int)
        at = at[((at >= 0) & (at < size)).all(1)]
        seen[at[:, 1], at[:, 0]] = 1
        lost = 1 - float((cv2.dilate(seen, np.ones((9, 9), np.uint8))[trace > 60]).mean())
    return {"readable": flat.readable, "lost": lost, "cut": lost > 0.02, "f1": score, "why": ";".join(flat.reasons)}


def readable(rng: np.random.Generator, i: int) -> dict:
    """An ordinary render."""
    record, source = simulate(rng), (*SCAN_SOURCES, "photo")[i % (len(SCAN_SOURCES) + 1)]
    rendered = render_photo(record, rng) if source == "photo" else render_scan(record, rng, source)
    start = time.process_time()
    flat = Preprocessor()(rendered.image)
    seconds = time.process_time() - start
    return {"readable": flat.readable, "why": ";".join(flat.reasons), "seconds": seconds, "source": source}


def leads(rng: np.random.Generator, i: int) -> dict:
    """Share of a page's boxes that overlap the truth by over .8 along x and lie in its row; and which way is up."""
    layout = list(LAYOUTS)[i % len(LAYOUTS)]
    style = replace(draw_style(rng, "photo" if i % 2 else str(rng.choice(SCAN_SOURCES)), 1.4), layout=layout)
    style = odd_style(rng, style, layout) if rng.random() < 0.3 else style
    rendered = render_page(simulate(rng), rng, style, 7.0)
    turn = i // len(LAYOUTS) % 4
    photo, homography = photograph(rendered.image, rng, (2000, 1400), angle=[0, 90, 180, -90][turn], cover=0.9)
    flat = Preprocessor(FINE)(photo)
    row = {"layout": layout, "readable": flat.readable, "why": ";".join(flat.reasons), "turn": turn}
    if not flat.readable:
        return row
    back = np.linalg.inv(homography)
    middle = apply_homography(back, flat.image_from_flat[460, [400, 840]].astype(float))
    row["upright"] = float((middle[1] - middle[0])[0] > abs((middle[1] - middle[0])[1]))
    found = getattr(flat, "lead_boxes", {})
    right = []
    for lead in LEADS:
        if lead in found:
            x0, y0, x1, y1 = np.clip(np.rint(found[lead]).astype(int), 0, [1239, 919, 1239, 919])
            corners = apply_homography(back, flat.image_from_flat[[y0, y1], [x0, x1]].astype(float))
            a, b = np.r_[corners.min(0), corners.max(0)], rendered.lead_boxes[lead]
            along = (min(a[2], b[2]) - max(a[0], b[0])) / max(max(a[2], b[2]) - min(a[0], b[0]), 1)
            pitch = {3: 30, 4: 26, 5: 24, 6: 20, 7: 17, 12: 12}.get(int(layout.split("x")[0]), 20) * rendered.px_per_mm
            right.append(along > 0.8 and abs(a[1::2].mean() - b[1::2].mean()) < 0.5 * pitch)
        else:
            right.append(False)
    return row | {"right": float(np.mean(right)), "found": flat.layout if found else ""}


def units(rng: np.random.Generator, i: int) -> dict:
    """Speed and gain of a page of known ones."""
    speed, gain = (25.0, 50.0)[i % 2], (5.0, 10.0, 20.0)[i // 2 % 3]
    style = replace(
        draw_style(rng, "photo", 1.4), speed=speed, gain=gain, chest_gain=None, layout="6x2" if i % 4 else "3x4"
    )
    style = replace(style, calibration=["left", "none"][i // 6 % 2], footer_mm=[8.0, 0.0][i // 12 % 2])
    photo, _ = photograph(render_page(simulate(rng), rng, style, 7.0).image, rng, (2000, 1400), cover=0.9)
    flat = Preprocessor(FINE)(photo)
    told = "told" if style.footer_mm or style.calibration != "none" else "untold"
    row = {"speed": speed, "gain": gain, "told": told, "legend": bool(style.footer_mm), "readable": flat.readable}
    if getattr(flat, "units", None) is None:
        return row
    u = flat.units
    row |= {"speed_right": float(u.speed_mm_s == speed), "gain_right": float(u.gain_mm_mv == gain)}
    return row | {"unsure": float("speed_unsure" in flat.reasons)}


def negative(rng: np.random.Generator, i: int) -> dict:
    """A picture that must not be read in silence."""
    kind = list(KINDS)[i % len(KINDS)]
    image, _ = draw_negative(kind, rng)
    flat = Preprocessor()(image)
    warned = any(reason.startswith("leads_missing") for reason in flat.reasons)
    return {
        "kind": kind,
        "silent": flat.readable and not warned,
        "readable": flat.readable,
        "why": ";".join(flat.reasons),
    }


def coarse(rng: np.random.Generator, i: int) -> dict:
    """Largest change of a probability where a photo of known px/mm is reduced; a refusal is none."""
    from ecgutils.learn import load_model

    model = load_model("small")
    image = render_photo(simulate(rng), rng, size=(1600, 880)).image

    def answer(picture: np.ndarray) -> np.ndarray | None:
        flat = Preprocessor(model.settings)(picture)
        return expit(model.logits(flat.image[None])[0]) if flat.readable else None

    px_per_mm, full = rectify(image, model.settings).px_per_mm, answer(image)
    row: dict = {"readable": full is not None and px_per_mm is not None, "why": ""}
    for wanted in COARSER if row["readable"] and px_per_mm > COARSER[0] else ():
        share = wanted / px_per_mm
        small = answer(cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))
        row |= {f"{wanted} refused": float(small is None)}
        row |= {} if small is None else {f"{wanted} change": float(np.abs(small - full).max())}
    return row


ROWS = {row.__name__: row for row in (traces, foreign, hard, small, readable, leads, units, negative, coarse)}


def measure(row: Callable[..., dict], part: int, i: int) -> dict:
    """Row i of a part."""
    return {"i": i} | row(np.random.default_rng([SEED, part, i]), i)


def main() -> int:
    """Measure, print, write."""
    parser = options(__doc__, "workers", "out")
    parser.add_argument("--share", type=float, default=1.0, help="of the pages of each part")
    parser.add_argument("--only", help="parts, separated by commas; nothing is written then unless --out is given")
    args = parser.parse_args()
    report: dict = {}
    for part in (args.only or ",".join(PARTS)).split(","):
        rows = [(ROWS[part], list(PARTS).index(part), i) for i in range(max(1, round(PARTS[part] * args.share)))]
        table = pd.DataFrame(for_each(measure, rows, args.workers))
        numbers = table.select_dtypes(["number", "bool"]).drop(columns="i").astype(float)
        report[part] = {"pages": len(table), **numbers.mean().round(4)}
        if "f1" in table:
            report[part]["f1_worst_tenth"] = float(table["f1"].quantile(0.1))
        for by in {"traces": (), "leads": ("layout", "turn"), "units": ("told", "legend"), "foreign": ("program",)}.get(
            part, ()
        ):
            report[part][f"by_{by}"] = numbers.groupby(table[by]).mean().round(4).to_dict("index")
        print(part, report[part])
        bad = table.loc[~table["readable"]] if part != "negative" else table.loc[table["silent"]]
        print(bad.to_string() if len(bad) else "")
    if not args.only or args.out:
        write({"parts": report}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
