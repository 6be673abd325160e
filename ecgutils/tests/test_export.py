"""ONNX files: the answers of PyTorch without it, and what is no export is said in one sentence."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is an extra: pip install -r requirements-onnx.txt")
pytest.importorskip("onnxscript", reason="onnxscript is an extra: pip install -r requirements-onnx.txt")

from ecgutils.__main__ import main
from ecgutils.evaluate import Calibration
from ecgutils.export import _write, export
from ecgutils.files import content_hash
from ecgutils.findings import FINDINGS
from ecgutils.hearts import simulate
from ecgutils.learn import build_model, load_exported, load_model, predict, predict_set, save_model
from ecgutils.learn.checkpoint import read_params
from ecgutils.onnx import OnnxNetwork
from ecgutils.preprocess import PreprocessSettings
from ecgutils.reader.nets import shipped
from ecgutils.synth import render_photo
from ecgutils.tests.test_learn_train import ecg_like

PHOTO = Path(__file__).parents[2] / "docs" / "photo.jpg"
SETTINGS = PreprocessSettings(size=(64, 32), px_per_mm=0.23)
NO_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, Refuse())
from ecgutils.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two, whose mean is calibrated."""
    root = tmp_path_factory.mktemp("runs")
    folders = [save_model(build_model("test_resnet", SETTINGS, seed=k), root / f"m{k}") for k in range(2)]
    curves = {finding: {"slope": 3.0, "intercept": 0.5} for finding in FINDINGS}
    weights = tuple(read_params(folder)[1]["sha256"] for folder in folders)
    Calibration("ward 3", "by patient", 9, dict.fromkeys(FINDINGS, 3), curves, weights).save(root / "calibration.json")
    return folders


@pytest.fixture(scope="module")
def exported(checkpoints, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "new"
    export(checkpoints, out)
    return out


@pytest.fixture
def copied(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def test_predict_needs_no_torch_and_answers_the_same(checkpoints, exported, tmp_path):
    rng, photos = np.random.default_rng(5), [str(PHOTO), str(tmp_path / "rendered.png")]
    cv2.imwrite(photos[1], render_photo(simulate(rng), rng).image[..., ::-1])
    options = ["--onnx", str(exported), "--out", "a.csv", "--overlay", "drawn"]
    done = subprocess.run([sys.executable, "-c", NO_TORCH, "predict", *photos, *options], cwd=tmp_path, check=False)
    assert done.returncode == 0
    found, wanted = pd.read_csv(tmp_path / "a.csv"), predict(checkpoints, photos, progress=False)
    assert found["calibrated_on"].tolist() == wanted["calibrated_on"].tolist()
    np.testing.assert_allclose(found[list(FINDINGS)], wanted[list(FINDINGS)], atol=1e-3)
    assert len(list((tmp_path / "drawn").iterdir())) == 2


def test_a_model_without_torch_stands_for_its_checkpoint(checkpoints, exported):
    one, model = load_exported(exported)[0], load_model(checkpoints[0])
    assert (one.settings, one.input_size, one.checkpoint[1]) == (model.settings, (32, 64), model.checkpoint[1])
    pages = np.random.default_rng(0).integers(0, 256, (600, 32, 64), np.uint8)  # more than are worked on at once
    np.testing.assert_allclose(one.logits(pages), model.logits(pages), atol=1e-4)
    assert one.logits(pages[:0]).shape == (0, 5)
    flat = ecg_like(3, seed=1)
    pd.testing.assert_frame_equal(predict_set(one, flat), predict_set(model, flat), atol=1e-5)


def test_files_say_whose_weights_they_hold_and_nothing_of_this_machine(exported):
    for path in exported.rglob("*.onnx"):
        assert {"meaning", "sha256", "onnx_sha256"} <= json.loads(path.with_suffix(".json").read_text()).keys()
        assert b"site-packages" not in path.read_bytes()
        assert b".py" not in path.read_bytes()


def test_exporting_twice_gives_the_same_bytes(exported, tmp_path):
    crops = np.zeros((2, 32, 112), np.uint8)
    _write(shipped("legend"), [crops], {0: 1}, tmp_path / "legend.onnx", {})
    assert (tmp_path / "legend.onnx").read_bytes() == (exported / "reader" / "legend.onnx").read_bytes()


def test_a_calibration_goes_along_where_it_fits(exported):
    assert [path.parent for path in exported.rglob("calibration.json")] == [exported]  # of the mean, not of one member


def test_answers_that_are_not_pytorchs_leave_nothing_behind(checkpoints, tmp_path, monkeypatch):
    right = OnnxNetwork.__call__
    monkeypatch.setattr(OnnxNetwork, "__call__", lambda self, pages: [part * 1.5 for part in right(self, pages)])
    with pytest.raises(ValueError, match=r"answers .* away from PyTorch"):
        export(checkpoints[:1], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def truncate(folder):
    path = folder / "m0" / "model.onnx"
    path.write_bytes(path.read_bytes()[:10_000])


def change(**facts):
    def write(folder):
        path = folder / "m0" / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))

    return write


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "sha256 is another"),
        (change(preprocess={"size": [128, 64]}), r"pages of \(64, 128\), not .* of \(32, 64\)"),
        (change(preprocess={"sise": [64, 32]}), "sise"),
        (change(findings=["AF"]), "'AF'"),
        (change(onnx_sha256="0" * 64), "sha256 is another"),
        (lambda folder: (folder / "m0" / "model.json").unlink(), "model.json"),
        (lambda folder: (folder / "m0" / "model.json").write_text("{"), "JSONDecodeError"),
        (lambda folder: shutil.rmtree(folder / "reader"), "no folder that export wrote"),
        (lambda folder: (folder / "reader" / "reader.onnx").unlink(), "reader.onnx"),
    ],
)
def test_a_damaged_export_is_one_sentence(copied, damage, words, capsys):
    damage(copied)
    assert main(["predict", str(PHOTO), "--onnx", str(copied)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert re.search(words, said)


def test_bytes_that_are_no_network_are_one_sentence(copied):
    path = copied / "m0" / "model.onnx"
    truncate(copied)
    change(onnx_sha256=content_hash(path))(copied)  # whoever wrote it believed in it
    with pytest.raises(ValueError, match=r"is not a network that export wrote \(.*export it again"):
        load_exported(copied)


def test_a_folder_that_is_no_export_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder that export wrote"):
        load_exported(tmp_path)


def test_export_writes_over_nothing_and_mixes_up_no_names(checkpoints, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        export(checkpoints, tmp_path / "full")
    with pytest.raises(ValueError, match="have one name"):
        export([checkpoints[0], checkpoints[0]], tmp_path / "out")
