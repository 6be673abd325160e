"""From images to a table of probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from ecgutils.findings import FINDINGS
from ecgutils.learn.checkpoint import load_model
from ecgutils.learn.dataset import FlatSet
from ecgutils.learn.model import ECGModel, to_ink
from ecgutils.learn.views import VIEWS
from ecgutils.manifest import image_ids
from ecgutils.preprocess import Preprocessor, PreprocessSettings
from ecgutils.preprocess.canvas import Canvas

Models = ECGModel | str | Path | Sequence[ECGModel | str | Path]
Flat = tuple[list[np.ndarray], bool, float, tuple[str, ...]]  # an image per canvas, readable, quality, reasons
PREDICTION_COLUMNS = ("ID", *FINDINGS, "quality", "readable", "reasons")
_SAME = PreprocessSettings()  # whose size and scale stand for any
_BATCH = 64
_CPU_PIXELS = 2**20  # of a batch on a CPU: about what its cache holds; 64 pages of 768 x 384 at once take twice as long
_AT_ONCE = 256  # images whose views are held in memory


def predict_logits(model: ECGModel, images: np.ndarray, batch_size: int | None = None) -> np.ndarray:
    """Logits float32 (N, 5) of flat images uint8 (N, H, W), on the device the model is on, without dropout.

    batch_size : images at once; None = what is fast on that device.
    """
    if images.ndim != 3 or images.dtype != np.uint8 or images.shape[1:] != model.input_size:
        raise ValueError(
            f"predict_logits: images must be uint8 (N, {model.input_size[0]}, {model.input_size[1]}), "
            f"got {images.dtype} {images.shape}."
        )
    device, was_training = model.mean.device, model.training
    model.eval()
    if batch_size is None:
        height, width = model.input_size
        batch_size = max(1, _CPU_PIXELS // (height * width)) if device.type == "cpu" else _BATCH
    logits = np.empty((len(images), len(FINDINGS)), np.float32)
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            ink = to_ink(images[start : start + batch_size], device)
            logits[start : start + batch_size] = model(ink).float().cpu().numpy()
    model.train(was_training)
    return logits


def predict_set(models: Models, flat: FlatSet, views: bool = False) -> pd.DataFrame:
    """Predictions for images that are flat already: one row per image, in order; unreadable ones are NaN.

    Returns PREDICTION_COLUMNS; probabilities are the mean over the models, with `views` also over VIEWS. Raises
    ValueError when the images were made with other preprocessing settings than a model's.
    """
    members = _as_models(models)
    for model in members:
        check_settings(model, flat)
    probabilities = np.full((len(flat), len(FINDINGS)), np.nan)
    if flat.readable.any():
        images = flat.images if flat.readable.all() else flat.images[flat.readable]
        probabilities[flat.readable] = np.mean([_probabilities(m, images, views) for m in members], axis=0)
    quality = np.full(len(flat), np.nan) if flat.quality is None else flat.quality
    reasons = np.where(flat.readable, "", "unreadable") if flat.reasons is None else flat.reasons
    return _table(flat.image_ids, probabilities, quality, flat.readable, reasons)


def predict(
    models: Models,
    paths: Iterable[str | Path],
    workers: int = 1,
    progress: bool = True,
    views: bool = False,
    quads: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Predictions for image files: one row per path, in the order given, always.

    Parameters
    ----------
    models : a model, a checkpoint folder or the name of one that ships, or a sequence of these, such as SHIPPED:
        their mean is returned. A model stays on its device, others go to CUDA when there is one. Models with
        different preprocessing settings are fine, each gets the images it was
        trained for; where these differ in size and px/mm only, as those that ship, an image is flattened once.
    paths : image files; the file stem is the ID (`image_ids`).
    workers : processes for preprocessing.
    views : also average over VIEWS, as test-time augmentation: five times the model's work.
    quads : page corners that are known, by ID, each as `Preprocessor` takes them; others are looked for.

    Returns
    -------
    Frame with PREDICTION_COLUMNS: ID, five probabilities, quality 0..1, readable, reasons (";"-joined). An image
    that cannot be read has NaN probabilities and a reason. With several settings an image must be readable
    under each; quality is the lowest, reasons are collected.

    Raises ValueError when two paths have the same stem, a corner's ID is none of them, or there is no model.
    """
    paths, quads = [Path(path) for path in paths], dict(quads or {})
    ids = image_ids(paths)
    if unknown := sorted(set(quads) - set(ids)):
        raise ValueError(f"Corners are given for {unknown[0]!r}, which is none of the images' IDs.")
    outlines = [quads.get(i) for i in ids]
    members = _as_models(models)
    families: dict[PreprocessSettings, dict[Canvas, list[ECGModel]]] = {}
    for model in members:
        shared = replace(model.settings, size=_SAME.size, px_per_mm=_SAME.px_per_mm)
        families.setdefault(shared, {}).setdefault(model.settings.canvas, []).append(model)
    n = len(paths)
    total, quality, readable = np.zeros((n, len(FINDINGS))), np.ones(n), np.ones(n, bool)
    reasons: list[dict[str, None]] = [{} for _ in paths]  # ordered sets
    with tqdm(total=n * len(families), desc="predict", unit="image", disable=not progress) as bar:
        for shared, family in families.items():
            for start, flats in _flat_batches(paths, Preprocessor(shared), list(family), workers, outlines):
                rows = np.arange(start, start + len(flats))
                for row, (_, is_readable, how_good, why) in zip(rows, flats, strict=True):
                    readable[row] &= is_readable
                    quality[row] = min(quality[row], how_good)
                    reasons[row] |= dict.fromkeys(why)
                seen = [i for i, flat in enumerate(flats) if flat[1]]
                if seen:
                    for k, group in enumerate(family.values()):
                        images = np.stack([flats[i][0][k] for i in seen])
                        total[rows[seen]] += sum(_probabilities(model, images, views) for model in group)
                bar.update(len(flats))
    total[~readable] = np.nan
    return _table(ids, total / len(members), quality, readable, [";".join(r) for r in reasons])


