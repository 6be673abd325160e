"""Profiles and how changes to them are checked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm

from ecgutils.files import runs_root
from ecgutils.preprocess import PreprocessSettings
from ecgutils.profiles import PROFILES, Profile, arm_settings, load_profile


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_loads(name, tmp_path):
    changes = {"data": str(tmp_path)} if name == "full" else {}
    profile = load_profile(name, **changes)
    assert profile == Profile(name, **changes)
    assert replace(profile, seed=3) == load_profile(name, **changes, seed=3)
    assert profile.preprocess_settings == PreprocessSettings(size=profile.flat_size, px_per_mm=profile.px_per_mm)
    arms = arm_settings(profile)
    assert timm.is_model(profile.backbone)
    assert arms["single_source"].steps == arms["stage1"].steps + arms["two_stage"].steps


def test_unknown_profile_names_the_nearest_or_all():
    with pytest.raises(ValueError, match="Unknown profile 'dmeo'; did you mean demo"):
        load_profile("dmeo")
    with pytest.raises(ValueError, match="Unknown profile 'x'; known are smoke, demo, weights, full"):
        load_profile("x")


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
        ({"batch_size": "many"}, "batch_size: 'many' is not a whole number"),
        ({"batch_size": 4.5}, "batch_size: 4.5 is not a whole number"),
        ({"scan_size": 640}, "scan_size: 640 is not a list"),
        ({"signals": "ptbxl"}, "needs data"),
        ({"data": "folder"}, "signals is simulated"),
        ({"signals": "ptbxl", "data": "no folder"}, "data=no folder does not exist"),
        ({"photos": "no folder"}, "photos=no folder does not exist"),
        ({"photos_test": "."}, "photos_test is set but photos is not"),
        ({"signals": "wfdb"}, "signals=wfdb needs data"),
        ({"signals": "mitbih"}, "signals='mitbih': .* known are simulated, ptbxl, wfdb"),
        ({"val_folds": (1,)}, "val_folds .* disjoint"),
        ({"val_folds": ""}, "val_folds .* each"),
        ({"test_folds": (10, 11)}, "1 to 10"),
        ({"batch_size": 0}, "batch_size=0: must be"),
        ({"stage2_views": 0}, "stage2_views=0: must be"),
        ({"seed": -1}, "seed=-1: must be"),
        ({"n_records": 3}, "n_records must be at least 20"),
        ({"extra_records": -1}, "extra_records must be at least 0"),
        ({"workers": -2}, "workers must be at least 0"),
        ({"max_steps": -2}, "max_steps must be at least 0"),
        ({"bootstrap_rounds": 0}, "bootstrap_rounds must be at least 1"),
        ({"scan_sources": ()}, "scan_sources .* at least one"),
        ({"scan_sources": "fax,fax"}, "scan_sources .* each once"),
        ({"scan_sources": "vektor"}, "scan_sources=.*did you mean vector"),
        ({"scan_size": "640"}, "scan_size=.*must be .W, H"),
        ({"photo_size": (1280, 40)}, "photo_size=.*200 to 10000"),
        ({"flat_size": (320, 160, 3)}, "flat_size=.*32 to 8192"),
        ({"scratch_size": (256, 100)}, "scratch_size=.*not .width, height. of 384x192 px reduced"),
        ({"scratch_size": (768, 384)}, "scratch_size=.*of 384x192 px reduced"),
        ({"scratch_size": "256"}, "scratch_size=.*of 384x192 px reduced"),
        ({"flat_size": (192, 96)}, "scratch_size=.*of 192x96 px reduced"),
        ({"px_per_mm": "nan"}, "px_per_mm=nan: .*give 0.2 to 50"),
        ({"optimizer": "mun"}, "optimizer='mun': must be one of muon, adamw"),
        ({"stage1_lr": -3}, "stage1_lr=-3.0: must be between 0 and 1"),
        ({"layer_decay": 2}, "layer_decay=2.0: must be between"),
        ({"geometry": "inf"}, "geometry=inf: must be between"),
        ({"backbone": "convnext_ato"}, "backbone='convnext_ato': .*convnext_atto"),
        ({"backbone": "vit_tiny_patch16_224"}, "backbone='vit_tiny_patch16_224': "),
        ({"pretrained": "hup"}, "pretrained is 'hup', neither hub nor a file"),
    ],
)
def test_what_would_stop_a_run_later_is_refused_at_once_in_one_sentence(changes, words):
    with pytest.raises(ValueError, match=words) as caught:
        Profile("demo", **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["photos", "photos_test"])
def test_a_folder_without_labelled_photos_in_it_is_refused(tmp_path, key):
    (tmp_path / "MI").mkdir()
    (tmp_path / "MI/a.png").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=rf"{key}=.*empty: no labelled photos are known there; give a CSV"):
        load_profile("demo", **{"photos": tmp_path, key: tmp_path / "empty"})


@pytest.mark.parametrize("signals", ["ptbxl", "wfdb"])
def test_real_patients_get_no_simulated_company_and_the_folds_their_authors_advise(tmp_path, signals):
    profile = load_profile("demo", signals=signals, data=tmp_path)
    assert profile.extra_records == 0
    assert profile.folds_for(set(range(1, 11))) == {"train": tuple(range(1, 9)), "val": (9,), "test": (10,)}
    assert load_profile("demo", signals=signals, data=tmp_path, extra_records=1600).extra_records == 1600


def test_simulated_patients_leave_five_folds_for_the_test():
    profile = load_profile("demo")
    assert profile.folds_for(set(range(1, 11))) == {"train": (1, 2, 3), "val": (4, 5), "test": (6, 7, 8, 9, 10)}


def test_a_sample_without_folds_9_and_10_tests_on_its_last_two(tmp_path):
    profile = load_profile("demo", signals="ptbxl", data=tmp_path)
    assert profile.folds_for(set(range(1, 9))) == {"train": (1, 2, 3, 4, 5), "val": (6,), "test": (7, 8)}


def test_shipped_networks_take_part_where_they_read_pages_of_that_size(tmp_path):
    assert load_profile("demo").shipped == load_profile("smoke").shipped == ("small",)
    assert load_profile("demo", px_per_mm=1.5).shipped == ()
    with pytest.raises(ValueError, match=r"start='no/where': No checkpoint folder at no/where"):
        load_profile("demo", start="no/where")
    assert load_profile("demo", start="simulated/default").settings()["start"] == "simulated/default"


def test_too_few_folds_are_refused():
    with pytest.raises(ValueError, match="too few"):
        load_profile("demo").folds_for({1, 2, 3})


def test_runs_go_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ECG_RUNS", str(tmp_path))
    assert runs_root() == tmp_path
    assert load_profile("demo").run_dir == tmp_path / "demo"
    (tmp_path / "bhf/train_0").mkdir(parents=True)
    (tmp_path / "bhf/train_final.csv").touch()
    both = load_profile("smoke", signals="ptbxl", data=tmp_path, photos=tmp_path / "bhf")
    assert both.run_dir == tmp_path / "smoke-ptbxl-photos"
