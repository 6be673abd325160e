"""Time the renderers: CPU seconds per image on one core, peak memory, and the same page from plotting libraries.

    python benchmarks/render.py [--images 12] [--out benchmarks/render.json]

Every case runs in a process of its own, so that its peak memory is its own. Times are of the whole call from signal to
array with the default mix of styles and effects (median, mean and largest over the images, after one to warm up);
encoding the file is timed apart. "matplotlib" is a plain page: grid, twelve traces and lead names; "pmecg" runs when
installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
from common import options, write

from ecgutils.findings import LEADS
from ecgutils.hearts import simulate
from ecgutils.parallel import one_thread
from ecgutils.signals import Record

SCAN, SMALL, LARGE = (2200, 1700), (1730, 950), (3460, 1900)
FLOOR_S = {"vector": 0.042, "photo 1730": 0.10, "photo 3460": 0.30}
FLOOR_MB = 500


def scan(source: str) -> Callable[[Record, int], np.ndarray]:
    from ecgutils.synth import render_scan

    return lambda record, i: render_scan(record, np.random.default_rng(i), source, SCAN).image


def photo(size: tuple[int, int]) -> Callable[[Record, int], np.ndarray]:
    from ecgutils.synth import render_photo

    return lambda record, i: render_photo(record, np.random.default_rng(i), size=size).image


def with_matplotlib() -> Callable[[Record, int], np.ndarray]:
    """A plain page, 11 x 8.5 inches at 200 dpi, 25 mm to the inch."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    top = 21.25  # mV

    def draw(record: Record, i: int) -> np.ndarray:
        figure = plt.figure(figsize=(11, 8.5), dpi=200)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 11), ylim=(0, top))
        axes.set_xticks(np.arange(0, 11, 0.2))
        axes.set_xticks(np.arange(0, 11, 0.04), minor=True)
        axes.set_yticks(np.arange(0, top, 0.5))
        axes.set_yticks(np.arange(0, top, 0.1), minor=True)
        axes.grid(which="major", color=(1, 0.5, 0.5), linewidth=0.5)
        axes.grid(which="minor", color=(1, 0.8, 0.8), linewidth=0.2)
        quarter = round(2.5 * record.fs)
        for lead, name in enumerate(LEADS):
            row, column = (0.83 - 0.22 * (lead % 3)) * top, lead // 3
            part = record.signal_mv[lead, column * quarter : (column + 1) * quarter]
            axes.plot(0.5 + 2.5 * column + np.arange(len(part)) / record.fs, row + part, color="k", linewidth=0.7)
            axes.text(0.55 + 2.5 * column, row + 0.05 * top, name)
        rhythm = 0.15 * top + record.signal_mv[1, : 4 * quarter]
        axes.plot(0.5 + np.arange(4 * quarter) / record.fs, rhythm, "k", linewidth=0.7)
        figure.canvas.draw()
        image = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        plt.close(figure)
        return image

    return draw


def with_pmecg() -> Callable[[Record, int], np.ndarray]:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import pandas as pd
    from pmecg import ECGPlotter, template_factory

    def draw(record: Record, i: int) -> np.ndarray:
        leads = pd.DataFrame(record.signal_mv.T, columns=list(LEADS))
        layout = template_factory("4x3+1", leads, None)
        figure = ECGPlotter().plot(leads, layout, sampling_frequency=record.fs, show=False)
        figure.set_size_inches(11, 8.5)
        figure.set_dpi(200)
        figure.canvas.draw()
        image = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        plt.close(figure)
        return image

    return draw


CASES: dict[str, Callable[[], Callable[[Record, int], np.ndarray]]] = {
    **{source: lambda source=source: scan(source) for source in ("vector", "office", "fax", "thermal", "archive")},
    "photo 1730": lambda: photo(SMALL),
    "photo 3460": lambda: photo(LARGE),
    "matplotlib": with_matplotlib,
    "pmecg": with_pmecg,
}


def measure(name: str, images: int) -> dict:
    """Run one case in this process."""
    start = time.process_time()
    draw = CASES[name]()
    import_s = time.process_time() - start
    records = [simulate(np.random.default_rng(i)) for i in range(4)]
    image = draw(records[0], 0)
    seconds = []
    for i in range(1, images + 1):
        start = time.process_time()
        image = draw(records[i % 4], i)
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.process_time()
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    encode_s = time.process_time() - start
    height, width = image.shape[:2]
    return {
        "case": name,
        "width": width,
        "height": height,
        "median_s": round(float(np.median(seconds)), 4),
        "mean_s": round(float(np.mean(seconds)), 4),
        "largest_s": round(max(seconds), 4),
        "import_s": round(import_s, 2),
        "encode_s": round(encode_s, 4),
        "jpeg_kb": len(code) // 1024,
        "peak_mb": round(peak),
    }


def main() -> None:
    parser = options(__doc__, "out")
    parser.add_argument("--images", type=int, default=12, help="of each case")
    parser.add_argument("--case", choices=CASES, help="measure one case in this process and print JSON")
    args = parser.parse_args()
    if args.case:
        with one_thread():
            print(json.dumps(measure(args.case, args.images)))
        return
    rows = []
    for name in CASES:
        if name == "pmecg" and importlib.util.find_spec("pmecg") is None:
            print("pmecg: not installed, left out")
            continue
        command = [sys.executable, __file__, "--case", name, "--images", str(args.images)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr}")
        row = json.loads(done.stdout)
        rows.append(row)
        floor = f"   floor {FLOOR_S[name]} s" if name in FLOOR_S else ""
        print(
            f"{name:11s} {row['width']:4d} x {row['height']:4d}   mean {row['mean_s']:.3f} s"
            f"   median {row['median_s']:.3f}   largest {row['largest_s']:.3f}   JPEG {row['encode_s']:.3f} s"
            f"   peak {row['peak_mb']:4d} MB{floor}"
        )
    missed = [r["case"] for r in rows if r["mean_s"] > FLOOR_S.get(r["case"], np.inf)]
    missed += [
        f"{r['case']} (memory)" for r in rows if r["case"] not in ("matplotlib", "pmecg") and r["peak_mb"] > FLOOR_MB
    ]
    print(f"missed: {', '.join(missed)}" if missed else "every floor is met")
    about = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version()}
    write({**about, "images_per_case": args.images, "floor_s": FLOOR_S, "rows": rows, "missed": missed}, args.out)


if __name__ == "__main__":
    main()
