"""What `python -m ecgutils evaluate` shows: a figure of the scores, and a page of the worst errors."""

import html
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from ecgutils.files import page_of
from ecgutils.findings import DISCLAIMER, FINDING_NAMES, FINDINGS
from ecgutils.geometry import thumbnail
from ecgutils.parallel import for_each
from ecgutils.plots.figures import _WIDTH, _intervals, _panels, _side_by_side, _styles
from ecgutils.preprocess import Preprocessor, PreprocessSettings, UnreadableImage, read_image
from ecgutils.preprocess.review import PHOTO_SIDE, Entry, draw_outline, pictures_of, write_gallery

_PAGE = PreprocessSettings(size=(768, 384), px_per_mm=2.8)  # as much of the page as a model sees, large enough to read


def plot_scores(table: pd.DataFrame, reliability: pd.DataFrame) -> Figure:
    """Three panels: AUROC and AUPRC, the rates at the threshold, and what was said against what came.

    table : of `evaluate.score_table`. reliability : of `evaluate.reliability`, for the same images.
    """
    figure, axes = _panels(_WIDTH, 3.4, 3)
    of_findings = table.set_index("finding")
    panels = {("auroc", "auprc"): ["macro", *FINDINGS], ("sensitivity", "specificity"): list(FINDINGS)}
    for ax, (names, rows) in zip(axes, panels.items(), strict=False):
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
    The flat pages are made anew. See `preprocess.review.write_gallery` for the file.
    """
    files = sorted(file for file in set(errors["path"]) if file and page_of(file)[0].exists())
    made = for_each(_pictures, ((file,) for file in files), workers)
    pictures = dict(zip(files, tqdm(made, total=len(files), desc="report"), strict=True))
    said = "By finding, worst first; click to enlarge." if len(errors) else "No answer is wrong at these thresholds."
    head = (
        f"<p>{html.escape(title)}</p><p>{DISCLAIMER} Photos are shown whole, with what is written on them: "
        f"think before you share this page.</p><p>{said}</p>"
    )
    sections = errors[["finding", "error"]].drop_duplicates().itertuples(index=False)
    kinds = {f"{finding}-{error[:4]}": f"{finding}, {FINDING_NAMES[finding]}: {error}s" for finding, error in sections}
    entries = (_entry(row, *pictures.get(row["path"], ((), "no photo at hand"))) for _, row in errors.iterrows())
    write_gallery(path, "Worst errors", head, kinds, entries)


def _entry(row: pd.Series, pictures: tuple[bytes, ...], problem: str) -> Entry:
    name = f"{row['ID']} {Path(row['path']).name}" if row["path"] else row["ID"]
    caption = (
        f"<b>{html.escape(name)}</b> &middot; {row['error']} of {row['finding']}: {row['probability']:.3f}, "
        f"label {row['label']:.0f} &middot; quality {row['quality']:.2f} &middot; "
        f"{html.escape(row['reasons'].replace(';', ', ')) or 'no reasons against it'}"
        f"{f' &middot; <span class=bad>{problem}</span>' if problem else ''}"
    )
    return Entry(f"{row['finding']}-{row['error'][:4]}", row["quality"], caption, pictures)


def _pictures(path: str) -> tuple[tuple[bytes, ...], str]:
    """Small and large picture of a photo and its flat page; or none, and why."""
    try:
        photo = read_image(path)
    except UnreadableImage as error:
        return (), error.reason
    flat = Preprocessor(_PAGE)(photo)
    small, scale = thumbnail(photo, PHOTO_SIDE)
    if flat.quad_xy is not None:
        draw_outline(small, flat.quad_xy * scale)
    return pictures_of(small, flat.image), ""
