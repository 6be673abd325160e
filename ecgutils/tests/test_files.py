"""Atomic files: the old one or the new one, never half of one; keys that follow settings and content."""

import hashlib
import json
import os
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgutils.files import Progress, atomic_path, content_hash, settings_key, write_bytes, write_json


def test_a_file_is_written_with_its_folders(tmp_path):
    write_bytes(tmp_path / "a/b/c.bin", b"\x00\xff")
    assert (tmp_path / "a/b/c.bin").read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path / "a/b") == ["c.bin"]


def test_a_failure_keeps_the_old_file_and_leaves_no_rubbish(tmp_path):
    path = tmp_path / "x.csv"
    write_bytes(path, b"old")

    def fail_midway():
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail_midway()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_body_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    write_bytes(tmp_path / "x", b"old")
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x"):
        pass
    assert (tmp_path / "x").read_bytes() == b"old"


def test_the_temporary_name_is_hidden_beside_the_file_and_keeps_its_suffix(tmp_path):
    with atomic_path(tmp_path / "image.v1.png") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"1")


def test_the_file_is_readable_as_any_other_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_bytes(tmp_path / "atomic", b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_json_ends_with_a_newline_and_reads_back(tmp_path):
    write_json(tmp_path / "x.json", {"b": [1, 2.5], "a": None})
    text = (tmp_path / "x.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == {"b": [1, 2.5], "a": None}


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"image": np.zeros(2)})
    assert json.loads((tmp_path / "x.json").read_text()) == 1


def test_the_content_hash_is_sha256(tmp_path):
    write_bytes(tmp_path / "x", b"ecg")
    assert content_hash(tmp_path / "x") == hashlib.sha256(b"ecg").hexdigest()


def test_a_key_ignores_order_and_sees_every_change():
    key = settings_key({"size": [384, 192], "upright": True})
    assert key == settings_key({"upright": True, "size": (384, 192)})
    assert key != settings_key({"upright": False, "size": [384, 192]})
    assert len(key) == 12


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none(), min_size=1))
def test_keys_are_stable_hex_and_lose_nothing(settings):
    key = settings_key(settings)
    assert set(key) <= set("0123456789abcdef")
    assert key == settings_key(dict(reversed(settings.items())))
    assert key != settings_key(settings | {next(iter(settings)): "something else entirely"})


def test_progress_survives_a_torn_line(tmp_path):
    log = Progress(tmp_path / "a/done.jsonl")
    log.add({"name": "one", "key": 1})
    log.add({"name": "two", "key": 2})
    log.add({"name": "one", "key": 3})
    with open(log.path, "ab") as file:
        file.write(b'{"name": "thr')  # killed here
    again = Progress(log.path)
    assert again.done == {"one": {"name": "one", "key": 3}, "two": {"name": "two", "key": 2}}
    again.add({"name": "three", "key": 4})
    assert set(Progress(log.path).done) == {"one", "two", "three"}


def test_progress_writes_nothing_twice(tmp_path):
    log = Progress(tmp_path / "done.jsonl")
    for _ in range(3):
        log.add({"name": "one", "key": 1})
    assert len(log.path.read_text().splitlines()) == 1
