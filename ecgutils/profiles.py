"""Profiles: every number that decides how large a run is, in one place.

`smoke` is for continuous integration (a minute or two), `demo` is the default that needs no download and no GPU,
`full` reads real data and wants a GPU, `weights` makes "simulated/fine" (`benchmarks/ship_weights.py`).
"""

import difflib
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from ecgutils.files import runs_root
from ecgutils.learn import NAMED, REAL, FitSettings, build_model
from ecgutils.learn.checkpoint import read_params
from ecgutils.preprocess import PreprocessSettings
from ecgutils.synth import SCAN_SOURCES
from ecgutils.synth.rendered import check_size
from ecgutils.targets import find_target


@dataclass(frozen=True, init=False)
class Profile:
    """What one run does: `Profile(name, **changes)` is that of PROFILES with some of its values changed.

    The values below are those of `demo`. Text (from a command line) becomes the value's type, tuples are separated by
    commas. With real signals, folds are those that PTB-XL's authors advise, and `extra_records` only those asked for.

    Raises ValueError, one sentence that names the key (and the nearest known), for whatever would stop the run later.
    """

    name: str = "demo"
    seed: int = 7
    # --- signals ---------------------------------------------------------------------------------
    signals: str = "simulated"  # or "ptbxl", "wfdb": then `data` is the folder
    data: str = ""
    n_records: int = 500  # simulated records; of real ones the most that are read, 0 = all
    extra_records: int = 500  # more simulated patients, for stage 1 only
    # a simulated cohort is dealt evenly to folds 1..10; five test: an interval from one fold's 50 people says little
    train_folds: tuple[int, ...] = (1, 2, 3)
    val_folds: tuple[int, ...] = (4, 5)
    test_folds: tuple[int, ...] = (6, 7, 8, 9, 10)
    # --- images ----------------------------------------------------------------------------------
    scan_sources: tuple[str, ...] = ("vector", "office", "fax", "thermal", "archive")
    scan_size: tuple[int, int] = (1100, 850)  # (W, H) px
    photo_size: tuple[int, int] = (1280, 704)
    photos: str = ""  # a CSV or a folder that `read_target` knows; "" = the rendered photos are the target
    photos_test: str = ""  # another, to test on
    # --- pre-processing --------------------------------------------------------------------------
    flat_size: tuple[int, int] = (384, 192)  # (W, H) px of the flat page = the input of what begins with `start`
    px_per_mm: float = 1.4
    scratch_size: tuple[int, int] = (256, 128)  # what begins from scratch sees the same pages reduced, for speed
    # --- learning --------------------------------------------------------------------------------
    backbone: str = "convnext_atto_ols"
    pretrained: str = ""  # "" = from scratch, "hub" = timm's hub, else a local file
    start: str = "small"  # what the third arm begins with: a network that ships, or a checkpoint's folder
    batch_size: int = 16
    stage1_views: int = 2800  # images shown, with repetition
    stage2_views: int = 800
    optimizer: str = "muon"
    stage1_lr: float = 2e-3
    stage2_lr: float = 4e-4
    layer_decay: float = 0.9  # stage 2: each block nearer the input learns slower by this factor
    target_weight: float = 1.0  # of drawing each lead's average beat, beside the labels
    geometry: float = 0.3  # augmentation by slightly wrong registration; 0 = off
    appearance: float = 0.0  # by tone, noise and erasing; off until it is measured apart from geometry
    max_steps: int = 0  # stop each training after so many steps (trial runs); 0 = no limit
    # --- evaluation ------------------------------------------------------------------------------
    bootstrap_rounds: int = 1000
    workers: int = 0  # processes for rendering and flattening; 0 = one per core

    def __init__(self, name: str, **changes: Any) -> None:
        _choose("profile", [name], PROFILES)
        defaults = {field.name: field.default for field in fields(self) if field.name != "name"}
        _choose("profile key", changes, defaults)
        values = defaults | PROFILES[name]
        if changes.get("signals", values["signals"]) != "simulated":
            values |= _REAL
        values |= {key: _convert(key, value, defaults[key]) for key, value in changes.items()}
        for key, value in {"name": name, **values}.items():
            object.__setattr__(self, key, value)
        self._check()

    def _check(self) -> None:
        """Try everything that the notebooks will try with these values, before they do."""
        parts, sources = (self.train_folds, self.val_folds, self.test_folds), self.scan_sources
        folds = [fold for part in parts for fold in part]
        strange = not all(parts) or len(set(folds)) < len(folds) or not set(folds) <= set(range(1, 11))
        lost = self.pretrained not in ("", "hub") and not Path(self.pretrained).is_file()
        simulated, real = self.signals == "simulated", self.signals in _SIGNALS[1:]
        least = {"n_records": 20 * simulated, "extra_records": 0, "workers": 0, "max_steps": 0, "bootstrap_rounds": 1}
        contradictions = {
            f"signals={self.signals} needs data=<its folder>; see data/README.md": real and not self.data,
            f"data is set to {self.data!r} but signals is simulated": simulated and self.data,
            f"train_folds, val_folds and test_folds must be disjoint and some of 1 to 10 each: {parts}": strange,
            f"scan_sources is {sources}; give at least one, and each once": not 0 < len(sources) == len(set(sources)),
            f"pretrained is {self.pretrained!r}, neither hub nor a file": lost,
            "photos_test is set but photos is not": self.photos_test and not self.photos,
        }
        for key, there in {"data": Path.is_dir, "photos": Path.exists, "photos_test": Path.exists}.items():
            place = getattr(self, key)
            contradictions[f"{key}={place} does not exist; see data/README.md"] = not there(Path(place))
        for key, low in least.items():
            contradictions[f"{key} must be at least {low}, got {getattr(self, key)}"] = getattr(self, key) < low
        for what, wrong in contradictions.items():
            if wrong:
                raise ValueError(f"Profile {self.name}: {what}.")
        sound = {"stage": "trial", "checkpoint_every": 1, "eval_every": 1}  # around the one that is tried
        sound |= {name: getattr(Profile, key) for key, name in _OF_TRAINING.items()}
        trials: dict[str, Callable[[], object]] = {
            "signals": lambda: _choose("kind", [self.signals], _SIGNALS),
            "photos": lambda: self.photos and find_target(self.photos),
            "photos_test": lambda: self.photos_test and find_target(self.photos_test),
            "scan_sources": lambda: _choose("source", sources, SCAN_SOURCES),
            "scan_size": lambda: check_size(self.scan_size),
            "photo_size": lambda: check_size(self.photo_size),
            "flat_size": lambda: PreprocessSettings(size=self.flat_size),
            "px_per_mm": lambda: PreprocessSettings(px_per_mm=self.px_per_mm),
            "scratch_size": lambda: self.scratch_settings,
            **{key: partial(FitSettings, **sound | {name: getattr(self, key)}) for key, name in _OF_TRAINING.items()},
            "start": lambda: read_params(self.start),
            "backbone": lambda: _try_model(self.backbone, self.scratch_settings),
        }
        for key, trial in trials.items():
            try:
                with torch.device("meta"):  # a model without its numbers: in half a second, whatever its size
                    trial()
            except Exception as error:  # a backbone has many ways to say that it does not fit
                what = str(error).partition("\n")[0].removeprefix(f"FitSettings.{_OF_TRAINING.get(key)} ")
                raise ValueError(f"Profile {self.name}: {key}={getattr(self, key)!r}: {what}") from None

    @property
    def preprocess_settings(self) -> PreprocessSettings:
        """How the run's images are flattened."""
        return PreprocessSettings(size=self.flat_size, px_per_mm=self.px_per_mm)

    @property
    def scratch_settings(self) -> PreprocessSettings:
        """The same pages, reduced to `scratch_size`: what the networks that begin from scratch see."""
        return self.preprocess_settings.reduced(self.scratch_size)

    @property
    def shipped(self) -> tuple[str, ...]:
        """The networks that ship and read pages of this size."""
        mine = self.preprocess_settings.to_dict()
        return tuple(name for name in REAL if read_params(name)[1]["preprocess"] == mine)

    @property
    def n_workers(self) -> int:
        """Worker processes: as set, else one per core."""
        return self.workers or os.cpu_count() or 1

    @property
    def imagenet(self) -> bool | str:
        """`pretrained` as `build_model` takes it: False = from scratch, True = from the hub, or a local file."""
        return {"": False, "hub": True}.get(self.pretrained, self.pretrained)

    @property
    def run_dir(self) -> Path:
        """Where this run reads and writes: `runs/demo`, `runs/demo-ptbxl`, `runs/smoke-photos`, ..."""
        more = (f"-{self.signals}" * (self.signals != "simulated"), "-photos" * bool(self.photos))
        return runs_root() / "".join((self.name, *more * (self.name != "full")))

    def folds_for(self, available: set[int]) -> dict[str, tuple[int, ...]]:
        """Folds of train, val and test among those available.

        Where one part has none (a sample of PTB-XL), folds are shared out anew: the last two test, the one before them
        validates, the rest train. Raises ValueError when fewer than four folds are there.
        """
        wanted = {"train": self.train_folds, "val": self.val_folds, "test": self.test_folds}
        if all(set(folds) & available for folds in wanted.values()):
            return {part: tuple(fold for fold in folds if fold in available) for part, folds in wanted.items()}
        if len(ordered := sorted(available)) < 4:
            raise ValueError(f"Profile {self.name}: folds {ordered} are too few to train, validate and test; need 4.")
        return {"train": tuple(ordered[:-3]), "val": (ordered[-3],), "test": tuple(ordered[-2:])}

    def settings(self) -> dict[str, Any]:
        """All of it for cards that are passed on: of a user's folders only the last part of the path is told."""
        told = {key: Path(getattr(self, key)).name for key in PLACES if getattr(self, key) not in NAMED}
        return asdict(self) | told


