"""Train the weights that ship, and measure them after the change to half precision.

    python benchmarks/ship_weights.py --train             # a GPU and 16 cores: ten minutes
    python benchmarks/ship_weights.py --measure           # the shipped weights, on images of today's code

Morphology learning on scans, while another process draws the photos; then adaptation: half of the views photos, half
scans again. Every image is of another simulated patient. Finished images and trainings are kept below the run folder,
so that an interrupted run goes on. Measuring calibrates on photos of further simulated patients and scores photos of
yet others and, where ECG_PTBXL names a PTB-XL folder, photo-like and scan-like renders of its records, which the
weights have never seen. Writes ecgutils/weights/default/, calibration and card included, and
benchmarks/ship_weights.json.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import ecgutils
from ecgutils import FINDINGS
from ecgutils.challenge import fill_unreadable
from ecgutils.files import jsonable, write_bytes, write_json
from ecgutils.learn import (
    Calibration,
    ECGModel,
    FlatSet,
    arm_settings,
    bootstrap_auroc,
    build_model,
    build_sets,
    fit,
    fit_calibration,
    join_sets,
    load_model,
    load_sets,
    predict_set,
    save_model,
)
from ecgutils.learn.checkpoint import read_params
from ecgutils.learn.params import git_describe
from ecgutils.manifest import read_manifest
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import Profile, load_profile
from ecgutils.signals import Record, beat_targets, load_records
from ecgutils.synth import PHOTO_SOURCE, generate_images

N_VAL, SEED_VAL = 500, 9292  # simulated patients that choose the checkpoints
LARGE_PHOTO = (1730, 950)  # of half of the photos; the others are as small as the profile says
N_TEST, SEED_TEST = 300, 9090  # simulated test patients; no profile uses this seed
N_CALIBRATION, SEED_CALIBRATION = 600, 9191  # and those whose photos the probabilities are calibrated on
TABLE_BEGINS = """AUROC of `predict` (mean over five slightly moved views of a page) with 95 % intervals, by patient;
unreadable photos count with the prevalence:"""

CALIBRATED = "`calibration.json` (Platt's, per finding) was fitted on {}: it says nothing about a hospital."

CARD = """# Shipped weights

{backbone}, input {width} x {height} px at {px_per_mm} px/mm, half precision.
Learned from {trained_on}: **no patient's signal**.
Training: `{command}` at commit {commit}, {views} images shown in both
stages together, {seconds:.0f} s on {device}. sha256 of `model.safetensors`: `{sha256}`.

{table_begins}

The simulator was set with statistics and pages of a 353-record PTB-XL sample in view:
scores on that sample are not those of an untouched test.

{calibrated}

What it can't do: it is a small network that has seen drawn hearts only; five findings are not all of cardiology.
Research software, not a medical device. *No finding is not a normal ECG.*
"""


def make_sets(profile: Profile, kind: str) -> None:
    """Draw and flatten what isn't there yet of "scans" or "photos", one image of each patient."""
    out, workers = profile.run_dir / kind, profile.n_workers
    n = {"scans": profile.extra_records, "photos": profile.n_records}[kind]
    kinds: list[tuple[str, tuple[int, int]]] = [(source, profile.scan_size) for source in profile.scan_sources]
    if kind == "photos":
        kinds = [(PHOTO_SOURCE, profile.photo_size), (PHOTO_SOURCE, LARGE_PHOTO)]
    people = {
        "train": load_records(n, profile.seed + (kind == "photos"), prefix=kind, workers=workers),
        "val": load_records(N_VAL, SEED_VAL, prefix="val", workers=workers),
    }
    parts = {}
    for part, records in people.items():
        tables = []
        for i, (source, size) in enumerate(kinds):
            name, seed = f"{part}-{i}.csv", (profile.seed if part == "train" else SEED_VAL) + i
            generate_images(records[i :: len(kinds)], out / "images", [source], seed, workers, size=size, name=name)
            tables.append(read_manifest(out / "images" / name))
        parts[part] = pd.concat(tables, ignore_index=True)
    settings = PreprocessSettings(size=profile.flat_size, px_per_mm=profile.px_per_mm)
    targets = beat_targets([*people["train"], *people["val"]])
    build_sets(out / "sets", parts, settings, workers=workers, targets=targets)


