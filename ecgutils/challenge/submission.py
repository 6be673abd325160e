"""Write the submission file, with a JSON beside it that says exactly what made it."""

import hashlib
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecgutils.challenge.table import COLUMNS, first_few, id_order, plain_id, read_text_csv
from ecgutils.challenge.validate import validate_submission
from ecgutils.evaluate.predictions import check_prevalence, prediction_table
from ecgutils.files import atomic_path, runs_root, write_bytes, write_json
from ecgutils.provenance import git_describe, versions

LABELS = COLUMNS[1:]
KAGGLE_WORKING = Path("/kaggle/working")  # Kaggle scores the submission.csv it finds there


def write_submission(
    predictions: pd.DataFrame,
    out_path: str | Path,
    prevalence: Mapping[str, float],
    sample: str | Path | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> list[str]:
    """Write a CSV that `validate_submission` accepts, and the same name with .json beside it.

    Parameters
    ----------
    predictions : table with ID and probabilities in [0, 1], the challenge's five among them; NaN = no answer
        (unreadable photo).
    prevalence : finding -> share of positives in the training set; fills each NaN.
    sample : sample submission: its column order, IDs and row order are followed exactly. Without it the IDs of
        `predictions` are written, sorted.
    provenance : what made the predictions (profile, models, seed, ...; JSON-able), kept in the JSON beside what the
        file holds, what its probabilities were calibrated on, versions and commit.

    IDs are matched by `plain_id`, so predictions for "5" fill a sample row "test_000005.png". A predicted ID that
    is not asked for is left out with a warning. Where /kaggle/working exists, submission.csv is written there too.

    Returns the IDs, as written, of the rows in which at least one value was filled. Raises ValueError when a wanted ID
    has no prediction, and for a value outside [0, 1], a bad prevalence or sample, or repeated IDs.
    """
    out_path, fill = Path(out_path), check_prevalence(prevalence, LABELS)
    table = prediction_table(predictions, "write_submission", LABELS)
    table["ID"] = table["ID"].map(plain_id)
    columns, wanted = _wanted(table, sample)
    values, left_out = _matched(table, wanted)
    if left_out:
        few = first_few(left_out)
        warnings.warn(f"write_submission: {len(left_out)} predicted ID(s) not asked for: {few}.", stacklevel=2)
    empty = values.isna()
    rows = values.fillna(fill).assign(ID=wanted)[columns]
    filled = {i: empty.columns[row].tolist() for i, row in zip(wanted, empty.to_numpy(), strict=True) if row.any()}
    content = _csv(rows)
    note = {
        "file": out_path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": len(rows),
        "columns": columns,
        "filled_with_training_prevalence": filled,
        "training_prevalence": fill,
        "left_out": left_out,
        "calibrated_on": sorted(set(predictions.get("calibrated_on", []))) or None,
        "versions": versions(),
        "git": git_describe(),
        "provenance": dict(provenance or {}),
    }
    with atomic_path(out_path) as temporary:  # both files, or neither
        temporary.write_bytes(content)
        if problems := validate_submission(temporary, wanted):
            raise ValueError(f"write_submission: {out_path} would not be valid: {problems[0]}")
        write_json(out_path.with_suffix(".json"), note)
    if KAGGLE_WORKING.is_dir():
        write_bytes(KAGGLE_WORKING / "submission.csv", content)
    return list(filled)


def submissions_dir() -> Path:
    """Where submissions are written: `submissions/` beside `runs/`, or inside $ECG_RUNS where that is set."""
    root = runs_root()
    return (root if os.environ.get("ECG_RUNS") else root.parent) / "submissions"


def submission_name(profile: str, models: Sequence[str], predictions: pd.DataFrame) -> str:
    """File name that tells what is inside: profile, models, 8 hex digits of the content (whatever its row order)."""
    table = prediction_table(predictions, "submission_name", LABELS)[list(COLUMNS)].sort_values("ID", key=id_order)
    digest = hashlib.sha256(_csv(table)).hexdigest()[:8]
    named = "+".join(models) if len(models) <= 3 else f"{len(models)}-models"
    parts = [re.sub(r"[^A-Za-z0-9.+-]+", "-", part).strip("-.")[:60] for part in (profile, named)]
    return "_".join(["submission", *filter(None, parts), digest]) + ".csv"


def _wanted(table: pd.DataFrame, sample: str | Path | None) -> tuple[list[str], list[str]]:
    """Column order and IDs of the file to be written."""
    if sample is None:
        return list(COLUMNS), table["ID"].sort_values(key=id_order).tolist()
    frame = read_text_csv(Path(sample))
    if sorted(frame.columns) != sorted(COLUMNS):
        found, expected = ", ".join(frame.columns), ", ".join(COLUMNS)
        raise ValueError(f"write_submission: {sample} has columns {found}; expected {expected} in any order.")
    return list(frame.columns), frame["ID"].tolist()


def _matched(table: pd.DataFrame, wanted: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The wanted rows' probabilities, in order, and the IDs that aren't wanted; `table` has plain IDs."""
    if twice := table.loc[table["ID"].duplicated(), "ID"].tolist():
        raise ValueError(f"write_submission: ID {twice[0]} is predicted twice under different spellings; keep one.")
    keys, known = [plain_id(i) for i in wanted], set(table["ID"])
    lost = [i for i, key in zip(wanted, keys, strict=True) if key not in known]
    if lost:
        few = first_few(lost)
        raise ValueError(f"write_submission: {len(lost)} ID(s) to be submitted have no prediction: {few}; predict all.")
    return table.set_index("ID").loc[keys, list(LABELS)], sorted(known - set(keys))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()
