"""Check a submission CSV and name everything that is wrong with it, by line and ID."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from ecgutils.challenge.table import COLUMNS, plain_id, read_rows

MAX_LISTED = 20  # of one kind; the rest are counted, so that a wrong file of 3,200 rows stays readable
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)
_EMPTY = {"", "nan", "na", "n/a", "null", "none", "<na>"}


def validate_submission(path: str | Path, expected_ids: Iterable[object] | None = None) -> list[str]:
    """Return what is wrong with a submission, one sentence each; an empty list means valid.

    Valid: UTF-8 CSV with the challenge's COLUMNS (any order, no other), one row per ID, and five finite
    probabilities in [0, 1] in each. Rows are named by their 1-based line in the file and their ID.

    expected_ids : the IDs that must be there, spelled as they must be (those of the sample submission, or of the test
    images). An ID in another spelling (zero-padded, "test_000005.png", "5.0") is recognised and refused, with the right
    spelling. Without it, numeric IDs have to be plain integers and completeness cannot be checked.
    """
    try:
        rows = read_rows(path := Path(path))
    except (ValueError, OSError) as error:
        return [str(error) if path.is_file() else f"No submission file at {path}."]
    if not any(cell.strip() for _, row in rows for cell in row):
        return [f"{path.name} is empty; expected the header {','.join(COLUMNS)} and one row per test image."]
    (header_line, header), *body = rows
    if found := _header_problems(header, header_line):
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
        for finding in COLUMNS[1:]:
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
    cell = text.strip(" ")
    if cell.lower() in _EMPTY:
        return "NaN", f"is {f'NaN ({cell})' if cell else 'empty (NaN)'}"
    if not _NUMBER.fullmatch(cell):
        comma = "; write a decimal point" if _NUMBER.fullmatch(cell.replace(",", ".")) else ""
        return "not a number", f"is {cell!r}, not a number{comma}"
    value = float(cell)
    if math.isinf(value):
        return "infinite", f"is infinite ({cell})"
    return ("", "") if 0 <= value <= 1 else ("out of range", f"is {cell}, outside [0, 1]")


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
