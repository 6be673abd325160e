"""Figures for notebooks, reports and the command line. Functions return a Figure; only `show` writes a file."""

from ecgutils.plots.images import plot_contact_sheet, plot_heat, plot_outlines, plot_reading, plot_record, plot_steps
from ecgutils.plots.results import (
    plot_abstention,
    plot_auroc,
    plot_class_balance,
    plot_history,
    plot_intervals,
    plot_lead_heat,
    plot_reliability,
    plot_robustness,
    read_benchmark,
    show,
)
