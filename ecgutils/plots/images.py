"""Pictures: a record on ECG paper, contact sheets, outlines, pre-processing steps, one reading."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from ecgutils.files import printable
from ecgutils.findings import DISCLAIMER, FINDING_NAMES, FINDINGS, LEADS
from ecgutils.geometry import thumbnail
from ecgutils.preprocess import FlatECG, UnreadableImage, read_image
from ecgutils.signals import Record

_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",))
_ROW_MV = 3.0  # vertical distance of two rows
_LONGEST = 900  # px of a picture's longer side


def plot_record(record: Record, marked: Collection[str] = (), title: str = "") -> Figure:
    """Draw a record of at least 10 s on ECG paper: 3 rows x 4 columns of 2.5 s, lead II below as rhythm strip.

    `marked` names leads that are tinted, the strip too: those that decide the finding. Waves taller than the distance
    of two rows run into the next row; the page grows where they would leave it.
    """
    if unknown := set(marked) - set(LEADS):
        raise ValueError(f"Unknown lead(s) to mark: {sorted(unknown)}; leads are {LEADS}.")
    figure = Figure(figsize=(12, 6.2), layout="constrained")
    axes = figure.subplots()
    top, bottom = _ROW_MV / 2, -(len(_ROWS) - 0.5) * _ROW_MV
    for row, leads in enumerate(_ROWS):
        seconds = 10.0 / len(leads)
        for column, lead in enumerate(leads):
            start = column * seconds
            samples = slice(int(start * record.fs), int((start + seconds) * record.fs))
            mv = record.signal_mv[LEADS.index(lead), samples]
            time = start + np.arange(mv.size) / record.fs
            offset = -row * _ROW_MV
            trace = mv - np.median(mv) + offset
            top, bottom = max(top, trace.max() + 0.2), min(bottom, trace.min() - 0.2)
            axes.plot(time, trace, color="black", linewidth=0.8)
            axes.text(start + 0.05, offset + 0.9, lead, fontsize=10, fontweight="bold")
            if lead in marked:
                low, high = offset - _ROW_MV / 2, offset + _ROW_MV / 2
                axes.fill_between([start, start + seconds], low, high, color="gold", alpha=0.25, zorder=0)
    axes.set(xlim=(0, 10), ylim=(bottom, top), aspect=0.4, title=title, xlabel="25 mm/s, 10 mm/mV")
    for axis, large in ((axes.xaxis, 0.2), (axes.yaxis, 0.5)):
        axis.set_major_locator(MultipleLocator(large))
        axis.set_minor_locator(MultipleLocator(large / 5))
    axes.grid(which="major", color="#f2a0a0", linewidth=0.6)
    axes.grid(which="minor", color="#f8d4d4", linewidth=0.25)
    axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
    return figure


def plot_contact_sheet(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 3) -> Figure:
    """Images (uint8, grey or RGB) on a sheet, each at its own aspect, with a title each."""
    if len(images) != len(titles):
        raise ValueError(f"{len(images)} images but {len(titles)} titles.")
    rows = max(1, -(-len(images) // columns))
    height, width = np.median([image.shape[:2] for image in images], axis=0) if len(images) else (1, 2)
    cell = 13.0 / columns
    figure = Figure(figsize=(13, rows * (cell * height / width + 0.3)), layout="constrained")
    for ax in figure.subplots(rows, columns, squeeze=False).ravel():
        ax.set_axis_off()
    for ax, image, title in zip(figure.axes, images, titles, strict=False):
        _draw(ax, image)
        ax.set_title(title, fontsize=9)
    return figure


def plot_outlines(images: Sequence[np.ndarray], quads: Sequence[np.ndarray | None], titles: Sequence[str]) -> Figure:
    """Contact sheet with each page's outline, quads (4, 2) as TL, TR, BR, BL in image pixels; the top edge is red."""
    figure = plot_contact_sheet(images, titles)
    for ax, image, quad in zip(figure.axes, images, quads, strict=False):
        _draw_quad(ax, min(1.0, _LONGEST / max(image.shape[:2])), quad)
    return figure


