"""The records of a run."""

from __future__ import annotations

import numpy as np
import pytest
import wfdb

from ecgutils.hearts import load_records
from ecgutils.signals import read_ptbxl
from ecgutils.tests.stand_ins import write_ptbxl_folder
from ecgutils.tests.test_signals_ptbxl import WFDB_NAMES, write_folder
from ecgutils.tests.test_signals_snomed import write_record


def test_two_simulated_cohorts_have_no_id_in_common():
    first, second = (list(load_records(3, seed, prefix=name)) for seed, name in ((1, "sim"), (2, "extra")))
    assert [r.record_id for r in second] == ["extra-000000", "extra-000001", "extra-000002"]
    assert not {r.patient_id for r in first} & {r.patient_id for r in second}


def test_no_records_are_no_error():
    assert list(load_records(0, seed=1)) == []


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        load_records(-1, seed=1)


def test_a_folder_with_100_hz_alone_is_read_at_100_hz(tmp_path):
    signal = np.arange(12) / 10 + np.sin(np.arange(1000) / 10)[:, None]
    write_folder(tmp_path / "db", fs=100)
    for i in (1, 2):
        wfdb.wrsamp(f"{i:05d}_lr", fs=100, units=["mV"] * 12, sig_name=list(WFDB_NAMES), p_signal=signal,
                    fmt=["16"] * 12, write_dir=str(tmp_path / "db/records100"))  # fmt: skip
    assert [(r.fs, r.record_id) for r in load_records(0, seed=1, ptbxl=tmp_path / "db")] == [(100, "1"), (100, "2")]


def test_a_part_of_ptbxl_is_drawn_once_for_a_seed(tmp_path):
    write_ptbxl_folder(tmp_path, n=8)
    everything = [r.record_id for r in read_ptbxl(tmp_path)]
    drawn = [r.record_id for r in load_records(5, seed=3, ptbxl=tmp_path)]
    assert len(drawn) == 5
    assert drawn == [record_id for record_id in everything if record_id in drawn]
    assert drawn == [r.record_id for r in load_records(5, seed=3, ptbxl=tmp_path)]
    assert [r.record_id for r in load_records(0, seed=3, ptbxl=tmp_path)] == everything


@pytest.mark.parametrize("real", [False, True])
def test_shards_deal_out_all_records(real, tmp_path):
    write_ptbxl_folder(tmp_path, n=8)

    def ids(**how):
        return [r.record_id for r in load_records(5, seed=3, ptbxl=tmp_path if real else None, **how)]

    everything = ids()
    assert len(everything) == 5
    for k in (1, 2, 3):
        assert ids(shard=(k, 3)) == everything[k - 1 :: 3]


def test_a_part_of_a_wfdb_folder_keeps_its_folds(tmp_path):
    for i in range(30):
        write_record(tmp_path, f"A{i:04d}")
    (tmp_path / "B.hea").write_text("damaged")  # counts as one that may be drawn
    with pytest.warns(UserWarning, match="1 of 31 records are left out"):
        fold = {r.record_id: r.fold for r in load_records(0, seed=3, wfdb=tmp_path)}
    assert len(fold) == 30
    assert set(fold.values()) <= set(range(1, 11))
    assert len(set(fold.values())) >= 6
    part = list(load_records(8, seed=3, wfdb=tmp_path))
    assert 7 <= len(part) <= 8
    assert {r.record_id: r.fold for r in part}.items() <= fold.items()
