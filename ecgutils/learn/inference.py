"""From images to a table of probabilities.

`read_photos` is the policy, `predict` its table: the mean over the models and over VIEWS, calibrated where there is a
calibration of just these models. `predict_set` is the raw tool below it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from scipy.special import expit
from tqdm import tqdm

from ecgutils.evaluate import Calibration
from ecgutils.findings import FINDINGS
from ecgutils.learn.dataset import FlatSet
from ecgutils.learn.views import VIEWS
from ecgutils.manifest import image_ids
from ecgutils.parallel import for_each
from ecgutils.preprocess import FlatECG, Preprocessor, PreprocessSettings
from ecgutils.preprocess.pages import pages_of

if TYPE_CHECKING:  # PyTorch takes seconds, and exported models need none
    from ecgutils.learn.exported import ExportedModel
    from ecgutils.learn.model import ECGModel

Model: TypeAlias = "ECGModel | ExportedModel"
Models: TypeAlias = "Model | str | Path | Sequence[Model | str | Path]"
PREDICTION_COLUMNS = ("ID", *FINDINGS, "quality", "readable", "reasons")
_SAME = PreprocessSettings()  # whose size and scale stand for any
_LEFT_OUT = {"rectified": None, "image_grid": np.empty((0, 0), np.uint8), "image_from_flat": np.empty((0, 0, 2))}
_BATCH = 64
_AT_ONCE = 256  # images whose views are held in memory


def predict_set(models: Models, flat: FlatSet, views: bool = False) -> pd.DataFrame:
    """Predictions for images that are flat already: one row per image, in order; unreadable ones are NaN.

    Returns PREDICTION_COLUMNS; probabilities are the mean over the models, with `views` also over VIEWS. Raises
    ValueError when the images were made with other preprocessing settings than a model's.
    """
    members = _as_models(models)
    for model in members:
        check_settings(model, flat)
    images = flat.images if flat.readable.all() else flat.images[flat.readable]
    quality = np.full(len(flat), np.nan) if flat.quality is None else flat.quality
    reasons = np.where(flat.readable, "", "unreadable") if flat.reasons is None else flat.reasons
    return _table(flat.image_ids, [(model, images) for model in members], views, quality, flat.readable, reasons)


def predict(
    models: Models,
    paths: Iterable[str | Path],
    workers: int = 1,
    progress: bool = True,
    quads: Mapping[str, np.ndarray] | None = None,
    raw: bool = False,
    calibration: Calibration | None = None,
) -> pd.DataFrame:
    """What `python -m ecgutils predict` prints: one row per path, in the order given, always.

    Parameters
    ----------
    models : a model, a checkpoint folder, the name of one that ships or "simulated", or a sequence of these; or what
        `load_exported` gives. A model stays on its device, others go to CUDA when there is one. Each gets the images
        it was trained for.
    paths : image files, of several pages one row each (`pages_of`); `image_ids` says what their IDs are.
    workers : processes for preprocessing.
    quads : page corners that are known, by ID, each as `Preprocessor` takes them; others are looked for.
    raw : leave out the calibration, for those who fit one.
    calibration : to be used instead of the one that `find_calibration` finds.

    Returns a frame with PREDICTION_COLUMNS: ID, five probabilities, quality 0..1, readable, reasons (";"-joined), and
    `calibrated_on`, in words, where they are calibrated. An image that cannot be read has NaN probabilities
    and a reason. With several settings it must be readable under each; quality is the lowest, reasons are collected.

    Raises ValueError when a corner's ID is none of the paths', there is no model, or `calibration` is of other weights.
    """
    pages = [page for path in paths for page in pages_of(path)]
    rows = [row for row, _ in read_photos(models, pages, workers, progress, quads, raw, calibration)]
    return pd.DataFrame(rows, columns=None if rows else list(PREDICTION_COLUMNS))


def read_photos(
    models: Models,
    paths: Iterable[str | Path],
    workers: int = 1,
    progress: bool = True,
    quads: Mapping[str, np.ndarray] | None = None,
    raw: bool = False,
    calibration: Calibration | None = None,
    ids: Sequence[str] | None = None,
) -> Iterator[tuple[dict[str, Any], FlatECG]]:
    """Each path's row of `predict`'s table, beside the flat page that the first model saw; arguments as `predict`'s.

    A path is one page. ids : of the paths, instead of `image_ids`, where they are a part of a longer list.
    Works through 64 photos at a time, so that memory does not grow with their number; of a flat page `rectified` is
    None, and `image_grid` and `image_from_flat` are empty.
    """
    paths, quads = [Path(path) for path in paths], dict(quads or {})
    ids = image_ids(paths) if ids is None else list(ids)
    if unknown := sorted(set(quads) - set(ids)):
        raise ValueError(f"Corners are given for {unknown[0]!r}, which is none of the images' IDs.")
    members = _as_models(models)
    if calibration is None and not raw:
        calibration = find_calibration(members)[0]
    elif calibration is not None and (raw or not _is_of(calibration, members)):
        why = "raw probabilities are asked for" if raw else "it is that of other weights"
        raise ValueError(f"The calibration on {calibration.domain} can't be used: {why}.")
    groups: dict[PreprocessSettings, list[Model]] = {}
    for model in members:
        groups.setdefault(model.settings, []).append(model)
    by = members[0].exported  # all models see the pages that the first one's networks read
    jobs = [(path.absolute(), quads.get(one), list(groups), by) for path, one in zip(paths, ids, strict=True)]
    with tqdm(total=len(paths), desc="predict", unit="image", disable=not progress) as bar:
        for start in range(0, len(jobs), _BATCH):
            pages = []  # of each photo, one page per group
            for flats in for_each(_flatten, jobs[start : start + _BATCH], workers):
                pages.append(flats)
                bar.update()
            table = _judged(ids[start : start + _BATCH], pages, list(groups.values()))
            table = calibration.apply(table) if calibration else table
            yield from zip(table.to_dict("records"), [flats[0] for flats in pages], strict=True)


def find_calibration(models: Models, path: str | Path | None = None) -> tuple[Calibration | None, str]:
    """The calibration of just these models, None where there isn't one, and a few words that say which or why.

    One model's `calibration.json` lies in its checkpoint folder, that of several in the folder that holds all theirs.
    It counts when it names exactly the weights that `load_model` read. `path` names another file, which has to count.

    Raises ValueError when the file is damaged, for that at `path` also when it is of other weights;
    FileNotFoundError when there is none.
    """
    members = _as_models(models)
    if path is not None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"No calibration at {path}: check the path, or fit one.")
        calibration = Calibration.load(path)
        if not _is_of(calibration, members):
            raise ValueError(f"{path} is the calibration of other weights: fit one on what these models predict.")
        return calibration, f"calibrated on {calibration.describe()}"
    known = [model.checkpoint for model in members]
    places = set() if None in known else {folder if len(known) == 1 else folder.parent for folder, _ in known}
    if len(places) != 1:
        return None, "not calibrated (not all models are checkpoints as they were loaded, in one folder)"
    path = places.pop() / "calibration.json"
    if not path.is_file():
        return None, f"not calibrated (there is no {path})"
    calibration = Calibration.load(path)
    if not _is_of(calibration, members):
        return None, f"not calibrated ({path} is that of other weights)"
    return calibration, f"calibrated on {calibration.describe()}"


def _is_of(calibration: Calibration, members: Sequence[Model]) -> bool:
    known = [model.checkpoint for model in members]
    return None not in known and sorted(calibration.models) == sorted(sha256 for _, sha256 in known)


def check_settings(model: Model, flat: FlatSet) -> None:
    """Raise ValueError when images were not made as the model expects them."""
    if flat.images.shape[1:] != model.input_size:
        made = flat.images.shape[1:]
        raise ValueError(f"Images are {made}, the model reads {model.input_size} (H, W): flatten anew.")
    for key, wanted in model.settings.to_dict().items() if flat.preprocess is not None else ():
        if (made := flat.preprocess.get(key)) != wanted:
            what = f"Images were flattened with {key} = {made}, the model expects {wanted}"
            raise ValueError(f"{what}: build the cache with the model's settings.")


def _flatten(
    path: Path, quad_xy: np.ndarray | None, wanted: list[PreprocessSettings], exported: Path | None
) -> list[FlatECG]:
    """A page for each of the settings; where these differ in size and px/mm only, the photo is flattened once."""
    families: dict[PreprocessSettings, list[PreprocessSettings]] = {}
    for settings in wanted:
        shared = replace(settings, size=_SAME.size, px_per_mm=_SAME.px_per_mm)
        families.setdefault(shared, []).append(settings)
    pages: dict[PreprocessSettings, FlatECG] = {}
    for shared, family in families.items():
        canvases = [settings.canvas for settings in family]
        flats = Preprocessor(shared, exported).on_canvases(path, canvases, quad_xy=quad_xy)
        pages |= zip(family, (replace(flat, **_LEFT_OUT) for flat in flats), strict=True)
    return [pages[settings] for settings in wanted]


def _judged(ids: list[str], pages: list[list[FlatECG]], groups: list[list[Model]]) -> pd.DataFrame:
    """Raw predictions for a batch of photos, each with one flat page per group of models."""
    readable = np.array([all(flat.readable for flat in flats) for flats in pages])
    seen = []
    for k, group in enumerate(groups):
        images = np.array([flats[k].image for flats, good in zip(pages, readable, strict=True) if good])
        seen += [(model, images) for model in group]
    quality = [min(flat.quality for flat in flats) for flats in pages]
    reasons = [";".join(dict.fromkeys(code for flat in flats for code in flat.reasons)) for flats in pages]
    return _table(ids, seen, True, quality, readable, reasons)


def _as_models(models: Models) -> list[Model]:
    several, members = [models] if isinstance(models, str) or not isinstance(models, Iterable) else list(models), []
    for given in several:
        if isinstance(given, (str, Path)):
            from ecgutils.learn.checkpoint import expanded, load_model

            members += [load_model(name, device="auto") for name in expanded([given])]
        else:
            members.append(given)
    if not members:
        raise ValueError("predict: give at least one model.")
    return members


def _probabilities(model: Model, images: np.ndarray, views: bool) -> np.ndarray:
    """Probabilities (N, 5), with `views` the mean over VIEWS."""
    chosen, found = VIEWS if views else VIEWS[:1], np.zeros((len(images), len(FINDINGS)))
    for start in range(0, len(images), _AT_ONCE):
        part = images[start : start + _AT_ONCE]
        logits = model.logits(np.concatenate([view(part) for view in chosen]))
        found[start : start + _AT_ONCE] = expit(logits.astype(np.float64)).reshape(len(chosen), len(part), -1).mean(0)
    return found


def _table(ids, seen, views, quality, readable, reasons) -> pd.DataFrame:  # noqa: ANN001
    """PREDICTION_COLUMNS; the mean over `seen`: each model with the images it reads, those of the readable rows."""
    probabilities = np.full((len(ids), len(FINDINGS)), np.nan)
    if readable.any():
        probabilities[readable] = np.mean([_probabilities(model, images, views) for model, images in seen], axis=0)
    table = pd.DataFrame(probabilities, columns=list(FINDINGS))
    table.insert(0, "ID", np.asarray(ids, dtype=object))
    return table.assign(quality=quality, readable=readable, reasons=reasons)
