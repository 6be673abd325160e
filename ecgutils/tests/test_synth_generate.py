"""Generating image sets: reproducible, resumable, joined to their records."""

import itertools
import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from ecgutils.files import content_hash
from ecgutils.hearts import load_records
from ecgutils.manifest import CORNER_COLUMNS, read_manifest
from ecgutils.signals import beat_targets
from ecgutils.synth import SOURCES, generate_images, render_photo
from ecgutils.synth.generate import stream
from ecgutils.synth.sources import SCANS
from ecgutils.tests.test_synth_page import make_record

SIZE = (400, 220)


def toy_records(n=2):
    return [make_record(record_id=str(i), patient_id=f"p{i}", fold=i + 1, source="toy") for i in range(n)]


def hashes(folder):
    return {p.relative_to(folder).as_posix(): content_hash(p) for p in sorted(folder.rglob("*.jpg"))}


def test_the_manifest_tells_what_is_on_disk(tmp_path):
    table = generate_images(toy_records(), tmp_path, SOURCES, seed=1, size=SIZE)
    read = read_manifest(tmp_path / "manifest.csv")
    assert len(read) == 2 * len(SOURCES) == len(hashes(tmp_path))
    assert list(read["image_id"]) == [f"{i}-{s}" for i, s in itertools.product("01", SOURCES)]
    assert (table["path"] == table["image_source"] + "/" + table["image_id"] + ".jpg").all()
    assert read["MI"].eq(1).all()
    assert read["AF"].eq(0).all()
    assert read["patient_id"].tolist() == ["p0"] * len(SOURCES) + ["p1"] * len(SOURCES)
    assert read[list(CORNER_COLUMNS)].notna().all(axis=None)
    assert set(read["rotation"]) <= {0, 90, 180, 270}


def test_same_seed_same_bytes_whatever_the_workers(tmp_path):
    generate_images(toy_records(3), tmp_path / "one", ("fax", "photo"), seed=5, size=SIZE, workers=1)
    generate_images(iter(toy_records(3)), tmp_path / "two", ("fax", "photo"), seed=5, size=SIZE, workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert content_hash(tmp_path / "one/manifest.csv") == content_hash(tmp_path / "two/manifest.csv")


def test_shards_are_joined_to_the_bytes_of_the_whole_set(tmp_path):
    how = {"sources": ("fax", "photo"), "seed": 5, "size": SIZE}
    generate_images(toy_records(5), tmp_path / "whole", **how)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/manifest.csv").write_text("outdated")
    for k, missing in ((3, "shard 1, 2 of 3"), (1, "shard 2 of 3"), (1, "shard 2 of 3")):
        with pytest.warns(UserWarning, match=f"manifest.csv follows when {missing} is made."):
            table = generate_images(toy_records(5)[k - 1 :: 3], tmp_path / "parts", shard=(k, 3), **how)
        assert set(table["record_id"]) == {record.record_id for record in toy_records(5)[k - 1 :: 3]}
        assert not (tmp_path / "parts/manifest.csv").exists()
    generate_images(toy_records(5)[1::3], tmp_path / "parts", shard=(2, 3), **how)
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")
    manifests = [(tmp_path / name / "manifest.csv").read_bytes() for name in ("parts", "whole")]
    assert manifests[0] == manifests[1]


def test_shards_of_another_seed_are_not_joined(tmp_path):
    for k, seed in ((1, 0), (2, 1)):
        with pytest.warns(UserWarning, match=f"shard {3 - k} of 2 is made"):
            generate_images(toy_records(2)[k - 1 : k], tmp_path, ("vector",), seed, size=SIZE, shard=(k, 2))


def test_a_record_in_two_shards_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="shard 2 of 2"):
        generate_images(toy_records(1), tmp_path, ("vector",), size=SIZE, shard=(1, 2))
    with pytest.raises(ValueError, match="image_id is '0-vector'"):
        generate_images(toy_records(1), tmp_path, ("vector",), size=SIZE, shard=(2, 2))
    assert not (tmp_path / "manifest.csv").exists()


