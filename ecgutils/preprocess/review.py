"""Photos beside their flat pages, to look through in a browser: one HTML file; of many, with a folder of pictures.
`write_gallery` writes such a page of anything, `write_report` that of a cache."""

import base64
import hashlib
import html
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgutils.files import printable, write_bytes
from ecgutils.geometry import thumbnail
from ecgutils.manifest import CORNER_COLUMNS
from ecgutils.parallel import for_each
from ecgutils.preprocess.cache import FlatCache, in_header, read_page
from ecgutils.preprocess.decode import UnreadableImage, read_image
from ecgutils.preprocess.judge import REASONS

LARGEST = 25 * 2**20  # bytes of a page with its pictures, as mail takes them; of more the pictures go into a folder
AT_ONCE = 100  # entries; all at once take a browser minutes
PHOTO_SIDE, SMALL_SIDE = 640, 480  # px of a photo, and of the longer side of a thumbnail of it and its flat page
LARGE_QUALITY, SMALL_QUALITY = 60, 40  # of WebP: 20 to 40 kB, and 5
_STYLE = """
body{font:14px sans-serif;margin:1.5em;color:#222} #all{display:flex;flex-wrap:wrap;gap:1em}
figure{margin:0;width:480px;border-top:1px solid #ccc;padding-top:.4em} figure.large{width:100%}
figure[hidden]{display:none} img{max-width:100%} nav{position:sticky;top:0;background:#fff;padding:.6em 0}
td{padding:.15em .8em .15em 0} .bad{color:#b00020} .bar{display:inline-block;background:#4477aa;height:.8em}
"""
_SCRIPT = """
const all = [...document.querySelectorAll("figure")], by = id => document.getElementById(id);
let page = 0;
function show(to) {
  const why = by("why").value, low = +by("low").value, high = +by("high").value;
  const fits = ({why: kinds, q}) => (!why || kinds.split(" ").includes(why)) && q >= low && q <= high;
  const found = all.filter(figure => fits(figure.dataset));
  const pages = Math.max(1, Math.ceil(found.length / AT_ONCE));
  page = Math.min(Math.max(to, 0), pages - 1);
  for (const f of all) f.hidden = true;
  for (const f of found.slice(page * AT_ONCE, (page + 1) * AT_ONCE)) f.hidden = false;
  by("at").textContent = `${found.length} images, page ${page + 1} of ${pages}`;
}
for (const id of ["why", "low", "high"]) by(id).oninput = () => show(0);
by("back").onclick = () => show(page - 1);
by("on").onclick = () => show(page + 1);
by("all").onclick = event => {
  const link = event.target.closest("a");
  if (!link) return;
  event.preventDefault();
  const image = link.firstElementChild, small = image.src;
  image.src = link.href;
  link.href = small;
  link.parentElement.classList.toggle("large");
};
show(0);
"""


class Entry(NamedTuple):
    """One entry of a page: kinds to filter by (words), quality 0..1 or NaN, caption (HTML), small and large picture."""

    kinds: str
    quality: float
    caption: str
    pictures: tuple[bytes, ...]  # none where there is nothing to show


