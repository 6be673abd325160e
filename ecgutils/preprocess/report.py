"""The review of a flat cache as one HTML page that opens offline: worst first, photo and flat page side by side."""

import base64
import html
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ecgutils.files import printable, write_bytes
from ecgutils.geometry import thumbnail
from ecgutils.manifest import CORNER_COLUMNS
from ecgutils.preprocess.cache import FlatCache, in_header
from ecgutils.preprocess.decode import UnreadableImage, read_image
from ecgutils.preprocess.judge import REASONS

SHOWN = 500  # images, the worst
THUMBNAIL = 640  # px of a picture's longer side
_STYLE = """
body{font:14px sans-serif;margin:1.5em;color:#222} figure{margin:0 0 1.2em;border-top:1px solid #ccc;padding-top:.6em}
figcaption{margin-bottom:.4em} img{max-width:48%;vertical-align:top;margin-right:1%} table{border-collapse:collapse}
td{padding:.15em .8em .15em 0} .bad{color:#b00020}
.bar{display:inline-block;background:#4477aa;height:.8em}
"""


def write_report(cache: FlatCache, table: pd.DataFrame, path: str | Path, mask_header: bool = False) -> None:
    """Write the review of `cache` for the images of `table` (columns image_id and path).

    Counts and histograms are of all images; pictures are shown of the SHOWN worst. `mask_header` greys out the top of
    each page and all above it (see `in_header`), where names and numbers are printed, in photo and flat page alike.
    That relies on the outline found: look through the report before it is shared.
    """
    paths = dict(zip(table["image_id"].astype(str), table["path"].astype(str), strict=True))
    index = cache.index[cache.index["image_id"].isin(paths)].sort_values("quality", kind="stable")
    counts = index["reasons"].str.split(";").explode().replace("", None).value_counts()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Pre-processing review</title>",
        f"<style>{_STYLE}</style><h1>Pre-processing review</h1>",
        f"<p>{int(index['readable'].sum())} of {len(index)} images readable. Worst first"
        f"{f', the first {SHOWN}' if len(index) > SHOWN else ''}. Research software, not a medical device.</p>",
        _histogram("quality", index["quality"], np.linspace(0, 1, 11)),
        _histogram("px/mm of the flat image", index["flat_px_per_mm"].dropna(), 8),
        _table("reasons", [(why, n, html.escape(REASONS.get(why, ""))) for why, n in counts.items()] or [("none",)]),
    ]
    for _, row in index.head(SHOWN).iterrows():
        image_id, photo = row["image_id"], paths[row["image_id"]]
        flat = cache.images([image_id])[0]
        flat[: row["header_px"] if mask_header else 0] = 200
        verdict = "readable" if row["readable"] else "<span class=bad>not readable</span>"
        caption = (
            f"<b>{html.escape(image_id)}</b> {html.escape(printable(Path(photo).name))} &middot; {verdict} &middot; "
            f"quality {row['quality']:.2f} &middot; turned {row['rotation']}&deg; &middot; "
            f"{row['reasons'].replace(';', ', ') or 'no reasons against it'}"
        )
        pictures = _photo(photo, row, mask_header) + _inline(flat, ".png")
        parts.append(f"<figure><figcaption>{caption}</figcaption>{pictures}</figure>")
    write_bytes(Path(path), "\n".join([*parts, "</html>"]).encode())


def _photo(path: str, row: pd.Series, mask_header: bool) -> str:
    try:
        rgb = read_image(path)
    except UnreadableImage as error:
        return f"<span class=bad>{error.reason}</span>"
    small, scale = thumbnail(rgb, THUMBNAIL)
    quad = row[list(CORNER_COLUMNS)].to_numpy(float).reshape(4, 2) * scale
    known = np.isfinite(quad).all()
    if mask_header:
        xy = np.moveaxis(np.indices(small.shape[:2]), 0, -1)[..., ::-1]
        small[in_header(quad, xy) if known else ...] = 200  # all, where the header is isn't known
    if known:
        draw_outline(small, quad)
    return _inline(small, ".jpg")


def draw_outline(rgb: np.ndarray, quad_xy: np.ndarray) -> None:
    """Draw, in place, the outline quad_xy (4, 2), TL, TR, BR, BL in px of the uint8 image; the top edge is red."""
    corners = np.rint(quad_xy).astype(np.int32)
    cv2.polylines(rgb, [corners], True, (0, 166, 81), 2)
    cv2.polylines(rgb, [corners[:2]], False, (220, 0, 0), 2)


def _inline(image: np.ndarray, kind: str) -> str:
    stored = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = base64.b64encode(cv2.imencode(kind, stored)[1].tobytes()).decode()
    return f'<img alt="" src="data:image/{kind[1:].replace("jpg", "jpeg")};base64,{data}">'


def _histogram(title: str, values: pd.Series, bins: np.ndarray | int) -> str:
    counts, edges = np.histogram(values, bins)
    bars = [f"<span class=bar style='width:{30 * n / max(counts.max(), 1):.1f}em'></span>" for n in counts]
    names = [f"{a:.2f}&ndash;{b:.2f}" for a, b in pairwise(edges)]
    return _table(title, zip(names, counts, bars, strict=True))


def _table(title: str, rows: Iterable[tuple[object, ...]]) -> str:
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<h2>{title}</h2><table>{cells}</table>"