PLACES = ("data", "photos", "photos_test", "pretrained", "start")  # keys of which the value may be a path
_SIGNALS = ("simulated", "ptbxl", "wfdb")
_REAL = {"train_folds": (1, 2, 3, 4, 5, 6, 7, 8), "val_folds": (9,), "test_folds": (10,), "extra_records": 0}
# keys of a profile and what `FitSettings` calls them
_OF_ALL_STAGES = ("batch_size", "optimizer", "target_weight", "geometry", "appearance", "seed")
_OF_TRAINING = {"stage1_views": "views", "stage2_views": "views", "stage1_lr": "lr", "stage2_lr": "lr"}
_OF_TRAINING |= {key: key for key in (*_OF_ALL_STAGES, "layer_decay")}

_OTHER_THAN_DEMO: dict[str, tuple[Any, Any, Any]] = {  # in smoke, weights and full; None = as in demo
    "signals": (None, None, "ptbxl"),
    "n_records": (60, 7000, 0),  # weights: photographed patients,
    "extra_records": (20, 8000, None),  # and scanned ones
    "scan_sources": (("vector", "office"), None, None),
    "scan_size": ((770, 595), None, (2200, 1700)),
    "photo_size": ((960, 528), None, (3460, 1900)),
    "flat_size": (None, (768, 384), (512, 256)),
    "px_per_mm": (None, 2.8, 1.867),
    "scratch_size": (None, (768, 384), (512, 256)),
    "backbone": ("convnext_zepto_rms_ols", None, "convnext_base"),
    "pretrained": (None, None, "hub"),
    "start": (None, None, "default"),
    "batch_size": (None, 64, 64),
    "optimizer": (None, None, "adamw"),
    "stage1_views": (256, 140_000, 640_000),
    "stage2_views": (128, 120_000, 160_000),
    "stage1_lr": (None, 3e-3, 3e-4),
    "stage2_lr": (None, 1.5e-3, 1e-4),
    "layer_decay": (None, 1.0, None),
    "geometry": (None, 0.5, 1.0),
    "appearance": (None, 0.3, 0.7),
    "bootstrap_rounds": (100, 2000, 2000),
}


