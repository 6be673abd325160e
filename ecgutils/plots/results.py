"""Plots of label balance, learning curves and AUROC with intervals, of a run or of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecgutils.files import repository_root
from ecgutils.findings import FINDINGS
from ecgutils.plots.show import COLORS, around, panels, series_styles


def plot_class_balance(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Share of positives per finding, one bar group per named manifest."""
    figure, (ax,) = panels(12, 3)
    width = 0.8 / max(1, len(tables))
    for position, (name, table) in enumerate(tables.items()):
        share = table[list(FINDINGS)].mean()
        look = {"color": COLORS[position % len(COLORS)], "hatch": "/" * (position // len(COLORS))}
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
    figure, (loss_ax, auroc_ax) = panels(10, 3.2, 2)
    for (name, history), style in zip(histories.items(), series_styles(), strict=False):
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
    figure, (ax,) = panels(9, 3.4)
    names = ["macro", *FINDINGS]
    apart = min(0.14, 0.8 / max(1, len(tables)))
    for position, ((model, table), style) in enumerate(zip(tables.items(), series_styles(), strict=False)):
        rows = table.set_index("finding").reindex(names)
        x = np.arange(len(names)) + (position - (len(tables) - 1) / 2) * apart
        ax.errorbar(x, rows["value"], yerr=around(rows), linestyle="", capsize=3, label=model, **style)
    ax.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    ax.text(len(names) - 0.5, 0.5, "chance", color="grey", fontsize=8, va="bottom", ha="right")
    ax.set_xticks(np.arange(len(names)), names)
    lowest = min(table["low"].min() for table in tables.values())
    ax.set(ylabel="AUROC (95 % interval)", ylim=(min(0.4, lowest - 0.03), 1.02))
    ax.set_title(_intervals(*tables.values()), fontsize=10)
    figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=min(6, len(tables)))
    return figure


def plot_arms(table: pd.DataFrame, title: str) -> Figure:
    """Macro-AUROC of each arm with its 95 % interval, one line per arm, a small dot per seed where there are several.

    Columns `arm`, `macro_value`, `macro_low`, `macro_high`, and `by_seed` (a list, optional), as the benchmarks write.
    """
    figure, (ax,) = panels(8, 0.9 + 0.3 * len(table))
    y = np.arange(len(table))
    ax.errorbar(table["macro_value"], y, xerr=around(table, "macro_"), fmt="o", capsize=3, color=COLORS[0])
    for row, seeds in zip(y, table.get("by_seed", [[]] * len(table)), strict=True):
        if len(seeds) > 1:
            ax.plot(seeds, [row] * len(seeds), ".", color=COLORS[1], markersize=5)
    ax.axvline(0.5, color="grey", linewidth=0.8, linestyle=":")
    ax.set_yticks(y, table["arm"])
    ax.set(ylim=(len(table) - 0.5, -0.5), xlabel="macro-AUROC (95 % interval; red: single seeds)")
    ax.set_title(title, fontsize=10)
    return figure


def plot_gain(table: pd.DataFrame, over: str) -> Figure:
    """Paired AUROC differences with 95 % intervals over a growing number, on a logarithmic axis that `over` names.

    Columns `n`, `value`, `low`, `high`, as `benchmarks/two_stage.py --curves` writes.
    """
    figure, (ax,) = panels(5, 3)
    ax.errorbar(table["n"], table["value"], yerr=around(table), fmt="o-", capsize=3, color=COLORS[0])
    ax.axhline(0, color="grey", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xticks(table["n"], [f"{n:,}" for n in table["n"]])
    ax.minorticks_off()
    ax.set(xlabel=over, ylabel="gain in macro-AUROC")
    return figure


def plot_difference(table: pd.DataFrame, title: str) -> Figure:
    """Paired AUROC differences with intervals; a table of `paired_difference`. Right of zero is better."""
    figure, (ax,) = panels(7, 2.8)
    ax.errorbar(table["value"], table["finding"], xerr=around(table), fmt="o", capsize=3, color=COLORS[0])
    ax.axvline(0, color="grey", linewidth=0.8)
    ax.invert_yaxis()
    ax.set(xlabel=f"difference in AUROC (95 % {_intervals(table)})", title=title)
    return figure


def _intervals(*tables: pd.DataFrame) -> str:
    """How the intervals came about, as the tables say it."""
    return ", ".join(sorted({f"intervals {said}" for table in tables for said in table["intervals"]}))


def read_benchmark(name: str) -> dict[str, Any] | None:
    """What `benchmarks/<name>.py` wrote, its command and commit printed; None, said so, where it has not been run."""
    path = (repository_root() or Path.cwd()) / f"benchmarks/{name}.json"
    if not path.is_file():
        print(f"{path.name} is not here: the benchmark that writes it has not been run")
        return None
    found = json.loads(path.read_text())
    print(f"{found['command']}  (commit {found['commit']})")
    return found
