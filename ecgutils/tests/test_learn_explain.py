"""Heat maps: on the place that decides, on the photo where the page lies, in the lead that holds it."""

import numpy as np
import pytest
import torch
from torch import nn

from ecgutils.evaluate import heat_by_lead
from ecgutils.findings import LEADS
from ecgutils.hearts import simulate
from ecgutils.learn import build_model, heat_maps, heat_on_photo
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.synth import render_scan

SMALL = PreprocessSettings(size=(128, 64))


class Reads(nn.Module):
    """Head that reads MI off one cell of the feature map, and the other findings off nothing."""

    def __init__(self, row, column):
        super().__init__()
        self.row, self.column = row, column

    def forward(self, feature_map):
        cell = feature_map[:, :, self.row, self.column].square().sum(1)
        return torch.stack([0 * cell, 0 * cell, cell, 0 * cell, 0 * cell], dim=1)


@pytest.fixture(scope="module")
def page():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 128), dtype=np.uint8)


@pytest.mark.parametrize(("row", "column"), [(0, 1), (1, 3)])
def test_the_heat_lies_where_the_head_reads(page, row, column):
    model = build_model("convnext_zepto_rms", SMALL)  # 2 x 4 cells of 32 px
    model.head = Reads(row, column)
    heat = heat_maps(model, page, "MI")
    assert heat.shape == page.shape
    for one in heat:
        y, x = np.unravel_index(one.argmax(), one.shape)
        assert (y // 32, x // 32) == (row, column)
    assert not heat_maps(model, page, "AF").any()


def test_heat_is_that_of_one_image_whatever_stands_beside_it(page):
    model = build_model("convnext_zepto_rms", SMALL, dropout=0.5)
    model.train()
    both, alone = heat_maps(model, page, "CD"), heat_maps(model, page[1:], "CD")
    np.testing.assert_allclose(both[1], alone[0], rtol=1e-4, atol=1e-6)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_wrong_findings_and_sizes_are_refused(page):
    model = build_model("convnext_zepto_rms", SMALL)
    with pytest.raises(ValueError, match="Unknown finding 'NORM'"):
        heat_maps(model, page, "NORM")
    with pytest.raises(ValueError, match=r"input must be"):
        heat_maps(model, page[:, 1:], "MI")


def test_heat_comes_back_to_its_place_on_the_photo():
    heat = np.zeros((40, 80), np.float32)
    heat[10:14, 60:64] = 1
    xs, ys = np.meshgrid(np.arange(80), np.arange(40))
    turned = np.stack([600 - 8 * ys, 100 + 8 * xs], -1).astype(np.float32)  # a quarter turn, 8 photo px for one
    photo = heat_on_photo(heat, turned, (700, 900))
    assert photo.shape == (900, 700)
    y, x = np.unravel_index(photo.argmax(), photo.shape)
    assert abs(x - (600 - 8 * 11.5)) < 15
    assert abs(y - (100 + 8 * 61.5)) < 15
    assert not photo[:60].any()
    even = heat_on_photo(np.ones((40, 80), np.float32), turned, (700, 900))
    assert even[200:600, 340:520] == pytest.approx(1, abs=1e-3)


def test_heat_is_counted_in_the_lead_that_holds_it():
    boxes = {"I": np.array([0, 0, 49, 19]), "V1": np.array([50, 0, 99, 19]), "V1_rhythm": np.array([0, 30, 99, 39])}
    heat = np.zeros((40, 100))
    heat[5, 60:70], heat[35, 10:40], heat[25] = 1, 1, 9  # the last two lie in no lead: a rhythm strip is none
    table = heat_by_lead(heat, boxes).set_index("lead")
    assert list(table.index) == list(LEADS)
    assert table.heat["V1"] == 1
    assert table.area["I"] == pytest.approx(1 / 2)
    assert table.ratio["V1"] == pytest.approx(2)
    assert heat_by_lead(np.zeros((40, 100)), boxes).heat.isna().all()


def test_ink_of_a_rendered_page_is_found_in_its_leads():
    rendered = render_scan(simulate(np.random.default_rng(2)), np.random.default_rng(3), source="vector")
    flat = Preprocessor()(rendered.image)
    table = heat_by_lead((255.0 - flat.image), flat.lead_boxes)
    assert (table.heat > 0.01).all()
    page_xy = rendered.projection.to_page(flat.image_from_flat)
    for lead in LEADS:  # the middle of each box lies in the lead that was drawn there
        x0, y0, x1, y1 = np.rint(flat.lead_boxes[lead]).astype(int)
        at, (left, top, right, bottom) = page_xy[(y0 + y1) // 2, (x0 + x1) // 2], rendered.lead_boxes[lead]
        assert left < at[0] < right
        assert top < at[1] < bottom
