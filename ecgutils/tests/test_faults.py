"""Full disks, torn files, killed workers, second runs, clocks: each ends in one sentence or in a repair."""

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ecgutils.__main__ import main
from ecgutils.answers import _entry, answer
from ecgutils.challenge import validate_submission
from ecgutils.evaluate import Calibration
from ecgutils.evaluate.predictions import read_predictions, write_predictions
from ecgutils.files import Progress, check_time, write_bytes, write_json
from ecgutils.findings import FINDINGS
from ecgutils.hearts import simulate
from ecgutils.learn.checkpoint import SHIPPED_FOLDER, load_model
from ecgutils.learn.train import _COUNTED, Run
from ecgutils.manifest import make_manifest, read_manifest, read_targets, write_manifest, write_targets
from ecgutils.parallel import for_each
from ecgutils.preprocess import FlatCache, PreprocessSettings, build_cache, correct_outline
from ecgutils.profiles import load_profile
from ecgutils.run import run_notebooks
from ecgutils.synth import generate_images, render_scan
from ecgutils.synth.truth import read_truth, truth_bytes, truth_path

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
CURVES = {finding: {"slope": 1.5, "intercept": 0.25} for finding in FINDINGS}
CALIBRATION = Calibration("ward 3", "by patient", 80, dict.fromkeys(FINDINGS, 9), CURVES, ("0" * 64,))
ANSWERS = pd.DataFrame({"ID": ["a", "b"]} | dict.fromkeys(FINDINGS, 0.125) | {"quality": 0.5, "reasons": ["", "x"]})
TARGETS = pd.DataFrame({"record_id": ["a", "b"], "QRS": [0.5, 0.25]})
SMALL = PreprocessSettings(size=(64, 32))


def manifest():
    return make_manifest(["a", "b"], "m", path=["a.png", "b.png"], AF=[0, 1], width=[640, 640], height=[480, 480])


