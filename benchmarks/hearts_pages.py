"""Pages of real hearts, drawn, photographed and read as `predict` reads them: what real_hearts.py learns from.

    python benchmarks/hearts_pages.py FOLDER --data PTBXL --part train --images 8000

Image i of a part is a photo or a scan of one PTB-XL record: "train" of folds 1 to 7, "val" of 8, "test" of 9, where
every record has one photo (0, 2, 4, ...) and one scan (1, 3, 5, ...). A quarter of the training images has a layout
other than its source's usual ones. Pages are kept at three sizes, in pieces of 400, so that a stopped run goes on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from common import options, ptbxl
from tqdm import tqdm

from ecgutils import FINDINGS
from ecgutils.learn import FlatSet
from ecgutils.parallel import for_each
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.signals import Record, read_ptbxl
from ecgutils.synth import PHOTO_SOURCE, SCAN_SOURCES, draw_style, render_page, render_photo
from ecgutils.synth.style import LAYOUTS

SEED, PIECE = 20266, 400
FOLDS = {"train": range(1, 8), "val": [8], "test": [9]}
CANVASES = {  # by width
    "384": ((384, 192), 1.4),
    "512": ((512, 256), 1.867),
    "768": ((768, 384), 2.8),
}
PHOTOS = ((1280, 704), (1730, 950), (1000, 550))
SCANS = ((1100, 850), (1650, 1275), (850, 657))
RARE, RARE_SHARE = ("6x2", "6x2+1", "12x1"), 0.25


def draw(record: Record, i: int, part: str) -> dict:
    """Image i of a part, its flat page on each canvas, and what is known of it."""
    rng = np.random.default_rng([SEED, sorted(FOLDS).index(part), i])
    source = SCAN_SOURCES[i // 2 % len(SCAN_SOURCES)] if i % 2 else PHOTO_SOURCE
    sizes = SCANS if i % 2 else PHOTOS
    size = sizes[int(rng.integers(3))] if part == "train" else sizes[0]
    style = draw_style(rng, source, size[0] / size[1])
    if part == "train" and rng.random() < RARE_SHARE:
        style = replace(style, layout=str(rng.choice([name for name in LAYOUTS if name.startswith(RARE)])))
    if source == PHOTO_SOURCE:
        image = render_photo(record, rng, size=size, style=style).image
    else:
        image = render_page(record, rng, style, size[0] / style.width_mm).image
    flats = Preprocessor().on_canvases(image, list(CANVASES.values()))
    labels = [float(finding in record.findings) for finding in FINDINGS]
    about = {"id": f"{part}-{i}", "record": record.record_id, "patient": record.patient_id, "source": source}
    about |= {"layout": style.layout, "labels": labels, "readable": flats[0].readable, "quality": flats[0].quality}
    return about | {"reasons": ";".join(flats[0].reasons)} | {
        name: flat.image for name, flat in zip(CANVASES, flats, strict=True)
    }  # fmt: skip


def records_of(part: str, folder: str | Path) -> list[Record]:
    """The part's records, those for training in a fixed random order."""
    records = list(read_ptbxl(folder, 100, folds=FOLDS[part]))
    if part == "train":
        records = [records[i] for i in np.random.default_rng(SEED).permutation(len(records))]
    return records


def draw_part(part: str, first: int, n: int, folder: Path, data: str | Path, workers: int) -> None:
    """Draw what isn't there yet of the images `first` to n of a part; n = 0: two of each record."""
    records = records_of(part, data)
    n = n or 2 * len(records)
    for start in tqdm(range(first, n, PIECE), desc=part, unit="piece"):
        path = folder / f"{part}-{start:06d}.npz"
        if path.exists():
            continue
        rows = [(records[i // 2 % len(records)], i, part) for i in range(start, min(start + PIECE, n))]
        drawn = list(for_each(draw, rows, workers))
        with open(path.with_suffix(".part"), "wb") as file:
            np.savez_compressed(file, **{key: np.array([row[key] for row in drawn]) for key in drawn[0]})
        path.with_suffix(".part").rename(path)


def load_part(part: str, folder: Path, canvas: str) -> tuple[FlatSet, np.ndarray]:
    """All images of a part that were drawn, as they lie on one of CANVASES, and their record_id, str (N,)."""
    paths = sorted(folder.glob(f"{part}-*.npz"))
    if not paths:
        raise FileNotFoundError(f"No pages of {part} in {folder}: draw them with hearts_pages.py first.")
    if canvas not in np.load(paths[0]).files:
        raise ValueError(f"{paths[0]} is of an older version, or has no canvas {canvas}: draw {part} anew.")
    keys = (canvas, "labels", "id", "patient", "source", "readable", "quality", "reasons", "record")
    pieces = [[piece[key] for key in keys] for piece in map(np.load, paths)]
    images, labels, ids, patients, sources, readable, quality, reasons, record = map(
        np.concatenate, zip(*pieces, strict=True)
    )
    (size, px_per_mm) = CANVASES[canvas]
    settings = PreprocessSettings(size=size, px_per_mm=px_per_mm).to_dict()
    flat = FlatSet(images, labels.astype(np.float32), ids, patients, sources, readable, True,
                   quality.astype(np.float32), reasons, settings)  # fmt: skip
    return flat, record


def main() -> None:
    """Draw a part."""
    parser = options(__doc__, "data", "workers")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=FOLDS, default="train")
    parser.add_argument("--images", type=int, default=0, help="0 = two of each record")
    parser.add_argument("--first", type=int, default=0, help=f"leave out those before; a multiple of {PIECE}")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    draw_part(args.part, args.first, args.images, args.folder, ptbxl(args), args.workers)


if __name__ == "__main__":
    main()
