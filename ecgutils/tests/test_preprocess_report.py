import base64
import re
import time
from html.parser import HTMLParser
from urllib.parse import unquote

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgutils.__main__ import main
from ecgutils.hearts import simulate
from ecgutils.preprocess import Preprocessor, PreprocessSettings, build_cache, write_report
from ecgutils.preprocess.cache import in_header
from ecgutils.preprocess.review import AT_ONCE, Entry, reviewed_images, write_gallery
from ecgutils.synth import PageStyle, render_page
from ecgutils.tests.test_preprocess_flatten import draw_page


class Page(HTMLParser):
    """What is on a page of the review: figures as (attributes, link, picture, text), and options of the filter."""

    def __init__(self, path):
        super().__init__()
        self.figures, self.options, self.open, self.text = [], [], [], ""
        self.feed(path.read_text())
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("figure", "figcaption", "a", "nav", "select", "table", "div", "script", "span"):
            self.open.append(tag)
        if tag == "figure":
            self.figures.append({**attrs, "text": ""})
        elif tag == "option":
            self.options.append(attrs["value"])
        elif self.open[-2:] == ["figure", "a"]:
            self.figures[-1] |= attrs

    def handle_endtag(self, tag):
        if tag in ("figure", "figcaption", "a", "nav", "select", "table", "div", "script", "span"):
            assert self.open.pop() == tag

    def handle_data(self, text):
        self.text += text
        if "figcaption" in self.open:
            self.figures[-1]["text"] += text


def entries(n, quality=lambda k: k / 100):
    """Two pictures of 20 kB and 2 kB, again and again."""
    return (
        Entry("none" if k % 3 else "refused coarse", quality(k), f"<b>i{k}</b>", (b"s" * 2000, b"l" * 20000))
        for k in range(n)
    )


def test_report_is_one_escaped_page_with_a_picture_pair_per_image(tmp_path):
    name = "a<b>&c.png"
    Image.fromarray(draw_page(2.5)).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"no image")
    table = pd.DataFrame({"image_id": ["a<b>&c", "bad"], "path": [str(tmp_path / name), str(tmp_path / "bad.png")]})
    cache = build_cache(table, tmp_path / "cache", PreprocessSettings(size=(128, 64), px_per_mm=0.45))
    write_report(cache, table, tmp_path / "report.html", mask_header=True)
    bad, good = Page(tmp_path / "report.html").figures  # the worst first
    assert bad["text"].startswith("bad bad.png \xb7 not readable")
    assert good["text"].startswith("a<b>&c a<b>&c.png")
    assert bad["data-why"] == "refused cannot_decode"
    assert float(bad["data-q"]) < float(good["data-q"]) <= 1
    large = cv2.imdecode(np.frombuffer(base64.b64decode(good["href"].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert large.shape[1] > 128 + 200  # the photo beside the flat page
    assert not re.search(r"https?://|(src|href)='(?!data:)", (tmp_path / "report.html").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "bad.png", "cache", "report.html"]


def test_filters_name_what_is_there_and_count_it(tmp_path):
    write_gallery(tmp_path / "r.html", "<T>", "", {"refused": "not readable (1)", "coarse": "<c>"}, entries(2))
    page = Page(tmp_path / "r.html")
    assert page.options == ["", "refused", "coarse"]
    assert "<T>" in page.text
    assert "<c>" in page.text
    assert [figure["data-why"] for figure in page.figures] == ["refused coarse", "none"]


def test_fifteen_thousand_photos_are_a_page_that_opens_and_a_folder(tmp_path):
    started = time.monotonic()
    write_gallery(tmp_path / "r\xe9view #1.html", "T", "", {}, entries(15_000))
    assert time.monotonic() - started < 20
    (file,), pictures = tmp_path.glob("*.html"), list((tmp_path / "r\xe9view #1_files").iterdir())
    assert file.stat().st_size < 6e6
    assert sorted(path.stat().st_size for path in pictures) == [2000, 20000]
    assert "keep it beside this page" in Page(file).text
    figures = Page(file).figures
    assert [figure["text"] for figure in figures[::14_999]] == ["i0", "i14999"]
    assert sum("hidden" not in figure for figure in figures) == AT_ONCE
    for side in ("src", "href"):
        assert (tmp_path / unquote(figures[-1][side])).is_file()


def test_pictures_are_beside_the_page_only_where_it_would_be_too_large(tmp_path, monkeypatch):
    path, folder = tmp_path / "r.html", tmp_path / "r_files"
    (folder / "sub").mkdir(parents=True)
    monkeypatch.setattr("ecgutils.preprocess.review.LARGEST", 100_000)
    write_gallery(path, "T", "", {}, entries(4))
    assert len(list(folder.iterdir())) == 3
    (folder / "mine.webp").write_text("not ours")
    write_gallery(path, "T", "", {}, entries(3))
    assert path.stat().st_size < 100_000
    assert sorted(path.name for path in folder.iterdir()) == ["mine.webp", "sub"]
    assert all(figure["src"].startswith("data:image/webp;base64,") for figure in Page(path).figures)


def test_an_interrupted_page_leaves_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setattr("ecgutils.preprocess.review.LARGEST", 0)
    write_gallery(tmp_path / "r.html", "T", "", {}, entries(1))
    before = (tmp_path / "r.html").read_bytes()

    def torn():
        yield Entry("none", np.nan, "new", (b"a", b"b"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_gallery(tmp_path / "r.html", "T", "", {}, torn())
    assert (tmp_path / "r.html").read_bytes() == before
    assert (tmp_path / Page(tmp_path / "r.html").figures[0]["href"]).is_file()


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


def test_what_is_masked_is_grey_in_the_report(tmp_path):
    Image.fromarray(draw_page(2.5)).save(tmp_path / "a.png")
    table = pd.DataFrame({"image_id": ["a"], "path": [str(tmp_path / "a.png")]})
    cache = build_cache(table, tmp_path / "cache", PreprocessSettings(size=(128, 64), px_per_mm=0.45))
    row = cache.index.iloc[0]
    photo, flat, _ = reviewed_images(str(tmp_path / "a.png"), cache.folder / row["page"], row, mask_header=True)
    top = row["header_px"]
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
