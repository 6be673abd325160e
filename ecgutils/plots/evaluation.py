"""Plots that ask how far a probability can be trusted: reliability, refusal, robustness, where the model looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecgutils.findings import FINDINGS
from ecgutils.geometry import thumbnail
from ecgutils.plots.show import COLORS, around, panels, series_styles


def plot_reliability(tables: Mapping[str, pd.DataFrame], domain: str) -> Figure:
    """Said against observed, one panel per finding, one line per named table of `ecgutils.evaluate.reliability`.

    On the diagonal probabilities mean what they say; `domain` is what they were calibrated on.
    """
    figure, axes = panels(13, 3.2, len(FINDINGS))
    for ax, finding in zip(axes, FINDINGS, strict=True):
        top = 0.05
        for (name, table), style in zip(tables.items(), series_styles(), strict=False):
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
    figure, (ax,) = panels(6, 3.2)
    ax.fill_between(table["coverage"], table["low"], table["high"], color=COLORS[0], alpha=0.2, linewidth=0)
    ax.plot(table["coverage"], table["value"], marker="o", color=COLORS[0])
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
    effects, severities = list(dict.fromkeys(rest["effect"])), sorted(rest["severity"].unique())
    figure, (ax,) = panels(10, 3.8)
    ax.axhspan(clean["low"], clean["high"], color="grey", alpha=0.15, linewidth=0)
    ax.axhline(clean["value"], color="grey", linewidth=0.8)
    ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    apart = min(0.18, 0.8 / max(1, len(severities)))
    for position, (severity, style) in enumerate(zip(severities, series_styles(), strict=False)):
        rows = rest[rest["severity"] == severity].set_index("effect").loc[effects]
        x = np.arange(len(effects)) + (position - (len(severities) - 1) / 2) * apart
        name = f"severity {severity:g}"
        ax.errorbar(x, rows["value"], yerr=around(rows), linestyle="", capsize=2, label=name, **style)
    ax.set_xticks(np.arange(len(effects)), effects, rotation=35, ha="right")
    ax.set(ylabel="macro-AUROC (95 % interval)")
    ax.set_title(title, fontsize=10)
    ax.legend(frameon=False, fontsize=8, ncols=len(severities))
    return figure


def plot_heat(photos: Sequence[np.ndarray], heats: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Photos (H, W, 3) with the heat (H, W) of `ecgutils.learn.heat_on_photo` over them, each to its own maximum."""
    figure, axes = panels(4.6 * len(photos), 3.2, len(photos))
    for ax, photo, heat, title in zip(axes, photos, heats, titles, strict=True):
        grey = cv2.cvtColor(thumbnail(photo, 900)[0], cv2.COLOR_RGB2GRAY)
        ax.imshow(grey, cmap="gray", vmin=0, vmax=255)
        strength = cv2.resize(heat, grey.shape[::-1]) / max(float(heat.max()), 1e-9)
        ax.imshow(strength, cmap="inferno", alpha=0.65 * np.sqrt(strength), vmin=0, vmax=1)
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()
    return figure


def plot_lead_heat(table: pd.DataFrame, title: str) -> Figure:
    """Heat per lead against what even heat would give (`ecgutils.evaluate.heat_by_lead`, or a mean of several)."""
    figure, (ax,) = panels(8, 2.8)
    ax.bar(table["lead"], table["heat"], color=COLORS[0], label="share of heat")
    ax.plot(table["lead"], table["area"], "_", markersize=22, color="black", label="share of area (even heat)")
    ax.set(ylabel="share of heat, of area")
    ax.set_title(fill(title, 110), fontsize=10)
    ax.legend(frameon=False, fontsize=8)
    return figure
