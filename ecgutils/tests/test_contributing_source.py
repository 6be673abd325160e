"""The worked example "a new scan source" of CONTRIBUTING.md does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

from ecgutils.files import content_hash
from ecgutils.synth import generate_images, render_scan
from ecgutils.synth.sources import SCANS
from ecgutils.tests.test_synth_page import make_record

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def example():
    """The code of the example, as text."""
    section = GUIDE.read_text(encoding="utf-8").split("## A new scan source\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.S)[1]


@pytest.fixture
def source(example, monkeypatch):
    """The example's source, known while the test runs."""
    module = {}
    exec(compile(example, "CONTRIBUTING.md", "exec"), module)
    monkeypatch.setitem(SCANS, module["SOURCE"].name, module["SOURCE"])
    return module["SOURCE"]


def test_the_example_is_short(example):
    assert len(example.splitlines()) < 30


def test_the_example_draws_scans(source):
    scan = render_scan(make_record(), np.random.default_rng(0), source.name, (550, 425))
    assert scan.image.shape == (425, 550, 3)
    assert scan.style["source"] == source.name
    assert 0.6 <= scan.style["depth"] <= 0.9
    red, _, blue = scan.image.reshape(-1, 3).mean(0)
    assert blue > red + 30


def test_other_sources_are_drawn_as_before(tmp_path, request):
    generate_images([make_record()], tmp_path / "before", ("fax", "photo"), seed=1, size=(400, 220))
    source = request.getfixturevalue("source")
    generate_images([make_record()], tmp_path / "after", (source.name, "photo", "fax"), seed=1, size=(400, 220))
    for image in ("fax/toy-fax.jpg", "photo/toy-photo.jpg"):
        assert content_hash(tmp_path / "before" / image) == content_hash(tmp_path / "after" / image)
