"""Files from strangers: nothing in them is run, nothing is written outside, nothing takes all of the memory."""

import hashlib
import json
import os
import pickle
import struct
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ecgutils.__main__ import main
from ecgutils.answers import answer
from ecgutils.evaluate.predictions import ENDINGS, read_predictions, write_predictions
from ecgutils.findings import FINDINGS
from ecgutils.hearts import simulate
from ecgutils.learn import load_model
from ecgutils.learn.checkpoint import SHIPPED_FOLDER
from ecgutils.learn.model import make_backbone
from ecgutils.learn.train import Run
from ecgutils.manifest import image_ids, make_manifest, read_manifest, read_targets, write_manifest
from ecgutils.preprocess import PreprocessSettings, UnreadableImage, build_cache, read_image, write_report
from ecgutils.preprocess.pages import MAX_PAGES, pages_of
from ecgutils.synth import generate_images
from ecgutils.synth.truth import read_truth, truth_path
from ecgutils.targets import read_target
from ecgutils.tests.test_faults import runner
from ecgutils.tests.test_preprocess_decode import chunk

SMALL = PreprocessSettings(size=(64, 32))


class Evil:
    """Unpickled, it makes a folder."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    """What code that was hidden in a file makes; it must not be there afterwards."""
    path = tmp_path / "code was run"
    yield path
    assert not path.exists()


def test_code_hidden_in_a_pickle_would_run(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "pytorch_model.bin", "model.pkl", "model.safetensors"])
def test_a_file_of_weights_is_refused_by_name(tmp_path, mark, name, capsys):
    torch.save(Evil(mark), tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} is a file: a checkpoint is a folder with model\.safetensors"):
        load_model(tmp_path / name)
    assert main(["predict", "photo.jpg", "--model", str(tmp_path / name)]) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert f"{name} is a file" in error


def test_a_pickle_under_the_name_of_safetensors_is_not_run(tmp_path, mark):
    content = pickle.dumps(Evil(mark))
    params = json.loads((SHIPPED_FOLDER / "default/params.json").read_text())
    params["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "params.json").write_text(json.dumps(params))
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a safetensors file"):
        load_model(tmp_path)


def test_a_resume_file_with_code_is_not_run(tmp_path, mark):
    torch.save({"fingerprint": {"seed": 1}, "step": Evil(mark)}, tmp_path / "resume.pt")
    with pytest.raises(ValueError, match=r"resume\.pt cannot be read \(UnpicklingError\): delete it"):
        Run.load(runner(tmp_path))


def test_imagenet_weights_with_code_are_not_run(tmp_path, mark):
    torch.save({"stem.weight": Evil(mark)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"file w\.pth .* does not hold weights for convnext_zepto_rms"):
        make_backbone("convnext_zepto_rms", 0.0, tmp_path / "w.pth", 0)


@pytest.mark.parametrize("read", [read_truth, lambda path: read_targets(truth_path(path))])
def test_arrays_with_code_are_not_run(tmp_path, mark, read):
    path = truth_path(tmp_path / "a.jpg")
    path.parent.mkdir()
    np.savez(path, about=np.array([Evil(mark)], dtype=object), record_id=np.array([Evil(mark)], dtype=object))
    with pytest.raises(ValueError, match=r"a\.npz is not a whole \.npz file \(Object arrays cannot be loaded"):
        read(tmp_path / "a.jpg")


# paths


OUTSIDE = ("../../up", "/root/up", "a/b", "..", "\\..\\up", "=1+1")


def test_tables_may_name_photos_elsewhere(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "table").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_text(name)
    places = ["../photos/a.png", str(tmp_path / "photos/b.png")]
    pd.DataFrame({"path": places, "AF": [0, 1]}).to_csv(tmp_path / "table/photos.csv", index=False)
    found = read_target(tmp_path / "table/photos.csv").train["path"].tolist()
    assert [os.path.realpath(path) for path in found] == [str(path) for path in sorted((tmp_path / "photos").iterdir())]
    write_manifest(make_manifest(["a", "b"], "m", path=places), tmp_path / "table/m.csv")
    assert all(map(os.path.isfile, read_manifest(tmp_path / "table/m.csv")["path"]))


def test_names_write_nothing_outside(tmp_path):
    inside = tmp_path / "deep" / "out"
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    table = make_manifest(list(OUTSIDE), "m", path=str(tmp_path / "a.png"), **dict.fromkeys(FINDINGS, 0))
    write_manifest(table, tmp_path / "m.csv")
    cache = build_cache(table, inside / "flat", SMALL)
    write_report(cache, table, inside / "review.html")
    record = replace(simulate(np.random.default_rng(0)), record_id=OUTSIDE[0])
    generate_images([record], inside / "images", ["vector"], size=(320, 240))
    assert sorted(os.listdir(tmp_path)) == ["a.png", "deep", "m.csv"]
    assert os.listdir(tmp_path / "deep") == ["out"]
    ids = image_ids([tmp_path / name for name in OUTSIDE])  # of which overlays have their names
    assert not [one for one in ids if "/" in one or one in (".", "..")]


# bombs


def test_a_png_of_60000_by_60000_is_refused_before_decoding(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    pixels = b"".join(rows.compress(bytes(7501 * 1000)) for _ in range(60)) + rows.flush()
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    assert (tmp_path / "bomb.png").stat().st_size < 1e6
    with pytest.raises(UnreadableImage, match=r"bomb\.png .*(pixels|too large)") as raised:
        read_image(tmp_path / "bomb.png")
    assert raised.value.reason == "too_large"


def test_a_tiff_of_many_pages_is_read_to_a_limit(tmp_path):
    page = Image.new("1", (1, 1))
    page.save(tmp_path / "many.tif", save_all=True, append_images=[page] * (MAX_PAGES + 20))
    with pytest.warns(UserWarning, match=rf"many\.tif has over {MAX_PAGES} pages"):
        assert len(pages_of(tmp_path / "many.tif")) == MAX_PAGES


# tables and pages that other programs open


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != ".parquet"])
def test_ids_that_look_like_formulas_come_back_as_they_are(tmp_path, ending):
    ids = ["=1+1", "+1", "-2", "@SUM(A1)", '=HYPERLINK("http://x","y")', "a,b", 'say "x"']
    table = pd.DataFrame({"ID": ids} | dict.fromkeys(FINDINGS, 0.5))
    write_predictions(table, tmp_path / f"p{ending}")
    assert read_predictions(tmp_path / f"p{ending}")["ID"].tolist() == ids


def test_ids_that_look_like_formulas_are_said(tmp_path):
    photos, said = [tmp_path / "=1+1.jpg", tmp_path / "b.jpg"], r"^A spreadsheet may run 1 ID\(s\), .* '=1\+1': import"
    with pytest.warns(UserWarning, match=said), pytest.raises(ValueError, match="--out ends in"):  # before it is read
        answer([], photos, tmp_path / "p.txt")


def test_names_and_reasons_in_a_review_are_text(tmp_path):
    evil = "<script>alert(1)</script>"
    (tmp_path / "a").write_text("no image")
    table = pd.DataFrame({"image_id": [evil], "path": [str(tmp_path / "a")]})
    cache = build_cache(table, tmp_path / "flat", SMALL)
    hostile = replace(cache, index=cache.index.assign(reasons=f"{evil};'\"><img src=x>"))
    write_report(hostile, table, tmp_path / "review.html")
    page = (tmp_path / "review.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
