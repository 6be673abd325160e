import copy
import time
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from ecgutils.learn import (
    build_model,
)
from ecgutils.learn import model as hub
from ecgutils.learn.optimizer import STEPS, make_optimizer, orthogonalise
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import arm_settings, load_profile

SMALL = PreprocessSettings(size=(128, 64))
TINY = "convnext_zepto_rms"
STAGE1 = arm_settings(load_profile("demo"))["stage1"]


@pytest.fixture
def model():
    return build_model(TINY, SMALL).eval()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 128), dtype=np.uint8)


@pytest.mark.parametrize("backbone", [TINY, "resnet10t"])
def test_one_logit_per_finding(backbone):
    model = build_model(backbone, SMALL)
    assert model.input_size == (64, 128)
    assert model(torch.zeros(2, 1, 64, 128)).shape == (2, 5)


@pytest.mark.parametrize("size", [(160, 96), (333, 97)])
def test_any_height_and_width(size):
    model = build_model(TINY, PreprocessSettings(size=size))
    assert model(torch.zeros(1, 1, size[1], size[0])).shape == (1, 5)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = (build_model(TINY, SMALL, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_the_head_can_tell_left_from_right(model):
    feature_map = torch.randn(1, 256, 2, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (model.head(feature_map) - model.head(feature_map.flip(3))).abs().max() > 1e-3


def test_a_place_looks_near_its_point_and_is_moved_by_what_it_sees():
    head = build_model(TINY, PreprocessSettings(size=(256, 128))).head.eval()
    seen = torch.randn(1, 256, 4, 8, generator=torch.Generator().manual_seed(0))
    marked = seen.clone()
    marked[..., 0, 0] += torch.randn(256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        change = (head.embed(marked) - head.embed(seen)).view(16, 96).abs().amax(1)
        assert change[0] > 100 * change[15]  # the first and the last point
        before = head.embed(seen)
        head.query.mul_(50)
        assert (head.embed(seen) - before).abs().max() > 0.1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backbone": "convnext_ato"}, "Unknown backbone 'convnext_ato'.*convnext_atto"),
        ({"backbone": "vit_tiny_patch16_224"}, "choose a convolutional one|cannot be built"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"backbone": "vgg11", "drop_path": 0.1}, "cannot be built"),
    ],
)
def test_impossible_models_are_refused(wrong, message):
    settings = SMALL if "vit" not in wrong.get("backbone", "") else PreprocessSettings(size=(224, 224))
    with pytest.raises(ValueError, match=message):
        build_model(**({"backbone": TINY, "settings": settings} | wrong))


def test_a_wrong_input_shape_says_what_was_expected(model, images):
    with pytest.raises(ValueError, match=r"must be \(B, 1, 64, 128\), got \(1, 1, 128, 64\)"):
        model(torch.zeros(1, 1, 128, 64))
    with pytest.raises(ValueError, match="must be uint8"):
        model.logits(images.astype(float))


def test_logits_do_not_depend_on_the_mode(model, images):
    all_at_once = model.logits(images)
    assert all_at_once.shape == (5, 5)
    assert all_at_once.dtype == np.float32
    np.testing.assert_allclose(model.train().logits(images), all_at_once, atol=1e-5)
    assert model.training


def test_layers_count_from_stem_to_head(model):
    layers = model.parameter_layers()
    assert layers["backbone.stem.0.weight"] == 0
    assert layers["head.classify.weight"] == max(layers.values()) > 5
    assert set(layers) == {name for name, _ in model.named_parameters()}


def test_layer_decay_slows_early_layers_and_vectors_do_not_decay(model):
    optimizer = make_optimizer(model, replace(STAGE1, layer_decay=0.5, weight_decay=0.1))
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(of) == len(list(model.parameters()))
    assert of[id(model.head.classify.weight)]["lr_scale"] == 1
    assert of[id(model.backbone.stem[0].weight)]["lr_scale"] == 0.5 ** max(model.parameter_layers().values())
    assert of[id(model.head.classify.weight)]["weight_decay"] == 0.1
    assert of[id(model.head.classify.bias)]["weight_decay"] == 0


def test_muon_takes_the_matrices_between_the_layers(model):
    optimizer = make_optimizer(model, STAGE1)
    muon = {id(p) for group in optimizer.param_groups if not group["use_fallback"] for p in group["params"]}
    taken = {name for name, p in model.named_parameters() if id(p) in muon}
    assert taken >= {"head.project.weight", "head.key.weight", "backbone.stages.1.downsample.1.weight"}
    assert any("mlp.fc1.weight" in name for name in taken)
    assert not any(part in name for name in taken for part in ("bias", "stem", "conv_dw", "classify", "near", "query"))
    adamw = make_optimizer(model, replace(STAGE1, optimizer="adamw"))
    assert type(adamw) is torch.optim.AdamW


def test_muon_calculates_in_float32_on_a_cpu(model):
    optimizer, weight = make_optimizer(model, STAGE1), model.head.project.weight
    weight.data.zero_()
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    assert len(weight.unique()) > 0.9 * weight.numel()  # bfloat16 has 128 values from 1 to 2


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16), (1, 1)])
def test_matrices_are_orthogonalised_as_timm_does(shape):
    update = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = timm.optim.muon.zeropower_via_newtonschulz(update, len(STEPS), list(STEPS), dtype=torch.float64)
    torch.testing.assert_close(orthogonalise(update).double(), expected, rtol=1e-4, atol=1e-4)
    assert not orthogonalise(torch.zeros(shape)).any()


