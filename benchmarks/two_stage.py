"""Does morphology learning on scans help on photos? Arms with the same views, model and test patients.

    python benchmarks/two_stage.py --seeds 3
    python benchmarks/two_stage.py --curves --seeds 3
    python benchmarks/two_stage.py --whole

Makes its own image sets from simulated records: photos of 300 patients to adapt to, of 60 to choose checkpoints on and
of 400 to test on; scans of the first two groups in every scan-like source; scans of 1,600 further patients.
single_source  (a) target photos only
two_stage      (b) stage 1 on the scans of the *same* patients, then adaptation to their photos
pooled         (c) those scans and photos together
two_stage_more (d) as (b), with the further patients' scans in stage 1
Two more questions. `--curves`: what (b) gains over (a) with 1, 2, 4 and 5 sources, and (d) over (a) with 100, 300 and
1,000 target photos, and each two-stage arm over the curve's first; `--curves sources` asks only the first and keeps
what is written of the second, and the other way round. `--whole`: does pre-processing pay? (a) and (b) on flat pages,
and on whole photos and scans that were only scaled to the same size, one seed. Finished trainings are kept below the
run folder, so an interrupted benchmark goes on. Writes benchmarks/two_stage.json, two_stage_curves.json or
preprocessing_pays.json.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from common import COMMIT, arm_row, device, draw, flat_settings, gain, new_model, options, sampling, scores, write
from tqdm import tqdm

from ecgutils.evaluate import bootstrap_auroc, macro_auroc, paired_difference
from ecgutils.hearts import load_records
from ecgutils.learn import FitSettings, FlatSet, build_sets, fit, join_sets, load_model, load_sets, predict_set
from ecgutils.manifest import read_manifest
from ecgutils.parallel import for_each
from ecgutils.preprocess.decode import read_image
from ecgutils.profiles import Profile, arm_settings, load_profile
from ecgutils.signals import beat_targets
from ecgutils.synth import PHOTO_SOURCE

PATIENTS = {"train": 300, "val": 60, "test": 400, "more": 700}  # "more": for the curve over target photos only
EXTRA = 1600
SEED = 2024  # of records and images; no profile uses it
Sets = dict[str, FlatSet]


@dataclass(frozen=True)
class Arm:
    """Stage 1 (None: there is none) and the target photos it learns from; `whole`: without pre-processing."""

    stage1: str | None
    photos: int = PATIENTS["train"]
    sources: int = 5
    whole: bool = False

    @property
    def name(self) -> str:
        """Of the folder its training is kept in."""
        return f"{self.stage1 or 'photos'}-{self.photos}-{self.sources}{'-whole' * self.whole}"


ARMS = {
    "single_source": Arm(None),
    "two_stage": Arm("same"),
    "pooled": Arm("pooled"),
    "two_stage_more": Arm("more"),
}
CURVES: dict[str, list[tuple[int, Arm, Arm]]] = {  # over what, how much of it, and the two arms that are compared
    "sources": [(n, Arm("same", sources=n), Arm(None)) for n in (1, 2, 4, 5)],
    "photos": [(n, Arm("more", photos=n), Arm(None, photos=n)) for n in (100, PATIENTS["train"], 1000)],
}
WHOLE = {  # the arms of --whole; each second one without pre-processing
    "pre-processed": Arm("same"),
    "whole photo": Arm("same", whole=True),
    "pre-processed, photos alone": Arm(None),
    "whole photo, photos alone": Arm(None, whole=True),
}


def make_sets(profile: Profile, out: Path, more: bool) -> None:
    """Draw and flatten what isn't there yet: `out/photos`, `out/scans` and, with `more`, `out/more`."""
    workers, settings = profile.n_workers, flat_settings(profile)
    first = np.cumsum([0, *PATIENTS.values()])
    hearts = list(load_records(int(first[-1]), SEED, prefix="pair", workers=workers))
    extra = list(load_records(EXTRA, SEED + 1, prefix="extra", workers=workers))
    people = {part: hearts[a:b] for part, a, b in zip(PATIENTS, first[:-1], first[1:], strict=True)}
    targets = beat_targets([*hearts, *extra])

    def images(records: list, sources: list[str], name: str) -> pd.DataFrame:
        size = profile.photo_size if sources == [PHOTO_SOURCE] else profile.scan_size
        return draw(records, out / "images" / name, sources, SEED, workers, f"{name}.csv", size)

    photos = {part: images(people[part], [PHOTO_SOURCE], f"photo-{part}") for part in ("train", "val", "test")}
    build_sets(out / "photos", photos, settings, workers=workers, targets=targets)
    scans = {part: images(people[part], list(profile.scan_sources), f"scan-{part}") for part in ("train", "val")}
    n = len(profile.scan_sources)
    further = [images(extra[i::n], [source], f"extra-{source}") for i, source in enumerate(profile.scan_sources)]
    scans["train"] = pd.concat([scans["train"], *further], ignore_index=True)
    build_sets(out / "scans", scans, settings, workers=workers, targets=targets)
    if more:
        table = {"train": images(people["more"], [PHOTO_SOURCE], "photo-more")}
        build_sets(out / "more", table, settings, workers=workers, targets=targets)