def test_memory_does_not_grow_with_the_signals_of_a_stream(tmp_path):
    def peak(n):
        tracemalloc.start()
        try:
            generate_images(load_records(n, seed=0), tmp_path / str(n), ("vector",), size=SIZE)
            beat_targets(load_records(n, seed=0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # what is loaded once
    small, large = peak(10), peak(40)
    signals = 30 * next(load_records(1, seed=0)).signal_mv.nbytes  # 7 MB at 500 Hz
    assert large - small < signals / 5  # rows of tables stay


def test_another_source_changes_no_image_and_another_seed_all(tmp_path):
    generate_images(toy_records(), tmp_path / "a", ("photo",), seed=5, size=SIZE)
    generate_images(toy_records(), tmp_path / "b", ("vector", "photo"), seed=5, size=SIZE)
    generate_images(toy_records(), tmp_path / "c", ("photo",), seed=6, size=SIZE)
    a, b, c = (hashes(tmp_path / name) for name in "abc")
    assert a.items() <= b.items()
    assert not set(a.values()) & set(c.values())


def test_a_second_call_draws_only_what_is_missing_or_torn(tmp_path):
    def mtimes():
        return {p.name: os.stat(p).st_mtime_ns for p in tmp_path.rglob("*.jpg")}

    generate_images(toy_records(), tmp_path, ("office", "photo"), seed=2, size=SIZE)
    before, times, manifest = hashes(tmp_path), mtimes(), (tmp_path / "manifest.csv").read_bytes()
    torn = tmp_path / "photo/1-photo.jpg"
    torn.write_bytes(torn.read_bytes()[:500])
    (tmp_path / "office/0-office.jpg").unlink()
    with open(tmp_path / "manifest.csv.progress.jsonl", "a") as log:
        log.write('{"key": "half a li')
    generate_images(toy_records(), tmp_path, ("office", "photo"), seed=2, size=SIZE)
    assert hashes(tmp_path) == before
    assert (tmp_path / "manifest.csv").read_bytes() == manifest
    changed = {name for name, time in mtimes().items() if times[name] != time}
    assert changed == {"1-photo.jpg", "0-office.jpg"}
    times = mtimes()
    generate_images(toy_records(), tmp_path, ("office", "photo"), seed=2, size=SIZE)
    assert mtimes() == times


def test_a_killed_run_is_finished_with_the_bytes_of_an_undisturbed_one(tmp_path):
    arguments = {"sources": ("vector", "photo"), "seed": 4, "size": SIZE}
    script = (
        "from ecgutils.synth import generate_images; from ecgutils.tests.test_synth_generate import toy_records;"
        f"generate_images(toy_records(40), {str(tmp_path / 'killed')!r}, **{arguments!r})"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("killed/photo/*.jpg"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert not (tmp_path / "killed/manifest.csv").exists()
    assert 3 <= len(hashes(tmp_path / "killed")) < 80
    generate_images(toy_records(40), tmp_path / "killed", **arguments)
    generate_images(toy_records(40), tmp_path / "whole", **arguments)
    # a write that was cut short may leave a hidden file, which no table names
    finished = {name: value for name, value in hashes(tmp_path / "killed").items() if ".part." not in name}
    assert finished == hashes(tmp_path / "whole")
    assert content_hash(tmp_path / "killed/manifest.csv") == content_hash(tmp_path / "whole/manifest.csv")


def test_a_changed_record_or_size_is_drawn_again_and_labels_follow_the_record(tmp_path):
    generate_images(toy_records(), tmp_path, ("vector",), size=SIZE)
    before = hashes(tmp_path)
    records = toy_records()
    records[0] = make_record(records[0].signal_mv * 2, record_id="0", fold=9)
    table = generate_images(records, tmp_path, ("vector",), size=SIZE)
    after = hashes(tmp_path)
    assert [before[k] == after[k] for k in before] == [False, True]
    assert table["fold"].tolist() == [9, 2]
    generate_images(records, tmp_path, ("vector",), size=(500, 300))
    assert not set(after.values()) & set(hashes(tmp_path).values())


def test_each_source_has_its_default_size_and_the_image_is_what_its_stream_draws(tmp_path):
    table = generate_images(toy_records(1), tmp_path, ("vector", "photo"), seed=3)
    assert table.loc[0, ["width", "height"]].tolist() == [1100, 850]
    assert sorted(table.loc[1, ["width", "height"]]) == [704, 1280]
    written = cv2.imread(str(tmp_path / table.loc[1, "path"]))[..., ::-1]
    drawn = render_photo(toy_records(1)[0], stream(3, 0, "photo")).image
    assert np.abs(written.astype(int) - drawn).mean() < 6  # but for JPEG


def test_a_new_scan_source_changes_no_other_image(tmp_path, monkeypatch):
    generate_images(toy_records(), tmp_path / "five", SOURCES, seed=5, size=SIZE)
    monkeypatch.setitem(SCANS, "sixth", replace(SCANS["fax"], name="sixth"))
    generate_images(toy_records(), tmp_path / "six", (*SCANS, "photo"), seed=5, size=SIZE)
    five, six = hashes(tmp_path / "five"), hashes(tmp_path / "six")
    assert five.items() <= six.items()
    assert {name.split("/")[0] for name in set(six) - set(five)} == {"sixth"}
    assert not set(five.values()) & {six["sixth/0-sixth.jpg"], six["sixth/1-sixth.jpg"]}


def test_a_changed_rate_in_the_header_is_drawn_again(tmp_path):
    generate_images(toy_records(1), tmp_path, ("archive",), size=SIZE)
    before = hashes(tmp_path)
    generate_images([replace(toy_records(1)[0], details={"rate_bpm": 150.0})], tmp_path, ("archive",), size=SIZE)
    assert hashes(tmp_path) != before


def test_odd_record_ids_become_safe_file_names(tmp_path):
    table = generate_images([make_record(record_id="a/b: é")], tmp_path, ("vector",), size=SIZE)
    assert table.loc[0, "image_id"] == "a_b___-vector"
    assert table.loc[0, "record_id"] == "a/b: é"


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"records": []}, "no records"),
        ({"records": [make_record(), make_record()]}, "repeated"),
        ({"sources": ("vector", "vector")}, "sources"),
        ({"sources": ("oil",)}, "sources"),
        ({"sources": "vector"}, "sources"),
        ({"sources": ()}, "sources"),
        ({"size": (10, 10)}, "size"),
        ({"shard": (3, 2)}, "Shard 3 of 2"),
        ({"shard": (0, 2)}, "Shard 0 of 2"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, kwargs, word):
    arguments = {"records": toy_records(1), "sources": ("vector",), "size": SIZE, **kwargs}
    with pytest.raises(ValueError, match=word):
        generate_images(out_dir=tmp_path, **arguments)
    assert not list(tmp_path.rglob("manifest.csv"))


def test_simulated_records_can_be_rendered(tmp_path):
    from ecgutils.hearts import simulate_cohort

    table = generate_images(simulate_cohort(2, seed=0), tmp_path, ("thermal",), size=SIZE)
    assert isinstance(table, pd.DataFrame)
    assert table["signal_source"].eq("simulated").all()
