"""Simulated hearts with known findings: normal ones, forms of disease, rhythm and noise."""

from ecgutils.hearts.cohort import load_records
from ecgutils.hearts.simulate import simulate, simulate_cohort

__all__ = [
    "load_records",
    "simulate",
    "simulate_cohort",
]
