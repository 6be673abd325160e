"""Whatever a page's layout, each lead comes to lie in its own place, and is found again in the photo."""

from dataclasses import replace

import numpy as np
import pytest

from ecgutils.findings import LEADS
from ecgutils.hearts import simulate
from ecgutils.plots.figures import _LONGEST, plot_leads
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.reader.arrange import COLUMN_MM, ROW_MM
from ecgutils.reader.leads import MARKS
from ecgutils.synth import PageStyle, render_page

assert MARKS[:12] == LEADS
SETTINGS = PreprocessSettings(size=(768, 384), px_per_mm=2.8)


def drawn(layout, **style):
    rng = np.random.default_rng(4)
    height = {"12x1": 215.0, "6x2": 200.0}.get(layout, 150.0)
    how = {"width_mm": 285.0, "height_mm": height, "header_mm": 0.0, "gap_mm": 0.0} | style
    return render_page(simulate(rng), rng, PageStyle(layout=layout, **how), 5.0)


@pytest.mark.parametrize("layout", ["3x4", "3x4+1", "3x4+3", "6x2", "6x2+1", "12x1", "3x4 Cabrera"])
def test_each_lead_has_its_place_whatever_the_layout(layout):
    page = drawn(layout)
    flat = Preprocessor(SETTINGS)(page.image)
    assert flat.readable
    assert flat.flat_px_per_mm == pytest.approx(2.8, rel=0.02)
    left = (768 - 4 * COLUMN_MM * 2.8) / 2
    for i, lead in enumerate(LEADS):
        x0, y0, x1, y1 = flat.lead_boxes[lead]
        assert abs(x0 - left - i // 3 * COLUMN_MM * 2.8) < 2
        assert x1 - x0 <= COLUMN_MM * 2.8
        assert (
            abs((y0 + y1) / 2 - flat.lead_boxes["III"][1:4:2].mean() - (i % 3 - 2) * ROW_MM * 2.8) < 0.4 * ROW_MM * 2.8
        )
        # its middle lies in the lead's box on the page; within 4 mm, where neighbours touch
        x, y = flat.image_from_flat[round((y0 + y1) / 2), round((x0 + x1) / 2)]
        a, b, c, d = page.lead_boxes[lead] + np.array([-1, -1, 1, 1]) * 20
        assert a < x < c
        assert b < y < d


def test_a_strip_of_ten_seconds_lies_below_and_is_named():
    assert "II_rhythm" in Preprocessor(SETTINGS)(drawn("3x4+1").image).lead_boxes
    assert "II_rhythm" in Preprocessor(SETTINGS)(drawn("12x1").image).lead_boxes  # its own row, once more
    assert not [name for name in Preprocessor(SETTINGS)(drawn("3x4").image).lead_boxes if "rhythm" in name]


def test_a_hidden_lead_leaves_its_place_empty():
    page = drawn("3x4+1")
    x0, y0, x1, y1 = np.rint(page.lead_boxes["V6"]).astype(int)
    image = page.image.copy()
    image[y0 - 60 : y1 + 30, x0 - 5 : x1 + 5] = (240, 220, 150)
    flat = Preprocessor(SETTINGS)(image)
    assert "leads_missing V6" in flat.reasons
    whole = Preprocessor(SETTINGS)(page.image)
    x0, y0, x1, y1 = np.rint(whole.lead_boxes["V6"]).astype(int)
    assert (whole.image[y0:y1, x0:x1] < 128).sum() > 100
    assert (flat.image[y0:y1, x0 + 4 : x1] < 128).sum() < 20


def test_a_tall_beat_is_not_cut_at_the_upper_edge():
    page, settings = drawn("3x4+1"), replace(SETTINGS, size=(384, 192), px_per_mm=1.4)
    rng = np.random.default_rng(4)
    record = simulate(rng)
    tall = replace(record, signal_mv=record.signal_mv * (3.4 / np.abs(record.signal_mv[9]).max()))
    image = render_page(tall, rng, PageStyle(layout="3x4+1", width_mm=285.0, height_mm=230.0, pitch_mm=48.0), 5.0).image
    flats = [Preprocessor(settings)(picture) for picture in (page.image, image)]
    assert all(flat.readable for flat in flats)
    assert (flats[1].image[:2] > 200).all()
    assert flats[1].flat_px_per_mm <= flats[0].flat_px_per_mm


def test_as_printed_where_it_is_asked_for():
    flat = Preprocessor(replace(SETTINGS, arrange=False))(drawn("12x1").image)
    tops = [flat.lead_boxes[lead][1] for lead in LEADS]
    assert (np.diff(tops) > 0).all()
    assert (flat.image_from_flat[5:-5, 5:-5] != -1).all()


@pytest.mark.parametrize("size", [(768, 384), (384, 192)])
@pytest.mark.parametrize("layout", ["3x4+1", "6x2", "12x1"])
def test_boxes_are_drawn_on_the_photo_where_the_leads_are(layout, size):
    page = drawn(layout)
    flat = Preprocessor(replace(SETTINGS, size=size, px_per_mm=size[0] / 274))(page.image)
    lines = plot_leads(page.image, flat).axes[0].lines[-len(flat.lead_boxes) :]
    scale = min(1.0, _LONGEST / max(page.image.shape[:2]))
    for lead, line in zip(flat.lead_boxes, lines, strict=True):
        xy = np.transpose(line.get_data()) / scale
        x0, y0, x1, y1 = page.lead_boxes.get(lead, page.lead_boxes[lead.removesuffix("_rhythm")])
        assert np.ptp(xy[:, 0]) > 200
        assert x0 - 20 < xy[:, 0].min() < xy[:, 0].max() < x1 + 20
        assert abs((xy[:, 1].min() + xy[:, 1].max()) / 2 - (y0 + y1) / 2) < 75  # half a row; neighbours may touch
