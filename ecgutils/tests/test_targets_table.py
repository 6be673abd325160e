"""Labelled photos from a CSV: every spelling that is clear is read, the rest is one sentence with its line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgutils.findings import FINDINGS
from ecgutils.manifest import check_manifest, label_array
from ecgutils.targets import read_target
from ecgutils.targets.table import ROLES, read_sheet


def photos(folder, *names):
    """Files of different bytes; what they show matters to no reader."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"photo {name}".encode())


def table(folder, text, name="photos.csv"):
    (folder / name).write_text(text)
    return folder / name


@pytest.fixture
def three(tmp_path):
    photos(tmp_path, "a.png", "b.png", "sub/c.png")
    return tmp_path


def note(found, part):
    """The notes that have this part; a test looks for one."""
    return [text for text in found.notes if part in text]


def test_a_table_becomes_a_manifest(three):
    found = read_target(table(three, "path,MI,CD,patient\na.png,1,0,p1\nb.png,0,,p2\nsub/c.png,1,1,p2\n"))
    assert check_manifest(found.train).equals(found.train)
    assert found.train["image_id"].tolist() == ["a", "b", "c"]
    assert found.train["path"].tolist() == [str(three / name) for name in ("a.png", "b.png", "sub/c.png")]
    assert found.train["patient_id"].tolist() == ["p1", "p2", "p2"]
    np.testing.assert_array_equal(label_array(found.train)[:, [2, 3]], [[1, 0], [0, np.nan], [1, 1]])
    assert found.test.empty
    assert not note(found, "ungrouped")
    assert note(found, "no label of HYP is known")


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("0", 0), ("True", 1), ("FALSE", 0), ("1.0", 1), (" 0.0 ", 0)])
def test_every_spelling_of_a_label_is_read(three, text, value):
    found = read_target(table(three, f"file,mi\na.png,{text}\nb.png,\n"))
    np.testing.assert_array_equal(found.train["MI"], [value, np.nan])


@pytest.mark.parametrize("text", ["2", "yes", "0.5", "-1", "1.0.0", "nan", "?"])
def test_any_other_label_is_refused_by_line_and_value(three, text):
    with pytest.raises(ValueError, match=rf"photos\.csv: MI is '{text.replace('?', '[?]')}' in line 3; use 0, 1"):
        read_target(table(three, f"path,MI\na.png,1\nb.png,{text}\n"))