def train(profile: Profile) -> list[Path]:
    """Both stages; what is finished is left as it is. Returns their folders."""
    settings, checkpoints = arm_settings(profile), profile.run_dir / "checkpoints"
    make_sets(profile, "scans")
    with subprocess.Popen([sys.executable, *sys.argv, "--draw", "photos"]) as drawing:
        note = {"trained_on": f"scan-like renders of {profile.signals} signals", "profile": profile.settings()}
        scans = load_sets(profile.run_dir / "scans/sets")
        preprocess = PreprocessSettings.from_dict(scans["train"].preprocess)
        model = build_model(profile.backbone, preprocess, pretrained=profile.imagenet, seed=profile.seed)
        stage1 = checkpoints / "stage1"
        fit(model, scans["train"], scans["val"], settings["stage1"], stage1, resume=True, params=note)
    if drawing.returncode:
        raise RuntimeError(f"The photos could not be drawn (exit status {drawing.returncode}); the reason is above.")

    # balanced sampling draws sources alike: scans as one source are half of the views
    photos = load_sets(profile.run_dir / "photos/sets")
    replay = replace(scans["train"], sources=np.full(len(scans["train"]), "scan"))
    both = join_sets(replay, photos["train"]), join_sets(scans["val"], photos["val"])
    note["trained_on"] = f"scan-like and photo-like renders of {profile.signals} signals"
    model, adapted = load_model(stage1), checkpoints / "adapted"
    adapt = replace(settings["two_stage"], ema_decay=settings["stage1"].ema_decay)
    fit(model, *both, adapt, adapted, resume=True, params=note)
    return [stage1, adapted]


def score(model: ECGModel, flat: FlatSet, prevalence: dict[str, float], profile: Profile) -> pd.DataFrame:
    """AUROC with intervals, all images counted."""
    table = fill_unreadable(predict_set(model, flat, views=True), prevalence).set_index("ID")
    p = table.loc[flat.image_ids, list(FINDINGS)].to_numpy()
    return bootstrap_auroc(flat.labels, p, flat.cluster_ids, rounds=profile.bootstrap_rounds, seed=profile.seed)


def draw(
    records: list[Record], folder: Path, source: str, size: tuple[int, int], model: ECGModel, workers: int
) -> tuple[FlatSet, pd.DataFrame]:
    """One image of each record, flattened as the model reads it, and the manifest."""
    generate_images(records, folder, [source], seed=1, workers=workers, size=size, name="images.csv")
    table = read_manifest(folder / "images.csv")
    build_sets(folder, {"test": table}, model.settings, workers=workers)
    return load_sets(folder)["test"], table


def test_sets(profile: Profile, model: ECGModel) -> dict[str, FlatSet]:
    """Photos of simulated patients that no profile draws; photos and crisp scans of every record of a PTB-XL folder."""
    out, workers = profile.run_dir / "shipping", profile.n_workers
    people = {"simulated test patients": load_records(N_TEST, SEED_TEST, prefix="test", workers=workers)}
    wanted = [("simulated test patients", PHOTO_SOURCE, profile.photo_size)]
    if os.environ.get("ECG_PTBXL"):
        people["PTB-XL records"] = load_records(0, 0, ptbxl=os.environ["ECG_PTBXL"])
        wanted += [
            ("PTB-XL records", PHOTO_SOURCE, profile.photo_size),
            ("PTB-XL records", "vector", profile.scan_size),
        ]
    found = {}
    for name, source, size in wanted:
        folder = out / f"{name.split()[0]}-{source}"
        found[f"{name}, {source}"], _ = draw(people[name], folder, source, size, model, workers)
    return found


