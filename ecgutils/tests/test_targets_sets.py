"""Image sets people have, as small folders made here: labels, patients and truth as their makers wrote them."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from ecgutils.challenge import read_bhf
from ecgutils.findings import FINDINGS
from ecgutils.geometry import frame_corners
from ecgutils.manifest import CORNER_COLUMNS, check_manifest, clusters, label_array
from ecgutils.targets import TARGETS, read_target
from ecgutils.targets.image_database import KINDS
from ecgutils.tests.test_targets_table import note, photos

NONE = [0, 0, 0, 0, 0]


def write_folders(root):
    photos(root, "MI/a.png", "cd/b.jpg", "MI+CD/c.png", "mi_af/d.png", "Normal/e.png", "norm/f.png", "none/g.png")
    return root


def write_challenge(root):
    photos(root, *(f"train_1/train_encoded_relabelled/train_00000{i}.png" for i in (1, 2)), "test_1/test_000001.png")
    (root / "train_final.csv").write_text("ID,STTC,HYP,MI,CD,AF\n1,0,0,1,0,0\n2,1,0,0,0,0\n")
    return root


def write_ptbxl(root):
    root.mkdir(parents=True, exist_ok=True)
    codes = ["{'IMI': 0.0, 'AFIB': 0.0}", "{'NORM': 100.0}"]
    table = {"ecg_id": [1, 2], "patient_id": [7.0, 9.0], "scp_codes": codes, "strat_fold": [3, 10]}
    pd.DataFrame(table).to_csv(root / "ptbxl_database.csv", index=False)
    (root / "scp_statements.csv").write_text("code,diagnostic,diagnostic_class\nIMI,1,MI\nNORM,1,NORM\nAFIB,,\n")
    return root


def write_genecg(root):
    photos(root, "A/00000/00001_hr_1R.png", "A/00000/00002_hr_1R.png", "B/00000/00001_hr_1R.png")
    return root


def write_kit(root, **settings):
    """A page of two leads as the kit's JSON tells it, one that has a header alone."""
    photos(root, "00001_hr-0.png", "00002_hr-0.png")
    box = {"0": [100, 20], "1": [100, 70], "2": [130, 70], "3": [130, 20]}
    strip = {"0": [200, 20], "1": [200, 320], "2": [240, 320], "3": [240, 20]}
    about = {"width": {"val": 2200, "unit": "px"}, "height": 1700, "x_grid": 39.37, "y_grid": 39.37}
    about |= {"number_of_columns_in_image": 4, "full_mode_lead": "II", "rotate": 0, "crop": 0.0, **settings}
    about["leads"] = [{"lead_name": "II", "lead_bounding_box": b, "text_bounding_box": b} for b in (box, strip)]
    (root / "00001_hr-0.json").write_text(json.dumps(about))
    (root / "00001_hr.hea").write_text("00001_hr 12 500 5000\n#Age: 60\n# Dx: 164889003,59118001,426783006\n")
    (root / "00002_hr.hea").write_text("00002_hr 12 500 5000\n#Dx: 426783006\n")
    return root


def write_database(root):
    photos(root, *(f"train/{i}/{i}-{kind}.png" for i in (10140238, 11) for kind in KINDS), "test/12.png")
    return root


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("bhf", write_challenge),
        ("genecg", write_genecg),
        ("ecg_image_kit", write_kit),
        ("image_database", write_database),
        ("folders", write_folders),
    ],
)
def test_each_layout_goes_to_its_own_reader(tmp_path, name, write):
    write(tmp_path)
    assert next(target.name for target in TARGETS if target.matches(tmp_path)) == name
    found = read_target(tmp_path, ptbxl=write_ptbxl(tmp_path / "db") if name == "genecg" else None)
    assert all(check_manifest(part).equals(part) for part in (found.train, found.test))


