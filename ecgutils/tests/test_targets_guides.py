"""The examples of CONTRIBUTING.md and data/README.md on labelled photos do what they say."""

import re
from pathlib import Path

import pytest

from ecgutils.manifest import label_array
from ecgutils.targets import TARGETS, read_target
from ecgutils.tests.test_targets_sets import (
    write_challenge,
    write_database,
    write_folders,
    write_genecg,
    write_kit,
    write_ptbxl,
)
from ecgutils.tests.test_targets_table import note, photos, table

ROOT = Path(__file__).parents[2]


def examples(guide, title):
    """Code of one section of a guide, a text per block."""
    section = (ROOT / guide).read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.S)


@pytest.fixture
def wards(tmp_path, monkeypatch):
    """A folder for the example's reader, which is known while the test runs."""
    photos(tmp_path, "B2_0815_AF.jpg", "B2_0815_none.jpg", "C1_4711_MI.jpg")
    (tmp_path / "wards.txt").write_text("B2\nC1\n")
    monkeypatch.setattr("ecgutils.targets.TARGETS", TARGETS.copy())
    [code] = examples("CONTRIBUTING.md", "A new target")
    exec(compile(code, "CONTRIBUTING.md", "exec"), {})
    return tmp_path


def test_a_reader_of_one_s_own_is_read_and_checked_as_the_others(wards):
    found = read_target(wards)
    assert found.train["patient_id"].tolist() == ["0815", "0815", "4711"]
    assert label_array(found.train).tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert note(found, "AF has only 1 positive(s)")
    with pytest.raises(ValueError, match=r"are in both train and test, e\.g\. 0815"):
        read_target(wards, test=wards)


def test_the_examples_of_the_data_page_run(tmp_path, monkeypatch):
    data = tmp_path / "data"
    photos(data / "photos", "a.jpg", "b.jpg", "c.jpg")
    table(data / "photos", "path,patient,STTC,HYP,MI,CD,AF\na.jpg,p,0,0,1,0,0\nb.jpg,q,0,0,0,0,0\n")
    table(data / "photos", "path,patient,MI\nc.jpg,r,1\n", "test.csv")
    writers = {"folders": write_folders, "genecg": write_genecg, "ptbxl": write_ptbxl, "ecg-image-kit": write_kit}
    writers |= {"ecg-image-database": write_database, "bhf": write_challenge}
    for name, write in writers.items():
        (data / name).mkdir()
        write(data / name)
    monkeypatch.chdir(tmp_path)
    codes = examples("data/README.md", "Labelled photos")
    assert len(codes) == len(writers)  # all but PTB-XL's tables, and the table
    for code in codes:
        results = {}
        exec(compile(code, "data/README.md", "exec"), results)
        assert len(results["found"].train)
