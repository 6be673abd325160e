"""The submission file: written, with a JSON beside it that says what made it, and checked, by line and ID."""

import hashlib
import math
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecgutils.challenge.bhf import COLUMNS, LABELS, first_few, id_order, plain_id
from ecgutils.evaluate.predictions import check_prevalence, prediction_table
from ecgutils.files import atomic_path, runs_root, write_bytes, write_json
from ecgutils.manifest import read_rows, read_text_csv
from ecgutils.provenance import git_describe, versions

KAGGLE_WORKING = Path("/kaggle/working")  # Kaggle scores the submission.csv it finds there
MAX_LISTED = 20  # of one kind; the rest are counted, so that a wrong file of 3,200 rows stays readable
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)
_EMPTY = {"", "nan", "na", "n/a", "null", "none", "<na>"}


def write_submission(
    predictions: pd.DataFrame,
    out_path: str | Path,
    prevalence: Mapping[str, float],
    sample: str | Path | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> list[str]:
    """Write a CSV that `validate_submission` accepts, and the same name with .json beside it.

    predictions : table with ID and probabilities in [0, 1], the challenge's five among them; NaN = unreadable photo.
    prevalence : finding -> share of positives in the training set; fills each NaN.
    sample : sample submission: its columns, IDs and rows are followed exactly. Without it IDs come sorted, as given.
    provenance : what made the predictions (profile, models, seed, ...; JSON-able), kept in the JSON beside what the
    file holds, what its probabilities were calibrated on, versions and commit.

    IDs are matched by `plain_id`, so predictions for "5" fill a sample row "test_000005.png". A predicted ID that
    is not asked for is left out with a warning. Where /kaggle/working exists, submission.csv is written there too.

    Returns the IDs, as written, of the rows in which at least one value was filled. ValueError for a wanted ID without
    prediction, a value outside [0, 1], a bad prevalence or sample, or repeated IDs.
    """
    out_path, fill = Path(out_path), check_prevalence(prevalence, LABELS)
    table = prediction_table(predictions, "write_submission", LABELS)
    given = {plain_id(i): i for i in table["ID"]}
    table["ID"] = table["ID"].map(plain_id)
    columns, wanted, values, left_out = _asked_for(table, sample)
    wanted = [given[i] for i in wanted] if sample is None else wanted
    if left_out:
        warnings.warn(f"{len(left_out)} predicted ID(s) not asked for: {first_few(left_out)}.", stacklevel=2)
    empty = values.isna()
    rows = values.fillna(fill).assign(ID=wanted)[columns]
    filled = {i: empty.columns[row].tolist() for i, row in zip(wanted, empty.to_numpy(), strict=True) if row.any()}
    content = _csv(rows)
    note = {
        "file": out_path.name, "sha256": hashlib.sha256(content).hexdigest(), "rows": len(rows), "columns": columns,
        "filled_with_training_prevalence": filled, "training_prevalence": fill, "left_out": left_out,
        "calibrated_on": sorted(set(predictions.get("calibrated_on", []))) or None,
        "versions": versions(), "git": git_describe(), "provenance": dict(provenance or {}),
    }  # fmt: skip
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


def _asked_for(table: pd.DataFrame, sample: str | Path | None) -> tuple[list[str], list[str], pd.DataFrame, list[str]]:
    """Columns and IDs of the file to write, their probabilities, and IDs not asked for; `table` has plain IDs."""
    frame = table[list(COLUMNS)].sort_values("ID", key=id_order) if sample is None else read_text_csv(Path(sample))
    if sorted(frame.columns) != sorted(COLUMNS):
        raise ValueError(f"{sample} has columns {', '.join(frame)}; expected {', '.join(COLUMNS)} in any order.")
    wanted = frame["ID"].tolist()
    if twice := table.loc[table["ID"].duplicated(), "ID"].tolist():
        raise ValueError(f"write_submission: ID {twice[0]} is predicted twice under different spellings; keep one.")
    keys, known = [plain_id(i) for i in wanted], set(table["ID"])
    if lost := [i for i, key in zip(wanted, keys, strict=True) if key not in known]:
        raise ValueError(f"{len(lost)} ID(s) to be submitted have no prediction: {first_few(lost)}; predict all.")
    return list(frame), wanted, table.set_index("ID").loc[keys, LABELS], sorted(known - set(keys))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()


def validate_submission(path: str | Path, expected_ids: Iterable[object] | None = None) -> list[str]:
    """Return what is wrong with a submission, one sentence each; an empty list means valid.

    Valid: UTF-8 CSV with the challenge's COLUMNS (any order, no other), one row per ID, and five finite
    probabilities in [0, 1] in each. Rows are named by their 1-based line in the file and their ID.

    expected_ids : the IDs that must be there, spelled as they must be. An ID in another spelling (zero-padded,
    "test_000005.png", "5.0") is recognised and refused. Without it, numeric IDs have to be plain integers and
    completeness cannot be checked.
    """
    try:
        rows = read_rows(path := Path(path), ",")
    except (ValueError, OSError) as error:
        return [str(error) if path.is_file() else f"No submission file at {path}."]
    if not any(cell.strip() for _, row in rows for cell in row):
        return [f"{path.name} is empty; expected the header {','.join(COLUMNS)} and one row per test image."]
    (line, header), *body = rows
    if found := _header_problems(header, line):
        return found
    if not body:
        return [f"{path.name} has a header and no rows; expected one row per test image."]
    problems: dict[str, list[str]] = defaultdict(list)  # kind -> sentences
    ids: list[tuple[int, str]] = []
    for line, row in body:
        if len(row) != len(header):
            what = f"has {len(row)} values instead of {len(header)} (ID {row[0]})" if row else "is blank"
            problems["wrong number of values"].append(f"Line {line} {what}.")
            continue
        cells = dict(zip(header, row, strict=True))
        ids.append((line, cells["ID"]))
        for finding in LABELS:
            kind, sentence = _cell_problem(cells[finding])
            if kind:
                problems[kind].append(f"Line {line}, ID {cells['ID']}: {finding} {sentence}.")
    for kind, sentence in _id_problems(ids, expected_ids):
        problems[kind].append(sentence)
    listed = []
    for kind, found in problems.items():
        more = [f"... and {len(found) - MAX_LISTED} more of this kind: {kind}."] if len(found) > MAX_LISTED else []
        listed += found[:MAX_LISTED] + more
    return listed


def _header_problems(columns: list[str], line: int) -> list[str]:
    if len(columns) == 1 and re.search(r"[;\t|]", columns[0]):
        return [f"Line {line}: the separator is not a comma ({columns[0]!r}); write {','.join(COLUMNS)}."]
    missing = [name for name in COLUMNS if name not in columns]
    extra = [name for name in columns if name not in COLUMNS]
    twice = sorted({name for name in columns if columns.count(name) > 1 and name in COLUMNS})
    found = [f"Line {line}: column {name} occurs more than once." for name in twice]
    for name in missing:
        like = [e for e in extra if e.strip().lower() == name.lower() or len(missing) == len(extra) == 1]
        hint = f" (column {like[0]!r} looks like it, renamed)" if like else ""
        found.append(f"Line {line}: column {name} is missing{hint}.")
    return found + [f"Line {line}: column {name!r} is not expected; remove or rename it." for name in extra]


def _cell_problem(text: str) -> tuple[str, str]:
    """Kind and sentence of what is wrong with one probability; two empty strings when nothing is."""
    if (cell := text.strip(" ")).lower() in _EMPTY:
        return "NaN", f"is {f'NaN ({cell})' if cell else 'empty (NaN)'}"
    if not _NUMBER.fullmatch(cell):
        comma = "; write a decimal point" if _NUMBER.fullmatch(cell.replace(",", ".")) else ""
        return "not a number", f"is {cell!r}, not a number{comma}"
    if math.isinf(float(cell)):
        return "infinite", f"is infinite ({cell})"
    return ("", "") if 0 <= float(cell) <= 1 else ("out of range", f"is {cell}, outside [0, 1]")


def _id_problems(ids: list[tuple[int, str]], expected_ids: Iterable[object] | None) -> Iterator[tuple[str, str]]:
    """Kind and sentence of everything wrong with the IDs, given as (line, ID)."""
    expected = None if expected_ids is None else [str(i) for i in expected_ids]
    spelling = {plain_id(i): i for i in expected or ()}  # where nothing is expected, the plain form is the spelling
    seen: dict[str, int] = {}
    for line, ident in ids:
        key = plain_id(ident)
        right = spelling.get(key, key)
        if not key:
            yield "empty ID", f"Line {line}: the ID is empty."
        elif key in seen:
            yield "duplicate ID", f"Line {line}: ID {ident} is a duplicate of line {seen[key]}."
        elif expected is not None and key not in spelling:
            yield "unexpected ID", f"Line {line}: ID {ident} is not among the expected IDs."
        elif ident != right:
            yield "ID in another spelling", f"Line {line}: ID {ident!r} has to be written as {right!r}."
        seen.setdefault(key, line)
    for ident in (ident for key, ident in spelling.items() if key not in seen):
        yield "missing ID", f"ID {ident} is missing: no line holds it."
    if expected is not None and len(ids) != len(expected):
        yield "wrong row count", f"The file has {len(ids)} rows instead of {len(expected)}."
