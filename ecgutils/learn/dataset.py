"""Flat images with labels, as arrays, and the folders they come from: what the training loop and `predict_set` read."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd

from ecgutils import manifest
from ecgutils.findings import FINDINGS
from ecgutils.preprocess import FlatCache, PreprocessSettings, build_cache

TARGETS_NAME = "targets.npz"


@dataclass(frozen=True, eq=False)
class FlatSet:
    """N flat ECG images and what is known about each.

    Attributes
    ----------
    images : uint8 (N, H, W); dark trace on white, padding 255.
    labels : float32 (N, 5) in FINDINGS order: 0, 1, between them (not sure) or NaN (unknown).
    image_ids : str (N,), unique. Predictions are joined by these, never by row.
    cluster_ids : str (N,), patient, or the image itself where the patient is unknown.
    sources : str (N,), the image source (style) of each image.
    readable : bool (N,); unreadable images are never trained on and get NaN predictions.
    grouped : True when every image names its patient.
    quality : float32 (N,) in 0..1 or None; reasons : str (N,), ";"-joined, or None.
    preprocess : the settings dict that made the images, None when not known; checked against the model's.
    targets : float32 (N, T), what else is known of each image's signal (see `signals.beat_targets`), NaN where it
        isn't; None when nothing is. Learned beside the labels, never needed to predict.
    target_names : of the T columns; those with one first word (up to "_") share a weight. None: all weigh the same.
    signals : float16 (N, 12, S) mV, ten seconds, None when not known. From one that is not all NaN a page is drawn anew
        each time it is shown in training (`redraw`), in place of its image.
    """

    images: np.ndarray
    labels: np.ndarray
    image_ids: np.ndarray
    cluster_ids: np.ndarray
    sources: np.ndarray
    readable: np.ndarray
    grouped: bool
    quality: np.ndarray | None = None
    reasons: np.ndarray | None = None
    preprocess: dict[str, Any] | None = None
    targets: np.ndarray | None = None
    target_names: tuple[str, ...] | None = None
    signals: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise ValueError(f"FlatSet: images must be uint8 (N, H, W), got {self.images.dtype} {self.images.shape}.")
        n = len(self.images)
        if self.labels.shape != (n, len(FINDINGS)):
            raise ValueError(f"FlatSet: labels must be ({n}, {len(FINDINGS)}) for {n} images, got {self.labels.shape}.")
        if not (np.isnan(self.labels) | (self.labels >= 0) & (self.labels <= 1)).all():
            raise ValueError("FlatSet: labels must be 0 to 1, or NaN (unknown).")
        for name in ("image_ids", "cluster_ids", "sources", "readable", "quality", "reasons", "targets", "signals"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise ValueError(f"FlatSet: {name} has {len(value)} entries for {n} images.")
        if len(set(self.image_ids)) != n:
            raise ValueError("FlatSet: image_ids are not unique; predictions could not be joined by them.")

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def from_cache(cls, cache: FlatCache, table: pd.DataFrame, targets: pd.DataFrame | None = None) -> "FlatSet":
        """Rows of a manifest frame, in its order, with their images from a flat cache; joined by image_id.

        targets : frame with a column record_id, unique, and T numeric columns; joined by record_id.

        Raises KeyError, naming an image, when one of the table's images is not in the cache.
        """
        ids = table["image_id"].to_numpy(str)
        images = cache.images(ids)  # names the ones that are missing
        index = cache.index.set_index("image_id").loc[ids]
        known = names = None
        if targets is not None:
            by_record = targets.astype({"record_id": str}).set_index("record_id")
            names = tuple(by_record.columns)
            known = by_record.reindex(table["record_id"].astype(str)).to_numpy(np.float32)
        return cls(
            images=images, labels=manifest.label_array(table), image_ids=ids, cluster_ids=manifest.clusters(table),
            sources=table["image_source"].to_numpy(str), readable=index["readable"].to_numpy(bool),
            grouped=manifest.is_grouped(table), quality=index["quality"].to_numpy(np.float32),
            reasons=index["reasons"].to_numpy(str), preprocess=cache.settings.to_dict(),
            targets=known, target_names=names,
        )  # fmt: skip

    def subset(self, rows: np.ndarray) -> "FlatSet":
        """The set restricted to `rows` (bool mask or indices), in their order."""
        return replace(self, **{k: v[rows] for k, v in vars(self).items() if isinstance(v, np.ndarray)})

    def reduced(self, settings: PreprocessSettings) -> "FlatSet":
        """As a network sees it whose pages have fewer pixels. Raises ValueError where `settings` are not the set's own,
        or its own `reduced`."""
        if self.preprocess is None or PreprocessSettings.from_dict(self.preprocess).reduced(settings.size) != settings:
            raise ValueError(f"Pages flattened with {self.preprocess} can't be reduced to {settings.to_dict()}.")
        if self.preprocess == settings.to_dict():
            return self
        smaller = np.empty((len(self), *settings.size[::-1]), np.uint8)
        for image, out in zip(self.images, smaller, strict=True):
            cv2.resize(image, settings.size, dst=out, interpolation=cv2.INTER_AREA)
        return replace(self, images=smaller, preprocess=settings.to_dict())

    def digest(self) -> str:
        """12 hex digits that change when an image, a label or anything else that is known of one changes."""
        return joblib.hash(vars(self))[:12]


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
    has other images (the challenge numbers train and test separately, so that IDs clash). Both take the outlines of
    `correct_outline(folder, ...)`. `targets`, by record_id, go to `folder/targets.npz` and come back with the sets.
    """
    folder, names, caches = Path(folder), _cache_names(parts), {}
    for cache in sorted(set(names.values())):
        table = pd.concat([parts[name] for name in parts if names[name] == cache], ignore_index=True)
        table = table.drop_duplicates(["image_id", "path"])
        caches[cache] = build_cache(table, folder / cache, settings, workers, corrections=folder)
    if targets is not None:
        manifest.write_targets(targets, folder / TARGETS_NAME)
    for name, table in parts.items():
        manifest.write_manifest(table, folder / f"{name}.csv")
    return {name: caches[cache] for name, cache in names.items()}


