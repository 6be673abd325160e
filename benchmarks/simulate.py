"""How many ten-second 12-lead records at 500 Hz does one core simulate in a second?

    python benchmarks/simulate.py

CPU time of this process on one thread; writes benchmarks/simulate.json.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before NumPy is loaded

import time
from pathlib import Path

import numpy as np

from ecgutils.files import write_json
from ecgutils.hearts import simulate

RECORDS, ROUNDS = 400, 5


def main() -> None:
    rates = []
    for round_ in range(ROUNDS + 1):
        start = time.process_time()
        for i in range(RECORDS):
            simulate(np.random.default_rng([round_, i]))
        rates.append(RECORDS / (time.process_time() - start))
    rates = rates[1:]  # the first fills caches
    print(f"{np.median(rates):.0f} records/s on one core (rounds: {', '.join(f'{rate:.0f}' for rate in rates)})")
    result = {"command": "python benchmarks/simulate.py", "records_per_cpu_second": round(float(np.median(rates)))}
    write_json(Path(__file__).with_suffix(".json"), result | {"rounds": [round(rate) for rate in rates]})


if __name__ == "__main__":
    main()
