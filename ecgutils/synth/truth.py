"""The truth about one image in one small file: `truth/<image stem>.npz` in the image's folder."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ecgutils.files import read_arrays
from ecgutils.geometry import apply_homography, sample_field
from ecgutils.synth.rendered import Rendered, Size

STEP_MM = 2.5  # distance of the map's points on the page
_FINE = 32  # what paper and lens add to the homography is stored in 1/32 px


@dataclass(frozen=True, eq=False)
class Truth:
    """What `Rendered` knows, as read back from disk; names and units are the same, the mask is in steps of 85 (0..255).

    `map_xy` is float32 (gh, gw, 2), image (x, y) of the page points every `STEP_MM` from the paper's top left corner;
    the grid's phase is style["grid_phase_mm"].
    """

    quad_xy: np.ndarray
    px_per_mm: float
    page_size: Size
    trace_mask: np.ndarray
    lead_boxes: dict[str, np.ndarray]
    style: dict[str, Any]
    map_xy: np.ndarray

    def to_image(self, page_xy: np.ndarray) -> np.ndarray:
        """Page px (..., 2), inside the paper -> image px (..., 2), interpolated between the points of `map_xy`. At 3460
        px a few points beside the sharpest folds are up to 0.8 px off; `Rendered.projection` is exact there."""
        at = np.asarray(page_xy, dtype=np.float64) / (STEP_MM * self.px_per_mm)
        fields = np.ascontiguousarray(np.moveaxis(self.map_xy, -1, 0))
        return np.stack([sample_field(field, at[..., 0], at[..., 1]) for field in fields], axis=-1)


def truth_path(image_path: str | Path) -> Path:
    """Where the truth about an image lies; in a folder of its own, so that an image folder holds nothing but images."""
    return Path(image_path).parent / "truth" / f"{Path(image_path).stem}.npz"


def _nodes(page_size: Size, ppm: float) -> np.ndarray:
    """Page px (gh, gw, 2) of the map's points; the last ones lie on or beyond the paper's edge."""
    step = STEP_MM * ppm
    return np.stack(np.meshgrid(*(np.arange(int(np.ceil(side / step)) + 1) * step for side in page_size)), axis=-1)


def truth_bytes(rendered: Rendered) -> bytes:
    """The file's content; the same bytes for the same truth."""
    projection = rendered.projection
    nodes = _nodes(rendered.page_size, rendered.px_per_mm)
    beyond = projection.to_image(nodes) - apply_homography(projection.homography, nodes)
    names = sorted(rendered.lead_boxes)
    about = {"px_per_mm": rendered.px_per_mm, "page_size": rendered.page_size, "leads": names}
    about |= {"style": rendered.style, "width": rendered.image.shape[1]}
    steps = cv2.LUT(rendered.trace_mask, ((np.arange(256) + 42) // 85).astype(np.uint8))
    arrays = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "quad_xy": rendered.quad_xy,
        "homography": projection.homography,
        "beyond": np.clip(np.round(beyond * _FINE), -32768, 32767).astype(np.int16),
        "lead_boxes": np.stack([rendered.lead_boxes[name] for name in names]),
        "trace_bits": np.packbits(np.stack([steps >> 1, steps & 1]), axis=-1),  # four times faster than PNG, as small
    }
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # numpy dates each part 1980-01-01, so that the bytes don't depend on the time
    return out.getvalue()


def read_truth(image_path: str | Path) -> Truth:
    """Read what `generate_images` wrote about an image; FileNotFoundError without it, ValueError when it is torn."""
    if not (path := truth_path(image_path)).is_file():
        raise FileNotFoundError(f"No truth at {path}: only images that generate_images drew have one.")
    arrays = read_arrays(path, "render its image again")
    about = json.loads(arrays["about"].tobytes())
    high, low = np.unpackbits(arrays["trace_bits"], axis=-1, count=about["width"])
    plane = apply_homography(arrays["homography"], _nodes(about["page_size"], about["px_per_mm"]))
    return Truth(
        quad_xy=arrays["quad_xy"],
        px_per_mm=about["px_per_mm"],
        page_size=tuple(about["page_size"]),
        trace_mask=high * np.uint8(170) + low * np.uint8(85),
        lead_boxes=dict(zip(about["leads"], arrays["lead_boxes"], strict=True)),
        style=about["style"],
        map_xy=(plane + arrays["beyond"] / _FINE).astype(np.float32),
    )