def plot_steps(flat: FlatECG) -> Figure:
    """The pre-processing steps of one image, in order, and the flat image they lead to; needs `steps=True`."""
    if not flat.steps:
        raise ValueError("No steps stored: call the Preprocessor with steps=True.")
    pictures = {**flat.steps, "flat, what the model sees": flat.image}
    return plot_contact_sheet(list(pictures.values()), list(pictures), columns=min(3, len(pictures)))


def plot_heat(photos: Sequence[np.ndarray], heats: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Photos (H, W, 3) with the heat (H, W) of `ecgutils.learn.heat_on_photo` over them, each to its own maximum."""
    figure = Figure(figsize=(4.6 * len(photos), 3.2), layout="constrained")
    axes = figure.subplots(1, len(photos), squeeze=False)[0]
    for ax, photo, heat, title in zip(axes, photos, heats, titles, strict=True):
        grey = cv2.cvtColor(thumbnail(photo, _LONGEST)[0], cv2.COLOR_RGB2GRAY)
        ax.imshow(grey, cmap="gray", vmin=0, vmax=255)
        strength = cv2.resize(heat, grey.shape[::-1]) / max(float(heat.max()), 1e-9)
        ax.imshow(strength, cmap="inferno", alpha=0.65 * np.sqrt(strength), vmin=0, vmax=1)
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()
    return figure


def plot_reading(photo: str | Path | np.ndarray, flat: FlatECG, row: Mapping[str, Any]) -> Figure:
    """Photo with its outline, the flat page the model sees, and its five probabilities (or why there are none).

    `row` is a row of `predict`'s table: the five findings, `readable`, `quality`, `reasons`, and `calibrated_on` where
    the probabilities are calibrated, which is then said beside them.
    """
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1.5, 0.8))
    for ax in (left, middle):
        ax.set_axis_off()
    try:
        image = photo if isinstance(photo, np.ndarray) else read_image(photo)
        _draw_quad(left, _draw(left, image), flat.quad_xy)
    except UnreadableImage as error:
        why_not = printable(str(error)).replace("$", r"\$")  # it names the file, and "$" would start a formula
        left.text(0.5, 0.5, why_not, ha="center", va="center", wrap=True, transform=left.transAxes)
    left.set_title("photo, no outline found" if flat.quad_xy is None else "photo, outline found (top edge red)")
    middle.imshow(flat.image, cmap="gray", vmin=0, vmax=255)
    why = f" ({', '.join(flat.reasons)})" if flat.reasons else ""
    middle.set_title(f"flat page, quality {flat.quality:.2f}{why}")
    if row["readable"]:
        values = [float(row[finding]) for finding in FINDINGS]
        right.barh([FINDING_NAMES[finding] for finding in FINDINGS], values, color="#4477aa")
        for position, value in enumerate(values):
            at, color, side = (value - 0.02, "white", "right") if value > 0.85 else (value + 0.02, "black", "left")
            right.text(at, position, f"{value:.2f}", va="center", color=color, ha=side)
        origin = "calibrated on " + str(row["calibrated_on"]) if "calibrated_on" in row else "not calibrated"
        right.set(xlim=(0, 1), title="probability")
        right.set_xlabel(fill(origin, 42), fontsize=8)
        right.invert_yaxis()
        right.spines[["top", "right"]].set_visible(False)
    else:
        right.set_axis_off()
        right.text(0.5, 0.5, f"not read:\n{row['reasons']}", ha="center", va="center", fontsize=12)
    figure.supxlabel(DISCLAIMER, fontsize=9)
    return figure


def _draw(ax: Axes, image: np.ndarray) -> float:
    """Show a reduced copy, in which matplotlib's own shrinking drops no thin line; returns its scale."""
    small, scale = thumbnail(image, _LONGEST)
    ax.imshow(small, cmap="gray", vmin=0, vmax=255)
    return scale


def _draw_quad(ax: Axes, scale: float, quad_xy: np.ndarray | None) -> None:
    if quad_xy is not None:
        closed = np.vstack([quad_xy, quad_xy[:1]]) * scale
        ax.plot(*closed.T, color="#00a651", linewidth=2)
        ax.plot(*closed[:2].T, color="red", linewidth=2)