@given(role=st.sampled_from(sorted(ROLES)), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_column_is_known_in_any_case_and_with_any_joints(tmp_path_factory, role, data):
    name = data.draw(st.sampled_from(ROLES[role]))
    written = "".join(data.draw(st.sampled_from([c, c.upper(), c + "_", " " + c, c + "-"])) for c in name).strip()
    sheet, others = read_sheet(table(tmp_path_factory.mktemp("t"), f"{written},age\n1,60\n"))
    assert [*sheet] == [role]
    assert others == ["age"]


def test_other_columns_are_left_aside_and_named(three):
    found = read_target(table(three, "path,age,MI,Doctor's note\na.png,60,1,fine\nb.png,61,0,\n"))
    assert note(found, "column(s) left aside: age, Doctor's note.")


def test_an_id_column_names_the_photos(three):
    found = read_target(table(three, "ID,path,MI\n007,a.png,1\nx y,b.png,0\n"))
    assert found.train["image_id"].tolist() == ["007", "x y"]


def test_without_ids_photos_of_one_name_are_told_apart_and_that_is_said(three):
    photos(three, "sub/a.png")
    found = read_target(table(three, "path,MI\na.png,1\nsub/a.png,0\n"))
    assert found.train["image_id"].tolist() == [f"{three.name}-a", "sub-a"]
    assert note(found, "have the name of another one")


def test_without_patients_results_are_ungrouped(three):
    assert note(read_target(table(three, "path,MI\na.png,1\nb.png,0\n")), "2 of 2 photo(s) name no patient")
    found = read_target(table(three, "path,MI,Subject\na.png,1,p\nb.png,0,\n"))
    assert note(found, "1 of 2 photo(s) name no patient: results are ungrouped")


def test_split_and_fold_are_read(three):
    found = read_target(table(three, "path,MI,split,fold\na.png,1,Train,3\nb.png,0,train,10\nsub/c.png,1,TEST,1\n"))
    assert found.train["fold"].tolist() == [3, 10]
    assert found.test["image_id"].tolist() == ["c"]
    with pytest.raises(ValueError, match="fold is '0' in line 2; use train, test, or a fold from 1 to 10"):
        read_target(table(three, "path,MI,fold\na.png,1,0\nb.png,0,1\n"))


def test_a_patient_in_both_parts_is_refused_by_name(three):
    text = "path,MI,split,patient_id\na.png,1,train,p7\nb.png,0,train,p8\nsub/c.png,1,test,p7\n"
    with pytest.raises(ValueError, match=r"1 patient\(s\) are in both train and test, e\.g\. p7"):
        read_target(table(three, text))


def test_a_second_table_is_the_test_and_may_lack_labels(three):
    train, test = table(three, "path,MI\na.png,1\nb.png,0\n"), table(three, "path\nsub/c.png\n", "test.csv")
    found = read_target(train, test=test)
    assert (len(found.train), found.test["path"].tolist()) == (2, [str(three / "sub/c.png")])
    assert found.test[list(FINDINGS)].isna().all(axis=None)
    with pytest.raises(ValueError, match="give no second place"):
        read_target(table(three, "path,MI,split\na.png,1,train\nb.png,0,test\n"), test=test)


def test_the_same_id_in_two_tables_is_no_leak_but_the_same_patient_is(three):
    train = table(three, "id,path,MI,patient\n1,a.png,1,p\n2,b.png,0,q\n")
    assert len(read_target(train, test=table(three, "id,path,MI\n1,sub/c.png,1\n", "test.csv")).test) == 1
    with pytest.raises(ValueError, match=r"e\.g\. q; split by patient"):
        read_target(train, test=table(three, "id,path,MI,patient\n3,sub/c.png,1,q\n", "test.csv"))


def test_a_photo_listed_twice_is_refused_by_name(three):
    with pytest.raises(ValueError, match=r"path is '\./a\.png' in line 4; that photo is listed above"):
        read_target(table(three, "path,MI\na.png,1\nb.png,0\n./a.png,0\n"))


def test_a_photo_that_is_not_there_is_kept_and_counted(three):
    found = read_target(table(three, "path,MI\na.png,1\nlost.png,0\n"))
    assert found.train["path"].tolist() == [str(three / "a.png"), ""]
    assert note(found, "1 of 2 listed photo(s) are not there, kept as unreadable, e.g. lost.")
    with pytest.raises(ValueError, match=r"none of its 2 photos is there, e\.g\. .*x\.png; correct the paths"):
        read_target(table(three, "path,MI\nx.png,1\ny.png,0\n"))


def test_one_photo_under_two_names_is_told(three):
    (three / "b.png").write_bytes((three / "a.png").read_bytes())
    found = read_target(table(three, "path,MI\na.png,1\nb.png,0\nsub/c.png,0\n"))
    [text] = note(found, "1 photo(s) are there more than once, 1 of them labelled differently")
    assert "a.png and " in text
    assert not note(read_target(table(three, "path,MI\na.png,1\nsub/c.png,0\n")), "more than once")


def test_one_photo_in_train_and_test_is_refused_where_it_would_flatter(three):
    (three / "sub/c.png").write_bytes((three / "a.png").read_bytes())
    with pytest.raises(ValueError, match=r"1 photo\(s\) are in both train and test, e\.g\. .*a\.png and .*c\.png"):
        read_target(table(three, "path,MI,split\na.png,1,train\nb.png,0,train\nsub/c.png,1,test\n"))
    train, test = table(three, "path,MI\na.png,1\nb.png,0\n"), table(three, "path\nsub/c.png\n", "test.csv")
    assert note(read_target(train, test=test), "in both train and test")


def test_labels_that_can_not_be_learnt_are_told(three):
    found = read_target(table(three, "path,MI,CD,AF\na.png,1,0,\nb.png,1,1,\nsub/c.png,1,0,\n"))
    assert note(found, "every known label of MI is 1")
    assert note(found, "CD has only 1 positive(s)")
    assert note(found, "no label of AF is known")
    bare = read_target(table(three, "path,MI\na.png,\nb.png,1\nsub/c.png,0\n"))
    assert note(bare, "1 of 3 photo(s) have no label")


def test_five_positives_are_enough_to_say_nothing(tmp_path):
    names = [f"{i}.png" for i in range(6)]
    photos(tmp_path, *names)
    rows = "".join(f"{name},{int(i < 5)},p{i}\n" for i, name in enumerate(names))
    assert not note(read_target(table(tmp_path, "path,MI,patient\n" + rows)), " MI ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,MI\n,1\nb.png,0\n", "path is '' in line 2; give the photo's path, or an ID column"),
        ("id,path,MI\n1,a.png,1\n1,b.png,0\n", "image_id is '1' in data row 2"),
        ("path,MI,mi\na.png,1,0\n", "columns 'MI' and 'mi' have one meaning"),
        ("path,MI\n", "has no row below its header"),
        ("path,MI,split\na.png,1,test\n", "No photo to train on"),
        ("path,MI,split\na.png,1,validation\n", "split is 'validation' in line 2; use train, test"),
        ("path,MI\na.png,1,extra\n", "line 2 has 3 cells"),
    ],
)
def test_what_is_unclear_is_refused_in_one_sentence(three, text, message):
    with pytest.raises(ValueError, match=message):
        read_target(table(three, text))


def test_an_id_without_a_photo_is_kept(three):
    found = read_target(table(three, "id,path,MI\n1,a.png,1\n2,,0\n3,,1\n"))
    assert found.train["path"].tolist() == [str(three / "a.png"), "", ""]


def test_the_order_of_the_rows_is_the_table_s(three):
    found = read_target(table(three, "path,MI\nsub/c.png,1\na.png,0\n"))
    assert found.train["image_id"].tolist() == ["c", "a"]