def check_settings(model: ECGModel, flat: FlatSet) -> None:
    """Raise ValueError when images were not made as the model expects them."""
    if flat.images.shape[1:] != model.input_size:
        raise ValueError(
            f"Images are {flat.images.shape[1:]} (H, W), the model reads {model.input_size}: flatten anew."
        )
    if flat.preprocess is not None:
        wanted = model.settings.to_dict()
        if other := [key for key in wanted if flat.preprocess.get(key) != wanted[key]]:
            raise ValueError(
                f"Images were flattened with {other[0]} = {flat.preprocess.get(other[0])}, the model expects "
                f"{wanted[other[0]]}: build the cache with the model's settings."
            )


def _flat_batches(
    paths: list[Path],
    flattener: Preprocessor,
    canvases: list[Canvas],
    workers: int,
    outlines: list[np.ndarray | None],
) -> Iterator[tuple[int, list[Flat]]]:
    """(first row, flat images of up to 64 paths); only a batch at a time is held in memory."""
    jobs = (delayed(_flatten)(path, flattener, canvases, quad) for path, quad in zip(paths, outlines, strict=True))
    batch: list[Flat] = []
    start = 0
    for flat in Parallel(n_jobs=workers, return_as="generator")(jobs):
        batch.append(flat)
        if len(batch) == _BATCH:
            yield start, batch
            start, batch = start + len(batch), []
    if batch:
        yield start, batch


def _flatten(path: Path, flattener: Preprocessor, canvases: list[Canvas], quad_xy: np.ndarray | None) -> Flat:
    """The little that a prediction needs, to keep what workers send back small."""
    cv2.setNumThreads(1)
    flats = flattener.on_canvases(path, canvases, quad_xy=quad_xy)
    return [flat.image for flat in flats], flats[0].readable, flats[0].quality, flats[0].reasons


def _as_models(models: Models) -> list[ECGModel]:
    several = [models] if isinstance(models, (ECGModel, str, Path)) else list(models)
    if not several:
        raise ValueError("predict: give at least one model.")
    return [model if isinstance(model, ECGModel) else load_model(model, device="auto") for model in several]


def _probabilities(model: ECGModel, images: np.ndarray, views: bool) -> np.ndarray:
    """Probabilities (N, 5), with `views` the mean over VIEWS."""
    chosen, found = VIEWS if views else VIEWS[:1], np.zeros((len(images), len(FINDINGS)))
    for start in range(0, len(images), _AT_ONCE):
        part = images[start : start + _AT_ONCE]
        logits = predict_logits(model, np.concatenate([view(part) for view in chosen]))
        found[start : start + _AT_ONCE] = _sigmoid(logits).reshape(len(chosen), len(part), -1).mean(0)
    return found


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64).clip(-500, 500)))


def _table(ids, probabilities, quality, readable, reasons) -> pd.DataFrame:  # noqa: ANN001
    columns = dict(zip(FINDINGS, np.asarray(probabilities).T, strict=True))
    table = pd.DataFrame({"ID": np.asarray(ids, dtype=object), **columns})
    return table.assign(quality=quality, readable=readable, reasons=reasons)[list(PREDICTION_COLUMNS)]
