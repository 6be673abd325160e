"""The BHF challenge's folder, wherever it is below the place that is given."""

import warnings
from contextlib import suppress
from pathlib import Path

from ecgutils.challenge import find_bhf, read_bhf
from ecgutils.targets.base import Labelled, Target


def _matches(path: Path) -> bool:
    with warnings.catch_warnings(), suppress(FileNotFoundError):
        warnings.simplefilter("ignore")  # reading says it again
        return bool(find_bhf(path))
    return False


TARGET = Target("bhf", _matches, lambda path: Labelled(*read_bhf(path)))
