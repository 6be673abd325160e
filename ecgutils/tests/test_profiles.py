"""Profiles and how changes to them are checked."""

from __future__ import annotations

import pytest
import timm

from ecgutils.files import runs_root
from ecgutils.profiles import PROFILES, arm_settings, load_profile


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_loads(name):
    changes = {"data": "somewhere"} if name == "full" else {}
    profile = load_profile(name, **changes)
    arms = arm_settings(profile)
    assert timm.is_model(profile.backbone)
    assert arms["single_source"].steps == arms["stage1"].steps + arms["two_stage"].steps


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown profile 'dmeo'; known are smoke, demo, weights, full"):
        load_profile("dmeo")


def test_unknown_key_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean batch_size"):
        load_profile("demo", batchsize=4)


def test_text_values_become_the_fields_type():
    profile = load_profile("demo", batch_size="8", scan_size="640,480", scan_sources="fax,office", stage1_lr="1e-4")
    assert profile.batch_size == 8
    assert profile.scan_size == (640, 480)
    assert profile.scan_sources == ("fax", "office")
    assert profile.stage1_lr == 1e-4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": "many"}, "batch_size"),
        ({"signals": "ptbxl"}, "needs data"),
        ({"data": "folder"}, "signals is simulated"),
        ({"signals": "mitbih"}, "use one of simulated, ptbxl"),
        ({"val_folds": (1,)}, "disjoint"),
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"n_records": 3}, "at least 20"),
        ({"scan_sources": ()}, "scan_sources is empty"),
    ],
)
def test_contradictions_are_refused_in_one_sentence(changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        load_profile("demo", **changes)
    assert "\n" not in str(caught.value)


def test_ptbxl_uses_the_folds_its_authors_advise():
    profile = load_profile("demo", signals="ptbxl", data="x")
    assert profile.folds_for(set(range(1, 11))) == {"train": tuple(range(1, 9)), "val": (9,), "test": (10,)}


def test_a_sample_without_folds_9_and_10_tests_on_its_last_two():
    profile = load_profile("demo", signals="ptbxl", data="x")
    assert profile.folds_for(set(range(1, 9))) == {"train": (1, 2, 3, 4, 5), "val": (6,), "test": (7, 8)}


def test_too_few_folds_are_refused():
    with pytest.raises(ValueError, match="too few"):
        load_profile("demo").folds_for({1, 2, 3})


def test_runs_go_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ECG_RUNS", str(tmp_path))
    assert runs_root() == tmp_path
    assert load_profile("demo").run_dir == tmp_path / "demo"
    assert load_profile("smoke", signals="ptbxl", data="x", bhf="y").run_dir == tmp_path / "smoke-ptbxl-bhf"
