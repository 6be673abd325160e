"""Files of several pages: each page is a path of its own, and a row of its own."""

import contextlib
import io
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from ecgutils.files import content_hash, page_of
from ecgutils.manifest import image_ids, manifest_from_paths
from ecgutils.preprocess import UnreadableImage, build_cache, decode, pages, read_image
from ecgutils.preprocess.pages import files_in, files_named, pages_of


def pdf(*contents, box="0 0 72 36", more="", trailer=""):
    """A PDF by hand: one page per content stream, of a box in points."""
    kids = " ".join(f"{3 + 2 * k} 0 R" for k in range(len(contents)))
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count {len(contents)}>>"]
    for k, content in enumerate(contents):
        objects.append(f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]/Contents {4 + 2 * k} 0 R{more}>>")
        objects.append(f"<</Length {len(content)}>>stream\n{content}\nendstream")
    body, table = "%PDF-1.4\n", "0000000000 65535 f \n"
    for n, text in enumerate(objects, start=1):
        table += f"{len(body):010d} 00000 n \n"
        body += f"{n} 0 obj\n{text}\nendobj\n"
    size, end = len(objects) + 1, f"startxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {size}\n{table}trailer\n<</Size {size}/Root 1 0 R{trailer}>>\n{end}".encode()


LEFT, RIGHT = "0 0 36 36 re f", "1 0 0 rg 36 0 36 36 re f"  # half the page black, half of it red


def greys(*values, kind="TIFF", **how):
    """The bytes of a file whose frames are of one grey each."""
    frames, buffer = [Image.new("L", (70, 90), value) for value in values], io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **how)
    return buffer.getvalue()


def reason(source, **how):
    with pytest.raises(UnreadableImage) as error:
        read_image(source, **how)
    return error.value.reason


def test_a_pdf_is_drawn_page_by_page_at_300_dpi(tmp_path):
    (tmp_path / "report.pdf").write_bytes(pdf(LEFT, RIGHT))
    first, second = (read_image(page) for page in pages_of(tmp_path / "report.pdf"))
    assert first.shape == second.shape == (150, 300, 3)
    assert first.dtype == np.uint8
    assert (first[:, :149].max(), first[:, 151:].min()) == (0, 255)
    assert second[75, 225].tolist() == [255, 0, 0]  # RGB
    assert second[75, 75].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(read_image(tmp_path / "report.pdf"), first)


def test_a_page_is_turned_as_it_says(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf(LEFT, more="/Rotate 90"))
    image = read_image(tmp_path / "a.pdf")
    assert image.shape == (300, 150, 3)
    assert (image[:149].max(), image[151:].min()) == (0, 255)


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n"])
def test_a_pdf_is_known_by_its_content(tmp_path, before):
    (tmp_path / "a.jpg").write_bytes(before + pdf(LEFT))
    assert read_image(tmp_path / "a.jpg").shape == (150, 300, 3)


@pytest.mark.parametrize(("box", "limit"), [("0 0 14400 7200", None), ("0 0 72 36", 5000)])
def test_a_large_page_is_drawn_coarser(tmp_path, box, limit):
    (tmp_path / "a.pdf").write_bytes(pdf("", box=box))
    height, width, _ = read_image(tmp_path / "a.pdf", **({"max_pixels": limit} if limit else {})).shape
    assert 0.98 < height * width / (limit or decode.MAX_PDF_PIXELS) < 1.02
    assert width / height == pytest.approx(2, rel=0.02)


def test_a_locked_pdf_is_one_row_that_says_so(tmp_path):
    lock = f"/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{'11' * 32}>/U<{'22' * 32}>>>"
    (tmp_path / "a.pdf").write_bytes(pdf(LEFT, RIGHT, trailer=lock))
    assert reason(tmp_path / "a.pdf") == "password"
    assert pages_of(tmp_path / "a.pdf") == [tmp_path / "a.pdf"]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_pdf_that_was_cut_off_is_refused(tmp_path, share):
    whole = pdf(LEFT)
    (tmp_path / "a.pdf").write_bytes(whole[: int(len(whole) * share)])
    assert reason(tmp_path / "a.pdf") == "cannot_decode"
    assert pages_of(tmp_path / "a.pdf") == [tmp_path / "a.pdf"]


@pytest.mark.parametrize("whole", [b"%PDF-1.7\n%%EOF", b"%PDF-1.7\n" + bytes(range(256)) * 9 + b"%%EOF", pdf()])
def test_a_pdf_without_a_page_is_one_row_that_is_refused(tmp_path, whole):
    (tmp_path / "a.pdf").write_bytes(whole)
    assert pages_of(tmp_path / "a.pdf") == [tmp_path / "a.pdf"]
    assert reason(tmp_path / "a.pdf") in ("cannot_decode", "missing")


def test_without_its_library_a_pdf_says_what_to_install_and_is_read_once_that_is_done(tmp_path, monkeypatch):
    (tmp_path / "a.pdf").write_bytes(pdf(LEFT, RIGHT))
    table = manifest_from_paths([tmp_path / "a.pdf"])
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pypdfium2", None)
        assert pages_of(tmp_path / "a.pdf") == [tmp_path / "a.pdf"]
        with pytest.raises(UnreadableImage, match="pip install pypdfium2"):
            read_image(tmp_path / "a.pdf")
        assert build_cache(table, tmp_path / "cache").index["reasons"].tolist() == ["needs_pypdfium2"]
    assert build_cache(table, tmp_path / "cache").index["reasons"].tolist() != ["needs_pypdfium2"]


