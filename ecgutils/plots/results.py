"""Plots of label balance, learning, scores with intervals and how far a probability can be trusted; showing them."""

import json
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgutils.files import atomic_path, repository_root
from ecgutils.findings import FINDINGS

if TYPE_CHECKING:
    from IPython.display import Image

_COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


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
    figure, (ax,) = _panels(12, 3)
    width = 0.8 / max(1, len(tables))
    for position, (name, table) in enumerate(tables.items()):
        share = table[list(FINDINGS)].mean()
        look = {"color": _COLORS[position % len(_COLORS)], "hatch": "/" * (position // len(_COLORS))}
        bars = ax.bar(np.arange(5) + position * width, share, width, label=f"{name} (n={len(table)})", **look)
        ax.bar_label(bars, fmt="%.2f", fontsize=7)
    ax.set_xticks(np.arange(5) + 0.4 - width / 2, FINDINGS)
    ax.set(ylabel="share of images")
    ax.legend(frameon=False, fontsize=8)
    return figure


def plot_history(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Training loss and validation macro-AUROC against images seen, one line per training.

    Each history has the columns `views`, `loss`, `val_macro_auroc`.
    """
    figure, (loss_ax, auroc_ax) = _panels(10, 3.2, 2)
    for (name, history), style in zip(histories.items(), _styles(), strict=False):
        loss_ax.plot(history["views"], history["loss"], markersize=4, label=name, **style)
        auroc_ax.plot(history["views"], history["val_macro_auroc"], markersize=4, label=name, **style)
    loss_ax.set(xlabel="images seen", ylabel="training loss")
    auroc_ax.set(xlabel="images seen", ylabel="validation macro-AUROC")
    auroc_ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    loss_ax.legend(frameon=False)
    return figure


def plot_auroc(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """AUROC with its 95 % interval, macro and per finding, one colour per model.

    Each table has the columns `finding`, `value`, `low`, `high`, `intervals` (as `bootstrap_auroc` returns).
    """
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
    """Values with their 95 % intervals, one row each, named by the column `names`; a small dot per seed where several.

    Columns `value`, `low`, `high`, optionally `by_seed` (a list). The grey line is at `against`: 0, to the right of
    which differences are gains, or 0.5, an AUROC by chance. `intervals` are said in the title where the table has them.
    """
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
    """Said against observed, one panel per finding, one line per named table of `ecgutils.evaluate.reliability`.

    On the diagonal probabilities mean what they say; `domain` is what they were calibrated on.
    """
    figure, axes = _panels(13, 3.2, len(FINDINGS))
    for ax, finding in zip(axes, FINDINGS, strict=True):
        top = 0.05
        for (name, table), style in zip(tables.items(), _styles(), strict=False):
            rows = table[table["finding"] == finding]
            ax.plot(rows["said"], rows["observed"], markersize=4, label=name, **style)
            top = max(top, *rows["said"], *rows["observed"])
        ax.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
        ax.set(xlim=(0, 1.08 * top), ylim=(-0.03 * top, 1.08 * top), title=finding, xlabel="predicted probability")
        axes[0].set_ylabel("share with the finding")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", frameon=False, ncols=len(tables))
    title = f"Calibrated on {domain}; about {table['n'].median():.0f} images a point"
    figure.suptitle(fill(title, 130), fontsize=10)
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
    """Macro-AUROC by effect, one marker per severity, over the interval of the clean photo (effect "clean").

    Columns `effect`, `severity`, `value`, `low`, `high`, as `benchmarks/robustness.py` writes.
    """
    clean = table[table["effect"] == "clean"].iloc[0]
    rest = table[table["effect"] != "clean"]
    effects, by_severity = rest["effect"].unique(), rest.groupby("severity")
    figure, (ax,) = _panels(10, 3.8)
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
    ax.set_title(fill(title, 110), fontsize=10)
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


def show(figure: Figure, path: str | Path, dpi: int = 80) -> "Image":
    """Write `figure` to `path` (PNG or JPEG by its suffix) and return that file as a notebook's picture."""
    from IPython.display import Image

    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, facecolor="white")
    return Image(filename=str(path))


def read_benchmark(name: str) -> dict[str, Any] | None:
    """What `benchmarks/<name>.py` wrote, its command and commit printed; None, said so, where it has not been run."""
    path = (repository_root() or Path.cwd()) / f"benchmarks/{name}.json"
    if not path.is_file():
        print(f"{path.name} is not here: the benchmark that writes it has not been run")
        return None
    found = json.loads(path.read_text())
    print(f"{found.get('command', path.name)}  (commit {found.get('commit', 'not recorded')})")
    return found
