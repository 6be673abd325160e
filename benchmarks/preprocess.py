"""Measure pre-processing on fresh photo-like renders: python benchmarks/preprocess.py [--n 500] [--workers 2]

Row i is simulated and rendered from default_rng([SEED, i]) at 3460 x 1900; nothing else uses this seed. The
distribution of effects is frozen here and harder than the renderer's own, in which strong light, blur and noise are
rare. The same photos go through arms that leave stages out and through a plain OpenCV scanner (largest contour with
four corners). Writes benchmarks/preprocess.json: the figures of every arm, a table by effect and severity, and the
seconds of processor time after decoding. `lost` is the share of the traces that the flat page does not show;
`cache_read_ms` what it takes to read one page, at random, from a flat cache of 2,000.
`--stability N` measures instead what changes when N of the photos are saved again, cropped, turned or scaled, and
writes benchmarks/preprocess_stability.json.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import options, write

from ecgutils.files import content_hash
from ecgutils.geometry import affine, apply_homography, quarter_turns
from ecgutils.hearts import simulate
from ecgutils.parallel import for_each
from ecgutils.preprocess import FlatCache, FlatECG, Preprocessor, PreprocessSettings
from ecgutils.synth import EFFECTS, Rendered, render_photo

SEED = 500_500  # frozen
SIZE = (3460, 1900)
# Share of photos without an effect, a fifth where none is given; else its severity is uniform in 0..1
ABSENT = {"framing": 0.1, "crumple": 0.85, "stain": 0.8, "clutter": 0.6, "glare": 0.5, "blur": 0.35, "moire": 0.93,
          "sharpen": 0.4, "jpeg": 0.4}  # fmt: skip
CANVAS = {"size": (320, 160), "px_per_mm": 1.17, "arrange": False}  # the page is measured, not its leads
ARMS = {
    "full": PreprocessSettings(**CANVAS),
    "homography only": PreprocessSettings(**CANVAS, unbend=False),
    "crop only": PreprocessSettings(**CANVAS, rectify=False, unbend=False, upright=False),
}
OUT = Path(__file__).with_name("preprocess_stability.json")


def scan_document(rgb: np.ndarray) -> np.ndarray:
    """The textbook scanner: Canny, the largest contour that four corners describe; the frame when there is none."""
    height, width = rgb.shape[:2]
    scale = 800 / max(height, width)
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    edges = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (5, 5), 0), 50, 150)
    edges = cv2.dilate(edges, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:5]:
        corners = cv2.approxPolyDP(contour, 0.02 * cv2.arcLength(contour, True), True)[:, 0]
        if len(corners) == 4 and cv2.contourArea(contour) > 0.1 * small.shape[0] * small.shape[1]:
            corners = corners[np.argsort(np.arctan2(*(corners - corners.mean(0)).T[::-1]))]
            return np.roll(corners, -int(corners.sum(1).argmin()), axis=0) / scale
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)


def overlap(found: np.ndarray, true: np.ndarray, shape: tuple[int, ...]) -> float:
    """Intersection over union of two outlines (4, 2), of what the picture shows of them."""
    scale = 600 / max(shape)
    masks = []
    for quad in (found, true):
        mask = np.zeros([round(n * scale) for n in shape[:2]], np.uint8)
        masks.append(cv2.fillPoly(mask, [np.rint(quad * scale).astype(np.int32)], 1))
    return float((masks[0] & masks[1]).sum() / max((masks[0] | masks[1]).sum(), 1))


def score_outline(quad: np.ndarray, rendered: Rendered) -> dict[str, float]:
    """Corner error (% of the page's diagonal, whatever the starting corner) and IoU."""
    true = rendered.quad_xy
    errors = [np.linalg.norm(np.roll(quad, k, axis=0) - true, axis=1).mean() for k in range(4)]
    return {
        "corner_pct": 100 * min(errors) / float(np.linalg.norm(true[0] - true[2])),
        "iou": overlap(quad, true, rendered.image.shape),
    }


def score_flat(flat: FlatECG, rendered: Rendered) -> dict[str, float]:
    """Skew, scale, distortion and losses of a flat page against the truth; see `KEYS`."""
    height, width = rendered.image.shape[:2]
    rows, cols = (a.ravel() for a in np.mgrid[0 : flat.image.shape[0] : 6, 0 : flat.image.shape[1] : 6])
    source = flat.image_from_flat[rows, cols].astype(float)
    shown = ((source > 0) & (source < [width - 1, height - 1])).all(1)
    page = np.full(source.shape, -1.0)
    page[shown] = rendered.projection.to_page(source[shown])
    shown &= ((page > 0) & (page < np.array(rendered.page_size))).all(1)
    if shown.sum() < 10:
        return {"lost": 1.0}
    to_complex = np.array([1, 1j])
    design = np.column_stack([page[shown] / rendered.px_per_mm @ to_complex, np.ones(shown.sum())])
    target = np.column_stack([cols, rows])[shown] @ to_complex
    fit, *_ = np.linalg.lstsq(design, target, rcond=None)  # similarity: page mm -> flat px
    turn = np.degrees(np.angle(fit[0]))
    ys, xs = np.nonzero(rendered.trace_mask[::3, ::3] > 128)
    trace = rendered.projection.to_page(np.column_stack([xs, ys]) * 3.0) / rendered.px_per_mm
    placed = np.column_stack([trace @ to_complex, np.ones(len(trace))]) @ fit
    inside = (np.abs(placed.real * 2 - flat.image.shape[1] + 1) <= flat.image.shape[1]) & (
        np.abs(placed.imag * 2 - flat.image.shape[0] + 1) <= flat.image.shape[0]
    )
    drawn = cv2.erode(flat.image, np.ones((5, 5), np.uint8)) < 150
    at = np.clip(np.rint([placed.imag, placed.real]).astype(int), 0, np.array(flat.image.shape)[:, None] - 1)
    scale = np.nan if flat.flat_px_per_mm is None else abs(abs(fit[0]) / flat.flat_px_per_mm - 1)
    return {
        "upright": float(abs(turn) < 45),
        "skew_deg": abs((turn + 45) % 90 - 45),
        "scale_error": float(scale),
        "bent_mm": float(np.sqrt((np.abs(design @ fit - target) ** 2).mean()) / abs(fit[0])),
        "lost": float(1 - inside.mean()),
        "trace_kept": float((drawn[at[0], at[1]] & inside).mean()),
    }


def frozen_severity(i: int) -> dict[str, float]:
    """Severity of each effect in row i; photos are turned by quarters as the renderer likes."""
    rng = np.random.default_rng([SEED, i, 1])
    severity = {name: float(rng.random() * (rng.random() >= ABSENT.get(name, 0.2))) for name in EFFECTS}
    return severity | {"rotation": 1.0}


def measure(i: int) -> list[dict]:
    """Every arm on row i."""
    rng = np.random.default_rng([SEED, i])
    rendered = render_photo(simulate(rng), rng, frozen_severity(i), size=SIZE)
    true = rendered.quad_xy
    height, width = rendered.image.shape[:2]
    facts = {
        "row": i,
        "corners_in_view": bool(((true > -2) & (true < [width + 2, height + 2])).all()),
        "close_up": bool(rendered.style["close_up"]),
        **{f"severity_{name}": value for name, value in rendered.style["severity"].items()},
    }
    frame = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    rows = [
        {"arm": "identity", **facts, **score_outline(frame, rendered)},
        {"arm": "OpenCV scanner", **facts, **score_outline(scan_document(rendered.image), rendered)},
    ]
    for arm, settings in ARMS.items():
        start = time.process_time()
        flat = Preprocessor(settings)(rendered.image)
        row = {"arm": arm, **facts, "seconds": time.process_time() - start, "readable": float(flat.readable)}
        row |= {"quality": flat.quality, "reasons": ";".join(flat.reasons)}
        if flat.readable:
            row |= score_outline(flat.quad_xy, rendered) | score_flat(flat, rendered)
        rows.append(row)
    return rows


def handed_on(rgb: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """A photo as other software hands it on: how, its pixels, and the homography (3, 3) from these to `rgb`."""
    size = rgb.shape[1::-1]
    for jpeg in (60, 75, 90, 95):
        data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg])[1]
        yield f"JPEG {jpeg}", np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]), np.eye(3)
    yield "cropped by 2 px", rgb[2:-2, 2:-2].copy(), affine(1, np.array([2, 2]))
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(rgb, -quarters))
        yield f"turned by {90 * quarters}", turned, np.linalg.inv(quarter_turns(quarters, size))
    for scale in (0.5, 0.8, 1.25, 2.0):
        scaled = cv2.resize(
            rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        back = size[0] / scaled.shape[1]
        yield f"scaled by {scale:g}", scaled, affine(back, np.full(2, (back - 1) / 2))


def measure_stability(i: int) -> list[dict]:
    """What changes on row i when the photo is handed on: corners (px of it), the page's place (mm) and scale (%); the
    last way gives the corners found back as known. What the answers do is in steadiness.py."""
    rng = np.random.default_rng([SEED, i])
    rendered = render_photo(simulate(rng), rng, frozen_severity(i), size=SIZE)
    preprocess, cells = Preprocessor(), np.s_[4::12, 4::12]
    first = preprocess(rendered.image)
    rows: list[dict] = []
    for way, photo, back in [*handed_on(rendered.image), ("corners given back", rendered.image, np.eye(3))]:
        flat = preprocess(photo, quad_xy=first.quad_xy if way == "corners given back" else None)
        row = {"row": i, "way": way, "both_readable": float(flat.readable and first.readable)}
        if row["both_readable"]:
            xy = [first.image_from_flat[cells], apply_homography(back, flat.image_from_flat[cells])]
            mm = [rendered.projection.to_page(at.reshape(-1, 2).astype(float)) / rendered.px_per_mm for at in xy]
            inner = (np.abs(mm[0] - np.median(mm[0], axis=0)) < [120, 70]).all(1)
            spread = [np.std(at[inner], axis=0).prod() for at in mm]
            row |= {
                "corners_px": np.linalg.norm(apply_homography(back, flat.quad_xy) - first.quad_xy, axis=1).max(),
                "moved_mm": np.linalg.norm(mm[1] - mm[0], axis=1)[inner].mean(),
                "scale_pct": 100 * abs(np.sqrt(spread[1] / spread[0]) - 1),
            }
        rows.append(row)
    return rows


def stability(n: int, workers: int) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of each change in `measure_stability`, by way and over all."""
    table = pd.DataFrame([row for i in for_each(measure_stability, ((i,) for i in range(n)), workers) for row in i])
    groups = {"all": table} | {str(way): group for way, group in table.groupby("way", sort=False)}
    figures: dict[str, dict[str, float]] = {}
    for way, group in groups.items():
        figures[way] = {"both_readable": round(group["both_readable"].mean(), 4)}
        for change in ("corners_px", "moved_mm", "scale_pct"):
            for name, share in (("median", 0.5), ("p95", 0.95)):
                figures[way][f"{change}_{name}"] = round(float(group[change].quantile(share)), 4)
    return figures


def summarise(table: pd.DataFrame) -> dict[str, float]:
    """The figures that the targets are about."""
    seen = table[table["corners_in_view"]]
    figures = {
        "photos": len(table),
        "corner_pct_median_in_view": seen["corner_pct"].median(),
        "iou_median": table["iou"].median(),
        "iou_above_0.90": (table["iou"] > 0.9).mean(),
    }
    if table["seconds"].notna().any():
        figures |= {
            "readable": table["readable"].mean(),
            "skew_deg_median": table["skew_deg"].median(),
            "bent_mm_median": table["bent_mm"].median(),
            "bent_mm_p95": table["bent_mm"].quantile(0.95),
            "scale_within_2pct": (table["scale_error"] < 0.02).mean(),
            "upright": table["upright"].mean(),
            "lost_mean": table["lost"].mean(),
            "close_ups_with_loss": (table.loc[table["close_up"], "lost"] > 0.001).mean(),
            "close_ups_lost_mean": table.loc[table["close_up"], "lost"].mean(),
            "trace_kept_mean": table["trace_kept"].mean(),
            "cpu_s_median": table["seconds"].median(),
        }
    return {name: round(float(value), 4) for name, value in figures.items()}


def by_effect(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """The full pipeline's figures in thirds of each effect's severity."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for column in [c for c in table if c.startswith("severity_") and table[c].nunique() > 3]:
        part = pd.cut(table[column], [-0.01, 1 / 3, 2 / 3, 1], labels=["low", "middle", "high"])
        result[column.removeprefix("severity_")] = {
            str(level): summarise(group) for level, group in table.groupby(part, observed=True)
        }
    return result


def cache_read_ms(rows: int = 2000) -> float:
    """Median milliseconds of wall time to read one flat page of the default size from a cache of `rows` pages."""
    rng = np.random.default_rng([SEED, 0])
    page = Preprocessor()(render_photo(simulate(rng), rng).image).image
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{row}.png" for row in range(rows)]
        for row, name in enumerate(names):
            cv2.imwrite(f"{folder}/{name}", np.roll(page, row, axis=1))
        index = pd.DataFrame({"image_id": np.arange(rows).astype(str), "page": names})
        index["page_sha256"] = [content_hash(Path(folder, name)) for name in names]
        cache = FlatCache(Path(folder), PreprocessSettings(), index)
        times = []
        for row in np.random.default_rng(1).permutation(rows)[:500]:
            start = time.perf_counter()
            cache.images([str(row)])
            times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times)), 3)