def calibrate(profile: Profile, folder: Path) -> Calibration:
    """Fit the probabilities of the weights in `folder`, as `predict` gives them, on photos of patients drawn for it."""
    model, workers = load_model(folder), profile.n_workers
    records = load_records(N_CALIBRATION, SEED_CALIBRATION, prefix="calibration", workers=workers)
    photos, table = draw(records, profile.run_dir / "calibration", PHOTO_SOURCE, profile.photo_size, model, workers)
    predictions = predict_set(model, photos, views=True)
    calibration = fit_calibration(predictions, table, "photo-like renders of further simulated signals")
    calibration.save(folder / "calibration.json")
    return calibration


def measure(profile: Profile, folder: Path, calibration: Calibration) -> str:
    """Score the weights in `folder` on all test sets; write the JSON, return the table for the card."""
    model = load_model(folder)
    prevalence = {finding: n / calibration.images for finding, n in calibration.positives.items()}
    tests = test_sets(profile, model)
    results = {name: score(model, flat, prevalence, profile) for name, flat in tests.items()}
    lines = ["| images | n | " + " | ".join(["macro", *FINDINGS]) + " |", "|" + "---|" * 8]
    for name, table in results.items():
        rows = table.set_index("finding")
        cells = [f"{rows.at[f, 'value']:.3f} [{rows.at[f, 'low']:.3f}, {rows.at[f, 'high']:.3f}]" for f in rows.index]
        lines.append(f"| {name} | {len(tests[name])} | " + " | ".join(cells) + " |")
    print("\n".join(lines))
    about = {"command": " ".join(["python benchmarks/ship_weights.py", *sys.argv[1:]]), "commit": git_describe()}
    tables = {name: table.to_dict("records") for name, table in results.items()}
    write_json(Path(__file__).with_suffix(".json"), jsonable(about | {"results": tables}))
    return "\n".join(lines)


def ship(stages: list[Path], folder: Path) -> str:
    """Write the last stage's weights; returns the card without its table and calibration."""
    history = [read_params(stage)[1] for stage in stages]
    params = history[-1]
    own = ("model", "findings", "preprocess", "pretrained_status", "sha256", "versions", "git", "fingerprint")
    card = {key: value for key, value in params.items() if key not in own} | {"trained_at": params["git"]}
    save_model(load_model(stages[-1]), folder, card, half=True)
    model, (_, shipped) = load_model(folder), read_params(folder)
    return CARD.format(
        table_begins=TABLE_BEGINS, calibrated=CALIBRATED,
        backbone=shipped["model"]["backbone"], width=model.input_size[1], height=model.input_size[0],
        px_per_mm=model.settings.px_per_mm, trained_on=shipped["run"]["trained_on"],
        command=" ".join(["python benchmarks/ship_weights.py", *sys.argv[1:]]),
        commit=shipped["trained_at"], views=sum(stage["views"] for stage in history),
        seconds=sum(stage["seconds"] for stage in history), device=shipped["device"], sha256=shipped["sha256"],
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="weights")
    parser.add_argument("--train", action="store_true", help="train and ship, measure nothing")
    parser.add_argument("--measure", action="store_true", help="calibrate and measure what is shipped")
    parser.add_argument("--draw", choices=("scans", "photos"), help="only draw and flatten these")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", default=[], help="change settings of the profile")
    args = parser.parse_args()
    profile = load_profile(args.profile, **dict(change.split("=", 1) for change in args.set))
    folder = Path(ecgutils.__file__).parent / "weights" / "default"
    if args.draw:
        make_sets(profile, args.draw)
        return 0
    if args.train:
        write_bytes(folder / "README.md", ship(train(profile), folder).encode())
    if not args.measure:
        return 0
    text = (folder / "README.md").read_text()
    calibration = calibrate(profile, folder)
    before, after = text.split(TABLE_BEGINS)
    rest = "\n".join(line for line in after.split("\n") if not line.startswith("|")).lstrip("\n")
    table = measure(profile, folder, calibration)
    text = f"{before}{TABLE_BEGINS}\n\n{table}\n\n{rest}"
    text = re.sub(r"^`calibration\.json`.*$", CALIBRATED.format(calibration.describe()), text, flags=re.MULTILINE)
    write_bytes(folder / "README.md", text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
