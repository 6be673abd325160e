"""The challenge's tables: their fixed columns, IDs in any spelling, CSVs read cell by cell."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

COLUMNS = ("ID", "STTC", "HYP", "MI", "CD", "AF")  # the challenge's own, whatever else this package may learn to find
_ID = re.compile(r"(?:(?:train|test)_)?(\d+)(?:\.0+|\.png|\.jpe?g)?", re.ASCII | re.IGNORECASE)


def plain_id(text: object) -> str:
    """An ID without prefix, zeros and suffix: 5, "005", "5.0" and "test_000005.png" are all "5"; other text stays."""
    stripped = str(text).strip()
    match = _ID.fullmatch(stripped)
    return str(int(match[1])) if match else stripped


def id_order(ids: pd.Series) -> pd.Series:
    """Sort key: integers by value, other text after them (a sample submission may hold any text)."""
    return ids.map(lambda i: (0, int(i), "") if i.isascii() and i.isdigit() else (1, 0, i))


def first_few(names: Sequence[str], n: int = 5) -> str:
    """The first names, for a message."""
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Line (1-based) and cells of each row of a CSV, blank ones too; ValueError when it is no CSV in UTF-8 text."""
    try:
        with path.open(newline="\n", encoding="utf-8-sig") as file:  # a lone "\r" is damage, not the end of a line
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, cells) for cells in reader]
    except (csv.Error, UnicodeError) as error:
        raise ValueError(f"{path} is not a CSV in UTF-8 text ({error}); restore the original file.") from error


def read_text_csv(path: Path) -> pd.DataFrame:
    """A CSV with all cells as text, indexed by line (1-based), without blank lines and a spreadsheet's commas at ends.

    ValueError when it is no CSV, or a line has more or fewer cells than the header.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No CSV at {path}: check the path.")
    lines = [(line, cells) for line, cells in read_rows(path) if any(cell.strip() for cell in cells)]
    if not lines:
        raise ValueError(f"{path} is not a readable CSV (it has no line); restore the original file.")
    header = [name.strip() for name in lines.pop(0)[1]]
    while not header[-1]:
        header.pop()
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: a column is there more than once ({', '.join(header)}); restore the original file.")
    for line, cells in lines:
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            raise ValueError(f"{path}: line {line} has {len(cells)} cells, the header {len(header)}; restore the file.")
    rows = [cells[: len(header)] for _, cells in lines]
    return pd.DataFrame(rows, columns=header, index=[line for line, _ in lines], dtype=object)


def read_ids(path: str | Path) -> list[str]:
    """The ID column of a CSV, as written and in order. ValueError when it is missing or repeats an ID."""
    return check_ids(read_text_csv(Path(path)), path)["ID"].tolist()


def check_ids(table: pd.DataFrame, path: str | Path, columns: Sequence[str] = COLUMNS[:1]) -> pd.DataFrame:
    """The table; ValueError when it lacks one of `columns` or has an ID twice, in whatever spelling."""
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{path}: missing column(s) {', '.join(missing)}; it has {', '.join(table.columns)}.")
    ids = table["ID"].map(plain_id)
    if twice := sorted(set(ids[ids.duplicated()])):
        raise ValueError(f"{path}: {len(twice)} ID(s) occur more than once: {first_few(twice)}; each must be one row.")
    return table