def test_a_folder_s_name_is_all_that_its_photos_show(tmp_path):
    photos(write_folders(tmp_path), "loose.png")
    found = read_target(tmp_path)
    labels = dict(zip(found.train["image_id"], label_array(found.train).tolist(), strict=True))
    assert labels == {
        "a": [0, 0, 1, 0, 0], "b": [0, 0, 0, 1, 0], "c": [0, 0, 1, 1, 0], "d": [0, 0, 1, 0, 1],
        "e": NONE, "f": NONE, "g": NONE,
    }  # fmt: skip
    assert note(found, "1 photo(s) left out, in no folder of a finding")


def test_train_and_test_may_be_around_the_folders(tmp_path):
    photos(tmp_path, "Train/MI/a.png", "Train/normal/b.png", "test/MI/a.png")
    found = read_target(tmp_path)
    assert (len(found.train), len(found.test)) == (2, 1)
    assert found.test["MI"].tolist() == [1]


@pytest.mark.parametrize("name", ["other", "MI+other", "MI normal", "MI/patient1"])
def test_a_folder_of_another_name_is_refused_with_the_names_that_are_known(tmp_path, name):
    photos(tmp_path, "CD/a.png", f"{name}/b.png")
    with pytest.raises(
        ValueError, match=rf"{re.escape(name)} is not named after a finding; name it one of STTC, HYP, MI, CD, AF"
    ):
        read_target(tmp_path)


def test_the_challenge_is_read_as_ever_and_its_warnings_are_notes(tmp_path):
    (write_challenge(tmp_path) / "train_1/train_encoded_relabelled/train_000002.png").unlink()
    found = read_target(tmp_path)
    with pytest.warns(UserWarning, match="without an image"):
        train, test = read_bhf(tmp_path)
    pd.testing.assert_frame_equal(found.train, train)
    pd.testing.assert_frame_equal(found.test, test)
    assert note(found, "without an image, kept as unreadable: 2")
    assert note(found, "ungrouped")


def test_images_of_ptbxl_get_its_labels_patients_and_folds(tmp_path):
    photos(write_genecg(tmp_path / "genecg"), "A/cover.png", "A/00000/00009_hr_1R.png")
    found = read_target(tmp_path / "genecg", ptbxl=write_ptbxl(tmp_path / "ptbxl"))
    rows = found.train[["record_id", "patient_id", "fold"]].to_numpy().tolist()
    assert rows == [["1", "ptbxl-7", 3], ["2", "ptbxl-9", 10], ["1", "ptbxl-7", 3]]
    assert label_array(found.train).tolist() == [[0, 0, 1, 0, 1], NONE, [0, 0, 1, 0, 1]]
    assert found.train["image_id"].is_unique
    assert note(found, "2 photo(s) left out, without an ecg_id of ptbxl_database.csv")
    assert not note(found, "ungrouped")


def test_ptbxl_s_tables_are_found_beside_or_asked_for(tmp_path):
    write_genecg(tmp_path / "genecg")
    with pytest.raises(FileNotFoundError, match=r"No ptbxl_database\.csv in .*give the folder of PTB-XL's two tables"):
        read_target(tmp_path / "genecg")
    write_ptbxl(tmp_path)
    assert len(read_target(tmp_path / "genecg").train) == 3
    photos(tmp_path / "mine", "a.png")
    with pytest.raises(ValueError, match=r"no image is named after an ecg_id"):
        read_target(tmp_path / "mine", ptbxl=tmp_path)


def test_the_kit_s_headers_tell_findings_and_its_json_where_things_are(tmp_path):
    found = read_target(write_kit(tmp_path))
    first, second = found.train.to_dict("records")
    assert label_array(found.train).tolist() == [[0, 0, 0, 1, 1], NONE]
    assert (first["record_id"], first["layout"], first["width"], first["height"]) == ("00001_hr", "3x4+1", 2200, 1700)
    assert first["px_per_mm"] == pytest.approx(200 / 25.4, abs=1e-3)
    assert [first[c] for c in CORNER_COLUMNS] == frame_corners((2200, 1700)).ravel().tolist()
    assert json.loads(first["lead_boxes"]) == {"II": [20, 100, 70, 130], "II_rhythm": [20, 200, 320, 240]}
    assert (second["layout"], second["lead_boxes"]) == ("", "")
    assert np.isnan(second["tl_x"])
    assert note(found, "SNOMED codes that are none of the five findings: 426783006.")


