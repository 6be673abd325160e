"""12-lead ECG signals: a simulator with labelled findings, and a reader of PTB-XL."""

from ecgutils.signals.cohort import load_records
from ecgutils.signals.ptbxl import check_ptbxl, read_ptbxl
from ecgutils.signals.record import Record
from ecgutils.signals.simulate import simulate, simulate_cohort

__all__ = ["Record", "check_ptbxl", "load_records", "read_ptbxl", "simulate", "simulate_cohort"]
