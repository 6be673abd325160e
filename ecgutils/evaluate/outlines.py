"""How far outlines that were found lie from those that are known."""

import numpy as np
import pandas as pd

from ecgutils.manifest import CORNER_COLUMNS


def outline_errors(truth: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """What pre-processing found in each readable image whose truth is known, joined by image_id.

    truth : manifest of rendered images, with CORNER_COLUMNS, rotation, width and height.
    found : index of a flat cache, with CORNER_COLUMNS, rotation and readable.

    Returns image_id; corner_error, mean distance of the four corners in percent of the image's diagonal; in_view,
    whether all true corners lie in the image (others can't be seen); level, whether rows of traces run across;
    upright, whether they can be read.
    """
    both = truth.merge(found, on="image_id", suffixes=("_true", ""), validate="one_to_one")
    both = both[both["readable"]]
    true = both[[f"{name}_true" for name in CORNER_COLUMNS]].to_numpy(float).reshape(-1, 4, 2)
    seen = both[list(CORNER_COLUMNS)].to_numpy(float).reshape(-1, 4, 2)
    size = both[["width", "height"]].to_numpy(float)
    turn = (both["rotation_true"] - both["rotation"]) % 360
    return pd.DataFrame(
        {
            "image_id": both["image_id"],
            "corner_error": 100 * np.linalg.norm(true - seen, axis=2).mean(axis=1) / np.hypot(*size.T),
            "in_view": ((true > -2) & (true < size[:, None] + 2)).all(axis=(1, 2)),
            "level": turn % 180 == 0,
            "upright": turn == 0,
        }
    )
