"""Other data sets: SNOMED codes become findings, and a folder of WFDB records becomes Records, whatever lies in it."""

import warnings

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from ecgutils import FINDINGS, LEADS
from ecgutils.signals import SNOMED, check_wfdb_folder, findings_from_snomed, read_wfdb_folder

AF_RBBB = ("Age: 74", "Sex: Male", "Dx: 164889003,59118001,426783006")


def write_record(folder, name="A0001", comments=AF_RBBB, fs=500, seconds=10, leads=LEADS, unit="mV"):
    """Lead k of LEADS: k + 1 tenths of a millivolt at 1 Hz."""
    folder.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * fs)) / fs
    size = [(LEADS.index(lead) + 1) / 10 * (1000 if unit == "uV" else 1) for lead in leads]
    wfdb.wrsamp(
        name, fs=fs, units=[unit] * len(leads), sig_name=list(leads), comments=list(comments),
        p_signal=np.sin(2 * np.pi * time)[:, None] * size, fmt=["16"] * len(leads), write_dir=str(folder),
    )  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("164889003", "AF"), ("164890007", None), ("195080001", None),
        ("270492004", "CD"), ("59118001", "CD"), ("713426002", "CD"), ("445118002", "CD"), ("74390002", "CD"),
        ("698252002", "CD"), ("164947007", None), ("10370003", None),
        ("164873001", "HYP"), ("89792004", "HYP"), ("67741000119109", "HYP"), ("55827005", None),
        ("164865005", "MI"), ("57054005", "MI"), ("164917005", None), ("53741008", None),
        ("164934002", "STTC"), ("59931005", "STTC"), ("429622005", "STTC"), ("111975006", "STTC"),
        ("425623009", "STTC"),
        ("428417006", None), ("426783006", None), ("123", None),
    ],
)  # fmt: skip
def test_a_code_stands_for_what_ptbxl_would_say(code, finding):
    found, unscored = findings_from_snomed([code])
    assert (found, unscored) == ((frozenset([finding]), ()) if finding else (frozenset(), (code,)))


def test_the_table_has_every_finding_and_only_codes():
    assert {entry.finding for entry in SNOMED.values()} == {*FINDINGS, None}
    assert all(code.isdecimal() and entry.abbreviation and entry.name for code, entry in SNOMED.items())


@given(st.lists(st.sampled_from([*SNOMED, "1", "-2108975294"]), unique=True))
def test_every_code_is_either_a_finding_or_unscored(codes):
    found, unscored = findings_from_snomed(codes)
    scored = [code for code in codes if code not in unscored]
    assert found == {SNOMED[code].finding for code in scored} <= set(FINDINGS)
    assert list(unscored) == [code for code in codes if code in unscored]


def test_a_record_comes_with_what_its_header_says(tmp_path):
    (record,) = read_wfdb_folder(write_record(tmp_path))
    assert (record.record_id, record.patient_id, record.fold, record.source) == ("A0001", "", None, "wfdb")
    assert record.findings == {"AF", "CD"}
    assert record.details == {
        "snomed_codes": ("164889003", "59118001", "426783006"), "unscored": ("426783006",), "age": 74, "sex": "male",
        "missing_samples": 0, "flat_leads": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("comments", "age", "sex"),
    [
        (("age:  8", "SEX: F", "dx : 1"), 8, "female"),
        (("Age: 300", "Sex: Female", "Dx: 1"), 90, "female"),
        (("Age: NaN", "Sex: Unknown", "Dx: 1,"), None, None),
        (("Age: -1", "Dx: 1, 1"), None, None),
        (("Age: inf", "Sex:", "Dx:1"), 90, None),
    ],
)
def test_age_and_sex_may_be_written_in_many_ways_or_be_unknown(tmp_path, comments, age, sex):
    (record,) = read_wfdb_folder(write_record(tmp_path, comments=comments))
    assert (record.details["age"], record.details["sex"], record.details["unscored"]) == (age, sex, ("1",))


@pytest.mark.parametrize("fs", [257, 500, 1000])
@pytest.mark.parametrize(("seconds", "kept"), [(2.5, 2.5), (6, 6), (9.99, 10), (10, 10), (31, 10)])
def test_any_rate_and_length_become_at_most_ten_seconds(tmp_path, fs, seconds, kept):
    write_record(tmp_path, fs=fs, seconds=seconds, leads=LEADS[::-1], unit="uV")
    (record,) = read_wfdb_folder(tmp_path)
    assert record.signal_mv.shape == (12, pytest.approx(500 * kept, abs=1))
    inner = np.arange(50, record.signal_mv.shape[1] - 50)
    np.testing.assert_allclose(
        record.signal_mv[:, inner], np.sin(2 * np.pi * inner / 500) * (np.arange(12) + 1)[:, None] / 10, atol=0.01
    )


