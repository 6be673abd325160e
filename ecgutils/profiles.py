"""Profiles: every number that decides how large a run is, in one place.

`smoke` is for continuous integration (a minute or two), `demo` is the default that needs no download and
no GPU, `full` reads real data and wants a GPU. All three go through the same notebooks and the same code.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgutils.files import runs_root

if TYPE_CHECKING:
    from ecgutils.learn.settings import FitSettings

SIGNALS = ("simulated", "ptbxl")


@dataclass(frozen=True)
class Profile:
    """What one run does. Contradictions raise ValueError on construction."""

    name: str
    seed: int = 7
    # --- signals ---------------------------------------------------------------------------------
    signals: str = "simulated"  # or "ptbxl": then `data` is the PTB-XL folder
    data: str = ""
    n_records: int = 600  # simulated records; for PTB-XL the most that are read, 0 = all
    extra_records: int = 1600  # more simulated patients, for stage 1 only
    train_folds: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    val_folds: tuple[int, ...] = (9,)
    test_folds: tuple[int, ...] = (10,)
    # --- images ----------------------------------------------------------------------------------
    scan_sources: tuple[str, ...] = ("vector", "office", "fax", "thermal", "archive")
    scan_size: tuple[int, int] = (1100, 850)  # (W, H) px
    photo_size: tuple[int, int] = (1280, 704)
    bhf: str = ""  # a folder in the BHF challenge layout; "" = the rendered photos are the target
    # --- pre-processing --------------------------------------------------------------------------
    flat_size: tuple[int, int] = (320, 160)  # (W, H) px of the flat page = the model's input
    px_per_mm: float = 1.17
    # --- learning --------------------------------------------------------------------------------
    backbone: str = "convnext_atto_ols"
    pretrained: str = ""  # "" = from scratch, "hub" = timm's hub, else a local file
    batch_size: int = 16
    stage1_views: int = 4200  # images shown, with repetition
    stage2_views: int = 1000
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

    def __post_init__(self) -> None:
        if self.signals not in SIGNALS:
            raise ValueError(f"Profile {self.name}: signals is {self.signals!r}; use one of {', '.join(SIGNALS)}.")
        if self.signals == "ptbxl" and not self.data:
            raise ValueError(f"Profile {self.name}: signals=ptbxl needs data=<PTB-XL folder>; see data/README.md.")
        if self.signals == "simulated" and self.data:
            raise ValueError(f"Profile {self.name}: data is set to {self.data!r} but signals is simulated.")
        folds = (*self.train_folds, *self.val_folds, *self.test_folds)
        if len(set(folds)) != len(folds) or not (self.train_folds and self.val_folds and self.test_folds):
            raise ValueError(f"Profile {self.name}: train, val and test folds must be non-empty and disjoint: {folds}.")
        if self.signals == "simulated" and not self.n_records >= 20:
            raise ValueError(f"Profile {self.name}: n_records is {self.n_records}; simulation needs at least 20.")
        for field in ("batch_size", "stage1_views", "stage2_views", "bootstrap_rounds"):
            if getattr(self, field) < 1:
                raise ValueError(f"Profile {self.name}: {field} must be positive, got {getattr(self, field)}.")
        if not self.scan_sources:
            raise ValueError(f"Profile {self.name}: scan_sources is empty; stage 1 needs at least one source.")

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
        """Where this run reads and writes: `runs/demo`, `runs/demo-ptbxl`, `runs/smoke-bhf`, ..."""
        parts = [self.name, self.signals if self.signals != "simulated" and self.name != "full" else ""]
        parts.append("bhf" if self.bhf and self.name != "full" else "")
        return runs_root() / "-".join(part for part in parts if part)

    def folds_for(self, available: set[int]) -> dict[str, tuple[int, ...]]:
        """Folds of train, val and test among those available.

        Where the profile's test or validation folds are missing (a sample of PTB-XL), the folds are shared
        out anew: the last two test, the one before them validates, the rest train.

        Raises ValueError when fewer than four folds are there.
        """
        wanted = {"train": self.train_folds, "val": self.val_folds, "test": self.test_folds}
        if all(set(folds) & available for folds in wanted.values()):
            return {part: tuple(fold for fold in folds if fold in available) for part, folds in wanted.items()}
        ordered = sorted(available)
        if len(ordered) < 4:
            raise ValueError(f"Profile {self.name}: folds {ordered} are too few to train, validate and test; need 4.")
        return {"train": tuple(ordered[:-3]), "val": (ordered[-3],), "test": tuple(ordered[-2:])}

    def to_dict(self) -> dict[str, Any]:
        """All settings, JSON-able."""
        return asdict(self)

    def settings(self) -> dict[str, Any]:
        """`to_dict` for cards that are passed on: of a user's folders only the last part of the path is told."""
        return self.to_dict() | {key: Path(getattr(self, key)).name for key in ("data", "bhf", "pretrained")}


