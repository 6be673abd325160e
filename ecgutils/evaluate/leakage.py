"""The leakage guard: whoever is tested on shaped nothing that is tested."""

from __future__ import annotations

import pandas as pd

from ecgutils.manifest import assert_disjoint, is_grouped


def check_roles(**manifests: pd.DataFrame) -> str:
    """Refuse a run in which two roles share a patient; say what its numbers have to be called.

    manifests : by role, e.g. `check_roles(training=..., ensembling=..., calibration=..., test=...)`.

    Returns "disjoint by patient"; or "ungrouped" where an image names no patient: then only shared records and images
    can be found, a patient may stand on both sides, and numbers flatter (as in the challenge itself).

    Raises ValueError with the roles and the patients that two of them share.
    """
    assert_disjoint(**manifests)
    return "disjoint by patient" if all(map(is_grouped, manifests.values())) else "ungrouped"
