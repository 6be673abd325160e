"""12-lead ECGs: a simulator with labelled findings, the criteria of the labels, and readers of recorded signals."""

from ecgutils.signals.cohort import load_records
from ecgutils.signals.criteria import criteria_met
from ecgutils.signals.measure import Measurements, beat_targets, measure
from ecgutils.signals.ptbxl import check_ptbxl, read_ptbxl
from ecgutils.signals.readers import read_csv, read_wfdb, record_from_array
from ecgutils.signals.record import Record
from ecgutils.signals.simulate import simulate, simulate_cohort

__all__ = [
    "Measurements",
    "Record",
    "beat_targets",
    "check_ptbxl",
    "criteria_met",
    "load_records",
    "measure",
    "read_csv",
    "read_ptbxl",
    "read_wfdb",
    "record_from_array",
    "simulate",
    "simulate_cohort",
]
