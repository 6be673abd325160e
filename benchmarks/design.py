"""What is each choice about the network worth, from scratch and at equal processor time?

    python benchmarks/design.py --views 6000

The network of the demo learns from the scans and photos of two_stage.py together (stage 1's further patients too), and
so do networks with one thing changed:
gap            an average over the page instead of the head that keeps places
patch_stem     ConvNeXt's own stem of 4 x 4 patches instead of the overlapping one
labels_only    without the second loss, the drawing of each lead's average beat, its rate and intervals
adamw          AdamW, at half of Muon's rate, instead of Muon
no_geometry    without slightly wrong registration as augmentation
appearance     with tone, noise and erasing as augmentation, too
teacher        the second loss also draws what a small 1-D network says (logits) that learned from 10,000 other signals
A step of each is timed first, in turns, on one thread: what is quicker sees more views, so that all take as long.
Tested on photos of 400 patients whom none of them met. Finished trainings are kept below the run folder. Writes
benchmarks/design.json.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transfer
from common import gain, new_model, options, sampling, scores, write
from scipy.signal import resample_poly
from torch import nn
from two_stage import EXTRA, PATIENTS, SEED, Arm, make_sets, sets_of

from ecgutils import FINDINGS
from ecgutils.evaluate import auroc_by_finding
from ecgutils.hearts import load_records, simulate_cohort
from ecgutils.learn import FitSettings, FlatSet, fit, join_sets, load_sets, predict_set
from ecgutils.learn.model import ECGModel
from ecgutils.learn.train import Run
from ecgutils.parallel import for_each
from ecgutils.profiles import Profile, arm_settings, load_profile

TEACHER_SEED = 77  # of its 10,000 hearts; no other seed here or in two_stage.py


class GapHead(nn.Module):
    """Last feature map -> average over the page -> 5 logits."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(channels, len(FINDINGS))

    def embed(self, feature_map: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, C): the average over the page."""
        return self.norm(feature_map.mean((2, 3)))

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        return self.classify(self.dropout(self.embed(feature_map)))


@dataclass(frozen=True)
class Design:
    """What differs from the demo's: of `build_model`'s and of `FitSettings`' arguments, and the head."""

    model: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    gap: bool = False

    def build(self, profile: Profile, flat: FlatSet) -> ECGModel:
        model = new_model(profile, flat, seed=0, **self.model)
        if self.gap:
            torch.manual_seed(0)
            model.head = GapHead(model.head.norm.normalized_shape[0], model.spec["dropout"])
            model.spec["head"] = "gap"
        return model

    def settings(self, profile: Profile, views: int) -> FitSettings:
        usual = {
            "views": views,
            "eval_every": max(1, views // 6),
            "checkpoint_every": max(1, views // 12),
            "threads": 1,
        }
        return replace(arm_settings(profile)["stage1"], stage="design", seed=0, **usual | self.fit)


DESIGNS = {
    "as_it_is": Design(),
    "gap": Design(gap=True),
    "patch_stem": Design(model={"backbone": "convnext_atto"}),
    "labels_only": Design(fit={"target_weight": 0.0}),
    "adamw": Design(fit={"optimizer": "adamw", "lr": 1e-3}),
    "no_geometry": Design(fit={"geometry": 0.0}),
    "appearance": Design(fit={"appearance": 1.0}),
    "teacher": Design(),  # and targets that `taught` adds
}


def everything(profile: Profile, out: Path) -> tuple[FlatSet, FlatSet, FlatSet]:
    """Scans and photos to learn from, photos to choose the checkpoint on, photos to test on."""
    scans, photos = sets_of(Arm("more"), profile, out)
    return join_sets(scans["train"], photos["train"]), photos["val"], photos["test"]


def teach(profile: Profile) -> pd.DataFrame:
    """Logits of the 1-D network of transfer.py, which learned from other simulated hearts; by patient_id."""
    workers = profile.n_workers
    others = simulate_cohort(10_000, TEACHER_SEED, fs=transfer.HZ, workers=workers)
    teacher = transfer.train(*transfer.arrays(others), seed=0)
    records = list(load_records(sum(PATIENTS.values()), SEED, prefix="pair", workers=workers))
    records += load_records(EXTRA, SEED + 1, prefix="extra", workers=workers)
    by = [resample_poly(record.signal_mv, 1, round(record.fs / transfer.HZ), axis=1) for record in records]
    slow = [replace(r, signal_mv=signal, fs=transfer.HZ) for r, signal in zip(records, by, strict=True)]
    with torch.inference_mode():
        logits = teacher(transfer.arrays(slow)[0]).numpy()
    return pd.DataFrame(logits, index=[record.patient_id for record in records])


def taught(flat: FlatSet, logits: pd.DataFrame) -> FlatSet:
    """The set with the teacher's logits among its targets."""
    known = np.hstack([flat.targets, logits.loc[flat.cluster_ids].to_numpy(np.float32)])
    return replace(flat, targets=known, target_names=(*flat.target_names, *(f"teacher_{f}" for f in FINDINGS)))


def step_seconds(profile: Profile, out: Path, rounds: int = 12) -> dict[str, float]:
    """CPU seconds of a training step of each design: the median over rounds in which all take turns."""
    train, val, _ = everything(profile, out)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            name: Run(design.build(profile, train), train, val, design.settings(profile, 10**6), Path(folder), {})
            for name, design in DESIGNS.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(rounds + 1):
            for name, run in runs.items():
                started = time.process_time()
                run.one_step()
                if turn:  # the first one warms up
                    seconds[name].append(time.process_time() - started)
    torch.set_num_threads(threads)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def score(name: str, views: int, profile: Profile, out: Path, logits: pd.DataFrame) -> np.ndarray:
    """Train a design, on one thread; returns its scores (400, 5) on the test photos."""
    train, val, test = everything(profile, out)
    train = taught(train, logits) if name == "teacher" else train
    design = DESIGNS[name]
    model = design.build(profile, train)
    fit(model, train, val, design.settings(profile, views), out / "design" / name, resume=True, progress=False)
    print(f"done: {name}", flush=True)
    return scores(predict_set(model, test), test.image_ids, train.labels)


def main() -> int:
    parser = options(__doc__, "profile", "jobs")
    parser.add_argument("--views", type=int, default=6000, help="of the network as it is")
    args = parser.parse_args()
    profile = load_profile(args.profile)
    out = profile.run_dir / "two_stage"
    make_sets(profile, out, more=False)
    logits = teach(profile)
    seconds = step_seconds(profile, out)
    batch = profile.batch_size
    views = {name: batch * round(args.views * seconds["as_it_is"] / s / batch) for name, s in seconds.items()}
    found = for_each(score, [(name, views[name], profile, out, logits) for name in DESIGNS], args.jobs)
    p = dict(zip(DESIGNS, found, strict=True))
    test = load_sets(out / "photos")["test"]
    rows = []
    for name in DESIGNS:
        auroc = auroc_by_finding(test.labels, p[name])
        change = gain(test.labels, [p[name]], [p["as_it_is"]], sampling(profile, test))
        about = {"design": name, "step_s": seconds[name], "views": views[name]}
        rows.append(about | {"macro": auroc.mean(), **change, **auroc})
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    patients = len(set(test.cluster_ids))
    write({"test": f"{len(test)} photos of {patients} patients, one seed; differences from as_it_is", "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