def test_muon_steps_as_timms_does_and_leaves_timm_alone(model):
    twin = copy.deepcopy(model)
    fast = replace(STAGE1, lr=0.5)
    ours, theirs = make_optimizer(model, fast), timm.optim.Muon(make_optimizer(twin, fast).param_groups)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for _ in range(3):
        for a, b in zip(model.parameters(), twin.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        ours.step()
        theirs.step()
    for (name, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.03, msg=name)  # theirs is in bfloat16
        assert (a - before[name]).std() > 0.1 or a.numel() < 10
    assert timm.optim.muon.zeropower_via_newtonschulz.__module__ == "timm.optim.muon"


# pretrained weights


@pytest.fixture
def weights_file(tmp_path):
    """Stand-in for a download: random weights of the whole timm model, classifier included."""
    torch.manual_seed(99)
    state = timm.create_model("convnext_atto_ols").state_dict()
    safetensors.torch.save_file(state, tmp_path / "atto.safetensors")
    return tmp_path / "atto.safetensors", state


def test_local_weights_are_loaded_and_said(weights_file):
    path, state = weights_file
    model = build_model("convnext_atto_ols", SMALL, pretrained=path)
    assert torch.equal(model.backbone.stem[1].weight, state["stem.1.weight"])
    assert model.pretrained_status.startswith("ImageNet weights from file atto.safetensors")


def test_the_one_channel_gets_the_summed_kernel_and_mean_statistics(weights_file):
    path, state = weights_file
    model = build_model("convnext_atto_ols", SMALL, pretrained=str(path))
    torch.testing.assert_close(model.backbone.stem[0].weight, state["stem.0.weight"].sum(1, keepdim=True))
    assert model.mean.item() == pytest.approx(0.449)


def test_imagenet_statistics_only_with_imagenet_weights(model):
    assert model.mean.item() == 0
    assert model.std.item() == 1


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file .*none\.safetensors"):
        build_model(TINY, SMALL, pretrained=tmp_path / "none.safetensors")


def test_a_file_of_another_model_is_refused(tmp_path):
    safetensors.torch.save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"x\.safetensors .* (fits only|does not hold)"):
        build_model(TINY, SMALL, pretrained=tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"y\.safetensors .* does not hold weights"):
        build_model(TINY, SMALL, pretrained=tmp_path / "y.safetensors")


def test_an_unreachable_hub_fails_fast_with_a_warning(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.huggingface_hub, "model_info", lambda *_, **__: time.sleep(60))
    monkeypatch.setattr(hub.hub_answers, "__defaults__", (0.2,))
    started = time.monotonic()
    with pytest.warns(UserWarning, match="model hub could not be reached"):
        model = build_model("convnext_atto_ols", SMALL, pretrained=True)
    assert time.monotonic() - started < 5
    assert model.pretrained_status.startswith("random initialisation: the model hub")


def test_a_backbone_that_has_no_weights_says_so():
    with pytest.warns(UserWarning, match="timm's hub has no pretrained weights for convnext_atto_rms"):
        build_model("convnext_atto_rms", SMALL, pretrained=True)


def test_logits_do_not_depend_on_how_many_images_are_read_at_once(model, images, monkeypatch):
    at_once = model.logits(images)
    monkeypatch.setattr("ecgutils.learn.model.CPU_PIXELS", 2 * 64 * 128)
    np.testing.assert_allclose(model.logits(images), at_once, atol=1e-5)
