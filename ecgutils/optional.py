"""Packages that only some steps need: imported where they are used, and named with their use where they are missing."""

import importlib
from types import ModuleType

_USES = {  # module: what to install, and what it is for
    "distributed": ("distributed", "reaches the workers of a cluster"),
    "iterstrat.ml_stratifiers": ("iterative-stratification", "deals patients to folds"),
    "papermill": ("papermill", "runs the notebooks"),
    "pyarrow": ("pyarrow", "reads and writes Parquet"),
    "wfdb": ("wfdb", "reads WFDB records and PTB-XL"),
}


def optional(module: str) -> ModuleType:
    """Import one of the modules above; ModuleNotFoundError says what it is for and how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package, use = _USES[module]
        raise ModuleNotFoundError(f"{package} {use}: pip install {package}.", name=error.name) from None
