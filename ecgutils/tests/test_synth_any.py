"""Whatever style is drawn: no exception, the right size, corners in bounds, a visible trace, the same again."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgutils.synth import PHOTO_SOURCE, SOURCES, draw_style, render_page, render_photo, render_scan
from ecgutils.tests.test_synth_page import make_record

SIZES = [(640, 352), (300, 500), (420, 420), (1100, 850)]
ANY = (st.sampled_from(SOURCES), st.integers(0, 2**32 - 1), st.sampled_from(SIZES))


def draw(source, seed, size):
    rng = np.random.default_rng(seed)
    if source == PHOTO_SOURCE:
        return render_photo(make_record(), rng, size=size)
    return render_scan(make_record(), rng, source, size)


def contrast(rendered):
    """Grey levels by which the trace is darker than what lies 3 to 4 px beside it."""
    grey = cv2.cvtColor(rendered.image, cv2.COLOR_RGB2GRAY).astype(float)
    near, nearer = (cv2.dilate(rendered.trace_mask, np.ones((n, n))) > 0 for n in (9, 5))
    return grey[near & ~nearer].mean() - grey[rendered.trace_mask > 100].mean()


def check(source, seed, size):
    rendered = draw(source, seed, size)
    w, h = rendered.image.shape[1::-1]
    assert sorted((w, h)) == sorted(size)
    assert rendered.image.dtype == rendered.trace_mask.dtype == np.uint8
    assert rendered.trace_mask.shape == (h, w)
    outside = np.array([w, h]) if source == PHOTO_SOURCE else np.full(2, 0.025 * max(w, h))
    assert (rendered.quad_xy >= -outside).all()
    assert (rendered.quad_xy <= np.array([w, h]) + outside).all()
    assert contrast(rendered) > 8
    boxes = np.stack(list(rendered.lead_boxes.values()))
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= np.array(rendered.page_size) - 1).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert json.loads(json.dumps(rendered.style))["source"] == source


@settings(max_examples=50, deadline=None)
@given(*ANY)
def test_any_image_is_complete(source, seed, size):
    check(source, seed, size)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(*ANY)
def test_each_of_two_thousand_images_is_complete(source, seed, size):
    check(source, seed, size)


@settings(max_examples=15, deadline=None)
@given(*ANY)
def test_the_same_seed_draws_the_same_image(source, seed, size):
    one, two = (draw(source, seed, size) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.trace_mask, two.trace_mask)
    assert one.style == two.style


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SOURCES), st.integers(0, 2**32 - 1), st.floats(0.5, 3), st.floats(1.5, 5))
def test_any_page_is_as_large_as_its_paper(source, seed, aspect, ppm):
    rng = np.random.default_rng(seed)
    style = draw_style(rng, source, aspect)
    page = render_page(make_record(), rng, style, ppm)
    assert page.image.shape == (round(style.height_mm * ppm), round(style.width_mm * ppm), 3)
    assert page.trace_mask.any()
