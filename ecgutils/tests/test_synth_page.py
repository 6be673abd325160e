"""Flat pages: what is drawn is where the truth says, at the scale it says."""

from dataclasses import replace

import numpy as np
import pytest

from ecgutils.findings import LEADS
from ecgutils.signals.record import Record
from ecgutils.synth import LAYOUTS, PageStyle, draw_style, render_page
from ecgutils.synth.page import _coverage


def make_record(signal_mv=None, seconds=10, fs=500, record_id="toy", **kw):
    """Twelve leads of triangular 1 Hz beats whose height differs from lead to lead, unless a signal is given."""
    if signal_mv is None:
        t = np.arange(int(seconds * fs)) / fs
        beat = np.clip(1 - np.abs((t % 1) - 0.5) / 0.03, 0, None)
        signal_mv = np.linspace(-1, 1.5, 12)[:, None] * beat
    return Record(np.asarray(signal_mv, np.float32), fs, frozenset({"MI"}), record_id, **kw)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_shows_every_lead_where_its_box_is(layout, rng):
    page = render_page(make_record(), rng, PageStyle(layout=layout, gain=5))
    assert page.image.shape == (864, 1118, 3)
    assert page.image.dtype == page.trace_mask.dtype == np.uint8
    assert set(LEADS) <= set(page.lead_boxes)
    inside = np.zeros(page.trace_mask.shape, bool)
    for x0, y0, x1, y1 in page.lead_boxes.values():
        part = np.s_[int(y0) : int(y1) + 2, int(x0) : int(x1) + 2]
        assert page.trace_mask[part].max() > 200
        inside[part] = True
    assert not page.trace_mask[~inside].any()


def test_rhythm_strips_have_their_own_name(rng):
    page = render_page(make_record(), rng, PageStyle(layout="3x4+3"))
    assert {n for n in page.lead_boxes if n not in LEADS} == {"II_rhythm", "V1_rhythm", "V5_rhythm"}
    assert page.style["source"] == "vector"
    assert page.style["layout"] == "3x4+3"


def test_a_drawn_sine_is_read_back_from_the_trace_mask(rng):
    t = np.arange(5000) / 500
    signal = np.zeros((12, 5000))
    signal[1] = 0.5 * np.sin(2 * np.pi * 1.3 * t)
    ppm = 6.0
    page = render_page(make_record(signal), rng, PageStyle(layout="3x4+1"), ppm)
    x0, y0, x1, y1 = page.lead_boxes["II_rhythm"].astype(int)
    band = page.trace_mask[y0 : y1 + 1, x0 + 10 : x1 - 10].astype(float)
    y = (band * np.arange(len(band))[:, None]).sum(0) / band.sum(0)
    seconds = np.arange(len(y)) / ppm / 25

    def misfit(hz):
        basis = np.stack([np.sin(2 * np.pi * hz * seconds), np.cos(2 * np.pi * hz * seconds), np.ones_like(y)], 1)
        fit, residual, *_ = np.linalg.lstsq(basis, y, rcond=None)
        return residual[0], np.hypot(*fit[:2])

    best = min(np.linspace(1.28, 1.32, 161), key=lambda hz: misfit(hz)[0])
    assert best == pytest.approx(1.3, rel=2e-3)
    assert misfit(best)[1] == pytest.approx(0.5 * 10 * ppm, abs=0.5)


def test_the_grid_has_lines_at_its_phase_every_five_mm(rng):
    style = PageStyle(grid="coarse", major_rgb=(0, 0, 0), calibration="none")
    page = render_page(make_record(np.zeros((12, 5000))), rng, style, 8.0)
    row = np.median(page.image[:20, :, 0], axis=0)  # above the traces; at most one of these rows is itself a line
    lines = (page.style["grid_phase_mm"][0] + 5 * np.arange(50)) * 8.0
    at = np.round(lines).astype(int)
    dark = 255 - np.stack([row[at + d] for d in (-2, -1, 0, 1, 2)], 1)
    centre = at + (dark * np.arange(-2, 3)).sum(1) / dark.sum(1)
    assert np.abs(centre - lines).max() < 0.3


