"""12-lead ECG signals: a record, its readers (arrays and files, PTB-XL, WFDB folders), and what is measured of it."""

from ecgutils.signals.measure import Measurements, beat_targets, criteria_met, measure
from ecgutils.signals.ptbxl import check_ptbxl, read_ptbxl
from ecgutils.signals.readers import read_csv, read_wfdb, record_from_array
from ecgutils.signals.record import Record
from ecgutils.signals.snomed import SNOMED, findings_from_snomed
from ecgutils.signals.wfdb_folder import check_wfdb_folder, read_wfdb_folder
