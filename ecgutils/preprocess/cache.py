"""Flat images of a whole manifest on disk: built in parallel, resumed after a kill, read through a memory map.

A shard is written with its index part before the next one starts, and an image is known by the hash of its bytes, so a
second run redoes only what changed. Nothing depends on the number of workers.
In the index, `content_sha256` is followed by "+" and the corners where the outline was corrected by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgutils.files import atomic_path, content_hash, write_bytes, write_json
from ecgutils.geometry import check_outline
from ecgutils.manifest import CORNER_COLUMNS
from ecgutils.preprocess.canvas import FlatECG
from ecgutils.preprocess.pipeline import Preprocessor, PreprocessSettings

INDEX_COLUMNS = (
    "image_id", "content_sha256", "shard", "row", "readable", "quality", "reasons", "px_per_mm", "flat_px_per_mm",
    "rotation", *CORNER_COLUMNS,
)  # fmt: skip
_TEXT = {"image_id": str, "content_sha256": str, "reasons": str}


@dataclass(frozen=True)
class FlatCache:
    """A built cache: `settings`, `index` (frame in table order, columns INDEX_COLUMNS) and its `images`."""

    folder: Path
    settings: PreprocessSettings
    index: pd.DataFrame

    @classmethod
    def open(cls, folder: str | Path) -> FlatCache:
        """Open a finished cache; raises FileNotFoundError when `build_cache` has not finished there."""
        folder = Path(folder)
        for name in ("settings.json", "index.csv"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"No finished flat cache at {folder} ({name} is missing): run build_cache.")
        saved = json.loads((folder / "settings.json").read_text())
        settings = PreprocessSettings.from_dict(saved["settings"])
        if saved["key"] != settings.key():
            raise ValueError(f"The flat cache at {folder} was made by another version of the code: run build_cache.")
        return cls(folder, settings, _read_index(folder / "index.csv"))

    def images(self, image_ids: Iterable[str]) -> np.ndarray:
        """Flat images in the order asked for, uint8 (n, H, W). Raises KeyError naming an id that is not there."""
        ids = [str(i) for i in image_ids]
        places = pd.Series(np.arange(len(self.index)), index=self.index["image_id"])
        missing = [i for i in ids if i not in places.index]
        if missing:
            raise KeyError(f"{len(missing)} image(s) are not in the flat cache {self.folder}, e.g. {missing[0]!r}.")
        rows = self.index.iloc[places[ids].to_numpy()]
        width, height = self.settings.size
        images = np.empty((len(ids), height, width), np.uint8)
        shards = rows["shard"].to_numpy()
        for shard in np.unique(shards):
            here = np.flatnonzero(shards == shard)
            images[here] = np.load(_shard(self.folder, shard), mmap_mode="r")[rows["row"].to_numpy()[here]]
        return images


def build_cache(
    table: pd.DataFrame,
    out_dir: str | Path,
    settings: PreprocessSettings | None = None,
    workers: int = 1,
    shard_rows: int = 1024,
) -> FlatCache:
    """Flatten every image of a manifest frame (columns image_id and path, absolute) into `out_dir`.

    Rows are kept where the file's bytes and the settings are as before; others are made again. Files that cannot be
    read get a row too, not readable, with the reason. An interrupted run goes on at its last finished shard. Outlines
    given with `correct_outline` are used instead of what is found.
    """
    settings = settings or PreprocessSettings()
    if table["image_id"].duplicated().any():
        raise ValueError(f"image_id {table['image_id'][table['image_id'].duplicated()].iloc[0]!r} is repeated.")
    if shard_rows < 1 or workers == 0:
        raise ValueError(f"shard_rows is {shard_rows} and workers {workers}; give at least 1.")
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    known = _known_rows(folder, settings)
    ids, paths = table["image_id"].astype(str).tolist(), table["path"].astype(str).tolist()
    hashes = joblib.Parallel(n_jobs=workers, prefer="threads")(joblib.delayed(_hash)(path) for path in paths)
    outlines = _outlines(folder)
    quads = [outlines.get(digest) for digest in hashes]
    hashes = [digest if quad is None else f"{digest}+{quad}" for digest, quad in zip(hashes, quads, strict=True)]
    (folder / "index.csv").unlink(missing_ok=True)  # from here until it is written anew, this is no finished cache
    write_json(folder / "settings.json", {"settings": settings.to_dict(), "key": settings.key()})

    old = {shard: np.load(_shard(folder, shard), mmap_mode="r") for shard in {row["shard"] for row in known.values()}}
    parts = []
    with (
        joblib.Parallel(n_jobs=workers, return_as="generator") as parallel,
        tqdm(total=len(ids), desc="flatten") as bar,
    ):
        for shard, start in enumerate(range(0, len(ids), shard_rows)):
            span = range(start, min(start + shard_rows, len(ids)))
            part = _finished_part(folder, shard, settings, [(ids[i], hashes[i]) for i in span])
            if part is None:
                todo = [i for i in span if (ids[i], hashes[i]) not in known]
                made = dict(
                    zip(
                        todo,
                        parallel(joblib.delayed(_flat_row)(paths[i], settings, quads[i]) for i in todo),
                        strict=True,
                    )
                )
                images, records = [], []
                for row, i in enumerate(span):
                    if i in made:
                        image, record = made[i]
                    else:
                        record = known[ids[i], hashes[i]]
                        image = np.array(old[record["shard"]][record["row"]])
                    images.append(image)
                    # a photo whose decoder is missing isn't known by its content: it is tried again
                    digest = "" if record["reasons"] == "needs_pillow_heif" else hashes[i]
                    records.append({**record, "image_id": ids[i], "content_sha256": digest, "shard": shard, "row": row})
                part = _write_part(folder, shard, settings, np.stack(images), records)
            parts.append(part)
            bar.update(len(span))
    index = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(INDEX_COLUMNS))
    write_bytes(folder / "index.csv", index.to_csv(index=False, lineterminator="\n").encode())
    for path in folder.glob("shard_*"):  # of a longer table before
        if int(path.stem.split("_")[1].split(".")[0]) >= len(parts):
            path.unlink()
    return FlatCache.open(folder)


def correct_outline(folder: str | Path, path: str | Path, quad_xy: np.ndarray) -> None:
    """Remember the page corners of an image for the cache in `folder`; the next `build_cache` there uses them.

    quad_xy (4, 2): TL, TR, BR, BL in reading orientation, in EXIF-oriented px of the image at `path`. They belong to
    the file's content: a copy under another name is corrected, too. Kept in `corrections.json`. Raises ValueError
    where they don't run clockwise around a convex area.
    """
    quad, folder = check_outline(quad_xy), Path(folder)
    outlines = {**_outlines(folder), content_hash(path): " ".join(f"{v:.1f}" for v in quad.ravel())}
    write_json(folder / "corrections.json", outlines)


def _outlines(folder: Path) -> dict[str, str]:
    """Corrected corners, as text, by content hash."""
    path = folder / "corrections.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _flat_row(path: str, settings: PreprocessSettings, outline: str | None) -> tuple[np.ndarray, dict]:
    cv2.setNumThreads(1)
    quad_xy = None if outline is None else np.array(outline.split(), float).reshape(4, 2)
    flat = Preprocessor(settings)(path, quad_xy=quad_xy)
    return flat.image, _record(flat)


def _record(flat: FlatECG) -> dict:
    corners = np.full(8, np.nan) if flat.quad_xy is None else flat.quad_xy.ravel().round(2)
    return {
        "readable": flat.readable,
        "quality": round(flat.quality, 4),
        "reasons": ";".join(flat.reasons),
        "px_per_mm": np.nan if flat.px_per_mm is None else round(flat.px_per_mm, 4),
        "flat_px_per_mm": np.nan if flat.flat_px_per_mm is None else round(flat.flat_px_per_mm, 4),
        "rotation": flat.rotation,
        **dict(zip(CORNER_COLUMNS, map(float, corners), strict=True)),
    }


def _hash(path: str) -> str:
    """Content hash; "" for what cannot be read as a file (its row will say why)."""
    try:
        return content_hash(path) if Path(path).is_file() else ""
    except OSError:
        return ""


def _shard(folder: Path, shard: int) -> Path:
    return folder / f"shard_{shard:03d}.npy"


def _read_index(path: Path) -> pd.DataFrame:
    index = pd.read_csv(path, dtype=_TEXT, keep_default_na=False, na_values=[""])  # "NA" may be an image's name
    for column in _TEXT:
        index[column] = index[column].fillna("")
    return index


def _write_part(
    folder: Path, shard: int, settings: PreprocessSettings, images: np.ndarray, records: list[dict]
) -> pd.DataFrame:
    """Write one shard, then its part of the index, which makes it count. A half-written shard has no part."""
    part_path = folder / f"shard_{shard:03d}.{settings.key()}.csv"
    for stale in folder.glob(f"shard_{shard:03d}.*.csv"):
        stale.unlink()
    with atomic_path(_shard(folder, shard)) as temporary:
        np.save(temporary, images)
    part = pd.DataFrame(records)[list(INDEX_COLUMNS)]
    write_bytes(part_path, part.to_csv(index=False, lineterminator="\n").encode())
    return _read_index(part_path)


def _parts(folder: Path, settings: PreprocessSettings) -> list[tuple[int, Path]]:
    found = sorted(folder.glob(f"shard_*.{settings.key()}.csv"))
    return [(int(p.name.split(".")[0].split("_")[1]), p) for p in found]


def _finished_part(
    folder: Path, shard: int, settings: PreprocessSettings, wanted: list[tuple[str, str]]
) -> pd.DataFrame | None:
    """The part of the index of a shard that already holds just the wanted (image_id, hash) rows, else None."""
    path = folder / f"shard_{shard:03d}.{settings.key()}.csv"
    if not path.is_file() or not _shard(folder, shard).is_file():
        return None
    part = _read_index(path)
    return part if list(zip(part["image_id"], part["content_sha256"], strict=True)) == wanted else None


def _known_rows(folder: Path, settings: PreprocessSettings) -> dict[tuple[str, str], dict]:
    """Finished rows by (image_id, content hash), of these settings; unreadable paths are always tried again."""
    known = {}
    for shard, path in _parts(folder, settings):
        if _shard(folder, shard).is_file():
            for record in _read_index(path).to_dict("records"):
                if record["content_sha256"]:
                    known[record["image_id"], record["content_sha256"]] = record
    return known
