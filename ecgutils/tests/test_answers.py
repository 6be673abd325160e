"""The table of `predict`: long lists, interruptions, and what may be written over. Photos are read by a stand-in."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ecgutils import answers
from ecgutils.answers import answer, summary
from ecgutils.evaluate import Calibration
from ecgutils.findings import FINDINGS
from ecgutils.preprocess import PreprocessSettings

CURVES = {finding: {"slope": 0.5, "intercept": 0.0} for finding in FINDINGS}
CALIBRATION = Calibration("ward 3", "by patient", 9, dict.fromkeys(FINDINGS, 3), CURVES, ("a",))


def models(*names):
    """Stand-ins for models as `load_model` reads them."""
    return [SimpleNamespace(checkpoint=(Path("m"), name), settings=PreprocessSettings()) for name in names]


@pytest.fixture
def reader(monkeypatch):
    """A stand-in for `read_photos`, which remembers what it read and stops where it is told."""
    state = SimpleNamespace(seen=[], stop_at=None, reasons=lambda name: "cannot_decode" if "bad" in name else "")

    def read(_models, photos, _workers, quads, raw, calibration, ids):
        assert raw == (calibration is None)
        assert set(quads) <= set(ids)
        for photo, one in zip(photos, ids, strict=True):
            if photo.name == state.stop_at:
                raise KeyboardInterrupt
            state.seen.append(photo.name)
            reasons = state.reasons(photo.name)
            p = np.nan if reasons else len(state.seen) / 1000 + 1 / 3
            row = {"ID": one, **dict.fromkeys(FINDINGS, p), "quality": np.float64(0.5)}
            row |= {"readable": np.bool_(not reasons), "reasons": reasons}
            yield row | ({"calibrated_on": calibration.describe()} if calibration else {}), None

    monkeypatch.setattr(answers, "read_photos", read)
    return state


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(150):
        (tmp_path / "in" / f"{'bad' if k % 10 == 3 else 'p'}{k:03d}.jpg").write_text(str(k))
    return sorted((tmp_path / "in").iterdir(), key=lambda path: path.name[-7:])


def test_what_is_done_stays_after_an_interruption_and_is_not_read_again(tmp_path, reader, photos):
    reader.stop_at, out = "p100.jpg", tmp_path / "x.csv"
    with pytest.raises(KeyboardInterrupt):
        answer(models("a"), photos, out)
    assert pd.read_csv(out)["ID"].tolist() == [path.stem for path in photos[:100]]
    reader.stop_at = None
    table = answer(models("a"), photos, out)
    assert reader.seen == [path.name for path in photos]
    assert table["ID"].tolist() == [path.stem for path in photos]
    again = answer(models("a"), photos, out)
    assert len(reader.seen) == len(photos)
    pd.testing.assert_frame_equal(again, table)
    pd.testing.assert_frame_equal(pd.read_csv(out, keep_default_na=False, na_values=""), table.replace("", np.nan))


def test_the_table_grows_while_photos_are_read(tmp_path, reader, photos, monkeypatch):
    written = []
    monkeypatch.setattr(answers, "write_predictions", lambda table, out: written.append(len(table)))
    answer(models("a"), photos, tmp_path / "x.csv")
    assert written == [64, 128, 150]


def test_a_killed_run_loses_no_row_that_was_kept(tmp_path, reader, photos):
    answer(models("a"), photos[:5], tmp_path / "x.csv")
    kept = tmp_path / "x.csv.progress.jsonl"
    kept.write_bytes(kept.read_bytes()[:-9])  # the last line is torn
    (tmp_path / "x.csv").unlink()
    answer(models("a"), photos[:5], tmp_path / "x.csv")
    assert reader.seen == [path.name for path in (*photos[:5], photos[4])]


def test_a_photo_that_changed_is_read_again(tmp_path, reader, photos):
    answer(models("a"), photos[:3], tmp_path / "x.csv")
    photos[1].write_text("another photo")
    os.utime(photos[2], ns=(1, 1))
    answer(models("a"), photos[:3], tmp_path / "x.csv")
    assert reader.seen[3:] == [photos[1].name, photos[2].name]


def test_corners_that_are_given_later_count(tmp_path, reader, photos):
    quad = np.array([[0, 0], [9, 0], [9, 9], [0, 9]])
    for quads in ({}, {"p000": quad}, {"p000": quad}):
        answer(models("a"), photos[:2], tmp_path / "x.csv", quads=quads)
    assert reader.seen == ["p000.jpg", "p001.jpg", "p000.jpg"]


@pytest.mark.parametrize("code", ["missing", "no_permission", "needs_pypdfium2", "needs_pillow_heif"])
def test_a_reason_that_may_go_away_is_tried_again(tmp_path, reader, photos, code):
    reader.reasons = lambda name: code
    answer(models("a"), photos[:1], tmp_path / "x.csv")
    reader.reasons = lambda name: ""
    assert answer(models("a"), photos[:1], tmp_path / "x.csv")["readable"].all()


def test_a_photo_without_its_picture_is_read_again(tmp_path, reader, photos, monkeypatch):
    monkeypatch.setattr(answers, "_draw", lambda picture, *_: picture.write_text("drawn"))
    answer(models("a"), photos[:2], tmp_path / "x.csv")
    answer(models("a"), photos[:2], tmp_path / "x.csv", overlay=tmp_path / "pictures")
    (tmp_path / "pictures" / "p001.png").unlink()
    answer(models("a"), photos[:2], tmp_path / "x.csv", overlay=tmp_path / "pictures")
    assert reader.seen == ["p000.jpg", "p001.jpg"] * 2 + ["p001.jpg"]


def test_the_table_holds_what_was_named_last_and_nothing_that_was_read_is_lost(tmp_path, reader, photos):
    answer(models("a"), photos[:4], tmp_path / "x.csv")
    assert answer(models("a"), photos[2:6], tmp_path / "x.csv")["ID"].tolist() == [path.stem for path in photos[2:6]]
    answer(models("a"), photos[:6], tmp_path / "x.csv")
    assert len(reader.seen) == 6


@pytest.mark.parametrize(("names", "calibration"), [(("b",), None), (("a", "b"), None), (("a",), CALIBRATION)])
def test_answers_of_other_weights_or_another_calibration_are_not_mixed(tmp_path, reader, photos, names, calibration):
    answer(models("a"), photos[:2], tmp_path / "x.csv")
    before = (tmp_path / "x.csv").read_bytes()
    with pytest.raises(ValueError, match=r"of other weights, another calibration .* give another --out"):
        answer(models(*names), photos[:3], tmp_path / "x.csv", calibration=calibration)
    assert (tmp_path / "x.csv").read_bytes() == before
    assert len(reader.seen) == 2


def test_a_file_of_someone_else_is_not_written_over(tmp_path, reader, photos):
    (tmp_path / "labels.csv").write_text("precious")
    with pytest.raises(ValueError, match=r"labels\.csv is there already"):
        answer(models("a"), photos, tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text() == "precious"
    assert not reader.seen


def test_another_ending_is_refused_before_a_photo_is_read(tmp_path, reader, photos):
    with pytest.raises(ValueError, match=r"ends in \.csv, \.jsonl or \.parquet; got .*x\.xlsx"):
        answer(models("a"), photos, tmp_path / "x.xlsx")
    assert not reader.seen


def test_parquet_needs_its_library_before_a_photo_is_read(tmp_path, reader, photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pyarrow"):
        answer(models("a"), photos, tmp_path / "x.parquet")
    assert not reader.seen


def test_json_lines_hold_the_same_numbers(tmp_path, reader, photos):
    table = answer(models("a"), photos[:4], tmp_path / "x.jsonl", calibration=CALIBRATION)
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert tuple(rows[0]) == tuple(table)
    assert rows[3]["MI"] is None
    assert rows[0]["calibrated_on"] == "ward 3 (9 images, by patient)"
    assert [row["MI"] for row in rows[:3]] == table["MI"].tolist()[:3]


def test_parquet_holds_the_same_table(tmp_path, reader, photos):
    table = answer(models("a"), photos[:4], tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "x.parquet"), table, check_dtype=False)


def test_a_short_table_is_printed_and_a_long_one_is_counted(reader, photos):
    assert "p000" in summary(answer(models("a"), photos[:20]))
    lines = summary(answer(models("a"), photos)).splitlines()
    assert lines[0] == "135 of 150 photos were read."
    assert lines[1].startswith("  cannot_decode: ")
    assert lines[2] == "    15 refused: bad003, bad013, bad023, bad033, bad043, ..."
    assert len(lines) == 3


def test_a_reason_that_refuses_some_only_says_how_many_were_read(reader, photos):
    table = answer(models("a"), photos[:21]).assign(reasons="coarse 1.9;glare")
    lines = summary(table).splitlines()
    assert lines[2] == lines[4] == "    19 read all the same; 2 refused: bad003, bad013"