def test_a_millimetre_grid_has_no_bold_lines(rng):
    style = PageStyle(grid="millimetre", calibration="none", major_rgb=(255, 0, 0), minor_rgb=(0, 0, 0), minor_mm=0.2)
    page = render_page(make_record(np.zeros((12, 5000))), rng, style, 10.0)
    row = np.median(page.image[:20, :, 0].astype(float), axis=0)[3:-3]
    by_mm = row[: len(row) // 10 * 10].reshape(-1, 10).mean(1)
    assert np.ptp(by_mm) < 3  # every millimetre holds as much ink as the next
    assert by_mm.mean() < 0.9 * row.max()


def test_line_coverage_adds_up_to_the_ink_that_was_ordered():
    coverage = _coverage(np.arange(4000), 4.0, 1.0, 0.13, 0.37)
    assert coverage.min() >= 0
    assert coverage.max() <= 1
    assert coverage.mean() == pytest.approx(0.13, rel=1e-3)


def test_trace_width_follows_the_style(rng):
    flat = make_record(np.zeros((12, 5000)))
    for width_mm in (0.2, 0.4, 0.6):
        mask = render_page(flat, rng, PageStyle(layout="12x1", trace_mm=width_mm), 6.0).trace_mask
        assert mask[:, 400:1000].sum() / 255 / 600 / 12 == pytest.approx(width_mm * 6, abs=0.4)


def test_missing_samples_leave_a_gap(rng):
    signal = np.zeros((12, 5000))
    signal[:, 1000:2000] = np.nan
    page = render_page(make_record(signal), rng, PageStyle(layout="12x1", width_mm=270))
    columns = np.flatnonzero(page.trace_mask.any(0))
    assert np.diff(columns).max() == pytest.approx(2 * 25 * 4, abs=4)


@pytest.mark.parametrize("seconds", [0.002, 1, 4.0, 30])
def test_short_and_long_records_are_drawn(seconds, rng):
    page = render_page(make_record(np.zeros((12, int(seconds * 500)))), rng, PageStyle())
    assert np.isfinite(np.stack(list(page.lead_boxes.values()))).all()


def test_all_nan_and_huge_values_are_drawn(rng):
    for value in (np.nan, 1e30, -1e30):
        assert render_page(make_record(np.full((12, 500), value)), rng, PageStyle()).image.shape[2] == 3


def test_same_rng_same_page():
    a, b = (render_page(make_record(), np.random.default_rng(3)) for _ in range(2))
    assert a.style == b.style
    assert np.array_equal(a.image, b.image)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"layout": "4x3"}, "layout"),
        ({"grid": "plaid"}, "grid"),
        ({"speed": 0}, "speed"),
        ({"gain": float("nan")}, "gain"),
        ({"height_mm": 30}, "page of"),
        ({"header_mm": 200}, "page of"),
    ],
)
def test_an_impossible_style_is_refused(change, word):
    with pytest.raises(ValueError, match=word):
        replace(PageStyle(), **change)


def test_an_impossible_scale_or_source_is_refused(rng):
    with pytest.raises(ValueError, match="px_per_mm"):
        render_page(make_record(), rng, PageStyle(), px_per_mm=0.1)
    with pytest.raises(ValueError, match="choose from"):
        draw_style(rng, "painting")


def test_chest_leads_can_have_half_the_gain_and_a_stepped_pulse_shows_both():
    signal = np.zeros((12, 5000))
    signal[:, 600] = 1.0
    style = PageStyle(layout="6x2", gain=10, chest_gain=5, sequential=False, calibration="stepped", grid="none")
    page = render_page(make_record(signal), np.random.default_rng(0), style, 8.0)
    height = {name: (y1 - y0) / 8.0 for name, (x0, y0, x1, y1) in page.lead_boxes.items()}
    assert height["I"] - height["V1"] == pytest.approx(5, abs=0.1)
    left = int(page.lead_boxes["I"][0])
    pulse = page.image[: int(page.lead_boxes["I"][3]), :left].min(axis=2) < 128
    tops = np.flatnonzero(pulse.any(0))
    tops = pulse[:, tops[0] : tops[-1]].argmax(axis=0)
    assert {10, 5} <= {round((tops.max() - y) / 8.0) for y in tops}


def test_columns_end_early_by_the_gap(rng):
    wide, gapped = (
        render_page(make_record(), np.random.default_rng(0), PageStyle(gap_mm=gap), 8.0) for gap in (0.0, 2.0)
    )
    assert wide.lead_boxes["I"][2] - gapped.lead_boxes["I"][2] == pytest.approx(2 * 8, abs=1)


def test_pen_marks_are_drawn_and_are_no_trace():
    plain, noted = (
        render_page(make_record(), np.random.default_rng(0), PageStyle(notes=n, pen_rgb=(255, 0, 0))) for n in (0, 5)
    )
    assert np.array_equal(plain.trace_mask, noted.trace_mask)
    changed = (plain.image != noted.image).any(2)
    assert changed.sum() > 200
    assert (noted.image[changed][:, 0] > plain.image[changed][:, 0].astype(int) - 2).all()  # red ink darkens no red


def test_a_dotted_grid_has_its_dots_inside_the_boxes_only():
    style = PageStyle(grid="dots", minor_rgb=(0, 0, 0), minor_mm=0.4, major_rgb=(255, 120, 120), calibration="none")
    page = render_page(make_record(np.full((12, 500), np.nan)), np.random.default_rng(0), style, 10.0)
    x0, y0 = ((p + 50) * 10 for p in page.style["grid_phase_mm"])
    spots = page.image[np.ix_(*(np.round(o + 10 * np.arange(20)).astype(int) for o in (y0, x0)))].max(2)
    dark = spots < 100
    bold = np.arange(20) % 5 == 0
    assert dark[np.ix_(~bold, ~bold)].all()
    assert not dark[bold].any()
    assert not dark[:, bold].any()