def load_sets(folder: str | Path) -> dict[str, FlatSet]:
    """The parts that `build_sets` wrote, by name. Patients are checked to be disjoint once more.

    Raises FileNotFoundError when the folder was never built, KeyError when an image is not in its cache.
    """
    folder = Path(folder)
    parts = {path.stem: manifest.read_manifest(path) for path in sorted(folder.glob("*.csv"))}
    if not parts:
        raise FileNotFoundError(f"No image sets in {folder}: run notebook 02 with the same profile first.")
    targets = manifest.read_targets(folder / TARGETS_NAME) if (folder / TARGETS_NAME).is_file() else None
    caches = {name: FlatCache.open(folder / cache) for name, cache in _cache_names(parts).items()}
    return {name: FlatSet.from_cache(caches[name], table, targets) for name, table in parts.items()}


def _cache_names(parts: dict[str, pd.DataFrame]) -> dict[str, str]:
    """The folder of each part's cache, once it is sure that no patient is in two parts but "submit"."""
    others = {name: table for name, table in parts.items() if name != "submit"}
    manifest.assert_disjoint(**others)
    known = {path for table in others.values() for path in table["path"]}
    apart = "submit" in parts and not known.issuperset(parts["submit"]["path"])
    return {name: "flat-submit" if apart and name == "submit" else "flat" for name in parts}


def join_sets(a: FlatSet, b: FlatSet) -> FlatSet:
    """The images of both sets; ValueError when they were made with other settings, or only one of them has targets."""
    if a.preprocess != b.preprocess:
        raise ValueError("join_sets: the two sets were not flattened with the same settings.")
    for name in ("targets", "signals"):
        if (getattr(a, name) is None) != (getattr(b, name) is None):
            raise ValueError(f"join_sets: only one of the two sets has {name}.")
    joined = {k: np.concatenate([v, getattr(b, k)]) for k, v in vars(a).items() if isinstance(v, np.ndarray)}
    return replace(a, **joined, grouped=a.grouped and b.grouped)


def sampling_probabilities(train: FlatSet) -> np.ndarray:
    """Probability (N,) float64 of drawing each image; 0 for unreadable ones and those with no known label.

    All sources alike; within a source the groups "has this finding" (five) and "has none" in proportion to the square
    root of their size: a compromise of ours between the natural mix (rare findings hardly seen) and equal groups (the
    same few images again and again). Raises ValueError when no image can be used.
    """
    usable = train.readable & ~np.isnan(train.labels).all(axis=1)
    if not usable.any():
        raise ValueError(f"None of the {len(train)} training images is readable and has a known label.")
    positive = np.nan_to_num(train.labels) >= 0.5
    groups = np.column_stack([positive, ~positive.any(axis=1)])  # (N, 6)
    p = np.zeros(len(train))
    for source in np.unique(train.sources[usable]):
        members = groups & (usable & (train.sources == source))[:, None]
        sizes = members.sum(axis=0)
        share = np.sqrt(sizes) / np.sqrt(sizes).sum()
        p += (members * (share / np.maximum(sizes, 1))).sum(axis=1)
    return p / p.sum()


def draw_rows(probabilities: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """Rows (batch_size,) of one batch: one draw from each of as many equal parts of the cumulative probabilities.

    So every batch reaches over the whole set, with less chance in it than independent draws.
    """
    cumulative = np.cumsum(probabilities)
    points = (np.arange(batch_size) + rng.random(batch_size)) / batch_size * cumulative[-1]
    return np.minimum(np.searchsorted(cumulative, points, side="right"), np.flatnonzero(probabilities)[-1])