def whole(path: str, size: tuple[int, int]) -> np.ndarray:
    """The photo as it is: grey, its aspect kept, scaled to fit into width x height and padded with white."""
    grey = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY)
    scale = min(size[0] / grey.shape[1], size[1] / grey.shape[0])
    width, height = (max(1, round(n * scale)) for n in grey.shape[1::-1])
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    canvas = np.full(size[::-1], 255, np.uint8)
    canvas[top : top + height, left : left + width] = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


def whole_sets(flat: dict[str, FlatSet], tables: dict[str, pd.DataFrame], workers: int) -> dict[str, FlatSet]:
    """The same rows with the whole photo in place of the flat page; all of them count as readable."""
    sets = {}
    for part, rows in flat.items():
        photos = [(path, rows.images.shape[:0:-1]) for path in tables[part]["path"]]
        images = list(tqdm(for_each(whole, photos, workers), total=len(photos), desc=part))
        sets[part] = replace(rows, images=np.stack(images), readable=np.ones(len(rows), bool))
    return sets


def sets_of(arm: Arm, profile: Profile, out: Path) -> tuple[Sets, Sets]:
    """Scans (train, val) and photos (train, val, test) of an arm."""
    scans, photos = load_sets(out / "scans"), load_sets(out / "photos")
    sources = profile.scan_sources[: arm.sources]
    further = np.char.startswith(scans["train"].cluster_ids.astype(str), "extra")
    if arm.stage1 != "more":
        scans["train"] = scans["train"].subset(~further & np.isin(scans["train"].sources, sources))
    if arm.whole:
        tables = {"photos": ("train", "val", "test"), "scans": ("train", "val")}
        tables = {name: {p: read_manifest(out / name / f"{p}.csv") for p in parts} for name, parts in tables.items()}
        rows = tables["scans"]["train"].set_index("image_id").loc[scans["train"].image_ids].reset_index()
        scans = whole_sets(scans, tables["scans"] | {"train": rows}, workers=1) if arm.stage1 else scans
        photos = whole_sets(photos, tables["photos"], workers=1)
    train = photos["train"]
    if arm.photos > len(train):
        train = join_sets(train, load_sets(out / "more")["train"])
    return scans, photos | {"train": train.subset(np.arange(arm.photos))}


def train(arm: Arm, seed: int, profile: Profile, out: Path) -> np.ndarray:
    """Train an arm from scratch, on one thread; returns its scores (400, 5) on the test photos."""
    scans, photos = sets_of(arm, profile, out)
    settings = arm_settings(profile)
    stage1, last, target = settings["stage1"], settings["two_stage"], (photos["train"], photos["val"])
    stages: list[tuple[str, FlatSet, FlatSet, FitSettings]] = [("adapted", *target, last)]
    if arm.stage1 == "pooled":
        pooled = replace(settings["single_source"], stage="pooled")
        stages = [("pooled", join_sets(scans["train"], photos["train"]), target[1], pooled)]
    elif arm.stage1 is None:
        stages = [("single", *target, settings["single_source"])]
    else:
        stages.insert(0, ("stage1", scans["train"], scans["val"], stage1))
    model = new_model(profile, scans["train"], seed)
    for name, known, val, how in stages:
        # stage 1 doesn't depend on the number of target photos
        kept = replace(arm, photos=PATIENTS["train"]) if name == "stage1" else arm
        folder = out / "checkpoints" / f"{kept.name}-{seed}" / name
        fit(model, known, val, replace(how, seed=seed, threads=1), folder, resume=True, progress=False)
        model = load_model(folder)
    print(f"done: {arm.name}, seed {seed}", flush=True)
    return scores(predict_set(model, photos["test"]), photos["test"].image_ids, photos["train"].labels)


