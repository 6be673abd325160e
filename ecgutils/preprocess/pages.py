"""Which files a user means who names files, folders and patterns, and which pages are in them."""

import glob
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ecgutils.files import page_of
from ecgutils.preprocess.decode import SUFFIXES, is_pdf, open_pdf

MAX_PAGES = 1000  # of a file; a damaged one may claim any number
_COPY = 1 | 4  # bits of a TIFF's NewSubfileType: a smaller copy of another page, a mask for one


def pages_of(path: str | Path) -> list[Path]:
    """The pages of a PDF or a TIFF as paths that `read_image` understands, `report.pdf#page=2` (see `files.page_of`).

    A file of one page, any other and one that can't be read stay what they are: reading it says why. Of an animation
    the first frame is read. Warns where there are more than MAX_PAGES, and leaves the others out.
    """
    path, number = Path(path), page_of(path)[1]
    try:
        numbers = _page_numbers(path) if number is None and path.is_file() else []
    except Exception:  # as in `read_image`, which will say what
        numbers = []
    if len(numbers) > MAX_PAGES:
        warnings.warn(f"{path} has over {MAX_PAGES} pages; only these are read: split it.", stacklevel=2)
    return [path] if numbers in ([], [1]) else [path.with_name(f"{path.name}#page={n}") for n in numbers[:MAX_PAGES]]


def _page_numbers(path: Path) -> list[int]:
    with open(path, "rb") as file:
        head = file.read(12)
        if is_pdf(head):
            with open_pdf(path) as pdf:
                return list(range(1, min(len(pdf), MAX_PAGES + 1) + 1))
        if head[:2] not in (b"II", b"MM"):  # byte orders, with which a TIFF begins
            return []
        numbers, image = [], Image.open(file, formats=("TIFF",))
        for number in range(1, MAX_PAGES + 2):
            try:
                image.seek(number - 1)
            except EOFError:
                break
            except Exception:  # the file is cut off here: a row of its own says so
                return [*numbers, number]
            if not image.tag_v2.get(254, 0) & _COPY:
                numbers.append(number)
        return numbers


def files_named(given: list[str], recursive: bool) -> list[Path]:
    """Files as named, then of a folder or a pattern those that aren't there yet; what gives no file is a row itself. A
    file of several pages is these, see `pages_of`."""
    photos: list[Path] = []
    for name in given:
        if os.path.isdir(name):
            found = files_in(Path(name), recursive)
        elif not os.path.lexists(name) and glob.has_magic(name):
            matches = [Path(match) for match in sorted(glob.glob(name, recursive=True)) if os.path.isfile(match)]
            found = [page for path in matches for page in pages_of(path)]
        else:
            photos += pages_of(name)
            continue
        if not found:
            warnings.warn(f"{name} gives no file.", stacklevel=2)
        there = set(photos)
        photos += [path for path in found or [Path(name)] if path not in there]
    return photos


def files_in(folder: Path, recursive: bool) -> list[Path]:
    """The files of a folder, whatever they are, page by page, but not those that lie beside an image of their name."""
    found: list[Path] = []
    for paths in walk(folder, recursive):
        named = {path.stem for path in paths if path.suffix.lower() in SUFFIXES}
        found += [path for path in paths if path.suffix.lower() in SUFFIXES or path.stem not in named]
    return [page for path in found for page in pages_of(path)]


def walk(folder: Path, recursive: bool) -> Iterator[list[Path]]:
    """The files of a folder and of each below, sorted, no hidden ones; warns of a folder that isn't looked into."""

    def refused(error: OSError) -> None:
        warnings.warn(f"{error.filename} can't be looked into: {error.strerror}.", stacklevel=2)

    for place, folders, names in os.walk(folder, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if folders and not recursive:
            warnings.warn(f"{len(folders)} sub-folder(s) of {place} are not read; --recursive does.", stacklevel=2)
            folders.clear()
        yield [Path(place, name) for name in sorted(names) if not name.startswith(".")]
