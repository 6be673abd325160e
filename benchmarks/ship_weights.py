"""Train the weights that ship, and measure them after the change to half precision.

    python -m ecgutils run --profile weights --only 01 --only 02
    python benchmarks/ship_weights.py --profile weights

Needs the image sets that the first command makes. Three stages: morphology learning on scans at the profile's scale;
the same network on scans and photos at a larger scale, for which pages are flattened anew; adaptation, half of the
views photos. An interrupted training goes on from its last checkpoint; `--start` takes the first stage from a finished
checkpoint. Measures on the run's test photos and, where ECG_PTBXL names a PTB-XL folder, on photo-like and scan-like
renders of its records, which the weights have never seen. Writes ecgutils/weights/default/ with its calibration and
card.
"""

from __future__ import annotations

import argparse
import os
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
    take_weights,
)
from ecgutils.learn.checkpoint import read_params
from ecgutils.manifest import read_manifest, read_targets
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import Profile, load_profile
from ecgutils.signals import load_records
from ecgutils.synth import PHOTO_SOURCE, generate_images

ENLARGE = 4 / 3  # of the later stages: a QRS complex is then 4 to 8 px wide

CARD = """# Shipped weights

{backbone}, input {width} x {height} px at {px_per_mm} px/mm, half precision.
Learned from {trained_on}: **no patient's signal**.
Training: `{command}` at commit {commit}, {views} images shown in all
stages together, {seconds:.0f} s on a CPU. sha256 of `model.safetensors`: `{sha256}`.

The same command measured (95 % intervals, clustered by patient; unreadable photos count with the training prevalence):

{table}

The simulator was set with statistics and pages of a 353-record PTB-XL sample in view:
scores on that sample are not those of an untouched test.

`calibration.json` (Platt's, per finding) was fitted on {calibrated_on}: it says nothing about a hospital.

What it can't do: it is a small network that has seen drawn hearts only; five findings are not all of cardiology.
Research software, not a medical device. *No finding is not a normal ECG.*
"""


def large_sets(profile: Profile) -> tuple[dict[str, FlatSet], dict[str, FlatSet]]:
    """Scans and photos of the run, flattened at the larger scale."""
    size = tuple(round(ENLARGE * n) for n in profile.flat_size)
    settings = PreprocessSettings(size=size, px_per_mm=round(ENLARGE * profile.px_per_mm, 3))
    found = []
    for name, parts in (("stage1", ("train", "val")), ("target", ("train", "val", "test"))):
        tables = {part: read_manifest(profile.run_dir / name / f"{part}.csv") for part in parts}
        out, targets = profile.run_dir / "large" / name, read_targets(profile.run_dir / name / "targets.npz")
        build_sets(out, tables, settings, workers=profile.n_workers, targets=targets)
        found.append(load_sets(out))
    return found[0], found[1]


def train(profile: Profile, start: Path | None, views: tuple[int, int]) -> tuple[list[Path], dict[str, FlatSet]]:
    """All stages; what is finished is left as it is. Returns their folders and the photos at the larger scale."""
    settings, checkpoints = arm_settings(profile), profile.run_dir / "checkpoints"
    how = {"resume": True}
    note = {"trained_on": f"scan-like renders of {profile.signals} signals", "profile": profile.settings()}
    if start is None:
        start, scans = checkpoints / "stage1", load_sets(profile.run_dir / "stage1")
        preprocess = PreprocessSettings.from_dict(scans["train"].preprocess)
        model = build_model(profile.backbone, preprocess, pretrained=profile.imagenet, seed=profile.seed)
        params = note | {"arm": "stage1"}
        fit(model, scans["train"], scans["val"], settings["stage1"], start, params=params, **how)

    scans, photos = large_sets(profile)
    both = {part: join_sets(scans[part], photos[part]) for part in ("train", "val")}
    note["trained_on"] = f"scan-like and photo-like renders of {profile.signals} signals"
    model = build_model(profile.backbone, PreprocessSettings.from_dict(both["train"].preprocess), seed=profile.seed)
    take_weights(model, start)
    large = replace(settings["stage1"], stage="large", lr=profile.stage1_lr / 2, **rhythm(views[0]))
    fit(model, both["train"], both["val"], large, checkpoints / "large", params=note | {"arm": "large"}, **how)

    # balanced sampling draws sources alike: scans as one source are half of the views
    replay = replace(scans["train"], sources=np.full(len(scans["train"]), "scan"))
    model = load_model(checkpoints / "large")
    adapt = replace(settings["two_stage"], **rhythm(views[1]))
    params = note | {"arm": "adapted"}
    fit(model, join_sets(replay, photos["train"]), both["val"], adapt, checkpoints / "adapted", params=params, **how)
    return [start, checkpoints / "large", checkpoints / "adapted"], photos


