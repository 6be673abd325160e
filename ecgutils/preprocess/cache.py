"""Flat images of a whole manifest on disk, a PNG each: built in parallel, resumed after a kill.

An image is known by the hash of its bytes, its corrected outline and the settings, its page by a checksum: a second run
makes only what changed or was damaged. Nothing depends on the number of workers.
In the index, `content_sha256` is followed by the page's number (`files.page_of`), and by "+" and the corners where the
outline was corrected by hand.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgutils.files import Progress, content_hash, jsonable, page_of, read_json, write_bytes, write_json
from ecgutils.geometry import check_outline
from ecgutils.manifest import CORNER_COLUMNS, read_text_csv
from ecgutils.parallel import for_each
from ecgutils.preprocess.judge import PASSING
from ecgutils.preprocess.pipeline import Preprocessor, PreprocessSettings

# page: the PNG, relative to the cache's folder; header_px: its upper rows that show what is `in_header`
INDEX_COLUMNS = (
    "image_id", "content_sha256", "page", "page_sha256", "readable", "quality", "reasons", "px_per_mm",
    "flat_px_per_mm", "rotation", "header_px", *CORNER_COLUMNS,
)  # fmt: skip
HEADER_MM = 32.0  # what a printed header takes at most
LONGEST_NAME = 100  # characters of a page's name; file systems allow 255 with what is added
_TEXT = {"image_id": str, "content_sha256": str, "page": str, "page_sha256": str, "reasons": str}


@dataclass(frozen=True)
class FlatCache:
    """A built cache: `settings`, `index` (frame in table order, columns INDEX_COLUMNS) and its `images`."""

    folder: Path
    settings: PreprocessSettings
    index: pd.DataFrame

    @classmethod
    def open(cls, folder: str | Path) -> "FlatCache":
        """Open a finished cache; FileNotFoundError where none is, ValueError where it is torn or of another version."""
        folder = Path(folder)
        if not (folder / "index.csv").is_file():
            raise FileNotFoundError(f"No finished flat cache at {folder} (index.csv is missing): run build_cache.")
        saved = read_json(folder / "settings.json", "run build_cache again")
        read_text_csv(folder / "index.csv")  # pandas would take a line that was cut off for an image
        # only an empty cell is unknown: "NA" may be an image's name
        index = pd.read_csv(folder / "index.csv", dtype=_TEXT, keep_default_na=False, na_values=[""])
        settings = PreprocessSettings.from_dict(saved["settings"])
        if saved["key"] != settings.key() or tuple(index.columns) != INDEX_COLUMNS:
            raise ValueError(f"The flat cache at {folder} was made by another version of the code: run build_cache.")
        return cls(folder, settings, index.fillna(dict.fromkeys(_TEXT, "")))

    def images(self, image_ids: Iterable[str]) -> np.ndarray:
        """Flat images in the order asked for, uint8 (n, H, W).

        Raises KeyError naming an id that is not there, ValueError naming a page that is missing or damaged.
        """
        ids = [str(i) for i in image_ids]
        rows = self.index.set_index("image_id")
        missing = [i for i in ids if i not in rows.index]
        if missing:
            raise KeyError(f"{self.folder} lacks {len(missing)} image(s), e.g. {missing[0]!r}: build it with them.")
        rows = rows.loc[ids]
        width, height = self.settings.size
        images = np.empty((len(ids), height, width), np.uint8)
        with ThreadPoolExecutor(8) as pool:
            pages = (self.folder / page for page in rows["page"])
            for place, image in enumerate(pool.map(read_page, pages, rows["page_sha256"])):
                images[place] = image
        return images


def read_page(path: Path, sha256: str) -> np.ndarray:
    """A flat page, uint8 (H, W); ValueError where it is missing, or has another checksum."""
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"The flat page {path} is missing or damaged: run build_cache again, which makes it anew.")
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)


def build_cache(
    table: pd.DataFrame,
    out_dir: str | Path,
    settings: PreprocessSettings | None = None,
    workers: int = 1,
    corrections: str | Path | None = None,
) -> FlatCache:
    """Flatten every image of a manifest frame (columns image_id and path, absolute) into `out_dir`.

    Pages are `out_dir/pages/<image_id>.png`, percent-encoded. Rows are kept where the file's bytes, its outline, the
    settings and the page are as before; others are made again. Files that cannot be read get a row too, not readable,
    with the reason. An interrupted run goes on where it stopped.

    corrections : folder whose outlines, given with `correct_outline`, are used instead of what is found; `out_dir` when
        None. Several caches may share one.

    Raises ValueError where an image_id is repeated, `workers` is 0, or an image lies where the pages are written.
    """
    settings, folder = settings or PreprocessSettings(), Path(out_dir).absolute()
    ids, paths = table["image_id"].astype(str).tolist(), table["path"].astype(str).tolist()
    if len(set(ids)) < len(ids):
        raise ValueError(f"image_id {Counter(ids).most_common(1)[0][0]!r} is repeated.")
    pages = os.path.realpath(folder / "pages")
    if pages in map(os.path.realpath, {os.path.dirname(path) for path in paths}):
        raise ValueError(f"Images lie in {pages}, where flat pages are written: give another out_dir.")
    names, outlines = _page_names(ids), _outlines(Path(corrections or folder))
    progress = Progress(folder / "progress.jsonl")
    old = (progress.done.get(image_id, {}) for image_id in ids)
    todo = ((path, folder, *row, settings, outlines) for path, *row in zip(paths, names, old, strict=True))
    with progress.alone():
        made = for_each(_make, todo, workers)
        (folder / "index.csv").unlink(missing_ok=True)  # from here until it is written anew, this is no finished cache
        write_json(folder / "settings.json", {"settings": settings.to_dict(), "key": settings.key()})
        for image_id, entry in zip(ids, tqdm(made, total=len(ids), desc="flatten"), strict=True):
            progress.add({"name": image_id, **entry})
        index = pd.DataFrame([{"image_id": i, **progress.done[i]} for i in ids], columns=list(INDEX_COLUMNS))
        write_bytes(folder / "index.csv", index.to_csv(index=False, lineterminator="\n").encode())
        for page in {entry["page"] for entry in progress.done.values()}.difference(names):  # of another table before
            (folder / page).unlink(missing_ok=True)
    return FlatCache.open(folder)


def correct_outline(folder: str | Path, path: str | Path, quad_xy: np.ndarray) -> None:
    """Remember the page corners of an image in `folder`, a cache's or a set's; the next build there uses them.

    quad_xy (4, 2): TL, TR, BR, BL in reading orientation, in EXIF-oriented px of the image at `path`. They belong to
    the file's content: a copy under another name is corrected, too. Kept in `corrections.json`. Raises ValueError
    where they don't run clockwise around a convex area.
    """
    quad, folder = check_outline(quad_xy), Path(folder)
    outlines = {**_outlines(folder), content_hash(path): " ".join(f"{v:.1f}" for v in quad.ravel())}
    write_json(folder / "corrections.json", outlines)


def in_header(quad_xy: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
    """Which points (..., 2) lie above a line HEADER_MM below the top edge of the page `quad_xy` (4, 2); bool (...).

    The page is taken to be 280 mm wide, and at most 210 mm high: of what is smaller the line is further down.
    """
    top, right, bottom, left = np.linalg.norm(np.roll(quad_xy, -1, axis=0) - quad_xy, axis=1)
    share = min(1.0, HEADER_MM / min(210, 280 * (left + right) / max(top + bottom, 1)))
    start = quad_xy[0] + share * (quad_xy[3] - quad_xy[0])
    along = quad_xy[1] + share * (quad_xy[2] - quad_xy[1]) - start
    aside = points_xy - start
    return along[0] * aside[..., 1] < along[1] * aside[..., 0]


def _outlines(folder: Path) -> dict[str, str]:
    """Corrected corners, as text, by content hash."""
    path = folder / "corrections.json"
    return read_json(path, "restore it, or delete it and correct outlines anew") if path.is_file() else {}


def _page_names(ids: Sequence[str]) -> list[str]:
    """A safe file for each ID; names too long, or of which only capitals differ, end in "+" and a digest of the ID."""
    names = [quote(image_id, safe="") for image_id in ids]
    alike = Counter(name.lower() for name in names)
    for i, (image_id, name) in enumerate(zip(ids, names, strict=True)):
        if len(name) > LONGEST_NAME or alike[name.lower()] > 1:
            names[i] = f"{name[:LONGEST_NAME]}+{hashlib.sha256(image_id.encode()).hexdigest()[:16]}"
    return [f"pages/{name}.png" for name in names]


def _make(
    path: str, folder: Path, page: str, old: dict[str, Any], settings: PreprocessSettings, outlines: dict[str, str]
) -> dict[str, Any]:
    """The row of one image, in a worker: `old` where nothing has changed, else its page is made."""
    content, quad_xy = _hash(Path(path)), None
    if content in outlines:
        quad_xy = np.array(outlines[content].split(), float).reshape(4, 2)
        content = f"{content}+{outlines[content]}"
    known = {"settings": settings.key(), "content_sha256": content, "page": page}
    if content and known.items() <= old.items() and old["page_sha256"] == _hash(folder / page):
        return old
    flat = Preprocessor(settings)(path, quad_xy=quad_xy)
    code = cv2.imencode(".png", flat.image)[1].tobytes()
    write_bytes(folder / page, code)
    if PASSING & set(flat.reasons):  # not known by its content: it is tried again
        known["content_sha256"] = ""
    quad_xy = np.full((4, 2), np.nan, np.float32) if flat.quad_xy is None else flat.quad_xy
    somewhere = (flat.image_from_flat != -1).any(axis=2)
    header = (in_header(quad_xy.astype(float), flat.image_from_flat) & somewhere).any(axis=1)
    found = {
        "page_sha256": hashlib.sha256(code).hexdigest(), "readable": flat.readable,
        "quality": round(flat.quality, 4), "reasons": ";".join(flat.reasons),
        "px_per_mm": flat.px_per_mm and round(flat.px_per_mm, 4),
        "flat_px_per_mm": flat.flat_px_per_mm and round(flat.flat_px_per_mm, 4),
        "rotation": flat.rotation, "header_px": np.flatnonzero(header).max(initial=-1) + 1,
        **dict(zip(CORNER_COLUMNS, quad_xy.ravel().round(2), strict=True)),
    }  # fmt: skip
    return known | jsonable(found)


def _hash(path: Path) -> str:
    """Content hash; "" for what cannot be read as a file (its row will say why)."""
    try:
        return content_hash(path) if page_of(path)[0].is_file() else ""
    except OSError:
        return ""
