"""A set folder: one flat cache and a manifest per part (train, val, test, submit), as notebooks pass them on."""

from pathlib import Path

import pandas as pd

from ecgutils.learn.dataset import FlatSet
from ecgutils.manifest import assert_disjoint, read_manifest, read_targets, write_manifest, write_targets
from ecgutils.preprocess import FlatCache, PreprocessSettings, build_cache

TARGETS_NAME = "targets.npz"


def build_sets(
    folder: str | Path,
    parts: dict[str, pd.DataFrame],
    settings: PreprocessSettings,
    workers: int = 1,
    targets: pd.DataFrame | None = None,
) -> dict[str, FlatCache]:
    """Flatten the images of all parts and write each part's manifest as `folder/<part>.csv`; returns their caches.

    `parts` are manifest frames with absolute paths. No two may share a patient (ValueError), but "submit" may repeat
    the rows of others. Parts share the cache `folder/flat`; only "submit" has one of its own, `flat-submit`, where it
    has other images (the challenge numbers train and test separately, so that IDs clash). Both take the outlines that
    were given with `correct_outline(folder, ...)`.
    `targets`, by record_id, are written to `folder/targets.npz` and come back with the sets.
    """
    folder, names, caches = Path(folder), _cache_names(parts), {}
    for cache in sorted(set(names.values())):
        table = pd.concat([parts[name] for name in parts if names[name] == cache], ignore_index=True)
        table = table.drop_duplicates(["image_id", "path"])
        caches[cache] = build_cache(table, folder / cache, settings, workers, corrections=folder)
    if targets is not None:
        write_targets(targets, folder / TARGETS_NAME)
    for name, table in parts.items():
        write_manifest(table, folder / f"{name}.csv")
    return {name: caches[cache] for name, cache in names.items()}


def load_sets(folder: str | Path) -> dict[str, FlatSet]:
    """The parts that `build_sets` wrote, by name. Patients are checked to be disjoint once more.

    Raises FileNotFoundError when the folder was never built, KeyError when an image is not in its cache.
    """
    folder = Path(folder)
    parts = {path.stem: read_manifest(path) for path in sorted(folder.glob("*.csv"))}
    if not parts:
        raise FileNotFoundError(f"No image sets in {folder}: run notebook 02 with the same profile first.")
    targets = read_targets(folder / TARGETS_NAME) if (folder / TARGETS_NAME).is_file() else None
    caches = {name: FlatCache.open(folder / cache) for name, cache in _cache_names(parts).items()}
    return {name: FlatSet.from_cache(caches[name], table, targets) for name, table in parts.items()}


def _cache_names(parts: dict[str, pd.DataFrame]) -> dict[str, str]:
    """The folder of each part's cache, once it is sure that no patient is in two parts but "submit".

    Images to submit that are no other part's may have IDs that others have, too.
    """
    others = {name: table for name, table in parts.items() if name != "submit"}
    assert_disjoint(**others)
    known = {path for table in others.values() for path in table["path"]}
    apart = "submit" in parts and not known.issuperset(parts["submit"]["path"])
    return {name: "flat-submit" if apart and name == "submit" else "flat" for name in parts}
