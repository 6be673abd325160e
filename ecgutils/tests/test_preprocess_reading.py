"""What is read of a page: leads and their boxes, what is missing, mirrored, doubled, too coarse, speed and gain."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from ecgutils.findings import LEADS
from ecgutils.geometry import apply_homography
from ecgutils.hearts import simulate
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.reader.network import read_page
from ecgutils.synth import PageStyle, render_page
from ecgutils.tests.test_preprocess_flatten import QUADS, photograph

FINE = PreprocessSettings(size=(1240, 920), px_per_mm=4)
STYLE = PageStyle(height_mm=190, header_mm=20, footer_mm=8, font="serif")


def page(seed=0, px_per_mm=6.0, **style):
    rng = np.random.default_rng(seed)
    return render_page(simulate(rng, set()), rng, replace(STYLE, **style), px_per_mm)


def codes(flat):
    return {reason.split(" ")[0] for reason in flat.reasons}


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("layout", ["3x4+1", "6x2", "12x1", "3x4 Cabrera"])
def test_each_lead_is_where_it_was_drawn(layout, turn):
    rendered = page(turn, layout=layout)
    photo, homography = photograph(rendered.image, QUADS[turn % 3], (1280, 704))
    flat = Preprocessor(FINE)(np.ascontiguousarray(np.rot90(photo, turn)))
    assert flat.readable
    assert flat.rotation == 90 * turn
    assert flat.layout == layout.split()[0]
    height, width = photo.shape[:2]
    right = 0
    for lead in LEADS:
        x0, y0, x1, y1 = np.rint(flat.lead_boxes[lead]).astype(int)
        middle = flat.image_from_flat[(y0 + y1) // 2, (x0 + x1) // 2].astype(float)
        at = apply_homography(np.linalg.inv(homography), turned_back(middle, turn, (width, height)))
        left, top, end, bottom = rendered.lead_boxes[lead]
        right += left < at[0] < end and top - 12 < at[1] < bottom + 12
    assert right >= 11


def turned_back(xy, turn, size):
    """A point of `np.rot90(photo, turn)` in the photo of `size` (W, H)."""
    (x, y), (width, height) = xy, size
    return np.array([(x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x)][turn], float)


def test_a_mirrored_page_is_refused():
    flat = Preprocessor()(np.ascontiguousarray(page().image[:, ::-1]))
    assert not flat.readable
    assert "mirrored" in flat.reasons


def test_a_single_row_is_no_12_lead_ecg():
    rendered = page(layout="3x4")
    rows = sorted({round(float(box[3])) for box in rendered.lead_boxes.values()})
    flat = Preprocessor()(rendered.image[: rows[len(rows) // 3]])
    assert not flat.readable
    assert codes(flat) & {"not_12_leads", "not_an_ecg"}


def test_leads_under_a_note_are_named():
    rendered = page(3, layout="3x4")
    boxes = np.stack([rendered.lead_boxes[lead] for lead in ("V1", "V2", "V3")])
    x0, y0, x1, y1 = (*boxes[:, :2].min(0).astype(int), *boxes[:, 2:].max(0).astype(int))
    rendered.image[y0 - 20 : y1 + 20, x0 + 8 : x1 - 4] = (250, 240, 150)
    flat = Preprocessor()(rendered.image)
    assert flat.readable
    assert "leads_missing V1 V2 V3" in flat.reasons


def test_without_chest_leads_nothing_is_answered():
    rendered = page(4, layout="6x2")
    middle = int(min(rendered.lead_boxes[lead][0] for lead in LEADS[6:]))
    rendered.image[:, middle + 6 :] = 255
    flat = Preprocessor()(rendered.image)
    assert not flat.readable


def test_of_two_pages_one_is_read_and_said_so():
    both = np.concatenate([page(5, 4.5, layout="3x4+1").image, page(6, 4.5, layout="3x4+1").image])
    flat = Preprocessor()(both)
    assert "several_ecgs" in flat.reasons
    assert len(flat.lead_boxes) == 13


@pytest.mark.parametrize("gain", [5.0, 20.0])
def test_a_flat_page_has_10_mm_a_millivolt(gain):
    heights = []
    for printed in (10.0, gain):
        flat = Preprocessor(FINE)(page(7, layout="3x4", gain=printed, grid="lines").image)
        assert flat.units.gain_mm_mv == printed
        x0, _, x1, _ = flat.lead_boxes["II"].astype(int)
        rows = np.flatnonzero((flat.image[:, x0 + 10 : x1 - 10] < 128).any(1))
        y0, y1 = np.rint(flat.lead_boxes["II"][[1, 3]]).astype(int)
        inside = rows[(rows >= y0 - 4) & (rows <= y1 + 4)]
        heights.append(np.ptp(inside))
    assert heights[1] == pytest.approx(heights[0], rel=0.2)


def test_few_px_a_millimetre_are_told_and_then_refused():
    image = page().image
    seen = {}
    for px_per_mm in (3.5, 1.6, 0.9):
        scale = px_per_mm / 6
        flat = Preprocessor()(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        seen[px_per_mm] = flat.readable, "coarse" in codes(flat)
    assert seen[3.5] == (True, False)
    assert seen[1.6][1]
    assert not seen[0.9][0]


def test_the_reading_does_not_hang_on_the_number_of_threads():
    even = page().image
    before, readings = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        readings.append(read_page(even))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert np.array_equal(readings[0].trace, readings[1].trace)
    assert np.array_equal(readings[0].marks, readings[1].marks)
