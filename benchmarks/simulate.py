"""How many ten-second 12-lead records at 500 Hz does one core simulate in a second?

    python benchmarks/simulate.py

CPU time of this process on one thread; writes benchmarks/simulate.json.
"""

from __future__ import annotations

import time

import numpy as np
from common import options, write

from ecgutils.hearts import simulate
from ecgutils.parallel import one_thread

RECORDS, ROUNDS = 400, 5


@one_thread()
def rate(round_: int) -> float:
    """Records per second of processor time."""
    start = time.process_time()
    for i in range(RECORDS):
        simulate(np.random.default_rng([round_, i]))
    return RECORDS / (time.process_time() - start)


def main() -> None:
    args = options(__doc__, "out").parse_args()
    rates = [rate(round_) for round_ in range(ROUNDS + 1)]
    rates = rates[1:]  # the first fills caches
    print(f"{np.median(rates):.0f} records/s on one core (rounds: {', '.join(f'{one:.0f}' for one in rates)})")
    write({"records_per_cpu_second": round(np.median(rates)), "rounds": [round(one) for one in rates]}, args.out)


if __name__ == "__main__":
    main()
