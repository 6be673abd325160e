import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import timm
import torch

from ecgutils.findings import FINDINGS
from ecgutils.learn import (
    NAMED,
    REAL,
    build_model,
    load_model,
    save_model,
    seen_before,
    start_from,
    take_weights,
)
from ecgutils.preprocess import PreprocessSettings

SMALL = PreprocessSettings(size=(128, 64))
TINY = "convnext_zepto_rms"


@pytest.fixture
def model():
    return build_model(TINY, SMALL).eval()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 128), dtype=np.uint8)


@pytest.fixture
def saved(model, tmp_path):
    return save_model(model, tmp_path / "ckpt", {"seed": 3})


@pytest.fixture
def weights_file(tmp_path):
    """Stand-in for a download: random weights of the whole timm model, classifier included."""
    torch.manual_seed(99)
    state = timm.create_model("convnext_atto_ols").state_dict()
    safetensors.torch.save_file(state, tmp_path / "atto.safetensors")
    return tmp_path / "atto.safetensors", state


@pytest.mark.parametrize("half", [False, True])
def test_a_checkpoint_comes_back(model, images, tmp_path, half):
    loaded = load_model(save_model(model, tmp_path, {"seed": 3}, half=half))
    np.testing.assert_allclose(loaded.logits(images), model.logits(images), atol=5e-3 if half else 0)
    assert next(loaded.parameters()).dtype == torch.float32
    assert loaded.settings == SMALL
    assert not loaded.training


def test_statistics_and_status_come_back_without_the_hub(weights_file, tmp_path):
    model = build_model("convnext_atto_ols", SMALL, pretrained=weights_file[0])
    loaded = load_model(save_model(model, tmp_path / "c"))
    assert torch.equal(loaded.mean, model.mean)
    assert loaded.spec == model.spec
    assert loaded.pretrained_status == model.pretrained_status


def test_params_say_what_made_them(saved):
    params = json.loads((saved / "params.json").read_text())
    assert params["findings"] == list(FINDINGS)
    assert params["seed"] == 3
    assert set(params) >= {"model", "preprocess", "sha256", "versions", "git", "pretrained_status"}


def test_params_cannot_overrule_the_model(model, tmp_path):
    with pytest.raises(ValueError, match="may not contain findings"):
        save_model(model, tmp_path, {"findings": []})


def edit(folder, **changes):
    params = json.loads((folder / "params.json").read_text())
    (folder / "params.json").write_text(json.dumps(params | changes))


