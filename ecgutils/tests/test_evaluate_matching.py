"""Labels of one's own and predictions: read as people keep them, and matched image by image."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest

from ecgutils.evaluate import (
    match_truth,
    read_predictions,
)
from ecgutils.evaluate.predictions import ENDINGS, write_predictions
from ecgutils.findings import FINDINGS
from ecgutils.manifest import clusters, image_ids
from ecgutils.targets import read_truth
from ecgutils.tests.test_evaluate_labelled import COLUMNS, made_up


@pytest.mark.parametrize("text", [
    "Image_ID,sttc,Af,Subject,ward\n007,1,True,a,x\n008,0.0,,b,y\n",
    "\ufeffAF;Subject ID;ID;STTC\ntrue;a;007;1.0\n;b;008;FALSE\n",
    'subject\tid\tSTTC\taf\n\n a\t 007\t1\t"1"\n"b"\t008\t0\t\n',
])  # fmt: skip
def test_a_table_is_read_as_people_keep_it(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    table = read_truth(tmp_path / "t.csv")
    assert table["image_id"].tolist() == ["007", "008"]
    assert table["patient_id"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(table[COLUMNS], [[1, *[np.nan] * 3, 1], [0, *[np.nan] * 4]])
    assert table["path"].eq("").all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no line"),
        ("ID,AF\n", "has no row below its header"),
        ("ID,AF\na,maybe\n", "AF is 'maybe' in line 2; use 0, 1, true, false or empty"),
        ("ID,AF\n\na,1\nb,2\n", "AF is '2' in line 4"),
        ("ID,AF\na,nan\n", "AF is 'nan' in line 2"),
        ("ID;AF\na;0,0\n", "AF is '0,0' in line 2"),
        ("ID,AF\na,1,1\n", "line 2 has 3 cells"),
        ("ID,AF\na,1\na,1\n", "id is 'a' in line 3; that photo is listed above"),
        ("ID,AF\n,1\n", "image_id is '' in data row 1"),
        ("path,AF\nx/a.jpg,1\nx/../x/a.jpg,0\n", "path is 'x/../x/a.jpg' in line 3; that photo is listed above"),
        ("ID,path,AF\n1,a.jpg,1\n2,a.jpg,0\n", "path is 'a.jpg' in line 3; that photo is listed above"),
        ("name,AF\na,1\n", "no column names the image"),
        ("ID,ecg\na,1\n", "no column of findings; name at least one of STTC"),
        ("ID,AF,af\na,1,0\n", "columns 'AF' and 'af' have one meaning"),
        ("ID,AF\n\udcff,1\n", "is not a CSV in UTF-8 text"),
    ],
)
def test_a_table_that_cannot_be_meant_is_one_sentence(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=re.escape(words)) as raised:
        read_truth(tmp_path / "t.csv")
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(FileNotFoundError, match="No labelled photos at"):
        read_truth(tmp_path / "gone.csv")


def test_labelled_photos_in_any_layout_are_a_truth(tmp_path):
    for name in ("mi/a.jpg", "mi/a.png", "normal/b.jpg", "loose.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    with pytest.warns(UserWarning, match=r"1 photo\(s\) left out|have the name of another"):
        truth = read_truth(tmp_path)
    assert truth["MI"].tolist() == [1, 1, 0]
    predictions = pd.DataFrame({"ID": ["a", "b"], **dict.fromkeys(FINDINGS, 0.5)})
    with pytest.raises(ValueError, match=r"'a' could be .*a\.jpg and .*a\.png"):  # no number tells which it was
        match_truth(predictions, truth)
    (tmp_path / "mi/a.png").unlink()
    with pytest.warns(UserWarning, match="left out"):
        _, matched = match_truth(predictions, read_truth(tmp_path))
    assert matched[["image_id", "MI"]].to_numpy().tolist() == [["a", 1], ["b", 0]]


def test_the_challenge_s_labels_are_a_truth_by_its_own_ids(tmp_path):
    for name in ("train_1/train_000007.png", "test_1/test_000007.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "train_final.csv").write_text("ID,STTC,HYP,MI,CD,AF\n7,0,0,1,0,0\n")
    assert read_truth(tmp_path)[["image_id", "MI"]].to_numpy().tolist() == [["7", 1]]
    (tmp_path / "train_final.csv").write_text("ID,STTC,HYP,MI,CD,AF\n7,,,,,\n")
    with pytest.raises(ValueError, match="none of its photos has a label"):
        read_truth(tmp_path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_predictions_are_read_as_they_were_written(tmp_path, ending):
    predictions, _ = made_up(4)
    predictions = predictions.assign(ID=["007", "NA", "a,b", "x"], quality=[0.25, 0.5, np.nan, 1])
    predictions.loc[2, COLUMNS] = np.nan
    write_predictions(predictions, tmp_path / f"p{ending}")
    back = read_predictions(tmp_path / f"p{ending}")
    columns = ["ID", *COLUMNS, "quality"]
    pd.testing.assert_frame_equal(back[columns], predictions[columns], check_dtype=False)
    assert back[[*COLUMNS, "quality"]].dtypes.eq(float).all()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.jsonl", "no json\n", "is not a JSON object a line"),
        ("p.jsonl", "3\n", "is not a JSON object a line"),
        ("p.jsonl", '{"name": "a", "row": {}}\n', "missing column(s) ID"),
        ("p.jsonl", "", "missing column(s) ID"),
        ("p.jsonl", json.dumps({"ID": "a", **dict.fromkeys(FINDINGS, "high")}), "STTC of ID a is high"),
        ("p.csv", "ID,STTC,HYP,MI,CD,AF\na,0,0,0,0,1.5\n", "AF of ID a is 1.5, not a probability"),
        ("p.csv", "ID,STTC\na,0\n", "missing column(s) HYP"),
        ("p.csv", "\0\xff", "missing column(s)"),
    ],
)
def test_predictions_that_are_none_are_one_sentence(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=re.escape(words)) as raised:
        read_predictions(tmp_path / name)
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(FileNotFoundError, match="No predictions at"):
        read_predictions(tmp_path / "gone.csv")


def test_a_manifest_of_the_house_is_a_truth_table(tmp_path):
    _, truth = made_up(5)
    truth.assign(path="a/" + truth["image_id"]).to_csv(tmp_path / "m.csv", index=False)
    table = read_truth(tmp_path / "m.csv")
    assert table["path"].tolist() == [str(tmp_path / "a" / name) for name in truth["image_id"]]
    pd.testing.assert_frame_equal(table[["patient_id", *COLUMNS]], truth[["patient_id", *COLUMNS]])
    assert clusters(table).tolist() == truth["patient_id"].tolist()


def test_an_image_is_found_by_id_then_folder_and_stem_then_stem(tmp_path):
    paths = ["in/a.jpg", "out/a.jpg", "C:\\scans\\b.c.png", "007", "e.pdf#page=2", "new/d.jpg"]
    (tmp_path / "t.csv").write_text("image,AF\n" + "".join(f"{path},{k % 2}\n" for k, path in enumerate(paths)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        ids = [*image_ids([tmp_path / path for path in paths[:2]]), "b.c", "007", "e-p2", "other"]
    predictions = pd.DataFrame({"ID": ids[::-1], **dict.fromkeys(FINDINGS, 0.5)})
    with pytest.warns(UserWarning, match="don't count") as told:
        table, truth = match_truth(predictions, read_truth(tmp_path / "t.csv"))
    assert dict(zip(truth["image_id"], truth["AF"], strict=True)) == {
        "in-a": 0,
        "out-a": 1,
        "b.c": 0,
        "007": 1,
        "e-p2": 0,
    }
    assert sorted(table["ID"]) == sorted(truth["image_id"])
    assert [str(warning.message).split(": ")[1] for warning in told] == ["other.", "new/d.jpg."]


def test_no_image_in_common_and_two_that_could_be_meant_are_refused(tmp_path):
    predictions, _ = made_up(3)
    (tmp_path / "t.csv").write_text("ID,AF\n7,1\n")
    with pytest.raises(ValueError, match="'i000' and '7'"):
        match_truth(predictions, read_truth(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("path,AF\nx/i001.jpg,1\ny/i001.jpg,0\n")
    with pytest.raises(ValueError, match=r"'i001' could be x/i001\.jpg and y/i001\.jpg"):
        match_truth(predictions, read_truth(tmp_path / "t.csv"))
