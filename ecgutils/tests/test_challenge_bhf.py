"""The BHF folder: found wherever it is mounted, read without losing a row."""

import cv2
import numpy as np
import pandas as pd
import pytest

from ecgutils.challenge import check_bhf, find_bhf, find_sample, plain_id, read_bhf, read_ids
from ecgutils.findings import FINDINGS
from ecgutils.manifest import MANIFEST_COLUMNS, check_manifest, clusters, is_grouped
from ecgutils.tests.stand_ins import write_bhf_folder


def rendered(folder, n, seed, suffix=".png"):
    """A manifest of `n` small noise pictures on disk, as a renderer would leave it."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({c: [np.nan] * n for c in MANIFEST_COLUMNS}, dtype=object)
    table["image_id"] = [f"sim-{seed}{i:04d}-photo" for i in range(n)]
    table["path"] = [str(folder / f"{i}{suffix}") for i in table["image_id"]]
    table[list(FINDINGS)] = rng.integers(0, 2, (n, len(FINDINGS)))
    for path in table["path"]:
        cv2.imwrite(path, rng.integers(0, 256, (24, 40, 3), dtype=np.uint8))
    return check_manifest(table)


@pytest.fixture
def source(tmp_path):
    return rendered(tmp_path / "train", 7, seed=1), rendered(tmp_path / "test", 4, seed=2)


@pytest.fixture
def bhf(tmp_path, source):
    write_bhf_folder(tmp_path / "bhf", *source)
    return tmp_path / "bhf"


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("mount", ["slug", "competitions/slug", "datasets/owner/slug", "datasets/owner/slug/unpacked"])
def test_the_folder_is_found_at_every_known_mount(tmp_path, source, mount):
    write_bhf_folder(tmp_path / "input" / mount, *source)
    assert find_bhf(tmp_path / "input") == tmp_path / "input" / mount
    assert len(read_bhf(tmp_path / "input")[0]) == 7


def test_a_missing_folder_is_one_sentence_that_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No folder .*nowhere.*data/README\.md"):
        find_bhf(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"No BHF challenge files within 4 levels .*train_final\.csv"):
        find_bhf(tmp_path)


def test_the_search_is_bounded_and_a_csv_without_images_is_not_enough(tmp_path):
    touch(tmp_path / "train_final.csv", b"ID\n")
    with pytest.raises(FileNotFoundError, match=r"train_final\.csv beside a folder train_<k>"):
        find_bhf(tmp_path)
    deep = tmp_path / "a/b/c/d/e/f"
    touch(deep / "train_final.csv")
    touch(deep / "test_1/test_000001.png")
    with pytest.raises(FileNotFoundError):
        find_bhf(tmp_path / "a")
    assert find_bhf(deep.parent) == deep


def test_of_two_folders_the_first_is_used_and_said(tmp_path):
    for name in ("b", "a"):
        touch(tmp_path / name / "train_final.csv")
        touch(tmp_path / name / "test_1/test_000001.png")
    with pytest.warns(UserWarning, match="Several BHF folders"):
        assert find_bhf(tmp_path) == tmp_path / "a"


def test_images_are_read_in_the_order_of_their_ids_with_their_labels(source, bhf):
    train, test = read_bhf(bhf)
    assert train["image_id"].tolist() == [str(i) for i in range(1, 8)]
    assert train[list(FINDINGS)].to_numpy().tolist() == source[0][list(FINDINGS)].to_numpy().tolist()
    assert test["image_id"].tolist() == ["1", "2", "3", "4"]
    assert test[list(FINDINGS)].isna().all(axis=None)


def test_frames_are_manifests_and_ungrouped(bhf):
    for table in read_bhf(bhf):
        assert check_manifest(table).equals(table)
        assert not is_grouped(table)
        assert len(set(clusters(table))) == len(table)
        assert set(table["image_source"]) == {"bhf"}
        assert table["fold"].isna().all()
        assert all(path.startswith("/") for path in table["path"])


def test_train_and_test_share_numbers_but_not_records(bhf):
    train, test = read_bhf(bhf)
    assert set(train["image_id"]) & set(test["image_id"])
    assert not set(train["record_id"]) & set(test["record_id"])


def test_a_label_without_a_file_is_kept_and_a_file_without_a_label_is_left_out(bhf, recwarn):
    folder = bhf / "train_1/train_encoded_relabelled"
    (folder / "train_000002.png").unlink()
    touch(folder / "train_000999.png")
    touch(folder / "holiday.png")
    train, _ = read_bhf(bhf)
    said = " ".join(str(w.message) for w in recwarn)
    assert "1 labelled training ID(s) without an image, kept as unreadable: 2." in said
    assert "1 training image(s) without a label, left out: 999." in said
    assert "holiday.png" in said
    assert len(train) == 7
    assert train.set_index("image_id").loc["2", "path"] == ""


def test_nested_folders_jpeg_names_and_bare_numbers_are_images(bhf):
    moved = bhf / "train_1/train_encoded_relabelled/train_000001.png"
    target = bhf / "train_3/a/b/1.JPG"
    target.parent.mkdir(parents=True)
    moved.rename(target)
    touch(bhf / "train_3/._train_000001.png")
    train, _ = read_bhf(bhf)
    assert train["path"][0] == str(target)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("ID,STTC", "ID,ST", r"missing column\(s\) STTC"),
        ("\n2,", "\n1,", r"1 ID\(s\) occur more than once: 1"),
        ("\n2,", "\n000001,", r"1 ID\(s\) occur more than once: 1"),
        ("\n2,", "\nx2,", r"ID 'x2' in line 3 is not an integer"),
        ("\n2,", "\n²,", r"ID '²' in line 3 is not an integer"),
        ("\n2,", "\n2,7", r"STTC is '7\d' in data row 2; use 0, 1, true"),
    ],
)
def test_a_broken_label_file_is_refused_by_line(bhf, before, after, message):
    path = bhf / "train_final.csv"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(ValueError, match=message):
        read_bhf(bhf)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'ID,"STTC\n1'])
def test_a_label_file_that_is_no_csv_is_refused_with_its_name(bhf, content):
    (bhf / "train_final.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"train_final\.csv"):
        read_bhf(bhf)


def test_a_spreadsheet_s_commas_and_blank_lines_are_no_data(bhf):
    before, path = read_bhf(bhf)[0], bhf / "train_final.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line + "," for line in lines[1:]), "", ",,,,,,", ""]))
    pd.testing.assert_frame_equal(read_bhf(bhf)[0], before)
    assert read_ids(path) == [line.split(",")[0] for line in lines[1:]]


def test_a_line_that_was_cut_is_refused_by_its_number(bhf):
    path = bhf / "train_final.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "", lines[2].rsplit(",", 2)[0], *lines[3:]]))
    with pytest.raises(ValueError, match="line 4 has 4 cells, the header 6"):
        read_bhf(bhf)


def test_two_files_of_one_id_are_refused(bhf):
    touch(bhf / "train_2/train_1.jpg")
    with pytest.raises(ValueError, match=r"Two train images have ID 1: .*train_000001\.png and .*train_1\.jpg"):
        read_bhf(bhf)


def test_the_sample_submission_adds_ids_without_a_file(bhf):
    assert find_sample(bhf) is None
    (bhf / "sample_submission.csv").write_text("AF,ID\n0,test_000009.png\n0,test_000002.png\n")
    assert read_ids(find_sample(bhf)) == ["test_000009.png", "test_000002.png"]
    assert read_ids(bhf / "train_final.csv") == [str(i) for i in range(1, 8)]
    with pytest.warns(UserWarning, match="sample submission without an image, kept as unreadable: 9"):
        _, test = read_bhf(bhf)
    assert test["image_id"].tolist() == ["1", "2", "3", "4", "9"]
    assert test["path"].iloc[-1] == ""


def test_the_check_counts_and_lists(bhf, source):
    (bhf / "train_2/train_encoded_relabelled/train_000007.png").unlink()
    summary = check_bhf(bhf)
    assert (summary["n_train"], summary["n_test"]) == (7, 4)
    assert summary["missing_train"] == 1
    assert summary["examples"] == {"missing_train": ["7"]}
    assert summary["sample"] is None
    assert summary["prevalence"]["MI"] == pytest.approx(source[0]["MI"].mean(), abs=1e-4)


@pytest.mark.parametrize("text", ["5", 5, "005", "test_000005.png", "train_5", "5.0", " 5 ", "5.JPG"])
def test_ids_are_recognised_in_every_spelling(text):
    assert plain_id(text) == "5"


@pytest.mark.parametrize("text", ["sim-000005-photo", "5-photo", "", "5.5", "-5", "٥"])
def test_other_ids_stay_as_they_are(text):
    assert plain_id(text) == text


def labelled(n, seed=0, per_patient=0):
    table = pd.DataFrame({c: [np.nan] * n for c in MANIFEST_COLUMNS}, dtype=object)
    table["image_id"] = [str(i) for i in range(n)]
    rates = [0.242, 0.123, 0.254, 0.209, 0.069]  # the challenge's prevalence
    table[list(FINDINGS)] = (np.random.default_rng(seed).random((n, 5)) < rates).astype(float)
    if per_patient:
        table["patient_id"] = [f"p{i // per_patient}" for i in range(n)]
    return check_manifest(table)
