from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ecgutils.files import content_hash
from ecgutils.findings import FINDINGS
from ecgutils.learn import FlatSet, augment, join_sets, to_ink
from ecgutils.learn.augmentation import _homographies, _warp
from ecgutils.learn.dataset import draw_rows, sampling_probabilities
from ecgutils.manifest import check_manifest, read_targets, write_targets
from ecgutils.preprocess import FlatCache, PreprocessSettings


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def flat_set(n=40, height=32, width=64, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "images": rng.integers(0, 256, (n, height, width), dtype=np.uint8),
        "labels": (rng.random((n, 5)) < 0.3).astype(np.float32),
        "image_ids": np.array([f"i{k}" for k in range(n)]),
        "cluster_ids": np.array([f"p{k // 2}" for k in range(n)]),
        "sources": np.array(["red" if k % 4 else "green" for k in range(n)]),
        "readable": np.ones(n, bool),
        "grouped": True,
    }
    return FlatSet(**(values | changes))


def manifest(n=6):
    table = pd.DataFrame({"image_id": [f"a{k}" for k in range(n)], "image_source": "red", "patient_id": "p1"})
    for column in ("path", "signal_source", "record_id", "fold", "layout", "px_per_mm", "width", "height"):
        table[column] = ""
    return check_manifest(table.assign(**dict.fromkeys(FINDINGS, 1)))


@pytest.fixture
def cache(tmp_path):
    """Pages of grey value i of images "ai", rows in another order than the manifest's."""
    ids = [f"a{k}" for k in range(5, -1, -1)]
    index = pd.DataFrame(
        {"image_id": ids, "page": [f"{i}.png" for i in ids], "readable": [True] * 5 + [False],
         "quality": np.linspace(0, 1, 6), "reasons": [""] * 5 + ["blurred;glare"]}
    )  # fmt: skip
    for image_id in ids:
        Image.fromarray(np.full((32, 64), int(image_id[1:]), np.uint8)).save(tmp_path / f"{image_id}.png")
    index["page_sha256"] = [content_hash(tmp_path / page) for page in index["page"]]
    return FlatCache(tmp_path, PreprocessSettings(size=(64, 32)), index)


def test_a_set_is_joined_to_its_cache_by_image_id(cache):
    flat = FlatSet.from_cache(cache, manifest())
    assert flat.images[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert flat.readable.tolist() == [False] + [True] * 5
    assert flat.reasons[0] == "blurred;glare"
    assert flat.quality[5] == 0
    assert flat.labels.dtype == np.float32
    assert flat.grouped


def test_signal_targets_are_joined_by_record_and_unknown_ones_are_nan(cache, tmp_path):
    table = manifest().assign(record_id=["r1", "r0", "r1", "r2", "r9", ""])
    known = pd.DataFrame({"record_id": ["r0", "r1", "r2"], "rr_mean": [0.0, 1.0, 2.0], "II_0": [5.0, 6.0, 7.0]})
    write_targets(known, tmp_path / "targets.npz")
    flat = FlatSet.from_cache(cache, table, read_targets(tmp_path / "targets.npz"))
    np.testing.assert_array_equal(flat.targets[:, 0], [1, 0, 1, 2, np.nan, np.nan])
    np.testing.assert_array_equal(flat.targets[:4, 1], [6, 5, 6, 7])
    assert flat.target_names == ("rr_mean", "II_0")
    assert flat.digest() != FlatSet.from_cache(cache, table).digest()


def test_sets_are_joined_when_they_were_made_alike():
    a, b = flat_set(4), flat_set(3, seed=1, image_ids=np.array(["x", "y", "z"]), grouped=False)
    both = join_sets(a, b)
    assert both.image_ids.tolist() == ["i0", "i1", "i2", "i3", "x", "y", "z"]
    np.testing.assert_array_equal(both.images, np.concatenate([a.images, b.images]))
    assert not both.grouped
    with pytest.raises(ValueError, match="not unique"):
        join_sets(a, a)
    with pytest.raises(ValueError, match="same settings"):
        join_sets(a, replace(b, preprocess={"size": [8, 8]}))
    with pytest.raises(ValueError, match="only one of the two sets has targets"):
        join_sets(a, replace(b, targets=np.zeros((3, 2), np.float32)))


def test_an_image_missing_from_the_cache_is_named(cache):
    with pytest.raises(KeyError, match=r"1 image.*'a6'.*build it"):
        FlatSet.from_cache(cache, manifest(7))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((40, 32, 64))}, "must be uint8"),
        ({"labels": np.zeros((40, 4), np.float32)}, "labels must be"),
        ({"labels": np.full((40, 5), 1.5, np.float32)}, "0 to 1, or NaN"),
        ({"sources": np.array(["red"])}, "sources has 1 entries"),
        ({"image_ids": np.array(["a"] * 40)}, "not unique"),
    ],
)
def test_a_set_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        flat_set(**changes)


