"""The manifest: what is written is read back, unknown stays unknown, and leakage is refused by name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgutils.findings import FINDINGS
from ecgutils.manifest import (
    MANIFEST_COLUMNS,
    assert_disjoint,
    check_manifest,
    clusters,
    image_ids,
    is_grouped,
    label_array,
    manifest_from_paths,
    read_manifest,
    write_manifest,
)


@pytest.fixture
def table():
    frame = pd.DataFrame({column: [np.nan] * 3 for column in MANIFEST_COLUMNS}, dtype=object)
    frame["image_id"] = ["a", "b", "c"]
    frame["path"] = ["photo/a.jpg", "photo/b.jpg", ""]
    frame["patient_id"] = ["p1", "p1", "p2"]
    frame["fold"] = [1, 10, None]
    frame[list(FINDINGS)] = [[0, 1, 0, 1, 0], [1, 1, 1, 1, 1], [np.nan] * 5]
    frame["px_per_mm"] = [5.25, None, 4.0]
    return frame


def test_a_manifest_survives_the_round_trip(tmp_path, table):
    write_manifest(table, tmp_path / "manifest.csv")
    back = read_manifest(tmp_path / "manifest.csv")
    assert back["path"].tolist() == [str(tmp_path / "photo/a.jpg"), str(tmp_path / "photo/b.jpg"), ""]
    assert back["fold"].tolist() == [1, 10, pd.NA]
    assert np.array_equal(label_array(back), label_array(check_manifest(table)), equal_nan=True)
    assert back["px_per_mm"].fillna(-1).tolist() == [5.25, -1, 4.0]
    assert back["layout"].tolist() == ["", "", ""]


def test_the_same_table_gives_the_same_bytes(tmp_path, table):
    write_manifest(table, tmp_path / "a.csv")
    write_manifest(read_manifest(tmp_path / "a.csv").assign(path=table["path"]), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert b"0,1,0,1,0" in (tmp_path / "a.csv").read_bytes()


def test_extra_columns_are_kept_behind_the_others(tmp_path, table):
    write_manifest(table.assign(tl_x=[1.5, 2.5, None])[["tl_x", *MANIFEST_COLUMNS]], tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines()[0] == ",".join([*MANIFEST_COLUMNS, "tl_x"])
    assert read_manifest(tmp_path / "m.csv")["tl_x"][1] == 2.5


def test_ids_that_look_like_numbers_stay_text(tmp_path, table):
    write_manifest(table.assign(image_id=["001", "2", "1e3"]), tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv")["image_id"].tolist() == ["001", "2", "1e3"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": ["a", "a", "b"]}, "image_id is 'a' in data row 2; each image needs its own"),
        ({"image_id": ["a", None, "b"]}, "image_id is '' in data row 2; each image needs its own"),
        ({"AF": [0, 2, 1]}, "AF is 2 in data row 2; use 0, 1, true, false or empty"),
        ({"MI": [0, "yes", 1]}, "MI is 'yes' in data row 2"),
        ({"CD": [0.5, 0, 1]}, r"CD is 0\.5 in data row 1"),
        ({"fold": [1, 1.5, 2]}, r"fold is 1\.5 in data row 2; use a whole number"),
        ({"fold": [1, "x", 2]}, "fold is 'x' in data row 2"),
    ],
)
def test_bad_rows_are_refused_by_name(table, change, message):
    with pytest.raises(ValueError, match=message):
        check_manifest(table.assign(**change), "x.csv")


def test_a_missing_column_or_file_is_said(tmp_path, table):
    with pytest.raises(ValueError, match=r"x\.csv: missing column\(s\) fold, AF"):
        check_manifest(table.drop(columns=["AF", "fold"]), "x.csv")
    with pytest.raises(ValueError, match=r"missing column\(s\) AF"):
        write_manifest(table.drop(columns="AF"), tmp_path / "m.csv")
    with pytest.raises(FileNotFoundError, match=r"No manifest at .*m\.csv"):
        read_manifest(tmp_path / "m.csv")


def test_checking_leaves_the_callers_table_alone(table):
    before = table.copy()
    check_manifest(table)
    assert table.equals(before)


def test_an_absolute_path_is_not_moved(tmp_path, table):
    write_manifest(table.assign(path=["/data/a.jpg", "b.jpg", ""]), tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv")["path"][0] == "/data/a.jpg"


def test_labels_are_float32_in_findings_order(table):
    labels = label_array(check_manifest(table))
    assert labels.dtype == np.float32
    assert labels.shape == (3, 5)
    assert labels[0].tolist() == [0, 1, 0, 1, 0]
    assert np.isnan(labels[2]).all()


def test_an_image_without_a_patient_is_its_own_cluster(table):
    known = check_manifest(table)
    unknown = check_manifest(table.assign(patient_id=["p1", None, ""]))
    assert clusters(known)[0] == clusters(known)[1] == "p1"
    assert is_grouped(known)
    assert len(set(clusters(unknown))) == 3
    assert not is_grouped(unknown)


def test_an_empty_manifest_is_allowed(table):
    empty = check_manifest(table[:0])
    assert label_array(empty).shape == (0, 5)
    assert len(clusters(empty)) == 0


def test_a_shared_patient_is_refused_by_name(table):
    known = check_manifest(table)
    assert_disjoint(train=known[:2], test=known[2:])
    with pytest.raises(ValueError, match=r"1 patient\(s\) are in both train and test, e\.g\. p1"):
        assert_disjoint(train=known[:1], validation=known[2:], test=known[1:2])


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\xff\xfe"])
def test_a_file_that_is_no_csv_is_named(tmp_path, content):
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.csv"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("fold", ["1e300", "9" * 19, "1" + "0" * 400, "inf", "1.5", "one"])
def test_a_fold_that_is_no_whole_number_is_named(tmp_path, table, fold):
    write_manifest(table.assign(fold=7), tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text((tmp_path / "m.csv").read_text().replace(",7,", f",{fold},"))
    with pytest.raises(ValueError, match=r"m\.csv: fold is .* in data row 1; use a whole number or empty"):
        read_manifest(tmp_path / "m.csv")


def test_an_image_may_be_called_na(tmp_path, table):
    write_manifest(table.assign(image_id=["NA", "null", "b"]), tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv")["image_id"].tolist() == ["NA", "null", "b"]


def test_renders_of_one_record_are_one_cluster_where_the_patient_is_unknown(table):
    unknown = table.assign(patient_id="", record_id=["r", "r", ""], image_id=["a", "b", "c"])
    assert clusters(unknown).tolist() == ["record:r", "record:r", "image:c"]


def test_paths_are_absolute_wherever_the_table_was_named_from(tmp_path, table, monkeypatch):
    write_manifest(table, tmp_path / "sub" / "m.csv")
    monkeypatch.chdir(tmp_path)
    assert read_manifest("sub/m.csv")["path"][0] == str(tmp_path / "sub/photo/a.jpg")
    monkeypatch.chdir(tmp_path / "sub")
    assert read_manifest("m.csv")["path"][0] == str(tmp_path / "sub/photo/a.jpg")


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["b.jpg", "a.png"], ["b", "a"]),
        (["x/a.jpg", "y/a.jpg", "y/b.jpg"], ["x-a", "y-a", "b"]),
        (["a.jpg", "a.jpeg", "a.jpg"], ["a", "a-2", "a-3"]),
        (["x/a.jpg", "y/a.jpg", "y/a.png", "x-a.jpg"], ["x-a", "y-a", "y-a-2", "x-a-2"]),
        (["a.jpg", "a.jpg", "a-2.jpg"], ["a", "a-3", "a-2"]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*have the name of another")
def test_every_file_has_an_id_of_its_own(paths, expected):
    assert image_ids([Path(path) for path in paths]) == expected


def test_new_ids_are_said_once():
    with pytest.warns(UserWarning, match=r"2 image\(s\).*a\.jpg is 'a-2'") as told:
        table = manifest_from_paths([Path("a.jpg")] * 3)
    assert len(told) == 1
    assert table["image_id"].tolist() == ["a", "a-2", "a-3"]


@pytest.mark.parametrize("path", [".", "..", "/", "x/.."])
def test_no_id_is_empty_or_leads_out_of_a_folder(path):
    (name,) = image_ids([Path(path)])
    assert name.strip(".")
    assert "/" not in name
