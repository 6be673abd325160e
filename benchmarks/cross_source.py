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
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from ecgutils import FINDINGS
from ecgutils.files import jsonable, write_json
from ecgutils.learn import FlatSet, arm_settings, bootstrap_auroc, build_model, fit, join_sets, load_sets, predict_set
from ecgutils.learn.params import git_describe
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import Profile, load_profile


def load(profile: Profile) -> tuple[FlatSet, FlatSet, FlatSet]:
    """Images of all sources to learn from, to validate on (the last weights are kept), and to test on."""
    scans, photos = load_sets(profile.run_dir / "stage1"), load_sets(profile.run_dir / "target")
    images, val = (join_sets(scans[part], photos[part]) for part in ("train", "val"))
    held_out = np.array([zlib.crc32(patient.encode()) % 6 == 0 for patient in images.cluster_ids])
    return images.subset(~held_out), val, images.subset(held_out & images.readable)


def train(profile: Profile, name: str, sources: list[str], views: int) -> Path:
    """Train from scratch on these sources, on one thread; returns the checkpoint's folder."""
    out = profile.run_dir / "cross_source" / name
    some = [part.subset(np.isin(part.sources, sources)) for part in load(profile)[:2]]
    model = build_model(profile.backbone, PreprocessSettings.from_dict(some[0].preprocess), seed=profile.seed)
    settings = arm_settings(profile)["stage1"]
    settings = replace(settings, stage="cross", views=views, eval_every=views, checkpoint_every=views, threads=1)
    fit(model, *some, settings, out, resume=True)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="weights")
    parser.add_argument("--views", type=int, default=8000)
    parser.add_argument("--skip-alone", action="store_true", help="leave out the trainings on one source alone")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one thread each")
    args = parser.parse_args()
    profile = load_profile(args.profile)
    test = load(profile)[2]
    sources = sorted(set(test.sources))
    chosen = {"all": sources}
    chosen |= {f"without {s}": [other for other in sources if other != s] for s in sources}
    chosen |= {} if args.skip_alone else {f"{s} alone": [s] for s in sources}
    folders = Parallel(n_jobs=args.jobs)(
        delayed(train)(profile, name, some, args.views) for name, some in chosen.items()
    )
    rows = []
    for name, folder in zip(chosen, folders, strict=True):
        for source in [name.removeprefix("without ")] if name.startswith("without") else sources:
            seen = test.subset(test.sources == source)
            p = predict_set(folder, seen).set_index("ID").loc[seen.image_ids, list(FINDINGS)].to_numpy()
            how = {"rounds": profile.bootstrap_rounds, "seed": profile.seed}
            macro = bootstrap_auroc(seen.labels, p, seen.cluster_ids, **how).set_index("finding").loc["macro"]
            shown = {key: float(macro[key]) for key in ("value", "low", "high")}
            rows.append({"trained_on": name, "tested_on": source, "n": len(seen), **shown})
    score = {(row["trained_on"], row["tested_on"]): row["value"] for row in rows}
    print(f"{'source':10s}{'all':>8s}{'without':>9s}{'alone':>8s}{'without/own':>13s}{'alone on others':>17s}")
    for s in sources:
        every, without, alone = (score.get((name, s), np.nan) for name in ("all", f"without {s}", f"{s} alone"))
        others = np.mean([score.get((f"{s} alone", other), np.nan) for other in sources if other != s])
        print(f"{s:10s}{every:8.3f}{without:9.3f}{alone:8.3f}{without / np.fmax(every, alone):13.3f}{others:17.3f}")
    command = " ".join(["python benchmarks/cross_source.py", *sys.argv[1:]])
    about = {"command": command, "commit": git_describe(), "sources": sources, "rows": jsonable(rows)}
    write_json(Path(__file__).with_suffix(".json"), about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