def test_the_digest_sees_every_change():
    flat = flat_set()
    assert flat.digest() == flat_set().digest()
    pixel = flat.images.copy()
    pixel[7, 3, 3] ^= 1
    others = [{"images": pixel}, {"labels": 1 - flat.labels}, {"sources": flat.sources[::-1]}, {"grouped": False}]
    assert len({flat_set(**change).digest() for change in others} | {flat.digest()}) == 5


def test_balanced_sampling_gives_each_source_the_same_share():
    flat = flat_set(400)
    p = sampling_probabilities(flat)
    assert p.sum() == pytest.approx(1)
    assert p[flat.sources == "red"].sum() == pytest.approx(0.5)


def test_balanced_sampling_shows_rare_findings_more_often():
    labels = np.zeros((1000, 5), np.float32)
    labels[:20, 4], labels[20:320, 0] = 1, 1
    p = sampling_probabilities(flat_set(1000, labels=labels, sources=np.array(["red"] * 1000)))
    roots = np.sqrt([20, 300, 680])
    assert p[:20].sum() == pytest.approx(roots[0] / roots.sum())
    assert p[320:].sum() == pytest.approx(roots[2] / roots.sum())


def test_unreadable_and_unlabelled_images_are_never_drawn(rng):
    labels = flat_set().labels
    labels[:5] = np.nan
    readable = np.arange(40) < 30
    p = sampling_probabilities(flat_set(labels=labels, readable=readable))
    drawn = np.concatenate([draw_rows(p, 16, rng) for _ in range(200)])
    assert set(drawn) == set(range(5, 30))
    with pytest.raises(ValueError, match="None of the 40 training images"):
        sampling_probabilities(flat_set(readable=np.zeros(40, bool)))


def test_rows_are_drawn_with_their_probabilities(rng):
    p = np.array([0.5, 0, 0.25, 0.125, 0.125])
    counts = np.bincount(np.concatenate([draw_rows(p, 8, rng) for _ in range(1000)]), minlength=5)
    np.testing.assert_allclose(counts / 8000, p, atol=0.01)


def test_ink_is_one_where_black_and_exactly_zero_on_white():
    ink = to_ink(np.array([[[0, 255], [51, 204]]], np.uint8))
    assert ink.shape == (1, 1, 2, 2)
    torch.testing.assert_close(ink[0, 0], torch.tensor([[1.0, 0.0], [0.8, 0.2]]))
    assert ink[0, 0, 0, 1] == 0


def test_strength_zero_is_the_identity(rng):
    ink = to_ink(flat_set().images)
    assert torch.equal(augment(ink, rng, 0, 0), ink)


def test_a_vanishing_strength_is_nearly_the_identity(rng):
    ink = to_ink(flat_set().images)
    torch.testing.assert_close(augment(ink, rng, 1e-6, 1e-6), ink, atol=1e-3, rtol=0)


def test_augmentation_depends_on_its_generator_only():
    ink = to_ink(flat_set().images)
    first, again, other = (augment(ink, np.random.default_rng(s), 1, 1) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_augmented_ink_stays_in_range_and_images_differ(rng):
    out = augment(to_ink(np.repeat(flat_set(1).images, 8, axis=0)), rng, 2, 2)
    assert out.min() >= 0
    assert out.max() <= 1
    assert len({float(image.sum()) for image in out}) == 8


def test_a_known_shift_moves_the_image_by_so_many_pixels():
    ink = to_ink(flat_set(2).images)
    maps = np.repeat(np.eye(3, dtype=np.float32)[None], 2, axis=0)
    maps[:, 0, 2] = 2 * 3 / 64  # source is 3 px to the right of the target, W = 64
    moved = _warp(ink, maps)
    torch.testing.assert_close(moved[..., :-3], ink[..., 3:], atol=1e-4, rtol=0)
    assert moved[..., -3:].abs().max() < 1e-4


def test_registration_noise_is_small_and_never_mirrors(rng):
    maps = _homographies(2000, 0.5, rng, 1.0)
    assert (np.linalg.det(maps[:, :2, :2]) > 0.5).all()
    corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], np.float32)
    moved = np.einsum("nij,cj->nci", maps, corners)
    moved = moved[..., :2] / moved[..., 2:]
    offset = np.abs(moved - corners[:, :2]).max(axis=(1, 2)) / 2
    assert np.median(offset) < 0.12
    assert offset.max() < 0.4


def test_the_warp_turns_a_page_without_stretching_it():
    maps = _homographies(1, 0.5, np.random.default_rng(0), 0.0)
    np.testing.assert_array_equal(maps[0], np.eye(3))
    for seed in range(20):
        a = _homographies(1, 0.5, np.random.default_rng(seed), 1.0)[0].astype(float)
        to_px, from_px = np.diag([32.0, 16.0]), np.diag([1 / 32.0, 1 / 16.0])  # H / W = 0.5
        linear = to_px @ a[:2, :2] @ from_px
        angles = np.arctan2(linear[1, 0], linear[0, 0])
        assert abs(angles) < np.radians(5)
        assert abs(linear[0] @ linear[1]) < 0.15
