"""What `python -m ecgutils evaluate` shows: a figure of the scores, and a page of the worst errors."""

import html
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from ecgutils.files import page_of, write_bytes
from ecgutils.findings import DISCLAIMER, FINDING_NAMES, FINDINGS
from ecgutils.geometry import thumbnail
from ecgutils.parallel import for_each
from ecgutils.plots.figures import _intervals, _panels, _side_by_side, _styles
from ecgutils.preprocess import Preprocessor, PreprocessSettings, UnreadableImage, read_image
from ecgutils.preprocess.cache import REPORT_STYLE, THUMBNAIL, draw_outline, inline_image

_PAGE = PreprocessSettings(size=(768, 384), px_per_mm=2.8)  # as much of the page as a model sees, large enough to read


def plot_scores(table: pd.DataFrame, reliability: pd.DataFrame) -> Figure:
    """Three panels: AUROC and AUPRC, the rates at the threshold, and what was said against what came.

    table : of `evaluate.score_table`. reliability : of `evaluate.reliability`, for the same images.
    """
    figure, axes = _panels(15, 3.8, 3)
    of_findings = table.set_index("finding")
    for ax, names, rows in zip(
        axes,
        (("auroc", "auprc"), ("sensitivity", "specificity")),
        (["macro", *FINDINGS], list(FINDINGS)),
        strict=False,
    ):
        ends = {name: {name: "value", f"{name}_low": "low", f"{name}_high": "high"} for name in names}
        shown = {name: of_findings.loc[rows].rename(columns=ends[name]) for name in names}
        _side_by_side(ax, shown, apart=0.2, capsize=3)
        ax.set_xticks(np.arange(len(rows)), rows)
        ax.set(ylim=(-0.03, 1.03), ylabel="95 % interval")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=8)
    chance = (of_findings["positives"] / of_findings["n"])[list(FINDINGS)]
    axes[0].plot(np.arange(1, 1 + len(chance)), chance, "_", color="grey", markersize=18)  # what guessing's AUPRC is
    axes[0].axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    axes[0].set_xlabel("grey: chance, .5 for AUROC, the mark for AUPRC", fontsize=8)
    for (finding, points), style in zip(reliability.groupby("finding", sort=False), _styles(), strict=False):
        axes[2].plot(points["said"], points["observed"], markersize=4, label=finding, **style)
    axes[2].plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes[2].set(xlabel="predicted probability", ylabel="share with the finding")
    axes[2].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{table['n'].iloc[0]} labelled images, {_intervals(table)}", fontsize=10)
    return figure


def write_errors(errors: pd.DataFrame, path: str | Path, title: str, workers: int = 1) -> None:
    """Write the page of the worst errors: each with its numbers, its photo and outline, and the flat page, where it is.

    errors : of `evaluate.worst_errors`. title : what was scored, as plain text. workers : processes that read photos.
    The pages are made anew. HTML, one file without links, written atomically.
    """
    files = sorted(file for file in set(errors["path"]) if file and page_of(file)[0].exists())
    made = for_each(_pictures, ((file,) for file in files), workers)
    pictures = dict(zip(files, tqdm(made, total=len(files), desc="report"), strict=True))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Worst errors</title>",
        f"<style>{REPORT_STYLE}</style><h1>Worst errors</h1><p>{html.escape(title)}</p>",
        f"<p>{DISCLAIMER} Photos are shown whole, with what is written on them: think before you share this page.</p>",
    ]
    for (finding, error), rows in errors.groupby(["finding", "error"], sort=False):
        parts.append(f"<h2>{finding}, {FINDING_NAMES[finding]}: {error}s, the worst first</h2>")
        for _, row in rows.iterrows():
            name = f"{row['ID']} {Path(row['path']).name}" if row["path"] else row["ID"]
            caption = (
                f"<b>{html.escape(name)}</b> &middot; {finding} {row['probability']:.3f}, label {row['label']:.0f} "
                f"&middot; quality {row['quality']:.2f} &middot; "
                f"{html.escape(row['reasons'].replace(';', ', ')) or 'no reasons against it'}"
            )
            seen = pictures.get(row["path"], "<span class=bad>no photo at hand</span>")
            parts.append(f"<figure><figcaption>{caption}</figcaption>{seen}</figure>")
    if errors.empty:
        parts.append("<p>No answer is wrong at these thresholds.</p>")
    write_bytes(path, "\n".join([*parts, "</html>"]).encode(errors="replace"))


def _pictures(path: str) -> str:
    try:
        photo = read_image(path)
    except UnreadableImage as error:
        return f"<span class=bad>{error.reason}</span>"
    flat = Preprocessor(_PAGE)(photo)
    small, scale = thumbnail(photo, THUMBNAIL)
    if flat.quad_xy is not None:
        draw_outline(small, flat.quad_xy * scale)
    return inline_image(small, ".jpg") + inline_image(flat.image, ".png")
