"""Train one of the pair of networks that know simulated hearts alone, and measure both as `predict` uses them.

    python benchmarks/ship_weights.py --train             # "simulated/fine", on a GPU with 16 cores: five minutes
    torchrun --nproc-per-node 2 benchmarks/ship_weights.py --train           # in two processes, or on two GPUs
    python benchmarks/ship_weights.py --measure           # both networks, on images of today's code

Morphology learning on scans, while another process draws the photos; then adaptation: half of the views photos, half
scans again. Every image is of another simulated patient. Finished images and trainings are kept below the run folder,
so that an interrupted run goes on. Measuring calibrates each network and their mean on photos of further simulated
patients and scores photos of yet others and, where ECG_PTBXL names a PTB-XL folder, photo-like and scan-like renders of
its records, which the weights have never seen. Writes ecgutils/weights/simulated/ and benchmarks/ship_weights.json.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from common import draw, flat_settings, main_process_first, options, ship, write

from ecgutils import FINDINGS
from ecgutils.evaluate import Calibration, blend, bootstrap_auroc, fill_unreadable, fit_calibration, join_truth
from ecgutils.files import write_bytes
from ecgutils.hearts import load_records
from ecgutils.learn import (
    SIMULATED,
    build_model,
    build_sets,
    fit,
    is_main_process,
    join_sets,
    load_model,
    load_sets,
    predict,
)
from ecgutils.learn.checkpoint import SHIPPED_FOLDER, read_params
from ecgutils.preprocess import PreprocessSettings
from ecgutils.preprocess.pipeline import VERSION
from ecgutils.profiles import Profile, arm_settings, load_profile
from ecgutils.signals import beat_targets
from ecgutils.synth import PHOTO_SOURCE

N_VAL, SEED_VAL = 500, 9292  # simulated patients that choose the checkpoints
LARGE_PHOTO = (1730, 950)  # of half of the photos; the others are as small as the profile says
N_TEST, SEED_TEST = 300, 9090  # simulated test patients; no profile uses this seed
N_CALIBRATION, SEED_CALIBRATION = 600, 9191  # and those whose photos the probabilities are calibrated on

CARD = """# {name}

{backbone}, input {width} x {height} px at {px_per_mm} px/mm, half precision.
Learned from {trained_on}: **no patient's signal**.
Training: `{command}` at commit {commit}, {views} images shown in both
stages together, {seconds:.0f} s on {device}. sha256 of `model.safetensors`: `{sha256}`.
"""

PAIR_CARD = """# Weights of simulated hearts alone

Two networks, `default` and the slower `fine`, which sees a page 1.5 times larger; each has a card of its own.
**No patient's signal was in them.** `python -m ecgutils predict --model simulated` takes the mean of their
probabilities.

AUROC of `predict` (mean over five slightly moved views of a page, pre-processing version {version}) with 95 %
intervals, by patient; unreadable photos count with the prevalence:

{table}

The simulator was set with statistics and pages of a 353-record PTB-XL sample in view, and that two networks ship
instead of one was decided on it: scores on that sample are not those of an untouched test.

