"""The records of a run: simulated, or a PTB-XL folder or a repeatable part of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgutils.hearts.simulate import simulate_cohort
from ecgutils.signals.ptbxl import check_ptbxl, read_ptbxl
from ecgutils.signals.record import Record


def load_records(
    n: int, seed: int, ptbxl: str | Path | None = None, prefix: str = "sim", workers: int = 1
) -> list[Record]:
    """`n` simulated records, or at most `n` records of a PTB-XL folder.

    n : number of records; with `ptbxl`, 0 means all. A part is drawn with `seed` and kept in the table's order; signals
        are those of 500 Hz, or where the folder has only these, of 100 Hz.
    prefix : first part of simulated record and patient ids, so that two cohorts stay apart.

    Raises ValueError for a negative n, and what `read_ptbxl` raises.
    """
    if n < 0:
        raise ValueError(f"load_records: n must not be negative, got {n}.")
    if ptbxl is None:
        cohort = simulate_cohort(n, seed, workers=workers)
        return [
            replace(r, record_id=f"{prefix}-{i:06d}", patient_id=f"{prefix}-p{i:06d}") for i, r in enumerate(cohort)
        ]
    there = check_ptbxl(ptbxl)
    total, rate = there["records"], 100 if there["rates"] == [100] else 500
    rows = None
    if 0 < n < total:
        rows = np.sort(np.random.default_rng(seed).choice(total, n, replace=False))
    return list(read_ptbxl(ptbxl, rate=rate, rows=rows))
