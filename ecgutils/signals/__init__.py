"""12-lead ECG signals: read, and measured as a reader does.

record.py      one ECG with what is known about it: Record
readers.py     arrays, CSV, WFDB            ptbxl.py    PTB-XL, with its labels, patients and folds
measure.py     the average beat, measured   criteria.py the criteria of the findings that it meets
"""

from ecgutils.signals.criteria import criteria_met
from ecgutils.signals.measure import Measurements, beat_targets, measure
from ecgutils.signals.ptbxl import check_ptbxl, read_ptbxl
from ecgutils.signals.readers import read_csv, read_wfdb, record_from_array
from ecgutils.signals.record import Record
