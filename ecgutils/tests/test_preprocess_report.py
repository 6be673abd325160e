import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgutils.__main__ import main
from ecgutils.hearts import simulate
from ecgutils.preprocess import Preprocessor, PreprocessSettings, build_cache, write_report
from ecgutils.preprocess.cache import in_header
from ecgutils.synth import PageStyle, render_page
from ecgutils.tests.test_preprocess_flatten import draw_page


def test_report_is_one_escaped_page_with_a_picture_pair_per_image(tmp_path):
    name = "a<b>&c.png"
    Image.fromarray(draw_page(2.5)).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"no image")
    table = pd.DataFrame({"image_id": ["a<b>&c", "bad"], "path": [str(tmp_path / name), str(tmp_path / "bad.png")]})
    cache = build_cache(table, tmp_path / "cache", PreprocessSettings(size=(128, 64), px_per_mm=0.45))
    write_report(cache, table, tmp_path / "report.html", mask_header=True)
    page = (tmp_path / "report.html").read_text()
    assert "a&lt;b&gt;&amp;c.png" in page
    assert "<b>&c" not in page
    assert page.count("data:image/") == 3  # one photo, two flat pages
    assert not re.search(r"https?://|src=\"(?!data:)", page)
    assert page.index("<b>bad</b>") < page.index("<b>a&lt;b")  # the worst first
    assert "cannot_decode" in page


def test_header_follows_the_page():
    quad = np.array([[50, 60], [350, 60], [350, 260], [50, 260]], float)
    points = np.stack(np.meshgrid(np.arange(400), np.arange(300)), axis=-1)
    upright, turned = in_header(quad, points), in_header(np.roll(quad, 2, axis=0), points)
    assert upright[:90].all()  # 280 x 187 mm: 32 mm are 34 px
    assert not upright[98:].any()
    assert not turned[:222].any()
    assert turned[232:].all()


@pytest.mark.parametrize("quarters", [0, 2])
def test_nothing_of_a_masked_header_is_left_on_the_flat_page(tmp_path, quarters):
    rng = np.random.default_rng(0)
    style = PageStyle(width_mm=280, height_mm=130, header_mm=28, layout="3x4", pitch_mm=30)
    page = np.rot90(render_page(simulate(rng), rng, style, 6.0).image, quarters)
    Image.fromarray(page).save(tmp_path / "a.png")
    table = pd.DataFrame({"image_id": ["a"], "path": [str(tmp_path / "a.png")]})
    settings = PreprocessSettings(size=(512, 256), px_per_mm=1.8, arrange=False)
    cache = build_cache(table, tmp_path / "cache", settings)
    flat = Preprocessor(settings)(tmp_path / "a.png")
    down_mm = flat.image_from_flat[..., 1] / 6
    down_mm = 130 - down_mm if quarters else down_mm
    hidden = np.arange(256)[:, None] < cache.index["header_px"][0]
    assert (flat.image_grid[down_mm < 30] < 128).sum() > 50  # there is something to hide
    assert (hidden | (down_mm >= 30)).all()
    assert not (hidden & (down_mm > 36)).any()


def test_what_is_masked_is_grey_in_the_report(tmp_path, monkeypatch):
    Image.fromarray(draw_page(2.5)).save(tmp_path / "a.png")
    table = pd.DataFrame({"image_id": ["a"], "path": [str(tmp_path / "a.png")]})
    cache = build_cache(table, tmp_path / "cache", PreprocessSettings(size=(128, 64), px_per_mm=0.45))
    shown = []
    monkeypatch.setattr("ecgutils.preprocess.cache.inline_image", lambda image, kind: shown.append(image) or "")
    write_report(cache, table, tmp_path / "report.html", mask_header=True)
    photo, flat = shown
    top = cache.index["header_px"][0]
    assert (photo[8:30, 20:-20] == 200).all()  # the outline is drawn at the edge
    assert top > 0
    assert (flat[:top] == 200).all()
    np.testing.assert_array_equal(flat[top:], cache.images(["a"])[0][top:])


def test_command_writes_the_report_and_refuses_a_mask_without_one(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.fromarray(draw_page(2.5)).save(tmp_path / "in" / "a.png")
    command = ["preprocess", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--mask-header"]
    assert main(command) == 2
    assert "--report" in capsys.readouterr().err
    assert main([*command, "--report", str(tmp_path / "review.html")]) == 0
    assert "data:image/" in (tmp_path / "review.html").read_text()
