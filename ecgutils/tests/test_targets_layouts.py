"""Layouts of labels and names that somebody may come with: each is read right, or refused in one clear sentence."""

import numpy as np
import pytest

from ecgutils.manifest import label_array
from ecgutils.targets import read_target
from ecgutils.tests.test_targets_table import photos, table

LABELS = [[1, 0], [0, 1]]  # MI and CD of the photos a and b


@pytest.fixture
def two(tmp_path):
    photos(tmp_path, "pics/a.jpg", "pics/b.jpg")
    return tmp_path


def read_labels(*args, **kwargs):
    return label_array(read_target(*args, **kwargs).train)[:, [2, 3]].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffImage Path,mi,cd,Age\r\npics/a.jpg,TRUE,FALSE,61\r\npics/b.jpg,FALSE,TRUE,\r\n",  # a spreadsheet's
        "FileName,MI,CD\npics\\a.jpg,1,0\npics\\b.jpg,0,1\n",  # written on Windows
        "image,subject,MI,CD,split\npics/a.jpg,s1,1.0,0.0,train\npics/b.jpg,s2,0.0,1.0,train\n",  # of a data frame
        'path,remark,MI,CD\n"pics/a.jpg","old, anterior",1,0\npics/b.jpg,,0,1\n,,,\n',  # quoted commas, an empty line
        "path;Alter;MI;CD\npics/a.jpg;61,5;1;0\npics/b.jpg;;0;1\n",  # where a comma is the decimal point
        " path , MI ,CD \n pics/a.jpg , 1 , 0\n pics/b.jpg ,0 , 1 \n",  # blanks around
        ",path,MI,CD\n0,pics/a.jpg,true,false\n1,pics/b.jpg,false,true\n",  # row numbers without a name
    ],
    ids=["excel", "windows", "data frame", "quoted", "decimal comma", "blanks", "row numbers"],
)
def test_a_table_from_another_program_is_read(two, text):
    assert read_labels(table(two, text)) == LABELS


def test_absolute_paths_are_read(two):
    assert read_labels(table(two, f"path,MI,CD\n{two}/pics/a.jpg,1,0\n{two}/pics/b.jpg,0,1\n")) == LABELS


def test_row_numbers_without_a_name_are_no_column_to_be_told_of(two):
    notes = read_target(table(two, ",path,MI\n0,pics/a.jpg,1\n1,pics/b.jpg,0\n")).notes
    assert not [note for note in notes if "left aside" in note]


def test_a_cell_of_blanks_is_an_unknown_label(two):
    [[_, first], [_, second]] = read_labels(table(two, "path,MI,CD\npics/a.jpg,1,  \npics/b.jpg,0, 1\n"))
    assert np.isnan(first)
    assert second == 1


def test_a_folder_with_its_table_inside_is_read(two):
    table(two, "file,MI,CD\npics/a.jpg,1,0\npics/b.jpg,0,1\n")
    assert read_labels(two) == LABELS


def test_the_folders_of_an_image_classifier_are_read(tmp_path):
    photos(tmp_path, "train/MI/a.jpg", "train/cd/b.jpg", "test/normal/c.jpg")
    assert sorted(read_labels(tmp_path)) == sorted(LABELS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,diagnosis\npics/a.jpg,MI\n", "no column of findings; name at least one of STTC, HYP, MI, CD, AF"),
        ("id,MI,CD\na,1,0\nb,0,1\n", "no column says where the photos are; name it one of path"),
        ("path,MI\npics/a.jpg,positive\n", "MI is 'positive' in line 2; use 0, 1, true, false"),
        ("path,MI\npics/a.jpg,yes\npics/b.jpg,no\n", "MI is 'yes' in line 2; use 0, 1, true, false"),
        ("path;MI\npics/a.jpg;1,0\npics/b.jpg;0,0\n", "MI is '1,0' in line 2; use 0, 1, true, false"),
        ("path,labels\npics/a.jpg,MI;CD\npics/b.jpg,\n", "no column of findings; name at least one of STTC"),
        ("path,MI,mi\npics/a.jpg,1,1\n", "columns 'MI' and 'mi' have one meaning; keep one of them"),
        ("path,MI,MI\npics/a.jpg,1,1\n", r"a column is there more than once \(path, MI, MI\); keep one of them"),
        ("sep=;\npath;MI\npics/a.jpg;1\n", "line 2 has 2 cells, the header 1; correct the file"),
        ("pics/a.jpg,1,0\npics/b.jpg,0,1\n", "no column says where the photos are; name it one of path"),
        ("path,MI\nC:\\ward\\a.jpg,1\nC:\\ward\\b.jpg,0\n", r"none of its 2 photos is there, e\.g\. .*C:/ward/a\.jpg"),
        ("path,MI\npics/a,1\npics/b,0\n", r"e\.g\. .*pics/a; correct the paths"),
    ],
)
def test_a_table_that_is_not_clear_is_refused_with_what_to_do(two, text, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_target(table(two, text))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,MI\npics/a.jpg,1\n".encode("utf-16"), "not a CSV in UTF-8 text .*; save it so"),
        ("path,MI,Wörter\npics/a.jpg,1,\n".encode("latin-1"), "not a CSV in UTF-8 text .*; save it so"),
        (b"path,MI\rpics/a.jpg,1\r", "not a CSV in UTF-8 text .*; save it so"),  # of an old Macintosh
        (b"PK\x03\x04\x14\x00\xb5", "not a CSV in UTF-8 text .*; save it so"),  # Excel's own
        (b"", "it has no line"),
    ],
    ids=["UTF-16", "Latin-1", "CR", "xlsx", "empty"],
)
def test_a_file_that_is_no_csv_in_utf_8_is_refused(two, content, message):
    (two / "photos.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_target(two / "photos.csv")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["pics", "empty", "photos.xlsx"])
def test_photos_without_labels_are_refused_with_the_layouts_that_are_known(two, name):
    (two / "empty").mkdir()
    (two / "photos.xlsx").write_bytes(b"PK")
    with pytest.raises(ValueError, match="give a CSV with paths and findings, sub-folders named STTC, HYP, MI, CD, AF"):
        read_target(two / name)


def test_a_set_s_long_folder_names_are_refused_with_those_that_are_known(tmp_path):
    photos(tmp_path, "Normal Person ECG Images/a.jpg", "ECG Images of Myocardial Infarction Patients/b.jpg")
    with pytest.raises(ValueError, match="sub-folders named STTC, HYP, MI, CD, AF or normal"):
        read_target(tmp_path)


def test_a_place_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No labelled photos at .*nowhere: correct the path"):
        read_target(tmp_path / "nowhere")


def test_a_json_of_another_tool_beside_a_photo_is_not_the_kit_s(two):
    (two / "pics/a.json").write_text('{"shapes": []}')
    assert read_labels(table(two, "path,MI,CD\npics/a.jpg,1,0\npics/b.jpg,0,1\n")) == LABELS
    assert read_labels(two) == LABELS
