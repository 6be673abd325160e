"""Generate a whole image set with its manifest: parallel, resumable, the same bytes for the same seed."""

import hashlib
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from operator import length_hint
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgutils.files import Progress, content_hash, jsonable, settings_key, write_bytes
from ecgutils.findings import FINDINGS
from ecgutils.manifest import CORNER_COLUMNS, write_manifest
from ecgutils.parallel import for_each
from ecgutils.signals.record import Record
from ecgutils.synth.lettering import NUMBERS
from ecgutils.synth.page import render_scan
from ecgutils.synth.photo import DEFAULT_PHOTO_SIZE, render_photo
from ecgutils.synth.rendered import Size, check_size
from ecgutils.synth.sources import DEFAULT_SCAN_SIZE, PHOTO_SOURCE, SCANS, SOURCES
from ecgutils.synth.truth import truth_bytes, truth_path

STAGE = 2  # separates this stage's random streams from those of other stages
VERSION = 6  # raise when the same seed draws another picture than before: existing files are then drawn again
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]


def generate_images(
    records: Iterable[Record],
    out_dir: str | Path,
    sources: Sequence[str] = SOURCES,
    seed: int = 0,
    workers: int = 1,
    size: Size | None = None,
    name: str = "manifest.csv",
    shard: tuple[int, int] = (1, 1),
) -> pd.DataFrame:
    """Render every record once in every source and write the manifest.

    Parameters
    ----------
    records : may be a generator; order matters to the seed, see below.
    out_dir : images go to `out_dir/<source>/<image_id>.jpg`, the manifest to `out_dir/<name>`; the progress of a set is
        kept in `out_dir/<name>.progress.jsonl`. What each image shows is told in
        `out_dir/<source>/truth/<image_id>.npz`, see `read_truth`.
    sources : some of SOURCES.
    seed : the image of record i in a source uses `stream(seed, i, source)`: the same seed gives the same bytes for any
        number of workers, and a source more, or a new one, changes no other image.
    size : (W, H) of all images; default 1100 x 850 for scans and 1280 x 704 for photos.
    shard : (k, n), part k of n: `records` are those numbered k - 1, k - 1 + n, ... of the set. Each has a manifest of
        its own; once all are there, that of the set is written with the bytes that it has without shards. Until then
        it isn't there, and a warning says what is missing. Those of another seed, source or size don't count.

    Returns the manifest as written (relative paths), with CORNER_COLUMNS and "rotation", the clockwise degrees that
    make the image upright. A second call keeps every file whose settings, seed, record and bytes are unchanged.
    ValueError : no record, a repeated record_id, an unknown or repeated source, an impossible size or shard.
    """
    out_dir = Path(out_dir).absolute()  # workers of a cluster were started elsewhere
    default = dict.fromkeys(SCANS, DEFAULT_SCAN_SIZE) | {PHOTO_SOURCE: DEFAULT_PHOTO_SIZE}
    if isinstance(sources, str) or not sources or not set(sources) <= set(default) or len(set(sources)) < len(sources):
        raise ValueError(f"sources must be a list of different names from {', '.join(default)}; got {sources!r}.")
    sizes = {source: check_size(size or default[source]) for source in sources}
    parts = _shards(out_dir / name, *shard, settings_key([VERSION, seed, sizes]))
    own = parts[shard[0] - 1]
    progress = Progress(f"{own}.progress.jsonl")
    tasks = (
        (i, record, seed, sizes, out_dir, [progress.done.get(_image_id(record, source)) for source in sizes])
        for i, record in zip(count(shard[0] - 1, shard[1]), _unique(records), strict=False)
    )
    rows: list[dict[str, Any]] = []
    with progress.alone():
        drawn = for_each(_render_record, tasks, workers)
        for entries in tqdm(drawn, total=length_hint(records) or None, desc="rendering", unit="record"):
            for entry in entries:
                progress.add(entry)
                rows.append(entry["row"])
        if not rows:
            raise ValueError(f"generate_images: no records were given, nothing was written to {out_dir}.")
        table = pd.DataFrame(rows)
        write_manifest(table, own)
    if len(parts) > 1:
        _join(parts, out_dir / name, len(sizes))
    return table


