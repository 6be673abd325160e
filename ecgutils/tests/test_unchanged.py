"""The same seed draws what it drew before: signals, images and flat pages against fingerprints in `unchanged.json`.

Bytes may differ between processors, so an image is compared as the means of 32 x 16 blocks, within one grey level, a
flat page (of pre-processing version 15) within four: it is measured, not drawn.
A header's numbers tell what is measured of the record, and may change: the upper quarter of a scan, which mostly has a
header, is left out, and the photos are some without one.

    python -m ecgutils.tests.test_unchanged    makes the file anew, after a change that is meant
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgutils.hearts import simulate
from ecgutils.preprocess import Preprocessor
from ecgutils.synth import PHOTO_SOURCE, SOURCES, render_photo, render_scan

FILE = Path(__file__).with_name("unchanged.json")
SEED = 3
FLAT_SEEDS = (3, 5)  # of photos


def render(source, seed):
    record, rng = simulate(np.random.default_rng(seed)), np.random.default_rng([seed, 1])
    return render_photo(record, rng) if source == PHOTO_SOURCE else render_scan(record, rng, source)


def blocks(image):
    """Means of 32 x 16 blocks of a grey or colour image, in reading order."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.round(cv2.resize(grey.astype(np.float32), (32, 16), interpolation=cv2.INTER_AREA)).astype(int).ravel()


def below(source):
    """The blocks below the header."""
    return slice(0 if source == PHOTO_SOURCE else 4 * 32, None)


def samples(seed):
    return simulate(np.random.default_rng(seed)).signal_mv[:, 100::1000].astype(float).ravel()


def flatten(seed):
    return Preprocessor()(render(PHOTO_SOURCE, seed).image).image


def make():
    entries = {f"signal {seed}": {"mv": samples(seed).round(7).tolist()} for seed in (0, 1)}
    for source in SOURCES:
        rendered = render(source, SEED)
        outline = {"quad_xy": rendered.quad_xy.astype(float).round(2).tolist()}
        entries[source] = {**outline, "blocks": blocks(rendered.image).tolist()}
    for seed in FLAT_SEEDS:
        entries[f"flat {seed}"] = {"blocks": blocks(flatten(seed)).tolist()}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def entry(name):
    return json.loads(FILE.read_text(encoding="utf-8"))[name]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_simulates_the_same_heart(seed):
    np.testing.assert_allclose(samples(seed), entry(f"signal {seed}")["mv"], atol=1e-6)


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_seed_draws_the_same_image(source):
    before, rendered = entry(source), render(source, SEED)
    np.testing.assert_allclose(rendered.quad_xy, before["quad_xy"], atol=0.02)
    np.testing.assert_allclose(blocks(rendered.image)[below(source)], before["blocks"][below(source)], atol=1)


@pytest.mark.parametrize("seed", FLAT_SEEDS)
def test_the_same_photo_has_the_same_flat_page(seed):
    np.testing.assert_allclose(blocks(flatten(seed)), entry(f"flat {seed}")["blocks"], atol=4)


if __name__ == "__main__":
    make()
