"""Set folders: what notebook 02 hands on to 03, 04 and 05."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecgutils.hearts import simulate
from ecgutils.learn import build_sets, load_sets
from ecgutils.manifest import manifest_from_paths
from ecgutils.preprocess import PreprocessSettings, correct_outline
from ecgutils.synth import render_scan

NAMES = ("train", "submit")
SETTINGS = PreprocessSettings(size=(64, 32), px_per_mm=0.25)


@pytest.fixture(scope="module")
def pages():
    rng = np.random.default_rng(8)
    return [render_scan(simulate(rng), rng, source="vector", size=(660, 510)).image for _ in range(4)]


def table(folder, images, patients):
    folder.mkdir(parents=True)
    paths = [folder / f"{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    rows = manifest_from_paths(paths)
    return rows.assign(image_id=[f"{p}-{i}" for i, p in enumerate(patients)], patient_id=patients)


def test_parts_come_back_with_their_images(tmp_path, pages):
    rows = table(tmp_path / "images", pages, ["a", "b", "c", "d"])
    parts = {"train": rows[:2], "val": rows[2:3], "test": rows[3:], "submit": rows[3:]}
    build_sets(tmp_path / "sets", parts, SETTINGS)
    sets = load_sets(tmp_path / "sets")
    assert {name: len(flat) for name, flat in sets.items()} == {"train": 2, "val": 1, "test": 1, "submit": 1}
    np.testing.assert_array_equal(sets["test"].images, sets["submit"].images)
    assert not (tmp_path / "sets" / "flat-submit").exists()


def test_images_to_submit_may_have_the_ids_of_other_training_images(tmp_path, pages):
    train = table(tmp_path / "train", pages[:2], ["a", "b"])
    submit = table(tmp_path / "test", pages[2:], ["a", "b"])
    build_sets(tmp_path / "sets", {"train": train, "submit": submit}, SETTINGS)
    sets = load_sets(tmp_path / "sets")
    assert list(sets["train"].image_ids) == list(sets["submit"].image_ids)
    assert (sets["train"].images != sets["submit"].images).any()


@pytest.mark.parametrize(("part", "row"), [("train", 0), ("train", 1), ("submit", 0)])
def test_a_corrected_outline_changes_its_own_page_only(tmp_path, pages, part, row):
    parts = {name: table(tmp_path / name, pages[2 * i : 2 * i + 2], ["a", "b"]) for i, name in enumerate(NAMES)}
    build_sets(tmp_path / "sets", parts, SETTINGS)
    before = load_sets(tmp_path / "sets")
    assert list(before["train"].image_ids) == list(before["submit"].image_ids)
    left_half = np.array([[0, 0], [400, 0], [400, 509], [0, 509]])
    correct_outline(tmp_path / "sets", parts[part]["path"].iloc[row], left_half)
    build_sets(tmp_path / "sets", parts, SETTINGS)
    after = load_sets(tmp_path / "sets")
    for name in NAMES:
        changed = (before[name].images != after[name].images).any(axis=(1, 2))
        assert changed.tolist() == [name == part and i == row for i in range(2)]


def test_sets_built_again_without_other_images_to_submit_share_one_cache(tmp_path, pages):
    rows = table(tmp_path / "images", pages, ["a", "b", "c", "d"])
    build_sets(tmp_path / "sets", {"train": rows[:2], "submit": rows[2:]}, SETTINGS)
    assert (tmp_path / "sets/flat-submit").is_dir()
    build_sets(tmp_path / "sets", {"train": rows[:2], "test": rows[3:], "submit": rows[3:]}, SETTINGS)
    assert load_sets(tmp_path / "sets")["submit"].image_ids.tolist() == ["d-3"]


def test_a_patient_in_two_parts_is_refused_by_name(tmp_path, pages):
    rows = table(tmp_path / "images", pages, ["a", "b", "b", "c"])
    with pytest.raises(ValueError, match=r"both train and test, e\.g\. b"):
        build_sets(tmp_path / "sets", {"train": rows[:2], "test": rows[2:]}, SETTINGS)


def test_a_folder_never_built_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run notebook 02"):
        load_sets(tmp_path)


def test_a_reduced_set_is_nearly_what_flattening_at_that_size_gives(tmp_path, pages):
    rows, small = table(tmp_path / "images", pages, ["a", "b", "c", "d"]), PreprocessSettings().reduced((256, 128))
    assert small == PreprocessSettings(size=(256, 128), px_per_mm=1.4 * (256 / 384))
    build_sets(tmp_path / "sets", {"train": rows}, PreprocessSettings())
    build_sets(tmp_path / "small", {"train": rows}, small)
    whole, wanted = load_sets(tmp_path / "sets")["train"], load_sets(tmp_path / "small")["train"]
    reduced = whole.reduced(small)
    assert reduced.images.shape == (4, 128, 256)
    assert reduced.preprocess == wanted.preprocess
    for a, b in zip(reduced.images, wanted.images, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9
    assert whole.reduced(PreprocessSettings()) is whole
    for other in (PreprocessSettings(size=(256, 128)), PreprocessSettings(size=(768, 384), px_per_mm=2.8)):
        with pytest.raises(ValueError, match="reduced"):
            whole.reduced(other)
    with pytest.raises(ValueError, match="of 384x192 px reduced"):
        PreprocessSettings().reduced((300, 128))