def _shards(whole: Path, k: int, n: int, key: str) -> list[Path]:
    """The manifests of all shards; that of number k and the `whole` are outdated, and go."""
    if not 1 <= k <= n:
        raise ValueError(f"Shard {k} of {n} does not exist: give one from 1 to the number of shards.")
    parts = [whole.with_name(f"{whole.stem}.{key}-{i}-of-{n}.csv") for i in range(1, n + 1)]
    for outdated in (parts[k - 1], whole) if n > 1 else ():
        outdated.unlink(missing_ok=True)
    return parts if n > 1 else [whole]


def _join(parts: list[Path], whole: Path, each: int) -> None:
    """Deal the rows, `each` of a record, from the shards' manifests into one, once all are there."""
    if missing := [str(i) for i, part in enumerate(parts, 1) if not part.is_file()]:
        warnings.warn(f"{whole} follows when shard {', '.join(missing)} of {len(parts)} is made.", stacklevel=3)
        return
    tables = [pd.read_csv(part, dtype=str, keep_default_na=False) for part in parts]  # as text nothing is rounded
    order = np.concatenate([np.arange(len(table)) // each for table in tables]).argsort(kind="stable")
    write_manifest(pd.concat(tables, ignore_index=True).iloc[order], whole)


def stream(seed: int, row: int, source: str) -> np.random.Generator:
    """Random numbers of the image of record number `row` in `source`: they depend on its name, not on its place."""
    return np.random.default_rng([seed, STAGE, row, zlib.crc32(source.encode())])


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


def _render_record(
    index: int, record: Record, seed: int, sizes: dict[str, Size], out_dir: Path, known: list[dict[str, Any] | None]
) -> list[dict[str, Any]]:
    """Render one record in all sources (in a worker); returns entries {name, key, sha256, truth_sha256, row}."""
    content = hashlib.sha256(np.ascontiguousarray(record.signal_mv).tobytes()).hexdigest()
    printed = jsonable([record.details.get(number) for number in NUMBERS])
    about = {"signal_source": record.source, "record_id": record.record_id, "patient_id": record.patient_id}
    about |= {"fold": record.fold, **{f: int(f in record.findings) for f in FINDINGS}}
    entries = []
    for (source, size), old in zip(sizes.items(), known, strict=True):
        key = settings_key([VERSION, seed, index, source, size, float(record.fs), content, printed])
        image_id = _image_id(record, source)
        path = out_dir / source / f"{image_id}.jpg"
        if old and old == {**old, "key": key, **_hashes(path)}:
            entries.append({**old, "row": {**old["row"], **about}})
            continue
        rng = stream(seed, index, source)
        is_photo = source == PHOTO_SOURCE
        rendered = render_photo(record, rng, size=size) if is_photo else render_scan(record, rng, source, size)
        write_bytes(path, cv2.imencode(".jpg", cv2.cvtColor(rendered.image, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes())
        write_bytes(truth_path(path), truth_bytes(rendered))
        row = {"image_id": image_id, "path": f"{source}/{path.name}", "image_source": source, **about}
        row |= {"layout": rendered.style["layout"], "px_per_mm": round(rendered.px_per_mm, 4)}
        row |= dict(zip(("width", "height"), rendered.image.shape[1::-1], strict=True))
        corners = np.round(rendered.quad_xy.astype(np.float64).ravel(), 2).tolist()
        row |= dict(zip(CORNER_COLUMNS, corners, strict=True)) | {"rotation": rendered.style["rotation"]}
        entries.append({"name": image_id, "key": key, **_hashes(path), "row": row})
    return entries


def _hashes(path: Path) -> dict[str, str | None]:
    """SHA-256 of an image and of its truth; None where no file is."""
    files = {"sha256": path, "truth_sha256": truth_path(path)}
    return {name: content_hash(file) if file.is_file() else None for name, file in files.items()}
