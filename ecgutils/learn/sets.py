"""A set folder: one flat cache and a manifest per part (train, val, test, submit), as notebooks pass them on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ecgutils.learn.dataset import FlatSet
from ecgutils.manifest import assert_disjoint, read_manifest, read_targets, write_manifest, write_targets
from ecgutils.preprocess import FlatCache, PreprocessSettings, build_cache

TARGETS_NAME = "targets.npz"
_LEARNED_FROM = ("train", "val", "test")


def build_sets(
    folder: str | Path,
    parts: dict[str, pd.DataFrame],
    settings: PreprocessSettings,
    workers: int = 1,
    targets: pd.DataFrame | None = None,
) -> dict[str, FlatCache]:
    """Flatten the images of all parts and write each part's manifest as `folder/<part>.csv`; returns their caches.

    `parts` are manifest frames with absolute paths. Of "train", "val" and "test" no two may share a patient
    (ValueError); "submit" may repeat the rows of "test". Parts share the cache `folder/flat`, but for "submit" where
    it names other images with the same IDs (the challenge numbers train and test separately): then `flat-submit`.
    `targets`, by record_id, are written to `folder/targets.npz` and come back with the sets.
    """
    folder = Path(folder)
    assert_disjoint(**{name: table for name, table in parts.items() if name in _LEARNED_FROM})
    known = pd.concat([table for name, table in parts.items() if name in _LEARNED_FROM], ignore_index=True)
    caches = {}
    if "submit" in parts and not parts["submit"]["path"].isin(known["path"]).all():
        caches["submit"] = build_cache(parts["submit"], folder / "flat-submit", settings, workers=workers)
    shared = build_cache(known, folder / "flat", settings, workers=workers)
    if targets is not None:
        write_targets(targets, folder / TARGETS_NAME)
    for name, table in parts.items():
        write_manifest(table, folder / f"{name}.csv")
    return dict.fromkeys(parts, shared) | caches


def load_sets(folder: str | Path) -> dict[str, FlatSet]:
    """The parts that `build_sets` wrote, by name. Patients are checked to be disjoint once more.

    Raises FileNotFoundError when the folder was never built, KeyError when an image is not in its cache.
    """
    folder = Path(folder)
    tables = {path.stem: read_manifest(path) for path in sorted(folder.glob("*.csv"))}
    if not tables:
        raise FileNotFoundError(f"No image sets in {folder}: run notebook 02 with the same profile first.")
    assert_disjoint(**{name: table for name, table in tables.items() if name in _LEARNED_FROM})
    targets = read_targets(folder / TARGETS_NAME) if (folder / TARGETS_NAME).is_file() else None
    own = {name for name in tables if (folder / f"flat-{name}").is_dir()}
    return {
        name: FlatSet.from_cache(FlatCache.open(folder / (f"flat-{name}" if name in own else "flat")), table, targets)
        for name, table in tables.items()
    }
