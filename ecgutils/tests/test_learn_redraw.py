"""Pages drawn straight from signals: leads in their places, another page each time, alike to what is read."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecgutils.findings import LEADS
from ecgutils.hearts import simulate
from ecgutils.learn.dataset import join_sets
from ecgutils.learn.redraw import draw_flat, redraw
from ecgutils.learn.train import Run
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.synth import render_scan
from ecgutils.tests.test_learn_train import QUICK, SMALL, ecg_like, tiny

SETTINGS = PreprocessSettings()


def drawn(signal, seed=0, settings=SETTINGS):
    return draw_flat(signal, np.random.default_rng(seed), settings)


def cell(image, lead):
    """The part of a flat page of SETTINGS where the middle of a lead's column lies."""
    (width, height), ppm = SETTINGS.size, SETTINGS.px_per_mm
    row, column = LEADS.index(lead) % 3, LEADS.index(lead) // 3
    left, top = width / 2 + (column - 2) * 62.5 * ppm, height / 2 + (19 + 30 * row - 62) * ppm
    return image[round(top - 13 * ppm) : round(top + 13 * ppm), round(left + 8 * ppm) : round(left + 50 * ppm)]


def test_the_same_generator_draws_the_same_page_and_another_one_another():
    signal = simulate(np.random.default_rng(1), fs=100).signal_mv
    page = drawn(signal)
    assert page.shape == (192, 384)
    assert page.dtype == np.uint8
    np.testing.assert_array_equal(page, drawn(signal))
    assert (page != drawn(signal, 1)).mean() > 0.01


@pytest.mark.parametrize("lead", ["I", "aVF", "V2", "V6"])
def test_a_lead_is_drawn_in_its_cell_with_its_height(lead):
    signal = np.zeros((12, 1000), np.float32)
    signal[LEADS.index(lead), 40::80] = signal[LEADS.index(lead), 41::80] = 1.0
    heights = {name: [] for name in LEADS}
    for seed in range(20):
        page = drawn(signal, seed)
        for name in LEADS:
            inked = np.flatnonzero((cell(page, name) < 128).any(1))
            heights[name].append(np.ptp(inked) if len(inked) else 0)
    tall = {name: np.median(found) for name, found in heights.items()}
    assert tall[lead] == pytest.approx(10 * SETTINGS.px_per_mm, abs=2.5)
    assert max(found for name, found in tall.items() if name != lead) < 4


def test_what_is_not_known_is_left_out():
    signal = simulate(np.random.default_rng(1), fs=100).signal_mv
    signal[LEADS.index("V1")] = np.nan
    ink = [np.mean([(cell(drawn(signal, seed), lead) < 128).mean() for seed in range(8)]) for lead in ("V1", "V2")]
    assert ink[0] < 0.1 * ink[1]


def test_pages_look_like_those_that_are_read():
    rng = np.random.default_rng(4)
    record = simulate(rng)
    read = Preprocessor(SETTINGS)(render_scan(record, rng, "vector").image)
    ink = [255.0 - drawn(record.signal_mv, seed) for seed in range(12)]
    seen, mean = (cv2.GaussianBlur(image, (0, 0), 4) for image in (255.0 - read.image, np.mean(ink, axis=0)))
    assert np.corrcoef(seen.ravel(), mean.ravel())[0, 1] > 0.8
    assert np.mean(ink) == pytest.approx((255.0 - read.image).mean(), rel=0.3)


def test_images_without_a_signal_stay():
    signals = np.full((2, 12, 1000), np.nan, np.float16)
    signals[1] = simulate(np.random.default_rng(1), fs=100).signal_mv
    images = np.zeros((2, 192, 384), np.uint8)
    shown = redraw(images, signals, np.random.default_rng(0), SETTINGS)
    assert (shown[0] == 0).all()
    assert np.median(shown[1]) == 255
    assert (images == 0).all()


def test_training_sees_another_page_in_each_step_and_the_same_in_the_same_step(tmp_path):
    signal = simulate(np.random.default_rng(1), fs=100).signal_mv.astype(np.float16)
    train = ecg_like(8, 0, signals=np.repeat(signal[None], 8, 0))
    settings = replace(QUICK, geometry=0.0, appearance=0.0)
    run = Run(tiny(), train, ecg_like(8, 1), settings, tmp_path, {})
    ink, _, _ = run.batch(3)
    assert ink.shape[2:] == SMALL.size[::-1]
    np.testing.assert_array_equal(ink, run.batch(3)[0])
    assert len({page.numpy().tobytes() for page in ink}) == len(ink)


def test_sets_are_joined_only_where_both_have_signals():
    with pytest.raises(ValueError, match="only one of the two sets has signals"):
        join_sets(ecg_like(4, 0), ecg_like(4, 1, signals=np.zeros((4, 12, 1000), np.float16)))