def test_the_matlab_files_of_the_challenge_and_their_dates_are_read(tmp_path):
    samples = np.tile(np.arange(5000, dtype=np.int16) % 100, (12, 1))
    savemat(tmp_path / "A0001.mat", {"val": samples}, format="4")
    lines = [f"A0001.mat 16+24 1000/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    header = ["A0001 12 500 5000 05-Feb-2020 11:39:16", *lines, *(f"#{comment}" for comment in AF_RBBB)]
    (tmp_path / "A0001.hea").write_text("\n".join(header) + "\n")
    (record,) = read_wfdb_folder(tmp_path)
    np.testing.assert_allclose(record.signal_mv, samples / 1000, atol=1e-6)
    assert record.findings == {"AF", "CD"}


def test_folders_are_named_only_where_two_records_are_alike(tmp_path):
    for folder, name in (("b", "A1"), ("a", "A1"), ("a/c", "A2")):
        write_record(tmp_path / folder, name)
    (tmp_path / "a" / "._A2.hea").write_bytes(b"\0\5\26\7")  # which an archive of a Mac brings along
    assert [record.record_id for record in read_wfdb_folder(tmp_path)] == ["a/A1", "A2", "b/A1"]
    assert [record.record_id for record in read_wfdb_folder(tmp_path, rows=[2, 0])] == ["a/A1", "b/A1"]


@pytest.mark.parametrize(
    "text", [b"", b"\n\n", b"\0\xff", b"B 12\n", b"B/2 12 500\nC 10\nD 10\n", b"B 1 0 0\nB.dat 16\n"]
)
def test_no_damaged_header_costs_another_record(tmp_path, text):
    write_record(write_record(tmp_path, "A"), "C")
    (tmp_path / "B.hea").write_bytes(text)
    with pytest.warns(UserWarning, match=r"1 of 3 records are left out. The first is B: ."):
        assert [record.record_id for record in read_wfdb_folder(tmp_path)] == ["A", "C"]
    assert check_wfdb_folder(tmp_path)["unreadable"] == 1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"seconds": 2.4}, r"lasts 2.4 s where 2.5 s"),
        ({"leads": LEADS[:8]}, "twelve leads"),
        ({"unit": "mmHg"}, "unit mmHg"),
        ({"comments": ()}, "no line like '# Dx"),
        ({"comments": ("Dx: ",)}, "no line like '# Dx"),
        ({"comments": ("Dx: AFIB",)}, "no line like '# Dx"),  # else it would count as "none of the five"
        ({"comments": ("Dx: 164889003,Unknown",)}, "no line like '# Dx"),
    ],
)
def test_a_record_that_says_too_little_is_left_out_and_named(tmp_path, broken, reason):
    write_record(write_record(tmp_path, "A", **broken), "B")
    with pytest.warns(UserWarning, match=f"1 of 2 records are left out. The first is A: .*{reason}"):
        assert [record.record_id for record in read_wfdb_folder(tmp_path)] == ["B"]


def test_a_missing_or_cut_signal_file_is_counted(tmp_path):
    for name in "ABC":
        write_record(tmp_path, name)
    (tmp_path / "A.dat").unlink()
    (tmp_path / "B.dat").write_bytes((tmp_path / "B.dat").read_bytes()[:500])
    with pytest.warns(UserWarning, match=r"2 of 3 records are left out. The first is A: No .*A.dat"):
        assert len(list(read_wfdb_folder(tmp_path))) == 1


def test_a_folder_without_any_record_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No folder .*nowhere"):
        read_wfdb_folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"No WFDB header \(.hea\)"):
        check_wfdb_folder(tmp_path)
    write_record(tmp_path, comments=())
    with pytest.raises(ValueError, match=r"1 of 1 records are left out. The first is A0001"):
        list(read_wfdb_folder(tmp_path))


def test_check_counts_without_reading_signals(tmp_path):
    write_record(tmp_path, "A")
    write_record(tmp_path, "B", comments=("Dx: 164889003,42",), fs=257)
    write_record(tmp_path, "C", comments=())
    write_record(tmp_path, "D")
    (tmp_path / "D.dat").unlink()
    (tmp_path / "B.dat").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_wfdb_folder(tmp_path) == {
            "records": 2, "unreadable": 1, "without_codes": 1, "rates": {257: 1, 500: 1},
            "findings": {"STTC": 0, "HYP": 0, "MI": 0, "CD": 1, "AF": 2},
            "unscored": {"426783006 (sinus rhythm)": 1}, "unknown_codes": {"42": 1},
        }  # fmt: skip
