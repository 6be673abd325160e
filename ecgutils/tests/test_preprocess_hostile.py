"""Damaged and hostile files: each costs its own row, with a reason, in bounded time and memory.

They are read in a process of their own, so that a crash or a hang fails the test instead of ending it.
"""

import faulthandler
import importlib.util
import inspect
import io
import multiprocessing
import os
import re
import resource
import struct
import tempfile
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgutils.preprocess import REASONS, Preprocessor, PreprocessSettings, build_cache, decode, judge, pipeline
from ecgutils.tests.test_preprocess_decode import bomb
from ecgutils.tests.test_preprocess_flatten import draw_page

SETTINGS = PreprocessSettings(size=(128, 64), px_per_mm=0.45, max_pixels=4_000_000)
KINDS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", *(["HEIF"] if importlib.util.find_spec("pillow_heif") else []))
MAX_SECONDS = 5  # of CPU, for one file
MAX_BYTES = 2e9  # resident, of the whole process


def in_a_child(function, *arguments):
    """Run `function` in a fresh process; a crash there raises BrokenProcessPool here.

    A fork server starts it, because the peak memory that getrusage tells of a started program is at least its parent's.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
        return pool.submit(function, *arguments).result()


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux


def encoded(page, kind, **options):
    if kind == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, kind, **options)
    return buffer.getvalue()


def mutate(whole: bytes, rng: np.random.Generator) -> bytes:
    """Truncated, bits flipped, a stretch overwritten, repeated or dropped, or only the header kept."""
    data = bytearray(whole)
    at = int(rng.integers(len(data)))
    match int(rng.integers(6)):
        case 0:
            return bytes(data[:at])
        case 1:
            for _ in range(int(rng.integers(1, 30))):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        case 2:
            data[at : at + 64] = rng.bytes(64)
        case 3:
            data[at:at] = data[at : at + 4096]
        case 4:
            del data[at : at + int(rng.integers(1, 2000))]
        case 5:
            return bytes(data[: int(rng.integers(4, 64))]) + rng.bytes(500)
    return bytes(data)


def read_mutants(folder, count):
    """(Seconds of the slowest file, share refused, peak bytes); every 100th file is whole and has to be read."""
    rng = np.random.default_rng(11)
    page, moving = draw_page(2.0), [Image.fromarray(draw_page(2.0, seed=i)) for i in range(3)]
    originals = [encoded(page, kind) for kind in KINDS]
    originals.append(encoded(page, "GIF", save_all=True, append_images=moving))
    preprocess, refused, slowest = Preprocessor(SETTINGS), 0, 0.0
    for i in range(count):
        path = folder / f"mutant.{KINDS[int(rng.integers(len(KINDS)))].lower()}"  # often the wrong extension
        original = originals[int(rng.integers(len(originals)))]
        path.write_bytes(original if i % 100 == 99 else mutate(original, rng))
        faulthandler.dump_traceback_later(60, exit=True)  # waiting costs no CPU time
        start = time.process_time()
        flat = preprocess(path)
        slowest = max(slowest, time.process_time() - start)
        faulthandler.cancel_dump_traceback_later()
        assert flat.image.shape == (64, 128)
        assert flat.readable or (flat.reasons and i % 100 != 99), (i, flat.reasons)
        refused += not flat.readable
    return slowest, refused / count, peak_bytes()


def check_mutants(folder, count):
    slowest, refused, peak = in_a_child(read_mutants, folder, count)
    print(f"{count} files: {refused:.1%} refused, the slowest took {slowest:.2f} s, peak {peak / 1e6:.0f} MB")
    assert slowest < MAX_SECONDS
    assert peak < MAX_BYTES
    assert 0.3 < refused < 1


def test_200_mutants_cost_their_own_row(tmp_path):
    check_mutants(tmp_path, 200)


@pytest.mark.slow
def test_5000_mutants_cost_their_own_row(tmp_path):
    check_mutants(tmp_path, 5000)


def read_one(path):
    start = time.process_time()
    flat = Preprocessor()(path)
    return flat.reasons, time.process_time() - start, peak_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "name", "side"),
    [("RGBA", "a.webp", 8_940), ("F", "a.tiff", 10_950), ("LA", "a.png", 10_950), ("CMYK", "a.jpg", 10_950)],
)
def test_a_small_file_of_pixels_just_below_the_limit_takes_bounded_memory_and_time(tmp_path, mode, name, side):
    Image.new(mode, (side, side)).save(tmp_path / name, **({"method": 0} if name == "a.webp" else {}))
    reasons, seconds, peak = in_a_child(read_one, tmp_path / name)
    assert "not_an_ecg" in reasons
    assert seconds < MAX_SECONDS
    assert peak < MAX_BYTES


def header_bomb(kind):
    """A file of a few kB whose header says 20,000 x 20,000."""
    if kind == "PNG":
        return bomb()
    layout = {"JPEG": ">HH", "BMP": "<ii", "GIF": "<HH"}[kind]
    size = (16, 8) if kind == "JPEG" else (8, 16)  # JPEG gives the height first
    whole = encoded(np.zeros((16, 8, 3), np.uint8), kind)
    assert struct.pack(layout, *size) in whole
    return whole.replace(struct.pack(layout, *size), struct.pack(layout, 20_000, 20_000), 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_a_header_that_says_20000_by_20000_is_refused_before_decoding(tmp_path, kind):
    (tmp_path / "bomb").write_bytes(header_bomb(kind))
    assert Preprocessor()(tmp_path / "bomb").reasons == ("too_large",)


def pdf_of(width, height, side, content):
    """A PDF whose page, in points, shows one grey picture of side x side px."""
    body = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>"
        % (width, height),
        b"<</Length 20>>stream\n%d 0 0 %d 0 0 cm /I Do\nendstream" % (width, height),
        b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8"
        b"/Filter/FlateDecode/Length %d>>stream\n%b\nendstream" % (side, side, len(content), content),
    ]
    objects = b"".join(b"%d 0 obj\n%b\nendobj\n" % (i, part) for i, part in enumerate(body, 1))
    return b"%PDF-1.4\n" + objects + b"trailer<</Root 1 0 R/Size 6>>\n%%EOF\n"


def read_bounded(path):
    """Shape of an image and the peak of memory, in a process that may not have more than 8 GB."""
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    try:
        return decode.read_image(path).shape, peak_bytes()
    except decode.UnreadableImage as error:
        return error.reason, peak_bytes()


@pytest.mark.parametrize(("width", "side"), [(14_400, 10), (600, 60_000)], ids=["page", "picture"])
def test_a_pdf_of_a_vast_page_or_picture_takes_bounded_memory(tmp_path, width, side):
    (tmp_path / "bomb.pdf").write_bytes(pdf_of(width, width, side, zlib.compress(bytes(10_000_000))))
    found, peak = in_a_child(read_bounded, tmp_path / "bomb.pdf")
    assert found == "cannot_decode" or found[0] * found[1] <= 36_000_000
    assert peak < MAX_BYTES


def test_a_folder_of_horrors_becomes_a_table_and_loses_nothing_else(tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb())
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    frames = [Image.fromarray(draw_page(2.0, seed=i)) for i in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "good.png")
    paths = sorted(tmp_path.iterdir())
    table = pd.DataFrame({"image_id": [p.name for p in paths], "path": [str(p) for p in paths]})
    index = build_cache(table, tmp_path / "cache", SETTINGS).index.set_index("image_id")
    assert index["readable"][["good.png", "moving.gif"]].all()
    assert index["reasons"].drop(["good.png", "moving.gif"]).to_dict() == {
        "bomb.png": "too_large",
        "dot.png": "too_small",
        "empty.png": "empty_file",
        "folder.png": "not_a_file",
        "loop.png": "missing",
        "nowhere.png": "missing",
        "pipe.png": "not_a_file",
        "text.png": "cannot_decode",
    }


@pytest.mark.parametrize(
    "quad", [
        [[0, 0], [90, 0], [0, 90], [90, 90]], [[0, 0], [0, 90], [90, 90], [90, 0]],
        [[0, 0], [90, 0], [90, 90], [60, 30]], [[0, 0], [90, 0], [90, 90]], np.full((4, 2), np.nan),
    ], ids=["crossing", "mirrored", "concave", "three", "nan"],
)  # fmt: skip
def test_corners_that_outline_no_page_refuse_the_image(quad):
    flat = Preprocessor(SETTINGS)(draw_page(2.0), quad_xy=np.array(quad))
    assert not flat.readable
    assert flat.reasons == ("bad_outline",)


def test_every_reason_is_explained():
    source = "".join(inspect.getsource(module) for module in (decode, pipeline, judge.weigh, judge.weigh_page))
    before = r"(?:UnreadableImage\(\s*|RefusedPage\(\(|reasons \+= \(|few = \(|else \(|^ +f?)"
    giving = before + r'"(\w+)(?: [^"]*)?"(?=,\)|[,:\)])'
    assert set(re.findall(giving, source, re.MULTILINE)) == set(REASONS)


def read_as_nobody(path):
    preprocess = Preprocessor(SETTINGS)
    preprocess(path.with_name("open.png"))  # what is imported late has to be there before rights are given up
    if os.geteuid() == 0:  # root may read every file
        os.setuid(65534)
    return preprocess(path.with_name("open.png")).readable, preprocess(path).reasons


def test_a_file_without_permission_has_a_reason():
    with tempfile.TemporaryDirectory() as folder:  # of pytest's own folders only their owner may list the content
        path = Path(folder) / "closed.png"
        for name in ("open.png", "closed.png"):
            Image.fromarray(draw_page(2.0)).save(path.with_name(name))
        path.chmod(0)
        path.parent.chmod(0o755)
        assert in_a_child(read_as_nobody, path) == (True, ("no_permission",))
