"""The PTB-XL reader on small folders made here, on broken ones, and on real records when ECG_PTBXL names them."""

import os

import numpy as np
import pandas as pd
import pytest
import wfdb

from ecgutils import FINDINGS, LEADS
from ecgutils.signals import check_ptbxl, read_ptbxl

WFDB_NAMES = ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]
REAL = os.environ.get("ECG_PTBXL")


def write_folder(root, names=WFDB_NAMES, units="mV", lost=0, rows=2, fs=100):
    """A PTB-XL folder of `rows` one-second records at 100 Hz; lead k (of LEADS) begins at k / 10 mV and flickers."""
    (root / "records100").mkdir(parents=True)
    value = {lead.upper(): row / 10 for row, lead in enumerate(LEADS)}
    for ecg_id in range(1, rows + 1):
        signal = np.array([[value.get(name, 0.0) for name in names]] * 100) + 0.1 * (np.arange(100) % 2)[:, None]
        signal[:lost] = np.nan
        wfdb.wrsamp(
            f"{ecg_id:05d}_lr", fs=fs, units=[units] * len(names), sig_name=names, p_signal=signal,
            fmt=["16"] * len(names), adc_gain=[1000.0] * len(names), baseline=[0] * len(names),
            write_dir=str(root / "records100"),
        )  # fmt: skip
    codes = ["{'IMI': 0.0, 'AFIB': 0.0}", "{'NORM': 100.0, 'SR': 0.0}"]
    table = pd.DataFrame(
        {
            "ecg_id": range(1, rows + 1),
            "patient_id": [7.0 + i for i in range(rows)],
            "age": [61.0, 300.0][:rows],
            "sex": [1, 0][:rows],
            "scp_codes": codes[:rows],
            "strat_fold": [3, 9][:rows],
            "filename_lr": [f"records100/{i + 1:05d}_lr" for i in range(rows)],
        }
    )
    table.to_csv(root / "ptbxl_database.csv", index=False)
    statements = pd.DataFrame(
        {"diagnostic": [1.0, 1.0, np.nan], "diagnostic_class": ["MI", "NORM", np.nan]}, index=["IMI", "NORM", "AFIB"]
    )
    statements.to_csv(root / "scp_statements.csv")
    return root


def edit(root, **columns):
    table = pd.read_csv(root / "ptbxl_database.csv")
    table.assign(**columns).to_csv(root / "ptbxl_database.csv", index=False)


def test_a_record_comes_with_its_labels_patient_and_fold(tmp_path):
    first, second = read_ptbxl(write_folder(tmp_path / "db"), rate=100)
    assert first.findings == {"MI", "AF"}  # likelihood 0 means "not stated" and counts
    assert second.findings == frozenset()
    assert (first.record_id, first.patient_id, first.fold, first.source) == ("1", "ptbxl-7", 3, "ptbxl")
    assert (first.details["age"], first.details["sex"], second.details["age"]) == (61, "female", 90)


def test_leads_are_put_in_order_whatever_the_file_has(tmp_path):
    record = next(read_ptbxl(write_folder(tmp_path / "db", names=WFDB_NAMES[::-1]), rate=100))
    np.testing.assert_allclose(record.signal_mv[:, 0], np.arange(12) / 10, atol=1e-6)
    assert record.signal_mv.dtype == np.float32


def test_folds_select_records(tmp_path):
    root = write_folder(tmp_path / "db")
    assert [r.record_id for r in read_ptbxl(root, rate=100, folds=[9])] == ["2"]
    with pytest.raises(ValueError, match=r"fold\(s\) \[11\]"):
        read_ptbxl(root, rate=100, folds=[1, 11])


def test_a_few_missing_samples_become_zero_and_are_counted(tmp_path):
    record = next(read_ptbxl(write_folder(tmp_path / "db", lost=5), rate=100))
    assert record.details["missing_samples"] == 60
    assert (record.signal_mv[:, :5] == 0).all()


def test_many_missing_samples_are_refused(tmp_path):
    with pytest.raises(ValueError, match="20% of the samples of I are missing"):
        next(read_ptbxl(write_folder(tmp_path / "db", lost=20), rate=100))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": "mmHg"}, "unit mmHg is not known"),
        ({"names": WFDB_NAMES[:11]}, "twelve leads"),
        ({"names": [*WFDB_NAMES[:11], "V7"]}, "twelve leads"),
        ({"fs": 250}, "sampled at 250 Hz"),
    ],
)
def test_wrong_signal_files_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        next(read_ptbxl(write_folder(tmp_path / "db", **change), rate=100))


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "nan", "['IMI']", "{'IMI': 1", ""])
def test_codes_that_are_no_dict_are_refused_and_never_run(tmp_path, text):
    root = write_folder(tmp_path / "db")
    edit(root, scp_codes=text)
    with pytest.raises(ValueError, match="scp_codes of ecg_id 1"):
        next(read_ptbxl(root, rate=100))


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No PTB-XL folder"):
        read_ptbxl(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"No ptbxl_database.csv"):
        check_ptbxl(tmp_path)
    root = write_folder(tmp_path / "db")
    with pytest.raises(ValueError, match="no column filename_hr"):
        read_ptbxl(root, rate=500)
    with pytest.raises(ValueError, match="rate must be 100 or 500"):
        read_ptbxl(root, rate=250)
    (root / "records100" / "00001_lr.dat").unlink()
    with pytest.raises(FileNotFoundError, match=r"00001_lr.dat.* ecg_id 1 is listed"):
        next(read_ptbxl(root, rate=100))


def test_a_cut_signal_file_is_refused(tmp_path):
    root = write_folder(tmp_path / "db")
    file = root / "records100" / "00001_lr.dat"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match="not a readable WFDB record"):
        next(read_ptbxl(root, rate=100))


def test_a_missing_column_and_a_bad_number_are_named(tmp_path):
    root = write_folder(tmp_path / "db")
    edit(root, strat_fold=["3", "?"])
    with pytest.raises(ValueError, match=r"strat_fold is '\?' in data row 2"):
        read_ptbxl(root, rate=100)
    pd.read_csv(root / "ptbxl_database.csv").drop(columns="strat_fold").to_csv(root / "ptbxl_database.csv")
    with pytest.raises(ValueError, match=r"missing column\(s\) strat_fold"):
        read_ptbxl(root, rate=100)


def test_check_counts_without_reading_signals(tmp_path):
    root = write_folder(tmp_path / "db")
    summary = check_ptbxl(root)
    assert summary["records"] == summary["patients"] == 2
    assert (summary["rates"], summary["folds"]) == ([100], [3, 9])
    assert summary["findings"] == {"STTC": 0, "HYP": 0, "MI": 1, "CD": 0, "AF": 1}
    (root / "records100" / "00002_lr.hea").unlink()
    assert check_ptbxl(root)["missing_files"] == {100: 1}


@pytest.mark.skipif(not REAL, reason="ECG_PTBXL is not set")
@pytest.mark.parametrize("rate", [100, 500])
def test_real_records_are_twelve_consistent_leads(rate):
    summary = check_ptbxl(REAL)
    assert rate in summary["rates"]
    for record, _ in zip(read_ptbxl(REAL, rate=rate), range(40), strict=False):
        assert record.signal_mv.shape == (12, 10 * rate)
        signal = dict(zip(LEADS, record.signal_mv, strict=True))
        assert np.abs(signal["I"] + signal["III"] - signal["II"]).max() < 0.01
        assert record.findings <= set(FINDINGS)
        assert record.patient_id.removeprefix("ptbxl-").isdigit()
