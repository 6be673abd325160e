"""Figures for notebooks, reports and the command line. Functions return a Figure; only `show` writes a file."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import cv2
import numpy as np
import pandas as pd
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from ecgutils.files import atomic_path, printable, repository_root
from ecgutils.findings import DISCLAIMER, FINDING_NAMES, FINDINGS, LEADS
from ecgutils.geometry import thumbnail
from ecgutils.preprocess import FlatECG, UnreadableImage, read_image
from ecgutils.signals import Record

_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",))
_ROW_MV = 3.0  # vertical distance of two rows
_LONGEST = 900  # px of a picture's longer side
_WIDTH = 9.9  # inches that a notebook shows without shrinking them, at the dpi of `show`
_COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


def plot_record(record: Record, marked: Collection[str] = (), title: str = "") -> Figure:
    """Draw 10 s of a record, or a shorter one, on ECG paper: 3 rows x 4 columns, lead II below as rhythm strip.
    `marked` names leads that are tinted, the strip too. The page grows where waves would leave it."""
    if unknown := set(marked) - set(LEADS):
        raise ValueError(f"Unknown lead(s) to mark: {sorted(unknown)}; leads are {LEADS}.")
    figure = Figure(figsize=(_WIDTH, 5.2), layout="constrained")
    axes = figure.subplots()
    top, bottom = _ROW_MV / 2, -(len(_ROWS) - 0.5) * _ROW_MV
    for row, leads in enumerate(_ROWS):
        seconds = min(10.0, record.signal_mv.shape[1] / record.fs) / len(leads)
        for column, lead in enumerate(leads):
            start = column * seconds
            mv = record.signal_mv[LEADS.index(lead), int(start * record.fs) : int((start + seconds) * record.fs)]
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
    cell, titles = _WIDTH / columns, [fill(title, 140 // columns) for title in titles]
    lines = 1 + max((title.count("\n") for title in titles), default=0)
    figure = Figure(figsize=(_WIDTH, rows * (cell * height / width + 0.13 + 0.15 * lines)), layout="constrained")
    for ax in figure.subplots(rows, columns, squeeze=False).ravel():
        ax.set_axis_off()
    for ax, image, title in zip(figure.axes, images, titles, strict=False):
        _draw(ax, image)
        ax.set_axis_on()  # a frame: a flat page is white, as the sheet is
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(color="lightgrey", linewidth=0.5)
        ax.set_title(title, fontsize=8)
    return figure


def plot_outlines(images: Sequence[np.ndarray], quads: Sequence[np.ndarray | None], titles: Sequence[str]) -> Figure:
    """Contact sheet with each page's outline, quads (4, 2) as TL, TR, BR, BL in image pixels; the top edge is red."""
    figure = plot_contact_sheet(images, titles)
    for ax, image, quad in zip(figure.axes, images, quads, strict=False):
        _draw_quad(ax, min(1.0, _LONGEST / max(image.shape[:2])), quad)
    return figure


def plot_leads(image: np.ndarray, flat: FlatECG) -> Figure:
    """What the reader sees on a photo, uint8 (H, W, 3): its outline, and the box of each lead with its name."""
    figure = plot_contact_sheet([image], [", ".join([flat.layout or "no leads", *flat.reasons])], 1)
    ax, scale = figure.axes[0], min(1.0, _LONGEST / max(image.shape[:2]))
    _draw_quad(ax, scale, flat.quad_xy)
    height, width = flat.image.shape
    for i, (name, box) in enumerate(flat.lead_boxes.items()):
        low, high = np.ceil(box[:2]), np.floor(box[2:] - 0.6)  # the next px may belong to another lead
        x0, y0, x1, y1 = np.clip(np.r_[low, high].astype(int), 0, np.array([width, height] * 2) - 1)
        corners = flat.image_from_flat[[y0, y0, y1, y1, y0], [x0, x1, x1, x0, x0]] * scale
        ax.plot(*corners.T, color=_COLORS[i % len(_COLORS)], linewidth=1)
        ax.text(*corners[0], name.replace("_", " "), color=_COLORS[i % len(_COLORS)], fontsize=8, va="top")
    return figure