def write_gallery(path: str | Path, title: str, head: str, kinds: Mapping[str, str], entries: Iterable[Entry]) -> None:
    """Write an HTML page of entries in their order, AT_ONCE at a time, to be filtered by kind and quality.

    title : plain text. head : HTML above them. kinds : what each kind is called, as plain text.
    A page of more than LARGEST bytes has its pictures in `<stem>_files` beside it, written as they come; a smaller one
    is one file without links. Of an earlier page of this name nothing is left.
    """
    path = Path(path)
    folder, held, used, rows = path.with_name(f"{path.stem}_files"), {}, set(), []
    size, apart = len(head), False
    for entry in entries:
        names = [f"{hashlib.sha256(picture).hexdigest()[:16]}.webp" for picture in entry.pictures]
        rows.append((entry._replace(pictures=()), names))
        held |= zip(names, entry.pictures, strict=True)
        size += 200 + len(entry.caption.encode(errors="replace")) + sum(map(len, entry.pictures)) * 4 // 3  # base64
        apart = apart or size > LARGEST
        for name in held.keys() - used if apart else ():
            write_bytes(folder / name, held[name])
        if apart:
            used |= held.keys()
            held.clear()

    inside, beside = "data:image/webp;base64,", quote(os.fsencode(folder.name))

    def link(name: str) -> str:
        return f"{beside}/{name}" if apart else inside + base64.b64encode(held[name]).decode()

    choices = "".join(f"<option value='{html.escape(k)}'>{html.escape(text)}</option>" for k, text in kinds.items())
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>",
        "<noscript><style>figure[hidden]{display:block}</style></noscript>",
        f"<h1>{html.escape(title)}</h1>{head}",
        f"<p>The pictures are in the folder {html.escape(folder.name)}: keep it beside this page.</p>" * apart,
        f"<nav><select id=why><option value=''>all</option>{choices}</select> quality ",
        "<input id=low type=number min=0 max=1 step=.05 value=0> to ",
        "<input id=high type=number min=0 max=1 step=.05 value=1> ",
        "<button id=back>&lsaquo;</button> <span id=at></span> <button id=on>&rsaquo;</button></nav><div id=all>",
        *(_figure(entry, [link(name) for name in names], k >= AT_ONCE) for k, (entry, names) in enumerate(rows)),
        f"</div><script>{_SCRIPT.replace('AT_ONCE', str(AT_ONCE))}</script></html>",
    ]
    write_bytes(path, "\n".join(parts).encode(errors="replace"))
    for old in folder.glob("*.webp"):
        if re.fullmatch(r"[0-9a-f]{16}\.webp", old.name) and old.name not in used:
            old.unlink()
    with suppress(OSError):  # not there, or not empty
        folder.rmdir()


def _figure(entry: Entry, links: list[str], hidden: bool) -> str:
    shown = f"<a href='{links[1]}'><img alt='' loading=lazy src='{links[0]}'></a>" if links else ""
    quality = "" if np.isnan(entry.quality) else f"{entry.quality:.4g}"
    kinds = html.escape(entry.kinds)
    caption = f"<figcaption>{entry.caption}</figcaption>"
    return f"<figure data-why='{kinds}' data-q='{quality}'{' hidden' * hidden}>{caption}{shown}</figure>"


def pictures_of(photo: np.ndarray | None, flat: np.ndarray) -> tuple[bytes, ...]:
    """A photo, uint8 (h, w, 3) RGB, beside its flat page, uint8 (H, W): small and large, as WebP."""
    sides = ([] if photo is None else [photo]) + [cv2.cvtColor(flat, cv2.COLOR_GRAY2RGB)]
    height = max(map(len, sides))
    large = np.hstack([np.pad(s, ((0, height - len(s)), (0, 8), (0, 0)), constant_values=255) for s in sides])
    sizes = ((thumbnail(large, SMALL_SIDE)[0], SMALL_QUALITY), (large, LARGE_QUALITY))
    return tuple(cv2.imencode(".webp", rgb[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, q])[1].tobytes() for rgb, q in sizes)


def draw_outline(rgb: np.ndarray, quad_xy: np.ndarray) -> None:
    """Draw, in place, the outline quad_xy (4, 2), TL, TR, BR, BL in px of the uint8 image; the top edge is red."""
    corners = np.rint(quad_xy).astype(np.int32)
    cv2.polylines(rgb, [corners], True, (0, 166, 81), 2)
    cv2.polylines(rgb, [corners[:2]], False, (220, 0, 0), 2)