@pytest.mark.parametrize("setting", [{"rotate": 15}, {"crop": 0.01}, {"rotate": {"val": 5, "unit": "degrees"}}])
def test_a_page_that_was_turned_or_cropped_has_no_known_corners(tmp_path, setting):
    table = read_target(write_kit(tmp_path, **setting)).train
    assert table[list(CORNER_COLUMNS)].isna().all(axis=None)
    assert table["lead_boxes"].iloc[0]


def test_padding_is_paper(tmp_path):
    table = read_target(write_kit(tmp_path, pad_inches=1, resolution={"val": 200, "unit": "inches"})).train
    assert table[["width", "height", "br_x"]].iloc[0].tolist() == [2600, 2100, 2599]


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"x_grid": "wide"}', '{"x_grid": 1, "leads": [{"lead_bounding_box": 3}]}']
)
def test_a_broken_json_costs_the_truth_and_not_the_page(tmp_path, text):
    (write_kit(tmp_path) / "00001_hr-0.json").write_text(text)
    found = read_target(tmp_path)
    assert label_array(found.train).tolist() == [[0, 0, 0, 1, 1], NONE]
    assert note(found, "1 JSON(s) can't be read")


def test_a_table_of_labels_goes_before_the_kit_s_headers(tmp_path):
    (write_kit(tmp_path) / "labels.csv").write_text("record_id,HYP,patient\n00001_hr,1,p1\n00002_hr,,p2\n")
    table = read_target(tmp_path).train
    np.testing.assert_array_equal(table["HYP"], [1, np.nan])
    assert table["CD"].isna().all()
    assert table["patient_id"].tolist() == ["p1", "p2"]


def test_a_header_without_a_diagnosis_leaves_labels_unknown(tmp_path):
    (write_kit(tmp_path) / "00001_hr.hea").write_text("00001_hr 12 500 5000\n#Dx: Unknown\n")
    assert read_target(tmp_path).train[list(FINDINGS)].iloc[0].isna().all()


def test_images_of_one_id_stay_together_and_tell_their_kind(tmp_path):
    found = read_target(write_database(tmp_path))
    assert len(found.train) == 2 * len(KINDS)
    assert set(clusters(found.train)) == {"record:10140238", "record:11"}
    assert set(found.train["image_source"]) == set(KINDS.values())
    assert found.train[list(FINDINGS)].isna().all(axis=None)
    assert note(found, "18 of 18 photo(s) have no label")
    assert note(found, "1 photo(s) left out, not named <id>/<id>-0001")


def test_a_table_in_the_folder_labels_every_image_of_its_ids(tmp_path):
    (write_database(tmp_path) / "labels.csv").write_text("id,MI,patient_id\n11,1,p\n10140238,0,q\n")
    (tmp_path / "train.csv").write_text("id,fs,sig_len\n11,500,5000\n")  # the competition's own has no findings
    found = read_target(tmp_path)
    assert found.train.groupby("record_id")["MI"].mean().to_dict() == {"11": 1, "10140238": 0}
    assert set(found.train["patient_id"]) == {"p", "q"}
    assert not note(found, "ungrouped")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "id,MI\n99,1\n", "its CSV of findings has none of the photos' IDs, such as 10140238"),
        ("labels.csv", "id,MI\n11,1\n11,0\n", "id is '11' in line 3; each ID needs one row"),
        ("more.csv", "id,MI\n11,1\n", "both first.csv and more.csv have findings; keep one"),
    ],
)
def test_a_table_that_can_not_be_joined_is_refused(tmp_path, name, text, message):
    if name == "more.csv":
        (tmp_path / "first.csv").write_text(text)
    (write_database(tmp_path) / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_target(tmp_path)
