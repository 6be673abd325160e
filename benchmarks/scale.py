"""Does it stay as fast and as small with more images? python benchmarks/scale.py FOLDER --sizes 200 2000 20000

The commands of a large set, one after the other on the same images, at growing sizes: draw photos, flatten,
answer, score. Of each: processor seconds with its workers', what a further image costs (between two sizes, so that
starting doesn't count), the largest process's memory, and the most files that were open at once. From the last size's
cost it says what the challenge's photos, PTB-XL in six sources and a million renders take: an extrapolation, which
takes for granted that cores add up and that the disk keeps pace. Writes benchmarks/scale.json and scale.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import pandas as pd
from common import options, write

from ecgutils.files import write_bytes

SETS = {"BHF, 18,000 photos": 18_000, "PTB-XL, six sources": 6 * 21_799, "a million renders": 1_000_000}
CORES = (2, 16, 64)
# Assumed, not measured: US dollars, images that one GPU trains on in a second, how often each is shown.
CORE_HOUR, GPU_HOUR, VIEWS_A_SECOND, EPOCHS = 0.05, 3.0, 800, 10


def commands(n: int, folder: Path, workers: int) -> dict[str, list[str]]:
    """What is run on n images, by name."""
    images, table, answers = folder / "images", folder / "images" / "manifest.csv", folder / "answers.csv"
    at, how = ["python", "-m", "ecgutils"], ["--workers", str(workers)]
    return {
        "draw": [*at, "generate", "--out", images, "-n", n, "--sources", "photo", *how],
        "flatten": [*at, "preprocess", table, "--out", folder / "flat", *how],
        "answer": [*at, "predict", images / "photo", "--out", answers, *how],
        "score": [*at, "evaluate", answers, table],
    }


def run(command: list) -> dict[str, float]:
    """Run a command; its processor seconds and memory with those of its workers, and open files."""
    start, files = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, *map(str, command[1:])], stdout=subprocess.DEVNULL)

    def watch() -> None:
        nonlocal files
        while process.returncode is None:
            try:
                files = max(files, len(os.listdir(f"/proc/{process.pid}/fd")))
            except OSError:
                return
            time.sleep(0.2)

    watching = threading.Thread(target=watch)
    watching.start()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    watching.join()
    if process.returncode not in ((0, 1) if "predict" in command else (0,)):  # 1: it could not read every photo
        raise subprocess.CalledProcessError(process.returncode, process.args)
    about = {"wall_s": time.perf_counter() - start, "memory_mb": used.ru_maxrss / 1024, "open_files": files}
    return {"cpu_s": used.ru_utime + used.ru_stime} | about


def marginal(table: pd.DataFrame) -> pd.DataFrame:
    """Processor milliseconds of a further image, from each size to the next."""
    ordered = table.sort_values("n")
    steps = ordered.groupby("step", sort=False)[["cpu_s", "n"]].diff()
    return ordered.assign(ms_per_image=1000 * steps["cpu_s"] / steps["n"]).dropna()


def markdown(table: pd.DataFrame) -> str:
    """A frame as a table, numbers with one decimal."""
    cells = table.map(lambda cell: f"{cell:,.1f}" if isinstance(cell, float) else str(cell)).to_numpy()
    rows = [list(map(str, table.columns)), ["---"] * table.shape[1], *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def prediction(cost: pd.Series, byte_per_image: float) -> pd.DataFrame:
    """Hours, GB and dollars for each of SETS; `cost`: processor seconds per image and step."""
    rows = []
    for name, n in SETS.items():
        hours = n * cost[["draw", "flatten"]].sum() / 3600
        row = {"set": name, "draw and flatten, core hours": hours, "answer, core hours": n * cost["answer"] / 3600}
        row |= {f"both on {cores} cores, hours": (hours + row["answer, core hours"]) / cores for cores in CORES}
        row |= {"GB of images": n * byte_per_image / 1e9, "USD": CORE_HOUR * (hours + row["answer, core hours"])}
        train = n * EPOCHS / VIEWS_A_SECOND / 3600
        row |= {f"train {EPOCHS} epochs, GPU hours": train, "USD of GPU": GPU_HOUR * train}
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Run, compare, extrapolate, write."""
    parser = options(__doc__, "workers", "out")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 2000, 20_000])
    args = parser.parse_args()
    if len(args.sizes) < 2 or sorted(set(args.sizes)) != args.sizes:
        sys.exit("--sizes needs at least two numbers, growing.")
    rows = []
    for n in args.sizes:
        for step, command in commands(n, args.folder / str(n), args.workers).items():
            rows.append({"step": step, "n": n, **run(command)})
            print({key: round(value, 1) if isinstance(value, float) else value for key, value in rows[-1].items()})
    table = pd.DataFrame(rows)
    costs = marginal(table)
    photos = sorted((args.folder / str(args.sizes[-1]) / "images" / "photo").glob("*.jpg"))
    height, width = cv2.imread(str(photos[0])).shape[:2]
    size = sum(path.stat().st_size for path in photos) / len(photos)
    cost = costs[costs["n"] == args.sizes[-1]].set_index("step")["ms_per_image"] / 1000
    ahead = prediction(cost, size)
    lines = ["# At full size", f"`python benchmarks/scale.py`: photos of {width} x {height} px.",
             markdown(table), "Processor milliseconds of a further image, by size:",
             markdown(costs.pivot(index="step", columns="n", values="ms_per_image").reset_index()),
             "Extrapolated from the last column, and assumed: cores add up, the disk keeps pace, a core hour costs "
             f"{CORE_HOUR:.2f} USD, a GPU hour {GPU_HOUR:.0f}; one GPU trains on {VIEWS_A_SECOND} a second. Larger "
             "photos cost more to draw and decode, hardly more to flatten.",
             markdown(ahead)]  # fmt: skip
    print("\n\n".join(lines[2:]))
    write_bytes(Path(__file__).with_name("scale.md"), ("\n\n".join(lines) + "\n").encode())
    found = {"steps": rows, "ms_per_image": costs[["step", "n", "ms_per_image"]].to_dict("records")}
    write(found | {"photo": [width, height], "bytes": size, "ahead": ahead.to_dict("records")}, args.out)


if __name__ == "__main__":
    main()
