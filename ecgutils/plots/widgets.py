"""Looking at one photo after the other, in a live notebook or as still pictures."""

import cv2
import ipywidgets
import numpy as np
import pandas as pd

from ecgutils.geometry import thumbnail
from ecgutils.preprocess import FlatECG, Preprocessor, UnreadableImage, read_image

ZOOM = 3  # screen px per px of the flat page
PHOTO_SIDE = 1400  # px of the longer side of the photo that is sampled: more would alias on the screen
_GREY = 200


def before_after(photo: np.ndarray, flat: FlatECG) -> tuple[np.ndarray, np.ndarray]:
    """The photo as it lies under the flat page, and the flat page: uint8 RGB, both ZOOM times the flat page's size.
    `photo` is uint8 RGB (H, W, 3), EXIF-oriented. Where nothing was flattened the whole photo is shown as it is."""
    height, width = flat.image.shape
    from_flat = flat.image_from_flat
    if not flat.readable:
        per_px = max(photo.shape[1] / width, photo.shape[0] / height)
        xy = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) - np.array([width, height]) / 2
        from_flat = (xy * per_px + np.array(photo.shape[1::-1]) / 2).astype(np.float32)
    small, scale = thumbnail(photo, PHOTO_SIDE)
    size = (ZOOM * width, ZOOM * height)
    photo_xy = (cv2.resize(from_flat, size) + 0.5) * scale - 0.5
    before = cv2.remap(small, photo_xy, None, cv2.INTER_LINEAR, borderValue=(_GREY,) * 3)
    return before, cv2.cvtColor(cv2.resize(flat.image, size), cv2.COLOR_GRAY2RGB)


def wipe(before: np.ndarray, after: np.ndarray, share: float) -> np.ndarray:
    """`after`, uint8 RGB (H, W, 3), with its left `share` (0..1) of columns from `before`, a red line between them."""
    column = round(share * before.shape[1])
    picture = after.copy()
    picture[:, :column] = before[:, :column]
    if 0 < column < before.shape[1]:
        picture[:, column - 1 : column + 1] = (220, 0, 0)
    return picture


class Panel(ipywidgets.VBox):
    """A column of widgets that a notebook without a live kernel shows as one line of text."""

    def __init__(self, text: str, children: list[ipywidgets.Widget]) -> None:
        self._text = text
        super().__init__(children)

    def __repr__(self) -> str:
        return f"[{self._text}: live in a running notebook]"


def browse(table: pd.DataFrame, preprocess: Preprocessor) -> Panel:
    """Choose any image of `table` (columns part, image_id, path, quality), wipe from photo to flat page, made anew."""
    columns = (table[name] for name in ("quality", "part", "image_id"))  # IDs of train and test may be the same
    names = [f"{quality:.2f}  {part} {name}" for quality, part, name in zip(*columns, strict=True)]
    chosen = ipywidgets.Dropdown(options=[(name, i) for i, name in enumerate(names)], description="image")
    look = {"description": "photo | flat", "readout": False, "layout": {"width": "60%"}}
    slider = ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.01, **look)
    verdict, picture = ipywidgets.Label(), ipywidgets.Image(format="jpeg")
    pictures: list[np.ndarray] = []

    def draw(_change: object = None) -> None:
        picture.value = _jpeg(wipe(*pictures, slider.value))

    def load(_change: object = None) -> None:
        path = table["path"].iloc[chosen.value]
        flat = preprocess(path)
        reasons = f": {', '.join(flat.reasons)}" if flat.reasons else ""
        verdict.value = f"quality {flat.quality:.2f}, {'readable' if flat.readable else 'not readable'}{reasons}"
        pictures[:] = before_after(_photo(path), flat)
        draw()

    chosen.observe(load, "value")
    slider.observe(draw, "value")
    load()
    return Panel("choose an image, wipe from photo to flat page", [chosen, slider, verdict, picture])


def _photo(path: str) -> np.ndarray:
    try:
        return read_image(path)
    except UnreadableImage:  # the verdict beside it says why
        return np.full((480, 640, 3), _GREY, np.uint8)


def _jpeg(rgb: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
