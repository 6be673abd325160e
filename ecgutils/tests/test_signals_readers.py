"""Signals from arrays, CSV and WFDB: known values arrive, and what is wrong is named."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgutils import LEADS
from ecgutils.signals import read_csv, read_wfdb, record_from_array


def sines(fs=500, seconds=10):
    """Lead k: (k + 1) / 10 mV at 1 Hz."""
    time = np.arange(int(fs * seconds)) / fs
    return np.sin(2 * np.pi * time) * (np.arange(12) + 1)[:, None] / 10


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([100, 128, 240, 257, 360, 500, 1000]), st.permutations(range(12)), st.booleans(), st.booleans())
def test_any_rate_order_unit_and_side_give_the_same_record(fs, order, micro, turned):
    signal = sines(fs)[order] * (1000 if micro else 1)
    record = record_from_array(
        signal.T if turned else signal, fs, "x", leads=[LEADS[k].lower() for k in order], unit="uV" if micro else "mV"
    )
    assert record.signal_mv.shape == (12, 5000)
    assert record.fs == 500
    np.testing.assert_allclose(record.signal_mv[:, 100:-100], sines()[:, 100:-100], atol=0.01)


def test_long_records_are_cut_and_short_ones_are_refused():
    record = record_from_array(sines(seconds=12.5), 500, "x")
    assert record.signal_mv.shape == (12, 5000)
    assert record_from_array(sines(seconds=12), 500, "x", seconds=None).signal_mv.shape == (12, 6000)
    with pytest.raises(ValueError, match="lasts 4 s where 10 s are needed"):
        record_from_array(sines(seconds=4), 500, "x")


def test_a_sample_short_of_ten_seconds_is_ten_seconds():
    record = record_from_array(sines()[:, :4999], 500, "x")
    assert record.signal_mv.shape == (12, 5000)
    np.testing.assert_array_equal(record.signal_mv[:, -1], record.signal_mv[:, -2])
    with pytest.raises(ValueError, match=r"lasts 9\.88 s where 10 s"):
        record_from_array(sines()[:, :4940], 500, "x")


@pytest.mark.parametrize("fs", [100, 128.5, 250, 360, 1000])
def test_both_ends_come_through_resampling(fs):
    record = record_from_array(sines(fs), fs, "x")
    np.testing.assert_allclose(record.signal_mv, sines(), atol=0.003)


def test_a_rate_written_out_is_a_number_and_a_word_is_named():
    assert record_from_array(sines(), "500", "x", to_fs="500").fs == 500
    for fs in ("fast", None, [500]):
        with pytest.raises(ValueError, match=r"fs is .*; a sampling rate from 20"):
            record_from_array(sines(), fs, "x")


def test_a_lead_that_never_changes_is_kept_and_warned_of():
    signal = sines()
    signal[8] = 0
    with pytest.warns(UserWarning, match="record 'x': V3 never changes"):
        record = record_from_array(signal, 500, "x")
    assert record.details["flat_leads"] == ["V3"]
    assert record_from_array(sines(), 500, "x").details["flat_leads"] == []


def test_a_few_missing_samples_are_counted_and_many_refused():
    signal = sines()
    signal[3, :50] = np.nan
    record = record_from_array(signal, 500, "x")
    assert record.details["missing_samples"] == 50
    assert np.isfinite(record.signal_mv).all()
    signal[:, :600] = np.nan
    with pytest.raises(ValueError, match="12% of the samples of I are missing"):
        record_from_array(signal, 500, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal": np.zeros((11, 5000))}, "no side of 12 channels"),
        ({"signal": np.zeros(5000)}, "no side of 12 channels"),
        ({"leads": [*LEADS[:11], "V5"]}, "missing or repeated: V5, V6"),
        ({"unit": "adu"}, "unit adu is not known"),
        ({"signal": sines() * 1000}, "check the unit"),
        ({"fs": 0}, "fs is 0"),
        ({"to_fs": float("nan")}, "to_fs is nan"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    arguments = {"signal": sines(), "fs": 500, "record_id": "x"} | change
    with pytest.raises(ValueError, match=message):
        record_from_array(**arguments)


def test_a_csv_is_read_by_its_column_names(tmp_path):
    table = pd.DataFrame(sines(250).T, columns=[f" {lead.upper()}" for lead in LEADS])[::1]
    table.insert(0, "time", np.arange(len(table)) / 250)
    table.to_csv(tmp_path / "a.csv", index=False)
    record = read_csv(tmp_path / "a.csv", fs=250, findings={"MI"})
    assert (record.record_id, record.source, record.findings) == ("a", "csv", {"MI"})
    np.testing.assert_allclose(record.signal_mv[:, 100:-100], sines()[:, 100:-100], atol=0.01)


def test_a_csv_may_have_semicolons_and_decimal_commas_or_one_line_per_lead(tmp_path):
    table = pd.DataFrame(sines().T.round(4), columns=LEADS)
    table.to_csv(tmp_path / "tabs.csv", index=False, sep="\t")
    table.to_csv(tmp_path / "points.csv", index=False, sep=";")
    table.to_csv(tmp_path / "commas.csv", index=False, sep=";", decimal=",", encoding="utf-8-sig")
    table.T.to_csv(tmp_path / "lines.csv", header=False)
    table.T.to_csv(tmp_path / "numbered.csv", index_label="lead")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_allclose(read_csv(path, fs=500).signal_mv, sines(), atol=1e-3, err_msg=path.name)


def test_a_csv_without_lead_names_says_so(tmp_path):
    pd.DataFrame(sines().T).to_csv(tmp_path / "a.csv", index=False, header=False)
    with pytest.raises(ValueError, match=r"no lead names in its first line .*begins with '0\.0'.*name the columns"):
        read_csv(tmp_path / "a.csv", fs=500)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a readable CSV"),
        ("time,I,II\n0,1,2\n", "missing or repeated: III"),
        (",".join(LEADS) + "\n", "has no samples"),
        (",".join(LEADS) + "\n" + ",".join(["0"] * 11 + ["high"]) + "\n", "'high' in data row 1, lead V6"),
    ],
)
def test_a_broken_csv_is_named(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path / "a.csv", fs=500, seconds=None)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No file"):
        read_csv(tmp_path / "none.csv", fs=500)
    with pytest.raises(FileNotFoundError, match=r"none.hea"):
        read_wfdb(tmp_path / "none")


def test_a_wfdb_record_brings_its_rate_units_and_order(tmp_path):
    names = [*LEADS[::-1], "vx"]
    signal = np.vstack([sines(360)[::-1] * 1000, np.ones((1, 3600))])
    wfdb.wrsamp(
        "r", fs=360, units=["uV"] * 13, sig_name=names, p_signal=signal.T, fmt=["16"] * 13, write_dir=str(tmp_path)
    )
    record = read_wfdb(tmp_path / "r.hea")
    np.testing.assert_allclose(record.signal_mv[:, 100:-100], sines()[:, 100:-100], atol=0.01)
    assert (record.record_id, record.source, record.fs) == ("r", "wfdb", 500)


def test_a_lead_without_a_signal_is_refused_and_named():
    signal = sines()
    signal[8, :600] = np.nan
    with pytest.raises(ValueError, match="12% of the samples of V3 are missing"):
        record_from_array(signal, 500, "x")


def test_a_wfdb_record_may_keep_its_samples_in_any_file_that_its_header_names(tmp_path):
    wfdb.wrsamp("r", 500, ["mV"] * 12, list(LEADS), sines().T, fmt=["16"] * 12, write_dir=str(tmp_path))
    (tmp_path / "r.dat").rename(tmp_path / "r.mat")
    header = tmp_path / "r.hea"
    with pytest.raises(FileNotFoundError, match=r"No .*r\.dat: .*r\.hea; get them all"):
        read_wfdb(tmp_path / "r")
    header.write_text(header.read_text().replace("r.dat", "r.mat"))
    np.testing.assert_allclose(read_wfdb(tmp_path / "r").signal_mv, sines(), atol=0.01)


@pytest.mark.parametrize("written", ["10:20:30 12-May-2020", "10:20 2020-05-12", "25:61:61"])
def test_a_header_whose_date_is_not_read_is_named_with_the_line(tmp_path, written):
    wfdb.wrsamp("r", 500, ["mV"] * 12, list(LEADS), sines().T, fmt=["16"] * 12, write_dir=str(tmp_path))
    header = tmp_path / "r.hea"
    header.write_text("# from a ward\n" + header.read_text().replace("r 12 500 5000", f"r 12 500 5000 {written}"))
    with pytest.raises(
        ValueError, match=rf"r\.hea: the line 'r 12 500 5000 {written}' may only end in a time and date"
    ):
        read_wfdb(tmp_path / "r")


def test_only_reading_wfdb_needs_wfdb(tmp_path):
    code = """
import sys
sys.modules["wfdb"] = None
import numpy as np
from ecgutils.hearts import simulate
from ecgutils.signals import read_wfdb
from ecgutils.synth import generate_images
generate_images([simulate(np.random.default_rng(0))], sys.argv[1], ("thermal",), size=(640, 400))
try:
    read_wfdb("r")
except ModuleNotFoundError as error:
    print(error.name, error)
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("wfdb wfdb reads WFDB records and PTB-XL: pip install wfdb.")
    assert len(list(tmp_path.glob("thermal/*.jpg"))) == 1
