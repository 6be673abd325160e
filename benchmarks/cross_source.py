"""Does what is learned from some sources of images hold for a source that was never seen?

    python benchmarks/cross_source.py --profile weights --views 8000

Needs the image sets of that profile (`python -m ecgutils run --profile weights --only 01 --only 02`). Every sixth
patient is kept for testing. For each source trainings of the same number of views are compared on its test images:
on all sources, on all *but* this one, and on this one *alone* (which is tested on the images of all others too).
Finished trainings are kept below the run folder, so an interrupted benchmark goes on. Writes
benchmarks/cross_source.json.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from ecgutils import FINDINGS
from ecgutils.files import jsonable, write_json
from ecgutils.learn import FlatSet, arm_settings, bootstrap_auroc, build_model, fit, join_sets, load_sets, predict_set
from ecgutils.learn.params import git_describe
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import Profile, load_profile


def trained(profile: Profile, name: str, train: FlatSet, val: FlatSet, views: int, threads: int) -> Path:
    """Train from scratch on `train`, always to the last step; returns the checkpoint's folder."""
    out = profile.run_dir / "cross_source" / name
    model = build_model(profile.backbone, PreprocessSettings.from_dict(train.preprocess), seed=profile.seed)
    settings = replace(
        arm_settings(profile)["stage1"], stage="cross", views=views, eval_every=views, checkpoint_every=views,
        threads=threads,
    )  # fmt: skip
    fit(model, train, val, settings, out, resume=True)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="weights")
    parser.add_argument("--views", type=int, default=8000)
    parser.add_argument("--skip-alone", action="store_true", help="leave out the trainings on one source alone")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    args = parser.parse_args()
    profile = load_profile(args.profile)
    scans, photos = load_sets(profile.run_dir / "stage1"), load_sets(profile.run_dir / "target")
    images, val = (join_sets(scans[part], photos[part]) for part in ("train", "val"))
    held_out = np.array([zlib.crc32(patient.encode()) % 6 == 0 for patient in images.cluster_ids])
    train, test = images.subset(~held_out), images.subset(held_out & images.readable)
    sources = sorted(set(images.sources))
    chosen = {"all": sources}
    chosen |= {f"without {s}": [other for other in sources if other != s] for s in sources}
    chosen |= {} if args.skip_alone else {f"{s} alone": [s] for s in sources}
    run = partial(trained, profile, views=args.views, threads=1)
    folders = Parallel(n_jobs=args.jobs)(
        delayed(run)(name, train.subset(np.isin(train.sources, some)), val.subset(np.isin(val.sources, some)))
        for name, some in chosen.items()
    )
    rows = []
    for name, folder in zip(chosen, folders, strict=True):
        p = predict_set(folder, test).set_index("ID").loc[test.image_ids, list(FINDINGS)].to_numpy()
        for source in sources:
            of = test.sources == source
            table = bootstrap_auroc(
                test.labels[of], p[of], test.cluster_ids[of], rounds=profile.bootstrap_rounds, seed=profile.seed
            )
            macro = table.set_index("finding").loc["macro"]
            shown = {key: float(macro[key]) for key in ("value", "low", "high")}
            rows.append({"trained_on": name, "tested_on": source, "n": int(of.sum()), **shown})
    score = {(row["trained_on"], row["tested_on"]): row["value"] for row in rows}
    print(f"{'source':10s}{'all':>8s}{'without':>9s}{'alone':>8s}{'without/own':>13s}{'alone on others':>17s}")
    for s in sources:
        every, without, alone = (score.get((name, s), np.nan) for name in ("all", f"without {s}", f"{s} alone"))
        others = np.mean([score.get((f"{s} alone", other), np.nan) for other in sources if other != s])
        print(f"{s:10s}{every:8.3f}{without:9.3f}{alone:8.3f}{without / np.fmax(every, alone):13.3f}{others:17.3f}")
    command = f"python benchmarks/cross_source.py --profile {args.profile} --views {args.views}"
    about = {"command": command, "commit": git_describe(), "sources": sources, "rows": jsonable(rows)}
    write_json(Path(__file__).with_suffix(".json"), about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