def main() -> None:
    """Measure, print, write."""
    parser = options(__doc__, "workers", "out")
    parser.add_argument("--n", type=int, default=500, help="photos")
    parser.add_argument("--stability", type=int, metavar="N", help="only measure what changes when N are saved again")
    args = parser.parse_args()
    if args.stability:
        figures = stability(args.stability, args.workers)
        print(pd.DataFrame(figures).T.to_string())
        write({"photos": args.stability, "changes": figures}, args.out or OUT)
        return
    rows = for_each(measure, [(i,) for i in range(args.n)], args.workers)
    table = pd.DataFrame([row for each in rows for row in each])
    arms = {str(arm): summarise(group) for arm, group in table.groupby("arm", sort=False)}
    full = table[table["arm"] == "full"]
    print(pd.DataFrame(arms).to_string())
    reasons = full["reasons"].str.split(";").explode().replace("", None).value_counts().to_dict()
    report = {"seed": SEED, "size": SIZE, "arms": arms, "reasons": reasons, "by_effect": by_effect(full)}
    report["cache_read_ms"] = cache_read_ms()
    print("one page from the flat cache:", report["cache_read_ms"], "ms")
    report["worst"] = (
        full.sort_values("iou")[["row", "iou", "corner_pct", "reasons"]].head(10).round(3).to_dict("records")
    )
    write(report, args.out)


if __name__ == "__main__":
    main()
