"""Generate a whole image set with its manifest: parallel, resumable, the same bytes for the same seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from ecgutils.files import settings_key, write_bytes
from ecgutils.findings import FINDINGS
from ecgutils.manifest import CORNER_COLUMNS, write_manifest
from ecgutils.signals.record import Record
from ecgutils.synth.photo import DEFAULT_PHOTO_SIZE, render_photo
from ecgutils.synth.rendered import Rendered
from ecgutils.synth.scan import check_size, render_scan
from ecgutils.synth.sources import DEFAULT_SCAN_SIZE, PHOTO_SOURCE, SOURCES
from ecgutils.synth.truth import truth_bytes, truth_path

STAGE = 2  # separates this stage's random streams from those of other stages
VERSION = 5  # raise when the same seed draws another picture than before: existing files are then drawn again
_ENCODING = {"jpg": [cv2.IMWRITE_JPEG_QUALITY, 92], "png": [cv2.IMWRITE_PNG_COMPRESSION, 3]}
Size = tuple[int, int]


def generate_images(
    records: Iterable[Record],
    out_dir: str | Path,
    sources: Sequence[str] = SOURCES,
    seed: int = 0,
    workers: int = 1,
    size: Size | dict[str, Size] | None = None,
    image_format: str = "jpg",
    name: str = "manifest.csv",
) -> pd.DataFrame:
    """Render every record once in every source and write the manifest.

    Parameters
    ----------
    records : may be a generator; order matters to the seed, see below.
    out_dir : images go to `out_dir/<source>/<image_id>.<format>`, the manifest to `out_dir/<name>`; the progress
        of a set is kept in `out_dir/<name>.progress.jsonl`. What each image shows is told in
        `out_dir/<source>/truth/<image_id>.npz`, see `read_truth`.
    sources : some of SOURCES.
    seed : image (record i, source j of SOURCES) uses `default_rng([seed, STAGE, i * len(SOURCES) + j])`: the same
        seed gives the same bytes for any number of workers, and adding a source changes no other image.
    size : (W, H) for all, or source -> (W, H); default 1100 x 850 for scans and 1280 x 704 for photos.
    image_format : "jpg" or "png".

    Returns
    -------
    The manifest as written (relative paths), with CORNER_COLUMNS and "rotation", the clockwise degrees that make the
    image upright. A second call keeps every file whose settings, seed, record and bytes are unchanged.

    Raises
    ------
    ValueError : no record, a repeated record_id, an unknown or repeated source or format, an impossible size.
    """
    out_dir = Path(out_dir)
    sizes = _check(sources, size, image_format)
    progress = out_dir / f"{name}.progress.jsonl"
    done = _read_progress(progress)
    tasks = (
        delayed(_render_record)(i, record, sources, seed, sizes, image_format, out_dir, _known(done, record, sources))
        for i, record in enumerate(_unique(records))
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    total = len(records) if isinstance(records, Sized) else None
    rows: list[dict[str, Any]] = []
    with open(progress, "a", encoding="utf-8") as log:
        if log.tell() and not progress.read_bytes().endswith(b"\n"):  # the last run was killed while writing a line
            log.write("\n")
        results = Parallel(n_jobs=workers, return_as="generator", pre_dispatch="3*n_jobs")(tasks)
        for entries in tqdm(results, total=total, desc="rendering", unit="record"):
            for entry in entries:
                if done.get(entry["row"]["image_id"]) != entry:
                    log.write(json.dumps(entry) + "\n")
                rows.append(entry["row"])
            log.flush()
    if not rows:
        raise ValueError(f"generate_images: no records were given, nothing was written to {out_dir}.")
    table = pd.DataFrame(rows)
    write_manifest(table, out_dir / name)
    return table


def _check(sources: Sequence[str], size: Size | dict[str, Size] | None, image_format: str) -> dict[str, Size]:
    """Size of each source, after checking the arguments."""
    unknown = [s for s in sources if s not in SOURCES] if not isinstance(sources, str) else [sources]
    if unknown or not sources or len(set(sources)) < len(sources):
        raise ValueError(f"sources must be a list of different names from {', '.join(SOURCES)}; got {sources!r}.")
    if image_format not in _ENCODING:
        raise ValueError(f"image_format must be one of {', '.join(_ENCODING)}, got {image_format!r}.")
    sizes = {s: DEFAULT_PHOTO_SIZE if s == PHOTO_SOURCE else DEFAULT_SCAN_SIZE for s in SOURCES}
    if isinstance(size, dict):
        if strangers := sorted(set(size) - set(SOURCES)):
            raise ValueError(f"size names unknown source(s) {strangers}; choose from {', '.join(SOURCES)}.")
        sizes.update(size)
    elif size is not None:
        sizes = dict.fromkeys(SOURCES, size)
    return {source: check_size(sizes[source]) for source in sources}


def _image_id(record: Record, source: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', record.record_id)}-{source}"


def _unique(records: Iterable[Record]) -> Iterator[Record]:
    """Pass records on; raise when two would get the same file name."""
    seen: set[str] = set()
    for record in records:
        key = _image_id(record, "")
        if key in seen or not record.record_id:
            raise ValueError(f"Record id {record.record_id!r} is empty or repeated; every record needs its own.")
        seen.add(key)
        yield record


def _read_progress(path: Path) -> dict[str, dict[str, Any]]:
    """image_id -> last entry; a line torn by a kill is ignored, its image is drawn again."""
    done: dict[str, dict[str, Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                done[entry["row"]["image_id"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
    return done


def _known(done: dict[str, dict[str, Any]], record: Record, sources: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {s: done[_image_id(record, s)] for s in sources if _image_id(record, s) in done}


def _render_record(
    index: int,
    record: Record,
    sources: Sequence[str],
    seed: int,
    sizes: dict[str, Size],
    image_format: str,
    out_dir: Path,
    known: dict[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """Render one record in all sources (in a worker); returns progress entries {key, sha256, row}."""
    cv2.setNumThreads(1)
    content = hashlib.sha256(np.ascontiguousarray(record.signal_mv).tobytes()).hexdigest()
    labels = {f: int(f in record.findings) for f in FINDINGS}
    about = {
        "signal_source": record.source,
        "record_id": record.record_id,
        "patient_id": record.patient_id,
        "fold": record.fold,
        **labels,
    }
    entries = []
    for source in sources:
        i = index * len(SOURCES) + SOURCES.index(source)
        key = settings_key([VERSION, seed, i, sizes[source], image_format, float(record.fs), content])
        image_id = _image_id(record, source)
        relative = f"{source}/{image_id}.{image_format}"
        path = out_dir / relative
        truth = truth_path(path)
        old = known.get(source)
        if old and old["key"] == key and [_sha256(p) for p in (path, truth)] == [old["sha256"], old["truth_sha256"]]:
            entries.append({**old, "row": {**old["row"], **about}})
            continue
        rng = np.random.default_rng([seed, STAGE, i])
        if source == PHOTO_SOURCE:
            rendered = render_photo(record, rng, size=sizes[source])
        else:
            rendered = render_scan(record, rng, source, sizes[source])
        code = cv2.imencode(
            f".{image_format}", cv2.cvtColor(rendered.image, cv2.COLOR_RGB2BGR), _ENCODING[image_format]
        )[1].tobytes()
        write_bytes(path, code)
        write_bytes(truth, truth_bytes(rendered))
        row = {"image_id": image_id, "path": relative, "image_source": source, **about, **_truth(rendered)}
        entries.append({"key": key, "sha256": _sha256(path), "truth_sha256": _sha256(truth), "row": row})
    return entries


def _truth(rendered: Rendered) -> dict[str, Any]:
    """Manifest columns that describe the drawing."""
    corners = np.round(rendered.quad_xy.astype(np.float64).ravel(), 2).tolist()
    return {
        "layout": rendered.style["layout"],
        "px_per_mm": round(rendered.px_per_mm, 4),
        "width": rendered.image.shape[1],
        "height": rendered.image.shape[0],
        **dict(zip(CORNER_COLUMNS, corners, strict=True)),
        "rotation": rendered.style["rotation"],
    }


def _sha256(path: Path) -> str | None:
    """Of the file's content; None where no file is."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