def write_report(
    cache: FlatCache, table: pd.DataFrame, path: str | Path, mask_header: bool = False, workers: int = 1
) -> None:
    """Write the review of `cache` for the images of `table` (columns image_id and path), the worst first.

    See `write_gallery`; counts and histograms are above. `mask_header` greys out the top of each page and all above it
    (see `in_header`), where names and numbers are printed, in photo and flat page alike. That relies on the outline
    found: look through the report before it is shared. workers : processes that read photos.
    """
    paths = dict(zip(table["image_id"].astype(str), table["path"].astype(str), strict=True))
    index = cache.index[cache.index["image_id"].isin(paths)].sort_values("quality", kind="stable")
    codes = index["reasons"].str.split(";").explode().str.split(" ").str[0]
    counts, refused = codes.replace("", "none").value_counts(), int((~index["readable"]).sum())
    head = [
        f"<p>{len(index) - refused} of {len(index)} images readable. Worst first; click to enlarge. "
        "Research software, not a medical device.</p>",
        _histogram("quality", index["quality"], np.linspace(0, 1, 11)),
        _histogram("px/mm of the flat image", index["flat_px_per_mm"].dropna(), 8),
        _table("reasons", [(html.escape(why), n, html.escape(REASONS.get(why, ""))) for why, n in counts.items()]),
    ]
    kinds = {"refused": f"not readable ({refused})", **{why: f"{why} ({n})" for why, n in counts.items()}}
    rows = index.to_dict("records")
    todo = ((paths[row["image_id"]], cache.folder / row["page"], row, mask_header) for row in rows)
    made = tqdm(for_each(_reviewed, todo, workers), total=len(rows), desc="review")
    write_gallery(path, "Pre-processing review", "".join(head), kinds, made)


def _reviewed(path: str, page: Path, row: dict[str, Any], mask_header: bool) -> Entry:
    codes = [reason.split(" ")[0] for reason in row["reasons"].split(";")]
    kinds = ["refused"] * (not row["readable"]) + [code or "none" for code in codes]
    caption = (
        f"<b>{html.escape(row['image_id'])}</b> {html.escape(printable(Path(path).name))} &middot; "
        f"{'readable' if row['readable'] else '<span class=bad>not readable</span>'} &middot; "
        f"quality {row['quality']:.2f} &middot; turned {row['rotation']}&deg; &middot; "
        f"{html.escape(row['reasons'].replace(';', ', ')) or 'no reasons against it'}"
    )
    photo, flat, problem = reviewed_images(path, page, row, mask_header)
    caption += f" &middot; <span class=bad>{problem}</span>" if problem else ""
    return Entry(" ".join(kinds), row["quality"], caption, pictures_of(photo, flat))


def reviewed_images(
    path: str, page: Path, row: Mapping[str, Any], mask_header: bool
) -> tuple[np.ndarray | None, np.ndarray, str]:
    """Photo with its outline, uint8 (h, w, 3), None with the reason where it can't be read; flat page, uint8 (H, W)."""
    flat = read_page(page, row["page_sha256"])
    flat[: row["header_px"] if mask_header else 0] = 200
    try:
        small, scale = thumbnail(read_image(path), PHOTO_SIDE)
    except UnreadableImage as error:
        return None, flat, error.reason
    quad = np.array([row[column] for column in CORNER_COLUMNS], float).reshape(4, 2) * scale
    known = np.isfinite(quad).all()
    if mask_header:
        xy = np.moveaxis(np.indices(small.shape[:2]), 0, -1)[..., ::-1]
        small[in_header(quad, xy) if known else ...] = 200  # all, where the header is isn't known
    if known:
        draw_outline(small, quad)
    return small, flat, ""


def _histogram(title: str, values: pd.Series, bins: np.ndarray | int) -> str:
    counts, edges = np.histogram(values, bins)
    bars = [f"<span class=bar style='width:{30 * n / max(counts.max(), 1):.1f}em'></span>" for n in counts]
    names = [f"{a:.2f}&ndash;{b:.2f}" for a, b in pairwise(edges)]
    return _table(title, zip(names, counts, bars, strict=True))


def _table(title: str, rows: Iterable[tuple[object, ...]]) -> str:
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<h2>{title}</h2><table>{cells}</table>"