def test_each_frame_of_a_tiff_is_a_page(tmp_path):
    (tmp_path / "a.tif").write_bytes(greys(10, 20, 30))
    found = pages_of(tmp_path / "a.tif")
    assert [path.name for path in found] == ["a.tif#page=1", "a.tif#page=2", "a.tif#page=3"]
    assert [read_image(path).max() for path in found] == [10, 20, 30]
    assert reason(tmp_path / "a.tif#page=4") == "missing"


def test_small_copies_in_a_tiff_are_no_pages(tmp_path):
    frames = [Image.new("L", (70, 90), value) for value in (10, 20)]
    for kind, order in (("first", (1, 0)), ("last", (0, 1))):
        buffer = io.BytesIO()
        with AppendingTiffWriter(buffer, new=True) as writer:
            for k in order:
                frames[k].save(writer, "TIFF", tiffinfo={254: k})
                writer.newFrame()
        (tmp_path / f"{kind}.tif").write_bytes(buffer.getvalue())
    assert [path.name for path in pages_of(tmp_path / "first.tif")] == ["first.tif#page=2"]
    assert [path.name for path in pages_of(tmp_path / "last.tif")] == ["last.tif"]


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(tmp_path, kind):
    (tmp_path / "a").write_bytes(greys(10, 200, kind=kind))
    assert pages_of(tmp_path / "a") == [tmp_path / "a"]
    assert read_image(tmp_path / "a").max() < 20


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_tiff_that_was_cut_off_keeps_its_first_page_and_a_row_for_what_is_lost(tmp_path):
    whole = greys(10, 20, 30)
    (tmp_path / "a.tif").write_bytes(whole[: int(len(whole) * 0.5)])
    rows = {}
    for path in pages_of(tmp_path / "a.tif"):
        try:
            rows[path.name] = read_image(path).max()
        except UnreadableImage as error:
            rows[path.name] = error.reason
    assert rows.pop("a.tif#page=1") == 10
    assert set(rows.values()) == {"cannot_decode"}


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.filterwarnings("ignore")
def test_no_damage_makes_finding_the_pages_raise(tmp_path_factory, data):
    whole = bytearray(data.draw(st.sampled_from([pdf(LEFT, RIGHT), greys(10, 20)])))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9)):
        whole[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a"
    path.write_bytes(whole)
    found = pages_of(path)
    assert found
    for page in found[:3]:
        with contextlib.suppress(UnreadableImage):
            assert read_image(page).ndim == 3


def test_a_file_that_claims_countless_pages_gives_a_thousand_and_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "MAX_PAGES", 2)
    for name, whole in (("a.pdf", pdf(LEFT, LEFT, LEFT)), ("a.tif", greys(1, 2, 3))):
        (tmp_path / name).write_bytes(whole)
        with pytest.warns(UserWarning, match="over 2 pages"):
            assert len(pages_of(tmp_path / name)) == 2


def test_a_page_is_named_in_ids_and_hashes(tmp_path):
    for name, whole in (("r.pdf", pdf(LEFT, RIGHT)), ("one.pdf", pdf(LEFT))):
        (tmp_path / name).write_bytes(whole)
    found = files_in(tmp_path, recursive=False)
    assert image_ids(found) == ["one", "r-p1", "r-p2"]
    own = content_hash(tmp_path / "r.pdf")
    assert [content_hash(path) for path in found[1:]] == [f"{own}#page=1", f"{own}#page=2"]


def test_pages_are_given_by_folders_patterns_and_names_and_none_twice(tmp_path):
    (tmp_path / "r.pdf").write_bytes(pdf(LEFT, RIGHT))
    both = pages_of(tmp_path / "r.pdf")
    for given_names in ([tmp_path], [tmp_path / "*.pdf"], [tmp_path / "r.pdf", tmp_path], both):
        assert files_named([str(name) for name in given_names], recursive=False) == both


def test_a_file_that_is_called_like_a_page_is_that_file(tmp_path):
    (tmp_path / "a.tif").write_bytes(greys(10, 20))
    (tmp_path / "a.tif#page=2").write_bytes(greys(99))
    assert page_of(tmp_path / "a.tif#page=2") == (tmp_path / "a.tif#page=2", None)
    assert read_image(tmp_path / "a.tif#page=2").max() == 99


@pytest.mark.parametrize("name", ["a.pdf#page=0", "a.pdf#page=x", "#page=2", "a.pdf#page=1234567", "a.pdf#page=²"])
def test_what_names_no_page_is_a_plain_path(name):
    assert page_of(name)[1] is None


def test_a_cache_has_a_row_for_each_page_and_keeps_them(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "r.pdf").write_bytes(pdf(LEFT, RIGHT))
    table = manifest_from_paths(files_in(tmp_path / "in", recursive=False))
    first, again = (build_cache(table, tmp_path / "cache").index for _ in range(2))
    assert first["image_id"].tolist() == ["r-p1", "r-p2"]
    assert first["content_sha256"].str.contains("#page=").all()
    pd.testing.assert_frame_equal(first, again)
