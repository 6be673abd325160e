"""The validator: a valid file passes, and every kind of broken one is refused by line and ID."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgutils.challenge import validate_submission

HEADER = "ID,STTC,HYP,MI,CD,AF"
ROWS = [f"{i},0.1,0.2,0.3,0.4,0.5" for i in range(1, 6)]
IDS = ["1", "2", "3", "4", "5"]
GOOD = "\n".join([HEADER, *ROWS]) + "\n"


def problems(tmp_path, content, expected=IDS):
    path = tmp_path / "submission.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return validate_submission(path, expected)


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        "\n".join([HEADER, *reversed(ROWS)]),
        GOOD.replace("0.1", "0").replace("0.5", "1.0").replace("0.2", "1e-12"),
        "AF,CD,MI,HYP,STTC,ID\n" + "\n".join(f"0.1,0.2,0.3,0.4,0.5,{i}" for i in IDS),
    ],
    ids=["plain", "no final newline", "windows", "byte-order mark", "any row order", "bounds", "any column order"],
)
def test_a_valid_file_passes(tmp_path, content):
    assert problems(tmp_path, content) == []
    assert problems(tmp_path, content, None) == []


BROKEN = {
    "empty file": ("", ["is empty"]),
    "blank file": ("\n\n", ["is empty"]),
    "header only": (HEADER + "\n", ["has a header and no rows"]),
    "no header": ("\n".join(ROWS), ["column ID is missing", "column '0.1' is not expected"]),
    "missing column": ("\n".join(r.rpartition(",")[0] for r in [HEADER, *ROWS]), ["column AF is missing."]),
    "renamed column": (GOOD.replace("AF", "AFIB"), ["AF is missing (column 'AFIB' looks like it, renamed)"]),
    "column in lower case": (GOOD.replace("ID,", "id,"), ["column ID is missing (column 'id' looks like it"]),
    "blank in a column name": (GOOD.replace(",MI", ", MI"), ["MI is missing (column ' MI' looks like it, renamed)"]),
    "extra column": (GOOD.replace("\n", ",0.5\n").replace("AF,0.5", "AF,NORM"), ["column 'NORM' is not expected"]),
    "column twice": (GOOD.replace("HYP", "MI"), ["column MI occurs more than once", "column HYP is missing"]),
    "semicolons": (GOOD.replace(",", ";"), ["the separator is not a comma"]),
    "missing ID": (GOOD.replace(ROWS[2] + "\n", ""), ["ID 3 is missing", "4 rows instead of 5"]),
    "duplicate ID": (GOOD.replace("\n3,", "\n2,"), ["Line 4: ID 2 is a duplicate of line 3", "ID 3 is missing"]),
    "unexpected ID": (GOOD + "6,0,0,0,0,0\n", ["Line 7: ID 6 is not among the expected", "6 rows instead of 5"]),
    "empty ID": (GOOD.replace("\n3,", "\n,"), ["Line 4: the ID is empty", "ID 3 is missing"]),
    "NaN": (GOOD.replace("3,0.1", "3,nan"), ["Line 4, ID 3: STTC is NaN (nan)"]),
    "empty value": (GOOD.replace("3,0.1", "3,"), ["Line 4, ID 3: STTC is empty"]),
    "below range": (GOOD.replace("2,0.1", "2,-0.1"), ["Line 3, ID 2: STTC is -0.1, outside [0, 1]"]),
    "above range": (GOOD.replace("2,0.1", "2,1.0001"), ["Line 3, ID 2: STTC is 1.0001, outside [0, 1]"]),
    "infinite": (GOOD.replace("2,0.1", "2,-inf"), ["Line 3, ID 2: STTC is infinite"]),
    "too large for a float": (GOOD.replace("2,0.1", "2,1e999"), ["Line 3, ID 2: STTC is infinite"]),
    "not a number": (GOOD.replace("2,0.1", "2,yes"), ["Line 3, ID 2: STTC is 'yes', not a number"]),
    "Python-only number": (GOOD.replace("2,0.1", "2,0_1"), ["not a number"]),
    "decimal comma": (GOOD.replace("2,0.1", '2,"0,1"'), ["'0,1', not a number; write a decimal point"]),
    "short row": (GOOD.replace(ROWS[1], "2,0.1"), ["Line 3 has 2 values instead of 6 (ID 2)"]),
    "long row": (GOOD.replace(ROWS[1], ROWS[1] + ",1"), ["Line 3 has 7 values instead of 6 (ID 2)"]),
    "blank line": (GOOD.replace(ROWS[1], ROWS[1] + "\n"), ["Line 4 is blank"]),
    "zero-padded ID": (GOOD.replace("\n3,", "\n000003,"), ["Line 4: ID '000003' has to be written as '3'"]),
    "ID with .png": (GOOD.replace("\n3,", "\ntest_000003.png,"), ["ID 'test_000003.png' has to be written as '3'"]),
    "ID as a float": (GOOD.replace("\n3,", "\n3.0,"), ["ID '3.0' has to be written as '3'"]),
    "ID with a blank": (GOOD.replace("\n3,", "\n 3,"), ["ID ' 3' has to be written as '3'"]),
    "one ID in two spellings": (GOOD + "003,0,0,0,0,0\n", ["Line 7: ID 003 is a duplicate of line 4"]),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xfe", ["is not a CSV in UTF-8 text"]),
    "a lone carriage return": (GOOD.replace("\n3,", "\r3,"), ["is not a CSV"]),
    "quote never closed": (GOOD.replace("3,0.1", '3,"0.1'), ["is not a CSV"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused(tmp_path, kind):
    content, expected = BROKEN[kind]
    found = problems(tmp_path, content)
    assert found
    for sentence in expected:
        assert any(sentence in line for line in found), found


def test_one_mistake_gives_one_sentence(tmp_path):
    assert problems(tmp_path, GOOD.replace("3,0.1", "3,nan")) == ["Line 4, ID 3: STTC is NaN (nan)."]


def test_ids_follow_the_expected_spelling(tmp_path):
    padded = [f"{i:06d}" for i in range(1, 6)]
    content = GOOD
    for i, text in enumerate(padded, 1):
        content = content.replace(f"\n{i},", f"\n{text},")
    assert problems(tmp_path, content, padded) == []
    assert len(problems(tmp_path, content, IDS)) == 5
    assert problems(tmp_path, GOOD, [1, 2, 3, 4, 5]) == []
    assert "has to be written as '000001'" in problems(tmp_path, GOOD, padded)[0]


def test_ids_that_are_no_numbers_pass_where_nothing_is_expected(tmp_path):
    assert problems(tmp_path, GOOD.replace("\n3,", "\nsim-000003-photo,"), None) == []
    assert "has to be written" in problems(tmp_path, GOOD.replace("\n3,", "\n3.png,"), None)[0]


def test_a_wrong_file_of_many_rows_stays_readable(tmp_path):
    content = HEADER + "\n" + "".join(f"{i},2,0,0,0,0\n" for i in range(500))
    found = problems(tmp_path, content, None)
    assert len(found) == 21
    assert found[-1] == "... and 480 more of this kind: out of range."


def test_a_missing_file_and_a_folder_are_problems_too(tmp_path):
    assert "No submission file" in validate_submission(tmp_path / "none.csv")[0]
    assert "No submission file" in validate_submission(tmp_path)[0]


@settings(max_examples=80, deadline=None)
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_content_makes_it_crash_or_pass(tmp_path_factory, content):
    assert problems(tmp_path_factory.getbasetemp(), content)


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), char=st.sampled_from("0123456789.,+-eE \r\n") | st.characters(codec="utf-8"))
def test_a_changed_character_is_refused_or_still_reads_as_a_whole_submission(tmp_path_factory, at, char):
    mutated = GOOD[:at] + char + GOOD[at + 1 :]
    if not problems(tmp_path_factory.getbasetemp(), mutated):
        rows = list(csv.DictReader(io.StringIO(mutated)))
        assert sorted(row["ID"] for row in rows) == IDS
        assert all(0 <= float(row[finding]) <= 1 for row in rows for finding in HEADER.split(",")[1:])