def rhythm(views: int) -> dict[str, int]:
    """Views, and how often to look and to save."""
    return {"views": views, "eval_every": max(1, views // 6), "checkpoint_every": max(1, views // 12)}


def score(model: ECGModel, flat: FlatSet, prevalence: dict[str, float], profile: Profile) -> pd.DataFrame:
    """AUROC with intervals, all images counted."""
    table = fill_unreadable(predict_set(model, flat), prevalence).set_index("ID")
    p = table.loc[flat.image_ids, list(FINDINGS)].to_numpy()
    return bootstrap_auroc(flat.labels, p, flat.cluster_ids, rounds=profile.bootstrap_rounds, seed=profile.seed)


def real_signals(folder: str, profile: Profile, model: ECGModel) -> dict[str, FlatSet]:
    """Photos, and crisp scans, of every record of a PTB-XL folder."""
    records, out = load_records(0, 0, ptbxl=folder), profile.run_dir / "shipping"
    found = {}
    for source, size in ((PHOTO_SOURCE, profile.photo_size), ("vector", profile.scan_size)):
        generate_images(records, out, [source], seed=1, workers=profile.n_workers, size=size, name=f"{source}.csv")
        tables = {"test": read_manifest(out / f"{source}.csv")}
        build_sets(out / source, tables, model.settings, workers=profile.n_workers)
        found[f"PTB-XL records, {source}"] = load_sets(out / source)["test"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="weights")
    parser.add_argument("--start", type=Path, help="a finished checkpoint in place of the first stage")
    parser.add_argument("--views", type=int, nargs=2, default=(40_000, 6000), help="of the second and third stage")
    args = parser.parse_args()
    profile = load_profile(args.profile)
    folder = Path(ecgutils.__file__).parent / "weights" / "default"
    stages, sets = train(profile, args.start, tuple(args.views))
    history = [read_params(stage)[1] for stage in stages]
    params = history[-1]
    own = ("model", "findings", "preprocess", "pretrained_status", "sha256", "versions", "git", "fingerprint")
    card = {key: value for key, value in params.items() if key not in own} | {"trained_at": params["git"]}
    save_model(load_model(stages[-1]), folder, card, half=True)
    model = load_model(folder)
    domain = params["run"]["trained_on"]
    val = read_manifest(profile.run_dir / "target/val.csv")
    calibration = fit_calibration(predict_set(model, sets["val"]), val, domain)
    calibration.save(folder / "calibration.json")
    prevalence = dict(zip(FINDINGS, np.nanmean(sets["train"].labels, axis=0), strict=True))
    tests = {"simulated test patients, photo": sets["test"]}
    if os.environ.get("ECG_PTBXL"):
        tests |= real_signals(os.environ["ECG_PTBXL"], profile, model)
    results = {name: score(model, flat, prevalence, profile) for name, flat in tests.items()}
    lines = ["| images | n | " + " | ".join(["macro", *FINDINGS]) + " |", "|" + "---|" * 8]
    for name, table in results.items():
        rows = table.set_index("finding")
        cells = [f"{rows.at[f, 'value']:.3f} [{rows.at[f, 'low']:.3f}, {rows.at[f, 'high']:.3f}]" for f in rows.index]
        lines.append(f"| {name} | {len(tests[name])} | " + " | ".join(cells) + " |")
    _, shipped = read_params(folder)
    text = CARD.format(
        backbone=shipped["model"]["backbone"], width=model.input_size[1], height=model.input_size[0],
        px_per_mm=model.settings.px_per_mm, trained_on=shipped["run"]["trained_on"],
        command=" ".join(["python benchmarks/ship_weights.py", *sys.argv[1:]]),
        commit=shipped["trained_at"], views=sum(stage["views"] for stage in history),
        seconds=sum(stage["seconds"] for stage in history), sha256=shipped["sha256"], table="\n".join(lines),
        calibrated_on=calibration.describe(),
    )  # fmt: skip
    write_bytes(folder / "README.md", text.encode())
    write_json(Path(__file__).with_suffix(".json"), jsonable({k: t.to_dict("records") for k, t in results.items()}))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