WRITERS = {
    "json": lambda path: write_json(path, {"a": 1}),
    "manifest": lambda path: write_manifest(manifest(), path),
    "targets": lambda path: write_targets(TARGETS, path),
    "predictions.csv": lambda path: write_predictions(ANSWERS, path),
    "predictions.jsonl": lambda path: write_predictions(ANSWERS, path),
    "calibration": CALIBRATION.save,
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("name", WRITERS)
def test_what_has_no_place_is_one_sentence_and_the_old_file_stays(tmp_path, monkeypatch, name, code):
    path = tmp_path / name
    path.write_bytes(b"old")

    def fail(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("ecgutils.files.os.fsync", fail)
    said = rf"{name} can't be written \({os.strerror(code)}\): make room, .*repeat"
    with pytest.raises(OSError, match=said) as raised:
        WRITERS[name](path)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


def test_a_disk_that_takes_no_more_bytes_is_one_sentence(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file can grow larger, whoever writes it
    try:
        with pytest.raises(OSError, match=r"big can't be written \(File too large\)"):
            write_bytes(tmp_path / "big", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not os.listdir(tmp_path)


def test_a_progress_log_on_a_full_disk_is_one_sentence(tmp_path):
    (tmp_path / "log").symlink_to("/dev/full")
    log = Progress(tmp_path / "log")
    with pytest.raises(OSError, match=r"log can't be written \(No space left on device\)"):
        log.add({"name": "one"})
    assert log.done == {}  # so that it is made again


def test_a_place_below_a_file_is_one_sentence_of_the_command_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    how = ["-n", "1", "--sources", "vector", "--size", "320x240"]
    assert main(["generate", *how, "--out", str(tmp_path / "file" / "out")]) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert "can't be written (Not a directory): make room, change its rights, or name another place" in error


def test_a_killed_worker_is_one_sentence_that_says_to_take_fewer():
    with pytest.raises(RuntimeError, match=r"^A worker process was killed, .* fewer --workers .*kept\.$"):
        list(for_each(signal.raise_signal, [(signal.SIGKILL,)] * 2, 2))


PATIENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from ecgutils import __main__
from ecgutils.parallel import for_each

def work(args):
    list(for_each(time.sleep, [(0.1,)] * 2, 2))  # the processes are there
    print("ready", flush=True)
    try:
        list(for_each(time.sleep, [(600,)] * 2, 2))
    finally:
        print("cleaning", flush=True)
        time.sleep(600)

__main__._validate = work
sys.exit(__main__.main(["validate", "x"]))
"""


def test_ctrl_c_twice_is_one_sentence_and_leaves_no_process():
    how = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    child = subprocess.Popen([sys.executable, "-c", PATIENT], env=ENVIRONMENT, **how)
    for said in ("ready\n", "cleaning\n"):
        assert child.stdout.readline() == said
        time.sleep(1)
        os.killpg(child.pid, signal.SIGINT)  # to its workers, too, as a terminal does
    _, told = child.communicate(timeout=120)
    assert child.returncode == 130
    assert told.strip().splitlines() == ["interrupted; repeat the command (run: with --resume) to go on"]
    last = time.monotonic() + 120
    while alive(child.pid):  # its workers end a little later
        assert time.monotonic() < last
        time.sleep(0.1)


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# torn files


def truth(path):
    rng = np.random.default_rng(0)
    write_bytes(truth_path(path), truth_bytes(render_scan(simulate(rng), rng, "vector", (320, 240))))


def cache(path):
    (path.parent / "photo").write_text("no image")
    table = pd.DataFrame({"image_id": ["a", "b"], "path": [str(path.parent / "photo")] * 2})
    build_cache(table, path.parent / "flat", SMALL)
    correct_outline(path.parent / "flat", path.parent / "photo", np.array([[0, 0], [9, 0], [9, 9], [0, 9]]))
    return table


def checkpoint(path):
    for name in ("model.safetensors", "params.json"):
        write_bytes(path / name, (SHIPPED_FOLDER / "default" / name).read_bytes())


def runner(folder):
    """As much of a `Run` as its `load` looks at."""
    return SimpleNamespace(out_dir=folder, fingerprint={"seed": 1}, learning=dict)


def resume(path):
    torch.save(dict.fromkeys(_COUNTED, torch.arange(99.0)) | {"fingerprint": {"seed": 1}}, path / "resume.pt")


def submission(path):
    path.write_text("ID,STTC,HYP,MI,CD,AF\n" + "".join(f"{i},.1,.2,.3,.4,.5\n" for i in (1, 2)))


def valid(path):
    if problems := validate_submission(path, ["1", "2"]):
        raise ValueError(f"{path.name}: {problems[0]}")


TORN = {  # what writes it below a folder, the file that is torn, what reads it
    "truth": (lambda f: truth(f / "a.jpg"), "truth/a.npz", lambda f: read_truth(f / "a.jpg")),
    "targets": (lambda f: write_targets(TARGETS, f / "t.npz"), "t.npz", lambda f: read_targets(f / "t.npz")),
    "manifest": (lambda f: write_manifest(manifest(), f / "m.csv"), "m.csv", lambda f: read_manifest(f / "m.csv")),
    "cache settings": (lambda f: cache(f / "x"), "flat/settings.json", lambda f: FlatCache.open(f / "flat")),
    "cache index": (lambda f: cache(f / "x"), "flat/index.csv", lambda f: FlatCache.open(f / "flat")),
    "corrections": (lambda f: cache(f / "x"), "flat/corrections.json", lambda f: cache(f / "x")),
    "params": (checkpoint, "params.json", load_model),
    "weights": (checkpoint, "model.safetensors", load_model),
    "resume": (resume, "resume.pt", lambda f: Run.load(runner(f))),
    "answers": (lambda f: write_predictions(ANSWERS, f / "p.csv"), "p.csv", lambda f: read_predictions(f / "p.csv")),
    "rows": (lambda f: write_predictions(ANSWERS, f / "p.jsonl"), "p.jsonl", lambda f: read_predictions(f / "p.jsonl")),
    "submission": (lambda f: submission(f / "s.csv"), "s.csv", lambda f: valid(f / "s.csv")),
    "calibration": (lambda f: CALIBRATION.save(f / "c.json"), "c.json", lambda f: Calibration.load(f / "c.json")),
}


@pytest.mark.parametrize("kind", TORN)
def test_a_torn_file_is_one_sentence_that_names_it(tmp_path, kind):
    write, name, read = TORN[kind]
    write(tmp_path)
    whole, torn = (tmp_path / name).read_bytes(), tmp_path / name
    rows = torn.suffix in (".csv", ".jsonl")  # that are whole can't be told from all: joins by ID name what is lost
    for size in {0, 1, len(whole) // 3, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 9}:
        if rows and b"\n" in whole[max(0, size - 1) : size + 1]:
            continue
        torn.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"\S") as raised:
            read(tmp_path)
        said = str(raised.value)
        assert torn.name in said or str(torn.parent) in said
        assert "\n" not in said.strip()
    torn.write_bytes(whole)
    read(tmp_path)


def test_a_torn_index_and_a_torn_log_are_repaired(tmp_path):
    table, folder = cache(tmp_path / "x"), tmp_path / "flat"
    build_cache(table, folder, SMALL)  # with the corrected outline
    names = ("index.csv", "settings.json")
    whole = [(folder / name).read_bytes() for name in names]
    for name in (*names, "progress.jsonl"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 2 // 3])
        build_cache(table, folder, SMALL)
        assert [(folder / name).read_bytes() for name in names] == whole


def test_a_bit_that_flipped_in_a_resume_file_is_found(tmp_path):
    resume(tmp_path)
    content = bytearray((tmp_path / "resume.pt").read_bytes())
    content[content.index(np.float32(50).tobytes() + np.float32(51).tobytes()) + 2] ^= 1  # no archive's header
    (tmp_path / "resume.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"resume\.pt cannot be read .* delete it"):
        Run.load(runner(tmp_path))


# two at once


def test_a_second_run_in_a_folder_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("ECG_RUNS", str(tmp_path))
    profile, table = load_profile("smoke"), pd.DataFrame({"image_id": ["a"], "path": ["x"]})
    model = SimpleNamespace(checkpoint=(tmp_path, "0"), settings=SMALL)
    works = {
        tmp_path / "flat/progress.jsonl": lambda: build_cache(table, tmp_path / "flat", SMALL),
        tmp_path / "set/m.csv.progress.jsonl": lambda: generate_images([], tmp_path / "set", name="m.csv"),
        tmp_path / "x.csv.progress.jsonl": lambda: answer([model], [tmp_path / "a.png"], tmp_path / "x.csv"),
        profile.run_dir / "notebooks/progress.jsonl": lambda: run_notebooks(profile, {}, [], resume=False),
    }
    for log, work in works.items():
        with (
            Progress(log).alone(),
            pytest.raises(OSError, match=r"^Another process is at work in \S+, .*: wait for its end"),
        ):
            work()
        with Progress(log).alone():  # free again
            pass


def test_the_lock_of_a_dead_process_does_not_block(tmp_path):
    hold = (
        "import sys, time; from ecgutils.files import Progress\n"
        "with Progress(sys.argv[1]).alone(): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "log")], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(OSError, match="Another process"), Progress(tmp_path / "log").alone():
            pass
        child.kill()
    with Progress(tmp_path / "log").alone():
        pass


def test_a_file_system_without_locks_is_said_and_does_not_stop_the_work(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    log, said = Progress(tmp_path / "log"), r"log can't be locked \(No locks available\): start no second run there"
    with pytest.warns(UserWarning, match=said), log.alone():
        log.add({"name": "one"})
    assert json.loads((tmp_path / "log").read_text()) == {"name": "one"}


# clocks


def test_a_clock_that_goes_backwards_makes_nothing_again_and_loses_no_change(tmp_path, monkeypatch):
    table, photo, folder = cache(tmp_path / "x"), tmp_path / "photo", tmp_path / "flat"
    build_cache(table, folder, SMALL)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for year in (2099, 1971):
        for path in (photo, *before):
            os.utime(path, ((year - 1970) * 31_557_600,) * 2)
        build_cache(table, folder, SMALL)
        assert {path: path.read_bytes() for path in before} == before
    known = _entry(photo, None, "me")
    assert _entry(photo, None, "me") == known
    os.utime(photo, (0, 0))  # another file, as old as it may seem
    assert _entry(photo, None, "me") != known
    monkeypatch.setenv("ECG_DEADLINE", "1000")
    monkeypatch.setattr("ecgutils.files.time.time", lambda: 999)
    check_time("all")  # the time is not up, whatever it was before