def test_missing_folders_and_files_are_named(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No checkpoint folder at .*nowhere"):
        load_model(tmp_path / "nowhere")
    (saved / "params.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no params\.json"):
        load_model(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"findings": ["AF", "CD", "MI", "HYP", "STTC"]}, "gives findings .* retrain"),
        ({"sha256": "0" * 64}, "sha256 differs"),
        ({"preprocess": {"colour": 1}}, "colour"),
        ({"model": {"backbone": "nonesuch_net", "mean": [0.0], "std": [1.0]}}, "Unknown backbone 'nonesuch_net'"),
        ({"model": {"neck": 3}}, "neck"),
        ({"model": None}, "does not describe a model"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(saved, changes, message):
    edit(saved, **changes)
    with pytest.raises(ValueError, match=message):
        load_model(saved)


def test_tensors_of_another_shape_are_named(saved):
    edit(saved, preprocess=replace(SMALL, size=(256, 64)).to_dict())
    with pytest.raises(ValueError, match=r"tensor head\.near is .*, but convnext_zepto_rms needs"):
        load_model(saved)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(model, tmp_path, value):
    with torch.no_grad():
        model.head.classify.bias[2] = value
    with pytest.raises(ValueError, match=r"tensor head\.classify\.bias holds numbers that are not finite: train"):
        load_model(save_model(model, tmp_path))


@pytest.mark.parametrize(
    "wrong", [{"std": [0.0]}, {"std": [-1.0]}, {"std": [float("nan")]}, {"mean": [float("inf")]}, {"mean": [0, 0]}]
)
def test_impossible_input_statistics_are_refused(saved, model, wrong):
    edit(saved, model=model.spec | wrong)
    with pytest.raises(ValueError, match=r"params\.json: (mean|std) is .*, not a list of one finite number"):
        load_model(saved)


def test_damaged_params_are_one_sentence(saved):
    (saved / "params.json").write_text("{")
    with pytest.raises(ValueError, match="does not describe a checkpoint"):
        load_model(saved)


def test_a_model_can_start_from_a_checkpoint(saved, model, images):
    new = build_model(TINY, SMALL, drop_path=0.2, seed=8)
    take_weights(new, saved)
    np.testing.assert_array_equal(new.logits(images), model.logits(images))
    assert new.spec["drop_path"] == 0.2
    assert "which began with: random initialisation" in new.pretrained_status


@pytest.mark.parametrize("size", [(192, 96), (256, 128), (64, 32)])
def test_a_model_can_start_from_one_of_smaller_images(saved, model, size):
    new = build_model(TINY, PreprocessSettings(size=size), seed=8)
    take_weights(new, saved)
    torch.testing.assert_close(new.head.query, model.head.query)
    ours, theirs = (net.head.near.view(16, *net.head.size) for net in (new, model))
    assert ours.shape[1:] == (size[1] // 32, size[0] // 32)
    # a place stays where it was: each map is largest at the same relative point, within a cell
    for a, b in zip(ours, theirs, strict=True):
        at = [(np.array(divmod(int(m.argmax()), m.shape[1])) + 0.5) / m.shape for m in (a, b)]
        assert np.abs(at[0] - at[1]).max() <= 0.5 / min(*ours.shape[1:], *theirs.shape[1:]) + 1e-9


def test_a_network_starts_from_a_checkpoint_for_pages_of_another_size(saved, model):
    new = start_from(saved, PreprocessSettings(size=(192, 96), px_per_mm=0.7))
    assert (new.input_size, new.settings.px_per_mm, new.checkpoint) == ((96, 192), 0.7, None)
    assert {key: new.spec[key] for key in ("backbone", "drop_path", "dropout")} == {
        key: model.spec[key] for key in ("backbone", "drop_path", "dropout")
    }
    torch.testing.assert_close(new.head.query, model.head.query)


def test_shipped_networks_have_seen_ptbxl_but_for_its_last_three_folds():
    sources = ["ptbxl"] * 11 + ["simulated"]
    folds = pd.array([*range(1, 11), None, 1], dtype="Int64")
    table = pd.DataFrame({"signal_source": sources, "fold": folds})
    for name in REAL:
        assert seen_before([name], table).tolist() == [True] * 7 + [False] * 5
    assert not seen_before(["simulated/default", "a/folder"], table).any()


def test_starting_from_another_kind_of_model_is_refused(saved, model):
    edit(saved, model=model.spec | {"head": "gap"})
    with pytest.raises(ValueError, match="has head 'gap', the model 'places'"):
        take_weights(model, saved)


def test_a_checkpoint_that_counts_its_one_channel_still_loads(saved, model):
    edit(saved, model=model.spec | {"in_chans": 1})
    assert load_model(saved).spec == model.spec


@pytest.mark.parametrize("name", NAMED)
def test_shipped_weights_load_without_warnings(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load_model(name)
    assert model.logits(np.full((1, *model.input_size), 255, np.uint8)).shape == (1, 5)


def test_a_model_is_loaded_onto_the_device_that_is_asked_for(model, tmp_path):
    save_model(model, tmp_path)
    assert load_model(tmp_path).mean.device.type == "cpu"
    assert load_model(tmp_path, device="auto").mean.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert load_model(tmp_path, device="meta").mean.device.type == "meta"
