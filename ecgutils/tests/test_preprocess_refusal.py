import cv2
import numpy as np
import pytest

from ecgutils.preprocess import Preprocessor
from ecgutils.tests.test_preprocess_flatten import QUADS, draw_page, photograph


def not_ecgs():
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (500, 800, 3), dtype=np.uint8)
    text = np.full((600, 900, 3), 255, np.uint8)
    for i in range(18):
        cv2.putText(text, "nothing on this page is a trace of a heart", (30, 30 + 32 * i), 0, 1, (0, 0, 0), 2)
    table = np.full((700, 1000, 3), 255, np.uint8)
    for at in (40, 75, 160, 210, 290, 400, 430, 520, 610, 660):
        table[at : at + 2, 30:970] = 0
    for at in (30, 150, 400, 450, 640, 800, 968):
        table[40:662, at : at + 2] = 0
    return {
        "table": table,
        "noise": noise,
        "soft noise": cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX),
        "blank": np.full((500, 800, 3), 245, np.uint8),
        "black": np.zeros((500, 800, 3), np.uint8),
        "text": text,
    }


def write_words(page, rng, x0, y, x1, height=0.6):
    """Words of random letters along a line of text; the page is changed."""
    x = x0
    while x < x1 - 60:
        word = "".join(chr(97 + c) for c in rng.integers(0, 26, int(rng.integers(2, 9))))
        cv2.putText(page, word, (int(x), int(y)), 0, height, (30, 30, 40), 1, cv2.LINE_AA)
        x += cv2.getTextSize(word, 0, height, 1)[0][0] + 12


def ruled(row, col=None, colour=(90, 90, 90), thick=1, size=(1300, 900)):
    """A white page with level lines every `row` px, and upright ones every `col` px."""
    page = np.full((size[1], size[0], 3), 252, np.uint8)
    for y in range(20, size[1] - 19, row):
        cv2.line(page, (20, y), (size[0] - 20, y), colour, thick)
    for x in range(20, size[0] - 19, col) if col else ():
        cv2.line(page, (x, 20), (x, size[1] - 20), colour, thick)
    return page


def evenly_ruled():
    """Pages whose even lines, or lines of text, look like a grid at first."""
    rng = np.random.default_rng(5)
    pages = {
        "spreadsheet": ruled(28, 110, (190, 190, 190)),
        "dark spreadsheet": ruled(30, 100, (0, 0, 0), 2),
        "fine spreadsheet": ruled(20, 60, (150, 150, 150)),
        "empty spreadsheet": ruled(28, 110, (120, 120, 120)),
        "squares": ruled(40, 40, (0, 0, 0), 2),
        "notebook": ruled(32, None, (150, 180, 225)),
        "graph paper": ruled(20, 20, (170, 210, 170)),
        "notes on graph paper": ruled(18, 18, (180, 200, 230)),
        "text": np.full((900, 1300, 3), 252, np.uint8),
    }
    for name, row, col in (("spreadsheet", 28, 110), ("dark spreadsheet", 30, 100), ("fine spreadsheet", 20, 60)):
        for y in range(20 + row, 880, row):
            for x in range(20, 1281 - col, col):
                number = f"{rng.uniform(0, 999):.{rng.integers(0, 3)}f}"
                cv2.putText(pages[name], number, (x + 5, y - 7), 0, row / 60, (30, 30, 30), 1, cv2.LINE_AA)
    for name, row in (("notebook", 32), ("notes on graph paper", 36), ("text", 26)):
        for y in range(48, 880, row):
            write_words(pages[name], rng, 40, y, rng.uniform(500, 1260))
    return pages


@pytest.mark.parametrize("scene", [False, True], ids=["scan", "photo"])
@pytest.mark.parametrize("name", list(evenly_ruled()))
def test_evenly_ruled_page_is_no_ecg(name, scene):
    page = evenly_ruled()[name]
    if scene:
        page, _ = photograph(page, QUADS[0])
    flat = Preprocessor()(page)
    assert not flat.readable
    assert "not_an_ecg" in flat.reasons


@pytest.mark.parametrize("name", list(not_ecgs()))
def test_what_is_no_ecg_is_refused(name):
    flat = Preprocessor()(not_ecgs()[name])
    assert not flat.readable
    assert "not_an_ecg" in flat.reasons
    assert flat.quad_xy is None
    assert flat.image.min() == 255


def test_empty_grid_paper_is_no_ecg():
    page = draw_page()
    page[(page < 200).all(2)] = 255
    page[(page.max(2) < 230)] = 255
    assert "not_an_ecg" in Preprocessor()(page).reasons


def test_an_outline_far_larger_than_any_image_is_refused():
    slip = np.array([[0, 0], [60000, 0], [60000, 45000], [0, 45000]], float)
    flat = Preprocessor()(draw_page(2.5), quad_xy=slip)
    assert not flat.readable
    assert flat.reasons == ("bad_outline",)


@pytest.mark.parametrize("size", [(70, 1_000_000), (20_000, 64)])
def test_an_image_far_longer_than_wide_says_so(size):
    flat = Preprocessor()(np.full((*size, 3), 255, np.uint8))
    assert flat.reasons == ("too_narrow",)
