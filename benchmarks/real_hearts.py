"""Learn from real hearts: PTB-XL's folds 1 to 7, checked on 8, tested once on 9.

    python benchmarks/hearts_pages.py FOLDER --data PTBXL --part train --images 8000     # then val, test
    python benchmarks/real_hearts.py FOLDER --data PTBXL --name default --canvas 512 --start default
    torchrun --nproc-per-node 2 benchmarks/real_hearts.py ...     # the same training, in two processes or on two GPUs

What a network is shown, in shares (--shares): photos and scans of the training patients, drawn and read by
hearts_pages.py; flat pages of the same patients drawn straight from the signal, another one each time; the same of
simulated hearts; and of simulated acute infarcts, which PTB-XL has few of (whether their ST is STTC, too, is left open:
PTB-XL codes it as infarct). With --teacher, a real heart's labels are mixed with what networks that read the signals
(transfer.py), and did not learn from this patient, say of it: PTB-XL's labels are one reader's. A stopped training
goes on where it was. The network and its scores on the pages of fold 8 are left in FOLDER/NAME, what was found in
FOLDER/NAME.json.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transfer
from common import average, main_process_first, options, ptbxl, write
from hearts_pages import CANVASES, load_part, records_of
from sklearn.model_selection import GroupKFold
from tqdm import tqdm

from ecgutils import FINDINGS
from ecgutils.evaluate import bootstrap_auroc
from ecgutils.hearts import simulate, simulate_cohort
from ecgutils.learn import (
    FitSettings,
    FlatSet,
    build_model,
    fit,
    is_main_process,
    join_sets,
    predict_set,
    take_weights,
)
from ecgutils.parallel import for_each
from ecgutils.preprocess import PreprocessSettings
from ecgutils.signals import Record, beat_targets
from ecgutils.synth import PHOTO_SOURCE

SEED = 20267
SIMULATED, ACUTE = 8000, 2000
SHARES = {"photo": 0.2, "scan": 0.1, "drawn": 0.5, "simulated": 0.15, "acute": 0.05}
GROUPS = 20  # in how many parts of equal weight what is shown is divided


def acute(i: int, seed: int) -> Record:
    """A simulated heart with an acute infarct; a number of its own for each i."""
    for n in range(1000):
        record = simulate(np.random.default_rng([seed, i, n]), ["MI"], fs=100)
        if record.details["forms"]["MI"][0].startswith("acute"):
            return replace(record, record_id=f"acute-{seed}-{i}", patient_id=f"acute-{seed}-{i}")
    raise RuntimeError("A thousand infarcts, and none is acute.")


def hearts(folder: Path, args) -> dict[str, np.ndarray]:  # noqa: ANN001
    """Signals (N, 12, 1000), labels, ids, kind and targets of all hearts for training; kept in FOLDER."""
    path = folder / "hearts.npz"
    if not path.exists():
        simulated = list(simulate_cohort(SIMULATED, SEED, fs=100, workers=args.workers, prefix="hearts"))
        sudden = list(for_each(acute, [(i, SEED) for i in range(ACUTE)], args.workers))
        real = records_of("train", ptbxl(args))
        records = [*real, *simulated, *sudden]
        kinds = np.repeat(["drawn", "simulated", "acute"], [len(real), len(simulated), len(sudden)])
        labels = np.array([[finding in record.findings for finding in FINDINGS] for record in records], np.float32)
        labels[kinds == "acute", FINDINGS.index("STTC")] = np.nan
        parts = [records[i : i + 200] for i in range(0, len(records), 200)]
        tables = tqdm(for_each(beat_targets, [(part,) for part in parts], args.workers), total=len(parts), desc="beats")
        targets = [table.drop(columns="record_id") for table in tables]
        found = {
            "signals": np.stack([record.signal_mv for record in records]).astype(np.float16),
            "labels": labels,
            "kind": kinds,
            "record": np.array([record.record_id for record in records]),
            "patient": np.array([record.patient_id for record in records]),
            "targets": np.concatenate([table.to_numpy(np.float32) for table in targets]),
            "names": np.array(targets[0].columns, str),
        }
        np.savez(path, **found)
    return dict(np.load(path))


def taught(known: dict[str, np.ndarray], folder: Path, parts: int = 3) -> np.ndarray:
    """Probabilities (N, 5) that networks on the signals give the real hearts, none its own patients; kept in FOLDER."""
    path = folder / "teacher.npy"
    if not path.exists():
        transfer.EPOCHS = 8
        signals = torch.from_numpy(np.nan_to_num(known["signals"]).astype(np.float32))
        signals -= signals.median(dim=2, keepdim=True).values
        labels, p = torch.from_numpy(known["labels"]), known["labels"].copy()
        rows = np.flatnonzero(known["kind"] == "drawn")
        for part, (learn, tell) in enumerate(GroupKFold(parts).split(rows, groups=known["patient"][rows])):
            network = transfer.train(signals[rows[learn]], labels[rows[learn]], part)
            with torch.no_grad():
                p[rows[tell]] = torch.sigmoid(network(signals[rows[tell]])).numpy()
        np.save(path, p)
    return np.load(path)


def training_set(folder: Path, canvas: str, shares: dict[str, float], images: int, args) -> FlatSet:  # noqa: ANN001
    """All that a network is shown; sources name the groups that are drawn from alike. `images`: of those read."""
    known = hearts(folder, args)
    if args.teacher:
        known["labels"] += args.teacher * (taught(known, folder) - known["labels"])
    names = tuple(known["names"].tolist())
    read, record = load_part("train", folder, canvas)
    read, record = read.subset(np.arange(images or len(read))), record[: images or None]
    row_of = {name: i for i, name in enumerate(known["record"].tolist())}
    rows_of = [row_of[name] for name in record.tolist()]
    nothing = np.full((len(read), *known["signals"].shape[1:]), np.nan, np.float16)
    kinds = np.where(read.sources == PHOTO_SOURCE, "photo", "scan")
    read = replace(
        read, labels=known["labels"][rows_of], sources=grouped(kinds, shares), targets=known["targets"][rows_of],
        target_names=names, signals=nothing,
    )  # fmt: skip
    n, settings = len(known["record"]), PreprocessSettings.from_dict(read.preprocess)
    drawn = FlatSet(
        images=np.broadcast_to(np.uint8(255), (n, *settings.size[::-1])), labels=known["labels"],
        image_ids=known["record"], cluster_ids=known["patient"], sources=grouped(known["kind"], shares),
        readable=np.ones(n, bool), grouped=True, quality=np.ones(n, np.float32), reasons=np.full(n, ""),
        preprocess=read.preprocess, targets=known["targets"], target_names=names, signals=known["signals"],
    )  # fmt: skip
    both = join_sets(read, drawn)
    return both.subset(both.sources != "")


def grouped(kinds: np.ndarray, shares: dict[str, float]) -> np.ndarray:
    """ "drawn" -> "drawn 0", "drawn 1", ...: as many groups as its share asks for; "" where that is none."""
    found = np.full(len(kinds), "", "U16")
    for kind, share in shares.items():
        rows, n = np.flatnonzero(kinds == kind), round(share * GROUPS)
        for k in range(n):
            found[rows[k::n]] = f"{kind} {k}"
    return found


def main() -> None:
    """Train and score one network."""
    parser = options(__doc__, "data", "workers", "out")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--canvas", choices=CANVASES, default="512")
    parser.add_argument("--start", nargs="+", default=[], help="checkpoints, whose mean is begun with; default: random")
    parser.add_argument("--shares", nargs="+", default=[], metavar="KIND=SHARE")
    parser.add_argument("--images", type=int, default=0, help="read pages that are used, 0 = all")
    parser.add_argument("--views", type=int, default=120_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--drop-path", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--beats", type=float, default=0.5, help="weight of the second loss, that of drawing beats")
    parser.add_argument("--teacher", type=float, default=0, help="weight of what the signals say in a heart's labels")
    parser.add_argument("--geometry", type=float, default=0.4)
    parser.add_argument("--appearance", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    shares = SHARES | {key: float(value) for key, value in (pair.split("=") for pair in args.shares)}
    with main_process_first():
        train = training_set(args.folder, args.canvas, shares, args.images, args)
    val, _ = load_part("val", args.folder, args.canvas)
    size, px_per_mm = CANVASES[args.canvas]
    settings = PreprocessSettings(size=size, px_per_mm=px_per_mm)
    model = build_model("convnext_atto_ols", settings, drop_path=args.drop_path, dropout=args.dropout, seed=args.seed)
    if args.start:
        take_weights(model, args.start[0])
        average(model, args.start[1:])
    how = FitSettings(
        stage=args.name, views=args.views, batch_size=args.batch, optimizer="muon", lr=args.lr, layer_decay=0.95,
        weight_decay=args.decay, target_weight=args.beats, geometry=args.geometry, appearance=args.appearance,
        seed=args.seed, checkpoint_every=4000, eval_every=8000, ema_decay=0.998,
    )  # fmt: skip
    note = {"trained_on": "PTB-XL's folds 1 to 7 and simulated hearts", "shares": shares}
    fit(model, train, val, how, args.folder / args.name, resume=True, params=note)
    if not is_main_process():
        return
    report = {"settings": vars(args) | {"folder": None, "data": None, "out": None}}
    for kind, rows in {"photos": val.sources == PHOTO_SOURCE, "scans": val.sources != PHOTO_SOURCE}.items():
        part = val.subset(rows & val.readable)
        p = predict_set(model, part)[list(FINDINGS)].to_numpy()
        table = bootstrap_auroc(part.labels, p, part.cluster_ids, rounds=500, seed=1)
        report[kind] = {"n": len(part), "scores": table.to_dict("records")}
        print(kind, len(part), table.round(3).to_string(), sep="\n", flush=True)
    write(report, args.out or args.folder / f"{args.name}.json")


if __name__ == "__main__":
    main()