def plot_steps(flat: FlatECG) -> Figure:
    """The pre-processing steps of one image (where kept: `steps=True`), and the flat image they lead to."""
    pictures = {**flat.steps, "flat, what the model sees": flat.image}
    return plot_contact_sheet(list(pictures.values()), list(pictures), columns=min(3, len(pictures)))


def plot_heat(photos: Sequence[np.ndarray], heats: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Photos (H, W, 3) with the heat (H, W) of `ecgutils.learn.heat_on_photo` over them, each to its own maximum."""
    figure = Figure(figsize=(min(_WIDTH, 3.3 * len(photos)), 2.6), layout="constrained")
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
    """Photo with its outline, the flat page the model sees, and its five probabilities (or why there are none). `row`
    is a row of `predict`'s table: the five findings, `readable`, `reasons`, and `calibrated_on` where calibrated."""
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1.5, 0.8))
    left.set_axis_off()
    middle.set_axis_off()
    try:
        image = photo if isinstance(photo, np.ndarray) else read_image(photo)
        _draw_quad(left, _draw(left, image), flat.quad_xy)
    except UnreadableImage as error:
        why_not = printable(str(error)).replace("$", r"\$")  # it names the file, and "$" would start a formula
        left.text(0.5, 0.5, why_not, ha="center", va="center", wrap=True, transform=left.transAxes)
    left.set_title("photo, no outline found" if flat.quad_xy is None else "photo, outline found (top edge red)")
    middle.imshow(flat.image, cmap="gray", vmin=0, vmax=255)
    for name, (x0, y0, x1, y1) in flat.lead_boxes.items():
        middle.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=_COLORS[0], linewidth=0.5)
        middle.text(x0, y0, name.replace("_", " "), color=_COLORS[0], fontsize=11)
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
        right.set_xlabel(fill(origin, 30), fontsize=12)
        right.tick_params(axis="y", labelsize=12)
        right.invert_yaxis()
        right.spines[["top", "right"]].set_visible(False)
    else:
        right.set_axis_off()
        right.text(0.5, 0.5, f"not read:\n{row['reasons']}", ha="center", va="center", fontsize=12)
    figure.supxlabel(DISCLAIMER, fontsize=12)
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


def _styles() -> Iterator[dict[str, str]]:
    """Colour and marker of one series after the other, without end; the first 36 differ."""
    return ({"color": color, "marker": marker} for marker in cycle("osD^vP") for color in _COLORS)


