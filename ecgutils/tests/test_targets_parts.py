"""What a run learns from, chooses on, tests on and predicts, of labelled photos in any layout."""

import numpy as np
import pandas as pd
import pytest

from ecgutils.findings import FINDINGS
from ecgutils.manifest import assert_disjoint
from ecgutils.targets import read_target, run_parts
from ecgutils.targets.base import all_to_train
from ecgutils.tests.test_challenge_bhf import labelled
from ecgutils.tests.test_targets_sets import write_genecg, write_kit, write_ptbxl
from ecgutils.tests.test_targets_table import photos, table


def folds(found, seed):
    """Fold of each image, by its ID."""
    parts = run_parts(all_to_train(found), seed)
    return pd.concat([parts[name] for name in ("train", "val", "test")]).set_index("image_id")


def counts(parts):
    return {name: len(part) for name, part in parts.items()}


def write_table(folder, rows, name="photos.csv", columns="path,MI,patient"):
    """A photo a row, named by its number; `rows` are the cells after the path."""
    names = [f"{name}-{i}.png" for i in range(len(rows))]
    photos(folder, *names)
    lines = (f"{photo},{row}\n" for photo, row in zip(names, rows, strict=True))
    return table(folder, f"{columns}\n" + "".join(lines), name)


def test_dealt_folds_are_equal_and_balanced_and_the_last_two_are_held_out():
    whole = labelled(2000)
    dealt = folds(whole, seed=3)
    assert dealt["fold"].value_counts(normalize=True).tolist() == pytest.approx([0.1] * 10, abs=0.01)
    rate = dealt.groupby("fold")[list(FINDINGS)].mean()
    assert (rate - whole[list(FINDINGS)].mean()).abs().to_numpy().max() < 0.01
    parts = run_parts(all_to_train(whole), seed=3)
    assert (set(parts["val"]["fold"]), set(parts["test"]["fold"])) == ({9}, {10})
    assert parts["submit"].equals(parts["test"])


def test_dealt_folds_depend_on_rows_and_seed_but_not_on_their_order():
    rows = labelled(300)
    a, b = folds(rows, 3)["fold"], folds(rows.sample(frac=1, random_state=5), 3)["fold"]
    assert a.equals(b[a.index])
    assert not a.equals(folds(rows, 4)["fold"][a.index])


def test_a_known_patient_is_in_one_fold():
    dealt = folds(labelled(400, per_patient=4), seed=1)
    assert (dealt.groupby("patient_id")["fold"].nunique() == 1).all()


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_photos_to_split_are_refused(n):
    with pytest.raises(ValueError, match=rf"{n} labelled photo\(s\) are in {n} fold\(s\), too few"):
        run_parts(all_to_train(labelled(n)), seed=0)


def test_folds_that_photos_name_are_kept(tmp_path):
    path = write_table(tmp_path, [f"{i % 2},{1 + i % 5}" for i in range(20)], columns="path,MI,fold")
    parts = run_parts(read_target(path), seed=0)
    assert {name: set(part["fold"]) for name, part in parts.items()} == {
        "train": {1, 2, 3}, "val": {4}, "test": {5}, "submit": {5},
    }  # fmt: skip


def test_folds_of_some_photos_alone_are_refused(tmp_path):
    path = write_table(tmp_path, ["1,1", "0,train", "1,3", "0,4"], columns="path,MI,fold")
    with pytest.raises(ValueError, match=r"1 of 4 labelled photo\(s\) have no fold; give all of them one, or none"):
        run_parts(read_target(path), seed=0)


def test_a_labelled_test_is_scored_and_predicted_and_none_other_is_held_out(tmp_path):
    train = write_table(tmp_path, [f"{i % 2},p{i}" for i in range(20)])
    test = write_table(tmp_path, ["1,q1", "0,q2"], "test.csv")
    parts = run_parts(read_target(train, test=test), seed=0)
    assert counts(parts) == {"train": 18, "val": 2, "test": 2, "submit": 2}
    assert set(parts["test"]["patient_id"]) == set(parts["submit"]["patient_id"]) == {"q1", "q2"}
    assert_disjoint(train=parts["train"], val=parts["val"], test=parts["test"])


