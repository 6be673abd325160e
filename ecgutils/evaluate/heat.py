"""Which leads a heat map lies in."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecgutils.findings import LEADS


def heat_by_lead(heat: np.ndarray, page_xy: np.ndarray, lead_boxes: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Share of the heat that lies in each lead's box, beside the share that even heat would have there.

    Parameters
    ----------
    heat : (H, W) of the flat page.
    page_xy : (H, W, 2), where each flat pixel lies on the printed page; of a rendered image
        `rendered.projection.to_page(flat.image_from_flat)`.
    lead_boxes : x0, y0, x1, y1 of each lead on the page, as in `Rendered`; a rhythm strip counts as its lead. Where
        boxes overlap, heat and area are divided.

    Returns
    -------
    Frame with a row per lead: lead, heat, area, each of sum 1 over the leads, and ratio = heat / area (1 = no more than
    by chance). NaN where there is no heat at all.
    """
    x, y = page_xy[..., 0], page_xy[..., 1]
    inside = {lead: np.zeros(heat.shape, bool) for lead in LEADS}
    for name, (x0, y0, x1, y1) in lead_boxes.items():
        inside[name.split("_")[0]] |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    shared = np.maximum(sum(mask.astype(np.float32) for mask in inside.values()), 1)
    table = pd.DataFrame({"lead": LEADS})
    table["heat"] = [float((heat / shared)[inside[lead]].sum()) for lead in LEADS]
    table["area"] = [float((1 / shared)[inside[lead]].sum()) for lead in LEADS]
    for column in ("heat", "area"):
        total = table[column].sum()
        table[column] = table[column] / total if total > 0 else np.nan
    return table.assign(ratio=table["heat"] / table["area"].replace(0, np.nan))
