"""Damaged and hostile files: each costs its own row, with a reason, in bounded time."""

import io
import os
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecgutils.preprocess import Preprocessor, PreprocessSettings, build_cache
from ecgutils.tests.test_preprocess_decode import bomb
from ecgutils.tests.test_preprocess_flatten import draw_page

SETTINGS = PreprocessSettings(size=(128, 64), px_per_mm=0.45, max_pixels=4_000_000)
KINDS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")


@pytest.fixture(scope="module")
def originals():
    page = Image.fromarray(draw_page(2.0))
    encoded = []
    for kind in KINDS:
        buffer = io.BytesIO()
        page.save(buffer, kind)
        encoded.append(buffer.getvalue())
    return encoded


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


def check_mutants(folder, originals, count):
    rng = np.random.default_rng(11)
    preprocess, refused = Preprocessor(SETTINGS), 0
    for i in range(count):
        path = folder / f"mutant.{KINDS[int(rng.integers(len(KINDS)))].lower()}"  # often the wrong extension
        path.write_bytes(mutate(originals[i % len(originals)], rng))
        start = time.process_time()
        flat = preprocess(path)
        assert time.process_time() - start < 5
        assert flat.image.shape == (64, 128)
        assert flat.readable or flat.reasons, i
        refused += not flat.readable
    assert 0.3 * count < refused < count


def test_200_mutants_cost_their_own_row(tmp_path, originals):
    check_mutants(tmp_path, originals, 200)


@pytest.mark.slow
def test_5000_mutants_cost_their_own_row(tmp_path, originals):
    check_mutants(tmp_path, originals, 5000)


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_has_a_reason(tmp_path):
    path = tmp_path / "closed.png"
    Image.new("RGB", (80, 80)).save(path)
    path.chmod(0)
    assert Preprocessor()(path).reasons == ("cannot_decode",)