def main() -> int:
    parser = options(__doc__, "profile", "jobs")
    parser.add_argument("--views", type=int, nargs=2, default=(6000, 1500), help="of stage 1 and of the adaptation")
    parser.add_argument(
        "--seeds", type=int, help="of (a) and (b), default 3, where (c) and (d) have one; of --curves, default 1"
    )
    parser.add_argument("--whole", action="store_true", help="instead: with and without pre-processing")
    parser.add_argument("--curves", nargs="*", choices=CURVES, help="instead: gains over both of these, or over one")
    args = parser.parse_args()
    if args.whole and (args.curves is not None or args.seeds):
        parser.error("--whole is a question of its own, with one seed: leave --curves and --seeds out")
    seeds, views = args.seeds or 3, {"stage1_views": args.views[0], "stage2_views": args.views[1]}
    profile = load_profile(args.profile, **views)
    out = profile.run_dir / "two_stage"
    over = None if args.curves is None else args.curves or list(CURVES)
    make_sets(profile, out, more="photos" in (over or []))
    test = load_sets(out / "photos")["test"]
    if over:
        return curves(over, args.seeds or 1, list(args.views), profile, out, args.jobs)
    if args.whole:
        return does_it_pay(list(args.views), profile, out, args.jobs)
    repeated = [(name, seed) for seed in range(1, seeds) for name in ("single_source", "two_stage")]
    p = train_all([*((name, 0) for name in ARMS), *repeated], ARMS, profile, out, args.jobs)
    how, differences = sampling(profile, test), []
    rows = [arm_row(name, test.labels, members, how) for name, members in p.items()]
    pairs = [("two_stage", "single_source", seeds)]
    pairs += [
        ("two_stage_more", "single_source", 1),
        ("pooled", "single_source", 1),
        ("two_stage_more", "two_stage", 1),
    ]
    for a, b, n in pairs:
        gain = paired_difference(test.labels, np.stack(p[a][:n]), np.stack(p[b][:n]), **how)
        pair = {"arm": a, "against": b, "seeds": n}
        differences += [pair | row for row in gain[["finding", "value", "low", "high"]].to_dict("records")]
    shown = pd.DataFrame(differences).query("finding == 'macro'")
    print(pd.DataFrame(rows).round(3).to_string(index=False), shown.round(3).to_string(index=False), sep="\n\n")
    about = f"{len(test)} photos of {len(set(test.cluster_ids))} patients, 95 % intervals over patients"
    write({"views": list(args.views), "test": about, "rows": rows, "differences": differences})
    return 0


def train_all(
    wanted: list[tuple[Any, int]], arms: dict[Any, Arm], profile: Profile, out: Path, jobs: int
) -> dict[Any, list[np.ndarray]]:
    """Scores of each arm's seeds, by the arm's key; `wanted` are (key, seed)."""
    found = for_each(train, [(arms[key], seed, profile, out) for key, seed in wanted], jobs)
    p: dict[Any, list[np.ndarray]] = {key: [] for key, _ in wanted}
    for (key, _), one in zip(wanted, found, strict=True):
        p[key].append(one)
    return p


def curves(wanted: list[str], seeds: int, views: list[int], profile: Profile, out: Path, jobs: int) -> int:
    """Train what the wanted ones of CURVES name; print and write the gains, each with its commit and device."""
    path = Path(__file__).with_name("two_stage_curves.json")
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    rows = [row for row in before.get("rows", []) if row["over"] not in wanted and before["views"] == views]
    arms = {arm for over in wanted for _, *pair in CURVES[over] for arm in pair}
    usual = {arm for arm in arms if arm.photos == PATIENTS["train"]}
    p: dict[Arm, list[np.ndarray]] = {}
    for group in (usual, arms - usual):  # the first one's stage 1 is the second one's, too
        keys = [(one, seed) for one in sorted(group, key=lambda one: one.name) for seed in range(seeds)]
        p |= train_all(keys, {one: one for one in group}, profile, out, jobs)
    test = load_sets(out / "photos")["test"]
    how = sampling(profile, test)
    for over in wanted:
        for n, two, single in CURVES[over]:
            mean = [float(np.mean([macro_auroc(test.labels, one) for one in p[key]])) for key in (two, single)]
            found = {"two_stage": mean[0], "single_source": mean[1], **gain(test.labels, p[two], p[single], how)}
            further = gain(test.labels, p[two], p[CURVES[over][0][1]], how)
            found |= {f"than_first_{key}": value for key, value in further.items()}
            rows.append({"over": over, "n": n, "seeds": seeds, **found, "commit": COMMIT, "device": device()})
    rows.sort(key=lambda row: list(CURVES).index(row["over"]))
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    write({"views": views, "rows": rows}, path)
    return 0


def does_it_pay(views: list[int], profile: Profile, out: Path, jobs: int) -> int:
    """Train the arms of WHOLE; print and write what pre-processing gains."""
    p, test = train_all([(name, 0) for name in WHOLE], WHOLE, profile, out, jobs), load_sets(out / "photos")["test"]
    how = sampling(profile, test)
    tables = {name: bootstrap_auroc(test.labels, one, **how) for name, (one,) in p.items()}
    names = list(WHOLE)
    for flat, whole_one in zip(names[::2], names[1::2], strict=True):
        name = flat.replace("pre-processed", "difference")
        tables[name] = paired_difference(test.labels, p[flat][0], p[whole_one][0], **how)
    rows = [{"arm": name} | row for name, table in tables.items() for row in table.to_dict("records")]
    print(pd.DataFrame(rows)[["arm", "finding", "value", "low", "high"]].round(3).to_string(index=False))
    about = {"views": views, "test": len(test), "refused": int((~test.readable).sum()), "rows": rows}
    write(about, Path(__file__).with_name("preprocessing_pays.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
