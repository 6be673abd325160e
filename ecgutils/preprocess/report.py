"""The review of a flat cache as one HTML page that opens offline: worst first, photo and flat page side by side."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ecgutils.files import printable, write_bytes
from ecgutils.geometry import thumbnail
from ecgutils.manifest import CORNER_COLUMNS
from ecgutils.preprocess.cache import FlatCache
from ecgutils.preprocess.decode import UnreadableImage, read_image
from ecgutils.preprocess.judge import REASONS
from ecgutils.preprocess.pipeline import Preprocessor

THUMBNAIL = 640  # px of a picture's longer side
HEADER_MM = 32.0  # what a printed header takes at most
_STYLE = """
body{font:14px sans-serif;margin:1.5em;color:#222} figure{margin:0 0 1.2em;border-top:1px solid #ccc;padding-top:.6em}
figcaption{margin-bottom:.4em} img{max-width:48%;vertical-align:top;margin-right:1%} table{border-collapse:collapse}
td,th{padding:.15em .8em .15em 0;text-align:left} .bad{color:#b00020}
.bar{display:inline-block;background:#4477aa;height:.8em}
"""


def write_report(
    cache: FlatCache, table: pd.DataFrame, path: str | Path, mask_header: bool = False, limit: int = 500
) -> None:
    """Write the review of `cache` for the images of `table` (columns image_id and path).

    Counts and histograms are of all images; pictures are shown of the `limit` worst. `mask_header` greys out the top
    HEADER_MM of each page and all above it, where names and numbers are printed, in the photo and on the flat page; to
    know what lies there, each picture is flattened once more. That relies on the outline found: look through the report
    before it is shared.
    """
    paths = dict(zip(table["image_id"].astype(str), table["path"].astype(str), strict=True))
    index = cache.index[cache.index["image_id"].isin(paths)].sort_values("quality", kind="stable")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Pre-processing review</title>",
        f"<style>{_STYLE}</style><h1>Pre-processing review</h1>",
        f"<p>{int(index['readable'].sum())} of {len(index)} images readable. Worst first"
        f"{f', the first {limit}' if len(index) > limit else ''}. Research software, not a medical device.</p>",
        _histogram("quality", index["quality"], np.linspace(0, 1, 11)),
        _histogram("px/mm of the flat image", index["flat_px_per_mm"].dropna(), 8),
        _counts(index["reasons"]),
    ]
    for _, row in index.head(limit).iterrows():
        image_id = row["image_id"]
        flat = cache.images([image_id])[0]
        if mask_header and row["readable"]:
            flat = _without_header(flat, paths[image_id], row, cache)
        pictures = [_photo(paths[image_id], row, mask_header), _inline(flat, ".png")]
        verdict = "readable" if row["readable"] else "<span class=bad>not readable</span>"
        name = html.escape(printable(Path(paths[image_id]).name))
        caption = (
            f"<b>{html.escape(image_id)}</b> {name} &middot; {verdict} &middot; "
            f"quality {row['quality']:.2f} &middot; turned {row['rotation']}&deg; &middot; "
            f"{html.escape(row['reasons'].replace(';', ', ')) or 'no reasons against it'}"
        )
        parts.append(f"<figure><figcaption>{caption}</figcaption>{''.join(pictures)}</figure>")
    write_bytes(Path(path), "\n".join([*parts, "</html>"]).encode())


def _photo(path: str, row: pd.Series, mask_header: bool) -> str:
    try:
        rgb = read_image(path)
    except UnreadableImage as error:
        return f"<span class=bad>{html.escape(error.reason)}</span>"
    small, scale = thumbnail(rgb, THUMBNAIL)
    corners = row[list(CORNER_COLUMNS)].to_numpy(float)
    if mask_header and not np.isfinite(corners).all():
        small[:] = 200  # where the header is isn't known
    elif np.isfinite(corners).all():
        quad = corners.reshape(4, 2) * scale
        if mask_header:
            _mask(small, quad)
        draw_outline(small, quad)
    return _inline(small, ".jpg")


def draw_outline(rgb: np.ndarray, quad_xy: np.ndarray) -> None:
    """Draw, in place, the outline quad_xy (4, 2), TL, TR, BR, BL in px of the uint8 image; the top edge is red."""
    corners = np.rint(quad_xy).astype(np.int32)
    cv2.polylines(rgb, [corners], True, (0, 166, 81), 2)
    cv2.polylines(rgb, [corners[:2]], False, (220, 0, 0), 2)


def _mask(rgb: np.ndarray, quad: np.ndarray) -> None:
    """Grey out, in place, the upper HEADER_MM of the page `quad` (4, 2), and all above it.

    The page is taken to be 280 mm wide, and at most 210 mm high: what is smaller is masked further down.
    """
    across, down = (np.linalg.norm(quad[i] - quad[0]) + np.linalg.norm(quad[2] - quad[4 - i]) for i in (1, 3))
    share = min(1.0, HEADER_MM / min(210, 280 * down / max(across, 1)))
    left, right = quad[0] + share * (quad[3] - quad[0]), quad[1] + share * (quad[2] - quad[1])
    along, up = right - left, (quad[0] - quad[3]) + (quad[1] - quad[2])
    far = 4 * max(rgb.shape)
    along, up = far * along / max(np.linalg.norm(along), 1), far * up / max(np.linalg.norm(up), 1)
    area = np.array([left - along, right + along, right + along + up, left - along + up])
    cv2.fillPoly(rgb, [np.rint(area).astype(np.int32)], (200, 200, 200))


def _without_header(flat: np.ndarray, path: str, row: pd.Series, cache: FlatCache) -> np.ndarray:
    """A copy of the flat page, grey where it shows what `_mask` hides in the photo."""
    corrected = row["content_sha256"].partition("+")[2].split()
    quad = np.array(corrected, float).reshape(4, 2) if corrected else None
    found = Preprocessor(cache.settings)(path, quad_xy=quad)
    if found.quad_xy is None:  # the file is another one by now
        return np.full_like(flat, 200)
    scale = THUMBNAIL / max(1.0, np.abs(found.quad_xy).max())
    hidden = np.zeros((2 * THUMBNAIL, 2 * THUMBNAIL, 3), np.uint8)  # what lies beyond is off the page, and hidden
    _mask(hidden, found.quad_xy * scale)
    places = (found.image_from_flat * scale).astype(np.float32)
    grey = cv2.remap(hidden[..., 0], places, None, cv2.INTER_NEAREST, borderValue=200)
    return np.where(grey == 200, np.uint8(200), flat)


def _inline(image: np.ndarray, kind: str) -> str:
    stored = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = base64.b64encode(cv2.imencode(kind, stored)[1].tobytes()).decode()
    return f'<img alt="" src="data:image/{kind[1:].replace("jpg", "jpeg")};base64,{data}">'


def _histogram(name: str, values: pd.Series, bins: np.ndarray | int) -> str:
    counts, edges = np.histogram(values, bins) if len(values) else (np.zeros(0, int), np.zeros(1))
    rows = "".join(
        f"<tr><td>{low:.2f}&ndash;{high:.2f}</td><td>{n}</td>"
        f"<td><span class=bar style='width:{30 * n / max(counts.max(), 1):.1f}em'></span></td></tr>"
        for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
    )
    return f"<h2>{name}</h2><table>{rows}</table>"


def _counts(reasons: pd.Series) -> str:
    counts = reasons.str.split(";").explode().replace("", None).value_counts()
    rows = "".join(
        f"<tr><td>{html.escape(reason)}</td><td>{n}</td><td>{html.escape(REASONS.get(reason, ''))}</td></tr>"
        for reason, n in counts.items()
    )
    return f"<h2>reasons</h2><table>{rows or '<tr><td>none</td></tr>'}</table>"
