"""A record as a standard 3x4 page, with leads that decide a finding marked."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from ecgutils.findings import LEADS

if TYPE_CHECKING:
    from ecgutils.signals import Record

_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",))
_ROW_MV = 3.0  # vertical distance of two rows


def plot_record(record: "Record", marked: Collection[str] = (), title: str = "") -> Figure:
    """Draw a record of at least 10 s on ECG paper: 3 rows x 4 columns of 2.5 s, lead II below as rhythm strip.

    `marked` names leads that are tinted, the strip too: those that decide the finding. Waves taller than the distance
    of two rows run into the next row; the page grows where they would leave it.
    """
    unknown = set(marked) - set(LEADS)
    if unknown:
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
    axes.xaxis.set_major_locator(MultipleLocator(0.2))
    axes.yaxis.set_major_locator(MultipleLocator(0.5))
    axes.xaxis.set_minor_locator(MultipleLocator(0.04))
    axes.yaxis.set_minor_locator(MultipleLocator(0.1))
    axes.grid(which="major", color="#f2a0a0", linewidth=0.6)
    axes.grid(which="minor", color="#f8d4d4", linewidth=0.25)
    axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
    return figure
