"""Does an answer change when a photo is saved again? python benchmarks/steadiness.py --data PTBXL [--photos FOLDER]

Photos of fold 9's first records, or the image files in FOLDER, each handed on in twelve ways (JPEG, cropped by 2 px,
turned by quarters, scaled by half to two) and read as `predict --onnx` reads it. Per photo the largest change of any
probability; a photo that is read only one of the two times counts apart. Writes benchmarks/steadiness.json.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import options, write
from preprocess import handed_on

from ecgutils import FINDINGS
from ecgutils.export import export
from ecgutils.learn import SHIPPED, load_exported, predict
from ecgutils.parallel import for_each
from ecgutils.preprocess import read_image
from ecgutils.signals import Record, read_ptbxl
from ecgutils.synth import render_photo

SEED, SIZE, STEADY = 909_100, (1730, 950), 0.10


def hand_on(photo: Path | Record, i: int, folder: Path) -> None:
    """Write photo i as it is and in each way, without loss."""
    is_file = isinstance(photo, Path)
    rgb = read_image(photo) if is_file else render_photo(photo, np.random.default_rng([SEED, i]), size=SIZE).image
    for way, pixels in [("as it is", rgb), *((way, pixels) for way, pixels, _ in handed_on(rgb))]:
        cv2.imwrite(str(folder / f"{i} {way}.png"), pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])


def main() -> None:
    """Draw, hand on, read, compare."""
    parser = options(__doc__, "data", "workers", "out")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--photos", type=Path, help="folder of image files")
    args = parser.parse_args()
    if args.photos:
        photos = sorted(path for path in args.photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    elif args.data:
        photos = list(read_ptbxl(args.data, 100, folds=[9]))
    else:
        sys.exit("Name a folder in PTB-XL's layout, --data FOLDER, or one of photos, --photos FOLDER.")
    tables = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(SHIPPED, folder / "onnx")
        models = load_exported(folder / "onnx")
        for start in range(0, min(args.n, len(photos)), 10):
            rows = range(start, min(start + 10, args.n, len(photos)))
            list(for_each(hand_on, [(photos[i], i, folder) for i in rows], args.workers))
            paths = sorted(folder.glob("*.png"))
            table = predict(models, paths, workers=args.workers, progress=False)
            tables.append(table.assign(photo=[path.stem.split()[0] for path in paths],
                                       way=[path.stem.split(maxsplit=1)[1] for path in paths]))  # fmt: skip
            for path in paths:
                path.unlink()
            print(f"{rows.stop} photos", flush=True)
    table = pd.concat(tables)
    first = table[table["way"] == "as it is"].set_index("photo").loc[table["photo"]]
    table["change"] = np.abs(table[list(FINDINGS)].to_numpy() - first[list(FINDINGS)].to_numpy()).max(axis=1)
    table["one_read"] = table["readable"].to_numpy() != first["readable"].to_numpy()
    table = table[table["way"] != "as it is"]
    largest = table.groupby("photo")["change"].max().dropna()
    by_way = table.groupby("way", sort=False).agg(
        one_read=("one_read", "sum"), median=("change", "median"), p95=("change", lambda change: change.quantile(0.95))
    )
    found = {
        "photos": int(table["photo"].nunique()), "read": len(largest), "steady_below": STEADY,
        "steady_share": float((largest <= STEADY).mean()), "largest_median": float(largest.median()),
        "largest_p95": float(largest.quantile(0.95)), "one_read": int(table.groupby("photo")["one_read"].any().sum()),
        "by_way": by_way.to_dict("index"), "least_steady": largest.nlargest(10).to_dict(),
    }  # fmt: skip
    print(by_way.round(3).to_string(), {k: v for k, v in found.items() if k != "by_way"}, sep="\n")
    write(found, args.out)


if __name__ == "__main__":
    main()