def _column(i: int) -> dict[str, Any]:
    return {key: values[i] for key, values in _OTHER_THAN_DEMO.items() if values[i] is not None}


PROFILES = {"smoke": _column(0), "demo": {}, "weights": _column(1), "full": _column(2)}
load_profile = Profile  # as notebooks and scripts call it
_try_model = cache(build_model)


def _convert(key: str, value: Any, default: Any) -> Any:
    """`value` as the type of `default`."""
    kind = type(default)
    try:
        if kind is tuple:
            items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
            return tuple(_convert(key, item, default[0]) for item in items)
        if kind is int and int(value) != float(value):
            raise ValueError
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        wanted = {int: "a whole number", float: "a number", tuple: "a list"}[kind]
        raise ValueError(f"Profile key {key}: {value!r} is not {wanted} such as {default!r}.") from None


def _choose(what: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError where one of `chosen` is not `known`, naming the nearest, else all."""
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}."
            raise ValueError(f"Unknown {what} {name!r}{hint}")


def arm_settings(profile: Profile) -> dict[str, FitSettings]:
    """Settings of a profile's trainings: "stage1", morphology on scan-like sources, every layer at the full rate;
    "two_stage", its stage 2 on the target, slower near the input; "from_shipped", the same, beginning with a network
    that ships; "single_source", the baseline, as stage 1 but on the target alone, for as many steps as both stages."""
    shared = {key: getattr(profile, key) for key in _OF_ALL_STAGES} | {"max_steps": profile.max_steps or None}

    def arm(stage: str, views: int, lr: float, layer_decay: float = 1.0, **own: Any) -> FitSettings:
        rhythm = {"eval_every": max(1, views // 6), "checkpoint_every": max(1, views // 12)}
        return FitSettings(stage=stage, views=views, lr=lr, layer_decay=layer_decay, **shared | rhythm | own)

    stage1 = arm("stage1", profile.stage1_views, profile.stage1_lr)
    # Few steps: an average over the last 100, not 500. Our own choice, as the numbers of the profiles.
    stage2 = arm("stage2", profile.stage2_views, profile.stage2_lr, profile.layer_decay, ema_decay=0.99)
    views = (stage1.steps + stage2.steps) * profile.batch_size
    single = arm("baseline", views, profile.stage1_lr, max_steps=None)
    shipped = replace(stage2, stage="adapted")
    return {"stage1": stage1, "two_stage": stage2, "from_shipped": shipped, "single_source": single}
