"""12-lead ECG signals: a record, its readers (readers.py, ptbxl.py), and what is measured of it (measure.py)."""

from ecgutils.signals.measure import Measurements, beat_targets, criteria_met, measure
from ecgutils.signals.ptbxl import check_ptbxl, read_ptbxl
from ecgutils.signals.readers import read_csv, read_wfdb, record_from_array
from ecgutils.signals.record import Record
