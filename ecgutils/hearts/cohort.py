"""The records of a run: simulated, or a PTB-XL folder or a repeatable part of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ecgutils.hearts.simulate import simulate
from ecgutils.parallel import for_each
from ecgutils.signals.ptbxl import check_ptbxl, read_ptbxl
from ecgutils.signals.record import Record

STAGE = 1  # second entry of every seed here, so that no other stage draws the same numbers


def simulate_cohort(n: int, seed: int, fs: float = 500, workers: int = 1, prefix: str = "sim") -> Iterator[Record]:
    """Yield `n` simulated Records, each of another patient.

    Record i depends on `seed` and i alone: not on `n`, nor on the number of `workers` (processes). Its ids are
    "sim-000000" and "sim-p000000" for i = 0 with the prefix "sim", its fold is i % 10 + 1.

    Raises ValueError for a negative n or seed, and for 0 workers: at the call.
    """
    if n < 0 or seed < 0:
        raise ValueError(f"simulate_cohort: n and seed must not be negative, got n={n}, seed={seed}.")
    records = for_each(_row, ((seed, i, fs, prefix) for i in range(n)), workers, batch_size="auto")
    return iter(tqdm(records, total=n, desc="simulate", unit="ECG", disable=None))


def _row(seed: int, i: int, fs: float, prefix: str) -> Record:
    record = simulate(np.random.default_rng([seed, STAGE, i]), fs=fs)
    return replace(record, record_id=f"{prefix}-{i:06d}", patient_id=f"{prefix}-p{i:06d}", fold=i % 10 + 1)


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
        return list(simulate_cohort(n, seed, workers=workers, prefix=prefix))
    there = check_ptbxl(ptbxl)
    total, rate = there["records"], 100 if there["rates"] == [100] else 500
    rows = np.random.default_rng(seed).choice(total, n, replace=False) if 0 < n < total else None
    return list(read_ptbxl(ptbxl, rate=rate, rows=rows))
