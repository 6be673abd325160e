import io
import struct
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile

from ecgutils.preprocess import Preprocessor, PreprocessSettings, UnreadableImage, build_cache, read_image
from ecgutils.tests.test_preprocess_flatten import draw_page


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.webp"])
def test_lossless_formats_come_back_exactly(tmp_path, picture, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    Image.fromarray(picture).save(tmp_path / name, **options)
    np.testing.assert_array_equal(read_image(tmp_path / name), picture)


def test_exif_orientation_is_applied(tmp_path, picture):
    exif = Image.Exif()
    exif[274] = 6  # stored lying: to be turned clockwise
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(picture, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "I;16"])
def test_an_uncompressed_tiff_is_turned_as_a_compressed_one(tmp_path, picture, mode, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(picture[..., 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(picture)
    image = image if mode == "I;16" else image.convert(mode)
    for name, compression in (("raw", None), ("lzw", "tiff_lzw")):
        image.save(tmp_path / f"{name}.tiff", exif=exif, compression=compression)
    raw = read_image(tmp_path / "raw.tiff")
    assert raw.shape[:2] == ((70, 90) if orientation < 5 else (90, 70))
    np.testing.assert_array_equal(raw, read_image(tmp_path / "lzw.tiff"))


def test_alpha_lies_over_white(tmp_path):
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:32, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[-1, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA"])
def test_other_modes_become_rgb(tmp_path, picture, mode):
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.fromarray(picture).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == picture.shape
    assert image.dtype == np.uint8


def test_16_bit_grey_keeps_its_range(tmp_path):
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    np.testing.assert_allclose(image[..., 0], values / 257, atol=1)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_of_fewer_bits_in_16_keeps_its_range_too(tmp_path, bits):
    values = np.linspace(0, 2**bits - 1, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png")[..., 0], values * 255.0 / (2**bits - 1), atol=1)


def test_what_is_no_image_is_said_in_words_whatever_was_read_before(tmp_path, monkeypatch):
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(UnreadableImage, match="cannot identify image file"):
        read_image(tmp_path / "a.png")


def heic(picture, orientation=1):
    """HEIC bytes; an orientation is written as the photo's own rotation property, and as EXIF, as phones do."""
    pytest.importorskip("pillow_heif", reason="the optional HEIC decoder is not installed").register_heif_opener()
    image, buffer = Image.fromarray(picture), io.BytesIO()
    image.getexif()[274] = orientation
    image.save(buffer, "HEIF", quality=95)
    return buffer.getvalue()


@pytest.fixture
def blocks():
    """Four blocks of grey that tell every way to turn and to flip a picture apart."""
    return np.kron([[20, 80, 80], [140, 140, 220]], np.ones((64, 64)))[..., None].repeat(3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_heic_is_read_and_turned_once(tmp_path, blocks, orientation, turns):
    (tmp_path / "IMG_0001.HEIC").write_bytes(heic(blocks, orientation))
    image = read_image(tmp_path / "IMG_0001.HEIC")
    expected = np.rot90(blocks, turns)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 2


def test_heic_is_known_by_its_content(tmp_path, blocks):
    (tmp_path / "renamed.jpg").write_bytes(heic(blocks))
    assert read_image(tmp_path / "renamed.jpg").shape == blocks.shape


@pytest.mark.parametrize(("size", "reason"), [(20_000, "too_large"), (9_000, "cannot_decode"), (16, "cannot_decode")])
def test_heic_that_lies_about_its_size_is_refused(tmp_path, blocks, size, reason):
    whole = bytearray(heic(blocks))
    at = whole.index(b"ispe") + 8
    whole[at : at + 8] = struct.pack(">II", size, size)
    (tmp_path / "a.heic").write_bytes(whole)
    assert Preprocessor()(tmp_path / "a.heic").reasons == (reason,)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_heic_is_refused(tmp_path, blocks, share):
    whole = heic(blocks)
    (tmp_path / "a.heic").write_bytes(whole[: int(share * len(whole))])
    assert Preprocessor()(tmp_path / "a.heic").reasons == ("cannot_decode",)


def test_without_its_decoder_a_heic_photo_says_what_to_install_and_is_read_once_that_is_done(tmp_path, monkeypatch):
    path = tmp_path / "a.heic"
    path.write_bytes(heic(draw_page(2.5)))
    table = pd.DataFrame({"image_id": ["a"], "path": [str(path)]})
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(UnreadableImage, match="pip install pillow-heif"):
            read_image(path)
        index = build_cache(table, tmp_path / "cache").index
        assert index["reasons"].tolist() == ["needs_pillow_heif"]
    assert build_cache(table, tmp_path / "cache").index["readable"].all()


def png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb():
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def broken(picture, kind):
    whole = png(picture)
    middle = len(whole) // 2
    return {
        "truncated": whole[:middle],
        "checksum": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "no_end": whole[:-12],
        "text": b"not an image at all\n" * 50,
        "empty": b"",
        "bomb": bomb(),
        "zip": b"PK\x03\x04" + whole,
        "pdf": b"%PDF-1.7\n" + whole,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncated", "cannot_decode"),
        ("checksum", "cannot_decode"),
        ("no_end", "cannot_decode"),
        ("text", "cannot_decode"),
        ("zip", "cannot_decode"),
        ("pdf", "cannot_decode"),
        ("empty", "empty_file"),
        ("bomb", "too_large"),
    ],
)
@pytest.mark.parametrize("lenient", [False, True])
def test_damaged_files_are_refused_with_a_reason(tmp_path, picture, kind, reason, lenient, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    path = tmp_path / "a.png"
    path.write_bytes(broken(picture, kind))
    with pytest.raises(UnreadableImage, match=r"a\.png") as error:
        read_image(path)
    assert error.value.reason == reason
    flat = Preprocessor()(path)
    assert not flat.readable
    assert flat.reasons == (reason,)
    assert flat.image.shape == (192, 384)
    assert flat.image.min() == 255


def test_truncated_jpeg_is_refused(tmp_path, picture):
    Image.fromarray(picture).resize((600, 400)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    assert Preprocessor()(tmp_path / "a.jpg").reasons == ("cannot_decode",)


def test_missing_and_folder_have_their_own_reasons(tmp_path):
    assert Preprocessor()(tmp_path / "none.png").reasons == ("missing",)
    assert Preprocessor()(tmp_path).reasons == ("not_a_file",)


def test_pixel_limit_counts_before_decoding(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert Preprocessor(PreprocessSettings(max_pixels=1000))(tmp_path / "a.png").reasons == ("too_large",)


@pytest.mark.parametrize("array", [np.zeros((0, 5), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9))])
def test_arrays_of_other_shapes_and_types_are_refused(array):
    assert Preprocessor()(array).reasons == ("bad_array",)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([np.uint8, np.float32]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=160))
    )
)
def test_no_array_makes_it_raise(array):
    flat = Preprocessor()(array)
    assert flat.image.shape == (192, 384)
    assert flat.readable or flat.reasons
    assert "failed" not in flat.reasons
    assert 0 <= flat.quality <= 1
