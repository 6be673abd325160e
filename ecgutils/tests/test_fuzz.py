"""Real files with damage at random: a reader ends with what it reads or one line of ValueError or OSError, and ends."""

import copy
import json
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ecgutils.challenge import validate_submission
from ecgutils.challenge.bhf import read_ids
from ecgutils.evaluate import Calibration
from ecgutils.evaluate.predictions import read_predictions, write_predictions
from ecgutils.learn import load_model
from ecgutils.learn.checkpoint import trained_on
from ecgutils.learn.train import Run
from ecgutils.manifest import read_manifest, write_manifest
from ecgutils.preprocess import read_image
from ecgutils.preprocess.pages import pages_of
from ecgutils.synth.truth import read_truth
from ecgutils.tests.test_faults import ANSWERS, CALIBRATION, checkpoint, manifest, resume, runner, submission, truth

MAX_SECONDS = 20  # of CPU, for one file
FEW, MANY = 25, 2_500  # examples; many of all readers take about ten minutes
HOSTILE = (None, True, -1, 0, 1e999, float("nan"), 10**400, "", "\udcff", "x" * 999, [], {}, [[0.5]], {"a": {}})


def picture(kind):
    def write(path):
        Image.fromarray(np.arange(0, 240, dtype=np.uint8).reshape(12, 20).repeat(3, 0)).save(path, kind)

    return write


def image(path):
    read_image(path)
    pages_of(path)


def card(path):
    load_model(path.parent)
    trained_on(path.parent)


def ids(path):
    validate_submission(path, ["1", "2"])
    read_ids(path)


READERS = {  # what writes a whole file, what reads it, and its name
    "png": (picture("PNG"), image, "a.png"),
    "jpeg": (picture("JPEG"), image, "a.jpg"),
    "tiff": (picture("TIFF"), image, "a.tif"),
    "pdf": (picture("PDF"), image, "a.pdf"),
    "truth": (lambda path: truth(path.parents[1] / "a.jpg"), lambda path: read_truth(path.parents[1] / "a.jpg"),
              "truth/a.npz"),
    "manifest": (lambda path: write_manifest(manifest(), path), read_manifest, "m.csv"),
    "submission": (submission, ids, "s.csv"),
    "predictions": (lambda path: write_predictions(ANSWERS, path), read_predictions, "p.csv"),
    "rows": (lambda path: write_predictions(ANSWERS, path), read_predictions, "p.jsonl"),
    "calibration": (CALIBRATION.save, Calibration.load, "c.json"),
    "params": (lambda path: checkpoint(path.parent), card, "params.json"),
    "resume": (lambda path: resume(path.parent), lambda path: Run.load(runner(path.parent)), "resume.pt"),
}  # fmt: skip


@st.composite
def damaged(draw, whole: bytes):
    """Cut off, bits flipped, a stretch overwritten, repeated or dropped; of JSON also a value of another kind."""
    at, kind = draw(st.integers(0, len(whole) - 1)), draw(st.sampled_from(["cut", "bits", "junk", "twice", "drop"]))
    if whole[:1] == b"{" and draw(st.booleans()):
        return other_value(json.loads(whole.splitlines()[0] if whole.count(b"\n{") else whole), draw)
    if kind == "cut":
        return whole[:at]
    if kind == "bits":
        flipped = bytearray(whole)
        for place in draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=9)):
            flipped[place] ^= 1 << draw(st.integers(0, 7))
        return bytes(flipped)
    if kind == "junk":
        junk = draw(st.binary(min_size=1, max_size=16))
        return whole[:at] + junk + whole[at + len(junk) :]
    length = draw(st.integers(1, 200))
    return whole[:at] + whole[at : at + length] * (2 if kind == "twice" else 0) + whole[at + length :]


def other_value(content, draw) -> bytes:
    content = place = copy.deepcopy(content)
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans())):
            break
        place = place[key]
    place[key] = draw(st.sampled_from(HOSTILE))
    return json.dumps(content).encode()


def too_long(*_):
    pytest.fail(f"a file took more than {MAX_SECONDS} s")


def check(folder: Path, kind: str, examples: int) -> None:
    write, read, name = READERS[kind]
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    write(path)
    whole, refused = path.read_bytes(), []
    read(path)

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck)
    @given(damaged(whole))
    def one(content: bytes) -> None:
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
        try:
            read(path)
        except (ValueError, OSError) as error:
            refused.append(str(error).strip())
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        assert not refused or len(refused[-1].splitlines()) == 1

    before = signal.signal(signal.SIGPROF, too_long)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one()
    finally:
        signal.signal(signal.SIGPROF, before)
    assert refused  # some damage is seen


@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, kind):
    check(tmp_path, kind, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_many_damaged_files_are_read_or_refused_in_one_line(tmp_path, kind):
    check(tmp_path, kind, MANY)
