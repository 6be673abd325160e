"""Test-time views: small, never mirrored, averaged."""

import numpy as np
import pandas as pd
import pytest

from ecgutils.findings import FINDINGS
from ecgutils.learn import VIEWS, View, build_model, predict_set
from ecgutils.tests.test_learn_predict import SMALL
from ecgutils.tests.test_learn_train import ecg_like


def marked(x, y, h=80, w=160):
    image = np.full((1, h, w), 255, np.uint8)
    image[0, y - 2 : y + 3, x - 2 : x + 3] = 0
    return image


def where(images):
    ink = 255.0 - images[0]
    return (
        np.array([(ink.sum(axis=0) @ np.arange(ink.shape[1])), (ink.sum(axis=1) @ np.arange(ink.shape[0]))]) / ink.sum()
    )


def test_the_first_view_is_the_page_itself():
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 80), dtype=np.uint8)
    assert np.array_equal(VIEWS[0](images), images)
    assert VIEWS[0](images[:0]).shape == (0, 40, 80)


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_moves_a_mark_by_more_than_three_hundredths_of_the_width(view):
    for x, y in [(10, 10), (150, 10), (150, 70), (10, 70), (80, 40)]:
        assert np.abs(where(view(marked(x, y))) - (x, y)).max() < 0.03 * 160


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_is_a_mirror(view):
    left, right, low = (where(view(marked(*at))) for at in ((20, 20), (140, 20), (20, 60)))
    assert right[0] - left[0] > 100
    assert low[1] - left[1] > 30


def test_known_views():
    assert where(View(shift=(5, 0))(marked(80, 40))) == pytest.approx([88, 40], abs=0.1)
    assert where(View(scale=1.5)(marked(100, 40))) == pytest.approx([79.5 + 1.5 * 20.5, 39.5 + 0.75], abs=0.3)
    assert View(ink=0.5)(marked(80, 40)).min() == 128
    assert View(ink=2)(np.full((1, 4, 4), 200, np.uint8)).max() == 145


def test_views_are_averaged_and_unreadable_rows_stay_nan():
    model = build_model("convnext_zepto_rms", SMALL)
    flat = ecg_like(6, 2, readable=np.array([True, False, True, True, True, True]))
    table = predict_set(model, flat, views=True)
    assert table.ID.tolist() == flat.image_ids.tolist()
    assert table.loc[1, list(FINDINGS)].isna().all()
    plain = predict_set(model, flat)
    assert 0 < (table[list(FINDINGS)] - plain[list(FINDINGS)]).abs().max(axis=None) < 0.2
    mixed = predict_set(model, flat.subset(np.array([4, 0, 5, 1, 3, 2])), views=True)
    pd.testing.assert_frame_equal(mixed.set_index("ID").loc[table.ID], table.set_index("ID"), atol=1e-6)
    each = [1 / (1 + np.exp(-model.logits(view(flat.images)[:1]).astype(float))) for view in VIEWS]
    assert table.loc[0, list(FINDINGS)].to_numpy(float) == pytest.approx(np.mean(each, axis=0)[0], abs=1e-6)