# A simulated cohort is dealt evenly to folds 1..10. Four test: an interval from one fold's 60 people says little.
_SIMULATED = {"train_folds": (1, 2, 3, 4, 5), "val_folds": (6,), "test_folds": (7, 8, 9, 10)}

PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {
        "n_records": 60,
        "extra_records": 20,
        "scan_sources": ("vector", "office"),
        "scan_size": (770, 595),
        "photo_size": (960, 528),
        "flat_size": (192, 96),
        "px_per_mm": 0.7,
        "backbone": "convnext_zepto_rms_ols",
        "stage1_views": 256,
        "stage2_views": 128,
        "bootstrap_rounds": 100,
    },
    "demo": {},
    # what the shipped weights "fine" come from: five minutes on a GPU (`benchmarks/ship_weights.py`)
    "weights": {
        "n_records": 7000,  # photographed patients
        "extra_records": 8000,  # scanned ones
        "flat_size": (768, 384),
        "px_per_mm": 2.8,
        "batch_size": 64,
        "stage1_views": 140_000,
        "stage2_views": 120_000,
        "stage1_lr": 3e-3,
        "stage2_lr": 1.5e-3,
        "layer_decay": 1.0,
        "geometry": 0.5,
        "appearance": 0.3,
        "bootstrap_rounds": 2000,
    },
    "full": {
        "signals": "ptbxl",
        "n_records": 0,
        "extra_records": 0,
        "scan_size": (2200, 1700),
        "photo_size": (3460, 1900),
        "flat_size": (512, 256),
        "px_per_mm": 1.85,
        "backbone": "convnext_base",
        "pretrained": "hub",
        "batch_size": 64,
        "optimizer": "adamw",
        "stage1_views": 640_000,
        "stage2_views": 160_000,
        "stage1_lr": 3e-4,
        "stage2_lr": 1e-4,
        "geometry": 1.0,
        "appearance": 0.7,
        "bootstrap_rounds": 2000,
    },
}


def load_profile(name: str, **changes: Any) -> Profile:
    """A profile by name, with changes; text values (from a command line) are converted to the field's type.

    Raises ValueError for an unknown profile, an unknown key (naming the nearest), or a value of the wrong type.
    """
    if name not in PROFILES:
        raise ValueError(f"Unknown profile {name!r}; known are {', '.join(PROFILES)}.")
    kinds = {field.name: type(field.default) for field in fields(Profile) if field.name != "name"}
    for key, value in changes.items():
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(kinds)}."
            raise ValueError(f"Unknown profile key {key!r}{hint}")
        changes[key] = _convert(key, value, kinds[key])
    settings = {**PROFILES[name], **changes}
    if settings.get("signals", "simulated") == "simulated":
        settings = {**_SIMULATED, **settings}
    return Profile(name=name, **settings)


def _convert(key: str, value: Any, kind: type) -> Any:
    try:
        if kind is tuple:
            items = value.split(",") if isinstance(value, str) else list(value)
            numeric = not key.endswith("sources")
            return tuple(int(item) if numeric else str(item) for item in items)
        return kind(value)
    except (TypeError, ValueError):
        raise ValueError(f"Profile key {key}: {value!r} is not a valid {kind.__name__}.") from None


def arm_settings(profile: Profile) -> dict[str, FitSettings]:
    """Settings of the trainings of a profile.

    "stage1": morphology on scan-like sources, every layer at the full rate. "two_stage": its stage 2, the adaptation
    to the target, slower in the layers near the input. "single_source": the baseline, as stage 1 but on the target
    alone, for as many gradient steps as both stages have together.
    """
    from ecgutils.learn.settings import FitSettings  # torch takes seconds

    shared = {
        "batch_size": profile.batch_size,
        "optimizer": profile.optimizer,
        "target_weight": profile.target_weight,
        "geometry": profile.geometry,
        "appearance": profile.appearance,
        "seed": profile.seed,
        "max_steps": profile.max_steps or None,
    }

    def arm(stage: str, views: int, lr: float, layer_decay: float = 1.0, **own: Any) -> FitSettings:
        rhythm = {"eval_every": max(1, views // 6), "checkpoint_every": max(1, views // 12)}
        return FitSettings(stage=stage, views=views, lr=lr, layer_decay=layer_decay, **shared | rhythm | own)

    stage1 = arm("stage1", profile.stage1_views, profile.stage1_lr)
    # Few steps: an average over the last 100, not 500. Our own choice, as the numbers of the profiles.
    stage2 = arm("stage2", profile.stage2_views, profile.stage2_lr, profile.layer_decay, ema_decay=0.99)
    views = (stage1.steps + stage2.steps) * profile.batch_size
    single = arm("baseline", views, profile.stage1_lr, max_steps=None)
    return {"stage1": stage1, "two_stage": stage2, "single_source": single}
