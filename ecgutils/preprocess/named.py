"""The image files that a user means who names files, folders and patterns."""

import glob
import os
import warnings
from pathlib import Path

from ecgutils.preprocess.decode import SUFFIXES


def files_named(given: list[str], recursive: bool) -> list[Path]:
    """Files as named, then of a folder or a pattern those that aren't there yet; what gives no file is a row itself."""
    photos: list[Path] = []
    for name in given:
        if os.path.isdir(name):
            found = files_in(Path(name), recursive)
        elif not os.path.lexists(name) and glob.has_magic(name):
            found = [Path(match) for match in sorted(glob.glob(name, recursive=True)) if os.path.isfile(match)]
        else:
            photos.append(Path(name))
            continue
        if not found:
            warnings.warn(f"{name} gives no file.", stacklevel=2)
        there = set(photos)
        photos += [path for path in found or [Path(name)] if path not in there]
    return photos


def files_in(folder: Path, recursive: bool) -> list[Path]:
    """The files of a folder, whatever they are, but not those that lie beside an image of the same name."""

    def refused(error: OSError) -> None:
        warnings.warn(f"{error.filename} can't be looked into: {error.strerror}.", stacklevel=2)

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if folders and not recursive:
            warnings.warn(f"{len(folders)} sub-folder(s) of {place} are not read; --recursive does.", stacklevel=2)
            folders.clear()
        paths = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        named = {path.stem for path in paths if path.suffix.lower() in SUFFIXES}
        found += [path for path in paths if path.suffix.lower() in SUFFIXES or path.stem not in named]
    return found