def _panels(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of that size in inches and a row of axes without the upper and right frame."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _around(rows: pd.DataFrame) -> np.ndarray:
    """Lengths of the error bars, float (2, N), from the columns value, low and high."""
    return np.abs(rows[["low", "high"]].to_numpy(float).T - rows["value"].to_numpy(float))


def plot_class_balance(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Share of positives per finding, one bar group per named manifest."""
    figure, (ax,) = _panels(_WIDTH, 2.8)
    width = 0.8 / max(1, len(tables))
    for position, (name, table) in enumerate(tables.items()):
        share = table[list(FINDINGS)].mean()
        look = {"color": _COLORS[position % len(_COLORS)], "hatch": "/" * (position // len(_COLORS))}
        bars = ax.bar(np.arange(5) + position * width, share, width, label=f"{name} (n={len(table)})", **look)
        ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set_xticks(np.arange(5) + 0.4 - width / 2, FINDINGS)
    ax.set(ylabel="share of images")
    ax.legend(frameon=False, fontsize=8)
    return figure


def plot_history(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Training loss and validation macro-AUROC by images seen: columns `loss`, `val_macro_auroc`, `views` of each."""
    figure, (loss_ax, auroc_ax) = _panels(_WIDTH, 3.2, 2)
    for (name, history), style in zip(histories.items(), _styles(), strict=False):
        loss_ax.plot(history["views"], history["loss"], markersize=4, label=name, **style)
        auroc_ax.plot(history["views"], history["val_macro_auroc"], markersize=4, label=name, **style)
    loss_ax.set(xlabel="images seen", ylabel="training loss")
    auroc_ax.set(xlabel="images seen", ylabel="validation macro-AUROC")
    auroc_ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    loss_ax.legend(frameon=False)
    return figure


def plot_auroc(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """AUROC with its 95 % interval, macro and per finding, one colour per model and table of `bootstrap_auroc`."""
    figure, (ax,) = _panels(9, 3.4)
    names = ["macro", *FINDINGS]
    rows = {model: table.set_index("finding").reindex(names) for model, table in tables.items()}
    _side_by_side(ax, rows, apart=0.14, capsize=3)
    ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    ax.text(len(names) - 0.5, 0.5, "chance", color="grey", fontsize=8, va="bottom", ha="right")
    ax.set_xticks(np.arange(len(names)), names)
    lowest = min(table["low"].min() for table in tables.values())
    ax.set(ylabel="AUROC (95 % interval)", ylim=(min(0.4, lowest - 0.03), 1.02))
    ax.set_title(_intervals(*tables.values()), fontsize=10)
    figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=min(6, len(tables)))
    return figure


def plot_intervals(table: pd.DataFrame, names: str, title: str, against: float = 0.0) -> Figure:
    """Values with their 95 % intervals, one row each, named by the column `names`; the grey line is at `against`.
    Columns `value`, `low`, `high`, optionally `by_seed` (a list: a small dot each) and `intervals` (for the title)."""
    figure, (ax,) = _panels(8, 1.1 + 0.3 * len(table))
    y = np.arange(len(table))
    ax.errorbar(table["value"], y, xerr=_around(table), fmt="o", capsize=3, color=_COLORS[0])
    for row, seeds in zip(y, table.get("by_seed", [[]] * len(table)), strict=True):
        if len(seeds) > 1:
            ax.plot(seeds, [row] * len(seeds), ".", color=_COLORS[1], markersize=5)
    ax.axvline(against, color="grey", linewidth=0.8, linestyle=":")
    ax.set_yticks(y, [f"{name:,}" if isinstance(name, int) else name for name in table[names]])
    several = any(len(seeds) > 1 for seeds in table.get("by_seed", []))
    ax.set(ylim=(len(table) - 0.5, -0.5), xlabel="95 % interval" + "; red: single seeds" * several)
    ax.set_title(", ".join([title, *([_intervals(table)] if "intervals" in table else [])]), fontsize=10)
    return figure


def plot_reliability(tables: Mapping[str, pd.DataFrame], domain: str) -> Figure:
    """Said against observed, a line per named table of `evaluate.reliability`; `domain`: what it was calibrated on."""
    figure, axes = _panels(_WIDTH, 2.9, len(FINDINGS))
    for ax, finding in zip(axes, FINDINGS, strict=True):
        top = 0.05
        for (name, table), style in zip(tables.items(), _styles(), strict=False):
            rows = table[table["finding"] == finding]
            ax.plot(rows["said"], rows["observed"], markersize=4, label=name, **style)
            top = max([top, *rows["said"], *rows["observed"]])
        ax.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
        ax.set(xlim=(0, 1.08 * top), ylim=(-0.03 * top, 1.08 * top), title=finding, xlabel="predicted")
        axes[0].set_ylabel("share with the finding")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", frameon=False, ncols=len(tables))
    figure.suptitle(fill(f"Calibrated on {domain}; about {table['n'].median():.0f} images a point", 120), fontsize=10)
    return figure


def plot_abstention(table: pd.DataFrame) -> Figure:
    """Macro-AUROC with its interval against the share of photos answered (`ecgutils.evaluate.abstention_curve`)."""
    figure, (ax,) = _panels(6, 3.2)
    ax.fill_between(table["coverage"], table["low"], table["high"], color=_COLORS[0], alpha=0.2, linewidth=0)
    ax.plot(table["coverage"], table["value"], marker="o", color=_COLORS[0])
    ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    ax.set(xlabel="share of photos answered, the best quality first", ylabel="macro-AUROC (95 % interval)")
    ax.set_title(f"{table['n'].max()} photos, intervals {table['intervals'].iloc[0]}", fontsize=10)
    ax.invert_xaxis()
    return figure


def plot_robustness(table: pd.DataFrame, title: str) -> Figure:
    """Macro-AUROC by effect and severity, over the interval of effect "clean"; as `benchmarks/robustness.py` writes."""
    clean = table[table["effect"] == "clean"].iloc[0]
    rest = table[table["effect"] != "clean"]
    effects, by_severity = rest["effect"].unique(), rest.groupby("severity")
    figure, (ax,) = _panels(_WIDTH, 3.8)
    ax.axhspan(clean["low"], clean["high"], color="grey", alpha=0.15, linewidth=0)
    ax.axhline(clean["value"], color="grey", linewidth=0.8)
    ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    rows = {f"severity {severity:g}": of_it.set_index("effect").loc[effects] for severity, of_it in by_severity}
    _side_by_side(ax, rows, apart=0.18, capsize=2)
    ax.set_xticks(np.arange(len(effects)), effects, rotation=35, ha="right")
    ax.set(ylabel="macro-AUROC (95 % interval)")
    ax.set_title(title, fontsize=10)
    ax.legend(frameon=False, fontsize=8, ncols=len(rows))
    return figure


def plot_lead_heat(table: pd.DataFrame, title: str) -> Figure:
    """Heat per lead against what even heat would give (`ecgutils.evaluate.heat_by_lead`, or a mean of several)."""
    figure, (ax,) = _panels(8, 2.8)
    ax.bar(table["lead"], table["heat"], color=_COLORS[0], label="share of heat")
    ax.plot(table["lead"], table["area"], "_", markersize=22, color="black", label="share of area (even heat)")
    ax.set(ylabel="share of heat, of area")
    ax.set_title(fill(title, 100), fontsize=10)
    ax.legend(frameon=False, fontsize=8)
    return figure


def _side_by_side(ax: Axes, rows: Mapping[str, pd.DataFrame], apart: float, capsize: float) -> None:
    """Values and intervals of each named table, row i at x = i, the tables at most `apart` from each other."""
    apart = min(apart, 0.8 / max(1, len(rows)))
    for position, ((name, table), style) in enumerate(zip(rows.items(), _styles(), strict=False)):
        x = np.arange(len(table)) + (position - (len(rows) - 1) / 2) * apart
        ax.errorbar(x, table["value"], yerr=_around(table), linestyle="", capsize=capsize, label=name, **style)


def _intervals(*tables: pd.DataFrame) -> str:
    """How the intervals came about, as the tables say it."""
    return ", ".join(sorted({f"intervals {said}" for table in tables for said in table["intervals"]}))


def show(figure: Figure, path: str | Path, dpi: int = 96) -> Image:
    """Write `figure` to `path` (PNG or JPEG by its suffix) and return that file as a notebook's picture."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, facecolor="white")
    return Image(filename=str(path))


def read_benchmark(name: str) -> dict[str, Any] | None:
    """What `benchmarks/<name>.py` wrote, its command and commit printed; None, said so, where it has not been run."""
    if not (path := (repository_root() or Path.cwd()) / f"benchmarks/{name}.json").is_file():
        print(f"{path.name} is not here: the benchmark that writes it has not been run")
        return None
    found = json.loads(path.read_text())
    print(f"{found.get('command', path.name)}  (commit {found.get('commit', 'not recorded')})")
    return found
