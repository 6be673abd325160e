from dataclasses import replace

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
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def counted(monkeypatch, dies_at=None):
    """Paths that are flattened from now on; the call with number `dies_at` is interrupted."""
    calls = []

    class Counting(Preprocessor):
        def __call__(self, path, **how):
            calls.append(path)
            if len(calls) == dies_at:
                raise KeyboardInterrupt
            return Preprocessor.__call__(self, path, **how)

    monkeypatch.setattr(cache_module, "Preprocessor", Counting)
    return calls


def test_cache_holds_what_the_preprocessor_gives(table, tmp_path):
    cache = build_cache(table, tmp_path / "cache", SMALL)
    assert cache.index["image_id"].tolist() == table["image_id"].tolist()
    images = cache.images(["id3", "bad", "id0"])
    np.testing.assert_array_equal(images[0], Preprocessor(SMALL)(table["path"][3]).image)
    assert images[1].min() == 255
    bad = cache.index.iloc[-1]
    assert not bad["readable"]
    assert bad["reasons"] == "cannot_decode"
    assert cache.index["readable"].sum() == 5


def test_workers_do_not_change_a_byte(table, tmp_path):
    build_cache(table, tmp_path / "one", SMALL, workers=1)
    build_cache(table, tmp_path / "two", SMALL, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_second_run_makes_nothing(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "cache", SMALL)
    before = content(tmp_path / "cache")
    calls = counted(monkeypatch)
    build_cache(table, tmp_path / "cache", SMALL)
    assert calls == []
    assert content(tmp_path / "cache") == before


def test_killed_run_goes_on_where_it_stopped(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "whole", SMALL)
    counted(monkeypatch, dies_at=4)
    with pytest.raises(KeyboardInterrupt):
        build_cache(table, tmp_path / "cache", SMALL)
    with pytest.raises(FileNotFoundError, match="run build_cache"):
        FlatCache.open(tmp_path / "cache")
    calls = counted(monkeypatch)
    build_cache(table, tmp_path / "cache", SMALL)
    assert calls == table["path"][3:].tolist()
    assert content(tmp_path / "cache") == content(tmp_path / "whole")


def test_a_killed_rebuild_is_not_taken_for_the_cache_before(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "cache", SMALL)
    counted(monkeypatch, dies_at=2)
    with pytest.raises(KeyboardInterrupt):
        build_cache(table, tmp_path / "cache", replace(SMALL, px_per_mm=0.4))
    with pytest.raises(FileNotFoundError, match="run build_cache"):
        FlatCache.open(tmp_path / "cache")


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_page_is_named_and_made_again(table, tmp_path, monkeypatch, damage):
    cache = build_cache(table, tmp_path / "cache", SMALL)
    expected = cache.images(table["image_id"])
    page, whole = tmp_path / "cache/pages/id2.png", (tmp_path / "cache/pages/id2.png").read_bytes()
    page.write_bytes({"cut": whole[:50], "flipped": whole[:-20] + b"?" + whole[-19:], "gone": b""}[damage])
    if damage == "gone":
        page.unlink()
    with pytest.raises(ValueError, match=r"id2\.png is missing or damaged: run build_cache again"):
        cache.images(["id1", "id2"])
    calls = counted(monkeypatch)
    again = build_cache(table, tmp_path / "cache", SMALL)
    assert calls == [table["path"][2]]
    np.testing.assert_array_equal(again.images(table["image_id"]), expected)


def test_no_id_leaves_the_folder_or_takes_the_page_of_another(table, tmp_path):
    table["image_id"] = ["../../up", "/root", "a/b", "a%2Fb", "A/b", "n" * 300]
    cache = build_cache(table, tmp_path / "deep/cache", SMALL)
    pages = [path.resolve() for path in (tmp_path / "deep/cache/pages").iterdir()]
    assert len({path.name.lower() for path in pages}) == len(table)  # also where capitals don't count
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["cache"]
    for image_id, path in zip(table["image_id"][:5], table["path"], strict=False):
        np.testing.assert_array_equal(cache.images([image_id])[0], Preprocessor(SMALL)(path).image)


def test_photos_are_not_written_over(table, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/mine.png").write_bytes((tmp_path / "page0.png").read_bytes())
    mine = pd.DataFrame({"image_id": ["mine"], "path": [str(tmp_path / "pages/mine.png")]})
    with pytest.raises(ValueError, match="give another out_dir"):
        build_cache(mine, tmp_path, SMALL)
    assert (tmp_path / "pages/mine.png").read_bytes() == (tmp_path / "page0.png").read_bytes()


def test_an_image_may_be_called_na(table, tmp_path, monkeypatch):
    table["image_id"] = ["NA", "null", "nan", "None", "id4", "bad"]
    build_cache(table, tmp_path / "cache", SMALL)
    calls = counted(monkeypatch)
    cache = build_cache(table, tmp_path / "cache", SMALL)
    assert calls == []
    assert cache.images(["NA", "None"]).shape == (2, 64, 128)


def test_only_changed_content_is_made_again(table, tmp_path, monkeypatch):
    build_cache(table, tmp_path / "cache", SMALL)
    Image.fromarray(draw_page(2.5, seed=77)).save(table["path"][1])
    calls = counted(monkeypatch)
    cache = build_cache(table, tmp_path / "cache", SMALL)
    assert calls == [table["path"][1]]
    np.testing.assert_array_equal(cache.images(["id1"])[0], Preprocessor(SMALL)(table["path"][1]).image)


def test_reordered_and_shortened_table_reuses_rows(table, tmp_path, monkeypatch):
    whole = build_cache(table, tmp_path / "cache", SMALL)
    expected = whole.images(["id4", "id0", "id2"])
    calls = counted(monkeypatch)
    cache = build_cache(table.iloc[[4, 0, 2]].reset_index(drop=True), tmp_path / "cache", SMALL)
    assert calls == []
    np.testing.assert_array_equal(cache.images(["id4", "id0", "id2"]), expected)
    assert sorted(p.name for p in (tmp_path / "cache/pages").iterdir()) == ["id0.png", "id2.png", "id4.png"]


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


def test_a_cache_of_another_version_says_what_to_do(table, tmp_path):
    cache = build_cache(table.head(1), tmp_path / "cache", SMALL)
    cache.index.drop(columns="page").to_csv(tmp_path / "cache/index.csv", index=False)
    with pytest.raises(ValueError, match="another version of the code: run build_cache"):
        FlatCache.open(tmp_path / "cache")


def test_a_wrong_argument_leaves_a_finished_cache_as_it_is(table, tmp_path):
    build_cache(table.head(1), tmp_path / "cache", SMALL)
    before = content(tmp_path / "cache")
    with pytest.raises(ValueError, match="workers is 0"):
        build_cache(table, tmp_path / "cache", SMALL, workers=0)
    assert content(tmp_path / "cache") == before


def test_one_folder_of_corrections_serves_several_caches(table, tmp_path):
    correct_outline(tmp_path / "set", table["path"][2], np.array([[0, 0], [699, 0], [699, 379], [0, 379]]))
    for name in ("one", "two"):
        cache = build_cache(table, tmp_path / "set" / name, SMALL, corrections=tmp_path / "set")
        assert cache.index["br_y"][2] == 379
    assert build_cache(table, tmp_path / "alone", SMALL).index["br_y"][2] != 379


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
