"""Looking at one photo after the other, and putting outlines right, in a live notebook or as still pictures."""

from collections.abc import Callable

import cv2
import ipywidgets
import numpy as np
import pandas as pd

from ecgutils.geometry import frame_corners, thumbnail
from ecgutils.manifest import CORNER_COLUMNS
from ecgutils.preprocess import FlatECG, Preprocessor, UnreadableImage, read_image
from ecgutils.preprocess.review import draw_outline

ZOOM = 3  # screen px per px of the flat page
PHOTO_SIDE = 1400  # px of the longer side of the photo that is sampled: more would alias on the screen
_GREY = 200
_CORNERS = ("top left", "top right", "bottom right", "bottom left")


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
    chosen = _chooser(table)
    look = {"description": "photo | flat", "readout": False, "layout": {"width": "60%"}}
    slider = ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.01, **look)
    verdict, picture = ipywidgets.Label(), ipywidgets.Image(format="jpeg")
    pictures: list[np.ndarray] = []

    def draw(_change: object = None) -> None:
        picture.value = _jpeg(wipe(*pictures, slider.value))

    def load(_change: object = None) -> None:
        path = table["path"].iloc[chosen.value]
        flat = preprocess(path)
        verdict.value = _verdict(flat)
        pictures[:] = before_after(_photo(path), flat)
        draw()

    chosen.observe(load, "value")
    slider.observe(draw, "value")
    load()
    return Panel("choose an image, wipe from photo to flat page", [chosen, slider, verdict, picture])


def edit_outline(table: pd.DataFrame, preprocess: Preprocessor, remember: Callable[[str, np.ndarray], object]) -> Panel:
    """Pull the four corners of any image of `table` right, by slider or by number, and see what comes of it.

    `table` has the columns part, image_id, path, quality and CORNER_COLUMNS (where NaN, it starts at the photo's
    corners). The button calls `remember(path, quad_xy)`, quad_xy float (4, 2) as `correct_outline` takes it.
    """
    chosen = _chooser(table)
    look = {"continuous_update": False, "style": {"description_width": "7em"}}
    sliders = [ipywidgets.IntSlider(description=f"{corner} {axis}", **look) for corner in _CORNERS for axis in "xy"]
    outline, flat_page = (ipywidgets.Image(format="jpeg", layout={"width": "48%"}) for _ in range(2))
    verdict, button = ipywidgets.Label(), ipywidgets.Button(description="remember", icon="check")
    photos: list[np.ndarray] = []
    kept: dict[int, np.ndarray] = {}

    def quad() -> np.ndarray:
        return np.array([slider.value for slider in sliders], float).reshape(4, 2)

    def draw(_change: object = None) -> None:
        flat = preprocess(photos[0], quad_xy=quad())
        small, scale = thumbnail(photos[0], PHOTO_SIDE)
        draw_outline(small, quad() * scale)
        outline.value = _jpeg(small)
        flat_page.value = _jpeg(before_after(photos[0], flat)[1])
        verdict.value = _verdict(flat)

    def load(_change: object = None) -> None:
        row = table.iloc[chosen.value]
        photos[:] = [_photo(row["path"])]
        size = photos[0].shape[1::-1]
        corners = kept.get(chosen.value, row[list(CORNER_COLUMNS)].to_numpy(float))
        if not np.isfinite(corners).all():
            corners = frame_corners(size).ravel()
        for slider, corner, side in zip(sliders, corners, size * 4, strict=True):
            slider.unobserve_all("value")
            value = round(corner)  # corners of a close-up lie outside the photo
            slider.min, slider.max = min(-side, value), max(2 * side, value)
            slider.value = value
            slider.observe(draw, "value")
        draw()

    def keep(_button: object) -> None:
        try:
            remember(table["path"].iloc[chosen.value], quad())
        except ValueError as error:
            verdict.value = str(error)
            return
        kept[chosen.value] = quad().ravel()
        verdict.value += " · remembered"

    chosen.observe(load, "value")
    button.on_click(keep)
    load()
    corners = ipywidgets.GridBox(sliders, layout={"grid_template_columns": "repeat(2, 320px)"})
    pictures = ipywidgets.HBox([outline, flat_page])
    return Panel("set the four corners, look, remember them", [chosen, corners, pictures, verdict, button])


def _chooser(table: pd.DataFrame) -> ipywidgets.Dropdown:
    columns = (table[name] for name in ("quality", "part", "image_id"))  # IDs of train and test may be the same
    names = [f"{quality:.2f}  {part} {name}" for quality, part, name in zip(*columns, strict=True)]
    return ipywidgets.Dropdown(options=[(name, i) for i, name in enumerate(names)], description="image")


def _photo(path: str) -> np.ndarray:
    try:
        return read_image(path)
    except UnreadableImage:  # the verdict beside it says why
        return np.full((480, 640, 3), _GREY, np.uint8)


def _verdict(flat: FlatECG) -> str:
    reasons = f": {', '.join(flat.reasons)}" if flat.reasons else ""
    return f"quality {flat.quality:.2f}, {'readable' if flat.readable else 'not readable'}{reasons}"


def _jpeg(rgb: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
