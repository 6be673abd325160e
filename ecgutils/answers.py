"""The table that `predict` writes: it grows as photos are read, goes on after an interruption, and is summed up."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgutils.evaluate import Calibration
from ecgutils.evaluate.predictions import ENDINGS, write_predictions
from ecgutils.files import Progress, atomic_path, jsonable, page_of, settings_key, writing
from ecgutils.findings import FINDINGS
from ecgutils.learn import find_calibration, load_exported
from ecgutils.learn.inference import PREDICTION_COLUMNS, Model, read_photos
from ecgutils.manifest import image_ids
from ecgutils.optional import optional
from ecgutils.preprocess import FlatECG
from ecgutils.preprocess.judge import PASSING, explain

ROWS_SHOWN = 20  # of a longer table numbers are printed
_OFTEN = 64  # photos between two writings of the table


def prepare(
    names: Sequence[str | Path] = (), raw: bool = False, calibration: Path | None = None, onnx: Path | None = None
) -> tuple[list[Model], Calibration | None, str]:
    """Models, their calibration, and a sentence that says where both come from.

    names : as `load_model` takes them; none: those that ship. onnx : a folder of `export` instead.
    The calibration is as `find_calibration` finds it; None where there is none, or `raw` probabilities are wanted.
    Raises as these do.
    """
    if onnx:
        models: list[Model] = load_exported(onnx)
        origins = {model.trained_on for model in models}
    else:
        from ecgutils.learn.checkpoint import SHIPPED, expanded, load_model, trained_on  # PyTorch takes seconds

        names = expanded(names or SHIPPED)
        models, origins = [load_model(name, device="auto") for name in names], set(map(trained_on, names))
    curves, fitted = (None, "raw") if raw else find_calibration(models, calibration)
    said = f"Learned from {' and '.join(sorted(origins))}; probabilities are {fitted}, and not for any hospital."
    return models, curves, said


def answer(
    models: Sequence[Model],
    photos: Sequence[Path],
    out: Path | None = None,
    workers: int = 1,
    quads: Mapping[str, np.ndarray] | None = None,
    calibration: Calibration | None = None,
    overlay: Path | None = None,
) -> pd.DataFrame:
    """One row per photo, in the order given, as `learn.predict` makes it; without `calibration` raw probabilities.

    models : as `load_model` or `load_exported` read them.
    out : file of one of ENDINGS, written every few photos and at the end, even when interrupted. Beside it,
        `<out>.progress.jsonl` keeps each row with its file's path, size and time of change: what is there already, of
        the same weights, is not read again.
    overlay : folder of one picture per photo, `<ID>.png`; a photo that lacks its picture is read again.
    workers, quads : as `learn.predict` takes them.

    Raises ValueError for another ending, or an `out` that is not this function's or of other weights;
    ModuleNotFoundError where pyarrow, which Parquet needs, is not installed.
    """
    ids, quads, rows = image_ids(photos), quads or {}, {}
    if overlay:
        with writing(_picture(overlay, "")):
            pass
    keys = {"weights": sorted(model.checkpoint[1] for model in models), "pages": [m.settings.key() for m in models]}
    made_by = settings_key({**keys, "calibration": calibration and asdict(calibration)})
    progress = Progress(f"{out}.progress.jsonl") if out else None
    if progress:
        _check(out, progress, made_by, ids)
    entries = [_entry(photo, quads.get(one), made_by) for photo, one in zip(photos, ids, strict=True)]
    for one, entry in zip(ids, entries, strict=True):
        old = progress.done.get(entry["name"], {}) if progress else {}
        drawn = overlay is None or _picture(overlay, one).is_file()
        if drawn and entry.items() <= old.items() and not PASSING & set(old["row"]["reasons"].split(";")):
            rows[one] = old["row"]
    todo = {one: k for k, one in enumerate(ids) if one not in rows}
    known = {one: quad for one, quad in quads.items() if one in todo}
    how = {"quads": known, "raw": calibration is None, "calibration": calibration, "ids": list(todo)}
    columns = (*PREDICTION_COLUMNS, "calibrated_on") if calibration else PREDICTION_COLUMNS

    def table() -> pd.DataFrame:
        made = [{**rows[one], "ID": one} for one in ids if one in rows]
        return pd.DataFrame(made, columns=list(columns)).astype(dict.fromkeys((*FINDINGS, "quality"), float))

    with progress.alone() if progress else nullcontext():
        try:
            for row, flat in read_photos(models, [photos[k] for k in todo.values()], workers, **how):
                k = todo[row["ID"]]
                if overlay:
                    _draw(_picture(overlay, row["ID"]), photos[k], flat, row)
                if progress:
                    progress.add({**entries[k], "row": jsonable(row)})
                rows[row["ID"]] = row
                if out and len(rows) % _OFTEN == 0:
                    write_predictions(table(), out)
        finally:
            if out and rows:
                write_predictions(table(), out)
    return table()


def _check(out: Path, progress: Progress, made_by: str, ids: list[str]) -> None:
    """Refuse a table that can't be written, or that isn't to be written over; say which IDs look like formulas."""
    if odd := [one for one in ids if one[0] in "=+-@\t\r"]:  # kept: by its ID a row finds its photo
        warnings.warn(f"A spreadsheet may run {len(odd)} ID(s), e.g. {odd[0]!r}: import them as text.", stacklevel=3)
    if out.suffix.lower() not in ENDINGS:
        raise ValueError(f"--out ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}; got {str(out)!r}.")
    if out.suffix.lower() == ".parquet":
        optional("pyarrow")  # before hours of reading, not after
    if out.exists() and not progress.done:
        raise ValueError(f"{out} is there already, and no {progress.path} beside it: give another --out, or delete it.")
    if any(entry.get("made_by") != made_by for entry in progress.done.values()):
        what = f"{out} holds answers of other weights, another calibration or another version"
        raise ValueError(f"{what}: give another --out, or delete it and {progress.path}.")


def _entry(photo: Path, quad_xy: np.ndarray | None, made_by: str) -> dict[str, Any]:
    """By what a row is known: its photo as it is now, and who made it."""
    try:
        stat = page_of(photo)[0].stat()
        state = f"{stat.st_size} {stat.st_mtime_ns}"
    except OSError:  # its row will say why
        state = ""
    corners = None if quad_xy is None else np.asarray(quad_xy, float).tolist()
    return {"name": str(photo.absolute()), "state": state, "corners": corners, "made_by": made_by}


def _picture(overlay: Path, image_id: str) -> Path:
    return overlay / f"{image_id}.png"


def _draw(picture: Path, photo: Path, flat: FlatECG, row: Mapping[str, Any]) -> None:
    from ecgutils.plots import plot_reading

    try:
        with atomic_path(picture) as temporary:
            plot_reading(photo, flat, row).savefig(temporary)
    except OSError as error:  # a full disk must not take the answers along
        warnings.warn(f"No overlay of {photo}: {error}", stacklevel=2)


def summary(table: pd.DataFrame) -> str:
    """What to print of `answer`'s table: its rows, of a long one how many could be read; then what the reasons say."""
    if len(table) > ROWS_SHOWN:
        said = f"{int(table['readable'].sum())} of {len(table)} photos were read."
        return "\n".join([said, *explain(table["reasons"], table["readable"], table["ID"])])
    shown = table.drop(columns="calibrated_on", errors="ignore").round(dict.fromkeys((*FINDINGS, "quality"), 3))
    return "\n".join([shown.to_string(index=False), *explain(table["reasons"])])
