"""Which lead is where: drawn traces and painted names in, boxes out; what is not there is not invented."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecgutils.findings import LEADS
from ecgutils.hearts import simulate
from ecgutils.reader.leads import MARKS, find_leads
from ecgutils.synth import LAYOUTS, PageStyle, render_page
from ecgutils.synth.ink import stroke
from ecgutils.synth.style import plan_page


def drawn(layout, seed=0, **style):
    """Trace map, boxes, and the printed names as (lead, x, y of the middle) in mm."""
    rng = np.random.default_rng([seed, 3])
    page = PageStyle(layout=layout, names="above", **style)
    made = render_page(simulate(rng), rng, page)
    names = [(s.name.removesuffix("_rhythm"), s.left_mm + 1, s.zero_mm - 4.3) for s in plan_page(page, 10.0).strips]
    return made.trace_mask, made.lead_boxes, names


def painted(shape, names):
    marks = np.zeros((len(MARKS), shape[0] // 4, shape[1] // 4), np.float32)
    for lead, x, y in names:
        marks[LEADS.index(lead), round(y) - 1 : round(y) + 2, round(x) : round(x) + 1 + 2 * len(lead)] = 230
    return np.stack([cv2.GaussianBlur(mark, (0, 0), 0.6) for mark in marks])


def overlap_x(a, b):
    return (min(a[2], b[2]) - max(a[0], b[0])) / (max(a[2], b[2]) - min(a[0], b[0]))


def is_right(leads, boxes):
    """All leads are there, and where they are in x."""
    return set(leads.boxes) == set(boxes) and all(overlap_x(leads.boxes[k], boxes[k]) > 0.8 for k in boxes)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(layout):
    trace, boxes, names = drawn(layout, gain=5.0)
    leads = find_leads(trace, painted(trace.shape, names))
    assert (leads.layout, leads.missing, leads.groups, leads.assumed) == (layout.split()[0], (), 1, False)
    assert is_right(leads, boxes)
    assert not leads.missing
    middle = {name: (box[1] + box[3]) / 2 for name, box in boxes.items()}
    pitch = np.diff(np.unique(np.rint([*middle.values()]))).mean()
    assert all(abs((leads.boxes[k][1] + leads.boxes[k][3]) / 2 - middle[k]) < pitch / 3 for k in boxes)
    assert all(box.dtype == np.float32 and box.shape == (4,) for box in leads.boxes.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lost_and_wrong_names_are_set_right(layout):
    trace, boxes, names = drawn(layout, seed=1)
    names = [name for i, name in enumerate(names) if i % 3 or i > 11]
    names[2] = ("V6" if names[2][0] != "V6" else "I", *names[2][1:])
    assert is_right(find_leads(trace, painted(trace.shape, names)), boxes)


def test_words_beside_the_names_do_not_cost_a_cut_page_its_first_lead():
    trace, boxes, names = drawn("12x1", seed=4, gain=5.0)
    zero = [y + 4.3 for _, _, y in names]
    trace = trace[: round(2 * (zero[9] + zero[10]))]  # half way below the tenth row, at 4 px/mm
    strays = [("aVF", trace.shape[1] / 4 - 8, y) for y in zero[:5]]
    leads = find_leads(trace, painted(trace.shape, [*names[:10], *strays]))
    assert leads.missing == ("V5", "V6")
    assert is_right(leads, {lead: boxes[lead] for lead in LEADS[:10]})


@pytest.mark.parametrize("layout", ["3x4", "3x4+1", "12x1"])
def test_an_order_without_names_is_assumed_and_says_so(layout):
    trace, boxes, _ = drawn(layout, seed=2)
    leads = find_leads(trace, painted(trace.shape, []))
    assert leads.assumed
    assert is_right(leads, boxes)


@pytest.mark.parametrize("layout", ["3x4", "6x2"])
@pytest.mark.parametrize(
    "order",
    [
        ("aVL", "I", "aVR", "II", "aVF", "III", *LEADS[6:]),  # Cabrera
        (*LEADS[6:], *LEADS[:6]),
        ("III", "I", "V2", "V1", "II", "aVF", "V6", "aVR", "V5", "aVL", "V4", "V3"),  # nobody prints it so
    ],
)
def test_another_order_is_read(layout, order):
    trace, boxes, names = drawn(layout, seed=3)
    other = dict(zip(LEADS, order, strict=True))
    leads = find_leads(trace, painted(trace.shape, [(other[lead], x, y) for lead, x, y in names]))
    assert is_right(leads, {other[lead]: box for lead, box in boxes.items()})


def test_a_page_cut_to_its_top_row_has_four_leads_and_to_its_strip_one():
    trace, _, names = drawn("3x4+1", seed=4)
    rows = 4 * (np.unique([y for _, _, y in names]) + 4.3)
    cut = int((rows[0] + rows[1]) / 8) * 4
    top = find_leads(trace[:cut], painted((cut, trace.shape[1]), [n for n in names if n[2] < rows[0] / 4]))
    assert set(top.boxes) == {"I", "aVR", "V1", "V4"}
    assert len(top.missing) == 8
    cut = int((rows[2] + rows[3]) / 8) * 4
    strip = find_leads(
        trace[cut:], painted((len(trace) - cut, trace.shape[1]), [("II", names[-1][1], names[-1][2] - cut / 4)])
    )
    assert set(strip.boxes) == {"II_rhythm"}
    assert len(strip.missing) == 11


@pytest.mark.parametrize("rows", [3, 4, 5, 6])
@pytest.mark.parametrize("named", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_lines_of_one_lead_are_never_twelve(rows, named, seed):
    rng = np.random.default_rng([seed, rows])
    signal = simulate(rng).signal_mv[10]
    trace = np.zeros((120 * rows, 1120), np.uint8)
    for row in range(rows):
        y = 120 * row + 70 - 40 * np.roll(signal, int(rng.integers(300, 4700)))
        stroke(trace, [np.stack([60 + np.arange(5000) / 5, y], -1)], 1.3)
    names = [("V5", 16, 30 * row + 12) for row in range(named)]
    leads = find_leads(trace, painted(trace.shape, names))
    assert len(leads.missing) >= 11
    if named:
        assert set(leads.boxes) == {f"V5_rhythm{number or ''}" for number in (0, *range(2, rows + 1))}


def test_leads_under_a_note_are_missing():
    trace, boxes, names = drawn("3x4+1", seed=5)
    hidden = np.stack([boxes[lead] for lead in ("V1", "V2", "V3")]).astype(int)
    trace[: hidden[:, 3].max() + 1, hidden[:, 0].min() : hidden[:, 2].max() + 1] = 0
    leads = find_leads(trace, painted(trace.shape, [n for n in names if n[0] not in ("V1", "V2", "V3")]))
    assert leads.missing == ("V1", "V2", "V3")


@pytest.mark.parametrize("axis", [0, 1])
def test_two_pages_are_told_apart(axis):
    trace, _, names = drawn("3x4", seed=6, width_mm=280, height_mm=120)
    step = trace.shape[axis] / 4
    names += [(lead, x + step * axis, y + step * (1 - axis)) for lead, x, y in names]
    both = np.concatenate([trace, trace], axis)
    leads = find_leads(both, painted(both.shape, names))
    assert (leads.groups, leads.missing, leads.layout) == (2, (), "3x4")


def test_an_aslant_page_is_read():
    trace, boxes, names = drawn("3x4+1", seed=7)
    turn = np.array([[1, 0, 0], [0.02, 1, -0.02 * trace.shape[1] / 2]])
    names = [(lead, x, y + 0.02 * (x - trace.shape[1] / 8)) for lead, x, y in names]
    leads = find_leads(cv2.warpAffine(trace, turn, trace.shape[::-1]), painted(trace.shape, names))
    assert is_right(leads, boxes)
    assert leads.layout == "3x4+1"


@pytest.mark.parametrize("shape", [(4, 4), (400, 40), (900, 1200)])
def test_nothing_is_found_on_an_empty_page(shape):
    assert find_leads(np.zeros(shape, np.uint8), np.zeros((19, shape[0] // 4, shape[1] // 4), np.uint8)) is None


def test_noise_makes_no_twelve_leads():
    rng = np.random.default_rng(8)
    trace = rng.integers(0, 256, (600, 800)).astype(np.uint8)
    leads = find_leads(trace, (255 * (rng.random((19, 150, 200)) < 0.002)).astype(np.uint8))
    assert leads is None or leads.missing


def test_scale_is_free():
    trace, boxes, names = drawn("3x4+1", seed=9)
    half = cv2.resize(trace, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    leads = find_leads(half, painted(trace.shape, names), px_per_mm=2)
    assert is_right(replace(leads, boxes={name: 2 * box for name, box in leads.boxes.items()}), boxes)


def test_a_row_whose_last_lead_lies_higher_is_one_row():
    """V6 has wandered up by 12 mm, so that its stretch of the third row looks like a row of its own."""
    trace, boxes, names = drawn("3x4+3", seed=5, pitch_mm=24.0, height_mm=210.0)
    x0, y0, x1, y1 = np.rint(boxes["V6"]).astype(int)
    piece = trace[y0:y1, x0:x1].copy()
    trace = trace.copy()
    trace[y0:y1, x0:x1] = 0
    trace[y0 - 48 : y1 - 48, x0:x1] = np.maximum(trace[y0 - 48 : y1 - 48, x0:x1], piece)
    leads = find_leads(trace, painted(trace.shape, names))
    assert leads.layout == "3x4+3"
    assert leads.missing == ()


def test_upright_strokes_that_look_like_an_i_do_not_count_against_a_page():
    trace, boxes, names = drawn("3x4+1", seed=0)
    rng = np.random.default_rng(6)
    strokes = [("I", x, names[i % 12][2] + 9) for i, x in enumerate(rng.uniform(20, trace.shape[1] / 4 - 20, 16))]
    leads = find_leads(trace, painted(trace.shape, names + strokes))
    assert leads.layout == "3x4+1"
    assert is_right(leads, boxes)


def test_names_half_way_between_rows_belong_to_the_right_ones():
    """In 12x1 names may stand as near to the row above as to their own: the first row tells."""
    trace, _, names = drawn("12x1", gain=5.0)
    leads = find_leads(trace, painted(trace.shape, [(lead, x, y - 4.5) for lead, x, y in names]))
    assert leads.layout == "12x1"
    assert leads.missing == ()


def test_a_first_column_that_is_half_cut_off_is_there():
    trace, boxes, names = drawn("3x4+1", seed=7)
    cut = int(boxes["I"][0] + 0.35 * (boxes["I"][2] - boxes["I"][0])) // 4 * 4
    left = [(lead, x - cut / 4, y) for lead, x, y in names if x > cut / 4]
    leads = find_leads(np.ascontiguousarray(trace[:, cut:]), painted((len(trace), trace.shape[1] - cut), left))
    assert leads.missing == ()
    assert leads.layout == "3x4+1"
