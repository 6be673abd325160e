"""Plots that ask how far a probability can be trusted: reliability, refusal, robustness."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure

from ecgutils.findings import FINDINGS
from ecgutils.plots.results import COLORS


def plot_reliability(tables: Mapping[str, pd.DataFrame], domain: str) -> Figure:
    """Said against observed, one panel per finding, one line per named table of `ecgutils.learn.reliability`.

    On the diagonal probabilities mean what they say; `domain` says for which images.
    """
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    axes = figure.subplots(1, len(FINDINGS))
    for ax, finding in zip(axes, FINDINGS, strict=True):
        top = 0.05
        for (name, table), color in zip(tables.items(), COLORS, strict=False):
            rows = table[table["finding"] == finding]
            ax.plot(rows["said"], rows["observed"], marker="o", markersize=4, color=color, label=name)
            top = max(top, *rows["said"], *rows["observed"])
        ax.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
        ax.set(xlim=(0, 1.08 * top), ylim=(-0.03 * top, 1.08 * top), title=finding, xlabel="said")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("observed")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(fill(f"Reliability on {domain}; about {table['n'].median():.0f} images a point", 130), fontsize=10)
    return figure


def plot_abstention(table: pd.DataFrame) -> Figure:
    """Macro-AUROC with its interval against the share of photos answered (`ecgutils.learn.abstention_curve`)."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    ax = figure.subplots()
    ax.fill_between(table["coverage"], table["low"], table["high"], color=COLORS[0], alpha=0.2, linewidth=0)
    ax.plot(table["coverage"], table["value"], marker="o", color=COLORS[0])
    ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    ax.set(xlabel="share of photos answered, the best quality first", ylabel="macro-AUROC (95 % interval)")
    ax.set_title(f"{table['n'].max()} photos, intervals {table['intervals'].iloc[0]}", fontsize=10)
    ax.invert_xaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return figure