def test_an_unlabelled_test_is_predicted_and_the_last_fold_is_scored(tmp_path):
    train = write_table(tmp_path, [f"{i % 2},p{i}" for i in range(20)])
    test = write_table(tmp_path, ["q1", "q2", "q3"], "test.csv", "path,patient")
    parts = run_parts(read_target(train, test=test), seed=0)
    assert counts(parts) == {"train": 16, "val": 2, "test": 2, "submit": 3}
    assert set(parts["submit"]["patient_id"]) == {"q1", "q2", "q3"}


def test_a_photo_without_any_label_is_predicted_and_not_learned_from(tmp_path):
    path = write_table(
        tmp_path, [f"{i % 2},,p{i}" for i in range(20)] + [",,p0", ",1,p1"], columns="path,MI,CD,patient"
    )
    parts = run_parts(read_target(path), seed=0)
    bare = parts["submit"][parts["submit"]["MI"].isna()]["image_id"].tolist()
    assert bare == ["photos.csv-20"]
    learned = pd.concat([parts[name] for name in ("train", "val", "test")])
    assert len(learned) == 21
    assert "photos.csv-20" not in set(learned["image_id"])


def test_a_finding_of_one_class_is_not_learned_as_a_constant_but_is_scored_where_it_can_be(tmp_path):
    train = write_table(tmp_path, [f"{i % 2},0,p{i}" for i in range(20)], columns="path,MI,CD,patient")
    test = write_table(tmp_path, ["1,1,q1", "0,0,q2"], "test.csv", "path,MI,CD,patient")
    parts = run_parts(read_target(train, test=test), seed=0)
    assert pd.concat([parts["train"], parts["val"]])["CD"].isna().all()
    assert parts["test"]["CD"].tolist() == parts["submit"]["CD"].tolist() == [1, 0]
    assert sorted(parts["train"]["MI"].unique()) == [0, 1]


def test_labels_of_one_class_alone_are_refused(tmp_path):
    found = read_target(write_table(tmp_path, [f"1,p{i}" for i in range(20)]))
    with pytest.raises(ValueError, match="No finding is 0 in some photos to learn from and 1 in others"):
        run_parts(found, seed=0)


def test_one_id_in_training_and_test_names_two_photos(tmp_path):
    rows = [f"{i}.png,{i},{i % 2},p{i}" for i in range(20)]
    photos(tmp_path, *(f"{i}.png" for i in range(20)), "other.png")
    train = table(tmp_path, "path,id,MI,patient\n" + "\n".join(rows))
    test = table(tmp_path, "path,id,MI,patient\nother.png,7,1,q\n", "test.csv")
    parts = run_parts(read_target(train, test=test), seed=0)
    ids = pd.concat([parts[name] for name in ("train", "val", "test")])["image_id"]
    assert ids.is_unique
    assert set(ids) == {*map(str, range(20)), "train-7"}
    assert parts["submit"]["image_id"].tolist() == ["7"]


def test_images_of_ptbxl_keep_its_folds(tmp_path):
    root, n = tmp_path / "genecg", 12
    photos(write_genecg(root), *(f"A/00000/{i:05d}_hr_1R.png" for i in range(3, n + 1)))
    rows = pd.DataFrame({"ecg_id": range(1, n + 1), "patient_id": range(n), "scp_codes": ["{'IMI': 0.0}", "{}"] * 6})
    write_ptbxl(root)
    rows.assign(strat_fold=[*range(1, 11), 9, 10]).to_csv(root / "ptbxl_database.csv", index=False)
    parts = run_parts(read_target(root), seed=0)
    assert sorted(parts["test"]["record_id"]) == ["10", "12"]
    assert sorted(parts["val"]["record_id"]) == ["11", "9"]
    assert len(parts["train"]) == 9  # one of them twice, clean and as a photo


def test_pages_of_one_record_of_the_kit_stay_together(tmp_path):
    write_kit(tmp_path)
    for i in range(1, 13):
        photos(tmp_path, f"{i:05d}_hr-0.png", f"{i:05d}_hr-1.png")
        code = 164889003 if i % 2 else 426783006
        (tmp_path / f"{i:05d}_hr.hea").write_text(f"{i:05d}_hr 12 500 5000\n#Dx: {code}\n")
    parts = run_parts(read_target(tmp_path), seed=0)
    places = pd.concat([parts[name].assign(part=name) for name in ("train", "val", "test")])
    assert (places.groupby("record_id")["part"].nunique() == 1).all()
    assert np.isin(places["AF"], [0, 1]).all()
    assert len(places) == 24
