"""12-lead ECG signals: read (record.py), and measured as a reader does (measure.py)."""

from ecgutils.signals.measure import Measurements, beat_targets, criteria_met, measure
from ecgutils.signals.record import Record, check_ptbxl, read_csv, read_ptbxl, read_wfdb, record_from_array
