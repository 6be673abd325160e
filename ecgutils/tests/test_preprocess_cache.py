import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgutils.preprocess import FlatCache, Preprocessor, PreprocessSettings, build_cache, correct_outline
from ecgutils.preprocess import cache as cache_module
from ecgutils.tests.test_preprocess_flatten import draw_page

SMALL = PreprocessSettings(size=(128, 64), px_per_mm=0.45)


@pytest.fixture
def table(tmp_path):
    rows = []
    for i in range(5):
        path = tmp_path / f"page{i}.png"
        Image.fromarray(draw_page(2.5, seed=i)).save(path)
        rows.append({"image_id": f"id{i}", "path": str(path)})
    (tmp_path / "bad.png").write_bytes(b"no image")
    rows.append({"image_id": "bad", "path": str(tmp_path / "bad.png")})
    return pd.DataFrame(rows)


def content(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def counted(monkeypatch):
    calls = []
    real = cache_module._flat_row
    monkeypatch.setattr(cache_module, "_flat_row", lambda path, *rest: (calls.append(path), real(path, *rest))[1])
    return calls


def test_cache_holds_what_the_preprocessor_gives(table, tmp_path):
    cache = build_cache(table, tmp_path / "cache", SMALL, shard_rows=4)
    assert cache.index["image_id"].tolist() == table["image_id"].tolist()
    images = cache.images(["id3", "bad", "id0"])
    np.testing.assert_array_equal(images[0], Preprocessor(SMALL)(table["path"][3]).image)
    assert images[1].min() == 255
    bad = cache.index.iloc[-1]
    assert not bad["readable"]
    assert bad["reasons"] == "cannot_decode"
    assert cache.index["readable"].sum() == 5


def test_workers_do_not_change_a_byte(table, tmp_path):
    build_cache(table, tmp_path / "one", SMALL, workers=1, shard_rows=4)
    build_cache(table, tmp_path / "two", SMALL, workers=2, shard_rows=4)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_second_run_makes_nothing(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "cache", SMALL, shard_rows=2)
    before = content(tmp_path / "cache")
    calls = counted(monkeypatch)
    build_cache(table, tmp_path / "cache", SMALL, shard_rows=2)
    assert calls == []
    assert content(tmp_path / "cache") == before


def test_killed_run_goes_on_at_its_last_shard(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "whole", SMALL, shard_rows=2)
    real = cache_module._flat_row
    made = []

    def dies(path, *rest):
        made.append(path)
        if len(made) == 4:
            raise KeyboardInterrupt
        return real(path, *rest)

    monkeypatch.setattr(cache_module, "_flat_row", dies)
    with pytest.raises(KeyboardInterrupt):
        build_cache(table, tmp_path / "cache", SMALL, shard_rows=2)
    with pytest.raises(FileNotFoundError, match="run build_cache"):
        FlatCache.open(tmp_path / "cache")
    monkeypatch.setattr(cache_module, "_flat_row", real)
    calls = counted(monkeypatch)
    build_cache(table, tmp_path / "cache", SMALL, shard_rows=2)
    assert calls == table["path"][2:].tolist()
    assert content(tmp_path / "cache") == content(tmp_path / "whole")


def test_a_killed_rebuild_is_not_taken_for_the_cache_before(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "cache", SMALL, shard_rows=2)
    real = cache_module._write_part
    monkeypatch.setattr(cache_module, "_write_part", lambda *args: (real(*args), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        build_cache(table[::-1].reset_index(drop=True), tmp_path / "cache", SMALL, shard_rows=2)
    with pytest.raises(FileNotFoundError, match="run build_cache"):
        FlatCache.open(tmp_path / "cache")


def test_an_image_may_be_called_na(table, tmp_path, monkeypatch):
    table["image_id"] = ["NA", "null", "nan", "None", "id4", "bad"]
    build_cache(table, tmp_path / "cache", SMALL, shard_rows=4)
    calls = counted(monkeypatch)
    cache = build_cache(table, tmp_path / "cache", SMALL, shard_rows=4)
    assert calls == []
    assert cache.images(["NA", "None"]).shape == (2, 64, 128)


def test_only_changed_content_is_made_again(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "cache", SMALL, shard_rows=4)
    Image.fromarray(draw_page(2.5, seed=77)).save(table["path"][1])
    calls = counted(monkeypatch)
    cache = build_cache(table, tmp_path / "cache", SMALL, shard_rows=4)
    assert calls == [table["path"][1]]
    np.testing.assert_array_equal(cache.images(["id1"])[0], Preprocessor(SMALL)(table["path"][1]).image)


def test_reordered_and_shortened_table_reuses_rows(table, tmp_path, monkeypatch):
    whole = build_cache(table, tmp_path / "cache", SMALL, shard_rows=2)
    expected = whole.images(["id4", "id0", "id2"])
    calls = counted(monkeypatch)
    cache = build_cache(table.iloc[[4, 0, 2]].reset_index(drop=True), tmp_path / "cache", SMALL, shard_rows=2)
    assert calls == []
    np.testing.assert_array_equal(cache.images(["id4", "id0", "id2"]), expected)
    assert len(list((tmp_path / "cache").glob("shard_*.npy"))) == 2


def test_other_settings_make_all_again(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "cache", SMALL)
    calls = counted(monkeypatch)
    cache = build_cache(table, tmp_path / "cache", PreprocessSettings(size=(96, 64), px_per_mm=0.3))
    assert len(calls) == len(table)
    assert cache.images(["id0"]).shape == (1, 64, 96)


def test_unknown_id_is_named(table, tmp_path):
    cache = build_cache(table.head(1), tmp_path / "cache", SMALL)
    with pytest.raises(KeyError, match="nobody"):
        cache.images(["nobody"])


def test_repeated_id_is_refused(table, tmp_path):
    with pytest.raises(ValueError, match="id0"):
        build_cache(pd.concat([table, table.head(1)]), tmp_path / "cache", SMALL)


def test_missing_cache_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="build_cache"):
        FlatCache.open(tmp_path)


def test_corrected_outline_is_remembered_and_only_its_row_made_again(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "cache", SMALL)
    calls = counted(monkeypatch)
    quad = [[0, 0], [699, 0], [699, 379], [0, 379]]  # without the last rows
    correct_outline(tmp_path / "cache", table["path"][2], np.array(quad))
    for _ in range(2):  # remembered: the second time nothing is left to do
        cache = build_cache(table, tmp_path / "cache", SMALL)
        assert calls.count(table["path"][2]) == 1
        assert calls.count(table["path"][1]) == 0
    corners = cache.index.iloc[2][["tl_x", "tl_y", "br_x", "br_y"]].tolist()
    assert corners == [0, 0, 699, 379]
    with pytest.raises(ValueError, match="four finite corners"):
        correct_outline(tmp_path / "cache", table["path"][2], np.zeros((3, 2)))
