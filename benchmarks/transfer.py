"""Does a network trained on simulated signals alone read real patients? The simulator's yardstick.

    ECG_PTBXL=/path/to/ptb-xl python benchmarks/transfer.py

A fixed small 1-D ResNet learns from 10,000 simulated ECGs (100 Hz, five epochs) and is tested on every record of the
PTB-XL folder, once per seed (simulation, weights and order all change). Prints the AUROC of each finding with 95 %
intervals clustered by patient, the mean over the seeds, and that of the averaged predictions; writes
benchmarks/transfer.json.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from common import options, ptbxl, write
from torch import Tensor, nn
from torch.nn import functional

from ecgutils import FINDINGS, LEADS
from ecgutils.evaluate import auroc_by_finding, bootstrap_auroc, macro_auroc
from ecgutils.hearts import simulate_cohort
from ecgutils.signals import Record, read_ptbxl

HZ, EPOCHS, BATCH, PEAK_LR, SMOOTHING = 100, 5, 32, 2e-3, 0.02


class Block(nn.Module):
    """Two convolutions of width 7 over time, the first with stride 2, beside a 1x1 shortcut."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(inside, outside, 7, 2, 3, bias=False),
            nn.BatchNorm1d(outside),
            nn.ReLU(),
            nn.Conv1d(outside, outside, 7, 1, 3, bias=False),
            nn.BatchNorm1d(outside),
        )
        self.shortcut = nn.Conv1d(inside, outside, 1, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


def build_network() -> nn.Module:
    """ResNet of about 340,000 weights: (B, 12, 1000) mV -> logits (B, 5)."""
    widths = (32, 48, 64, 96, 96)
    return nn.Sequential(
        nn.Conv1d(len(LEADS), 32, 11, 2, 5),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        *(Block(a, b) for a, b in pairwise(widths)),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(widths[-1], len(FINDINGS)),
    )


def arrays(records: Iterable[Record]) -> tuple[Tensor, Tensor]:
    """Signals (N, 12, 1000) mV less each lead's median, and labels (N, 5)."""
    signals, labels = [], []
    for record in records:
        signals.append(record.signal_mv - np.median(record.signal_mv, axis=1, keepdims=True))
        labels.append([f in record.findings for f in FINDINGS])
    return torch.from_numpy(np.stack(signals)), torch.tensor(labels, dtype=torch.float32)


def train(x: Tensor, y: Tensor, seed: int) -> nn.Module:
    """Train for the fixed budget: AdamW, OneCycle, amplitudes x.85-1.2, half of the batches rolled in time."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = build_network()
    steps = len(x) // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), PEAK_LR, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_LR, total_steps=EPOCHS * steps)
    network.train()
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for step in range(steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            batch = x[rows] * torch.from_numpy(rng.uniform(0.85, 1.2, (BATCH, 1, 1)).astype(np.float32))
            if rng.random() < 0.5:
                batch = torch.roll(batch, int(rng.integers(batch.shape[2])), 2)
            target = y[rows] * (1 - 2 * SMOOTHING) + SMOOTHING
            loss = functional.binary_cross_entropy_with_logits(network(batch), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def main() -> None:
    parser = options(__doc__, "data", "workers", "out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--records", type=int, default=10_000, help="simulated records of each seed")
    parser.add_argument("--predictions", type=Path, help="also write ids, labels and predictions to this .npz")
    args = parser.parse_args()
    real = list(read_ptbxl(ptbxl(args), rate=HZ))
    x_real, y_real = arrays(real)
    labels, patients = y_real.numpy(), np.array([r.patient_id for r in real])

    predictions, runs = [], []
    for seed in args.seeds:
        start = time.perf_counter()
        x, y = arrays(simulate_cohort(args.records, seed, fs=HZ, workers=args.workers))
        simulated = time.perf_counter() - start
        network = train(x, y, seed)
        with torch.no_grad():
            predictions.append(torch.sigmoid(network(x_real)).numpy())
        scores = auroc_by_finding(labels, predictions[-1]).round(4).to_dict()
        runs.append({"seed": seed, "macro": round(macro_auroc(labels, predictions[-1]), 4), **scores})
        runs[-1] |= {"simulate_s": round(simulated), "train_s": round(time.perf_counter() - start - simulated)}
        print(runs[-1], flush=True)

    mean = {name: round(float(np.mean([run[name] for run in runs])), 4) for name in ("macro", *FINDINGS)}
    averaged = bootstrap_auroc(labels, np.mean(predictions, axis=0), patients).round(4)
    print(f"mean of {len(runs)} seeds' scores: {mean}")
    print(f"averaged predictions, {len(real)} records of {len(set(patients))} patients:\n{averaged}")
    about = {"records_real": len(real), "records_simulated": args.records, "mean_of_seeds": mean, "runs": runs}
    write(about | {"averaged_predictions": averaged.to_dict("records")}, args.out)
    if args.predictions:
        ids = [r.record_id for r in real]
        np.savez(args.predictions, ids=ids, labels=labels, predictions=np.stack(predictions))


if __name__ == "__main__":
    main()