`calibration.json` (of the mean; Platt's, per finding) was fitted on {calibrated}:
it says nothing about a hospital.

What they can't do: they are small networks that have seen drawn hearts only; five findings are not all of cardiology.
Research software, not a medical device. *If none of the five findings is reported, the ECG may still be abnormal.*
"""


def make_sets(profile: Profile, kind: str) -> None:
    """Draw and flatten what isn't there yet of "scans" or "photos", one image of each patient."""
    out, workers = profile.run_dir / kind, profile.n_workers
    n = {"scans": profile.extra_records, "photos": profile.n_records}[kind]
    kinds: list[tuple[str, tuple[int, int]]] = [(source, profile.scan_size) for source in profile.scan_sources]
    if kind == "photos":
        kinds = [(PHOTO_SOURCE, profile.photo_size), (PHOTO_SOURCE, LARGE_PHOTO)]
    people = {
        "train": list(load_records(n, profile.seed + (kind == "photos"), prefix=kind, workers=workers)),
        "val": list(load_records(N_VAL, SEED_VAL, prefix="val", workers=workers)),
    }
    parts = {}
    for part, records in people.items():
        tables = []
        for i, (source, size) in enumerate(kinds):
            name, seed = f"{part}-{i}.csv", (profile.seed if part == "train" else SEED_VAL) + i
            tables.append(draw(records[i :: len(kinds)], out / "images", [source], seed, workers, name, size))
        parts[part] = pd.concat(tables, ignore_index=True)
    targets = beat_targets([*people["train"], *people["val"]])
    build_sets(out / "sets", parts, flat_settings(profile), workers=workers, targets=targets)


def train(profile: Profile) -> list[Path]:
    """Both stages; what is finished is left as it is. Returns their folders."""
    settings, checkpoints = arm_settings(profile), profile.run_dir / "checkpoints"
    with main_process_first():
        if is_main_process():
            make_sets(profile, "scans")
    command = [sys.executable, *sys.argv, "--draw", "photos"]
    with subprocess.Popen(command) if is_main_process() else nullcontext() as drawing:
        note = {"trained_on": f"scan-like renders of {profile.signals} signals", "profile": profile.settings()}
        scans = load_sets(profile.run_dir / "scans/sets")
        preprocess = PreprocessSettings.from_dict(scans["train"].preprocess)
        model = build_model(profile.backbone, preprocess, pretrained=profile.imagenet, seed=profile.seed)
        stage1 = checkpoints / "stage1"
        fit(model, scans["train"], scans["val"], settings["stage1"], stage1, resume=True, params=note)
    with main_process_first():
        if drawing and drawing.returncode:
            raise RuntimeError(f"The photos could not be drawn (exit status {drawing.returncode}); see above.")

    # balanced sampling draws sources alike: scans as one source are half of the views
    photos = load_sets(profile.run_dir / "photos/sets")
    replay = replace(scans["train"], sources=np.full(len(scans["train"]), "scan"))
    both = join_sets(replay, photos["train"]), join_sets(scans["val"], photos["val"])
    note["trained_on"] = f"scan-like and photo-like renders of {profile.signals} signals"
    model, adapted = load_model(stage1), checkpoints / "adapted"
    adapt = replace(settings["two_stage"], ema_decay=settings["stage1"].ema_decay)
    fit(model, *both, adapt, adapted, resume=True, params=note)
    return [stage1, adapted]


def test_images(profile: Profile) -> dict[str, pd.DataFrame]:
    """Photos of simulated patients that no profile draws; photos and crisp scans of every record of a PTB-XL folder."""
    out, workers = profile.run_dir / "shipping", profile.n_workers
    people = {"simulated test patients": list(load_records(N_TEST, SEED_TEST, prefix="test", workers=workers))}
    wanted = [("simulated test patients", PHOTO_SOURCE, profile.photo_size)]
    if os.environ.get("ECG_PTBXL"):
        people["PTB-XL records"] = list(load_records(0, 0, ptbxl=os.environ["ECG_PTBXL"]))
        wanted += [
            ("PTB-XL records", PHOTO_SOURCE, profile.photo_size),
            ("PTB-XL records", "vector", profile.scan_size),
        ]
    return {
        f"{name}, {source}": draw(people[name], out / f"{name.split()[0]}-{source}", [source], 1, workers, size=size)
        for name, source, size in wanted
    }


def read(images: pd.DataFrame, workers: int) -> dict[str, pd.DataFrame]:
    """Predictions of each network, and of "both"."""
    alone = {name: predict(name, images["path"], workers=workers, raw=True) for name in SIMULATED}
    return alone | {"both": blend(list(alone.values()))}


def calibrate(profile: Profile) -> dict[str, Calibration]:
    """Fit the probabilities of each network and of "both", as `predict` gives them, on photos of further patients."""
    records = list(load_records(N_CALIBRATION, SEED_CALIBRATION, prefix="calibration", workers=profile.n_workers))
    folder, size = profile.run_dir / "calibration", profile.photo_size
    images = draw(records, folder, [PHOTO_SOURCE], 1, profile.n_workers, size=size)
    domain = "photo-like renders of further simulated signals"
    weights = {name: [read_params(name)[1]["sha256"]] for name in SIMULATED}
    weights["both"] = [sha256 for one in weights.values() for sha256 in one]
    tables = read(images, profile.n_workers)
    return {name: fit_calibration(table, images, domain, weights[name]) for name, table in tables.items()}


def measure(profile: Profile, calibration: Calibration) -> str:
    """Score the networks on all test images; write the JSON, return the table for the card."""
    prevalence = {finding: n / calibration.images for finding, n in calibration.positives.items()}
    lines = ["| images | n | network | " + " | ".join(["macro", *FINDINGS]) + " |", "|" + "---|" * 9]
    results = {}
    for name, images in test_images(profile).items():
        for network, predictions in read(images, profile.n_workers).items():
            scored = join_truth(fill_unreadable(predictions, prevalence), images)
            how = {"rounds": profile.bootstrap_rounds, "seed": profile.seed}
            rows = bootstrap_auroc(scored.y, scored.p, scored.clusters, **how)
            values = [f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows.itertuples()]
            lines.append(f"| {name} | {len(images)} | {network} | " + " | ".join(values) + " |")
            results[f"{name}, {network}"] = rows.to_dict("records")
    print("\n".join(lines))
    write({"results": results})
    return "\n".join(lines)


def main() -> int:
    parser = options(__doc__, "profile")
    parser.set_defaults(profile="weights")
    parser.add_argument("--train", action="store_true", help="train and ship, measure nothing")
    parser.add_argument("--measure", action="store_true", help="calibrate and measure what is shipped")
    parser.add_argument("--draw", choices=("scans", "photos"), help="only draw and flatten these")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", default=[], help="change settings of the profile")
    args = parser.parse_args()
    profile = load_profile(args.profile, **dict(change.split("=", 1) for change in args.set))
    if args.draw:
        make_sets(profile, args.draw)
        return 0
    if args.train:
        stages, folder = train(profile), SHIPPED_FOLDER / "simulated/fine"
    if not is_main_process():
        return 0
    if args.train:
        history = [read_params(stage)[1] for stage in stages]
        both = {key: sum(stage[key] for stage in history) for key in ("views", "seconds")}
        command = shlex.join(["python", "benchmarks/ship_weights.py", *sys.argv[1:]])
        card = CARD.format(name=folder.name, command=command, **ship(stages[-1], folder) | both)
        write_bytes(folder / "README.md", card.encode())
    if args.measure:
        curves = calibrate(profile)
        calibration = curves.pop("both")
        calibration.save(SHIPPED_FOLDER / "simulated/calibration.json")
        for name, curve in curves.items():
            curve.save(SHIPPED_FOLDER / name / "calibration.json")
        table = measure(profile, calibration)
        card = PAIR_CARD.format(table=table, calibrated=calibration.describe(), version=VERSION)
        write_bytes(SHIPPED_FOLDER / "simulated/README.md", card.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
