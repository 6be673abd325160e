"""What only rendered images can tell: how far outlines that were found lie off, and which leads heat lies in."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecgutils.findings import LEADS
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


def heat_by_lead(heat: np.ndarray, page_xy: np.ndarray, lead_boxes: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Share of the heat that lies in each lead's box, beside the share that even heat would have there.

    heat : (H, W) of the flat page.
    page_xy : (H, W, 2), where each flat pixel lies on the printed page, `projection.to_page(image_from_flat)`.
    lead_boxes : x0, y0, x1, y1 of each lead on the page, as in `Rendered`; a rhythm strip counts as its lead. Where
    boxes overlap, heat and area are divided.

    Returns a row per lead: lead, heat, area, each of sum 1 over the leads, and ratio = heat / area (1 = no more than
    by chance). NaN where there is no heat at all.
    """
    x, y = page_xy[..., 0], page_xy[..., 1]
    inside = {lead: np.zeros(heat.shape, bool) for lead in LEADS}
    for name, (x0, y0, x1, y1) in lead_boxes.items():
        inside[name.split("_")[0]] |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    shared = np.maximum(sum(mask.astype(np.float32) for mask in inside.values()), 1)
    table = pd.DataFrame({"lead": LEADS})
    for column, amount in (("heat", heat / shared), ("area", 1 / shared)):
        table[column] = [float(amount[inside[lead]].sum()) for lead in LEADS]
        table[column] /= table[column].sum() or np.nan
    return table.assign(ratio=table["heat"] / table["area"].replace(0, np.nan))
