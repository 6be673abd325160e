import subprocess
import sys

import cv2
import numpy as np
import pytest

from ecgutils.findings import LEADS
from ecgutils.hearts import simulate
from ecgutils.reader.legend import LEGENDS, MOST, places, read_legends
from ecgutils.reader.units import GAINS, PULSE, SPEEDS, measure_units
from ecgutils.synth import PageStyle, render_page

MARKS = (*LEADS, "pulse", "25 mm/s", "50 mm/s", "5 mm/mV", "10 mm/mV", "20 mm/mV", "print")
NO_PRINT = {"calibration": "none", "footer_mm": 0.0}
DARK_GRID = {"minor_rgb": (70, 70, 70), "major_rgb": (15, 15, 20), "paper_rgb": (250, 250, 250)}


def paint(marks, rng, name, box, strength=0.85):
    """Put a mark into its map: 30 % of its cells are lost, a twentieth of the rest is another of its kind."""
    kinds = next(kind for kind in (range(12), range(12, 13), range(13, 15), range(15, 18)) if MARKS.index(name) in kind)
    x0, y0, x1, y1 = (round(v / 4) for v in box)
    lost = np.where(rng.random((y1 - y0 + 1, x1 - x0 + 1)) < 0.3, 0, strength * 255)
    for k in (MARKS.index(name), int(rng.choice(kinds))):
        share = 0.95 if k == MARKS.index(name) else 0.05
        cells = marks[k, y0 : y1 + 1, x0 : x1 + 1]
        cells[:] = np.maximum(cells, share * lost[: cells.shape[0], : cells.shape[1]])


def inputs(seed, **style):
    """What measure_units gets of a page."""
    rng = np.random.default_rng(seed)
    page = render_page(simulate(rng), rng, PageStyle(**style), 4.0)
    dark = 255 - cv2.cvtColor(np.ascontiguousarray(page.image), cv2.COLOR_RGB2GRAY)
    marks = np.zeros((len(MARKS), dark.shape[0] // 4, dark.shape[1] // 4), np.float32)
    for text, *box in page.style["words"]:
        found = [name for name in MARKS[13:18] if f" {name}" in f" {text}"] + [text] * (text in MARKS)
        for name in dict.fromkeys(found):
            left, right = (np.array([0, len(name)]) + text.index(name)) / len(text) * (box[2] - box[0]) + box[0]
            paint(marks, rng, name, (left, box[1], right, box[3]))
    marks = np.stack([cv2.GaussianBlur(m, (0, 0), 0.7) for m in marks]).astype(np.uint8)
    return dark, page.trace_mask, marks, read_legends(dark, marks)


def legends(*rows):
    """What read_legends gives of a page with these legends: (number's place in LEGENDS, probability)."""
    read = np.zeros((len(rows), 1 + len(LEGENDS)), np.float32)
    for row, (legend, probability) in zip(read, rows, strict=True):
        row[[0, 1 + LEGENDS.index(legend)]] = 1 - probability, probability
    return read


def test_places_of_marks():
    assert MARKS[PULSE] == "pulse"
    assert (*(f"{v:g} mm/s" for v in SPEEDS), *(f"{v:g} mm/mV" for v in GAINS)) == LEGENDS


@pytest.mark.parametrize("grid", [{}, DARK_GRID], ids=["pale", "dark"])
@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("speed", SPEEDS)
def test_legend_tells(speed, gain, grid):
    units = measure_units(*inputs(1, **(NO_PRINT | {"speed": speed, "gain": gain, "footer_mm": 8.0} | grid)))
    assert (units.speed_mm_s, units.gain_mm_mv) == (speed, gain)
    assert min(units.speed_confidence, units.gain_confidence) > 0.8


@pytest.mark.parametrize("grid", [{}, DARK_GRID], ids=["pale", "dark"])
@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("pulse", [("left", 5.0), ("left", 3.0), ("right", 5.0), ("stepped", 5.0), ("stepped", 3.0)])
def test_pulse_tells_gain(pulse, gain, grid):
    units = measure_units(*inputs(2, gain=gain, calibration=pulse[0], pulse_mm=pulse[1], **grid))
    assert units.gain_mm_mv == gain
    assert units.gain_confidence > 0.9


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("speed", SPEEDS)
def test_without_print_never_surely_wrong(seed, speed):
    units = measure_units(*inputs(seed, speed=speed, gain=GAINS[seed % 3], **NO_PRINT))
    assert units.speed_mm_s == speed or units.speed_confidence < 0.9
    assert units.speed_mm_s == 25 or units.speed_confidence < 0.8
    assert units.gain_confidence < 0.9


def test_legend_stands_whatever_the_heart():
    """The trace of the usual speed and the legend of the other; then the usual one, which takes the doubt away."""
    dark, trace, marks, none = inputs(3, speed=25.0, **NO_PRINT)
    units = measure_units(dark, trace, marks, legends(("50 mm/s", 0.97)))
    assert units.speed_mm_s == 50
    assert units.speed_confidence > 0.9
    usual = measure_units(dark, trace, marks, legends(("25 mm/s", 0.97)))
    assert usual.speed_mm_s == 25
    assert usual.speed_confidence > max(0.99, measure_units(dark, trace, marks, none).speed_confidence)


def test_two_gains_are_doubtful_and_the_first_counts():
    dark, trace, marks, _ = inputs(4, gain=20.0, **NO_PRINT)
    units = measure_units(dark, trace, marks, legends(("20 mm/mV", 0.97), ("5 mm/mV", 0.97)))
    assert units.gain_mm_mv == 20
    assert 0.5 < units.gain_confidence < 0.9


def test_an_unclear_legend_says_nothing():
    dark, trace, marks, none = inputs(5, **NO_PRINT)
    unclear = legends(("50 mm/s", 0.7), ("20 mm/mV", 0.79))
    assert measure_units(dark, trace, marks, unclear) == measure_units(dark, trace, marks, none)


def test_places_are_found_as_one_reads():
    marks = np.zeros((len(MARKS), 200, 260), np.uint8)
    for name, x, y in (("10 mm/mV", 100, 180), ("25 mm/s", 20, 180), ("50 mm/s", 150, 12)):
        marks[MARKS.index(name), y : y + 3, x : x + 5] = 220
    found = places(marks)
    assert np.abs(found - np.array([[602, 54], [82, 726], [402, 726]])).max() <= 12


def test_a_page_full_of_text_has_no_end_of_places():
    rng = np.random.default_rng(0)
    marks = (255 * (rng.random((len(MARKS), 200, 260)) > 0.995)).astype(np.uint8)
    marks[13] = cv2.dilate(marks[13], np.ones((2, 3), np.uint8))
    assert len(places(marks)) == MOST
    assert read_legends(np.full((800, 1040), 3, np.uint8), marks).shape == (MOST, 1 + len(LEGENDS))


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("size", [(4, 4), (16, 1200), (864, 1120)])
def test_hostile(size, value):
    page = np.full(size, value, np.uint8)
    marks = np.full((len(MARKS), size[0] // 4, size[1] // 4), value, np.uint8)
    units = measure_units(page, page, marks, read_legends(page, marks))
    assert units.speed_mm_s == 25
    assert units.speed_confidence < 0.98
    assert units.gain_confidence < 0.9


def test_needs_no_torch():
    code = "import sys, importlib.util as u; s = u.spec_from_file_location('units', sys.argv[1]);"
    code += "m = u.module_from_spec(s); sys.modules['units'] = m; s.loader.exec_module(m)"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, sys.modules[measure_units.__module__].__file__], check=True)
