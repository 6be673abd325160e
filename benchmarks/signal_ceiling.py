"""What is lost on paper? A small 1-D network on the signals: python benchmarks/signal_ceiling.py FOLDER --data PTBXL

The network of transfer.py learns from the same hearts as real_hearts.py (FOLDER/hearts.npz): simulated ones, PTB-XL's
folds 1 to 7, both; eight epochs. Tested on the signals of fold 9. Writes signal_ceiling.json.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transfer
from common import options, ptbxl, write
from hearts_pages import records_of

from ecgutils import FINDINGS
from ecgutils.evaluate import bootstrap_auroc

transfer.EPOCHS = 8


def main() -> None:
    """Train three networks, test each."""
    parser = options(__doc__, "data", "out")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    known = dict(np.load(args.folder / "hearts.npz"))
    records = records_of("test", ptbxl(args))
    x_test, y_test = transfer.arrays(records)
    patients = np.array([record.patient_id for record in records])
    signals = torch.from_numpy(np.nan_to_num(known["signals"]).astype(np.float32))
    signals -= signals.median(dim=2, keepdim=True).values
    labels = torch.from_numpy(np.nan_to_num(known["labels"]))
    found = {}
    for name, kinds in {"simulated": ["simulated"], "real": ["drawn"], "both": ["simulated", "drawn"]}.items():
        rows = torch.from_numpy(np.flatnonzero(np.isin(known["kind"], kinds)))
        p = []
        for seed in args.seeds:
            network = transfer.train(signals[rows], labels[rows], seed)
            with torch.no_grad():
                p.append(torch.sigmoid(network(x_test)).numpy())
        table = bootstrap_auroc(y_test.numpy(), np.mean(p, axis=0), patients, rounds=2000, seed=0)
        print(name, len(rows), table.round(3).to_string(), sep="\n", flush=True)
        found[name] = {"n_train": len(rows), "auroc": table.to_dict("records")}
    write({"n_test": len(records), "findings": FINDINGS, "epochs": transfer.EPOCHS, "results": found}, args.out)


if __name__ == "__main__":
    main()
