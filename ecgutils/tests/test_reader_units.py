import subprocess
import sys

import cv2
import numpy as np
import pytest

from ecgutils.findings import LEADS
from ecgutils.hearts import simulate
from ecgutils.reader.units import GAIN_MARKS, GAINS, PULSE, SPEED_MARKS, SPEEDS, measure_units
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
    return dark, page.trace_mask, np.stack([cv2.GaussianBlur(m, (0, 0), 0.7) for m in marks]).astype(np.uint8)


def test_places_of_marks():
    assert MARKS[PULSE] == "pulse"
    assert MARKS[SPEED_MARKS] == tuple(f"{v:g} mm/s" for v in SPEEDS)
    assert MARKS[GAIN_MARKS] == tuple(f"{v:g} mm/mV" for v in GAINS)


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
    """The trace of the usual speed and the legend of the other; the usual legend says nothing."""
    dark, trace, _ = inputs(3, speed=25.0, **NO_PRINT)
    marks = np.zeros((2, len(MARKS), dark.shape[0] // 4, dark.shape[1] // 4), np.uint8)
    marks[0, MARKS.index("50 mm/s"), 200:203, 20:29] = marks[1, MARKS.index("25 mm/s"), 200:203, 20:29] = 200
    units = measure_units(dark, trace, marks[0])
    assert units.speed_mm_s == 50
    assert units.speed_confidence > 0.9
    assert measure_units(dark, trace, marks[1]) == measure_units(dark, trace, np.zeros_like(marks[1]))


def test_two_gains_are_doubtful_and_the_first_counts():
    dark, trace, marks = inputs(4, gain=20.0, **NO_PRINT)
    marks[MARKS.index("20 mm/mV"), 10:13, 20:31] = 200
    marks[MARKS.index("5 mm/mV"), 10:13, 50:61] = 200
    units = measure_units(dark, trace, marks)
    assert units.gain_mm_mv == 20
    assert 0.5 < units.gain_confidence < 0.9


def test_a_speck_is_no_legend():
    dark, trace, marks = inputs(5, **NO_PRINT)
    marks[MARKS.index("50 mm/s"), 10:12, 20:21] = 255
    assert measure_units(dark, trace, marks) == measure_units(dark, trace, np.zeros_like(marks))


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("size", [(4, 4), (16, 1200), (864, 1120)])
def test_hostile(size, value):
    page = np.full(size, value, np.uint8)
    units = measure_units(page, page, np.full((len(MARKS), size[0] // 4, size[1] // 4), value, np.uint8))
    assert units.speed_mm_s == 25
    assert units.speed_confidence < 0.9
    assert units.gain_confidence < 0.9


def test_needs_no_torch():
    code = "import sys, importlib.util as u; s = u.spec_from_file_location('units', sys.argv[1]);"
    code += "m = u.module_from_spec(s); sys.modules['units'] = m; s.loader.exec_module(m)"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, sys.modules[measure_units.__module__].__file__], check=True)
